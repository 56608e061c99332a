"""The synthetic audience: viewers with hidden tastes who watch through the public API, and keep the books.

Each is a device with the SDK, like anyone's. What makes them an audience is that they remember: every entry that was
declared safe (so the client forgot it) is written down here, and every few seconds the regions are asked what they
hold. A number that no living region holds, twice, LOST_AFTER_S apart, is *lost*. That counter is meant to stay 0, and
it is measured, not assumed; should the entry turn up after all, it goes down again.
"""

import asyncio
import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from holdfast.adapters.home import Home
from holdfast.adapters.signing import Signer, load_keys, unb64
from holdfast.client import Calls, Client, Place, Told
from holdfast.core.errors import Degraded, Refused
from holdfast.core.feed.shapes import Slate, SlateItem
from holdfast.core.log.ranges import minus
from holdfast.core.merge import IntervalSet
from holdfast.drills.world import Clip, Watch, World
from holdfast.drills.world import Viewer as Taste

SLATE_SIZE = 8
HEARTBEAT_S = 4.0  # viewers watch for seconds on end; what they say next is heartbeat enough
AUDIT_EVERY_S = 0.1  # one viewer each: a hundred viewers in ten seconds
AUDIT_PATIENCE_S = 3.0
FOLD_WAIT_S = 5.0  # a region folds what it acknowledged within this, or it is not well
LOST_AFTER_S = 10.0
REPORT_EVERY_S = 1.0
EMPTY_WAIT_S = 2.0
HESITATION_S = 0.3  # between two videos
UNKNOWN_MS = 6000  # how long an item of unknown length is taken to be


class Counters(msgspec.Struct):
    """What the audience has seen so far, all viewers together."""

    viewers: int = 0
    acknowledged: int = 0
    lost: int = 0
    failed: int = 0
    repeats: int = 0
    slates: int = 0
    empty: int = 0
    alone: int = 0  # slates the device made by itself
    likes: int = 0


@dataclass(slots=True)
class Book:
    """One viewer's record of what was acknowledged and declared safe; `fresh` is too recent to ask about."""

    acked: IntervalSet = field(default_factory=IntervalSet)
    safe: IntervalSet = field(default_factory=IntervalSet)
    fresh: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    missing: dict[int, float] = field(default_factory=dict[int, float])  # number -> first missed, monotonic seconds

    def settle(self, now_s: float) -> None:
        """Move what is old enough into `safe`."""
        keep: list[tuple[float, int]] = []
        for at_s, number in self.fresh:
            if now_s - at_s > FOLD_WAIT_S:
                self.safe.add(number)
            else:
                keep.append((at_s, number))
        self.fresh = keep

    def audit(self, held: IntervalSet, now_s: float) -> int:
        """Compare with what the regions hold together; return how many are lost."""
        absent = [n for first, last in minus(self.safe.pairs(), held.pairs()) for n in range(first, last + 1)]
        self.missing = {n: self.missing.get(n, now_s) for n in absent}
        return sum(now_s - since_s >= LOST_AFTER_S for since_s in self.missing.values())


