"""Exact sums over pairs of features, in half the room: 32 bits of each in an array, the rest where it is needed.

The closed form keeps two matrices of sums, 170 million numbers at the bound. Few grow beyond 31 bits, because an epoch
is short (`learn.EPOCH_DAYS`). So a sum is `high · 2³² + low` with low in −2³¹ … 2³¹−1, and `high` is
kept only where it is not zero. No bit is lost, and nothing depends on the order.

The matrices are laid out so that a new feature lengthens the array and moves nothing: feature m brings a *shell*, its
pairs with the features before it.

    CORNER   the lower triangle of a symmetric matrix: shell m is (m, 0) … (m, m)
    SQUARE   a square one: shell m is (m, 0) … (m, m), then (0, m) … (m−1, m)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_WORD = 32


class Layout(NamedTuple):
    """Where a pair stands, and which pair stands there. All take and give int64 arrays."""

    size: Callable[[int], int]  # of a matrix of so many features
    place: Callable[[Array, Array], Array]  # (i, j) → place
    pair: Callable[[Array], tuple[Array, Array]]  # place → (i, j)
    shell: Callable[[Array, int], Array]  # (features ascending, k) → places of the k-th one's shell among them


def _corner_pair(at: Array) -> tuple[Array, Array]:
    i = ((np.sqrt(8.0 * at + 1.0) - 1.0) / 2.0).astype(np.int64)
    i += (i + 1) * (i + 2) // 2 <= at
    i -= i * (i + 1) // 2 > at
    return i, at - i * (i + 1) // 2


def _square_place(i: Array, j: Array) -> Array:
    return np.where(i >= j, i * i + j, j * j + j + 1 + i)


def _square_pair(at: Array) -> tuple[Array, Array]:
    m = np.sqrt(at.astype(np.float64)).astype(np.int64)
    m += (m + 1) * (m + 1) <= at
    m -= m * m > at
    rest = at - m * m
    return np.where(rest <= m, m, rest - m - 1), np.where(rest <= m, rest, m)


def _square_shell(features: Array, k: int) -> Array:
    m = int(features[k])
    return np.concatenate([m * m + features[: k + 1], m * m + m + 1 + features[:k]])


CORNER = Layout(
    lambda d: d * (d + 1) // 2,
    lambda i, j: i * (i + 1) // 2 + j,  # i ≥ j
    _corner_pair,
    lambda features, k: int(features[k]) * (int(features[k]) + 1) // 2 + features[: k + 1],
)
SQUARE = Layout(lambda d: d * d, _square_place, _square_pair, _square_shell)


class Sums:
    """The sums of one matrix, all zero at first. Owns and changes its state."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._low: Array = np.zeros(0, np.int32)
        self._high: dict[int, int] = {}

    def reach(self, features: int) -> None:
        """Make room for so many features."""
        size = self.layout.size(features)
        if size > self._low.size:
            self._low.resize(size, refcheck=False)  # in place where the system can: no second copy

    def add(self, i: Array, j: Array, values: Array) -> None:
        """Add int64[M] values to M pairs, each given once."""
        self._add(self.layout.place(i, j), values)

    def _add(self, at: Array, values: Array) -> None:
        total = self._low[at] + values
        low = total.astype(np.int32)  # wraps
        self._low[at] = low
        carry = (total - low) >> _WORD
        for k in np.flatnonzero(carry).tolist():
            place = int(at[k])
            high = self._high.pop(place, 0) + int(carry[k])
            if high:
                self._high[place] = high

    def read(self, i: Array, j: Array) -> Array:
        """Return int64[M]: the sums of M pairs."""
        return self._read(self.layout.place(i, j))

    def _read(self, at: Array) -> Array:
        total = self._low[at].astype(np.int64)
        if self._high:
            total += np.array([self._high.get(place, 0) for place in at.tolist()], np.int64) << _WORD
        return total

    def shell(self, features: Array, k: int) -> Array:
        """Return int32: the low words of the k-th feature's shell among int64 features, ascending."""
        return self._low[self.layout.shell(features, k)]

    def large(self) -> tuple[Array, Array, Array]:
        """Return (i, j, sum), each int64[H], of the sums that are more than their low word."""
        places = np.array(sorted(self._high), np.int64)
        return *self.layout.pair(places), self._read(places)

    def shift(self, bits: int) -> None:
        """Divide all by 2**bits, rounding down."""
        i, j, sums = self.large()
        self._low >>= min(bits, _WORD - 1)
        self._high.clear()
        self._low[self.layout.place(i, j)] = 0
        self.add(i, j, sums >> bits)

    def keep(self, features: Array, of: int) -> None:
        """Keep only int64[K] features, ascending, of so many; the k-th of them is feature k from now on."""
        i, j, sums = self.large()
        end = 0
        for k in range(features.size):  # upwards in place: a shell moves towards the beginning
            at = self.layout.shell(features, k)
            self._low[end : end + at.size] = self._low[at]
            end += at.size
        self._low[end:] = 0
        self._high.clear()
        new = np.full(of, -1, np.int64)
        new[features] = np.arange(features.size)
        stay = (new[i] >= 0) & (new[j] >= 0)
        i, j = new[i[stay]], new[j[stay]]
        self._low[self.layout.place(i, j)] = 0
        self.add(i, j, sums[stay])
