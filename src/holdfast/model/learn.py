"""Learning the linear rung: sums of integers, kept up to date example by example, solved when a release is due.

An example is what a viewer's history was, and what they then watched long (or did not). The sums of DESIGN's ridge
regression are kept in fixed point, so that the same examples give the same sums, bit for bit, in any order and by
parts: what two regions learned apart `add`s up to what one would have learned alone.

Yesterday counts half of today. Nothing is faded for that: an example enters with a weight that doubles every day, from
the beginning of an epoch of EPOCH_DAYS that is the same on every clock. Only when an epoch ends are all sums divided by
2**EPOCH_DAYS, and what falls off then counted less than 1/30,000 of today's.

Features get a column when first needed. Columns are bounded; when they run out, the least active quarter of the videos
makes room, and what there is to say of these is left to co-watch (`cowatch`).
"""

from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed.viewer import History
from holdfast.model.cowatch import REACH, Cowatch
from holdfast.model.linear import SPREAD_IN, Features, Followers, LinearModel, Sparse, faded

Array = NDArray[Any]

UNIT = 64  # fixed point of a history: one long view just now is 64
EXAMPLE_UNIT = 16  # fixed point of an example's weight at the beginning of an epoch
HALF_LIFE_US = 86_400 * 1_000_000  # a day; on KuaiRand hit@20 was .131 with it and .121 without any forgetting
EPOCH_DAYS = 16  # half-lives: one example is at most 2**33 then, and int64 holds a billion such
EPOCH_US = EPOCH_DAYS * HALF_LIFE_US
RIDGE = 700.0  # λ, in long views squared; on KuaiRand hit@20 is .116 at 70, .125 at 200, .139 here, .128 at 2000
COLUMNS_MAX = {"i:": 10_000, "t:": 256, "c:": 512}  # then the sums take 1.4 GB and a solve a minute of one core
SOLVED_FIRST = 3_000  # videos in the first solve; `affordable` says how many in the next
SOLVE_S = 6.0  # what a solve may take, so that releases stay fresh
DENSE_MAX = 4_000  # features of a model that is released whole; beyond, each keeps its KEPT strongest weights
KEPT = 256  # explaining and scoring read this many per feature of a history
COWATCH_LEAST = 2.0  # long views that make a follower
_FIRST = 256  # columns to begin with; they double

# What the next video is worth as a target, in 1/OUTCOME_UNIT. Short views as small negatives were tried: hit@20 on
# KuaiRand falls from .153 to .126, because what a feed chose to show next is itself worth knowing.
OUTCOME_UNIT = 8
OUTCOME = {"long": 8, "hide": -8}


