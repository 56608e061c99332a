"""Whether a predicted 30 % happens 30 times in a hundred: expected calibration error and its table."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
BINS = 10


def calibration(predicted: Array, happened: Array) -> dict[str, Any]:
    """Return `{ece, predicted, happened, reliability: [{predicted, happened, n} …]}` of float64[N] probabilities.

    BINS bins of equal count, by rank of the prediction (equal predictions stay in one bin where they straddle its
    edge); ECE is the mean over impressions of |predicted − happened| of their bin.
    """
    assert len(predicted) and (predicted >= 0).all() and (predicted <= 1).all()
    edges = np.quantile(predicted, np.linspace(0, 1, BINS + 1)[1:-1])
    bins = np.searchsorted(edges, predicted, side="right")
    rows: list[dict[str, Any]] = []
    off = 0.0
    for b in np.unique(bins):
        mine = bins == b
        p, h, n = float(predicted[mine].mean()), float(happened[mine].mean()), int(mine.sum())
        off += abs(p - h) * n
        rows.append({"predicted": round(p, 4), "happened": round(h, 4), "n": n})
    return {"ece": round(off / len(predicted), 4), "predicted": round(float(predicted.mean()), 4),
            "happened": round(float(happened.mean()), 4), "reliability": rows}  # fmt: skip
