"""Starting is recovering: read everything, believe nothing, name what is gone.

Every chain is read from its first block to its last and checked: closed pieces by their sha256, the rest block by
block, numbers without a gap, each `prev` the digest before, the end against the keeper's own record. A row that passes
through a recorded digest is proven by the chain of digests alone; only where that fails, or beyond the record, are
signatures checked. What is not good becomes a hole (`missing`), to be carried in from peers; a damaged stream is
emptied into pieces and begun anew behind its end.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.adapters.log_streams import Extent
from holdfast.core.asks import Ranges
from holdfast.core.chain import Verify, digest_of
from holdfast.core.errors import Broken
from holdfast.core.log import ranges
from holdfast.core.log.continuity import START, Key, Link, check_next
from holdfast.core.log.segments import unpack
from holdfast.region.keeper_held import HeldEpoch, HeldRecord
from holdfast.region.keeper_pieces import found_pieces
from holdfast.region.keeper_store import Copy, Store

READ_ROWS = 2048  # blocks looked at between two pauses


@dataclass(slots=True)
class Found:
    """What walking a row showed: its end, what is bad, the digest at the recorded number."""

    end: Link
    bad: Ranges = field(default_factory=list[tuple[int, int]])
    opened: int = 0
    at_anchor: bytes = b""


@dataclass(slots=True)
class Report:
    """What recovery found, for people and for the epoch decision."""

    clean: bool
    damaged: dict[Key, Ranges] = field(default_factory=dict[Key, Ranges])


class Salvage(Protocol):
    """The way to blocks that the log server does not give (`keeper_salvage`)."""

    async def keys(self) -> set[Key]: ...
    async def beyond(self, key: Key, last: int) -> tuple[dict[int, bytes], bool]: ...
    async def find(self, copy: Copy, wanted: Ranges, *, anew: bool = True) -> dict[int, bytes]: ...
    async def put_back(self, copy: Copy, rows: dict[int, bytes]) -> None: ...


async def recover(store: Store, record: HeldRecord | None, verifiers: dict[str, Verify], salvage: Salvage) -> Report:
    """Fill the store from streams, pieces, the record, and what can be salvaged.

    Raises Degraded if the log server goes away meanwhile.
    """
    extents = await store.streams.names()
    if record is None:  # never written, or both generations are damaged: the pieces are still there
        record = await asyncio.to_thread(found_pieces, store.files)
    report = Report(clean=record.clean)
    recorded = {Key(c, e): h for c, es in record.chains.items() for e, h in es.items()}
    for key, held in recorded.items():  # all of it first: whatever is saved on the way must not forget the rest
        copy = store.place(key)
        copy.opened, copy.end, copy.pieces = held.opened, Link(held.n, held.digest), list(held.pieces)
        copy.missing, copy.lost, copy.ended = list(held.missing), list(held.lost), held.ended
    for key in sorted({*extents, *recorded, *await salvage.keys()}):
        copy, held, extent = store.place(key), recorded.get(key), extents.get(key)
        verify = verifiers.get(copy.origin)
        if verify is None:  # a region that is no longer on the map: its files stay, it is neither served nor carried
            del store.copies[key]
            if held is not None:
                store.foreign[key] = held
            continue
        top = _top(copy, extent, held)
        unseen, traces = await salvage.beyond(key, top)
        copy.ended = copy.ended or (traces and not report.clean)  # what is damaged there may have been acknowledged
        bad = await examine(store, copy, extent, held, verify, max(unseen, default=top))
        if not copy.end.n:  # an epoch in which nothing was ever written: not worth a stream
            del store.copies[key]
            if extent is not None or held is not None:
                await store.streams.delete(key)
            continue
        if bad:
            report.damaged[key] = bad
        if bad or extent is None:
            rows = unseen | await salvage.find(copy, ranges.minus(bad, [(top + 1, copy.end.n)]))
            await empty_into_pieces(store, copy, bad, extent is not None)
            await salvage.put_back(copy, rows)  # a crash before this: it is missing still, and the files are there
        if held is None or copy.end != Link(held.n, held.digest):
            report.clean = False
    await store.save_held()
    return report


def _top(copy: Copy, extent: Extent | None, held: HeldEpoch | None) -> int:
    """The last number that stream, record or pieces know of."""
    return max(extent.last if extent else 0, held.n if held else 0, copy.pieces[-1].last if copy.pieces else 0)


async def examine(
    store: Store, copy: Copy, extent: Extent | None, held: HeldEpoch | None, verify: Verify, known: int = 0
) -> Ranges:
    """Check a copy; set its end, tail and opening. Returns what is not good, in ranges.

    Closed pieces are checked by their sha256, the rest block by block. `known`: a number up to which blocks are known.
    """
    top = max(known, _top(copy, extent, held))
    anchor = Link(held.n, held.digest) if held else START
    ends: dict[int, bytes] = {0: START.digest}
    bad: Ranges = []
    for piece in copy.pieces:
        try:
            ends[piece.last] = digest_of(unpack(await store.files.load(copy.cls, piece))[-1])
        except Broken:
            bad.append((piece.first, piece.last))
    closed = ranges.normal([*copy.lost, *((p.first, p.last) for p in copy.pieces)])
    for first, last in ranges.minus([(1, top)] if top else [], closed):
        before = Link(first - 1, ends.get(first - 1, b""))
        found = await _walk(store, copy, extent, before, last, None, anchor.n)
        # The digests prove a row if it is whole and passes through the recorded digest; beyond it, signatures do.
        proven = not found.bad and found.at_anchor == anchor.digest and first <= anchor.n
        if not proven:
            found = await _walk(store, copy, extent, before, last, verify, anchor.n)
        elif last > anchor.n:
            found = await _walk(store, copy, extent, anchor, last, verify, anchor.n)
        bad += found.bad
        if not ranges.both(found.bad, [(last, last)]):
            ends[last] = found.end.digest
        copy.opened = copy.opened or found.opened
    copy.end = Link(top, ends.get(top) or (anchor.digest if anchor.n == top else b"")) if top else START
    copy.tail_first = extent.first if extent else top + 1
    copy.tail_bytes = extent.size if extent else 0
    return ranges.normal(bad)


async def _stream_rows(store: Store, copy: Copy, extent: Extent | None, first: int, last: int) -> dict[int, bytes]:
    """Blocks first..last by number, whatever of them the stream gives."""
    rows: dict[int, bytes] = {}
    if extent is None:
        return rows
    at, end = max(first, extent.first), min(last, extent.last)
    while at <= end:
        got = await store.streams.read(copy.key, at, end)
        if not got:
            break
        rows |= dict(got)
        at = got[-1][0] + 1
    return rows


async def _walk(
    store: Store, copy: Copy, extent: Extent | None, before: Link, last: int, verify: Verify | None, anchor: int
) -> Found:
    """Read the stream's blocks before.n+1..last in order and collect what breaks the row; none is fatal."""
    found = Found(before)
    while found.end.n < last:
        at = found.end.n + 1
        until = min(at + READ_ROWS - 1, last)
        rows = await _stream_rows(store, copy, extent, at, until)
        for n in range(at, until + 1):
            try:
                if n not in rows:
                    raise Broken("absent")
                block, found.end = check_next(copy.key, found.end, rows[n], verify)
                found.opened = found.opened or block.hlc
            except Broken:
                found.bad.append((n, n))
                found.end = Link(n, b"")
            if n == anchor:
                found.at_anchor = found.end.digest
    found.bad = ranges.normal(found.bad)
    return found


async def empty_into_pieces(store: Store, copy: Copy, bad: Ranges, has_stream: bool) -> None:
    """Close what is good in the copy's stream into pieces, forget damaged pieces, begin the stream behind the end."""
    store.files.forget()
    kept = [p for p in copy.pieces if not ranges.both([(p.first, p.last)], bad)]
    extent = await store.streams.extent(copy.key) if has_stream else None
    whole = [(1, copy.end.n)] if copy.end.n else []
    closed = ranges.normal((p.first, p.last) for p in kept)
    absent = ranges.union(bad, ranges.union(copy.missing, copy.lost))
    for first, last in ranges.minus(whole, ranges.union(closed, absent)):
        rows = await _stream_rows(store, copy, extent, first, last)
        if len(rows) == last - first + 1:
            kept.append(await store.files.write(copy.cls, first, [rows[n] for n in range(first, last + 1)]))
        else:
            bad = ranges.union(bad, [(first, last)])  # it was readable a moment ago: the disk is failing
    copy.pieces = sorted(kept, key=lambda p: p.first)
    copy.missing = ranges.minus(ranges.union(copy.missing, bad), copy.lost)
    await store.restart_stream(copy, copy.end)
