"""A directory whose power can be cut: mount it, let programs write in it, and take away what they never fsynced.

    async with PowerDisk(region_directory) as disk:
        …                                    # programs read and write there
        lost = await disk.cut()              # first kill them (-9): a dead machine has no processes either

The file system runs in a process of its own, `python -m holdfast.drills.fuse`, so that it outlives what it holds, and
it ends (and unmounts) when its standard input does: also when the drill itself is killed. What is below is
`fuse_disk`; how the kernel is spoken to is `fuse_wire`.
"""

import argparse
import asyncio
import errno
import json
import os
import select
import shutil
import stat
import struct
import sys
import tempfile
from pathlib import Path
from types import TracebackType

import msgspec

from holdfast.core.errors import Broken, Refused
from holdfast.drills.fuse_disk import MODES, ROOT, Cut, Disk, Inode
from holdfast.drills.fuse_wire import (
    Attr,
    Channel,
    Handler,
    attr_out,
    cannot_mount,
    dirents,
    entry,
    open_out,
    statfs,
    unmount,
)

ANSWER_S = 60.0  # a cut copies every file of the durable image
SYNC_FLAGS = os.O_DSYNC | os.O_SYNC
TRUNC = os.O_TRUNC
NOREPLACE = 1
ADDING = (6, 8, 9, 16, 35)  # what a full disk refuses: symlink, mknod, mkdir, write, create
CHANGING = (*ADDING, 4, 10, 11, 12, 13, 20, 30, 45)  # and what else a read-only one does
SET_MODE, SET_UID, SET_GID, SET_SIZE, SET_ATIME, SET_MTIME, ATIME_NOW, MTIME_NOW = 1, 2, 4, 8, 16, 32, 128, 256
SETATTR = struct.Struct("<IIQQQQQQIIIIIIII")
READ_IN = struct.Struct("<QQIIQII")


