"""Full ranking: where the held-out item stands among every item the viewer has not seen, and how sure that is.

HR@10 is the share of viewers whose item is in the first ten; NDCG@10 gives 1/log2(1 + place) instead of 1. All items of
the catalogue compete; sampled metrics order models wrongly (Krichene and Rendle, KDD 2020). An item is placed behind
all that score as much: a model that gives everything one score finds nothing. Coverage is the share of the catalogue
that stands in anyone's first ten. Intervals draw viewers again with replacement.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TOP = 10
RESAMPLES = 2000


class Placed(NamedTuple):
    """Where U held-out items stand. `rank`: int32[U], 1 = first; `top`: int32[U, TOP], the items shown."""

    rank: Array
    top: Array


def without(scores: Array, seen: Sequence[Array]) -> Array:
    """Return scores float32[B, N] with what each viewer has seen (int32[...] each) at −inf; changed in place."""
    for row, items in zip(scores, seen, strict=True):
        row[items] = -np.inf
    return scores


def place(scores: Array, target: Array) -> Placed:
    """Place targets int32[B] by scores float32[B, N], seen items at −inf. A score that is not a number is −inf."""
    scores = np.nan_to_num(scores, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    mine = scores[np.arange(len(target)), target]
    rank = (scores >= mine[:, None]).sum(1).astype(np.int32)  # ties count against it; itself makes it 1
    some = np.argpartition(-scores, TOP - 1, axis=1)[:, :TOP] if scores.shape[1] > TOP else np.argsort(-scores, axis=1)
    return Placed(rank, some.astype(np.int32))


def gain(rank: Array) -> Array:
    """Return float64[U]: each viewer's share of NDCG@10."""
    return np.where(rank <= TOP, 1 / np.log2(rank + 1.0), 0.0)


def interval(values: Array, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean of one value per viewer, by bootstrap."""
    rng = np.random.default_rng(seed)
    n = len(values)
    means = [float(values[rng.integers(0, n, n)].mean()) for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def figures(placed: Placed, items: int, seed: int = 0) -> dict[str, Any]:
    """Return hr_at_10, ndcg_at_10, its interval, and coverage_at_10."""
    gains = gain(placed.rank)
    low, high = interval(gains, seed)
    return {
        "hr_at_10": round(float((placed.rank <= TOP).mean()), 4),
        "ndcg_at_10": round(float(gains.mean()), 4),
        "ndcg_at_10_low": round(low, 4),
        "ndcg_at_10_high": round(high, 4),
        "coverage_at_10": round(np.unique(placed.top).size / items, 4),
    }
