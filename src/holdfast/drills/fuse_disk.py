"""A disk that forgets what was never fsynced: of every file and directory there are two images, and a cut keeps one.

A kill leaves everything that was written in the kernel's memory, so it proves nothing about power. Here each file has
a *volatile* image, which readers and writers see, and a *durable* one, which only fsync moves forward. `cut` throws
the volatile images away. The same for directories, where systems differ; so what a name needs is a mode, and stated:

| mode | a name (create, rename, unlink) survives a cut |
|---|---|
| `fsynced` | once its directory, or the file that bears it, was fsynced since; the folders above with it. Ext4, XFS and Btrfs keep at least this, and NATS relies on it |
| `strict` | only once its directory was fsynced, and every folder above in its own parent: what POSIX promises |
| `eager` | always, fsynced or not, while the bytes are still lost: a rename overtakes the data, as on a disk that reorders |

A rename is one change: it survives at both ends or at neither. Truncation counts as writing. Permissions and times
survive always: nothing here depends on them. With `torn`, a seeded prefix of each file's unsynced pages survives too.

Nothing here is really synced to a real disk, and needs not to be: power is not really lost. Idea of the two images:
LazyFS (Ramos et al., "When Amnesia Strikes", VLDB 2024).
"""  # noqa: E501 (the table)

import errno
import os
import random
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MODES = ("fsynced", "strict", "eager")
PAGE = 4096
CHUNK = 1 << 20
ROOT = 1
WORST = 8  # files named in a report
RANGES_MAX = 10_000  # of one file that is written here and there and never fsynced (SQLite's shared memory)