class Viewer:
    """One device with a taste."""

    def __init__(self, client: Client, taste: Taste, world: World, counters: Counters) -> None:
        self.client = client
        self.book = Book()
        self.lost = 0
        self._taste, self._world, self._counters = taste, world, counters
        self._watched: set[str] = set()

    def hear(self, told: Told) -> None:
        if told.what == "acked":
            self._counters.acknowledged += sum(self.book.acked.add(n) for n in told.numbers)  # resent ones count once
        elif told.what == "safe":
            self.book.fresh += [(told.at_s, n) for n in told.numbers]
        elif told.what == "refused":
            self._counters.failed += len(told.numbers)

    async def live(self) -> None:
        """Watch slate after slate, until cancelled."""
        await asyncio.sleep(random.random() * 8)  # people do not all arrive at once
        while True:
            try:
                slate = await self.client.feed(SLATE_SIZE)
            except (Degraded, Refused):
                self._counters.failed += 1
                await asyncio.sleep(EMPTY_WAIT_S)
                continue
            self._counters.slates += 1
            self._counters.alone += slate.rung == "DEVICE"
            if not slate.items:
                self._counters.empty += 1
                await asyncio.sleep(EMPTY_WAIT_S)
            elif not slate.rewatch:
                self._counters.repeats += sum(i.item in self._watched for i in slate.items)
            await self._watch_all(slate)

    async def _watch_all(self, slate: Slate) -> None:
        for pos, item in enumerate(slate.items):
            did = self._world.watch(self._taste, _clip(item))
            await asyncio.sleep(did.dwell_ms / 1000 + HESITATION_S)
            self._watched.add(item.item)
            try:
                self._say(item, did, slate.slate, pos)
            except Degraded:  # the outbox is full: nothing was taken, so nothing can be lost
                self._counters.failed += 1

    def _say(self, item: SlateItem, did: Watch, slate: str, pos: int) -> None:
        self.client.view(item.item, dwell_ms=did.dwell_ms, duration_ms=item.duration_ms, slate=slate, pos=pos)
        if did.like and not item.liked:
            self.client.like(item.item)
            self._counters.likes += 1
        if did.hide:
            self.client.hide(item.item, slate)


def _clip(item: SlateItem) -> Clip:
    return Clip(item.item, tuple(item.tags), item.duration_ms or UNKNOWN_MS, item.creator)


class Audience:
    """All viewers. Each prefers one region, in turn; keys derive from the installation's secrets, so that the same
    viewers come back after a restart."""

    def __init__(self, home: Home, viewers: int, world: World, calls: Calls) -> None:
        top = home.load()
        places = [Place(r.name, r.jurisdiction, r.url) for r in top.regions]
        self.counters = Counters(viewers=viewers)
        self.viewers: list[Viewer] = []
        secrets = {r.name: unb64(load_keys(home, r.name).alias_secret) for r in top.regions}
        for k in range(viewers):
            region = top.regions[k % len(top.regions)]
            seed = hashlib.sha256(secrets[region.name] + f"audience {k}".encode()).digest()
            client = Client(places, region.jurisdiction, prefer=region.name, device=Signer(seed), calls=calls)
            client.heartbeat_s = HEARTBEAT_S
            viewer = Viewer(client, world.viewer(k), world, self.counters)
            client.tell = viewer.hear
            self.viewers.append(viewer)

    async def run(self, report: Callable[[Counters], None]) -> None:
        """Live, audit and report until cancelled."""
        for viewer in self.viewers:
            await viewer.client.__aenter__()
        tasks = [asyncio.create_task(v.live()) for v in self.viewers]
        tasks += [asyncio.create_task(self._audit()), asyncio.create_task(self._report(report))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(v.client.aclose() for v in self.viewers))

    async def _report(self, report: Callable[[Counters], None]) -> None:
        while True:
            report(self.counters)
            await asyncio.sleep(REPORT_EVERY_S)

    async def _audit(self) -> None:
        while True:
            for viewer in self.viewers:
                await asyncio.sleep(AUDIT_EVERY_S)
                await self._audit_one(viewer)
            self.counters.lost = sum(v.lost for v in self.viewers)

    async def _audit_one(self, viewer: Viewer) -> None:
        client = viewer.client
        living = [p.name for p in client.router.permitted() if not client.router.vantages[p.name].suspected]
        held, heard = IntervalSet(), 0
        for region in living:
            try:
                async with asyncio.timeout(AUDIT_PATIENCE_S):
                    for first, last in await client.held(region):
                        _cover(held, first, last)
                heard += 1
            except (Degraded, Refused, TimeoutError):
                continue
        viewer.book.settle(time.monotonic())
        if heard:  # nobody to ask is no evidence of a loss
            viewer.lost = viewer.book.audit(held, time.monotonic())


def _cover(held: IntervalSet, first: int, last: int) -> None:
    """Add a closed interval to a set, keeping it sorted and disjoint."""
    pairs = sorted([*held.pairs(), (first, last)])
    held.starts, held.ends = [], []
    for a, b in pairs:
        if held.ends and a <= held.ends[-1] + 1:
            held.ends[-1] = max(held.ends[-1], b)
        else:
            held.starts.append(a)
            held.ends.append(b)
