"""Closing: when a chain's tail grows past its bound, its older half becomes an immutable file, everywhere the same.

The origin closes first and says so in the chain (a `segment` entry: epoch, range, sha256). Whoever carries that entry
makes the same file from its own blocks, compares the sha256, and only then drops them from its stream. So every holder
proves by the way that it holds the same bytes.
"""

import asyncio
from collections.abc import Callable

import msgspec

from holdfast.core import entries
from holdfast.core.chain import BLOCK_BYTES_MAX, unseal
from holdfast.core.classes import Class
from holdfast.core.entries import Segment
from holdfast.core.errors import Broken, HoldfastError
from holdfast.core.log.continuity import Key, Link
from holdfast.region.keeper_held import Piece
from holdfast.region.keeper_store import Copy, Store

TAIL_BLOCKS_MAX = 16_000  # a starting keeper reads the tail block by block, 0.15 ms each: 2-3 s
MARK = b"\xa4kind\xa7segment"  # how msgpack spells it: a cheap first look at every block


class Closer:
    """Watches blocks go by and closes what is due."""

    def __init__(self, store: Store, region: str, tail_bytes: int) -> None:
        self._store = store
        self._region = region
        self._tail_bytes = tail_bytes
        self._due: asyncio.Queue[tuple[Key, int, int, str]] = asyncio.Queue()
        self._closing: set[Key] = set()
        self.announce: Callable[[Class, str, Piece], None] = lambda _cls, _epoch, _piece: None
        self.on_incident: Callable[[str, str], None] = lambda _what, _text: None

    def look(self, copy: Copy, link: Link, message: bytes) -> None:
        """Called for every block that was stored."""
        if copy.origin == self._region:
            full = copy.tail_bytes > self._tail_bytes or link.n - copy.tail_first > TAIL_BLOCKS_MAX
            if full and copy.key not in self._closing:
                self._closing.add(copy.key)
                self._due.put_nowait((copy.key, 0, 0, ""))
        elif MARK in message:
            for raw in unseal(message).entries:
                if MARK in bytes(raw):
                    entry = _segment(raw)
                    if entry is not None and entry.device == f"keeper-{copy.origin}":
                        self._due.put_nowait((Key(copy.key.chain, entry.epoch), entry.first, entry.last, entry.sha))

    async def run(self, say: Callable[[str], None]) -> None:
        """Close what is due, for ever."""
        while True:
            key, first, last, sha = await self._due.get()
            copy = self._store.copies.get(key)
            try:
                if copy is None:
                    continue
                async with copy.shape:
                    if sha:
                        await self._follow(copy, first, last, sha)
                    else:
                        await self._lead(copy)
            except HoldfastError as e:
                say(f"closing blocks of {key.chain} failed, it stays in the log server: {e}")
            finally:
                self._closing.discard(key)

    async def _lead(self, copy: Copy) -> None:
        """Close the older half of our own tail and announce it."""
        piece = await self._close_tail(copy, copy.end.n)
        self.announce(copy.cls, copy.key.epoch, piece)

    async def _close_tail(self, copy: Copy, last: int) -> Piece:
        """Close the oldest blocks of the stream, up to `last` and half the bound. Raises Broken if none can be read."""
        rows: list[bytes] = []
        size, first = 0, copy.tail_first
        last = min(last, first + TAIL_BLOCKS_MAX // 2 - 1)
        while first + len(rows) <= last and size < self._tail_bytes // 2:
            more = await self._store.read(copy, first + len(rows), last, self._tail_bytes // 2 - size)
            if not more:
                break
            rows += more
            size += sum(map(len, more))
        if not rows:
            raise Broken("there is nothing to close")
        piece = await self._store.add_piece(copy, first, rows)
        await self._store.cut(copy)
        return piece

    async def _follow(self, copy: Copy, first: int, last: int, sha: str) -> None:
        """Close the same range as the origin did; what lies before it still (its word never came) on our own."""
        if last < first or last - first >= TAIL_BLOCKS_MAX:
            raise Broken(f"blocks {first}..{last} are no piece that a keeper makes")
        await self._store.cut(copy)
        while copy.tail_first < first and copy.piece_of(copy.tail_first) is None:
            await self._close_tail(copy, first - 1)
        rows: list[bytes] = []
        size = 0
        while len(rows) < last - first + 1:
            more = await self._store.read(copy, first + len(rows), last)
            size += sum(map(len, more))
            if not more or size > 2 * (self._tail_bytes + BLOCK_BYTES_MAX):
                raise Broken(f"blocks {first}..{last} are not all here, or too large for a piece")
            rows += more
        piece = await self._store.files.write(copy.cls, first, rows)
        if piece.sha != sha:
            self.on_incident(
                "segment", f"{copy.key.chain}, epoch {copy.key.epoch}: blocks {first}–{last} make another file here "
                f"than at their origin ({piece.sha[:12]}, not {sha[:12]}); they are kept as they are",
            )  # fmt: skip
            return
        await self._store.name_piece(copy, piece)
        await self._store.cut(copy)


def _segment(raw: bytes | msgspec.Raw) -> Segment | None:
    """The entry, if it is a segment that this version understands; a block is kept whatever stands in it."""
    try:
        entry = entries.decode(raw)
    except entries.UNREADABLE:
        return None
    return entry if isinstance(entry, Segment) else None
