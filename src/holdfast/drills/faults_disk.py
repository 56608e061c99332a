"""Faults of disks: full, read-only, a bit turned over, a file cut short.

A full or read-only disk is the file system of the power cut (`fuse`), told to answer so; a real one answers the same
errno. It needs `/dev/fuse` and root. Damage to files is done while the region is down, since a log server serves what
it has written from its own memory, and would hide it.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from holdfast.core.errors import Refused
from holdfast.drills.drill_stage import Stage
from holdfast.drills.flip import flip_files

DOWN_S = 1.0  # between the kill and the damage: the files are closed
KEPT = 2 / 3  # of a truncated file
ERRNOS = {"full": errno.ENOSPC, "read-only": errno.EROFS}


@asynccontextmanager
async def disk_is(stage: Stage, region: str, state: str) -> AsyncIterator[None]:
    """A region's disk is `full` or `read-only`."""
    disk = stage.disks.get(region)
    if disk is None:
        raise Refused(f"the disk of {region} cannot be made {state}", field="fuse", hint="needs /dev/fuse and root")
    with stage.span(f"{region}: its disk is {state}"):
        await disk.refuse(ERRNOS[state])
        try:
            yield
        finally:
            await disk.refuse(0)


@asynccontextmanager
async def damaged(stage: Stage, region: str, harm: Callable[[Path], int], what: str) -> AsyncIterator[None]:
    """A region is killed, the files of its log server are harmed, and it starts."""
    s = stage.running()
    with stage.span(f"{region}: {what}"):
        s.cut(region, "refuse")
        try:
            await asyncio.sleep(DOWN_S)
            stage.more["files harmed"] = await asyncio.to_thread(harm, stage.folder(region) / "nats")
        finally:
            await s.restore(region)
        yield


def truncate_files(folder: Path) -> int:
    """Cut the end off every file that is not empty; return how many there were."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.stat().st_size]
    for path in files:
        with path.open("r+b") as f:
            f.truncate(int(path.stat().st_size * KEPT))
    return len(files)


def flipped(stage: Stage, region: str):
    """One bit turned over in each file."""
    return damaged(stage, region, flip_files, "one bit is turned over in every file of its log server")


def truncated(stage: Stage, region: str):
    """Every file cut short."""
    return damaged(stage, region, truncate_files, "every file of its log server is cut short by a third")
