"""Viewers at a steady rate, and a record of everything that was said to them and what they were promised.

A drill is only as good as its witness. Each witness here is a device with the SDK: it asks for a slate once a second,
watches all of it (or a part), and writes down when what was acknowledged, when what was declared safe, how long it had
waited for that, and every slate that was empty or repeated itself.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from holdfast.client import Calls, Client, Place, Team, Told
from holdfast.core.errors import Degraded, Refused
from holdfast.core.feed.shapes import SlateItem
from holdfast.core.merge import IntervalSet

ITEMS_PER_PUT = 500
SLATE_SIZE = 10  # watched in a second: ten entries a second from each witness
SAYS_PER_SLATE = 5  # in so many portions, so that entries flow all the time
KNOWN_WAIT_S = 30.0
ALONE = "DEVICE"  # the rung of a slate that no region gave


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer to a request for a slate. `region`: "" if none gave it; `attempts`: how many were asked."""

    at_s: float
    took_s: float
    region: str
    rung: str
    attempts: int
    items: int


@dataclass(slots=True)
class Record:
    """What one witness saw. Times: monotonic seconds; numbers: of its outbox."""

    suspected: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    moved: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])  # to which region
    slates: list[Shown] = field(default_factory=list[Shown])
    acks: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    acked_at: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    safe_at: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    write_s: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])  # (said, until acknowledged)
    safe_s: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])  # (acknowledged, until safe)
    acknowledged: IntervalSet = field(default_factory=IntervalSet)
    safe: IntervalSet = field(default_factory=IntervalSet)
    repeated: list[float] = field(default_factory=list[float])
    refused: int = 0
    empty: int = 0
    failed: int = 0
    asked: int = 0
    _said: dict[int, float] = field(default_factory=dict[int, float])
    _acked: dict[int, float] = field(default_factory=dict[int, float])

    @property
    def repeats(self) -> int:
        return len(self.repeated)

    def say(self, number: int, now_s: float) -> None:
        """Something was put into the outbox."""
        self._said[number] = now_s

    def hear(self, told: Told) -> None:
        """Write down what the client noticed."""
        at_s = told.at_s
        if told.what == "suspect":
            self.suspected.append((at_s, told.region))
        elif told.what == "moved":
            self.moved.append((at_s, told.region))
        elif told.what == "asked":
            self.asked += 1
        elif told.what == "acked":
            self.acks.append((at_s, told.region))
            fresh = [n for n in told.numbers if self.acknowledged.add(n)]  # said again elsewhere, it counts once
            self.acked_at.append((at_s, len(fresh)))
            for n in fresh:
                said_s = self._said.pop(n, at_s)
                self.write_s.append((said_s, at_s - said_s))
                self._acked[n] = at_s
        elif told.what == "safe":
            self.safe_at.append((at_s, len(told.numbers)))
            for n in told.numbers:
                self.safe.add(n)
                acked_s = self._acked.pop(n, at_s)
                self.safe_s.append((acked_s, at_s - acked_s))
        elif told.what == "refused":
            self.refused += len(told.numbers)


class Witness:
    """One device at a steady rate. When its client moves it asks for a slate at once, as an app refills its buffer.

    `watches`: how many videos of a slate are watched; the others are let go, and may be offered again.
    """

    def __init__(
        self, places: Sequence[Place], jurisdiction: str, prefer: str, calls: Calls, *, watches: float = SLATE_SIZE
    ) -> None:
        self.record = Record()
        self.client = Client(places, jurisdiction, prefer=prefer, calls=calls, tell=self._hear)
        self.prefer = prefer
        self._watches, self._owed = watches, 0.0
        self._moved = asyncio.Event()
        self._offered: set[str] = set()  # in the buffer or watched: not to be offered again
        self._buffer: deque[tuple[str, SlateItem]] = deque()

    def _hear(self, told: Told) -> None:
        self.record.hear(told)
        if told.what == "moved":
            self._moved.set()

    async def live(self) -> None:
        """A slate a second, all of it watched, until cancelled."""
        await asyncio.sleep(random.random())
        watching = asyncio.create_task(self._watch())
        try:
            due_s = time.monotonic()
            while True:
                await self._slate()
                due_s = max(due_s + 1.0, time.monotonic())
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._moved.wait(), max(0.0, due_s - time.monotonic()))
                self._moved.clear()
        finally:
            watching.cancel()

    async def _slate(self) -> None:
        record, waiting = self.record, [item.item for _, item in self._buffer]
        begun_s, asked = time.monotonic(), record.asked
        try:
            slate = await self.client.feed(SLATE_SIZE, exclude=waiting)
        except (Degraded, Refused):
            record.failed += 1
            return
        now_s = time.monotonic()
        record.slates.append(
            Shown(now_s, now_s - begun_s, slate.region, slate.rung, record.asked - asked, len(slate.items))
        )
        record.empty += not slate.items
        if not slate.rewatch:
            record.repeated += [now_s for i in slate.items if i.item in self._offered]
        self._owed += self._watches
        taken = slate.items[: int(self._owed)]
        self._owed -= int(self._owed)
        for item in taken:
            self._offered.add(item.item)
            self._buffer.append((slate.slate, item))

    async def _watch(self) -> None:
        """Watch what is in the buffer, a portion at a time."""
        portion = max(1, round(self._watches / SAYS_PER_SLATE))
        while True:
            for pos in range(min(portion, len(self._buffer))):
                slate, item = self._buffer.popleft()
                number = self.client.view(item.item, dwell_ms=6000, duration_ms=6000, slate=slate, pos=pos)
                self.record.say(number, time.monotonic())
            await asyncio.sleep(0.95 / SAYS_PER_SLATE)

    async def missing(self, region: str, numbers: IntervalSet) -> int:
        """How many of `numbers` the region does not hold."""
        held = IntervalSet()
        for first, last in await self.client.held(region):
            held.starts.append(first)
            held.ends.append(last)
        return sum(n not in held for first, last in numbers.pairs() for n in range(first, last + 1))


@asynccontextmanager
async def at_work(works: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Have these run for the length of the block."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def living(crowd: Sequence[Witness]) -> AbstractAsyncContextManager[None]:
    """Let all witnesses live for the length of the block."""
    return at_work(w.live() for w in crowd)


async def put_items(places: Sequence[Place], jurisdiction: str, key: str, count: int, calls: Calls) -> None:
    """Publish `count` items without video through the API, and wait until every region knows and allows them."""
    team = Team(places, jurisdiction, key, calls=calls)
    for first in range(0, count, ITEMS_PER_PUT):
        await team.put_items([
            {"item": f"drill-{k}", "creator": f"maker-{k % 97}", "caption": f"item {k}", "tags": [f"tag-{k % 12}"],
             "duration_ms": 6000}
            for k in range(first, min(count, first + ITEMS_PER_PUT))
        ])  # fmt: skip
    end_s = time.monotonic() + KNOWN_WAIT_S
    while time.monotonic() < end_s:
        known = [(await calls.call("GET", f"{p.url}/v1/status"))["items"]["allowed"] for p in places]
        if min(known) >= count:
            return
        await asyncio.sleep(0.2)
    raise Degraded(f"after {KNOWN_WAIT_S:.0f} s not every region knows the {count} items")
