"""The drawn clips: as many, as different and as well-behaved as a first evening needs."""

import asyncio
import io
from itertools import pairwise
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest

from holdfast.adapters import media
from holdfast.core import policy
from holdfast.core.entries import Publication
from holdfast.core.errors import Refused
from holdfast.drills import import_clips
from holdfast.drills.clip_canvas import RATE, H, W
from holdfast.drills.clip_music import PIECES, tune
from holdfast.drills.clip_words import WORDS
from holdfast.drills.clips import DRAWN_BY, FRAMES_MAX, FRAMES_MIN, THEMES, ClipSpec, clip, draw

SPECS = [clip(k) for k in range(240)]


def test_two_hundred_and_forty_clips_that_can_be_told_apart_by_name() -> None:
    assert len({s.item for s in SPECS}) == len({s.caption for s in SPECS}) == 240
    assert len(THEMES) == 12 and set(THEMES) == set(WORDS) == set(PIECES)
    assert {s.theme for s in SPECS[:12]} == {s.theme for s in SPECS[12:24]} == set(THEMES)
    assert all(5 <= s.frames / RATE <= 8 for s in SPECS)
    assert clip(17) == SPECS[17], "clip k is always the same clip"


@pytest.mark.parametrize("s", SPECS, ids=lambda s: s.item)
def test_what_is_said_of_a_clip_passes_the_door_and_the_policy(s: ClipSpec) -> None:
    said = Publication(device="x", outbox=1, stamp=0, item=s.item, creator=s.creator, caption=s.caption, tags=s.tags)
    policy_says = policy.rule(said, {"checked": 1.0})
    assert s.tags[0] == s.theme and policy_says.verdict == "allow"
    assert msgspec.convert(msgspec.to_builtins(said), Publication) == said


def first_picture(k: int) -> np.ndarray:
    s = SPECS[k]
    return next(DRAWN_BY[s.theme](np.random.default_rng([s.seed, s.variant]), s.variant, FRAMES_MIN))


def test_covers_differ_plainly() -> None:
    """Eight covers of every theme, small: no two may look alike."""
    small = [first_picture(k)[::16, ::16].astype(np.float32) for k in range(96)]
    apart = [np.abs(a - b).mean() for i, a in enumerate(small) for b in small[:i]]
    assert min(apart) > 4.0, "of 255, mean over all points"


@pytest.mark.parametrize("theme", THEMES)
def test_a_theme_moves(theme: str) -> None:
    pictures = list(DRAWN_BY[theme](np.random.default_rng(3), 3, 24))
    assert len(pictures) == 24 and all(p.shape == (H, W, 3) and p.dtype == np.uint8 for p in pictures)
    steps = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(pictures)]
    assert 0.05 < np.mean(steps) < 25 and pictures[0].std() > 8


@pytest.mark.parametrize("theme", THEMES)
def test_a_theme_sounds_at_one_loudness(theme: str) -> None:
    wave = tune(theme, np.random.default_rng(3), 3, 5.0)
    assert wave.shape == (2, 5 * 48000) and wave.dtype == np.float32 and np.isfinite(wave).all()
    assert np.abs(wave).max() <= 0.9 and 0.05 < np.sqrt(np.mean(wave**2)) < 0.15


@pytest.mark.parametrize("k", [3, 11], ids=lambda k: SPECS[k].item)  # kelp; fireworks, which must not flash
def test_a_clip_goes_through_the_checks_like_any_other(tmp_path: Path, k: int) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(draw(SPECS[k]))
    with av.open(io.BytesIO(path.read_bytes())) as box:
        picture = box.streams.video[0]
        assert (picture.codec_context.width, picture.codec_context.height) == (360, 640) and box.streams.audio
    made = asyncio.run(media.transcode(path, tmp_path))
    facts = made.facts
    assert FRAMES_MIN / RATE <= facts.duration_ms / 1000 <= FRAMES_MAX / RATE
    assert not facts.silent and facts.black < 0.5 and facts.frozen < 0.5 and facts.flashes_per_s < 3
    assert (made.media.width, made.media.height) == (360, 640)


def test_drawing_again_gives_the_same_bytes() -> None:
    assert draw(SPECS[0]) == draw(SPECS[0])


def manifest(folder: Path, text: str) -> Path:
    (folder / "manifest.csv").write_text(text)
    return folder


def test_a_manifest_reads_with_what_it_has(tmp_path: Path) -> None:
    for name in ("a b.mp4", "c.webm"):
        (tmp_path / name).write_bytes(b"x")
    jobs = import_clips.read_manifest(manifest(tmp_path, (
        'file,category,caption,tags,licence\na b.mp4,animals,"Butterfly, resting",butterfly insect,CC0\nc.webm,,,,\n')))
    assert [(j.item, j.creator, j.caption, j.tags) for j in jobs] == [
        ("a-b", "animals", "Butterfly, resting", ["animals", "butterfly", "insect"]), ("c", "clips", "", [])]
    assert asyncio.run(jobs[0].make()) == b"x"


@pytest.mark.parametrize(("text", "says"), [
    ("", "names no clips"), ("name,caption\na.mp4,x\n", "names no clips"),
    ("file,caption\na.mp4,x\nmissing.mp4,y\n", "line 3"), ("file\n../outside.mp4\n", "line 2"),
    ("file\na.mp4\na.mp4\n", "second clip is called"),
])
def test_a_manifest_with_a_mistake_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"x")
    (tmp_path / "outside.mp4").write_bytes(b"x")
    with pytest.raises(Refused, match=says):
        import_clips.read_manifest(manifest(folder, text))
