"""The histories of one call, end to end: what is made of all viewers at once instead of one after the other.

A few hundred numbers of one viewer cost NumPy little; the call that asks for them costs more. So whatever is counted
over histories (tastes, fatigue, the ranker's signals) is counted once per call of the pipeline, by (viewer, number).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from holdfast.core.feed.viewer import History

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Pasts:
    """B histories of N events together. int64[N] `rows`, float32[N] `weights` and `shares`, int64[N] `stamps`, the
    strongest `actions`; `whose`: int64[N], the viewer of each; `counts`: events of each viewer.

    `timed`: bool[N], whether the stamp is known; a share that is not known is −1.
    """

    rows: Array
    weights: Array
    actions: list[str]
    shares: Array
    stamps: Array
    timed: Array
    whose: Array
    counts: list[int]

    @property
    def age(self) -> Array:
        """int64[N]: newer events of the same viewer after each."""
        ends = np.cumsum(self.counts)
        return ends[self.whose] - 1 - np.arange(self.whose.size)


def together(histories: Sequence["History"]) -> Pasts:
    """Put histories end to end."""
    counts = [h.rows.size for h in histories]
    known = [h.stamps.size == k for h, k in zip(histories, counts, strict=True)]
    return Pasts(
        np.concatenate([h.rows for h in histories], dtype=np.int64),
        np.concatenate([h.weights for h in histories]),
        [action for h in histories for action in h.actions],
        np.concatenate([h.shares if h.shares.size == k else np.full(k, -1, np.float32)
                        for h, k in zip(histories, counts, strict=True)]),
        np.concatenate([h.stamps if some else np.zeros(k, np.int64)
                        for h, k, some in zip(histories, counts, known, strict=True)]),
        np.repeat(known, counts), np.repeat(np.arange(len(counts)), counts), counts,
    )  # fmt: skip


class Met:
    """Which numbers (of creators, of topics) each viewer met: sums over them, and where they stand.

    `whose` and `numbers`: int64[N] viewers and what they met; −1 is none. `size`: one more than the largest number.
    """

    def __init__(self, whose: Array, numbers: Array, size: int) -> None:
        self._size = size + 1
        self._known = np.flatnonzero(numbers >= 0)
        self.keys, self._at = np.unique(self._key(whose, numbers)[self._known], return_inverse=True)

    def _key(self, whose: Array, numbers: Array) -> Array:
        return whose * self._size + (numbers + 1)  # "none" has a key of its own, which nobody met

    def sums(self, weights: Array | None = None) -> Array:
        """Return float64[M + 1]: how often each was met, or the sum of its float[N] weights; the last is 0."""
        added = np.bincount(self._at, None if weights is None else weights[self._known], self.keys.size + 1)
        return added.astype(np.float64)

    def only(self, kept: Array) -> None:
        """Forget all but bool[M] `kept`: what is asked next is where the few stand."""
        self.keys, self._known, self._at = self.keys[kept], self._known[:0], self._at[:0]

    def find(self, whose: Array, numbers: Array) -> Array:
        """Return int64[K]: the place in `sums` of each viewer's number, M for one that was not met."""
        last = self.keys.size
        if not last:
            return np.zeros(numbers.size, np.int64)
        key = self._key(whose, numbers)
        place = np.minimum(np.searchsorted(self.keys, key), last - 1)
        return np.where(self.keys[place] == key, place, last)