class Files:
    """Requests of the kernel, each a method (node, body) → answer, on a Disk."""

    def __init__(self, disk: Disk, place: Path) -> None:
        self.disk, self._place = disk, place
        self._handles: dict[int, tuple[int, bool]] = {}  # handle -> (inode, whether each write is fsynced)
        self._last = 0
        self.refusal = 0  # ENOSPC: the disk is full; EROFS: it has become read-only; 0: neither
        self.owner: tuple[int, int] = (0, 0)
        handlers: dict[int, Handler] = {
            1: self.lookup, 3: self.getattr, 4: self.setattr, 5: self.readlink, 6: self.symlink, 8: self.mknod,
            9: self.mkdir, 10: self.unlink, 11: self.rmdir, 12: self.rename, 13: self.link, 14: self.open,
            15: self.read, 16: self.write, 17: self.statfs, 18: self.release, 20: self.fsync, 25: self.nothing,
            27: self.opendir, 28: self.readdir, 29: self.nothing, 30: self.fsyncdir, 35: self.create,
            45: self.rename2,
        }  # fmt: skip
        self.handlers = {op: self._guarded(op, handler) for op, handler in handlers.items()}

    def _guarded(self, op: int, handler: Handler) -> Handler:
        """The same, unless the disk is full or read-only."""
        refused = {errno.ENOSPC: op in ADDING, errno.EROFS: op in CHANGING}

        def guarded(node: int, body: memoryview) -> bytes | None:
            if refused.get(self.refusal):
                raise OSError(self.refusal, os.strerror(self.refusal))
            return handler(node, body)

        return guarded

    # -- names ---------------------------------------------------------------------------------------------------

    def lookup(self, node: int, body: memoryview) -> bytes:
        return entry(_attr(self.disk.find(node, _names(body)[0])))

    def readlink(self, node: int, body: memoryview) -> bytes:
        return os.fsencode(self.disk.inodes[node].target)

    def symlink(self, node: int, body: memoryview) -> bytes:
        name, target = _names(body)
        return entry(_attr(self.disk.make(node, name, stat.S_IFLNK | 0o777, self.owner, target)))

    def mknod(self, node: int, body: memoryview) -> bytes:
        mode, _, umask = struct.unpack_from("<III", body)
        if not stat.S_ISREG(mode):
            raise OSError(errno.EPERM, "mknod")
        return entry(_attr(self.disk.make(node, _names(body[16:])[0], mode & ~umask, self.owner)))

    def mkdir(self, node: int, body: memoryview) -> bytes:
        mode, umask = struct.unpack_from("<II", body)
        mode = stat.S_IFDIR | (mode & 0o7777 & ~umask)
        return entry(_attr(self.disk.make(node, _names(body[8:])[0], mode, self.owner)))

    def unlink(self, node: int, body: memoryview) -> None:
        self.disk.unlink(node, _names(body)[0])

    def rmdir(self, node: int, body: memoryview) -> None:
        self.disk.unlink(node, _names(body)[0])

    def rename(self, node: int, body: memoryview) -> None:
        self._rename(node, struct.unpack_from("<Q", body)[0], _names(body[8:]), keep=False)

    def rename2(self, node: int, body: memoryview) -> None:
        folder, flags = struct.unpack_from("<QI", body)
        if flags & ~NOREPLACE:
            raise OSError(errno.EINVAL, "rename")
        self._rename(node, folder, _names(body[16:]), keep=bool(flags & NOREPLACE))

    def _rename(self, node: int, folder: int, names: list[str], keep: bool) -> None:
        self.disk.rename((node, names[0]), (folder, names[1]), keep)

    def link(self, node: int, body: memoryview) -> bytes:
        return entry(_attr(self.disk.link(struct.unpack_from("<Q", body)[0], node, _names(body[8:])[0])))

    def opendir(self, node: int, body: memoryview) -> bytes:
        return open_out(0, keep_cache=False)

    def readdir(self, node: int, body: memoryview) -> bytes:
        _, offset, size, *_ = READ_IN.unpack_from(body)
        folder = self.disk.inodes[node]
        up = min(folder.names)[0] if folder.names else ROOT
        rows = [(node, ".", stat.S_IFDIR), (up, "..", stat.S_IFDIR)]
        rows += [(ino, name, self.disk.inodes[ino].mode) for name, ino in folder.entries.items()]
        return dirents(rows, offset, size)

    def fsyncdir(self, node: int, body: memoryview) -> None:
        self.disk.sync(node)

    # -- files ---------------------------------------------------------------------------------------------------

    def getattr(self, node: int, body: memoryview) -> bytes:
        return attr_out(_attr(self.disk.inodes[node]))

    def setattr(self, node: int, body: memoryview) -> bytes:
        valid, _, _, size, _, atime, mtime, _, atime_ns, mtime_ns, _, mode, _, uid, gid, _ = SETATTR.unpack_from(body)
        inode = self.disk.inodes[node]
        if valid & SET_SIZE:
            self.disk.truncate(node, size)
        if valid & SET_MODE:
            inode.mode = stat.S_IFMT(inode.mode) | (mode & 0o7777)
        if valid & SET_UID:
            inode.uid = uid
        if valid & SET_GID:
            inode.gid = gid
        if valid & SET_ATIME:
            inode.times[0] = atime * 1_000_000_000 + atime_ns
        if valid & SET_MTIME:
            inode.times[1] = mtime * 1_000_000_000 + mtime_ns
        return attr_out(_attr(inode))

    def open(self, node: int, body: memoryview) -> bytes:
        flags = struct.unpack_from("<I", body)[0]
        if flags & TRUNC:
            self.disk.truncate(node, 0)
        return open_out(self._handle(node, flags), keep_cache=True)

    def create(self, node: int, body: memoryview) -> bytes:
        flags, mode, umask = struct.unpack_from("<III", body)
        made = self.disk.make(node, _names(body[16:])[0], stat.S_IFREG | (mode & 0o7777 & ~umask), self.owner)
        return entry(_attr(made)) + open_out(self._handle(made.ino, flags), keep_cache=True)

    def _handle(self, ino: int, flags: int) -> int:
        self.disk.open(ino)
        self._last += 1
        self._handles[self._last] = (ino, bool(flags & SYNC_FLAGS))
        return self._last

    def read(self, node: int, body: memoryview) -> bytes:
        _, offset, size, *_ = READ_IN.unpack_from(body)
        return self.disk.read(node, offset, size)

    def write(self, node: int, body: memoryview) -> bytes:
        handle, offset, size, *_ = READ_IN.unpack_from(body)
        wrote = self.disk.write(node, offset, body[READ_IN.size : READ_IN.size + size])
        if self._handles.get(handle, (0, False))[1]:
            self.disk.sync(node)
        return struct.pack("<II", wrote, 0)

    def fsync(self, node: int, body: memoryview) -> None:
        self.disk.sync(node)

    def release(self, node: int, body: memoryview) -> None:
        if self._handles.pop(struct.unpack_from("<Q", body)[0], None):
            self.disk.close(node)

    def statfs(self, node: int, body: memoryview) -> bytes:
        return statfs(self._place, full=self.refusal == errno.ENOSPC)

    def nothing(self, node: int, body: memoryview) -> None:
        """A request that asks for nothing (flush: closing is not fsync)."""


