"""A disk that forgets: what was not fsynced may be gone after a power cut, and a name that was not settled as well.

Bytes are durable when `write` returns. Names (new files, renames) go to a journal: `settle` of their directory makes
them durable, and a power cut keeps some beginning of the rest. That is what ext4 promises and no more; `strict` keeps
none of the rest. Killing a process loses nothing here: the kernel still has it.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from holdfast.adapters.disk import Disk


@dataclass(slots=True)
class SimDisk(Disk):
    """One region's disk. `full`: writes fail; `off`: everything fails, as for a process that lost its power."""

    chance: Random
    strict: bool = False
    full: bool = False
    off: bool = False
    fuse: int = 0  # at the so-manieth change from now the power goes (0: not)
    on_fuse: Callable[[], None] = lambda: None
    seen: dict[Path, bytes] = field(default_factory=dict[Path, bytes])  # what a process sees now
    kept: dict[Path, bytes] = field(default_factory=dict[Path, bytes])  # what is on disk under a durable name
    journal: list[tuple[Path, bytes | None]] = field(default_factory=list[tuple[Path, bytes | None]])

    def _change(self) -> None:
        if self.off:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.fuse:
            self.fuse -= 1
            if not self.fuse:
                self.on_fuse()
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def make(self, place: Path) -> None:
        """Directories are there when they are needed."""

    def read(self, path: Path) -> bytes:
        if self.off:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if path not in self.seen:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self.seen[path]

    def part(self, path: Path, offset: int, size: int) -> tuple[bytes, int]:
        data = self.read(path)
        return data[offset : offset + size], len(data)

    def write(self, path: Path, data: bytes) -> None:
        if self.fuse == 1:  # the power goes in the middle of it: some beginning may be there
            self.seen[path] = data[: self.chance.randrange(len(data) + 1)]
            self.journal.append((path, self.seen[path]))
        self._change()
        self.seen[path] = data
        self.journal.append((path, data))

    def exists(self, path: Path) -> bool:
        return path in self.seen

    def rename(self, path: Path, to: Path) -> None:
        self._change()
        if path not in self.seen:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        data = self.seen[to] = self.seen.pop(path)
        self.journal += [(path, None), (to, data)]

    def settle(self, place: Path) -> None:
        self._change()
        rest: list[tuple[Path, bytes | None]] = []
        for path, data in self.journal:
            if path.parent == place:
                _put(self.kept, path, data)
            else:
                rest.append((path, data))
        self.journal = rest

    def names(self, place: Path) -> list[Path]:
        return sorted(p for p in self.seen if p.parent.parent == place)

    def power_cut(self) -> None:
        """Forget what was not on disk."""
        survives = 0 if self.strict else self.chance.randrange(len(self.journal) + 1)
        for path, data in self.journal[:survives]:
            _put(self.kept, path, data)
        self.journal.clear()
        self.seen = dict(self.kept)
        self.fuse, self.full = 0, False

    def lose(self) -> None:
        """The disk is gone; an empty one takes its place."""
        self.seen.clear()
        self.kept.clear()
        self.journal.clear()

    def flip(self, path: Path) -> None:
        """Turn one bit of a file."""
        data = flipped(self.seen[path], self.chance)
        self.seen[path] = data
        if path in self.kept:
            self.kept[path] = data


def _put(names: dict[Path, bytes], path: Path, data: bytes | None) -> None:
    if data is None:
        names.pop(path, None)
    else:
        names[path] = data


def flipped(data: bytes, chance: Random) -> bytes:
    """The same bytes, but for one bit."""
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
