"""Files named by their sha256: how a keeper keeps closed pieces of chains, beside every other blob of their class.

The layout is that of the region's blob store, `blobs/<class>/<sha[:2]>/<sha>`, written here file by file because a
piece must be fsynced, name and all, before the stream that held its blocks is cut.
"""

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path

from holdfast.adapters.disk import DISK, Disk
from holdfast.core.classes import Class
from holdfast.core.errors import Broken, Degraded
from holdfast.core.log.segments import pack
from holdfast.region.keeper_held import Piece

DAMAGED = ".damaged"  # behind the name of a blob that is not what it says


class PieceFiles:
    """The blobs of one region, as the keeper sees them."""

    def __init__(self, root: Path, disk: Disk = DISK) -> None:
        self.root = root
        self._disk = disk
        self.lock = asyncio.Lock()  # one writer of the region's small files at a time
        self._last: tuple[str, bytes] = ("", b"")  # the piece read last: catching up reads it many times

    def path(self, cls: Class, sha: str) -> Path:
        """Where a blob lies."""
        return self.root / cls / sha[:2] / sha

    async def load(self, cls: Class, piece: Piece) -> bytes:
        """Read a piece and check it. Raises Broken if it is absent or not what its name says."""
        if self._last[0] != piece.sha:
            self._last = (piece.sha, await asyncio.to_thread(self.checked, cls, piece.sha))
        return self._last[1]

    def forget(self) -> None:
        """Read from disk next time."""
        self._last = ("", b"")

    def checked(self, cls: Class, sha: str) -> bytes:
        """Read a blob and check it. Raises Broken if it is absent or not what its name says."""
        try:
            data = self._disk.read(self.path(cls, sha))
        except OSError as e:
            raise Broken(f"blob {sha[:12]} of class {cls} cannot be read: {e}") from e
        if hashlib.sha256(data).hexdigest() != sha:
            raise Broken(f"blob {sha[:12]} of class {cls} is damaged")
        return data

    async def write(self, cls: Class, first: int, messages: list[bytes]) -> Piece:
        """Write blocks first… into a piece, durable when this returns. Raises Degraded if the disk refuses."""
        try:
            return await asyncio.to_thread(self._write, cls, first, messages)
        except OSError as e:
            raise Degraded(f"a piece of class {cls} cannot be written: {e}") from e

    def _write(self, cls: Class, first: int, messages: list[bytes]) -> Piece:
        data = pack(messages)
        sha = hashlib.sha256(data).hexdigest()
        self.put(cls, sha, data)
        return Piece(first, first + len(messages) - 1, sha, len(data))

    def put(self, cls: Class, sha: str, data: bytes) -> None:
        """Write one blob, durable when this returns."""
        path = self.path(cls, sha)
        self._disk.make(path.parent)
        part = path.with_name(f"{sha}.{os.getpid()}.part")
        self._disk.write(part, data)
        self._disk.rename(part, path)
        for place in (path.parent, path.parent.parent, self.root, self.root.parent):
            self._disk.settle(place)  # a new directory's own name must outlive a power loss too

    def part(self, cls: Class, sha: str, offset: int, size: int) -> tuple[bytes, int]:
        """Return (bytes, size of the whole) of a part of a blob; (b"", −1) if it is not here."""
        try:
            return self._disk.part(self.path(cls, sha), offset, size)
        except OSError:
            return b"", -1

    def names(self, cls: Class) -> list[Path]:
        """Every file of a class, in order."""
        return self._disk.names(self.root / cls)

    def look_at(self, path: Path) -> tuple[int, bool]:
        """Return (size, is it what its name says?) of a blob; one that has gone meanwhile is nobody's damage."""
        try:
            data = self._disk.read(path)
        except FileNotFoundError:
            return 0, True
        except OSError:
            return 0, False
        return len(data), hashlib.sha256(data).hexdigest() == path.name

    def raw(self, cls: Class, sha: str) -> bytes:
        """The bytes of a blob as they are, damaged or not; none if it is gone."""
        path = self.path(cls, sha)
        for place in (path, path.with_name(path.name + DAMAGED)):
            with contextlib.suppress(OSError):
                return self._disk.read(place)
        return b""

    def condemn(self, path: Path) -> None:
        """Take a damaged blob's name away; one that has gone, or may not be moved, stays as it is."""
        with contextlib.suppress(OSError):
            self._disk.rename(path, path.with_name(path.name + DAMAGED))
