"""How many requests may be worked on at once: found by watching how long they take, not set by anyone.

A server with too many requests in hand does not work faster, it only makes each of them wait inside it, where nobody
can tell which to drop. So hold a *limit* and compare what answers take with the least they took lately. Below the
goal the limit grows by a part of its square root (the queue that chance alone needs); above it, it shrinks at once.
That is Netflix's Gradient2 ("Performance under load", 2018) with one difference: the goal is not a small multiple of
the least time alone but at least GOAL_MIN_S, because slates are made in batches: more at once is less work for each.

The least time is kept per kind of request and forgotten after LEAST_KEPT_S. Under an overload that lasts longer it
rises with the load; GOAL_MAX_S keeps that from letting the limit grow without end.
"""

import math
from dataclasses import dataclass, field

LIMIT_FIRST, LIMIT_MIN, LIMIT_MAX = 32.0, 8.0, 256.0
TOLERANCE = 4.0  # times the least time: what sharing one core with a batch or a fold costs on a good day
GOAL_MIN_S, GOAL_MAX_S = 0.15, 0.25  # hardly felt, and batches stay large; a client's patience begins at 0.5 s
SHRINK_MIN = 0.5  # one bad window halves the limit at most
GROW = 0.2  # of its square root, per window: down at once, up by and by
WINDOW_S, WINDOW_SAMPLES = 0.1, 10  # a window ends when it has both: a guess from fewer is chance
LEAST_KEPT_S = 30.0


@dataclass(slots=True)
class _Least:
    """The least time of one kind in this period and the one before; two periods, so that it is never unknown."""

    this_s: float
    last_s: float
    since_s: float

    def hear(self, took_s: float, now_s: float) -> float:
        if now_s - self.since_s >= LEAST_KEPT_S:
            self.this_s, self.last_s, self.since_s = took_s, self.this_s, now_s
        elif took_s < self.this_s:
            self.this_s = took_s
        return min(self.this_s, self.last_s)


@dataclass(slots=True)
class Limit:
    """The limit, `value`, and what it was learned from. Times in seconds of one monotonic clock."""

    value: float = LIMIT_FIRST
    _least: dict[str, _Least] = field(default_factory=dict[str, _Least])
    _since_s: float = -math.inf
    _samples: int = 0
    _strain: float = 0.0  # sum of (time taken / goal) over the window
    _most: int = 0  # most in hand at once in the window

    def hear(self, kind: str, took_s: float, in_hand: int, now_s: float) -> None:
        """A request of this kind took so long, with `in_hand` requests (itself included) in hand."""
        least = self._least.get(kind)
        if least is None:
            least = self._least[kind] = _Least(took_s, took_s, now_s)
        goal_s = min(max(TOLERANCE * least.hear(took_s, now_s), GOAL_MIN_S), GOAL_MAX_S)
        self._samples += 1
        self._strain += took_s / goal_s
        if in_hand > self._most:
            self._most = in_hand
        if self._samples >= WINDOW_SAMPLES and now_s - self._since_s >= WINDOW_S:
            self._turn(now_s)

    def _turn(self, now_s: float) -> None:
        """End a window. A limit that was not even half used says nothing about whether more would do: it stays."""
        strain = self._strain / self._samples
        if strain > 1.0 or self._most >= self.value / 2:
            if strain > 1.0:
                self.value = max(LIMIT_MIN, self.value * max(SHRINK_MIN, 1.0 / strain))
            else:
                self.value = min(LIMIT_MAX, self.value + GROW * math.sqrt(self.value))
        self._since_s, self._samples, self._strain, self._most = now_s, 0, 0.0, 0
