"""Taking in what peers offer: every block is checked before it is stored, a hole is filled, a fork is kept and told.

Four things can be true of an offered block. It is the next one: store it. It is held already: nothing to do. It fills
a hole: close it into a piece. Or it is genuine and yet does not continue what is held: then its origin sealed two
blocks with one number (equivocation), and both branches are kept, the second in a stream of its own, so that no entry
is lost and everyone can see it.
"""

import asyncio
from collections.abc import Awaitable, Callable

from holdfast.core.asks import Ranges, Run
from holdfast.core.chain import Verify, digest_of
from holdfast.core.classes import Class, may_hold, parse_chain
from holdfast.core.errors import Broken, Degraded
from holdfast.core.log import ranges
from holdfast.core.log.continuity import Fork, Gap, Key, Link, branch_of, check_next, epoch_of
from holdfast.core.topology import Topology
from holdfast.region.keeper_recover import empty_into_pieces
from holdfast.region.keeper_store import Copy, Store

LOOK_BACK = 64  # blocks asked for at once when looking for the place where two branches part

Fetch = Callable[[Key, int, int], Awaitable[list[bytes]]]  # (key, first, last) -> blocks from the peer that offered


class Intake:
    """Takes runs from peers into the store of `region`."""

    def __init__(self, store: Store, top: Topology, region: str, verifiers: dict[str, Verify]) -> None:
        self._store = store
        self._verifiers = verifiers
        here = top.region(region).jurisdiction
        self._may = {
            (c, r.name): may_hold(c, r.jurisdiction, here) for c in Class for r in top.regions
        }
        self._opening = asyncio.Lock()
        self.sealing: set[Key] = set()  # our own epochs that are being written
        self.on_conflict: Callable[[Key], None] = lambda _key: None  # someone holds more of what we are writing
        self.on_incident: Callable[[str, str], None] = lambda _what, _text: None

    async def take(self, cls: Class, run: Run, lost: Ranges, fetch: Fetch) -> Key:
        """Store what is new of a run; returns the key under which it was kept (a branch after a fork).

        Raises Broken on blocks that are not genuine or not permitted here, Gap when blocks before them are absent.
        """
        try:
            chain_cls, origin = parse_chain(run.chain)
        except ValueError as e:
            raise Broken(f"`{run.chain[:80]}` is no chain") from e
        if chain_cls is not cls or not self._may.get((cls, origin), False):
            raise Broken(f"chain {run.chain} may not be carried here as {cls}")
        key = Key(run.chain, run.epoch)
        async with self._opening:
            if key not in self._store.copies:
                _admit(key, run, lost, self._verifiers[origin])
            copy = await self._store.open(key, run.first)
        main = Key(key.chain, epoch_of(key))
        if key != main and main in self.sealing and await self._parts_from(main, run):
            self.on_conflict(main)  # someone holds another branch of what we are writing
        async with copy.lock:
            try:
                await self._extend(copy, run, lost, self._verifiers[origin])
                return key
            except Fork:
                pass
        return await self._keep_branch(copy, run, self._verifiers[origin], fetch)

    async def _parts_from(self, main: Key, run: Run) -> bool:
        """Say whether a branch that a peer offers really differs from the row we are writing."""
        ours = await self._store.read(self._store.copies[main], run.first, run.first)
        return not run.messages or not ours or ours[0] != run.messages[0]

    async def _extend(self, copy: Copy, run: Run, lost: Ranges, verify: Verify) -> None:
        end = copy.end
        fill: list[tuple[int, bytes]] = []
        try:
            for n, message in enumerate(run.messages, run.first):
                if n <= end.n:
                    if ranges.both(copy.missing, [(n, n)]):
                        fill.append((n, message))
                    elif _differs(copy, n, message):
                        _genuine(copy.key, n, message, verify)
                        raise Fork(f"two blocks {n} of {run.chain} {run.epoch}")
                    continue
                if copy.key in self.sealing:
                    _genuine(copy.key, n, message, verify)
                    self.on_conflict(copy.key)
                    return
                if n > end.n + 1:
                    end = await self._step_over(copy, n, lost)
                block, end = check_next(copy.key, end, message, verify)
                copy.opened = copy.opened or block.hlc
                await copy.writer.room()
                copy.writer.put(end, message)
        finally:
            await copy.writer.drain()
        await self._fill(copy, fill, verify)

    async def _step_over(self, copy: Copy, n: int, lost: Ranges) -> Link:
        """Begin the stream anew at block n when all between is lost everywhere."""
        await copy.writer.drain()
        gap = (copy.end.n + 1, n - 1)
        if ranges.minus([gap], lost):
            raise Gap(f"{copy.key.chain} {copy.key.epoch} jumps from block {copy.end.n} to {n}")
        async with copy.shape:
            await empty_into_pieces(self._store, copy, [], True)
            copy.lost = ranges.union(copy.lost, [gap])
            await self._store.restart_stream(copy, Link(n - 1, b""))
        return copy.end

    async def _fill(self, copy: Copy, fill: list[tuple[int, bytes]], verify: Verify) -> None:
        """Close blocks that fill holes into pieces, one per unbroken row."""
        filled: Ranges = []
        while fill:
            row = [fill[0]]
            while len(row) < len(fill) and fill[len(row)][0] == row[-1][0] + 1:
                row.append(fill[len(row)])
            fill = fill[len(row) :]
            before = await self._store.read(copy, row[0][0] - 1, row[0][0] - 1) if row[0][0] > 1 else []
            link = Link(row[0][0] - 1, digest_of(before[0]) if before else (b"" if row[0][0] > 1 else bytes(32)))
            for _, message in row:
                block, link = check_next(copy.key, link, message, verify)
                copy.opened = copy.opened or block.hlc
            if link.n == copy.end.n:
                copy.end = link  # its digest may have been unknown
            await self._store.add_piece(copy, row[0][0], [m for _, m in row])
            filled.append((row[0][0], row[-1][0]))
        if filled and not copy.missing:
            text = f"{copy.key.chain}, epoch {copy.key.epoch}: blocks {ranges.say(filled)} were damaged here"
            self.on_incident("mended", text + " and are mended")

    async def _keep_branch(self, copy: Copy, run: Run, verify: Verify, fetch: Fetch) -> Key:
        """Find where the peer's row leaves ours and keep it from there in a stream of its own."""
        parted, theirs = await self._parting(copy, run, fetch)
        _genuine(copy.key, parted, theirs[0], verify)  # before a stream is made for it
        key = branch_of(copy.key, digest_of(theirs[0]))
        fresh = key not in self._store.copies
        await self._write_branch(key, parted, theirs, verify)
        if fresh:
            ours: list[bytes] = []  # ours too gets a stream under its digest: whoever holds theirs as the main row asks
            while more := await self._store.read(copy, parted + len(ours), copy.end.n):
                ours += more
            if ours:
                await self._write_branch(branch_of(copy.key, digest_of(ours[0])), parted, ours, verify)
            self.on_incident(
                "equivocation",
                f"{run.chain}, epoch {copy.key.epoch}: two different blocks {parted}, both signed by their origin; "
                f"both branches are kept, the second as epoch {key.epoch}",
            )
        if copy.key in self.sealing:
            self.on_conflict(copy.key)
        return key

    async def _write_branch(self, key: Key, first: int, messages: list[bytes], verify: Verify) -> None:
        """Store blocks first… of a branch in its own stream, as far as they are new."""
        branch = await self._store.open(key, first)
        async with branch.lock:
            end = branch.end
            for n, message in enumerate(messages, first):
                if n == end.n + 1:
                    block, end = check_next(key, end, message, verify)
                    branch.opened = branch.opened or block.hlc
                    await branch.writer.room()
                    branch.writer.put(end, message)
            await branch.writer.drain()

    async def _parting(self, copy: Copy, run: Run, fetch: Fetch) -> tuple[int, list[bytes]]:
        """Return (first differing number, the peer's blocks from there to the end of the run)."""
        theirs, first = list(run.messages), run.first
        while True:
            for n, message in enumerate(theirs, first):
                ours = await self._store.read(copy, n, n)
                if not ours or ours[0] != message:
                    if n > first or n == 1:
                        return n, theirs[n - first :]
                    break
            else:
                raise Broken(f"{copy.key.chain} {copy.key.epoch}: the fork is not there any more")
            earlier = max(1, first - LOOK_BACK)
            more: list[bytes] = []
            while len(more) < first - earlier:  # an answer takes about 1 MB, which may be less than these blocks
                got = await fetch(copy.key, earlier + len(more), first - 1)
                if not got:
                    raise Degraded("the peer no longer offers the blocks before the fork")
                more += got
            theirs, first = more + theirs, earlier


def _admit(key: Key, run: Run, lost: Ranges, verify: Verify) -> None:
    """Look at the first block of an epoch new to us before a stream is made for it.

    Raises Gap if it is not where the epoch begins, Broken if its origin never sealed it or the epoch's name is not its.
    """
    if not run.messages or run.first > ranges.step_over(0, lost) + 1:
        raise Gap(f"{run.chain} {run.epoch} begins at block {run.first}")
    _genuine(key, run.first, run.messages[0], verify)
    if key.epoch != epoch_of(key) and key != branch_of(key, digest_of(run.messages[0])):
        raise Broken(f"{run.chain} {run.epoch} does not begin with the block that it is called after")


def _genuine(key: Key, n: int, message: bytes, verify: Verify) -> None:
    """Raise Broken or Gap unless `message` is block n of this epoch, sealed by its origin."""
    check_next(key, Link(n - 1, b""), message, verify)


def _differs(copy: Copy, n: int, message: bytes) -> bool:
    """Say whether block n, if it is still in memory, is another one than `message`."""
    ring = copy.ring
    return bool(ring) and n >= ring[0][0] and ring[n - ring[0][0]][1] != message
