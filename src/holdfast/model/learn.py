"""Learning the linear rung: sums of integers, kept up to date example by example, solved when a release is due.

An example is what a viewer's history was, and what they then watched long (or did not). The sums of DESIGN's ridge
regression are kept in fixed point, so that adding the same examples in any order gives the same model, bit for bit.
Yesterday counts half of today: instead of fading every number on every example, a day's examples enter with a weight
that rises through the day, and when it has doubled all sums are halved once.

Features get a column when first needed. Columns are bounded; when they run out, the least active quarter of the videos
makes room.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed.viewer import History
from holdfast.model.linear import SPREAD_IN, Features, LinearModel, faded

Array = NDArray[Any]

UNIT = 64  # fixed point of a history: one long view just now is 64
EXAMPLE_UNIT = 16  # fixed point of an example's weight
HALF_LIFE_US = 86_400 * 1_000_000  # a day; on KuaiRand hit@20 was .131 with it and .121 without any forgetting
RIDGE = 1000.0  # λ, in long views squared; on KuaiRand hit@20 is .116 at 100, .125 at 300, .139 here, .128 at 3000
COLUMNS_MAX = {"i:": 3_000, "t:": 256, "c:": 512}  # a solve takes some seconds on one core then
_FIRST = 256  # columns to begin with; they double

# What the next video is worth as a target, in 1/OUTCOME_UNIT. Short views as small negatives were tried: hit@20 on
# KuaiRand falls from .153 to .126, because what a feed chose to show next is itself worth knowing.
OUTCOME_UNIT = 8
OUTCOME = {"long": 8, "hide": -8}


class Statistics:
    """Σ x xᵀ and Σ x yᵀ over the features seen so far, as int64[D, D] in fixed point. Owns and changes its state."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.names: list[str] = []
        self.of: dict[str, int] = {}
        self.gram = np.zeros((_FIRST, _FIRST), np.int64)
        self.next = np.zeros((_FIRST, _FIRST), np.int64)
        self.active = np.zeros(_FIRST, np.int64)  # how much each feature was a target
        self.kinds = {"i:": 0, "t:": 0, "c:": 0}
        self.examples = 0
        self.weight = 0  # of all examples, in 1/EXAMPLE_UNIT, halved with the sums
        self.day_us = 0  # start of the half-life that weights are counted from
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
        self.gram[np.ix_(at, at)] += big[:, None] * x[None, :]
        self.next[np.ix_(at, outs)] += big[:, None] * outcome
        self.active[outs] += weight
        self.examples += 1
        self.weight += weight

    def solve(self) -> LinearModel:
        """Return the model of the sums so far: one dense solve, O(D³): 0.01 s at D = 260, 2.2 s at D = 3,150."""
        d = len(self.names)
        a = (self.gram[:d, :d] / (UNIT * UNIT * EXAMPLE_UNIT)).astype(np.float32)
        a[np.diag_indices(d)] += RIDGE
        b = (self.next[:d, :d] / (UNIT * EXAMPLE_UNIT * OUTCOME_UNIT)).astype(np.float32)
        return LinearModel(list(self.names), self.weight / EXAMPLE_UNIT, np.linalg.solve(a, b) if d else a)

    def copy(self) -> "Statistics":
        """Return a frozen copy to solve elsewhere (a thread) while this one goes on learning."""
        other = Statistics(self.catalogue)
        d = len(self.names)
        other.names = list(self.names)
        other.gram, other.next = self.gram[:d, :d].copy(), self.next[:d, :d].copy()
        other.examples, other.weight = self.examples, self.weight
        return other

    def _weight(self, stamp: int, share: float) -> int:
        """Integer weight of an example made at `stamp`; moves the day, halving all sums, when a half-life is over."""
        if not self.day_us:
            self.day_us = stamp
        halvings = (stamp - self.day_us) // HALF_LIFE_US
        if halvings > 0:
            for sums in (self.gram, self.next, self.active):
                sums >>= min(int(halvings), 62)
            self.weight >>= min(int(halvings), 62)
            self.day_us += halvings * HALF_LIFE_US
        return round(EXAMPLE_UNIT * share * 2.0 ** max(-60.0, (stamp - self.day_us) / HALF_LIFE_US))

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
            self.gram, self.next, self.active = (_grown(x) for x in (self.gram, self.next, self.active))
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
        for sums in (self.gram, self.next):
            sums[: keep.size, : keep.size] = sums[np.ix_(keep, keep)]
            sums[keep.size :] = 0
            sums[:, keep.size :] = 0
        self.active[: keep.size] = self.active[keep]
        self.active[keep.size :] = 0
        self.names = [self.names[i] for i in keep.tolist()]
        self.of.clear()
        self.of.update({name: i for i, name in enumerate(self.names)})
        self.kinds["i:"] -= int(drop.size)
        self._features = Features(self.catalogue, self.of, -1)
        self._features.refresh()


def _grown(sums: Array) -> Array:
    grown = np.zeros(tuple(2 * s for s in sums.shape), sums.dtype)
    grown[tuple(slice(0, s) for s in sums.shape)] = sums
    return grown
