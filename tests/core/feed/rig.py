"""A small world made by real entries through the real fold."""

from holdfast.core.entries import Hide, Like, Publication, Ruling, SlateServed, View
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pipeline import Result, run
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.feed.viewer import Budget, Query
from holdfast.core.feed.world import World

T = 1_700_000_000_000_000
S = 1_000_000


class Stage:
    """A world with n ruled items of `themes` tags, and ways to act in it."""

    def __init__(self, n: int = 60, themes: int = 6) -> None:
        self.world = World("US")
        self.used: dict[str, int] = {}
        self.now = T
        for k in range(n):
            self.publish(f"clip-{k}", tags=[f"theme-{k % themes}"], creator=f"creator-{k % (themes * 2)}")

    def id(self, device: str) -> dict:
        self.used[device] = self.used.get(device, 0) + 1
        self.now += 1000
        return {"device": device, "outbox": self.used[device], "stamp": self.now}

    def rule(self, item: str, verdict: str = "allow", supersedes: list | None = None) -> Ruling:
        entry = Ruling(**self.id("policy"), item=item, verdict=verdict, supersedes=supersedes or [])
        self.world.apply(entry)
        return entry

    def publish(self, item: str, *, tags: list[str], creator: str = "c", verdict: str = "allow") -> None:
        if verdict:
            self.rule(item, verdict)
        self.world.apply(Publication(**self.id(f"dev-{creator}"), item=item, creator=creator, tags=tags,
                                     caption=item, duration_ms=6000))  # fmt: skip

    def view(self, viewer: str, item: str, dwell_ms: int = 6000) -> View:
        entry = View(**self.id(viewer), item=item, dwell_ms=dwell_ms, duration_ms=6000)
        self.world.apply(entry)
        return entry

    def like(self, viewer: str, item: str, on: bool = True) -> Like:
        entry = Like(**self.id(viewer), item=item, on=on)
        self.world.apply(entry)
        return entry

    def hide(self, viewer: str, item: str) -> None:
        self.world.apply(Hide(**self.id(viewer), item=item))

    def served(self, result: Result) -> None:
        self.world.apply(SlateServed(
            **self.id("node"), viewer=result.viewer.query.viewer, slate=result.viewer.slate, rung=result.rung.name,
            items=[c.item for c in result.chosen], feed=result.viewer.asked.kind.name,
        ))  # fmt: skip

    def ask(self, viewer: str = "v", predict=None, rung: Rung = Rung.LINEAR, shelf=(), **request) -> Result:
        budget = Budget(self.now + 1000, 7, rung, tuple(shelf))
        predictors = {Rung.LINEAR: predict} if predict else {}
        return run([Query(viewer, FeedRequest(**request))], self.world, predictors, budget)[0]


def items(result: Result) -> list[str]:
    return [c.item for c in result.chosen]
