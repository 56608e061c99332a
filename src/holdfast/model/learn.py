"""Learning the linear rung: sums of integers, kept up to date example by example, solved when a release is due.

An example is what a viewer's history was, and what they then watched long (or did not). The sums of DESIGN's ridge
regression are kept in fixed point, so that the same examples give the same sums, bit for bit, in any order and by
parts: what two regions learned apart `add`s up to what one would have learned alone.

Yesterday counts half of today. Nothing is faded for that: an example enters with a weight that doubles every day, from
the beginning of an epoch of EPOCH_DAYS that is the same on every clock. Only when an epoch ends are all sums divided by
2**EPOCH_DAYS, rounding down: what comes to nothing by that counted less than 1/60,000 of today's.

Features get a column when first needed. Columns are bounded; when they run out, the least active quarter of the videos
makes room, and what there is to say of these is left to co-watch (`cowatch`).
"""

from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed.viewer import History
from holdfast.model import solve
from holdfast.model.cowatch import REACH, Cowatch
from holdfast.model.linear import SPREAD_IN, Features, Followers, LinearModel, faded
from holdfast.model.solve import System
from holdfast.model.sums import CORNER, SQUARE, Sums

Array = NDArray[Any]

UNIT = 64  # fixed point of a history: one long view just now is 64
EXAMPLE_UNIT = 16  # fixed point of an example's weight at the beginning of an epoch
HALF_LIFE_US = 86_400 * 1_000_000  # a day; on KuaiRand hit@20 was .131 with it and .121 without any forgetting
EPOCH_DAYS = 4  # half-lives: one example is at most 2**8 then, so that few sums outgrow a word (`sums`)
EPOCH_US = EPOCH_DAYS * HALF_LIFE_US
RIDGE = 700.0  # λ, in long views squared; on KuaiRand hit@20 is .116 at 70, .125 at 200, .139 here, .128 at 2000
COLUMNS_MAX = {"i:": 10_000, "t:": 256, "c:": 512}  # then the sums take 0.7 GB and a solve a minute of one core
SOLVED_FIRST = 3_000  # videos in the first solve; `affordable` says how many in the next
SOLVE_S = 7.0  # of a core; KuaiRand: its 3,000 busiest videos answer .097, the whole in 7 s .140 (hit@20)
COWATCH_LEAST = 2.0  # long views that make a follower
WAITING_MAX = 4096  # examples kept back, so that those of one viewer are added at once; some 10 MB
TOGETHER = 32  # of one viewer: their products stay below 2**53, so that floats add them exactly
_FIRST = 256  # columns to begin with; they double

# What the next video is worth as a target, in 1/OUTCOME_UNIT. Short views as small negatives were tried: hit@20 on
# KuaiRand falls from .153 to .126, because what a feed chose to show next is itself worth knowing.
OUTCOME_UNIT = 8
OUTCOME = {"long": 8, "hide": -8}


class _Example(NamedTuple):
    """What waits to be added: int64 columns and values of the input, columns of the target."""

    viewer: str
    at: Array
    x: Array
    outs: Array
    weight: int
    outcome: int


