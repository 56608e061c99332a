"""What a region holds of every chain: closed pieces, the tail in JetStream, recent blocks in memory, and the holes.

    block 1 ────────────── piece ─┬─ piece ─┬── stream (tail) ──┬─ end
                                  (hole)    restart            ring: the newest, in memory

A `Copy` is one epoch of one chain. Reading goes to memory, then a piece, then the stream, whichever holds the number.
Nothing is ever written into the middle of a stream: mending closes what is good into pieces (one file, one fsync) and
starts the stream anew behind its end.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.adapters.disk import DISK, Disk
from holdfast.adapters.log_streams import Streams
from holdfast.core.asks import Have, Ranges
from holdfast.core.classes import Class
from holdfast.core.errors import Broken, Degraded, HoldfastError
from holdfast.core.log import ranges
from holdfast.core.log.continuity import START, Key, Link
from holdfast.core.log.segments import unpack
from holdfast.region.keeper_files import PieceFiles
from holdfast.region.keeper_held import HeldEpoch, HeldRecord, Piece, save, save_later
from holdfast.region.keeper_write import Writer

RING_BYTES = 4_000_000  # per epoch: seconds of full load, so followers and peers are served from memory
HELD_EVERY_S = 0.2  # how often the record of watermarks is fsynced while blocks arrive


@dataclass(slots=True)
class Copy:
    """One epoch of one chain, as held here. `tail_first`: number from which the stream holds it."""

    key: Key
    writer: Writer
    end: Link = START
    opened: int = 0
    tail_first: int = 1
    tail_bytes: int = 0
    pieces: list[Piece] = field(default_factory=list[Piece])
    missing: Ranges = field(default_factory=list[tuple[int, int]])
    lost: Ranges = field(default_factory=list[tuple[int, int]])
    ring: deque[tuple[int, bytes, float]] = field(default_factory=deque[tuple[int, bytes, float]])
    ring_bytes: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while blocks are taken in or files rearranged
    shape: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while the stream's beginning moves; after `lock`
    ended: bool = False  # from a backup, or damaged at its end: who was told what after it is unknown; never continued
    cls: Class = field(init=False)
    origin: str = field(init=False)

    def __post_init__(self) -> None:
        cls, self.origin = self.key.chain.split("/", 1)
        self.cls = Class(cls)

    @property
    def held(self) -> int:
        """The last block before the first hole: how far this region may say it holds the epoch."""
        return ranges.prefix(self.end.n, self.missing)

    def piece_of(self, n: int) -> Piece | None:
        """The closed piece that holds block n."""
        return next((p for p in self.pieces if p.first <= n <= p.last), None)

    def remember(self, n: int, message: bytes, now_s: float) -> None:
        """Keep a new block in memory, forgetting the oldest beyond the bound."""
        self.ring.append((n, message, now_s))
        self.ring_bytes += len(message)
        while self.ring_bytes > RING_BYTES:
            self.ring_bytes -= len(self.ring.popleft()[1])


class Store:
    """All copies of a region, and the news that they grow."""

    def __init__(self, streams: Streams, directory: Path, now_s: Callable[[], float], disk: Disk = DISK) -> None:
        self.streams = streams
        self.files = PieceFiles(directory / "blobs", disk)
        self._disk = disk
        self.copies: dict[Key, Copy] = {}
        self.now_s = now_s
        self.foreign: dict[Key, HeldEpoch] = {}  # recorded epochs of regions that are not on the map (any more)
        self.suspects: set[Key] = set()  # copies whose reading failed: the scrubber looks at them first
        self.on_block: Callable[[Copy, Link, bytes], None] = lambda _copy, _link, _message: None
        self._held_path = directory / "held.json"
        self._owner_path = directory / "keeper"
        self._owner = b""
        self._held_lock = threading.Lock()  # a write whose task was cancelled goes on in its thread to its end
        self._dirty = False
        self._news: dict[Class, asyncio.Event] = {c: asyncio.Event() for c in Class}

    # -- growing ---------------------------------------------------------------------------------------------------

    def place(self, key: Key) -> Copy:
        """Return the copy of `key`, an empty one without a stream if there was none."""
        if key not in self.copies:

            def confirm(link: Link, message: bytes) -> None:
                self._confirm(copy, link, message)

            copy = Copy(key, Writer(self.streams, key, confirm))
            self.copies[key] = copy
        return self.copies[key]

    async def open(self, key: Key, first: int = 1) -> Copy:
        """Return the copy of `key`, making it and its stream if need be; block `first` will be the next written."""
        known = key in self.copies
        copy = self.place(key)
        if not known:
            try:
                await self.streams.create(key, first)
            except HoldfastError:
                del self.copies[key]  # without a stream it cannot be written: made anew at the next attempt
                raise
            copy.tail_first = first
            if first > 1:  # a branch: what lies before it is in the epoch it left
                copy.end, copy.lost = Link(first - 1, b""), [(1, first - 1)]
            self.changed(copy.cls)
        return copy

    def _confirm(self, copy: Copy, link: Link, message: bytes) -> None:
        assert link.n == copy.end.n + 1, f"{copy.key}: {link.n} after {copy.end.n}"
        self._check_owner()  # else a successor, which read the stream before this block, would not know what we promise
        copy.end = link
        copy.tail_bytes += len(message)
        copy.remember(link.n, message, self.now_s())
        self.changed(copy.cls)
        self.on_block(copy, link, message)

    def changed(self, cls: Class) -> None:
        """Wake everyone who waits for news of a class."""
        self._dirty = True
        self._news[cls].set()
        self._news[cls] = asyncio.Event()

    def news(self, cls: Class) -> asyncio.Event:
        """An event that the next change of this class sets."""
        return self._news[cls]

    def of_class(self, cls: Class) -> list[Copy]:
        """All copies of a class, oldest epoch first."""
        return sorted((c for c in self.copies.values() if c.cls is cls), key=lambda c: (c.opened, c.key))

    def held(self, cls: Class) -> Have:
        """How far each chain of a class is held."""
        out: Have = {}
        for copy in self.copies.values():
            if copy.cls is cls and copy.end.n:
                out.setdefault(copy.key.chain, {})[copy.key.epoch] = copy.held
        return out

    # -- reading ---------------------------------------------------------------------------------------------------

    async def read(self, copy: Copy, first: int, last: int, max_bytes: int = 4_000_000) -> list[bytes]:
        """Return blocks first… up to `last`, as many as are there without a gap and fit `max_bytes` (at least one).

        Blocks that should be there and are not make the copy suspect: the scrubber will look.
        """
        last = min(last, copy.end.n)
        ring = copy.ring
        if ring and first >= ring[0][0]:
            out: list[bytes] = []
            start = first - ring[0][0]
            for i in range(start, min(len(ring), start + last - first + 1)):
                out.append(ring[i][1])
                max_bytes -= len(out[-1])
                if max_bytes <= 0:
                    break
            return out
        piece = copy.piece_of(first)
        try:
            if piece is not None:
                rows = unpack(await self.files.load(copy.cls, piece))[first - piece.first : last - piece.first + 1]
                return _cut(rows, max_bytes)
            if first < copy.tail_first:
                return []
            got = await self.streams.read(copy.key, first, last, max_bytes)
        except Broken:
            self.suspects.add(copy.key)
            return []
        if first < copy.tail_first:  # closed meanwhile: it lies in a piece now, and nothing is amiss
            return await self.read(copy, first, last, max_bytes)
        whole = [m for i, (n, m) in enumerate(got) if n == first + i]
        if first <= last and not whole:
            self.suspects.add(copy.key)
        return _cut(whole, max_bytes)

    # -- rearranging -----------------------------------------------------------------------------------------------

    async def add_piece(self, copy: Copy, first: int, messages: list[bytes]) -> Piece:
        """Close these blocks into a piece of the copy: file first, then the record that names it."""
        piece = await self.files.write(copy.cls, first, messages)
        await self.name_piece(copy, piece)
        return piece

    async def name_piece(self, copy: Copy, piece: Piece) -> None:
        """Take a piece that is on disk into the copy, in place of smaller ones, and into the record."""
        others = (p for p in copy.pieces if p.first < piece.first or p.last > piece.last)
        copy.pieces = sorted([*others, piece], key=lambda p: p.first)
        copy.missing = ranges.minus(copy.missing, [(piece.first, piece.last)])
        await self.save_held()
        self.changed(copy.cls)

    async def cut(self, copy: Copy) -> None:
        """Drop from the stream what lies in pieces, up to the first block that does not."""
        before, n = copy.tail_first, copy.tail_first
        while (piece := copy.piece_of(n)) is not None:
            n = piece.last + 1
        if n == before:
            return
        await self.save_held()  # once more: now both generations of the record name the pieces, and one may be damaged
        copy.tail_first = n
        await self.streams.purge_before(copy.key, n)  # a crash before this costs only space
        extent = await self.streams.extent(copy.key)
        copy.tail_bytes = extent.size if extent is not None else 0

    async def restart_stream(self, copy: Copy, end: Link) -> None:
        """Drop the copy's stream and begin it anew behind `end`; all that is good in it must lie in pieces already."""
        copy.end, copy.tail_first, copy.tail_bytes = end, end.n + 1, 0
        copy.ring.clear()
        copy.ring_bytes = 0
        await self.save_held()
        await self.save_held()  # both generations name the pieces before the stream that held their blocks goes
        await self.streams.delete(copy.key)  # a crash here: recovery finds no stream and makes it behind `end`
        await self.streams.create(copy.key, end.n + 1)
        self.changed(copy.cls)

    # -- the record ------------------------------------------------------------------------------------------------

    def record(self, clean: bool = False) -> HeldRecord:
        """What `held.json` says now."""
        out = HeldRecord(clean=clean)
        for key, held in self.foreign.items():
            out.chains.setdefault(key.chain, {})[key.epoch] = held
        for c in self.copies.values():
            out.chains.setdefault(c.key.chain, {})[c.key.epoch] = HeldEpoch(
                n=c.end.n, digest=c.end.digest, opened=c.opened, pieces=list(c.pieces), missing=list(c.missing),
                lost=list(c.lost), ended=c.ended,
            )  # fmt: skip
        return out

    def claim(self, name: str) -> None:
        """Make this keeper the one that rearranges the region's files; one that did so before must end.

        Streams are fenced block by block. The record, the pieces and what is cut from streams are fenced here: a keeper
        that lives on beside its successor would take what that one closed for lost. Found by simulation.
        """
        self._owner = name.encode()
        self._disk.write(self._owner_path, self._owner)

    def _check_owner(self) -> None:
        try:
            if self._owner and self._disk.read(self._owner_path) != self._owner:
                raise Broken("another keeper of this region has taken over")
        except OSError as e:
            raise Broken(f"{self._owner_path} cannot be read: {e}") from e

    async def save_held(self) -> None:
        """Fsync the record of watermarks now. Raises Degraded if the disk refuses, Broken if it is another's by now."""
        self._dirty = False
        async with self.files.lock:
            await save_later(self._held_path, self.record(), self._held_lock, self._disk, self._check_owner)

    def save_held_now(self, clean: bool) -> None:
        """Fsync the record at the end of the process. A disk that refuses leaves the one of a moment ago."""
        with self._held_lock, contextlib.suppress(OSError, Broken):
            self._check_owner()
            save(self._held_path, self.record(clean=clean), self._disk)

    async def keep_record(self, say: Callable[[str], None]) -> None:
        """Fsync the record several times a second while it changes. Runs for ever."""
        while True:
            await asyncio.sleep(HELD_EVERY_S)
            if self._dirty:
                try:
                    await self.save_held()
                except Degraded as e:
                    self._dirty = True
                    say(f"the record of watermarks could not be written: {e}")


def _cut(messages: list[bytes], max_bytes: int) -> list[bytes]:
    for i, m in enumerate(messages):
        max_bytes -= len(m)
        if max_bytes <= 0:
            return messages[: i + 1]
    return messages
