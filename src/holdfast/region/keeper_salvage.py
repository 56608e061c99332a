"""Salvage: blocks that the log server no longer gives, read from its own files and put back.

JetStream hides a whole stream for one flipped bit in a metafile, and cuts a message file off at the first damaged
message. The blocks are still there: numbered, chained and signed, so they need no index to be found and no server to
be believed. What was kept of the files (`adapters/log_files`) is searched for the blocks that are wanting; each is
verified, and offered to the intake like blocks from a peer: whatever continues the chain fills its hole, and what is
still missing afterwards is really gone here.

A crash at any point loses nothing: the files stay until a recovery, or a whole round of the scrubber, has ended well.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from holdfast.adapters import log_files
from holdfast.adapters.log_streams import parse_stream, stream_name
from holdfast.core.asks import Ranges, Run
from holdfast.core.chain import Verify
from holdfast.core.classes import Class
from holdfast.core.errors import Broken
from holdfast.core.log import ranges, scan
from holdfast.core.log.continuity import Key
from holdfast.region.keeper_files import PieceFiles
from holdfast.region.keeper_store import Copy
from holdfast.region.keeper_take import Intake

Rows = dict[int, bytes]  # number -> sealed message, verified
NOWHERE = 1 << 64  # no block has this number


class LogFiles(Protocol):
    """The log server's files and the copies of them (`adapters.log_files`)."""

    def keep_before(self, store: Path, only: str = ...) -> Path | None: ...
    def set_aside(self, region: Path, *kinds: str) -> list[Path]: ...
    def put_away(self, places: list[Path]) -> None: ...
    def message_files(self, place: Path) -> Iterator[tuple[str, Path]]: ...
    def read(self, path: Path) -> bytes: ...


class Salvage:
    """Searches what was kept of the log server's files in `store` and beside it."""

    def __init__(
        self, store: Path, intake: Intake, verifiers: dict[str, Verify], pieces: PieceFiles,
        files: LogFiles = log_files,
    ) -> None:  # fmt: skip
        self._store = store
        self._intake = intake
        self._verifiers = verifiers
        self._pieces = pieces
        self._kept = files
        self._files: dict[str, list[Path]] = {}
        self.made: list[Path] = []  # copies that `find` made
        self.on_incident: Callable[[str, str], None] = lambda _what, _text: None

    def aside(self) -> list[Path]:
        """What lies aside now; `put_away` it once nothing is wanting that could be in it."""
        return self._kept.set_aside(self._store.parent)

    async def put_away(self, places: list[Path]) -> None:
        """Remove what has been searched."""
        await asyncio.to_thread(self._kept.put_away, places)

    async def keys(self) -> set[Key]:
        """The epochs of which there are files aside; `beyond` will look in these."""
        self._files = await asyncio.to_thread(self._by_stream, self.aside())
        keys = {parse_stream(name) for name in self._files}
        return {key for key in keys if key is not None and key.chain.split("/")[0] in set(Class)}

    async def beyond(self, key: Key, last: int) -> tuple[Rows, bool]:
        """The blocks after number `last` that lie aside: sealed, and gone before anything else recorded them.

        And whether there are traces of any, readable or not: then nobody can say where the epoch ended.
        """
        return await asyncio.to_thread(self._search, key, [(last + 1, NOWHERE)], self._files)

    async def find(self, copy: Copy, wanted: Ranges, *, anew: bool = True) -> Rows:
        """Search everything, the server's own files too, for blocks of a copy; `anew`: its stream is about to go."""
        if wanted and anew:
            with suppress(OSError):  # a full disk: then a crash before they are put back would cost these blocks
                made = await asyncio.to_thread(self._kept.keep_before, self._store, stream_name(copy.key))
                self.made += [made] if made else []
        files = await asyncio.to_thread(self._by_stream, [*self.aside(), self._store]) if wanted else {}
        rows = (await asyncio.to_thread(self._search, copy.key, wanted, files))[0]
        return rows | await asyncio.to_thread(self._in_pieces, copy, ranges.minus(wanted, _numbers(rows)))

    def _by_stream(self, places: list[Path]) -> dict[str, list[Path]]:
        """The message files in these places, by the name of their stream."""
        out: dict[str, list[Path]] = {}
        for place in places:
            for name, path in self._kept.message_files(place):
                out.setdefault(name, []).append(path)
        return out

    def _search(self, key: Key, wanted: Ranges, files: dict[str, list[Path]]) -> tuple[Rows, bool]:
        rows, traces = Rows(), False
        verify = self._verifiers[key.chain.split("/")[1]]
        for path in files.get(stream_name(key), []):
            data = self._kept.read(path)
            if any(_within(wanted, n) and n not in rows for n, _ in scan.places(data, key)):
                traces = True
                rows |= {n: m for n, m in scan.genuine(data, key, verify) if _within(wanted, n) and n not in rows}
        return rows, traces

    def _in_pieces(self, copy: Copy, wanted: Ranges) -> Rows:
        """Look in damaged pieces as well: one flipped bit is in one block, and the others are whole."""
        rows, verify = Rows(), self._verifiers[copy.origin]
        for piece in copy.pieces:
            if ranges.both(wanted, [(piece.first, piece.last)]):
                data = self._pieces.raw(copy.cls, piece.sha)
                rows |= {n: m for n, m in scan.genuine(data, copy.key, verify) if _within(wanted, n)}
        return rows

    async def put_back(self, copy: Copy, rows: Rows) -> None:
        """Offer verified blocks to the intake; say what came back. Raises Degraded if the log server goes away."""
        before = copy.missing
        for first, last in _numbers(rows):
            run = Run(copy.key.chain, copy.key.epoch, first, [rows[n] for n in range(first, last + 1)])
            try:
                await self._intake.take(copy.cls, run, [], _nothing)
            except Broken as e:
                self.on_incident("salvage", f"{copy.key.chain}, epoch {copy.key.epoch}: a block does not fit: {e}")
        back = ranges.minus(before, copy.missing)
        if back:
            text = f"{copy.key.chain}, epoch {copy.key.epoch}: blocks {ranges.say(back)} were read back"
            self.on_incident("salvaged", f"{text} from damaged files")


def _numbers(rows: Rows) -> Ranges:
    return ranges.normal((n, n) for n in rows)


def _within(wanted: Ranges, n: int) -> bool:
    at = bisect_right(wanted, (n, NOWHERE)) - 1
    return at >= 0 and wanted[at][0] <= n <= wanted[at][1]


async def _nothing(key: Key, first: int, last: int) -> list[bytes]:
    """There is no peer behind these blocks to ask for those before a fork."""
    raise Broken(f"block {last + 1} does not continue what is held")
