"""What was watched long most in the last 24 hours: the floor that any model has to beat."""

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.model.evaluate import hit

Array = NDArray[Any]
DAY_US = 86_400 * 1_000_000


class Popular:
    """Long views per catalogue row, of the last day before each question."""

    def __init__(self) -> None:
        self._counts: Array = np.zeros(0, np.int64)
        self._recent: deque[tuple[int, int]] = deque()

    def learn(self, row: int, stamp: int) -> None:
        """Count a long view; stamps do not go back."""
        if row >= self._counts.size:
            self._counts = np.append(self._counts, np.zeros(2 * row + 64 - self._counts.size, np.int64))
        self._counts[row] += 1
        self._recent.append((stamp, row))

    def hit(self, row: int, seen: Array, allowed: Array, at_us: int) -> float:
        """Return whether `row` is among the first twenty of bool[n] `allowed` less `seen`; ties count in part."""
        while self._recent and self._recent[0][0] < at_us - DAY_US:
            self._counts[self._recent.popleft()[1]] -= 1
        counts = np.zeros(allowed.size, np.int64)
        known = min(allowed.size, self._counts.size)
        counts[:known] = self._counts[:known]
        counts[~allowed] = -1
        counts[seen] = -1
        return hit(counts, row)
