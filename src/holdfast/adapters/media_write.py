"""Writing H.264 and AAC: the encoder behind every clip, uploaded or drawn.

Two settings carry the weight. The picture runs at a constant rate with a key frame exactly every SEGMENT_S, so that
fragments, HLS segments and key frames are the same thing and a player can start at any of them. And there are no
B-frames: decode order is display order, so fragments need no edit lists, which browsers read differently.
"""

import io
from collections import deque
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

SEGMENT_S = 2  # short enough to start at once on a poor line, long enough to compress (DESIGN §7)
SAMPLE_RATE = 48_000
AUDIO_BITRATE = 96_000
POSTER_QUALITY = "72"  # a 360×640 poster is then 10–25 KB
ENCODER_THREADS = 2  # the machine of the promise has 2 cores; a fixed number also keeps the bytes the same everywhere

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof+skip_trailer"}


class Writer:
    """An MP4 in memory. Frames go in as they come; `finish` returns the bytes.

    `rate`: frames per second; `sound`: whether there is an audio track; `options`: of the MP4 muxer;
    `quality`: x264's CRF (18 is nearly lossless, 28 plainly soft) with its preset, as `"24 veryfast"`.
    """

    def __init__(
        self, size: tuple[int, int], rate: Fraction, sound: bool, quality: str, options: dict[str, str]
    ) -> None:
        self._file = io.BytesIO()
        self._box = av.open(self._file, "w", format="mp4", options=options)
        crf, preset = quality.split()
        gop = max(1, round(SEGMENT_S * rate))
        self.gop = gop
        self.rate = rate
        self.frames = 0
        self._video = cast(VideoStream, self._box.add_stream("libx264", rate=rate, options={
            "preset": preset, "crf": crf, "maxrate": "2500k", "bufsize": "5000k", "threads": str(ENCODER_THREADS),
            "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:open-gop=0",
        }))
        self._video.width, self._video.height = size
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.time_base = 1 / rate
        context = cast(Any, self._video.codec_context)
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1  # BT.709
        self._audio: AudioStream | None = None
        self._waiting: deque[AudioFrame] = deque()  # sound ahead of the picture
        if sound:
            self._audio = cast(AudioStream, self._box.add_stream("aac", rate=SAMPLE_RATE, layout="stereo"))
            self._audio.bit_rate = AUDIO_BITRATE

    @property
    def seconds(self) -> float:
        """How much picture has been written, in seconds."""
        return float(self.frames / self.rate)

    def picture(self, frame: VideoFrame) -> None:
        """Write the next frame (yuv420p, of the announced size)."""
        frame.pts = self.frames
        frame.time_base = 1 / self.rate
        frame.pict_type = 1 if self.frames % self.gop == 0 else 0  # I where a segment begins, else the encoder's choice
        self._box.mux(self._video.encode(frame))
        self.frames += 1
        self._drain()

    def sound(self, frame: AudioFrame) -> None:
        """Write sound (fltp, stereo, 48 kHz, pts in samples); it waits until the picture has come as far."""
        self._waiting.append(frame)
        self._drain()

    def _drain(self) -> None:
        while self._audio and self._waiting and (self._waiting[0].pts or 0) < self.seconds * SAMPLE_RATE:
            self._box.mux(self._audio.encode(self._waiting.popleft()))

    def finish(self) -> bytes:
        """Close and return the file. Sound beyond the last picture is left out."""
        self._box.mux(self._video.encode(None))
        if self._audio:
            self._box.mux(self._audio.encode(None))
        self._box.close()
        return self._file.getvalue()


def write_poster(frame: VideoFrame) -> bytes:
    """Encode one frame (yuv420p) as WebP."""
    file = io.BytesIO()
    with av.open(file, "w", format="webp") as box:
        stream = cast(VideoStream, box.add_stream("libwebp", rate=1, options={"quality": POSTER_QUALITY}))
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
        frame.pts = 0
        box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    return file.getvalue()


def audio_frame(samples: np.ndarray, pts: int) -> AudioFrame:
    """Wrap float32 samples, shape (2, n), as a frame that begins at sample number `pts`."""
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples, dtype=np.float32), format="fltp", layout="stereo")
    frame.sample_rate = SAMPLE_RATE
    frame.time_base = Fraction(1, SAMPLE_RATE)
    frame.pts = pts
    return frame


def write_clip(frames: Iterable[np.ndarray], sound: np.ndarray, rate: int) -> bytes:
    """Encode a drawn clip as an MP4 such as a camera would send.

    `frames`: uint8 (height, width, 3), even sizes; `sound`: float32 (2, n) at SAMPLE_RATE; `rate`: frames per second.
    """
    writer: Writer | None = None
    step = SAMPLE_RATE // rate
    for k, pixels in enumerate(frames):
        if writer is None:
            size = (pixels.shape[1], pixels.shape[0])
            writer = Writer(size, Fraction(rate), True, "20 ultrafast", {})
        frame = VideoFrame.from_ndarray(pixels, format="rgb24")
        writer.picture(frame.reformat(format="yuv420p", dst_colorspace="ITU709"))
        heard = sound[:, k * step : (k + 1) * step]
        if heard.shape[1]:
            writer.sound(audio_frame(heard, k * step))
    assert writer, "a clip has at least one frame"
    return writer.finish()
