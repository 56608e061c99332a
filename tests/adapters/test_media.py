"""Clips of every kind in, HLS out, and plain words for what cannot be shown. Real files, a real sandbox."""

import asyncio
import contextlib
import io
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from holdfast.adapters import media
from holdfast.adapters.blobs import sha_of
from holdfast.adapters.media_cut import cut
from holdfast.core.errors import Broken, Refused
from patience import comes

SHARED = Path(__file__).parents[3] / "shared" / "clips"
Paint = Callable[[int], np.ndarray]


def moving(k: int, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    return np.stack([(3 * x + 5 * k) % 256, (2 * y + 7 * k) % 256, (x + y + k) % 256], -1).astype(np.uint8)


def film(
    path: Path, paint: Paint = moving, frames: int = 36, rate: int = 12, sound: str = "tone", codec: str = "libx264",
    form: str = "mp4", options: dict[str, str] | None = None,
) -> Path:
    """Write a small clip. `sound`: tone, hush (a silent track) or none."""
    with av.open(str(path), "w", format=form, options=options or {}) as box:
        first = paint(0)
        stream = box.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = first.shape[1], first.shape[0], "yuv420p"
        audio = box.add_stream("aac", rate=44100) if sound != "none" else None
        step = 44100 // rate
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(paint(k), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, rate)
            box.mux(stream.encode(frame))
            if audio:
                t = (np.arange(step) + k * step) / 44100
                wave = np.sin(2 * np.pi * 440 * t) * (0.3 if sound == "tone" else 0.0)
                heard = av.AudioFrame.from_ndarray(np.stack([wave, wave]).astype(np.float32), "fltp", "stereo")
                heard.sample_rate, heard.pts = 44100, k * step
                box.mux(audio.encode(heard))
        box.mux(stream.encode())
        if audio:
            box.mux(audio.encode())
    return path


def transcode(path: Path, scratch: Path) -> media.Made:
    return asyncio.run(media.transcode(path, scratch))


def refused(path: Path, scratch: Path) -> Refused:
    with pytest.raises(Refused) as caught:
        transcode(path, scratch)
    assert not list(scratch.glob("clip-*")), "the scratch folder is left clean"
    return caught.value


def check_playable(made: media.Made) -> Iterator[av.VideoFrame]:
    """Decode what a browser would be given: every part by its name, every segment from its first frame."""
    m = made.media
    assert set(made.parts) == {m.init, m.poster, *(sha for sha, _ in m.segments)}
    assert all(sha_of(data) == sha for sha, data in made.parts.items())
    frames = []
    for sha, ms in m.segments:
        with av.open(io.BytesIO(made.parts[m.init] + made.parts[sha])) as box:
            part = list(box.decode(video=0))
        assert part[0].key_frame and abs((part[-1].time - part[0].time) * 1000 - ms) < 120  # but for the last frame's
        frames += part
    assert sum(ms for _, ms in m.segments) == pytest.approx(made.facts.duration_ms, abs=3 * len(m.segments))
    assert (frames[0].width, frames[0].height) == (m.width, m.height) and m.width % 2 == m.height % 2 == 0
    assert made.parts[m.poster][:4] == b"RIFF" and made.parts[m.poster][8:12] == b"WEBP"
    return iter(frames)


def test_a_clip_becomes_segments_of_two_seconds(tmp_path: Path) -> None:
    made = transcode(film(tmp_path / "a.mp4", frames=60), tmp_path)
    list(check_playable(made))
    assert [ms for _, ms in made.media.segments] == [2000, 2000, 1000]
    assert made.media.codecs.startswith("avc1.") and made.media.codecs.endswith(",mp4a.40.2")
    facts = made.facts
    assert not facts.silent and facts.black == 0 and facts.frozen == 0 and facts.flashes_per_s < 3


def test_the_same_clip_twice_is_the_same_bytes(tmp_path: Path) -> None:
    clip = film(tmp_path / "a.mp4")
    assert transcode(clip, tmp_path).media == transcode(clip, tmp_path).media


def test_sound_keeps_time_with_the_picture(tmp_path: Path) -> None:
    """A beep begins with a white frame; both must come out together."""

    def paint(k: int) -> np.ndarray:
        return np.full((128, 96, 3), 235 if k >= 18 else 20, np.uint8)

    path = tmp_path / "beep.mp4"
    with av.open(str(path), "w") as box:
        stream, audio = box.add_stream("libx264", rate=12), box.add_stream("aac", rate=48000)
        stream.width, stream.height, stream.pix_fmt = 96, 128, "yuv420p"
        for k in range(36):
            frame = av.VideoFrame.from_ndarray(paint(k), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 12)
            box.mux(stream.encode(frame))
            t = (np.arange(4000) + k * 4000) / 48000
            wave = (np.sin(2 * np.pi * 800 * t) * 0.5 * (k >= 18)).astype(np.float32)
            heard = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
            heard.sample_rate, heard.pts = 48000, k * 4000
            box.mux(audio.encode(heard))
        box.mux(stream.encode())
        box.mux(audio.encode())
    made = transcode(path, tmp_path)
    whole = made.parts[made.media.init] + b"".join(made.parts[sha] for sha, _ in made.media.segments)
    with av.open(io.BytesIO(whole)) as box:
        white = next(f.time for f in box.decode(video=0) if f.to_ndarray(format="gray").mean() > 128)
    with av.open(io.BytesIO(whole)) as box:
        heard_at = next(f.time for f in box.decode(audio=0) if np.abs(f.to_ndarray()).max() > 0.1)
    assert white == pytest.approx(1.5, abs=0.1) and heard_at == pytest.approx(white, abs=0.06)


@pytest.mark.parametrize(("width", "height", "want"), [
    (97, 131, (96, 132)), (1280, 720, (960, 540)), (720, 1280, (540, 960)), (16, 16, (16, 16)),
])
def test_any_size_comes_out_even_and_not_larger_than_needed(tmp_path: Path, width: int, height: int, want) -> None:
    codec, size = "libvpx-vp9" if width % 2 else "libx264", (width, height)
    clip = film(tmp_path / "a.mkv", lambda k: moving(k, size), 12, codec=codec, form="matroska", sound="none")
    made = transcode(clip, tmp_path)
    list(check_playable(made))
    assert (made.media.width, made.media.height) in (want, (want[0] + 2, want[1]), (want[0], want[1] - 2))


def test_what_a_passer_by_would_say(tmp_path: Path) -> None:
    dark = film(tmp_path / "b.mp4", lambda k: np.zeros((128, 96, 3), np.uint8), sound="hush")
    black = transcode(dark, tmp_path).facts
    assert black.black == 1.0 and black.frozen == 1.0 and black.silent
    still = transcode(film(tmp_path / "s.mp4", lambda k: moving(0), sound="none"), tmp_path)
    assert still.facts.frozen == 1.0 and still.facts.black == 0.0 and still.media.silent
    assert "mp4a" not in still.media.codecs
    flash = film(tmp_path / "f.mp4", lambda k: np.full((128, 96, 3), 220 if k % 2 else 30, np.uint8))
    assert transcode(flash, tmp_path).facts.flashes_per_s == pytest.approx(6, abs=0.5)


def test_what_cannot_be_shown_is_refused_with_the_reason(tmp_path: Path) -> None:
    empty, text, noise = tmp_path / "empty.mp4", tmp_path / "text.mp4", tmp_path / "noise.mp4"
    empty.write_bytes(b"")
    text.write_text("this is not a video\n" * 50)
    noise.write_bytes(os.urandom(50_000))
    assert "empty" in str(refused(empty, tmp_path))
    for path in (text, noise):
        error = refused(path, tmp_path)
        assert "not a video we can read" in str(error) and error.hint
    sound_only = tmp_path / "sound.m4a"
    with av.open(str(sound_only), "w", format="mp4") as box:
        audio = box.add_stream("aac", rate=44100)
        heard = av.AudioFrame.from_ndarray(np.zeros((2, 44100), np.float32), "fltp", "stereo")
        heard.sample_rate = 44100
        box.mux(audio.encode(heard))
        box.mux(audio.encode())
    assert "found: audio only" in str(refused(sound_only, tmp_path))
    assert "no file" in str(refused(tmp_path / "absent.mp4", tmp_path))


def test_files_that_break_off_or_are_damaged(tmp_path: Path) -> None:
    whole = film(tmp_path / "w.mp4", frames=120, options={"movflags": "faststart"}).read_bytes()
    cut_short = tmp_path / "cut.mp4"
    cut_short.write_bytes(whole[: len(whole) // 2])
    assert "breaks off" in str(refused(cut_short, tmp_path))
    no_index = tmp_path / "noindex.mp4"  # the index of a plain MP4 stands at its end
    plain = film(tmp_path / "p.mp4", frames=120).read_bytes()
    no_index.write_bytes(plain[: len(plain) // 2])
    assert refused(no_index, tmp_path).hint
    riddled = bytearray(whole)
    for k in range(len(riddled) // 3, len(riddled), 50):
        riddled[k] ^= 0xFF
    path = tmp_path / "riddled.mp4"
    path.write_bytes(riddled)
    try:  # either answer is fine; a crash, a hang or an unplayable result is not
        list(check_playable(transcode(path, tmp_path)))
    except Refused as e:
        assert e.hint


def test_too_long_and_too_large(tmp_path: Path) -> None:
    def tiny(k: int) -> np.ndarray:
        return np.full((16, 16, 3), k % 256, np.uint8)

    said = film(tmp_path / "long.mp4", tiny, 190, rate=1, sound="none")
    assert "190 s long; we take up to 180 s" in str(refused(said, tmp_path))
    unsaid = tmp_path / "live.webm"  # a recording that never says how long it is, as browsers make them
    film(unsaid, tiny, 190, rate=1, sound="none", codec="libvpx", form="webm", options={"live": "1"})
    assert "we take up to 180 s" in str(refused(unsaid, tmp_path))
    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.truncate(media.UPLOAD_BYTES_MAX + 1)
    assert refused(large, tmp_path).code == "large"


@pytest.mark.parametrize("bait", [
    "ffconcat version 1.0\nfile {secret}\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n",
    "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>{secret}</BaseURL></MPD>",
], ids=["concat", "hls", "dash"])
def test_an_upload_cannot_make_us_read_another_file(tmp_path: Path, bait: str) -> None:
    secret = film(tmp_path / "secret.mp4")
    path = tmp_path / "bait.mp4"
    path.write_text(bait.format(secret=secret))
    refused(path, tmp_path)


def test_giving_up_ends_the_child(tmp_path: Path) -> None:
    still = moving(0, (1280, 720))
    clip = film(tmp_path / "a.mp4", lambda k: still, 300, sound="none")

    async def give_up() -> None:
        work = asyncio.create_task(media.transcode(clip, tmp_path))
        await comes(lambda: work.done() or _children_on(tmp_path), 30, step_s=0.02)
        assert not work.done()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    asyncio.run(give_up())
    assert not _children_on(tmp_path) and not list(tmp_path.glob("clip-*"))


def _children_on(folder: Path) -> list[str]:
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # processes come and go
            line = path.read_bytes()
            found += [line.decode()] if b"media_child" in line and str(folder).encode() in line else []
    return found


def test_the_child_takes_on_its_limits() -> None:
    import resource
    import subprocess
    import sys

    code = "from holdfast.adapters.media_child import confine; confine(); import resource; "
    code += "print(resource.getrlimit(resource.RLIMIT_CPU)[1], resource.getrlimit(resource.RLIMIT_AS)[1]); "
    code += "x = bytearray(8 << 30)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert child.stdout.split() == ["240", str(3 << 30)] and "MemoryError" in child.stderr
    assert resource.getrlimit(resource.RLIMIT_CPU)[1] != 240, "only the child is confined"


def test_probe_reads_headers(tmp_path: Path) -> None:
    facts = asyncio.run(media.probe(film(tmp_path / "a.mp4", frames=24)))
    assert (facts.width, facts.height, facts.video_codec, facts.audio_codec) == (96, 128, "h264", "aac")
    assert facts.duration_ms == pytest.approx(2000, abs=100)


def test_a_file_without_fragments_cannot_be_cut() -> None:
    with pytest.raises(Broken):
        cut(b"\x00\x00\x00\x08free")
    with pytest.raises(Broken):
        cut(b"\x00\x00\xff\xffmoov")


@pytest.mark.parametrize(("name", "width", "height"), [
    ("android_hdr10.mp4", 960, 540),  # HEVC, 10 bits, PQ
    ("android_motion_photo.mp4", 540, 720),  # HEVC, turned by 90°
    ("wm_av1_sdr.webm", 426, 240), ("electric_sheep.ogv", 400, 300), ("fingers.webm", 320, 240),
    ("roadtrip_vp9.webm", 426, 240), ("train.mov", 720, 540), ("asl_eat.mkv", 640, 480),
])
def test_clips_from_the_world(tmp_path: Path, name: str, width: int, height: int) -> None:
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared/clips is not here; these clips are not in the repository")
    made = transcode(SHARED / name, tmp_path)
    list(check_playable(made))
    assert (made.media.width, made.media.height) == (width, height)
