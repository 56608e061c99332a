"""The closed form's system of equations, taken from the sums at one moment, and its solution.

    (Σ x xᵀ + λ I) B = Σ x yᵀ

The left side is symmetric, so only half of it is written down, in the rectangular full packed format (Gustavson et
al., "Rectangular Full Packed Format for Cholesky's Algorithm", ACM TOMS 2010): half the room of a square, and as fast.
Both sides are overwritten by the factor and by B. At ten thousand features that makes 0.6 GB instead of 1.6.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs

from holdfast.core.errors import Broken
from holdfast.model.linear_release import Followers, LinearModel, Sparse
from holdfast.model.sums import Sums

Array = NDArray[Any]

DENSE_MAX = 4_000  # features of a model that is released whole; beyond, each keeps its KEPT strongest weights
KEPT = 256  # explaining and scoring read this many per feature of a history


@dataclass(slots=True)
class System:
    """`left`: float32 packed, `right`: float32[D, D] column-major. Solved once: the solution takes their place."""

    names: list[str]
    examples: float
    left: Array
    right: Array
    followers: Followers

    def solve(self) -> LinearModel:
        """Return the model: a Cholesky solve, O(D³). Not twice; may run in a thread.

        Raises Broken if rounding left no positive definite matrix: sums so large that the ridge drowns in them.
        """
        d = len(self.names)
        weights: Array = self.right
        if d:
            cholesky, resolve = get_lapack_funcs(("pftrf", "pftrs"), (self.left, self.right))  # type: ignore[misc]
            factor, failed = cholesky(d, self.left, uplo="L", overwrite_a=True)
            if failed:
                raise Broken("the sums cannot be solved in single precision")
            weights, _ = resolve(d, factor, self.right, uplo="L", overwrite_b=True)
        return LinearModel(
            self.names, self.examples, Sparse.strongest(weights, KEPT) if d > DENSE_MAX else weights, self.followers
        )


def left(sums: Sums, at: Array, unit: float, ridge: float) -> Array:
    """Return the sums over int64[D] features (ascending) in `unit`s, packed, with `ridge` on the diagonal: float32."""
    d = at.size
    even = 1 - d % 2
    half = (d + 1) // 2
    packed = np.zeros((d + even, half), np.float32, order="F")
    scale = np.float32(1 / unit)
    for k in range(d):
        row = sums.shell(at, k) * scale
        row[k] += ridge
        packed[k + even, : min(k + 1, half)] = row[:half]
        if k >= half:
            packed[: k + 1 - half, k - half + 1 - even] = row[half:]
    i, j, value = _large(sums, at)
    exact = value / unit + ridge * (i == j)
    here = j < half
    packed[i[here] + even, j[here]] = exact[here]
    packed[j[~here] - half, i[~here] - half + 1 - even] = exact[~here]
    return packed.ravel(order="K")


def right(sums: Sums, at: Array, unit: float) -> Array:
    """Return the sums over int64[D] features (ascending) in `unit`s: float32[D, D], column-major."""
    d = at.size
    out = np.zeros((d, d), np.float32, order="F")
    scale = np.float32(1 / unit)
    for k in range(d):
        shell = sums.shell(at, k) * scale
        out[k, : k + 1] = shell[: k + 1]
        out[:k, k] = shell[k + 1 :]
    i, j, value = _large(sums, at)
    out[i, j] = value / unit
    return out


def _large(sums: Sums, at: Array) -> tuple[Array, Array, Array]:
    """The sums beyond a word among the features at int64[D], as (row, column, sum)."""
    i, j, value = sums.large()
    there = np.isin(i, at) & np.isin(j, at)
    return np.searchsorted(at, i[there]), np.searchsorted(at, j[there]), value[there]
