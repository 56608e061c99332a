"""The log server's files, kept as they were before it touches them.

A log server that starts over a damaged file cuts it off at the damage (measured: one flipped bit in the middle of 30
messages, and the file has 15), and it hides a stream whose metafile is damaged until someone makes it anew and thereby
wipes it. So its message files are copied before each of its starts, and the keeper looks for blocks in the copies
(`region/keeper_salvage`). A copy goes away once the keeper has read everything and found nothing wanting.

    nats.before-<ns>/      a copy made before a start; only message files
    nats.damaged-<s>/      a whole store that the log server could not read, set aside by the supervisor
    nats.salvaged-<s>/     the last of those, searched already: kept for people

A sector that cannot be read is copied as zeros: a copy never fails for what the disk lost.
"""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from holdfast.adapters.system import make_durable

STREAMS, MESSAGES = "HF_*", "*.blk"  # chains; what others keep on this server is not ours to copy
BEFORE, DAMAGED, SALVAGED = "nats.before-", "nats.damaged-", "nats.salvaged-"
COPIES_MAX = 4  # of a log server that dies again and again while the keeper cannot recover
SPACE_LEFT_BYTES = 100_000_000  # a copy must not be what fills the disk
PART_NS_MAX = 3600 * 1_000_000_000  # a part this old is nobody's work any more
CHUNK = 1_000_000
SECTOR = 4096


def keep_before(store: Path, only: str = STREAMS) -> Path | None:
    """Copy the message files of a store that is about to be started, or of one stream folder; durable on return.

    Returns the copy, None if the newest one holds everything already. Raises OSError on a full disk.
    """
    region = store.parent
    files = {p: p.stat() for p in sorted(store.rglob(f"{only}/msgs/{MESSAGES}")) if p.is_file()}
    if not any(s.st_size for s in files.values()):
        return None
    copies = set_aside(region, BEFORE)
    if copies and all(_same(copies[-1] / p.relative_to(store), s) for p, s in files.items()):
        return None
    if shutil.disk_usage(region).free < sum(s.st_size for s in files.values()) + SPACE_LEFT_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    now_ns = time.time_ns()
    whole = region / f"{BEFORE}{now_ns:020d}"
    part = region / f"{whole.name}.part"
    try:
        for path, stat in files.items():
            target = part / path.relative_to(store)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as f:
                f.writelines(_chunks(path))
            os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        for path in [*part.rglob("*"), part]:  # after all were written: then one commit of the disk serves many
            make_durable(path)
        part.rename(whole)  # a crash before this leaves a part, which a later copy removes
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    make_durable(region)
    left = [p for p in region.glob(f"{BEFORE}*.part") if p.name < f"{BEFORE}{now_ns - PART_NS_MAX:020d}"]
    for old in [*copies[1:][: max(0, len(copies) + 1 - COPIES_MAX)], *left]:
        shutil.rmtree(old, ignore_errors=True)  # never the first: it is the one before any cutting off
    return whole


def set_aside(region: Path, *kinds: str) -> list[Path]:
    """What lies aside of these kinds (default: all that has not been searched), oldest first."""
    found = (p for kind in kinds or (BEFORE, DAMAGED) for p in region.glob(f"{kind}*") if not p.name.endswith(".part"))
    return sorted(found, key=lambda p: (p.name.rsplit("-", 1)[0], p.name))


def message_files(place: Path) -> Iterator[tuple[str, Path]]:
    """Every message file below `place`, newest file first, with the name of its stream."""
    for path in sorted(place.rglob(f"msgs/{MESSAGES}"), reverse=True):
        yield path.parent.parent.name, path


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


def _same(copy: Path, stat: os.stat_result) -> bool:
    try:
        held = copy.stat()
    except OSError:
        return False
    return (held.st_size, held.st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


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
