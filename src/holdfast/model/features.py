"""Numbers for a ranker out of a log: rates drawn to their prior, and encodings that never saw their own row.

A rate of few events says little, so it is drawn towards a prior as if `strength` more events had gone the prior's way
(empirical Bayes). A *target encoding* puts such a rate in place of a name (a viewer, a video, an author), which gives a
model one number instead of thousands of columns; but a row that helped to make its own number betrays its outcome. So
training rows get theirs from the other folds only (Micci-Barreca 2001; out of fold: Prokhorenkova et al., NeurIPS
2018), and rows to be predicted get theirs from all training rows.

`within_length` takes length out of dwell: its quantile among videos of like length (as Zhan et al., KDD 2022).
All pure: int64[N] keys and float64[N] values in, float64[N] out.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FOLDS = 5
LENGTHS_MS = (1, 7_000, 10_000, 13_000, 18_000, 25_000, 40_000, 60_000, 90_000, 150_000, 240_000)  # about equal parts


def logit(p: Array) -> Array:
    """log(p / (1 − p)), p held off 0 and 1."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def rates(key: Array, value: Array, size: int, strength: float, prior: Array | float) -> Array:
    """Return float64[size]: the mean of `value` per key, drawn to `prior` by `strength` events."""
    total = np.bincount(key, value, size)
    return (total + strength * prior) / (np.bincount(key, minlength=size) + strength)


def out_of_fold(key: Array, value: Array, taught: Array, folds: Array, strength: float = 10.0) -> Array:
    """Return float64[N]: the rate of each row's key among `taught` rows (bool[N]) outside the row's own fold.

    `folds`: int[N], 0..FOLDS−1. Rows that are not taught get the rate of all that are.
    """
    size = int(key.max()) + 1
    prior = float(value[taught].mean())
    found = rates(key[taught], value[taught], size, strength, prior)[key]
    for fold in range(FOLDS):
        own = taught & (folds == fold)
        rest = taught & (folds != fold)
        found[own] = rates(key[rest], value[rest], size, strength, prior)[key[own]]
    return found


def within_length(dwell_ms: Array, length_ms: Array) -> Array:
    """Return float64[N] 0..1: the quantile of each dwell among videos of like length; equal dwells share their mean."""
    bucket = np.digitize(length_ms, LENGTHS_MS)
    order = np.lexsort((dwell_ms, bucket))
    b, d = bucket[order], dwell_ms[order]
    start = np.r_[True, b[1:] != b[:-1]]
    first = np.flatnonzero(start)[np.cumsum(start) - 1]
    size = np.bincount(b)[b]
    place = (np.arange(len(b)) - first + 0.5) / size
    same = np.cumsum(np.r_[True, (b[1:] != b[:-1]) | (d[1:] != d[:-1])]) - 1
    mean = np.bincount(same, place) / np.bincount(same)
    found = np.empty(len(b))
    found[order] = mean[same]
    return found
