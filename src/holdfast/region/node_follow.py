"""Following the log: every block of every chain, folded in slices beside serving.

The fold owns the world and changes it in place on the event loop's thread, so it must never keep the loop for long: it
folds for SLICE_S, then lets requests pass. What the tables keep is handed to one writer thread, with the watermark it
follows from, so that a crash between the two costs a repeat and not a row.

It may begin at a snapshot (`region.node_snapshot`). The tables have a watermark of their own, and where they are behind
the snapshot the log is read from theirs on: what the world has folded before, it and the hooks pass over.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from holdfast.adapters.log import Batch, News
from holdfast.adapters.tables import KEPT
from holdfast.core import asks
from holdfast.core.classes import Class
from holdfast.core.entries import UNREADABLE, Entry, Incident, decode
from holdfast.core.errors import Degraded
from holdfast.region.node_state import State

SLICE_S = 0.002  # a slate waits at most this long for the fold
STRIDE = 32  # entries between two looks at the clock: 32 × 12 µs = 0.4 ms
ROWS_WAITING_MAX = 20_000  # then folding waits for the tables
TABLE_PAUSE_S = 0.05  # rows of this long share a transaction

Hook = Callable[[Any], None]


class Follower:
    """Folds the log into the state. `hooks`: what else wants to hear of an entry type, after it is folded."""

    def __init__(self, state: State, hooks: dict[type, list[Hook]]) -> None:
        self._state = state
        self._hooks = hooks
        self._hooks.setdefault(Incident, []).append(state.incidents.append)
        self._have: asks.Have = {}
        self._goal: dict[Class, asks.Have] = {}  # what was held at the first answer: history, as against news
        self._rows: list[Entry] = []
        self._marks: asks.Have = {}
        self._done = state.tables.watermark()
        self._newest: dict[str, int] = {}  # chain -> hlc of the newest block, to tell the current epoch
        self._work = asyncio.Event()
        self._written = asyncio.Event()
        self.caught_up = asyncio.Event()
        self.turn = asyncio.Lock()  # whoever holds it stands between two batches: the world is still, `folded` exact

    def begin(self, folded: asks.Have, newest: dict[str, int]) -> None:
        """Start from a world that has folded this much, before `run`. `newest`: chain → stamp of its newest block."""
        assert not self._have and not self._newest
        for chain, epochs in folded.items():
            rows = not chain.startswith(Class.PERSONAL)
            tables = self._done.get(chain, {})
            self._have[chain] = {e: min(n, tables.get(e, 0)) if rows else n for e, n in epochs.items()}
        self._newest.update(newest)

    def newest(self) -> dict[str, int]:
        """Stamp of the newest block folded, by chain."""
        return dict(self._newest)

    async def run(self) -> None:
        """Follow for ever. Raises Broken when the log contradicts itself."""
        log = await asyncio.shield(self._state.log)
        async for news in log.follow_all(tuple(Class), self._have):
            await self._take(news)

    async def _take(self, news: News) -> None:
        for batch in news.batches:
            async with self.turn:
                await self._fold(batch)
            if len(self._rows) > ROWS_WAITING_MAX:
                await self._written.wait()
        self._state.held.update(news.held)
        self._state.safe.update(news.safe)
        self._goal.setdefault(news.cls, news.held)
        if not self.caught_up.is_set() and len(self._goal) == len(Class) and self._level():
            self._state.folding = True
            self.caught_up.set()

    def _level(self) -> bool:
        return all(
            self._have.get(chain, {}).get(epoch, 0) >= n
            for goal in self._goal.values() for chain, epochs in goal.items() for epoch, n in epochs.items()
        )  # fmt: skip

    async def _fold(self, batch: Batch) -> None:
        state, hooks = self._state, self._hooks
        apply = state.world.apply
        done = self._done.get(batch.chain, {}).get(batch.epoch, 0)
        clock = asyncio.get_running_loop().time
        until = clock() + SLICE_S
        for block in batch.blocks:
            folded = 0
            for raw in block.entries:
                try:
                    entry = decode(raw)
                except UNREADABLE:  # of a newer kind than we know, or damaged where it was made
                    state.count("quarantined")
                    continue
                if apply(entry):
                    for hook in hooks.get(type(entry), ()):
                        hook(entry)
                if block.n > done and isinstance(entry, KEPT):
                    self._rows.append(entry)
                folded += 1
                if not folded % STRIDE and clock() > until:
                    await asyncio.sleep(0)
                    until = clock() + SLICE_S
            state.count("folded", folded)
            state.tally.fold_ms.append(max(0.0, (state.now_us() - block.hlc) / 1000))
            state.clock.observe(block.hlc, state.now_us())
            self._mark(batch, block.n, block.hlc)

    def _mark(self, batch: Batch, n: int, hlc: int) -> None:
        if hlc >= self._newest.get(batch.chain, 0):
            self._newest[batch.chain] = hlc
            self._state.watermark[batch.chain] = (batch.epoch, n)
        self._state.mark_folded(batch.chain, batch.epoch, n)
        if not batch.chain.startswith(Class.PERSONAL):  # no personal entry makes a row
            self._marks.setdefault(batch.chain, {})[batch.epoch] = n
            self._work.set()

    def newest_us(self, region: str) -> int:
        """Stamp of the newest block folded of any chain of a region, 0 for none."""
        return max((self._newest.get(f"{cls}/{region}", 0) for cls in Class), default=0)

    async def keep_tables(self) -> None:
        """Write rows as they come, for ever, one transaction at a time."""
        while True:
            await self._work.wait()
            await asyncio.sleep(TABLE_PAUSE_S)
            self._work.clear()
            self._written.clear()
            rows, marks = self._rows, {c: dict(e) for c, e in self._marks.items()}
            self._rows = []
            try:
                await asyncio.to_thread(self._state.tables.write, rows, marks)
                self._written.set()
            except Degraded as e:
                self._state.count("table_failures")
                self._rows = rows + self._rows
                self._work.set()
                await asyncio.sleep(e.retry_after_s)
