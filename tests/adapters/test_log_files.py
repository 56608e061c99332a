"""Copies of the log server's files: made once, durable or not at all, bounded; a disk that fails does not stop us."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast.adapters import log_files
from holdfast.adapters.log_files import keep_before, message_files, put_away, set_aside

STREAM = "HF_personal_eu-west_0123456789ab"


@pytest.fixture
def blk(tmp_path: Path) -> Path:
    path = tmp_path / "nats" / "jetstream" / "REGION" / "streams" / STREAM / "msgs" / "1.blk"
    path.parent.mkdir(parents=True)
    return path


def test_copies_are_made_once_and_bounded(tmp_path: Path, blk: Path) -> None:
    assert keep_before(tmp_path / "nats") is None and not set_aside(tmp_path)
    for k in range(20):
        blk.write_bytes(bytes([k]) * (1000 + k))
        assert keep_before(tmp_path / "nats") and keep_before(tmp_path / "nats") is None
    kept = [dict(message_files(place))[STREAM] for place in set_aside(tmp_path)]
    assert [log_files.read(path)[0] for path in kept] == [0, 17, 18, 19], "the first is the one before any damage"
    assert all(log_files.read(path) == bytes([k]) * (1000 + k) for path, k in zip(kept, (0, 17, 18, 19), strict=True))


def test_one_stream_alone_can_be_copied(tmp_path: Path, blk: Path) -> None:
    other = Path(str(blk).replace("personal", "public"))
    other.parent.mkdir(parents=True)
    blk.write_bytes(b"a")
    other.write_bytes(b"b")
    place = keep_before(tmp_path / "nats", STREAM)
    assert place and [name for name, _ in message_files(place)] == [STREAM]
    assert keep_before(tmp_path / "nats"), "that copy does not hold everything"


def test_a_copy_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, blk: Path) -> None:
    blk.write_bytes(bytes(100_000))
    script = f"from pathlib import Path; from holdfast.adapters.log_files import keep_before\n" \
             f"try: keep_before(Path({str(tmp_path / 'nats')!r}))\n" \
             f"except OSError as e: print('refused', e.errno)"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )  # fmt: skip
    assert done.stdout.startswith("refused")
    assert [p.name for p in tmp_path.iterdir()] == ["nats"]


def test_what_a_crash_left_is_removed_later_and_the_work_of_another_process_is_not(tmp_path: Path, blk: Path) -> None:
    old, new = (tmp_path / f"nats.before-{ns:020d}.part" for ns in (1, time.time_ns()))
    old.mkdir()
    new.mkdir()
    blk.write_bytes(b"x")
    (made,) = [keep_before(tmp_path / "nats")]
    assert made and sorted(p.name for p in tmp_path.iterdir()) == ["nats", *sorted([new.name, made.name])]
    assert set_aside(tmp_path) == [made]


def test_sectors_that_cannot_be_read_are_zeros(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)  # a directory gives an error on every read, as a bad sector does
    try:
        assert log_files._part(fd, 0, 10_000) == bytes(10_000)
    finally:
        os.close(fd)
    assert log_files.read(tmp_path / "absent") == b""


def test_of_whole_stores_that_were_searched_the_newest_is_kept(tmp_path: Path, blk: Path) -> None:
    blk.write_bytes(b"x")
    keep_before(tmp_path / "nats")
    for k in (1, 2):
        (tmp_path / f"nats.damaged-{k}").mkdir()
    put_away(set_aside(tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["nats", "nats.salvaged-2"]
