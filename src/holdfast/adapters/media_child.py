"""The sandboxed child that opens a stranger's file: `python -m holdfast.adapters.media_child SOURCE OUT`.

Decoders are large, old and written in C, and an upload is whatever someone sent. So decoding happens in a process of
its own that holds no keys, no connections and no state, and that the kernel ends when it takes more processor time,
memory or file space than a clip of MEDIA_S_MAX seconds can need. What it says is one JSON object on stdout; what it
makes are files in OUT (`init`, `0`, `1`, …, `poster`). If it dies, the parent has lost one upload and nothing else.

A playlist or a concatenation script is a "video" to FFmpeg too, one that names other files to open. Therefore only the
containers listed in CONTAINERS are tried, and no protocol but the file itself.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import msgspec
from av import logging as av_logging
from av.audio.frame import AudioFrame
from av.container.input import InputContainer
from av.error import BlockingIOError as NotYet
from av.error import EOFError as Ended
from av.error import FFmpegError
from av.filter import Graph
from av.filter.context import FilterContext
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from holdfast.adapters.media_cut import codecs_of, cut
from holdfast.adapters.media_look import Facts, Looks
from holdfast.adapters.media_write import FRAGMENTED, SAMPLE_RATE, Writer
from holdfast.core.errors import Refused

MEDIA_S_MAX = 180  # the longest clip: what comparable short-video platforms take
PROCESSOR_S_MAX = 240  # 180 s of 4K HEVC took under 100 s of processor time on the slowest machine tried
MEMORY_MAX = 3 << 30  # address space; 4K at 10 bits with 2 decoder threads stays below 1.5 GiB
FILE_MAX = 256 << 20
SHORT_EDGE_MAX = 540  # pixels: sharp on a phone, and a 10 s upload is ready in seconds on 2 cores
RATE_MAX, RATE_MIN = Fraction(30), Fraction(10)  # frames per second written
QUALITY = "25 veryfast"
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,ogg,avi,mpegts"
TURNS = {90: ["transpose=clock"], 180: ["hflip", "vflip"], 270: ["transpose=cclock"]}  # degrees clockwise
HDR_TRANSFERS = (16, 18)  # PQ, HLG (ITU-T H.273)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
EXPORT_AGAIN = "try exporting it again, as MP4 with H.264 video"


class Made(msgspec.Struct):
    """What the child wrote: segment k is the file named k, `segments_ms[k]` long."""

    facts: Facts
    segments_ms: list[int]
    codecs: str


class Answer(msgspec.Struct):
    """The child's one line: either what it made, or why not."""

    made: Made | None = None
    facts: Facts | None = None
    refused: str = ""
    field: str = ""
    hint: str = ""


