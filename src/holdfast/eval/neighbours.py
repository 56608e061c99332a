"""What a team would try first: popularity, item neighbours, EASE. Each scores a history over all N items.

popularity    how often an item was taken
item-kNN      the sum of cosine similarities to what the viewer took, each item keeping its K most similar;
              with recency, a taken item counts RECENCY^age
EASE          (Steck, WWW 2019) ridge regression of an item on all others, its own weight forbidden
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from holdfast.eval.closed_form import inverse

Array = NDArray[Any]
Scores = Callable[[Sequence[Array]], Array]

NEIGHBOURS = 50
RECENCIES = (0.8, 0.9)
RIDGES = (0.3, 1.0, 3.0, 10.0)  # λ as a share of the mean popularity


def taken(sequences: Sequence[Array], items: int, recency: float = 1.0) -> Any:
    """Return sparse float32[U, N]: what each took, the newest 1, each older one RECENCY times less."""
    value = np.concatenate([recency ** np.arange(len(s) - 1, -1, -1) for s in sequences]).astype(np.float32)
    ends = np.concatenate([[0], np.cumsum([len(s) for s in sequences])])
    return scipy.sparse.csr_matrix((value, np.concatenate(sequences), ends), shape=(len(sequences), items))


def popularity(sequences: Sequence[Array], items: int) -> Scores:
    """Return the scorer that gives everyone what most took."""
    counts = np.bincount(np.concatenate(sequences), minlength=items).astype(np.float32)
    return lambda histories: np.repeat(counts[None], len(histories), 0)


def together(sequences: Sequence[Array], items: int) -> Array:
    """Return float32[N, N]: how many viewers took both."""
    x = taken(sequences, items)
    return np.asarray((x.T @ x).toarray(), np.float32)


def item_knn(counts: Array, recency: float = 1.0) -> Scores:
    """Return the scorer by neighbours; `counts` from `together`."""
    items = len(counts)
    norm = np.sqrt(np.maximum(np.diag(counts), 1))
    alike = counts / norm / norm[:, None]
    np.fill_diagonal(alike, 0)
    k = min(NEIGHBOURS, items - 1)
    least = -np.partition(-alike, k - 1, axis=1)[:, k - 1]
    near = scipy.sparse.csr_matrix(np.where(alike >= np.maximum(least, 1e-9)[:, None], alike, 0)).T.tocsr()  # by column
    return lambda histories: np.asarray((taken(histories, items, recency) @ near.T).toarray(), np.float32)


def ease(counts: Array, ridge: float, recency: float = 1.0) -> Scores:
    """Return EASE's scorer; `counts` from `together`."""
    items = len(counts)
    a = counts.copy()
    a[np.diag_indices(items)] += ridge * float(np.diag(a).mean())
    p = inverse(a)
    weights = -p / np.diag(p)
    np.fill_diagonal(weights, 0)
    return lambda histories: np.asarray(taken(histories, items, recency) @ weights, np.float32)
