"""What a passer-by would say of a clip: black, frozen, silent, flashing; and which frame to put on its cover.

The facts go to the policy table (`core.policy`), which decides; nothing is judged here. Two looks a second are enough
for black and frozen. Flashing needs every frame: WCAG 2.3.1 counts pairs of opposing changes of brightness, of a tenth
or more, over a quarter of the screen, in any one second; so each quarter's brightness is followed from turn to turn.
"""

from collections import deque
from fractions import Fraction

import msgspec
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from holdfast.adapters.media_write import write_poster

BLACK_LUMA = 32  # a frame is black when 98 of 100 points are darker; 16 is black in limited range, and stars count
FROZEN_STEP = 0.4  # mean change of luma between two looks at a still picture; coding noise stays below
SILENT_PEAK = 0.001  # -60 dBFS
FLASH_STEP = 22.0  # a tenth of the 219 steps between black and white in limited range


class Facts(msgspec.Struct):
    """What the policy table asks about a clip. Shares are of the frames looked at."""

    duration_ms: int = 0
    width: int = 0
    height: int = 0
    silent: bool = True
    black: float = 0.0
    frozen: float = 0.0
    flashes_per_s: float = 0.0
    video_codec: str = ""
    audio_codec: str = ""

    def for_policy(self) -> dict[str, float]:
        """The facts as `core.policy.rule` takes them; `checked` says that somebody looked."""
        return {
            "checked": 1.0, "duration_ms": float(self.duration_ms), "silent": float(self.silent),
            "black": self.black, "frozen": self.frozen, "flashes_per_s": self.flashes_per_s,
        }


class Flashes:
    """Counts flashes in each quarter of the picture; `worst` is the most in any one second."""

    def __init__(self, rate: Fraction) -> None:
        self._second = max(1, round(rate))
        self._turns = [deque[int]() for _ in range(4)]  # frame numbers of the last second's swings
        self._extreme = [-1.0] * 4  # brightness since the last swing, as far as it went
        self._rising = [0] * 4  # +1 rising, -1 falling, 0 not known yet
        self.worst = 0.0

    def look(self, luma: np.ndarray, k: int) -> None:
        """Follow frame number k; luma: (h, w) uint8."""
        h, w = luma.shape[0] // 2, luma.shape[1] // 2
        quarters = (luma[:h, :w], luma[:h, w:], luma[h:, :w], luma[h:, w:])
        for q, part in enumerate(quarters):
            now = float(part.mean())
            if self._extreme[q] < 0:
                self._extreme[q] = now
            step = now - self._extreme[q]
            if abs(step) >= FLASH_STEP and (step > 0) != (self._rising[q] > 0):
                self._rising[q] = 1 if step > 0 else -1
                self._turns[q].append(k)
                self._extreme[q] = now
            elif step * self._rising[q] > 0:
                self._extreme[q] = now
            while self._turns[q] and self._turns[q][0] <= k - self._second:
                self._turns[q].popleft()
            self.worst = max(self.worst, len(self._turns[q]) / 2)


class Looks:
    """Watches and hears a clip go by."""

    def __init__(self, rate: Fraction) -> None:
        self._every = max(1, round(rate / 2))
        self._last: np.ndarray | None = None
        self._seen = self._black = self._frozen = 0
        self._flashes = Flashes(rate)
        self._peak = 0.0
        self.poster = b""

    def look(self, frame: VideoFrame, k: int) -> None:
        """See frame number k (yuv420p)."""
        plane = frame.planes[0]
        luma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
        self._flashes.look(luma[::8, ::8], k)
        if k % self._every:
            return
        small = luma[::4, ::4].astype(np.float32)
        black = float(np.percentile(small, 98)) < BLACK_LUMA
        self._seen += 1
        self._black += black
        self._frozen += self._last is not None and float(np.abs(small - self._last).mean()) < FROZEN_STEP
        self._last = small
        if k == 0 or (not black and self._black == self._seen - 1):  # the first frame, or the first that is not black
            self.poster = write_poster(frame)

    def listen(self, frame: AudioFrame) -> None:
        """Hear a frame of sound (float samples)."""
        self._peak = max(self._peak, float(np.abs(frame.to_ndarray()).max(initial=0.0)))

    def facts(self, seconds: float, size: tuple[int, int]) -> Facts:
        """Sum up a clip of `seconds` at `size` (width, height)."""
        return Facts(
            duration_ms=round(seconds * 1000), width=size[0], height=size[1], silent=self._peak < SILENT_PEAK,
            black=round(self._black / max(1, self._seen), 3), frozen=round(self._frozen / max(1, self._seen - 1), 3),
            flashes_per_s=self._flashes.worst,
        )
