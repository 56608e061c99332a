"""The feed: gather, then decide. One synchronous, pure call turns requests into slates.

    sources → filters → value → slate → guard          once per query, on the rung it stands on
                                  └─ breach: one rung down and again; the last rung needs nothing

Time, chance and place are arguments (`Budget`), so any slate can be made again from the same world. The result keeps
what was retrieved, what was removed and by which filter, and what was chosen: "why this" and "why not" cost nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from holdfast.core.feed import filters, guard, slate, sources, value
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.slate import Pick
from holdfast.core.feed.sources import Stock
from holdfast.core.feed.viewer import Budget, History, Query, Viewer, see
from holdfast.core.feed.world import World

Array = NDArray[Any]


class Predict(Protocol):
    """What the pipeline asks of a model. Pure: the same histories give the same scores.

    `trust` in 0..1 says how much it has learned.
    """

    trust: float

    def scores(self, histories: Sequence[History]) -> Array:
        """Return float32[B, n]: how likely each catalogue row is watched long next."""
        ...

    def because(self, history: History, row: int) -> list[tuple[int, float]]:
        """Return (index into the history, contribution) of what speaks most for `row`, strongest first."""
        ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """A video in a slate. `row` is −1 for one that only the shelf knows."""

    item: str
    row: int
    source: str
    score: float
    parts: tuple[float, ...] = ()
    how: str = "best"
    propensity: float = 1.0


@dataclass(slots=True)
class Result:
    """A slate with its reasons. `removed`: catalogue rows by filter; `breaches`: what the guard caught on the way."""

    viewer: Viewer
    rung: Rung
    chosen: list[Chosen]
    rewatch: bool = False
    retrieved: dict[str, int] = field(default_factory=dict[str, int])
    removed: dict[str, Array] = field(default_factory=dict[str, Array])
    breaches: list[str] = field(default_factory=list[str])

    @property
    def drawn(self) -> int:
        """The place drawn at random, −1 if none."""
        return next((i for i, c in enumerate(self.chosen) if c.how == "drawn"), -1)


def run(queries: Sequence[Query], world: World, predict: Predict | None, budget: Budget) -> list[Result]:
    """Answer every query. `predict` is None when no model is at hand: then no rung above REGIONAL is tried."""
    viewers = [see(query, world, budget) for query in queries]
    stock = sources.stock(world, budget)
    scores = _linear(viewers, predict, budget)
    trust = predict.trust if predict else 0.0
    return [_answer(viewer, stock, scores.get(i), trust, world, budget) for i, viewer in enumerate(viewers)]


def _linear(viewers: list[Viewer], predict: Predict | None, budget: Budget) -> dict[int, Array]:
    asking = [i for i, v in enumerate(viewers) if v.rung <= Rung.LINEAR and not v.public]
    if predict is None or "next" in budget.without or not asking:
        return {}
    batch = predict.scores([viewers[i].history for i in asking])
    return dict(zip(asking, batch, strict=True))


def _answer(
    viewer: Viewer, stock: Stock, linear: Array | None, trust: float, world: World, budget: Budget
) -> Result:
    breached: list[str] = []
    start = max(viewer.rung, Rung.LINEAR if linear is not None else Rung.REGIONAL)
    for rung in (r for r in Rung if start <= r < Rung.DEVICE):
        shelf = rung is Rung.SHELF
        result = _from_shelf(viewer, world, budget) if shelf else _at(rung, viewer, stock, linear, trust, world)
        wrong = guard.breaches(_rows(result), result.rewatch, viewer)
        if not wrong:
            result.breaches = breached
            return result
        breached += [f"{rung.name}: {what}" for what in wrong]
    return Result(viewer, Rung.DEVICE, [], breaches=breached)


def _rows(result: Result) -> list[int]:
    """Rows for the guard; shelf items unknown to the catalogue count as −2, −3, … so that none looks doubled."""
    return [c.row if c.row >= 0 else -2 - i for i, c in enumerate(result.chosen)]


def _at(rung: Rung, viewer: Viewer, stock: Stock, linear: Array | None, trust: float, world: World) -> Result:
    found = sources.retrieve(viewer, rung, stock, linear, world)
    kept, removed, rewatch = filters.sift(found, viewer, world)
    if rewatch:  # everything was seen: look at all of it, the longest unseen first
        found = sources.everything(stock)
        kept, removed, rewatch = filters.sift(found, viewer, world)
    rows, source = found.rows[kept], found.source[kept]
    if rewatch:
        last = np.array([viewer.seen.get(row, 0) for row in rows.tolist()], np.float64)
        score = (last.max(initial=0.0) - last) / 1e6
        order = np.lexsort((rows, -score))[: viewer.query.ask.n].tolist()
        picks = [Pick(i, "rewatch") for i in order]
        parts = np.zeros((rows.size, 0), np.float32)
    else:
        taste = value.taste_of(rows, value.tastes(viewer.history, world.catalogue), world.catalogue)
        parts = value.parts(found.linear[kept], trust, taste, stock.heat[rows], source == sources.FOLLOWING)
        score = value.score(parts, rung)
        picks = slate.choose(rows, score, stock.debut[rows], viewer.query.ask.n, world.catalogue, viewer.draw)
    items = world.catalogue.items.all
    chosen: list[Chosen] = []
    for p in picks:
        row, found_by = int(rows[p.at]), sources.NAMES[int(source[p.at])]
        why = tuple(float(x) for x in parts[p.at])
        chosen.append(Chosen(items[row], row, found_by, float(score[p.at]), why, p.how, p.propensity))
    return Result(viewer, rung, chosen, rewatch, found.retrieved, removed)


def _from_shelf(viewer: Viewer, world: World, budget: Budget) -> Result:
    """Offer the signed shelf, less what this viewer has seen and what is known here to be ruled away since."""
    c = world.catalogue
    asked = viewer.query.ask
    known = [(item, c.items.of.get(item, -1)) for item in budget.shelf if item not in asked.exclude]
    allowed = c.allowed()
    live = [(i, r) for i, r in known if r < 0 or allowed[r] or (c.publications[r] is None and c.verdict[r] < 0)]
    live = [(i, r) for i, r in live if r not in viewer.profile.hidden]
    named = set(asked.seen)
    fresh = [(i, r) for i, r in live if i not in named and r not in viewer.seen]
    chosen = [Chosen(item, row, "shelf", 0.0, how="shelf") for item, row in (fresh or live)[: asked.n]]
    return Result(viewer, Rung.SHELF, chosen, rewatch=not fresh and bool(live), retrieved={"shelf": len(budget.shelf)})
