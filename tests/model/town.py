"""A small town that is served by the real pipeline and folded by the real learner: entries in, examples out."""

from collections.abc import Callable

import numpy as np

from holdfast.core.entries import Entry, Hide, Like, Publication, Ruling, SlateServed, View
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pipeline import Result, run
from holdfast.core.feed.predict import Predict
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.feed.viewer import Budget, Query
from holdfast.drills import world as audience
from holdfast.model import full, network, ranker, signals
from holdfast.model.examples import Examples, Unit
from holdfast.model.lessons import Lessons
from holdfast.model.linear import Linear

T = 1_700_000_000_000_000
SMALL = full.Size(
    network.Shape(width=16, layers=1, heads=2, length=8, item_buckets=256, tag_buckets=64, creator_buckets=64,
                  actions=16, dwells=signals.DWELLS, gaps=signals.GAPS),
    ranker.Shape(width=16, features=signals.WIDTH, bins=4, heads=2, hidden=8, members=1),
)  # fmt: skip


class Town:
    """`entries`: all that happened, in order. `lessons` and `examples` have folded them."""

    def __init__(self, seed: int = 0, clips: int = 120, viewers: int = 20) -> None:
        made = audience.clips(seed, clips, 6)
        self.world = audience.World(seed, made)
        self.viewers = [self.world.viewer(k) for k in range(viewers)]
        self.lessons = Lessons("US")
        self.examples = Examples(self.lessons.world)
        self.entries: list[Entry] = []
        self.now = T
        self.linear: Linear | None = None
        self.outage = False
        self.kept: list[Unit] = []  # examples that a test keeps for itself
        self._used: dict[str, int] = {}
        for clip in made:
            self.publish(clip.item, list(clip.tags), clip.creator, clip.duration_ms)

    @property
    def catalogue(self):
        return self.lessons.world.catalogue

    def id(self, device: str, after_us: int = 200_000) -> dict:
        self._used[device] = self._used.get(device, 0) + 1
        self.now += after_us
        return {"device": device, "outbox": self._used[device], "stamp": self.now}

    def take(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.examples.take(entry)
        self.lessons.take(entry)

    def publish(self, item: str, tags: list[str], creator: str, duration_ms: int = 6000) -> None:
        self.take(Publication(**self.id("pub"), item=item, creator=creator, tags=tags, duration_ms=duration_ms))
        self.take(Ruling(**self.id("rule"), item=item, verdict="allow"))

    def ask(self, viewer: str, rung: Rung, network: Predict | None = None, n: int = 8, request: str = "") -> Result:
        predictors = {Rung.LINEAR: self.linear} if self.linear else {}
        if network is not None:
            predictors |= {Rung.FULL: network, Rung.STALE: network}
        query = Query(viewer, FeedRequest(n=n, request=request or str(self.now)))
        return run([query], self.lessons.world, predictors, Budget(self.now, 7, rung))[0]

    def fixed(self, result: Result) -> np.ndarray:
        rows = np.array([c.row for c in result.chosen])
        past = result.viewer.history
        scores = self.linear.read([past]).score([rows])[0][:, 0] if self.linear else np.zeros(rows.size)
        return signals.signals(past, rows, scores, self.catalogue)

    def serve(self, result: Result, release: str = "", fixed: np.ndarray | None = None) -> SlateServed:
        """Record a slate. Until `outage`, one of REGIONAL says LINEAR, so that a town without a model teaches too."""
        fixed = self.fixed(result) if fixed is None else fixed
        rung = "LINEAR" if result.rung is Rung.REGIONAL and not self.outage else result.rung.name
        entry = SlateServed(
            **self.id("node"), rung=rung, viewer=result.viewer.query.viewer, slate=result.viewer.slate,
            items=[c.item for c in result.chosen], release=release, signals=signals.pack(fixed),
            history=signals.digest(result.viewer.history, self.catalogue),
        )  # fmt: skip
        self.take(entry)
        return entry

    def watch(self, viewer: audience.Viewer, entry: SlateServed) -> float:
        """Watch a slate as this viewer would; return the share watched long."""
        long = 0
        for pos, item in enumerate(entry.items):
            did = self.world.watch(viewer, item)
            long += did.long
            length = self.world.clips[item].duration_ms if item in self.world.clips else 6000
            self.take(View(**self.id(viewer.name), item=item, dwell_ms=did.dwell_ms, duration_ms=length,
                           slate=entry.slate, pos=pos))  # fmt: skip
            if did.like:
                self.take(Like(**self.id(viewer.name), item=item))
            if did.hide:
                self.take(Hide(**self.id(viewer.name), item=item, slate=entry.slate))
        return long / len(entry.items)

    def round(self, rung: Rung, learn: Callable[[], None] = lambda: None, network: Predict | None = None) -> None:
        """Everyone watches one slate; then the linear model is solved anew."""
        for viewer in self.viewers:
            self.watch(viewer, self.serve(self.ask(viewer.name, rung, network)))
            learn()
        self.linear = Linear(self.lessons.statistics.solve(), self.catalogue)
        self.lessons.incumbent = self.linear
