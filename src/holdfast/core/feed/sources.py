"""Sources: where candidates come from. Each one offers its best, and says so.

A source looks past what this viewer may not have, and goes on until it has CANDIDATES or there is nothing more. So
whatever remains unseen in the catalogue is found, and "you have seen everything" is a fact, not an accident.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.feed import debut, rules, wishes
from holdfast.core.feed.predict import Eligible
from holdfast.core.feed.viewer import Budget, Viewer
from holdfast.core.feed.world import World
from holdfast.core.rulings import STRICTNESS
from holdfast.core.tenants import PLATFORM

Array = NDArray[Any]

CANDIDATES = 200  # per source
AGE_MAX_US = 365 * 86_400 * 1_000_000  # older videos are reached by link, not by the feed
FRESH_US = 48 * 3600 * 1_000_000  # half-life of newness
STOCK_AGE_US = 250_000  # a stock serves the calls of so long: what is warm changes slowly, what is allowed at once
PLAN_AGE_US = 1_000_000  # and a plan of debuts this long: it looks at every new video
STOCKS_MAX = 64  # tenants whose stock is kept: about 12 bytes per video each
HOT = 4096  # of the warmest videos are put in order at once; who has seen all of these has the rest ordered too

FOLLOWING, MODEL, TRENDING, DEBUT, TOLD = range(5)  # a video found twice is put down to the first
NAMES = ("following", "linear", "trending", "debut", "told")
# Candidates per source. A network ranks every one of them, 1.5 µs each: so it is asked for 256 at most.
EACH = dict.fromkeys(range(len(NAMES)), CANDIDATES)
RANKED = {FOLLOWING: 32, MODEL: 128, TRENDING: 48, DEBUT: 24, TOLD: 24}
NETWORK = "retrieved"  # what MODEL is called when a network retrieved


class Stock:
    """What all queries of one tenant share in a call. bool[n] masks and float64[n] columns over catalogue rows.

    `before`: the stock of a moment ago, whose plan of debuts may still do.
    """

    def __init__(self, world: World, budget: Budget, tenant: str = PLATFORM, before: "Stock | None" = None) -> None:
        c = world.catalogue
        self.world, self.version, self.without = world, c.version, budget.without
        n = c.n
        age = budget.now_us - c.published[:n]
        self.allowed: Array = c.allowed() & (age < AGE_MAX_US)  # ruled `allow` here, live, not too old
        if len(c.tenants.all) > 1:  # whatever a source offers is of this tenant
            self.allowed &= c.of_tenant(tenant)
        self.heat: Array = c.heat(c.newest_us)
        self.now_us = self.planned_us = budget.now_us
        owed: debut.Plan | None = debut.NOTHING if "debut" in budget.without else None
        if owed is None and before is not None and 0 <= budget.now_us - before.planned_us < PLAN_AGE_US:
            owed, self.planned_us = before.debuts, before.planned_us
        self.debuts: debut.Plan = debut.plan(world, self.allowed, budget.now_us, tenant) if owed is None else owed
        self._published: Array = c.published
        self.marks: Array = np.zeros(n, bool)  # scratch: all False between two uses
        self._order: Array | None = None
        self._whole = False

    def serves(self, world: World, budget: Budget) -> bool:
        """Say whether this stock may still answer: nothing was published or ruled since, and it is a moment old."""
        same = self.world is world and self.version == world.catalogue.version and self.without == budget.without
        return same and 0 <= budget.now_us - self.now_us < STOCK_AGE_US

    @property
    def rows(self) -> Array:
        """int64: the rows of `allowed`."""
        return np.flatnonzero(self.allowed)

    def fresh(self, rows: Array) -> Array:
        """Return float64[K] in 0..1: how new each row is, halving every FRESH_US."""
        return np.exp2(-np.maximum(self.now_us - self._published[rows], 0) / FRESH_US)

    def hot(self, depth: int) -> Array:
        """Return at least the `depth` warmest allowed rows, warmest first; all of them if there are fewer."""
        if self._order is None or (self._order.size < depth and not self._whole):
            rows = self.rows
            self._whole = depth > HOT or rows.size <= HOT
            if not self._whole:
                rows = rows[np.argpartition(-self.heat[rows], HOT - 1)[:HOT]]
            self._order = rows[np.argsort(-self.heat[rows], kind="stable")]
        return self._order


class Stocks:
    """Stocks by tenant, kept from call to call by whoever calls; each is made anew when it no longer serves."""

    def __init__(self) -> None:
        self._held: dict[str, Stock] = {}

    def of(self, world: World, budget: Budget, tenant: str) -> Stock:
        """Return the stock for one call."""
        held = self._held.get(tenant)
        if held is not None and held.serves(world, budget):
            return held
        self._held.pop(tenant, None)
        if len(self._held) >= STOCKS_MAX:
            del self._held[next(iter(self._held))]
        planned = held is not None and held.world is world and held.without == budget.without
        stock = self._held[tenant] = Stock(world, budget, tenant, held if planned else None)
        return stock


@dataclass(slots=True)
class Candidates:
    """int64[K] rows, each once, and int8[K] the source that found each; how many each source retrieved."""

    rows: Array
    source: Array
    retrieved: dict[str, int]


def gather(
    viewer: Viewer, eligible: Eligible, retrieved: Array | None, stock: Stock, world: World, most: dict[int, int] = EACH
) -> Candidates:
    """Ask every source for one viewer, each for its `most`.

    `retrieved`: int64 rows that the rung's model found, None below LINEAR.
    """
    found: list[tuple[int, Array]] = []
    marks = stock.marks
    marks[eligible.barred] = True
    if viewer.profile.follows and (retrieved is not None or viewer.asked.kind.newest):
        rows = following(viewer, world)
        if eligible.allowed is not stock.allowed:  # a rule of this request holds for those one follows as well
            rows = rows[eligible.allowed[rows] | ~stock.allowed[rows]]
        found.append((FOLLOWING, rows[~marks[rows]][-most[FOLLOWING] :]))
    if retrieved is not None:  # a model is not trusted with what may be shown
        found.append((MODEL, retrieved[eligible.allowed[retrieved] & ~marks[retrieved]]))
    if viewer.wishes is not None:
        rows = wishes.wanted(viewer.wishes, world.catalogue)
        rows = rows[eligible.allowed[rows] & ~marks[rows]]
        found.append((TOLD, rows[np.argsort(-stock.heat[rows], kind="stable")][: most[TOLD]]))
    found.append((TRENDING, _warmest(eligible, stock, most[TRENDING])))
    if stock.debuts.urgent.size and not debut.held_out(viewer.query.viewer):
        rows = stock.debuts.urgent  # planned a moment ago: what has been ruled away since is not among `allowed`
        found.append((DEBUT, rows[eligible.allowed[rows] & ~marks[rows]][: most[DEBUT]]))
    marks[eligible.barred] = False
    rows, first = np.unique(np.concatenate([r for _, r in found]), return_index=True)
    source = np.repeat(np.array([s for s, _ in found], np.int8), [r.size for _, r in found])[first]
    return Candidates(rows, source, {NAMES[s]: int(r.size) for s, r in found})


def everything(eligible: Eligible, stock: Stock) -> Candidates:
    """Return all that is eligible: for the viewer who has seen all of it."""
    open_ = eligible.allowed.copy()
    open_[eligible.barred] = False
    rows = np.flatnonzero(open_)
    del stock
    return Candidates(rows, np.full(rows.size, TRENDING, np.int8), {NAMES[TRENDING]: int(rows.size)})


def following(viewer: Viewer, world: World) -> Array:
    """Return the rows by creators the viewer follows, `limit` among them: a limit binds recommending to strangers."""
    c = world.catalogue
    rows = c.made_by(viewer.profile.followed())
    tenant = c.tenants.of.get(viewer.query.tenant, -1)
    shown = c.live[rows] & (c.verdict[rows] >= 0) & (c.verdict[rows] <= STRICTNESS["limit"])
    asks = rules.mask(viewer, world)  # `limit` rows stand outside the stock, where the other sources heed it
    return rows[shown & (c.tenant[rows] == tenant) & (True if asks is None else asks[rows])]


def _warmest(eligible: Eligible, stock: Stock, most: int) -> Array:
    """The `most` warmest eligible rows. The barred ones are marked."""
    depth = most + eligible.barred.size
    while True:
        hot = stock.hot(depth)
        head = hot[:depth]
        rows = head[~stock.marks[head]]
        if eligible.allowed is not stock.allowed:
            rows = rows[eligible.allowed[rows]]
        if rows.size >= most or depth >= hot.size:
            return rows[:most]
        depth *= 4
