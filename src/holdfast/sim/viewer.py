"""A viewer with a device: the real client, swiping, liking and hiding, and noting what it was told.

What it is handed is judged at once: never empty while anything was ever offered, always with a rung and a reason, and
nothing twice while there is something unseen.
"""

import asyncio
from collections.abc import Callable
from random import Random

from holdfast.adapters.around import Around
from holdfast.adapters.signing import Signer
from holdfast.client.client import FEED_DEADLINE_S, Client, Told
from holdfast.core.errors import Degraded
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.shapes import Slate
from holdfast.core.health.router import Place
from holdfast.sim.calls import SimCalls
from holdfast.sim.ledger import Ledger
from holdfast.sim.ledger import Told as Said
from holdfast.sim.site import EPOCH_US
from holdfast.sim.trace import Trace

PATIENCE_S = FEED_DEADLINE_S + 0.2
SLATE = 5


class Viewer:
    """One person. `calm`: set while no fault is at work, when everything must go well."""

    def __init__(
        self, name: str, places: list[Place], home: Place, calls: SimCalls, ledger: Ledger, trace: Trace, chance: Random
    ) -> None:
        self.name, self.home, self.ledger, self.trace, self.chance = name, home, ledger, trace, chance
        self.breaches: list[str] = []
        self.slates = 0
        self.last: Slate | None = None
        self.skew_us = chance.choice([0, 0, 0, 5_000_000, -3_600_000_000, 86_400_000_000])
        loop = calls._network.loop
        around = Around(
            loop.time, lambda: EPOCH_US + round(loop.time() * 1e6) + self.skew_us, chance.random,
            lambda n: chance.randbytes(n).hex(),
        )  # fmt: skip
        self._now_s: Callable[[], float] = loop.time
        self.client = Client(
            places, home.jurisdiction, prefer=home.name, device=Signer(chance.randbytes(32)), calls=calls,
            tell=self._told, around=around,
        )  # fmt: skip
        self.client.outbox.last = 0
        self.said_at: dict[int, float] = {}  # outbox number → when it was said

    async def live(self) -> None:
        """Watch for ever."""
        async with self.client:
            while True:
                await self._look()
                await asyncio.sleep(0.4 + 1.2 * self.chance.random())

    async def _look(self) -> None:
        begun = self._now_s()
        slate = await self.client.feed(SLATE)
        took = self._now_s() - begun
        self.slates += 1
        if slate.rung == "DEVICE":
            self.trace.count("device rung")
        self._judge(slate, took)
        self.last = slate
        try:
            for pos, item in enumerate(slate.items[: self.chance.randrange(1, 4)]):
                dwell = self.chance.choice([300, 4000, 9000])
                self.client.view(item.item, dwell_ms=dwell, duration_ms=9000, slate=slate.slate[:40], pos=pos)
                draw = self.chance.random()
                if draw < 0.15:
                    self.client.like(item.item, self.chance.random() < 0.8)
                elif draw < 0.2:
                    self.client.hide(item.item)
                elif draw < 0.24:
                    self.client.comment(item.item, "well made")
                elif draw < 0.28 and item.creator:
                    self.client.follow(item.creator)
        except Degraded:
            self.trace.count("outbox full")
        for number in range(max(self.said_at, default=0) + 1, self.client.outbox.last + 1):
            self.said_at[number] = self._now_s()

    def _judge(self, slate: Slate, took_s: float) -> None:
        if took_s > PATIENCE_S:
            self.breaches.append(f"{self.name} waited {took_s:.2f} s for a slate")
        if not slate.items and (slate.rung != "DEVICE" or self.client.memory.shelf):
            self.breaches.append(f"{self.name} was handed an empty slate on {slate.rung}")
        if slate.rung not in Rung.__members__ or not slate.reason:
            self.breaches.append(f"{self.name}: a slate does not say how good it is")
        names = [item.item for item in slate.items]
        if len(set(names)) < len(names):
            self.breaches.append(f"{self.name}: a slate holds a video twice")
        if not slate.rewatch and any(name in self.client.memory.seen for name in names):
            self.breaches.append(f"{self.name}: a video was offered again on {slate.rung} by {slate.region}")

    def _told(self, told: Told) -> None:
        if told.what == "moved":
            self.trace.count("client moved")
            self.trace.tell(self.name, f"moves to {told.region}")
        if told.what not in ("acked", "safe"):
            return
        for number in told.numbers:
            entry = (self.client.alias, number)
            if told.what == "safe":
                self.ledger.called_safe(entry)
            else:
                self.ledger.told.setdefault(entry, Said()).local.add(told.region)
