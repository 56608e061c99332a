"""What a team would try first on a log: popularity, a logistic regression over names, gradient-boosted trees.

Each is what its name says at settings chosen on 27 and 28 April, by the same procedure as the ranker's, so that beating
it means something. Each gives P(action) for the asked impressions, float64.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from holdfast.eval.columns import OF_VIDEO, matrix, trees
from holdfast.eval.kuairand import Data
from holdfast.model.features import rates

Array = NDArray[Any]
WEEK_MS = 7 * 86_400_000
PENALTY = 0.3  # inverse strength of the ridge of the logits


def popular(data: Data, of: str) -> Array:
    """A video's own rate over the last seven days before the split, in the log."""
    c, taught = data.column, data.taught
    rows = taught & (c["time_ms"] > c["time_ms"][taught].max() - WEEK_MS)
    rate = rates(c["video"][rows], c[of][rows], len(data.videos), OF_VIDEO, float(c[of][rows].mean()))
    return rate[c["video"][~taught]]


def logits(data: Data, of: str) -> Array:
    """Logistic regression with one weight per viewer, video and tab."""
    from sklearn.linear_model import LogisticRegression

    c, n = data.column, len(data.taught)
    tabs, tab = np.unique(c["tab"], return_inverse=True)
    sizes = (len(data.viewers), len(data.videos), len(tabs))
    places = np.stack([c["viewer"], sizes[0] + c["video"], sizes[0] + sizes[1] + tab], 1)
    ones = csr_matrix((np.ones(3 * n), places.ravel(), np.arange(0, 3 * n + 1, 3)), shape=(n, sum(sizes)))
    model = LogisticRegression(C=PENALTY, max_iter=300)
    model.fit(ones[data.taught], c[of][data.taught])
    return model.predict_proba(ones[~data.taught])[:, 1]


def gbdt(data: Data, of: str, seed: int) -> Array:
    """Gradient-boosted trees over the columns of `columns.trees`."""
    return boosted(matrix(trees(data, of, seed)), data, of, seed)


def boosted(table: Array, data: Data, of: str, seed: int, rounds: int = 500) -> Array:
    """Histogram boosting (as LightGBM; Ke et al., NeurIPS 2017) over `table` float32[N, F]; → P float64[asked]."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        learning_rate=0.025, max_leaf_nodes=8, max_iter=rounds, l2_regularization=1.0, min_samples_leaf=50,
        early_stopping=False, random_state=seed,  # type: ignore[arg-type]
    )  # fmt: skip
    model.fit(table[data.taught], data.column[of][data.taught])
    return model.predict_proba(table[~data.taught])[:, 1]
