"""The feed: gather, then decide. One synchronous, pure call turns requests into slates.

    filters → sources → value → slate → guard          all queries that stand on a rung together, rung by rung
                                  └─ breach: that query again, one rung down; the last rung needs nothing

Time, chance and place are arguments (`Budget`), so any slate can be made again from the same world. The result keeps
what was retrieved, what was removed and by which filter, and what was chosen: "why this" and "why not" cost nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.feed import debut, diversity, fatigue, filters, guard, kinds, rules, slate, sources, value, wishes
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pasts import together
from holdfast.core.feed.predict import Eligible, Predict, Predictors
from holdfast.core.feed.slate import Pick
from holdfast.core.feed.sources import Candidates, Stock, Stocks
from holdfast.core.feed.viewer import Budget, Query, Viewer, see
from holdfast.core.feed.world import World
from holdfast.core.tenants import tenant_of

Array = NDArray[Any]


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


def run(
    queries: Sequence[Query], world: World, predictors: Predictors, budget: Budget, stocks: Stocks | None = None
) -> list[Result]:
    """Answer every query. A rung above REGIONAL that `predictors` does not name is not tried.

    Tenants share nothing, so the queries of each are answered from a stock of their own. `stocks` keeps these between
    calls, a quarter of a second at most; without it a slate is of this very moment.
    """
    stocks = stocks or Stocks()
    answers: dict[int, Result] = {}
    for tenant in dict.fromkeys(query.tenant for query in queries):
        mine = [i for i, query in enumerate(queries) if query.tenant == tenant]
        stock = stocks.of(world, budget, tenant)
        results = _answer([queries[i] for i in mine], stock, world, predictors, budget)
        answers.update(zip(mine, results, strict=True))
    return [answers[i] for i in range(len(queries))]


def _answer(
    queries: list[Query], stock: Stock, world: World, predictors: Predictors, budget: Budget
) -> list[Result]:
    viewers = [see(query, world, budget) for query in queries]
    done: dict[int, Result] = {}
    breached: dict[int, list[str]] = {i: [] for i in range(len(viewers))}
    for rung in (r for r in Rung if r < Rung.DEVICE):
        asking = [i for i, viewer in enumerate(viewers) if i not in done and viewer.rung <= rung]
        predict = _model(rung, predictors, budget)
        if not asking or (rung < Rung.REGIONAL and predict is None):
            continue
        group = [viewers[i] for i in asking]
        results = _shelf(group, world, budget) if rung is Rung.SHELF else _at(rung, group, predict, stock, world)
        for i, result in zip(asking, results, strict=True):
            wrong = guard.breaches(_rows(result), result.rewatch, viewers[i])
            if wrong:
                breached[i] += [f"{rung.name}: {what}" for what in wrong]
            else:
                done[i] = result
    for i, viewer in enumerate(viewers):
        done.setdefault(i, Result(viewer, Rung.DEVICE, [])).breaches = breached[i]
    return [done[i] for i in range(len(viewers))]


def _model(rung: Rung, predictors: Predictors, budget: Budget) -> Predict | None:
    dropped = "next" in budget.without or ("network" in budget.without and rung < Rung.LINEAR)
    return None if dropped else predictors.get(rung)


def _rows(result: Result) -> list[int]:
    """Rows for the guard; shelf items unknown to the catalogue count as −2, −3, … so that none looks doubled."""
    return [c.row if c.row >= 0 else -2 - i for i, c in enumerate(result.chosen)]


def _at(rung: Rung, group: list[Viewer], predict: Predict | None, stock: Stock, world: World) -> list[Result]:
    """Answer queries on one rung: with as few filters relaxed as leave anything, and each on its own level of that."""
    allowed, by_mask = zip(*(filters.masks(v, world, stock.allowed) for v in group), strict=True)
    lists = [filters.lists(v, world) for v in group]
    found: dict[int, tuple[Candidates, Array]] = {}
    level: dict[int, frozenset[str]] = {}
    for relaxed in filters.RELAXED:
        empty = [i for i in range(len(group)) if i not in found or not found[i][0].rows.size]
        if not empty:
            break
        level.update(dict.fromkeys(empty, relaxed))
        eligible = [Eligible(allowed[i], filters.barred(lists[i], relaxed)) for i in empty]
        if "seen" in relaxed:  # everything was seen: look at all of it, the longest unseen first
            every = [sources.everything(e, stock) for e in eligible]
            found.update({i: (c, _NOTHING) for i, c in zip(empty, every, strict=True)})
        else:
            found.update(
                zip(empty, _ask(rung, [group[i] for i in empty], eligible, predict, stock, world), strict=True)
            )
    results: list[Result] = []
    for i, viewer in enumerate(group):
        candidates, parts = found[i]
        result = Result(viewer, rung, [], "seen" in level[i], candidates.retrieved)
        result.removed = by_mask[i] | filters.blame(lists[i], level[i], stock.allowed, stock.marks)
        result.chosen = (_longest_unseen if result.rewatch else _best)(result, candidates, parts, stock, world)
        results.append(result)
    return results


_NOTHING = np.zeros((0, 0), np.float32)


def _ask(
    rung: Rung, group: list[Viewer], eligible: list[Eligible], predict: Predict | None, stock: Stock, world: World
) -> list[tuple[Candidates, Array]]:
    """Gather candidates for every viewer and say what is known of each: (candidates, float32[K, P] parts)."""
    if predict is None:
        found = [sources.gather(v, e, None, stock, world) for v, e in zip(group, eligible, strict=True)]
        columns: dict[str, Array] = {}
        trust = 0.0
    else:
        reading, trust = predict.read([v.history for v in group]), predict.trust
        most = sources.EACH if rung is Rung.LINEAR else sources.RANKED
        retrieved = reading.retrieve(most[sources.MODEL], eligible)
        found = [
            sources.gather(v, e, rows, stock, world, most)
            for v, e, (rows, _) in zip(group, eligible, retrieved, strict=True)
        ]
        scores = np.concatenate(reading.score([c.rows for c in found]))
        columns = dict(zip(predict.parts, scores.T, strict=True))
    counts = [c.rows.size for c in found]
    columns |= _beside(rung, group, found, stock, world)
    parts = np.split(value.parts(rung, columns, counts, trust), np.cumsum(counts)[:-1])
    return list(zip(found, parts, strict=True))


def _beside(rung: Rung, group: list[Viewer], found: list[Candidates], stock: Stock, world: World) -> dict[str, Array]:
    """Columns by name beside the model's own: float of each viewer's candidates, one viewer after the other."""
    c, counts = world.catalogue, [one.rows.size for one in found]
    rows, whose = np.concatenate([one.rows for one in found]), np.repeat(np.arange(len(found)), counts)
    columns: dict[str, Array] = {"heat": stock.heat[rows]}
    if rung <= Rung.LINEAR:
        past = together([viewer.history for viewer in group])
        columns["taste"] = value.taste_of(rows, value.tastes_of(past, c), c, whose)
        columns["followed"] = np.concatenate([one.source for one in found]) == sources.FOLLOWING
        columns["fresh"] = stock.fresh(rows)
        columns["first"] = debut.reception(rows, c, stock.debuts.usual)
        columns["tired"] = fatigue.tired(rows, whose, past, c, stock.now_us)
    if any(viewer.wishes is not None for viewer in group):
        columns["told"] = np.concatenate([
            np.zeros(one.rows.size, np.float32) if viewer.wishes is None else wishes.told(one.rows, viewer.wishes, c)
            for viewer, one in zip(group, found, strict=True)
        ])  # fmt: skip
    return columns


def _best(result: Result, found: Candidates, parts: Array, stock: Stock, world: World) -> list[Chosen]:
    """Order the candidates by their score, as a person wants to swipe through them."""
    viewer, rows, asked = result.viewer, found.rows, result.viewer.query.ask.rules
    if viewer.query.trial.factors:
        parts = value.weighed(parts, result.rung, viewer.query.trial.factors)
    score = value.score(parts, result.rung)
    if asked is not None:
        score = rules.nudged(asked, rows, score, world.catalogue, viewer.query.tenant)
        best = rules.capped(asked, rows, score, world.catalogue)
        found, parts, score = Candidates(rows[best], found.source[best], found.retrieved), parts[best], score[best]
        rows = found.rows
    if viewer.asked.kind.newest:
        picks = [Pick(i, "best") for i in kinds.by_time(rows, viewer.query.ask.n, world.catalogue)]
        return [_chosen(p, found, float(score[p.at]), tuple(parts[p.at].tolist()), result.rung, world) for p in picks]
    picks = slate.choose(rows, score, world.catalogue, _course(viewer, rows, score, stock, world))
    chosen = [_chosen(p, found, float(score[p.at]), tuple(parts[p.at].tolist()), result.rung, world) for p in picks]
    return chosen if asked is None or not asked.pin else _pinned(asked, chosen, result, stock, world)


def _course(viewer: Viewer, rows: Array, score: Array, stock: Stock, world: World) -> slate.Course:
    """Say what a slate of these candidates is to be: how broad, and which places are owed to new videos."""
    n, draw, owed = viewer.query.ask.n, viewer.draw, stock.debuts
    course = slate.Course(n, draw, diversity.exploring(viewer))
    if not owed.share or debut.held_out(viewer.query.viewer):
        return course
    course.debut_places = debut.places(owed.share, n, draw)
    if course.debut_places:
        course.debuts = debut.order(rows, owed.urge_of(rows), score, world.catalogue, draw)
    return course


def _pinned(asked: rules.Rules, chosen: list[Chosen], result: Result, stock: Stock, world: World) -> list[Chosen]:
    """Put the pinned items that no filter removed first; the others follow, still at most so many of a creator."""
    c, query = world.catalogue, result.viewer.query
    eligible = stock.allowed.copy()
    for removed in result.removed.values():
        eligible[removed] = False
    rows = rules.pinned(asked, eligible, c, query.tenant)
    out = [Chosen(c.items.all[row], row, "pinned", 0.0, how="pinned") for row in rows]
    met = [int(c.creator[row]) for row in rows]
    for one in chosen:
        creator = int(c.creator[one.row])
        if one.row not in rows and (not asked.max_per_creator or met.count(creator) < asked.max_per_creator):
            out.append(one)
            met.append(creator)
    return out[: query.ask.n]


def _longest_unseen(result: Result, found: Candidates, parts: Array, stock: Stock, world: World) -> list[Chosen]:
    """Offer what was seen, the longest unseen first."""
    del parts, stock
    viewer = result.viewer
    last = np.array([viewer.seen.when(row) for row in found.rows.tolist()], np.float64)
    score = (last.max(initial=0.0) - last) / 1e6
    order = np.lexsort((found.rows, -score))[: viewer.query.ask.n].tolist()
    return [_chosen(Pick(i, "rewatch"), found, float(score[i]), (), result.rung, world) for i in order]


def _chosen(pick: Pick, found: Candidates, score: float, parts: tuple[float, ...], rung: Rung, world: World) -> Chosen:
    row, source = int(found.rows[pick.at]), int(found.source[pick.at])
    name = sources.NETWORK if source == sources.MODEL and rung < Rung.LINEAR else sources.NAMES[source]
    return Chosen(world.catalogue.items.all[row], row, name, score, parts, pick.how, pick.propensity)


def _shelf(group: list[Viewer], world: World, budget: Budget) -> list[Result]:
    return [_from_shelf(viewer, world, budget) for viewer in group]


def _from_shelf(viewer: Viewer, world: World, budget: Budget) -> Result:
    """Offer the signed shelf, less what this viewer has seen and what is known here to be ruled away since."""
    c = world.catalogue
    asked = viewer.query.ask
    tenant = viewer.query.tenant
    shelf = [item for item in budget.shelf if tenant_of(item) == tenant]
    known = [(item, c.items.of.get(item, -1)) for item in shelf if item not in asked.exclude]
    allowed = c.allowed()
    live = [(i, r) for i, r in known if r < 0 or allowed[r] or (c.publications[r] is None and c.verdict[r] < 0)]
    asks = rules.mask(viewer, world)  # what a rule keeps out stays out here too; of what is not known yet, nobody knows
    live = [(i, r) for i, r in live if r not in viewer.profile.hidden and (asks is None or (r >= 0 and asks[r]))]
    live = kinds.on_shelf(viewer, live, world)
    named = set(asked.seen)
    fresh = [(i, r) for i, r in live if i not in named and r not in viewer.seen]
    chosen = [Chosen(item, row, "shelf", 0.0, how="shelf") for item, row in (fresh or live)[: asked.n]]
    return Result(viewer, Rung.SHELF, chosen, rewatch=not fresh and bool(live), retrieved={"shelf": len(budget.shelf)})
