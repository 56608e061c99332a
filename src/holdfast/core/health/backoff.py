"""How long to wait before the next try: full jitter under a doubling, capped ceiling.

When a region falls, everyone who was on it notices in the same half second. If they all wait the same time, they all
come back together and knock over the next region. So each waits a *uniformly random* part of the ceiling ("full
jitter", Brooker, AWS Architecture Blog 2015: it spreads best and finishes soonest), and the ceiling doubles.
"""

DOUBLINGS_MAX = 16  # beyond this every sensible cap is reached; keeps 2**n small


def delay_s(attempt: int, chance: float, *, first_s: float, cap_s: float) -> float:
    """Return the wait before try number `attempt` (0 is the first retry), in seconds; `chance` lies in [0, 1)."""
    assert attempt >= 0 and 0.0 <= chance < 1.0 and 0.0 < first_s <= cap_s
    return chance * min(cap_s, first_s * 2 ** min(attempt, DOUBLINGS_MAX))
