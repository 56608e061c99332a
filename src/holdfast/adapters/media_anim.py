"""Pictures with times, made into one animated WebP: what a README can show without a player."""

import io
from fractions import Fraction
from pathlib import Path

import av
import av.video.frame
from av.video.stream import VideoStream

from holdfast.core.errors import Refused

QUALITY = 62  # of lossy WebP: text stays crisp at half size, a tour of half a minute stays near 3 MB
LAST_MS = 1500  # how long the last picture stands before the loop begins again


def write_webp(frames: list[tuple[float, bytes]], out: Path, width: int) -> None:
    """Encode `frames` [(seconds, JPEG or PNG bytes)] to `out`, `width` px wide, looping for ever.

    Raises Refused if there are no frames.
    """
    if not frames:
        raise Refused("there is no picture to animate", field="frames")
    out.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(out), "w", format="webp", options={"loop": "0"}) as film:
        options = {"quality": str(QUALITY), "compression_level": "4"}
        stream = film.add_stream("libwebp_anim", rate=1000, options=options)
        assert isinstance(stream, VideoStream)
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        stream.pix_fmt = "yuv420p"
        for at_s, data in [*frames, (frames[-1][0] + LAST_MS / 1000, frames[-1][1])]:
            picture = _decode(data)
            height = round(picture.height * width / picture.width / 2) * 2
            if not stream.codec_context.is_open:
                stream.width, stream.height = width, height
            frame = picture.reformat(width=width, height=height, format="yuv420p", interpolation="LANCZOS")
            frame.pts, frame.time_base = round(at_s * 1000), Fraction(1, 1000)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())


def _decode(data: bytes) -> av.video.frame.VideoFrame:
    with av.open(io.BytesIO(data), "r") as picture:
        return next(picture.decode(video=0))
