"""Co-watch: what was watched long soon after what, for the videos too many to have a column in the closed form.

Each video keeps its KEPT strongest followers as integer counts. When a new follower comes to a full list it takes the
place of the weakest and inherits its count (Space-Saving; Metwally, Agrawal, El Abbadi, ICDT 2005): a count is never
too small, and too large by no more than the smallest in its list. Lists that never overflowed are exact, so they merge
exactly, in any order and by parts; others within that bound (Agarwal et al., Mergeable Summaries, PODS 2012).

Counts use the clock of the closed form (`learn`): an example's weight doubles with every half-life; nothing is faded.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

KEPT = 32  # followers per video: 400 bytes
REACH = 8  # newest long views that a next one is put down to
PRIOR = 4.0  # long views a video is given of "went on to something else", so that one viewer is no rule


class Cowatch:
    """Followers by row. `targets`: int32[rows, KEPT], −1 for none; `counts`: int64[rows, KEPT]; `totals`: int64[rows].

    Owns and changes its state.
    """

    def __init__(self) -> None:
        self.targets: Array = np.full((0, KEPT), -1, np.int32)
        self.counts: Array = np.zeros((0, KEPT), np.int64)
        self.totals: Array = np.zeros(0, np.int64)

    def learn(self, before: Array, row: int, weight: int) -> None:
        """Count that `row` followed each of int[M] rows, each given once."""
        if not before.size:
            return
        self._reach(int(max(before.max(), row)) + 1)
        self.totals[before] += weight
        at = np.argmax(self.targets[before] == row, axis=1)
        new = self.targets[before, at] != row
        if new.any():
            fresh = before[new]
            weakest = np.argmin(self.counts[fresh], axis=1)
            self.targets[fresh, weakest] = row
            at[new] = weakest
        self.counts[before, at] += weight

    def shift(self, bits: int) -> None:
        """Divide all counts by 2**bits: a new epoch of weights begins."""
        self.counts >>= bits
        self.totals >>= bits

    def add(self, other: "Cowatch", row_of: Array) -> None:
        """Add another's counts; `row_of`: int64 row here of each row there, −1 for one that is not known here."""
        for there in np.flatnonzero(other.totals[: row_of.size]).tolist():
            here = int(row_of[there])
            if here < 0:
                continue
            held = other.targets[there] >= 0
            targets, counts = row_of[other.targets[there][held]], other.counts[there][held]
            targets, counts = targets[targets >= 0], counts[targets >= 0]
            self._reach(max(here, int(targets.max(initial=0))) + 1)
            self.totals[here] += other.totals[there]
            self._join(here, targets, counts)

    def _join(self, here: int, targets: Array, counts: Array) -> None:
        mine = self.targets[here] >= 0
        both = np.concatenate([self.targets[here][mine], targets])
        rows, at = np.unique(both, return_inverse=True)
        sums = np.zeros(rows.size, np.int64)
        np.add.at(sums, at, np.concatenate([self.counts[here][mine], counts]))
        best = np.lexsort((rows, -sums))[:KEPT]
        self.targets[here], self.counts[here] = -1, 0
        self.targets[here, : best.size], self.counts[here, : best.size] = rows[best], sums[best]

    def copy(self) -> "Cowatch":
        """Return a frozen copy."""
        other = Cowatch()
        other.targets, other.counts, other.totals = self.targets.copy(), self.counts.copy(), self.totals.copy()
        return other

    def _reach(self, n: int) -> None:
        held = self.totals.size
        if n > held:
            more = max(n, held + held // 2, 64) - held
            self.targets = np.concatenate([self.targets, np.full((more, KEPT), -1, np.int32)])
            self.counts = np.concatenate([self.counts, np.zeros((more, KEPT), np.int64)])
            self.totals = np.concatenate([self.totals, np.zeros(more, np.int64)])

    def shares(self, unit: float, columned: Array, least: float) -> tuple[Array, Array, Array]:
        """Return int32 sources, int32 targets, float32 shares: of a source's viewers, how many went on to the target.

        `unit`: the weight of one long view now. Pairs of which both are `columned` (bool[rows]) are the closed form's
        business; those of less than `least` long views are chance.
        """
        n = min(columned.size, self.totals.size)
        targets, counts = self.targets[:n], self.counts[:n]
        known = (targets >= 0) & (targets < n) & (counts >= least * unit)
        known &= ~(columned[:n, None] & columned[np.where(known, targets, 0)])
        source, at = np.nonzero(known)
        share = counts[source, at] / (self.totals[source] + PRIOR * unit)
        return source.astype(np.int32), targets[source, at], share.astype(np.float32)