class Statistics:
    """Σ x xᵀ and Σ x yᵀ over the features seen so far, in fixed point. Owns and changes its state."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.names: list[str] = []
        self.of: dict[str, int] = {}
        self._gram, self._next = Sums(CORNER), Sums(SQUARE)
        self.active: Array = np.zeros(0, np.int64)  # how much each feature was a target
        self.kinds = {"i:": 0, "t:": 0, "c:": 0}
        self.cowatch = Cowatch()
        self.examples = 0
        self.weight = 0  # of all examples, in 1/EXAMPLE_UNIT of the epoch's beginning
        self.epoch = 0
        self.newest_us = 0
        self._features = Features(catalogue, self.of, -1)
        self._waiting: list[_Example] = []
        self._outs: dict[int, tuple[int, Array]] = {}  # row -> (stamp of its publication, its columns as a target)

    def learn(
        self, history: History, row: int, stamp: int, *, outcome: int, share: float = 1.0, viewer: str = ""
    ) -> None:
        """Add one example: after `history` the video `row` had `outcome` (OUTCOME), `share` of full weight.

        `viewer` decides nothing: a viewer's examples are alike, and adding them up together is quicker.
        """
        if history.rows.size == 0:
            return
        weight = self._weight(stamp, share)
        if weight <= 0:
            return
        outs = self._targets(row)  # first: it may give columns away
        at, x = self._inputs(history)
        self._waiting.append(_Example(viewer, at, x, outs, weight, outcome))
        self.active[outs] += weight
        if outcome > 0:
            liked = history.rows[history.weights >= 1.0][-REACH:]
            self.cowatch.learn(liked[liked != row].astype(np.int64), row, weight)
        self.examples += 1
        self.weight += weight
        if len(self._waiting) >= WAITING_MAX:
            self._settle()

    def _settle(self) -> None:
        """Add what waits to the sums, viewer by viewer."""
        waiting, self._waiting = self._waiting, []
        waiting.sort(key=lambda e: e.viewer)
        for _, group in groupby(waiting, key=lambda e: e.viewer):
            alike = list(group)
            for first in range(0, len(alike), TOGETHER):
                self._add(alike[first : first + TOGETHER])

    def _add(self, alike: list[_Example]) -> None:
        """Add the products of some examples. Floats are exact here, and many times as quick as integers."""
        at, x = _spread([e.at for e in alike], [e.x for e in alike])  # [U], [E, U]
        outs, y = _spread([e.outs for e in alike], [np.ones(e.outs.size) for e in alike])  # [V], [E, V]
        big = x.T * np.array([float(e.weight) for e in alike])
        i, j = np.tril_indices(at.size)  # `at` ascends
        self._gram.add(at[i], at[j], (big @ x)[i, j].astype(np.int64))
        sums = (big * np.array([float(e.outcome) for e in alike])) @ y  # [U, V]
        i, j = np.nonzero(sums)
        self._next.add(at[i], outs[j], sums[i, j].astype(np.int64))

    @property
    def videos(self) -> int:
        """How many videos have a column."""
        return self.kinds["i:"]

    @property
    def rise(self) -> float:
        """The weight of a whole example now, in 1/EXAMPLE_UNIT of the epoch's beginning."""
        return 2.0 ** ((self.newest_us - self.epoch * EPOCH_US) / HALF_LIFE_US) if self.newest_us else 1.0

    def solve(self, videos: int = COLUMNS_MAX["i:"]) -> LinearModel:
        """Return the model of the sums so far, over the `videos` most active videos."""
        return self.freeze(videos).solve()

    def freeze(self, videos: int = COLUMNS_MAX["i:"]) -> System:
        """Return what the model of the sums so far is the solution of, to be solved elsewhere (a thread)."""
        self._settle()
        at, unit = self._most_active(videos), EXAMPLE_UNIT * self.rise
        names = [self.names[i] for i in at.tolist()]
        return System(
            names, self.weight / unit, solve.left(self._gram, at, UNIT * UNIT * unit, RIDGE),
            solve.right(self._next, at, UNIT * unit * OUTCOME_UNIT), self._followers(names, unit),
        )  # fmt: skip

    def whole(self) -> tuple[Array, Array]:
        """Return Σ x xᵀ (its lower triangle) and Σ x yᵀ, int64[D, D] in fixed point: for who wants to see them all."""
        self._settle()
        d = len(self.names)
        gram, after = np.zeros((d, d), np.int64), np.zeros((d, d), np.int64)
        i, j = np.tril_indices(d)
        gram[i, j] = self._gram.read(i, j)
        i, j = (k.ravel() for k in np.indices((d, d)))
        after[i, j] = self._next.read(i, j)
        return gram, after

    def _most_active(self, videos: int) -> Array:
        """Return the columns to solve, ascending: all but the videos beyond the `videos` most active."""
        d = len(self.names)
        items = np.array([i for i, name in enumerate(self.names) if name.startswith("i:")], np.int64)
        less = items[np.argsort(-self.active[items], kind="stable")[videos:]]
        return np.setdiff1d(np.arange(d), less)

    def _followers(self, names: list[str], unit: float) -> Followers:
        items, solved = self.catalogue.items, {name[2:] for name in names if name.startswith("i:")}
        columned = np.zeros(len(items.all), bool)
        columned[[items.of[item] for item in solved if item in items.of]] = True
        return Followers.of_rows(items.all, *self.cowatch.shares(unit, columned, COWATCH_LEAST))

    def add(self, other: "Statistics") -> None:
        """Add what another learned from other examples: exactly, unless a bound is met or an epoch lies between."""
        self._settle()
        other._settle()
        self.newest_us = max(self.newest_us, other.newest_us)
        if other.epoch > self.epoch:
            self._begin(other.epoch)
        behind = min(EPOCH_DAYS * (self.epoch - other.epoch), 62)
        for name in other.names:
            self._name(name)
        at = np.array([self.of.get(name, -1) for name in other.names], np.int64)
        known = np.flatnonzero(at >= 0)
        here = at[known]
        for k, i in zip(known.tolist(), here.tolist(), strict=True):
            before, every = known[known <= k], np.full(known.size, k)
            low, high = np.minimum(at[before], i), np.maximum(at[before], i)
            self._gram.add(high, low, other._gram.read(every[: before.size], before) >> behind)
            self._next.add(np.full(known.size, i), here, other._next.read(every, known) >> behind)
        self.active[here] += other.active[known] >> behind
        theirs = other.cowatch
        if behind:
            theirs = theirs.copy()
            theirs.shift(behind)
        of = self.catalogue.items.of
        self.cowatch.add(theirs, np.array([of.get(item, -1) for item in other.catalogue.items.all], np.int64))
        self.examples += other.examples
        self.weight += other.weight >> behind

    def _weight(self, stamp: int, share: float) -> int:
        """Integer weight of an example made at `stamp`; begins a new epoch when that one is over."""
        epoch = stamp // EPOCH_US
        if epoch > self.epoch:
            self._begin(epoch)
        self.newest_us = max(self.newest_us, stamp)
        return round(EXAMPLE_UNIT * share * 2.0 ** max(-60.0, (stamp - self.epoch * EPOCH_US) / HALF_LIFE_US))

    def _begin(self, epoch: int) -> None:
        self._settle()
        bits = min(EPOCH_DAYS * (epoch - self.epoch), 62)
        self._gram.shift(bits)
        self._next.shift(bits)
        self.active >>= bits
        self.cowatch.shift(bits)
        self.weight >>= bits
        self.epoch = epoch

    def _inputs(self, history: History) -> tuple[Array, Array]:
        """Return int64 columns, ascending, and values of a history's features that are not zero in fixed point."""
        self._features.refresh()
        dims = self._features.rows(history.rows)
        held = dims >= 0  # the others have no column
        values = (faded(history)[:, None] * (SPREAD_IN * UNIT))[held]
        x = np.rint(np.bincount(dims[held], values)).astype(np.int64)
        at = np.flatnonzero(x)
        return at, x[at]

    def _targets(self, row: int) -> Array:
        """Return the columns of the target: the video, its tags, its creator; each counts as one."""
        c, published = self.catalogue, int(self.catalogue.published[row])
        known = self._outs.get(row)
        if known is not None and known[0] == published:
            return known[1]
        creator = int(c.creator[row])
        names = ["i:" + c.items.all[row], *("t:" + tag for tag in c.tag_names(row))]
        names += ["c:" + c.creators.all[creator]] if creator >= 0 else []
        self._features.refresh()
        for name in names:
            self._name(name)
        outs = np.array([self.of[name] for name in names if name in self.of], np.int64)
        if names[0] in self.of:  # which has a column has it until there is no more room
            self._outs[row] = published, outs
        return outs

    # -- columns: a feature gets one when it is first watched long -------------------------------------------------

    def _name(self, name: str) -> None:
        """Give a feature a column if it has none and there is room."""
        kind = name[:2]
        if name in self.of:
            return
        if self.kinds[kind] >= COLUMNS_MAX[kind]:
            if kind != "i:":
                return
            self._make_room()
        d = len(self.names)
        if d == self.active.size:
            wide = max(d + 1, min(max(2 * d, _FIRST), sum(COLUMNS_MAX.values())))
            self._gram.reach(wide)
            self._next.reach(wide)
            self.active = np.concatenate([self.active, np.zeros(wide - d, np.int64)])
        self.of[name] = d
        self.names.append(name)
        self.kinds[kind] += 1
        self._features.place(name, d)

    def _make_room(self) -> None:
        """Drop the least active quarter of the videos; their sums go with them."""
        self._settle()
        d = len(self.names)
        items = np.array([i for i, name in enumerate(self.names) if name.startswith("i:")])
        drop = items[np.argsort(self.active[items], kind="stable")[: items.size // 4]]
        keep = np.setdiff1d(np.arange(d), drop)
        self._gram.keep(keep, d)
        self._next.keep(keep, d)
        self.active[: keep.size] = self.active[keep]
        self.active[keep.size :] = 0
        self._outs.clear()
        self.names = [self.names[i] for i in keep.tolist()]
        self.of.clear()
        self.of.update({name: i for i, name in enumerate(self.names)})
        self.kinds["i:"] -= int(drop.size)
        self._features = Features(self.catalogue, self.of, -1)
        self._features.refresh()


def affordable(videos: int, took_s: float) -> int:
    """Return how many videos the next solve may take, given how long one of `videos` took: O(D³) within SOLVE_S."""
    more = max(videos, 1) * (SOLVE_S / max(took_s, 1e-3)) ** (1 / 3)
    return int(min(max(more, SOLVED_FIRST / 4), COLUMNS_MAX["i:"]))


def _spread(columns: list[Array], values: list[Array]) -> tuple[Array, Array]:
    """Return the int64[U] columns that are named, ascending, and float64[E, U] with each example's values there."""
    sizes = [c.size for c in columns]
    at, where = np.unique(np.concatenate(columns), return_inverse=True)
    out = np.zeros((len(columns), at.size))
    out[np.repeat(np.arange(len(columns)), sizes), where] = np.concatenate(values)
    return at, out