def open_source(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a clip and find its picture. Raises Refused if it is empty, unreadable, without video or too long."""
    if path.stat().st_size == 0:
        raise Refused("The file is empty.", field="file", hint="choose another file")
    try:
        box = av.open(str(path), "r", options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file"})
    except (FFmpegError, ValueError) as e:
        raise Refused("This file is not a video we can read, or it is damaged.", field="file", hint=EXPORT_AGAIN) from e
    pictures = [s for s in box.streams.video if not s.disposition & Disposition.attached_pic]
    if not pictures:
        found = "audio only" if box.streams.audio else "no tracks"
        raise Refused(f"This file has no video track we can read (found: {found}).", field="file", hint=EXPORT_AGAIN)
    if box.duration is not None and box.duration / av.time_base > MEDIA_S_MAX + 0.5:
        too_long(box.duration / av.time_base)
    return box, pictures[0]


def too_long(seconds: float) -> None:
    """Refuse a clip for its length."""
    raise Refused(
        f"This video is {seconds:.0f} s long; we take up to {MEDIA_S_MAX} s.", field="file", hint="cut it shorter"
    )


def shape(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Choose (width, height), pixels, before rotation: square pixels, even, short edge at most SHORT_EDGE_MAX."""
    aspect = stream.codec_context.sample_aspect_ratio or Fraction(1)
    width, height = float(frame.width * aspect), float(frame.height)
    scale = min(1.0, SHORT_EDGE_MAX / min(width, height), 4 * SHORT_EDGE_MAX / max(width, height))
    return max(16, round(width * scale / 2) * 2), max(16, round(height * scale / 2) * 2)


class Picture:
    """From decoded frames of any size, rate, rotation or colour to upright yuv420p BT.709 at a constant rate."""

    def __init__(self, first: VideoFrame, stream: VideoStream, rate: Fraction) -> None:
        self._first = first
        width, height = shape(first, stream)
        color = "out_color_matrix=bt709:out_range=tv"
        if first.color_trc in HDR_TRANSFERS:
            color += ":out_primaries=bt709:out_transfer=bt709"
        turns = TURNS.get(-first.rotation % 360, [])
        self.size = (height, width) if -first.rotation % 180 == 90 else (width, height)
        steps = [f"fps={rate}:start_time=0", f"scale={width}:{height}:flags=bicubic:{color}", *turns, "setsar=1",
                 "format=yuv420p"]
        self._graph = Graph()
        source = self._graph.add_buffer(width=first.width, height=first.height, format=first.format,
                                        time_base=stream.time_base)
        _chain(self._graph, source, [*steps, "buffersink"])

    def push(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """Give a decoded frame (None: the end); yield what comes out."""
        first = self._first
        if frame is not None and (frame.width, frame.height, frame.format.name) != (
            first.width, first.height, first.format.name,
        ):
            frame = frame.reformat(first.width, first.height, first.format.name)  # the stream changed size midway
        self._graph.vpush(frame)
        yield from cast(Iterator[VideoFrame], _drain(self._graph))


class Sound:
    """From decoded sound of any rate and layout to stereo fltp at SAMPLE_RATE, gaps filled with silence."""

    def __init__(self, first: AudioFrame) -> None:
        self._graph = Graph()
        source = self._graph.add_abuffer(sample_rate=first.sample_rate, format=first.format.name,
                                         layout=first.layout.name, time_base=first.time_base)
        steps = [f"aresample={SAMPLE_RATE}:async=1000:first_pts=0", "aformat=sample_fmts=fltp:channel_layouts=stereo",
                 "asetnsamples=1024:p=0"]
        _chain(self._graph, source, [*steps, "abuffersink"])

    def push(self, frame: AudioFrame | None) -> Iterator[AudioFrame]:
        """Give a decoded frame (None: the end); yield what comes out, pts in samples."""
        self._graph.push(frame)
        yield from cast(Iterator[AudioFrame], _drain(self._graph))


def _chain(graph: Graph, source: FilterContext, steps: list[str]) -> None:
    for step in steps:
        name, _, args = step.partition("=")
        node = graph.add(name, args or None)
        source.link_to(node)
        source = node
    graph.configure()


def _drain(graph: Graph) -> Iterator[VideoFrame | AudioFrame]:
    with contextlib.suppress(NotYet, Ended):
        while True:
            yield graph.pull()


def decoded(box: InputContainer, video: VideoStream) -> Iterator[VideoFrame | AudioFrame]:
    """Yield frames of the picture and of the first sound track, times from the start of the clip, skipping damage.

    Raises Refused when the file is more damage than clip.
    """
    audio = box.streams.audio[0] if box.streams.audio else None
    tracks = [video, audio] if audio else [video]
    starts = [float(s.start_time * s.time_base) for s in tracks if s.start_time is not None and s.time_base is not None]
    zero_s = min(starts, default=0.0)
    end = (video.start_time or 0) + video.duration if video.duration else 0
    good = bad = 0
    video.codec_context.thread_type = "AUTO"
    video.codec_context.thread_count = 2
    packets = box.demux(tracks)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:
            packet = None  # the container breaks off here; `check_whole` judges how much is missing
        if packet is None:
            break
        try:
            frames = cast(list[VideoFrame | AudioFrame], packet.decode())
        except FFmpegError:
            bad += 1
            continue
        good += 1
        for frame in frames:
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(zero_s / frame.time_base)
                if end and isinstance(frame, VideoFrame):  # some phones give the last picture a duration beyond the end
                    frame.duration = max(0, min(frame.duration, end - frame.pts))
                yield frame
    if bad > good:
        raise Refused(f"This file is damaged: {bad} of {bad + good} packets do not decode.", field="file",
                      hint=EXPORT_AGAIN)


def written_rate(video: VideoStream) -> Fraction:
    """Choose the frames per second written: the source's own, within bounds."""
    own = Fraction(video.average_rate or video.guessed_rate or 25)
    return min(max(own, RATE_MIN), RATE_MAX).limit_denominator(1001)


def make(source: Path, out: Path) -> Made:
    """Transcode `source` into parts in `out`. Raises Refused with the reason if it cannot be shown."""
    box, video = open_source(source)
    rate = written_rate(video)
    picture: Picture | None = None
    sound: Sound | None = None
    writer: Writer | None = None
    looks = Looks(rate)
    early: list[AudioFrame] = []  # sound that came before the first picture

    def show(frames: Iterator[VideoFrame]) -> None:
        assert writer
        for frame in frames:
            looks.look(frame, writer.frames)
            writer.picture(frame)
            if writer.seconds > MEDIA_S_MAX + 1:
                too_long(writer.seconds)

    def hear(frames: Iterator[AudioFrame]) -> None:
        for frame in frames:
            looks.listen(frame)
            writer.sound(frame) if writer else early.append(frame)

    for frame in decoded(box, video):
        if isinstance(frame, VideoFrame):
            if picture is None:
                picture = Picture(frame, video, rate)
                writer = Writer(picture.size, rate, bool(box.streams.audio), QUALITY, FRAGMENTED)
                hear(iter(early))
            show(picture.push(frame))
        else:
            sound = sound or Sound(frame)
            hear(sound.push(frame))
    if picture is None or writer is None:
        raise Refused("No picture in this file can be decoded.", field="file", hint=EXPORT_AGAIN)
    show(picture.push(None))
    if sound:
        hear(sound.push(None))
    check_whole(box, video, writer.seconds)
    facts = looks.facts(writer.seconds, picture.size)
    facts.video_codec = video.codec_context.name
    facts.audio_codec = box.streams.audio[0].codec_context.name if box.streams.audio else ""
    return save(writer, looks.poster, facts, out)


def check_whole(box: InputContainer, video: VideoStream, seconds: float) -> None:
    """Refuse a file that breaks off: much less picture than its own header announces."""
    announced = float(video.duration * video.time_base) if video.duration and video.time_base else 0.0
    if announced and seconds < 0.8 * announced - 0.5:
        raise Refused(
            f"This file breaks off: it announces {announced:.1f} s and holds {seconds:.1f} s.", field="file",
            hint="send it again; if it happens again, export it again",
        )


def save(writer: Writer, poster: bytes, facts: Facts, out: Path) -> Made:
    """Cut what was written into parts in `out`."""
    init, segments = cut(writer.finish())
    frames = [min(writer.gop, writer.frames - first) for first in range(0, writer.frames, writer.gop)]
    assert len(frames) == len(segments), (frames, len(segments))
    (out / "init").write_bytes(init)
    (out / "poster").write_bytes(poster)
    for k, segment in enumerate(segments):
        (out / str(k)).write_bytes(segment)
    return Made(facts, [round(n / writer.rate * 1000) for n in frames], codecs_of(init))


def probe(source: Path) -> Facts:
    """Say what a file holds, from its headers alone. Raises Refused as `make` does."""
    box, video = open_source(source)
    context = video.codec_context
    return Facts(
        duration_ms=round((box.duration or 0) / av.time_base * 1000), width=context.width, height=context.height,
        silent=not box.streams.audio, video_codec=context.name,
        audio_codec=box.streams.audio[0].codec_context.name if box.streams.audio else "",
    )


def confine() -> None:
    """Take on the limits. From here on the kernel ends this process if it takes more."""
    for what, limit in ((resource.RLIMIT_CPU, PROCESSOR_S_MAX), (resource.RLIMIT_AS, MEMORY_MAX),
                        (resource.RLIMIT_FSIZE, FILE_MAX), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(what, (limit, limit))
    if sys.platform == "linux":  # a transcoder that is killed takes its child along; elsewhere PROCESSOR_S_MAX ends it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(5)  # viewers come first
    av_logging.set_level(av_logging.PANIC)


def main(source: Path, out: Path | None) -> Answer:
    """Do the work; every refusal becomes an answer, anything else ends the process with a trace."""
    confine()
    try:
        return Answer(facts=probe(source)) if out is None else Answer(made=make(source, out))
    except Refused as e:
        return Answer(refused=str(e), field=e.field, hint=e.hint)


if __name__ == "__main__":
    answer = main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    sys.stdout.buffer.write(msgspec.json.encode(answer))
