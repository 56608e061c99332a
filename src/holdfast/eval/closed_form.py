"""LINEAR on plain sequences: what follows what, in closed form, remembered at several speeds.

The rung's model (`model.linear`) takes a history as one vector x, each item faded by its age, and asks ridge regression
for the next item. One fade has to be a compromise: the last item matters far more than the tenth, and the hundredth
still says whose history this is. So here x is the history faded at K speeds side by side, x = [x₁ … x_K], K·N features:

    B = (Σ x xᵀ + λ I)⁻¹ Σ x yᵀ         [K·N, N]        y = the next item, one-hot
    scores = x B / popularity^α         [N]

SLIT (Choi et al., WWW 2021) with a kernel of several exponentials. The sums need no product of long rows: a pair of
items p before q in one sequence appears in x xᵀ at every later moment, and these moments are a geometric series, so one
weighted count of pairs within the window is exact. Fades, λ and α are chosen on the validation item.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import NDArray

Array = NDArray[Any]

FAINT = 0.015  # of an item's weight: older ones are left out of the sums
WINDOW_MAX = 100
SPARSE = 0.05  # of Σ x yᵀ filled: below, inverting and multiplying is cheaper than solving for every item
COLUMNS_MAX = 16_000  # features, K·N: the factor of so many is 1 GB and half a minute on two cores
FADES: tuple[tuple[float, ...], ...] = ((0.8,), (0.4, 0.9), (0.2, 0.7, 0.95))
RIDGES = (0.1, 0.3, 1.0)  # λ as a share of the mean diagonal of Σ x xᵀ, so that it means the same on every data set
ALPHAS = (0.0, 0.1, 0.2)


@dataclass(frozen=True, slots=True)
class Sums:
    """Σ x xᵀ float32[K·N, K·N] and Σ x yᵀ float32[K·N, N], for one choice of fades; popularity float64[N]."""

    fades: tuple[float, ...]
    within: Array
    across: Array
    popularity: Array


def window(fade: float) -> int:
    """Return how many items a fade remembers."""
    return 1 if fade <= 0 else min(WINDOW_MAX, max(1, int(np.ceil(np.log(FAINT) / np.log(fade)))))


def faded(sequences: Sequence[Array], fade: float, items: int) -> Any:
    """Return the state after every item: sparse float32[positions, N], rows in order of the sequences."""
    flat = np.concatenate(sequences)
    lengths = np.array([len(s) for s in sequences])
    place = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    width = window(fade)
    ages = np.arange(width)
    keep = place[:, None] >= ages[None, :]  # [positions, width]
    column = flat[np.maximum(np.arange(len(flat))[:, None] - ages, 0)][keep]
    value = np.broadcast_to((fade**ages).astype(np.float32), keep.shape)[keep]
    ends = np.concatenate([[0], np.cumsum(keep.sum(1))])
    return scipy.sparse.csr_matrix((value, column, ends), shape=(len(flat), items), dtype=np.float32)


def newest(histories: Sequence[Array], fades: tuple[float, ...], items: int) -> Any:
    """Return x of each history: sparse float32[B, K·N]."""
    parts: list[Any] = []
    for fade in fades:
        some = [h[-window(fade) :] for h in histories]
        value = np.concatenate([fade ** np.arange(len(h) - 1, -1, -1) for h in some] or [np.zeros(0)])
        ends = np.concatenate([[0], np.cumsum([len(h) for h in some])])
        column = np.concatenate(some) if some else np.zeros(0, np.int32)
        parts.append(scipy.sparse.csr_matrix((value.astype(np.float32), column, ends), shape=(len(some), items)))
    return scipy.sparse.hstack(parts).tocsr()


def sums(sequences: Sequence[Array], fades: tuple[float, ...], items: int) -> Sums:
    """Gather the statistics of all sequences (int32[L] each, L ≥ 2) in one pass per pair of fades."""
    flat = np.concatenate(sequences)
    lengths = np.array([len(s) for s in sequences])
    last = np.repeat(np.cumsum(lengths), lengths) - 1  # index of the end of one's sequence
    left = last - np.arange(len(flat))  # moments t at which this item is part of x and something follows
    moments = left > 0
    k = len(fades)
    states = [faded(sequences, fade, items).T.tocsr() for fade in fades]  # [N, positions]
    one = scipy.sparse.csr_matrix(
        (np.ones(len(flat), np.float32), flat, np.arange(len(flat) + 1)), shape=(len(flat), items)
    )
    after = np.where(moments, np.append(flat[1:], 0), 0)
    follows = scipy.sparse.csr_matrix((moments.astype(np.float32), after, np.arange(len(flat) + 1)), shape=one.shape)
    across = np.concatenate([(s @ follows).toarray() for s in states]).astype(np.float32)
    within = np.zeros((k * items, k * items), np.float32)
    for a in range(k):
        for b in range(a, k):
            both = fades[a] * fades[b]
            series = ((1 - both**left) / (1 - both)).astype(np.float32)
            series[~moments] = 0
            weighted = scipy.sparse.diags(series) @ one
            block = (states[a] @ weighted).toarray() + (states[b] @ weighted).toarray().T
            block[np.diag_indices(items)] -= np.bincount(flat, series, items)
            within[a * items : (a + 1) * items, b * items : (b + 1) * items] = block
            within[b * items : (b + 1) * items, a * items : (a + 1) * items] = block.T
    return Sums(fades, within, across, np.bincount(flat, minlength=items) + 1.0)


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """B float32[K·N, N] and what it was chosen with."""

    fades: tuple[float, ...]
    ridge: float
    alpha: float
    weights: Array
    popularity: Array

    def scores(self, histories: Sequence[Array]) -> Array:
        """Return float32[B, N]."""
        x = newest(histories, self.fades, self.weights.shape[1])
        return (x @ self.weights / self.popularity**self.alpha).astype(np.float32)

    def with_alpha(self, alpha: float) -> "ClosedForm":
        """Return the same weights, popular items held back by another power."""
        return ClosedForm(self.fades, self.ridge, alpha, self.weights, self.popularity)


def solve(found: Sums, ridge: float, alpha: float) -> ClosedForm:
    """Return B for λ = `ridge` × the mean diagonal; the sums are left as they are."""
    a = found.within.copy()
    a[np.diag_indices(len(a))] += ridge * float(np.diag(a).mean())
    if np.count_nonzero(found.across) < SPARSE * found.across.size:
        weights = inverse(a) @ scipy.sparse.csc_matrix(found.across)
    else:
        factor = scipy.linalg.cho_factor(a, overwrite_a=True, check_finite=False)
        weights = scipy.linalg.cho_solve(factor, found.across, check_finite=False)
    weights = np.asarray(weights, np.float32)
    return ClosedForm(found.fades, ridge, alpha, weights, found.popularity)


def inverse(a: Array) -> Array:
    """Return the inverse of a positive definite float32[D, D], overwriting it: half the work of D right-hand sides."""
    potrf, potri = scipy.linalg.get_lapack_funcs(("potrf", "potri"), (a,))
    factor, failed = potrf(a, lower=1, overwrite_a=1)
    p, singular = potri(factor, lower=1, overwrite_c=1)
    assert not failed and not singular, "a Gram matrix plus a ridge is positive definite"
    return np.tril(p) + np.tril(p, -1).T
