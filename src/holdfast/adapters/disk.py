"""The few things a keeper does to its files, each with its durability said: the seam under which a disk can fail.

A file's bytes are durable when `write` returns. Its *name* is durable once `settle` was called on its directory, and
so is the name that a `rename` gave. Everything else may be gone, or half there, after a power loss.
"""

import os
from pathlib import Path

from holdfast.adapters.system import make_durable


class Disk:
    """The real one. Every method raises OSError when the disk refuses."""

    def make(self, place: Path) -> None:
        """Make a directory and those above it."""
        place.mkdir(parents=True, exist_ok=True)

    def read(self, path: Path) -> bytes:
        """The bytes of a file."""
        return path.read_bytes()

    def part(self, path: Path, offset: int, size: int) -> tuple[bytes, int]:
        """(up to `size` bytes from `offset`, size of the whole file)."""
        with path.open("rb") as f:
            f.seek(offset)
            return f.read(size), os.fstat(f.fileno()).st_size

    def write(self, path: Path, data: bytes) -> None:
        """Write a file anew, its bytes on disk when this returns."""
        with path.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())

    def exists(self, path: Path) -> bool:
        """Whether there is such a name."""
        return path.exists()

    def rename(self, path: Path, to: Path) -> None:
        """Give a file another name, in place of whatever bore it."""
        path.replace(to)

    def settle(self, place: Path) -> None:
        """Make the names in a directory durable."""
        make_durable(place)

    def names(self, place: Path) -> list[Path]:
        """The files two levels below `place`, where blobs lie, in order."""
        return sorted(place.glob("??/*"))


DISK = Disk()
