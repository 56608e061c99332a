"""Sound for drawn clips: notes, noise and a room, each a few lines of numpy.

A note is a few decaying sines; noise is white noise whose spectrum is tilted (rain is bright, surf is dull); a room is
a convolution with decaying noise, different in each ear, which turns dry beeps into something one can listen to. All
sound is float32 (2, n) at 48 kHz, brought to one loudness at the end so that no clip shouts.
"""

from collections.abc import Callable, Sequence

import numpy as np

FS = 48_000  # samples a second; what the encoder writes
LOUDNESS = 0.11  # RMS of a clip, about -19 dBFS
PEAK = 0.89
NOTE_S_MAX = 3.0

# Partials of an instrument: (multiple of the pitch, loudness, decay in 1/s)
Timbre = Sequence[tuple[float, float, float]]
BELL: Timbre = ((1, 1.0, 2.2), (2.76, 0.5, 3.5), (5.4, 0.22, 6.0), (8.9, 0.1, 9.0))
MARIMBA: Timbre = ((1, 1.0, 6.0), (3.9, 0.3, 14.0), (9.2, 0.08, 24.0))
PLUCK: Timbre = ((1, 1.0, 3.0), (2, 0.55, 4.2), (3, 0.3, 5.6), (4, 0.18, 7.5), (5, 0.1, 9.0))
KEYS: Timbre = ((1, 1.0, 2.0), (2, 0.35, 2.6), (3, 0.12, 3.4), (7, 0.05, 9.0))
PAD: Timbre = ((1, 1.0, 0.35), (1.005, 0.8, 0.35), (2, 0.35, 0.5), (3.01, 0.12, 0.7))

MAJOR = (0, 2, 4, 7, 9)  # pentatonic scales: any two notes of one go together
MINOR = (0, 3, 5, 7, 10)
HIRAJOSHI = (0, 2, 3, 7, 8)
LYDIAN = (0, 2, 4, 6, 7, 11)


def pitch(root: float, scale: Sequence[int], degree: int) -> float:
    """Frequency in Hz of a degree of a scale above (or below) `root` Hz."""
    octave, step = divmod(degree, len(scale))
    return root * 2 ** (octave + scale[step] / 12)


class Track:
    """A stereo recording of `seconds`; sounds are laid into it."""

    def __init__(self, seconds: float, rng: np.random.Generator) -> None:
        self.n = int(seconds * FS)
        self.rng = rng
        self.wave = np.zeros((2, self.n), np.float32)

    def note(
        self, at_s: float, hz: float, timbre: Timbre, volume: float = 1.0, side: float = 0.0, attack_s: float = 0.004
    ) -> None:
        """Lay a note at `at_s`; `side` is -1 (left) to 1 (right)."""
        first = int(at_s * FS)
        n = min(self.n - first, int(NOTE_S_MAX * FS))
        if n <= 0 or first < 0:
            return
        t = np.arange(n, dtype=np.float32) / FS
        wave = np.zeros(n, np.float32)
        for multiple, loud, decay in timbre:
            if hz * multiple < 12_000:
                wave += np.float32(loud) * np.sin(2 * np.pi * hz * multiple * t) * np.exp(-decay * t)
        wave *= np.minimum(1, t / attack_s) * np.float32(volume) * np.minimum(1, (n - np.arange(n)) / 2000)
        self.wave[0, first : first + n] += wave * np.float32(np.sqrt((1 - side) / 2))
        self.wave[1, first : first + n] += wave * np.float32(np.sqrt((1 + side) / 2))

    def noise(
        self, tilt: float, volume: float, shape: Callable[[np.ndarray], np.ndarray], low_hz: float = 40.0
    ) -> None:
        """Lay noise whose spectrum falls with frequency**-tilt, its volume shaped by `shape(t)` (n,), t in seconds."""
        size = 1 << (self.n - 1).bit_length()
        hz = np.fft.rfftfreq(size, 1 / FS).astype(np.float32)
        slope = np.where(hz > low_hz, np.maximum(hz, low_hz) ** -np.float32(tilt), 0)
        level = shape(np.arange(self.n, dtype=np.float32) / FS).astype(np.float32) * np.float32(volume)
        for ear in range(2):
            phase = self.rng.uniform(0, 2 * np.pi, len(hz)).astype(np.float32)
            wave = np.fft.irfft(slope * np.exp(1j * phase)).astype(np.float32)[: self.n]
            self.wave[ear] += wave / max(float(wave.std()), 1e-9) * level

    def room(self, seconds: float, wet: float) -> None:
        """Put it all in a room that rings for `seconds`."""
        ring = int(seconds * FS)
        size = 1 << (self.n + ring - 1).bit_length()
        decay = np.exp(-5 * np.arange(ring, dtype=np.float32) / ring)
        for ear in range(2):
            answer = self.rng.standard_normal(ring).astype(np.float32) * decay
            answer /= np.float32(np.sqrt(np.sum(answer**2)))
            echo = np.fft.irfft(np.fft.rfft(self.wave[ear], size) * np.fft.rfft(answer, size))[: self.n]
            self.wave[ear] += np.float32(wet) * echo.astype(np.float32)

    def finish(self) -> np.ndarray:
        """Return the recording at LOUDNESS, softly limited, faded at both ends."""
        wave = self.wave * np.float32(LOUDNESS / max(float(np.sqrt(np.mean(self.wave**2))), 1e-9))
        wave = np.tanh(wave / PEAK) * np.float32(PEAK)
        fade = min(self.n // 2, FS // 5)
        edge = np.linspace(0, 1, fade, dtype=np.float32)
        wave[:, :fade] *= edge
        wave[:, -fade:] *= edge[::-1]
        return wave


def steady(t: np.ndarray) -> np.ndarray:
    """A level that stays."""
    return np.ones_like(t)


def swells(period_s: float, phase: float = 0.0) -> Callable[[np.ndarray], np.ndarray]:
    """A level that comes and goes, like surf."""
    return lambda t: (0.25 + 0.75 * np.sin(np.pi * (t / period_s + phase)) ** 2).astype(np.float32)


def arpeggio(track: Track, seconds: float, beat_s: float, hz: Sequence[float], timbre: Timbre, volume: float) -> None:
    """Play notes one after the other, a little unevenly, as a hand would."""
    k, at = 0, 0.05
    while at < seconds:
        side = float(track.rng.uniform(-0.6, 0.6))
        track.note(at, hz[k % len(hz)], timbre, volume * float(track.rng.uniform(0.7, 1.0)), side)
        at += beat_s * float(track.rng.uniform(0.97, 1.03))
        k += 1


def chord(
    track: Track, at_s: float, hz: Sequence[float], timbre: Timbre, volume: float, attack_s: float = 0.02
) -> None:
    """Play notes together, spread from left to right."""
    for k, f in enumerate(hz):
        track.note(at_s + 0.012 * k, f, timbre, volume, -0.6 + 1.2 * k / max(1, len(hz) - 1), attack_s)
