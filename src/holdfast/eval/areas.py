"""How well scores order what happened, and how sure that is: AUC, GAUC, calibration, bootstrap by viewer.

AUC: over all pairs of impressions, one with the action and one without, the share where the first scored higher; ties
count half. GAUC: the same within each viewer, weighted by the viewer's impressions, viewers with both kinds only; it
forgives a model that knows who watches but not what. Intervals draw viewers again with replacement, the same draws for
every contender, so a difference is paired and small ones tell.

"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """Impressions of a test: `viewer` int64[N] (any numbers), `happened` float64[N] 0 or 1."""

    viewer: Array
    happened: Array


class Areas:
    """One contender's scores over a test, ready to be weighed by how often each viewer was drawn."""

    def __init__(self, asked: Asked, scores: Array) -> None:
        assert np.isfinite(scores).all() and scores.shape == asked.happened.shape
        known, place = np.unique(asked.viewer, return_inverse=True)
        self.viewers = len(known)
        order = np.argsort(scores, kind="stable")
        self._viewer, self._happened = place[order], asked.happened[order]
        s = scores[order]
        self._ties = np.flatnonzero(np.r_[True, s[1:] != s[:-1]])
        self._own, self._count = _within(place, scores, asked.happened, self.viewers)

    def auc(self, times: Array | None = None) -> float:
        """Return the AUC with each viewer counted `times` float64[U]."""
        w = np.ones(len(self._viewer)) if times is None else times[self._viewer]
        yes = np.add.reduceat(w * self._happened, self._ties)
        no = np.add.reduceat(w * (1 - self._happened), self._ties)
        return float((yes * (np.cumsum(no) - no / 2)).sum() / max(yes.sum() * no.sum(), 1e-12))

    def gauc(self, times: Array | None = None) -> float:
        """Return the GAUC with each viewer counted `times`; .5 where no viewer has both kinds."""
        w = self._count if times is None else self._count * times
        return float((w * self._own).sum() / w.sum()) if w.sum() else 0.5


def _within(place: Array, scores: Array, happened: Array, viewers: int) -> tuple[Array, Array]:
    """Each viewer's own AUC and impressions; 0 impressions where the viewer has not both kinds."""
    order = np.lexsort((scores, place))
    v, s, y = place[order], scores[order], happened[order]
    n = np.bincount(v, minlength=viewers).astype(np.float64)
    first = np.r_[0, np.cumsum(n)[:-1]]
    rank = np.arange(len(v)) - first[v] + 1.0
    same = np.cumsum(np.r_[True, (v[1:] != v[:-1]) | (s[1:] != s[:-1])]) - 1
    rank = (np.bincount(same, rank) / np.bincount(same))[same]
    yes = np.bincount(v, y, viewers)
    no = n - yes
    both = (yes > 0) & (no > 0)
    area = (np.bincount(v, rank * y, viewers) - yes * (yes + 1) / 2) / np.maximum(yes * no, 1.0)
    return np.where(both, area, 0.0), np.where(both, n, 0.0)


def compared(areas: dict[str, Areas], seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return per contender `{auc, gauc, interval: {auc: [low, high], gauc: …}, less: {other: {auc: [low, high], …}}}`.

    `less` holds the paired interval of the difference to each other contender, in the order given.
    """
    draws: dict[str, Array] = {name: np.empty((RESAMPLES, 2)) for name in areas}
    viewers = next(iter(areas.values())).viewers
    rng = np.random.default_rng(seed)
    for i in range(RESAMPLES):
        times = np.bincount(rng.integers(0, viewers, viewers), minlength=viewers).astype(np.float64)
        for name, area in areas.items():
            draws[name][i] = area.auc(times), area.gauc(times)
    found: dict[str, dict[str, Any]] = {}
    for name, area in areas.items():
        found[name] = {"auc": round(area.auc(), 4), "gauc": round(area.gauc(), 4), "interval": _between(draws[name])}
        found[name]["less"] = {
            other: _between(draws[name] - draws[other]) for other in areas if other != name
        }  # fmt: skip
    return found


def shares(viewer: Array, hits: dict[str, Array], seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return per contender `{value, interval, less: {other: interval}}`: a mean of float64[Q], viewers redrawn."""
    known, place = np.unique(viewer, return_inverse=True)
    asked = np.bincount(place).astype(np.float64)
    sums = {name: np.bincount(place, values) for name, values in hits.items()}
    rng = np.random.default_rng(seed)
    draws = {name: np.empty(RESAMPLES) for name in hits}
    for i in range(RESAMPLES):
        times = np.bincount(rng.integers(0, len(known), len(known)), minlength=len(known))
        for name, total in sums.items():
            draws[name][i] = (times @ total) / (times @ asked)

    def between(values: Array) -> list[float]:
        return [round(float(x), 4) for x in np.quantile(values, [0.025, 0.975])]

    return {
        name: {"value": round(float(values.mean()), 4), "interval": between(draws[name]),
               "less": {other: between(draws[name] - draws[other]) for other in hits if other != name}}
        for name, values in hits.items()
    }  # fmt: skip


def _between(draws: Array) -> dict[str, list[float]]:
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return {name: [round(float(low[i]), 4), round(float(high[i]), 4)] for i, name in enumerate(("auc", "gauc"))}