def _attr(i: Inode) -> Attr:
    times = (i.times[0], i.times[1], i.times[2])
    return Attr(i.ino, i.mode, i.size, 2 if i.is_dir else len(i.names), i.uid, i.gid, times)


def _names(body: memoryview) -> list[str]:
    """The zero-terminated names at the end of a request."""
    return [os.fsdecode(part) for part in bytes(body).split(b"\0")[:-1]]


# -- the process -------------------------------------------------------------------------------------------------------


def serve(place: Path, store: Path, names: str) -> None:
    """Serve `place` until standard input ends; each line there is an order, answered by a line."""
    disk = Disk(store, names)
    files = Files(disk, store)
    channel = Channel(place, files)
    try:
        _say({"mounted": str(place)})
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(channel.fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == 0:
                    line = sys.stdin.buffer.readline()
                    if not line:
                        return
                    order = json.loads(line)
                    if "refusal" in order:
                        files.refusal = order["refusal"]
                        _say({})
                        continue
                    poll.unregister(channel.fd)
                    channel.close()  # the power is gone: no answer to anyone from here on
                    lost = disk.cut(order["torn"])
                    files = Files(disk, store)
                    channel = Channel(place, files)
                    poll.register(channel.fd, select.POLLIN)
                    _say(msgspec.to_builtins(lost))
                elif not channel.serve_one():
                    return
    finally:
        unmount(place)


def _say(line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class PowerDisk:
    """A mount at `place` (an empty directory, or one that will be made). Raises Refused where none can be made."""

    def __init__(self, place: Path, names: str = "fsynced") -> None:
        self.place, self.names = place, names
        self._process: asyncio.subprocess.Process | None = None
        self._store: Path | None = None

    async def __aenter__(self) -> "PowerDisk":
        if why := cannot_mount():
            raise Refused(why, field="fuse", hint="this drill is skipped where /dev/fuse cannot be used")
        self.place.mkdir(parents=True, exist_ok=True)
        self._store = Path(tempfile.mkdtemp(prefix="holdfast-disk-"))
        argv = [sys.executable, "-m", "holdfast.drills.fuse", str(self.place), str(self._store), "--names", self.names]
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, process_group=0)
        await self._answer()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process and self._process.stdin and self._store
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), ANSWER_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        unmount(self.place)
        shutil.rmtree(self._store, ignore_errors=True)

    async def cut(self, torn: int | None = None) -> Cut:
        """Cut the power and give it back; whoever wrote there must have been killed. → what was lost."""
        assert self._process and self._process.stdin
        self._process.stdin.write(json.dumps({"torn": torn}).encode() + b"\n")
        return msgspec.convert(await self._answer(), Cut)

    async def refuse(self, number: int) -> None:
        """Answer what would change the disk with this errno from now on: ENOSPC, EROFS; 0: with success again."""
        assert self._process and self._process.stdin
        self._process.stdin.write(json.dumps({"refusal": number}).encode() + b"\n")
        await self._answer()

    async def _answer(self) -> object:
        assert self._process and self._process.stdout
        line = await asyncio.wait_for(self._process.stdout.readline(), ANSWER_S)
        if not line:
            raise Broken(f"the file system at {self.place} ended")
        return json.loads(line)


def main() -> None:
    """The file system's process: PLACE STORE [--names MODE]."""
    words = argparse.ArgumentParser(prog="holdfast.drills.fuse")
    words.add_argument("place", type=Path)
    words.add_argument("store", type=Path)
    words.add_argument("--names", choices=MODES, default=MODES[0])
    args = words.parse_args()
    serve(args.place, args.store, args.names)


if __name__ == "__main__":
    main()
