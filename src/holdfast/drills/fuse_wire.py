"""The kernel's side of a file system in user space: mounting, reading requests, answering them.

The protocol is spoken directly (linux/fuse.h, version 7.31), so nothing needs installing: no libfuse, no compiler.
Mounting needs /dev/fuse and the right to mount (root, or CAP_SYS_ADMIN). One request at a time; a handler is a plain
function of (node, body) that returns the answer's body or raises OSError.

Only what a database, a log server and an object store ask for is here: no device files, extended attributes, `flock` or
POSIX locks across machines (the kernel keeps both itself), no O_TMPFILE. Shared memory maps work: the kernel's page
cache serves them, and their dirty pages arrive as writes. Writes are not held back by the kernel (no writeback cache),
so the order in which programs write is the order in which we see it.
"""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from holdfast.core.errors import Refused

DEVICE = Path("/dev/fuse")
WRITE_MAX = 1 << 20
BUFFER = WRITE_MAX + 4096
MINOR = 31
VALID_S = 3600  # names and attributes may be cached: nobody but this kernel changes them
DETACH = 2  # umount2: at once, whoever still holds a file
# INIT flags that we take if offered: reads side by side, truncation with open, large writes, look-ups side by side,
# more than 32 pages a request
FLAGS = (1 << 0) | (1 << 3) | (1 << 5) | (1 << 18) | (1 << 22)

FORGET, BATCH_FORGET, INTERRUPT, INIT, DESTROY = 2, 42, 36, 26, 38
IN_HEADER, OUT_HEADER = struct.Struct("<IIQQIIII"), struct.Struct("<IiQ")
ATTR = struct.Struct("<6Q10I")
ENTRY = struct.Struct("<4Q2I")  # then ATTR
ATTR_OUT = struct.Struct("<QII")  # then ATTR
OPEN_OUT = struct.Struct("<QII")
INIT_OUT = struct.Struct("<IIIIHHIIHHI7I")
STATFS = struct.Struct("<5Q4I6I")
DIRENT = struct.Struct("<QQII")

Handler = Callable[[int, memoryview], "bytes | None"]


class Answers(Protocol):
    """Who answers requests: a handler for each kind; `owner` is set to the asker's (user, group) before."""

    handlers: dict[int, Handler]
    owner: tuple[int, int]


class Attr(NamedTuple):
    """What stat(2) tells. `times`: access, change of bytes, change, in ns."""

    ino: int
    mode: int
    size: int
    nlink: int
    uid: int
    gid: int
    times: tuple[int, int, int]


def attr(a: Attr) -> bytes:
    """Pack attributes."""
    seconds = [t // 1_000_000_000 for t in a.times]
    rest = [t % 1_000_000_000 for t in a.times]
    return ATTR.pack(a.ino, a.size, -(-a.size // 512), *seconds, *rest, a.mode, a.nlink, a.uid, a.gid, 0, 4096, 0)


def entry(a: Attr) -> bytes:
    """Pack the answer to a look-up."""
    return ENTRY.pack(a.ino, 0, VALID_S, VALID_S, 0, 0) + attr(a)


def attr_out(a: Attr) -> bytes:
    """Pack the answer to GETATTR and SETATTR."""
    return ATTR_OUT.pack(VALID_S, 0, 0) + attr(a)


def open_out(handle: int, keep_cache: bool) -> bytes:
    """Pack the answer to an opening; with `keep_cache` the kernel's cached pages of the file stay good."""
    return OPEN_OUT.pack(handle, 2 if keep_cache else 0, 0)


def dirents(rows: list[tuple[int, str, int]], offset: int, size: int) -> bytes:
    """Pack directory rows (inode, name, mode) from number `offset` on, at most `size` bytes."""
    out = bytearray()
    for k, (ino, name, mode) in enumerate(rows[offset:], offset + 1):
        data = os.fsencode(name)
        row = DIRENT.pack(ino, k, len(data), stat.S_IFMT(mode) >> 12) + data
        row += bytes(-len(row) % 8)
        if len(out) + len(row) > size:
            break
        out += row
    return bytes(out)


def statfs(place: Path, *, full: bool = False) -> bytes:
    """Pack what statvfs says of the disk below; `full`: with nothing free."""
    s = os.statvfs(place)
    free = (0, 0) if full else (s.f_bfree, s.f_bavail)
    return STATFS.pack(s.f_blocks, *free, s.f_files, s.f_ffree, s.f_bsize, 255, s.f_frsize, 0, *[0] * 6)


def cannot_mount() -> str:
    """Say in one line why no such file system can be mounted here; empty if it can."""
    if not DEVICE.exists():
        return f"{DEVICE} is missing: load the kernel's fuse module, or give the container that device"
    try:
        os.close(os.open(DEVICE, os.O_RDWR))
    except OSError as e:
        return f"{DEVICE} cannot be opened ({e.strerror}): run as root"
    if os.geteuid():
        return "mounting needs root"
    return ""


class Channel:
    """One mount. Raises Refused if it cannot be made."""

    def __init__(self, place: Path, answers: Answers) -> None:
        self.place, self._answers = place, answers
        self.fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
        libc = ctypes.CDLL(None, use_errno=True)
        source, kind = b"holdfast-drill", b"fuse.holdfast"
        if libc.mount(source, os.fsencode(place), kind, 0x6, options.encode()):  # nosuid, nodev
            why = os.strerror(ctypes.get_errno())
            os.close(self.fd)
            raise Refused(f"{place} cannot be mounted: {why}", field="fuse", hint="it needs root and /dev/fuse")
        self._buffer = bytearray(BUFFER)

    def close(self) -> None:
        """Take the mount away; whoever still holds a file in it gets errors."""
        unmount(self.place)
        os.close(self.fd)

    def serve_one(self) -> bool:
        """Answer one request; False once the mount is gone."""
        try:
            size = os.readv(self.fd, [self._buffer])
        except OSError as e:
            return e.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN)  # the asker gave up
        _, code, unique, node, user, group, _, _ = IN_HEADER.unpack_from(self._buffer)
        body = memoryview(self._buffer)[IN_HEADER.size : size]
        if code == INIT:
            self._answer(unique, 0, self._init(body))
        elif code in (FORGET, BATCH_FORGET, INTERRUPT):
            pass  # inode numbers are never used twice, so nothing hangs on the kernel's count; none is to be answered
        elif code == DESTROY:
            return False
        elif (handler := self._answers.handlers.get(code)) is None:
            self._answer(unique, -errno.ENOSYS, b"")
        else:
            self._answers.owner = (user, group)
            try:
                self._answer(unique, 0, handler(node, body) or b"")
            except OSError as e:
                self._answer(unique, -(e.errno or errno.EIO), b"")
            except KeyError:  # a node that a cut has taken
                self._answer(unique, -errno.ESTALE, b"")
        return True

    def _init(self, body: memoryview) -> bytes:
        _, minor, ahead, flags = struct.unpack_from("<IIII", body)
        pages = WRITE_MAX // 4096
        return INIT_OUT.pack(7, min(minor, MINOR), ahead, flags & FLAGS, 64, 48, WRITE_MAX, 1, pages, 0, 0, *[0] * 7)

    def _answer(self, unique: int, error: int, body: bytes) -> None:
        try:
            os.writev(self.fd, [OUT_HEADER.pack(OUT_HEADER.size + len(body), error, unique), body])
        except OSError as e:
            if e.errno != errno.ENOENT:  # the asker was killed meanwhile
                raise


def unmount(place: Path) -> None:
    """Take away whatever is mounted there; harmless if nothing is."""
    ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(place), DETACH)
