"""What surrounds a process and decides nothing: clocks and chance, as arguments (STYLE, principle 2).

A keeper and a client take these, so that a simulated world can give them its own clock, its own skew and one seed.
"""

import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass


def now_us() -> int:
    """Wall clock, microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Around:
    """`now_s`: monotonic seconds; `now_us`: wall clock, µs since 1970; `chance`: uniform in [0, 1); `token_hex(n)`:
    2·n hex digits that nobody else will draw."""

    now_s: Callable[[], float] = time.monotonic
    now_us: Callable[[], int] = now_us
    chance: Callable[[], float] = random.random
    token_hex: Callable[[int], str] = secrets.token_hex


HERE = Around()