class Statistics:
    """Σ x xᵀ and Σ x yᵀ over the features seen so far, in int64 fixed point. Owns and changes its state.

    `gram` holds the lower triangle by rows, int64[D (D + 1) / 2]; `next` is int64[≥ D, ≥ D].
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.names: list[str] = []
        self.of: dict[str, int] = {}
        self.gram: Array = np.zeros(_start(_FIRST), np.int64)
        self.next: Array = np.zeros((_FIRST, _FIRST), np.int64)
        self.active: Array = np.zeros(_FIRST, np.int64)  # how much each feature was a target
        self.kinds = {"i:": 0, "t:": 0, "c:": 0}
        self.cowatch = Cowatch()
        self.examples = 0
        self.weight = 0  # of all examples, in 1/EXAMPLE_UNIT of the epoch's beginning
        self.epoch = 0
        self.newest_us = 0
        self._features = Features(catalogue, self.of, -1)

    def learn(self, history: History, row: int, stamp: int, *, outcome: int, share: float = 1.0) -> None:
        """Add one example: after `history` the video `row` had `outcome` (OUTCOME), `share` of full weight."""
        if history.rows.size == 0:
            return
        weight = self._weight(stamp, share)
        if weight <= 0:
            return
        outs = self._targets(row)  # first: it may give columns away
        x, at = self._inputs(history)
        big = x * weight
        i, j = np.tril_indices(at.size)
        self.gram[_start(at[i]) + at[j]] += big[i] * x[j]  # `at` ascends, so this is the lower triangle
        self.next[np.ix_(at, outs)] += big[:, None] * outcome
        self.active[outs] += weight
        if outcome > 0:
            liked = history.rows[history.weights >= 1.0][-REACH:]
            self.cowatch.learn(liked[liked != row].astype(np.int64), row, weight)
        self.examples += 1
        self.weight += weight

    @property
    def videos(self) -> int:
        """How many videos have a column."""
        return sum(name.startswith("i:") for name in self.names)

    @property
    def rise(self) -> float:
        """The weight of a whole example now, in 1/EXAMPLE_UNIT of the epoch's beginning."""
        return 2.0 ** ((self.newest_us - self.epoch * EPOCH_US) / HALF_LIFE_US) if self.newest_us else 1.0

    def solve(self, videos: int = COLUMNS_MAX["i:"]) -> LinearModel:
        """Return the model of the sums so far, over the `videos` most active videos: a Cholesky solve, O(D³)."""
        at = self._most_active(videos)
        d, unit = at.size, EXAMPLE_UNIT * self.rise
        a: Array = np.zeros((d, d), np.float32)
        for k, row in enumerate(at.tolist()):
            a[k, : k + 1] = self.gram[_start(row) + at[: k + 1]]
        a /= UNIT * UNIT * unit
        a[np.diag_indices(d)] += RIDGE
        b = self.next[np.ix_(at, at)].astype(np.float32)
        b /= UNIT * unit * OUTCOME_UNIT
        names = [self.names[i] for i in at.tolist()]
        weights: Any = scipy.linalg.solve(
            a, b, assume_a="pos", lower=True, overwrite_a=True, overwrite_b=True, check_finite=False
        ) if d else a  # fmt: skip
        return LinearModel(
            names, self.weight / unit, Sparse.strongest(weights, KEPT) if d > DENSE_MAX else weights,
            self._followers(names, unit),
        )  # fmt: skip

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

    def copy(self) -> "Statistics":
        """Return a frozen copy to solve elsewhere (a thread) while this one goes on learning."""
        other = Statistics(self.catalogue)
        d = len(self.names)
        other.names, other.cowatch = list(self.names), self.cowatch.copy()
        other.gram, other.next = self.gram[: _start(d)].copy(), self.next[:d, :d].copy()
        other.active = self.active[:d].copy()
        other.examples, other.weight = self.examples, self.weight
        other.epoch, other.newest_us = self.epoch, self.newest_us
        return other

    def add(self, other: "Statistics") -> None:
        """Add what another learned from other examples: exactly, unless a bound is met or an epoch lies between."""
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
            before = known[known <= k]
            low, high = np.minimum(at[before], i), np.maximum(at[before], i)
            self.gram[_start(high) + low] += other.gram[_start(k) + before] >> behind
        self.next[np.ix_(here, here)] += other.next[np.ix_(known, known)] >> behind
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
        bits = min(EPOCH_DAYS * (epoch - self.epoch), 62)
        for sums in (self.gram, self.next, self.active):
            sums >>= bits
        self.cowatch.shift(bits)
        self.weight >>= bits
        self.epoch = epoch

    def _inputs(self, history: History) -> tuple[Array, Array]:
        """Return (int64 values, columns) of a history's features that are not zero in fixed point."""
        self._features.refresh()
        dims = self._features.rows(history.rows)
        values = faded(history)[:, None] * (SPREAD_IN * UNIT)
        x = np.bincount(dims.ravel() + 1, values.ravel(), minlength=len(self.names) + 1)[1:]  # column −1: no feature
        fixed = np.rint(x).astype(np.int64)
        at = np.flatnonzero(fixed)
        return fixed[at], at

    def _targets(self, row: int) -> Array:
        """Return the columns of the target: the video, its tags, its creator; each counts as one."""
        c, creator = self.catalogue, int(self.catalogue.creator[row])
        names = ["i:" + c.items.all[row], *("t:" + tag for tag in c.tag_names(row))]
        names += ["c:" + c.creators.all[creator]] if creator >= 0 else []
        self._features.refresh()
        for name in names:
            self._name(name)
        return np.array([self.of[name] for name in names if name in self.of], np.int64)

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
            wide = max(d + 1, min(2 * d, sum(COLUMNS_MAX.values())))
            self.gram, self.active = _longer(self.gram, _start(wide)), _longer(self.active, wide)
            grown = np.zeros((wide, wide), np.int64)
            grown[:d, :d] = self.next
            self.next = grown
        self.of[name] = d
        self.names.append(name)
        self.kinds[kind] += 1
        self._features.place(name, d)

    def _make_room(self) -> None:
        """Drop the least active quarter of the videos; their sums go with them."""
        d = len(self.names)
        items = np.array([i for i, name in enumerate(self.names) if name.startswith("i:")])
        drop = items[np.argsort(self.active[items], kind="stable")[: items.size // 4]]
        keep = np.setdiff1d(np.arange(d), drop)
        for k, row in enumerate(keep.tolist()):  # upwards in place: a row moves towards the beginning
            self.gram[_start(k) : _start(k) + k + 1] = self.gram[_start(row) + keep[: k + 1]]
        self.gram[_start(keep.size) :] = 0
        self.next[: keep.size, : keep.size] = self.next[np.ix_(keep, keep)]
        self.next[keep.size :] = 0
        self.next[:, keep.size :] = 0
        self.active[: keep.size] = self.active[keep]
        self.active[keep.size :] = 0
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


def _start(row: Any) -> Any:
    """Where a row of the lower triangle begins."""
    return row * (row + 1) // 2


def _longer(sums: Array, size: int) -> Array:
    grown = np.zeros(size, sums.dtype)
    grown[: sums.size] = sums
    return grown
