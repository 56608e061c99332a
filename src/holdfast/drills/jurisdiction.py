"""A jurisdiction in virtual time: the real folds, lessons and pipeline of several regions, and a clock that jumps.

What one region hears, its peers hear `lag_s` later; a lost region hears and says nothing more, and what it had not yet
told is gone. There are no processes, no log and no network here: for what *those* do there are the drills. What this is
for is long stretches of an audience's time (an hour in a minute), with the very code that decides in a region.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from holdfast.core.entries import Entry, SlateServed
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pipeline import Result, run
from holdfast.core.feed.predict import Predict
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.feed.viewer import Budget, Query
from holdfast.core.feed.world import World
from holdfast.model.lessons import Lessons
from holdfast.model.linear import Linear

S_US = 1_000_000


@dataclass(slots=True)
class Site:
    """One region: what it has folded, and what is on its way to it as (due, from whom, entry)."""

    name: str
    world: World
    lost: bool = False
    model: Predict | None = None
    coming: deque[tuple[int, str, Entry]] = field(default_factory=deque[tuple[int, str, Entry]])


class Jurisdiction:
    """Regions by name. Times are µs and never go back. The last region's learner releases for all; it is never lost."""

    def __init__(self, names: list[str], lag_s: float, seed: int) -> None:
        self.lessons = Lessons("US")
        self.sites = {name: Site(name, World("US")) for name in names[:-1]}
        self.learner = names[-1]
        self.sites[self.learner] = Site(self.learner, self.lessons.world)
        self.lag_us = int(lag_s * S_US)
        self.seed = seed
        self.now_us = 0
        self._outbox: dict[str, int] = {}

    def stamped(self, device: str, stamp: int = 0) -> dict[str, Any]:
        """Return what names the next entry of a device, made at `stamp`, or now."""
        self._outbox[device] = self._outbox.get(device, 0) + 1
        return {"device": device, "outbox": self._outbox[device], "stamp": stamp or self.now_us}

    def advance(self, now_us: int) -> None:
        """Let time pass: what is due by `now_us` is folded."""
        self.now_us = max(now_us, self.now_us)
        for site in self.sites.values():
            while site.coming and site.coming[0][0] <= now_us:
                entry = site.coming.popleft()[2]
                self._fold(site, entry)

    def tell(self, at: str, entry: Entry) -> None:
        """Hand an entry to a region: it folds it now, its peers later."""
        here = self.sites[at]
        assert not here.lost
        self._fold(here, entry)
        for site in self.sites.values():
            if site is not here and not site.lost:
                site.coming.append((self.now_us + self.lag_us, at, entry))

    def everywhere(self, entry: Entry) -> None:
        """Hand an entry to all regions at once: what has long been known."""
        for site in self.sites.values():
            self._fold(site, entry)

    def _fold(self, site: Site, entry: Entry) -> None:
        if site.name == self.learner:
            self.lessons.take(entry)
        elif not site.lost:
            site.world.apply(entry)

    def lose(self, name: str) -> None:
        """A region goes dark, and with it what it told its peers within the lag."""
        assert name != self.learner
        self.sites[name].lost = True
        for site in self.sites.values():
            site.coming = deque(one for one in site.coming if one[1] != name)

    def learn(self) -> None:
        """Solve the linear model, and let every region serve it. The gate is left out: the world here is honest."""
        if self.lessons.statistics.examples:
            model = self.lessons.statistics.solve()
            for site in self.sites.values():
                site.model = Linear(model, site.world.catalogue)

    def ask(self, at: str, viewer: str, request: FeedRequest, without: frozenset[str] = frozenset()) -> Result:
        """Ask a region for a slate; nothing is recorded."""
        site = self.sites[at]
        budget = Budget(self.now_us, self.seed, Rung.LINEAR, without=without)
        predictors = {Rung.LINEAR: site.model} if site.model else {}
        return run([Query(viewer, request)], site.world, predictors, budget)[0]

    def serve(self, at: str, viewer: str, request: FeedRequest) -> Result:
        """Ask a region for a slate, and let it record what it served."""
        result = self.ask(at, viewer, request)
        self.tell(at, SlateServed(
            **self.stamped(f"node-{at}"), viewer=viewer, slate=result.viewer.slate, rung=result.rung.name,
            items=[c.item for c in result.chosen], drawn=result.drawn,
        ))  # fmt: skip
        return result
