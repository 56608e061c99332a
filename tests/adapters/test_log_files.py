"""Copies of the log server's files: made once, durable or not at all, bounded; a disk that fails does not stop us."""

import errno
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


def test_what_a_crash_left_is_removed_and_the_work_of_another_process_is_not(
    tmp_path: Path, blk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the disk is so full of it that no copy can be made: else it would stay so for ever."""
    left = [tmp_path / f"nats.before-{ns:020d}.part" for ns in (1, time.time_ns())]
    for part in left:
        (part / "jetstream").mkdir(parents=True)
    theirs = tmp_path / "nats.before-00000000000000000002.part"
    blk.write_bytes(b"x")
    script = f"import sys; from pathlib import Path; from holdfast.adapters.log_files import _locked\n" \
             f"with _locked(Path({str(theirs)!r})): print('locked', flush=True); sys.stdin.read()"  # fmt: skip
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout and other.stdout.readline() == b"locked\n"
        with monkeypatch.context() as full:
            full.setattr(log_files, "SPACE_LEFT_BYTES", 10**18)
            with pytest.raises(OSError, match="space"):
                keep_before(tmp_path / "nats")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["nats", theirs.name]
        made = keep_before(tmp_path / "nats")
        assert made and sorted(p.name for p in tmp_path.iterdir()) == ["nats", theirs.name, made.name]
        assert set_aside(tmp_path) == [made]
    finally:
        other.kill()
        other.communicate()
    assert keep_before(tmp_path / "nats") is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["nats", made.name], "its lock ended with it"


def test_a_folder_that_cannot_be_listed_hides_no_other(
    tmp_path: Path, blk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a failing disk: what is still there is copied and searched, and nothing falls over."""
    bad = Path(str(blk).replace("personal", "public")).parent
    bad.mkdir(parents=True)
    blk.write_bytes(b"x")
    real = os.scandir

    def scandir(path: os.PathLike[str] | str = ".") -> object:
        if Path(path) == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert dict(message_files(tmp_path / "nats")) == {STREAM: blk}
    made = keep_before(tmp_path / "nats")
    assert made and [name for name, _ in message_files(made)] == [STREAM]


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
