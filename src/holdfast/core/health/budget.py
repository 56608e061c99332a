"""What a client may ask beyond one attempt per request: second copies of slow reads, and tries after a failure.

Every retry is kind to its request and hard on the region, and regions fail together: if each of three layers tries
three times, the deepest one works 27 times. The remedy is old and simple: retries at one layer only (this one), and in
all no more than a tenth of what is asked (Beyer et al., "Site Reliability Engineering", 2016, ch. 22). A request pays
in SHARE, which is half of that, for some are saved up besides: when a region goes dark everything that is open there
must move at once. An extra attempt takes out one. The last KEPT are for such moves and no hedge may have them.
"""

from dataclasses import dataclass

SHARE = 0.05
SAVED_MAX, SAVED_FIRST = 6.0, 4.0  # a feed, a write and a heartbeat move at once, and once more if the next is dark too
KEPT = 3.0


@dataclass(slots=True)
class Budget:
    """One client's. `asked`: requests so far; `extra`: attempts beyond the first."""

    saved: float = SAVED_FIRST
    asked: int = 0
    extra: int = 0

    def earn(self) -> None:
        """A request begins."""
        self.asked += 1
        self.saved = min(SAVED_MAX, self.saved + SHARE)

    def may_hedge(self) -> bool:
        """Whether a second copy could be paid for."""
        return self.saved >= KEPT + 1.0

    def hedge(self) -> bool:
        """Take one out for a second copy, if there is one beyond what is kept for retries."""
        return self.may_hedge() and self.retry()

    def retry(self) -> bool:
        """Take one out for an attempt at another region or a later time, if there is one."""
        if self.saved < 1.0:
            return False
        self.saved -= 1.0
        self.extra += 1
        return True