@dataclass(slots=True, eq=False)
class Inode:
    """A file, directory or symbolic link. `names`, `kept_names`: its (directory, name) pairs, volatile and durable."""

    ino: int
    mode: int
    uid: int = 0
    gid: int = 0
    times: list[int] = field(default_factory=lambda: [time.time_ns()] * 3)  # access, change of bytes, change; ns
    size: int = 0
    target: str = ""  # of a symbolic link
    entries: dict[str, int] = field(default_factory=dict[str, int])  # of a directory
    kept: dict[str, int] = field(default_factory=dict[str, int])  # the same, durable
    names: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])
    kept_names: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])
    dirty: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # [from, to) in order of writing
    floor: int = 0  # smallest size since the last fsync: durable bytes beyond it are not of this file any more
    kept_size: int = 0
    opens: int = 0
    fd: int = -1  # of the volatile image, while it is open

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def unsynced(self) -> bool:
        """Whether a cut would take bytes from it."""
        return bool(self.dirty) or self.size != self.kept_size or self.floor < self.kept_size


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut took: files that lost bytes, how many bytes, names gone and names come back, pages that survived torn.
    `worst` names files and what they lost."""

    files: int
    lost_bytes: int
    names_gone: int
    names_back: int
    torn_pages: int
    worst: dict[str, int]


class Disk:
    """The two images, as files below `store` (which must be empty) and trees in memory. Raises OSError like a disk."""

    def __init__(self, store: Path, names: str = "fsynced") -> None:
        assert names in MODES, names
        self.names = names
        self._volatile, self._durable = store / "volatile", store / "durable"
        for place in (self._volatile, self._durable):
            place.mkdir(parents=True)
        self._last = ROOT
        self.inodes = {ROOT: Inode(ROOT, stat.S_IFDIR | 0o755)}

    # -- names ---------------------------------------------------------------------------------------------------

    def find(self, folder: int, name: str) -> Inode:
        """Look a name up. Raises OSError (ENOENT)."""
        ino = self._folder(folder).entries.get(name)
        if ino is None:
            raise OSError(errno.ENOENT, name)
        return self.inodes[ino]

    def make(self, folder: int, name: str, mode: int, owner: tuple[int, int] = (0, 0), target: str = "") -> Inode:
        """Create a file, directory or link. Raises OSError (EEXIST)."""
        if name in self._folder(folder).entries:
            raise OSError(errno.EEXIST, name)
        self._last += 1
        made = self.inodes[self._last] = Inode(self._last, mode, *owner, target=target, size=len(target.encode()))
        if made.is_file:
            (self._volatile / str(made.ino)).touch()
        self._link(folder, name, made)
        return made

    def link(self, ino: int, folder: int, name: str) -> Inode:
        """Give a file one more name. Raises OSError (EEXIST, EPERM)."""
        inode = self.inodes[ino]
        if inode.is_dir:
            raise OSError(errno.EPERM, name)
        if name in self._folder(folder).entries:
            raise OSError(errno.EEXIST, name)
        self._link(folder, name, inode)
        return inode

    def unlink(self, folder: int, name: str) -> None:
        """Take a name away; of a directory only if it is empty (ENOTEMPTY)."""
        inode = self.find(folder, name)
        if inode.entries:
            raise OSError(errno.ENOTEMPTY, name)
        self._unlink(folder, name, inode)
        self._forget(inode)

    def rename(self, old: tuple[int, str], new: tuple[int, str], keep: bool = False) -> None:
        """Rename, over what bears the new name unless `keep` (EEXIST)."""
        inode, over = self.find(*old), self._folder(new[0]).entries.get(new[1])
        if over == inode.ino:
            return
        if over is not None:
            if keep:
                raise OSError(errno.EEXIST, new[1])
            replaced = self.inodes[over]
            if replaced.is_dir != inode.is_dir:
                raise OSError(errno.EISDIR if replaced.is_dir else errno.ENOTDIR, new[1])
            self.unlink(*new)
        self._unlink(*old, inode)
        self._link(*new, inode)

    def _folder(self, ino: int) -> Inode:
        folder = self.inodes.get(ino)
        if folder is None or not folder.is_dir:
            raise OSError(errno.ENOTDIR, str(ino))
        return folder

    def _link(self, folder: int, name: str, inode: Inode) -> None:
        self.inodes[folder].entries[name] = inode.ino
        inode.names.add((folder, name))
        self._touch(folder)

    def _unlink(self, folder: int, name: str, inode: Inode) -> None:
        del self.inodes[folder].entries[name]
        inode.names.discard((folder, name))
        self._touch(folder)

    def _touch(self, ino: int) -> None:
        times = self.inodes[ino].times
        times[1] = times[2] = time.time_ns()

    def _forget(self, inode: Inode) -> None:
        """Drop what neither image nor any open handle holds any more."""
        if inode.names or inode.opens:
            return
        if inode.fd >= 0:
            os.close(inode.fd)
            inode.fd = -1
        (self._volatile / str(inode.ino)).unlink(missing_ok=True)
        if not inode.kept_names and inode.ino != ROOT:
            (self._durable / str(inode.ino)).unlink(missing_ok=True)
            self.inodes.pop(inode.ino, None)

    # -- bytes ---------------------------------------------------------------------------------------------------

    def open(self, ino: int) -> None:
        """Count a handle; the file lives until the last one closes, names or not."""
        self.inodes[ino].opens += 1

    def close(self, ino: int) -> None:
        """Uncount a handle."""
        inode = self.inodes[ino]
        inode.opens -= 1
        if not inode.opens and inode.fd >= 0:
            os.close(inode.fd)
            inode.fd = -1
        self._forget(inode)

    def read(self, ino: int, offset: int, size: int) -> bytes:
        """Read the volatile image."""
        return os.pread(self._fd(self.inodes[ino]), size, offset)

    def write(self, ino: int, offset: int, data: bytes | memoryview) -> int:
        """Write the volatile image."""
        inode = self.inodes[ino]
        wrote = os.pwrite(self._fd(inode), data, offset)
        end = offset + wrote
        if inode.dirty and inode.dirty[-1][1] == offset:
            inode.dirty[-1] = (inode.dirty[-1][0], end)
        else:
            inode.dirty.append((offset, end))
            if len(inode.dirty) > RANGES_MAX:
                inode.dirty = _merged(inode.dirty)
        inode.size = max(inode.size, end)
        inode.times[1] = inode.times[2] = time.time_ns()
        return wrote

    def truncate(self, ino: int, size: int) -> None:
        """Cut or extend (with zeros) the volatile image."""
        inode = self.inodes[ino]
        os.ftruncate(self._fd(inode), size)
        inode.size, inode.floor = size, min(inode.floor, size)
        inode.times[1] = inode.times[2] = time.time_ns()

    def _fd(self, inode: Inode) -> int:
        if inode.fd < 0:
            inode.fd = os.open(self._volatile / str(inode.ino), os.O_RDWR)
        return inode.fd

    # -- fsync ---------------------------------------------------------------------------------------------------

    def sync(self, ino: int) -> None:
        """Fsync: a file's bytes, or a directory's names."""
        inode = self.inodes[ino]
        if inode.is_dir:
            for child in {*inode.entries.values(), *inode.kept.values()}:
                if child in self.inodes:  # not replaced by one before it, and gone
                    self._keep_names(self.inodes[child])
        else:
            self._keep_bytes(inode, inode.dirty, inode.size)
            inode.dirty, inode.floor = [], inode.size
        if self.names != "strict":
            self._keep_names(inode)

    def _keep_bytes(self, inode: Inode, ranges: list[tuple[int, int]], size: int) -> None:
        if not inode.is_file or not (inode.unsynced or not inode.kept_names):
            return
        fd = os.open(self._durable / str(inode.ino), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(fd, min(inode.floor, inode.kept_size))
            os.ftruncate(fd, size)
            for first, end in ranges:
                at = first
                while at < min(end, size):
                    data = os.pread(self._fd(inode), min(CHUNK, min(end, size) - at), at)
                    if not data:  # cut off since it was written
                        break
                    at += os.pwrite(fd, data, at)
        finally:
            os.close(fd)
        inode.kept_size = size

    def _keep_names(self, inode: Inode) -> None:
        """Make durable what the file is called now, and no more what it was called before."""
        if inode.names == inode.kept_names:
            return
        for folder, name in inode.kept_names - inode.names:
            if self.inodes[folder].kept.get(name) == inode.ino:
                del self.inodes[folder].kept[name]
        gone: list[Inode] = []
        for folder, name in inode.names - inode.kept_names:
            place = self.inodes[folder]
            before = place.kept.get(name)
            if before is not None and before != inode.ino:
                replaced = self.inodes[before]
                replaced.kept_names.discard((folder, name))
                gone.append(replaced)
            place.kept[name] = inode.ino
            if self.names == "fsynced" and folder != ROOT:
                self._keep_names(place)
        inode.kept_names = set(inode.names)
        for child in list(inode.kept.values()) if not inode.names else ():
            if child in self.inodes:  # a directory that is gone was empty
                self._keep_names(self.inodes[child])
        for other in (inode, *gone):
            self._forget(other)

    # -- the cut -------------------------------------------------------------------------------------------------

    def cut(self, torn: int | None = None) -> Cut:
        """Lose power: what was not durable is gone; with `torn` (a seed), a prefix of each file's lost pages is not.

        Nothing may hold a file open any more; who does holds a file of a disk that is gone.
        """
        if self.names == "eager":
            for inode in list(self.inodes.values()):
                self._keep_names(inode)
        pages = 0
        losses: dict[str, int] = {}
        for inode in [i for i in self.inodes.values() if i.is_file and i.kept_names and i.names]:
            pages += self._tear(inode, torn) if torn is not None else 0
            if inode.unsynced:
                lost = sum(end - first for first, end in inode.dirty) or abs(inode.size - inode.kept_size)
                losses[self.path(inode)] = lost
        volatile = {(i.ino, n) for i in self.inodes.values() for n in i.names}
        durable = {(i.ino, n) for i in self.inodes.values() for n in i.kept_names}
        self._revert()
        worst = dict(sorted(losses.items(), key=lambda row: -row[1])[:WORST])
        gone, back = len(volatile - durable), len(durable - volatile)
        return Cut(len(losses), sum(losses.values()), gone, back, pages, worst)

    def _tear(self, inode: Inode, seed: int) -> int:
        """Keep a seeded prefix, in order of writing, of the pages that were never fsynced."""
        pieces = [
            (at, min(end, (at // PAGE + 1) * PAGE))
            for first, end in inode.dirty
            for at in (first, *range((first // PAGE + 1) * PAGE, end, PAGE))
        ]
        survive = random.Random(f"{seed}/{inode.ino}").randint(0, len(pieces))
        if survive:
            kept = pieces[:survive]
            self._keep_bytes(inode, kept, max(inode.kept_size, *(end for _, end in kept)))
        return survive

    def _revert(self) -> None:
        for inode in self.inodes.values():
            if inode.fd >= 0:
                os.close(inode.fd)
        living = set(self._reachable(ROOT))
        for path in self._volatile.iterdir():
            path.unlink()
        for path in self._durable.iterdir():
            if int(path.name) not in living:
                path.unlink()
        self.inodes = {ino: self.inodes[ino] for ino in living}
        for inode in self.inodes.values():
            inode.entries, inode.names = dict(inode.kept), set(inode.kept_names)
            inode.dirty, inode.opens, inode.fd = [], 0, -1
            if inode.is_file:
                inode.size = inode.floor = inode.kept_size
                kept, target = self._durable / str(inode.ino), self._volatile / str(inode.ino)
                if kept.exists():
                    shutil.copyfile(kept, target)
                else:  # a name whose bytes were never fsynced
                    target.touch()

    def _reachable(self, ino: int) -> Iterator[int]:
        yield ino
        for child in self.inodes[ino].kept.values():
            if self.inodes[child].is_dir:
                yield from self._reachable(child)
            else:
                yield child

    def path(self, inode: Inode) -> str:
        """Say where a file lies, as the volatile image has it or the durable one had."""
        if inode.ino == ROOT:
            return ""
        folder, name = min(inode.names or inode.kept_names)
        return f"{self.path(self.inodes[folder])}/{name}".lstrip("/")


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same bytes in as few ranges as there can be; the order of writing is lost."""
    out: list[tuple[int, int]] = []
    for first, end in sorted(ranges):
        if out and first <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((first, end))
    return out
