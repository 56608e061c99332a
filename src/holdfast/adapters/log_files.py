"""The log server's files, kept as they were before it touches them.

A log server that starts over a damaged file cuts it off at the damage (measured: one flipped bit in the middle of 30
messages, and the file has 15), and it hides a stream whose metafile is damaged until someone makes it anew and thereby
wipes it. So its message files are copied before each of its starts, and the keeper looks for blocks in the copies
(`region/keeper_salvage`). A copy goes away once the keeper has read everything and found nothing wanting.

    nats.before-<ns>/      a copy made before a start; only message files
    nats.damaged-<s>/      a whole store that the log server could not read, set aside by the supervisor
    nats.salvaged-<s>/     the last of those, searched already: kept for people

A sector that cannot be read is copied as zeros, and a folder that cannot be listed or a file that cannot be opened is
passed over: neither a copy nor a search fails for what the disk lost.
"""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

from holdfast.adapters.system import make_durable

STREAMS, MESSAGES = "HF_*", ".blk"  # chains; what others keep on this server is not ours to copy
BEFORE, DAMAGED, SALVAGED, PART = "nats.before-", "nats.damaged-", "nats.salvaged-", ".part"
COPIES_MAX = 4  # of a log server that dies again and again while the keeper cannot recover
SPACE_LEFT_BYTES = 100_000_000  # a copy must not be what fills the disk
CHUNK = 1_000_000
SECTOR = 4096


def keep_before(store: Path, only: str = STREAMS) -> Path | None:
    """Copy the message files of a store that is about to be started, or of one stream folder; durable on return.

    Returns the copy, None if the newest one holds everything already. Raises OSError on a full disk.
    """
    region = store.parent
    _remove_parts(region)  # before the space is looked at: crashes in a row may have left the disk full of them
    files = {p: stat for name, p in message_files(store) if fnmatchcase(name, only) and (stat := _stat(p))}
    if not any(s.st_size for s in files.values()):
        return None
    copies = set_aside(region, BEFORE)
    if copies and all(_same(copies[-1] / p.relative_to(store), s) for p, s in files.items()):
        return None
    if shutil.disk_usage(region).free < sum(s.st_size for s in files.values()) + SPACE_LEFT_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    whole = region / f"{BEFORE}{time.time_ns():020d}"
    part = region / f"{whole.name}{PART}"
    try:
        with _locked(part):
            for path, stat in files.items():
                target = part / path.relative_to(store)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(read(path))
                os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            for path in [*part.rglob("*"), part]:  # after all were written: then one commit of the disk serves many
                make_durable(path)
            part.rename(whole)  # a crash before this leaves a part, which a later copy removes
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    make_durable(region)
    for old in copies[1:][: max(0, len(copies) + 1 - COPIES_MAX)]:
        shutil.rmtree(old, ignore_errors=True)  # never the first: it is the one before any cutting off
    return whole


def set_aside(region: Path, *kinds: str) -> list[Path]:
    """What lies aside of these kinds (default: all that has not been searched), oldest first."""
    found = (p for kind in kinds or (BEFORE, DAMAGED) for p in region.glob(f"{kind}*") if not p.name.endswith(PART))
    return sorted(found, key=lambda p: (p.name.rsplit("-", 1)[0], p.name))


def message_files(place: Path) -> Iterator[tuple[str, Path]]:
    """Every message file below `place`, with the name of its stream."""
    for folder, _, names in sorted(os.walk(place)):  # which passes over what it cannot list
        path = Path(folder)
        if path.name == "msgs":
            yield from ((path.parent.name, path / name) for name in sorted(names) if name.endswith(MESSAGES))


def read(path: Path) -> bytes:
    """Read a file, sectors that cannot be read as zeros; one that is gone or cannot be opened as empty."""
    try:
        return b"".join(_chunks(path))
    except OSError:
        return b""


def put_away(places: list[Path]) -> None:
    """Remove copies that have been searched; of whole stores keep the newest, under another name."""
    for place in places:
        if place.name.startswith(DAMAGED):
            for old in set_aside(place.parent, SALVAGED):
                shutil.rmtree(old, ignore_errors=True)
            with suppress(OSError):
                place.rename(place.with_name(SALVAGED + place.name.removeprefix(DAMAGED)))
        else:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Make a folder that says, by a lock which ends with the process, that somebody works on it."""
    part.mkdir()
    fd = os.open(part, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _remove_parts(region: Path) -> None:
    """Remove what crashes left of copies that nobody works on any more."""
    for part in region.glob(f"{BEFORE}*{PART}"):
        with suppress(OSError):
            fd = os.open(part, os.O_RDONLY)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(part, ignore_errors=True)
            finally:
                os.close(fd)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _same(copy: Path, stat: os.stat_result) -> bool:
    held = _stat(copy)
    return held is not None and (held.st_size, held.st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as f:
        size = os.fstat(f.fileno()).st_size
        for at in range(0, size, CHUNK):
            yield _part(f.fileno(), at, min(CHUNK, size - at))


def _part(fd: int, at: int, size: int) -> bytes:
    """Read `size` bytes at offset `at`; what cannot be read, sector by sector, is zeros."""
    try:
        data = os.pread(fd, size, at)
    except OSError:
        if size <= SECTOR:
            return bytes(size)
        return b"".join(_part(fd, k, min(SECTOR, at + size - k)) for k in range(at, at + size, SECTOR))
    return data + bytes(size - len(data))
