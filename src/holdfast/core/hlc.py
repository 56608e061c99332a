"""Hybrid logical clock: stamps that follow wall time, never run backwards, and never chase a runaway clock.

After Kulkarni et al., "Logical Physical Clocks" (2014), with the two parts folded into one integer: microseconds
since 1970, where the logical counter borrows the low digits (a reading is at least one more than the last). One
integer below 2**53 compares the same in Python, JavaScript, JSON and SQL.
"""

from dataclasses import dataclass

AHEAD_MAX_US = 1_000_000  # the door refuses stamps further ahead than this; see DESIGN §4
AGE_MAX_US = 30 * 86_400 * 1_000_000  # and older than this: tombstones outlive it
STAMP_MAX = 2**53 - 1  # JavaScript's largest exact integer


@dataclass(slots=True)
class Hlc:
    """A clock. `last` is the newest stamp made or seen, in microseconds."""

    last: int = 0

    def tick(self, now_us: int) -> int:
        """Return a new stamp, greater than every earlier one."""
        self.last = max(self.last + 1, now_us)
        return self.last

    def observe(self, stamp: int, now_us: int) -> None:
        """Move past a stamp seen from elsewhere, unless it comes from a runaway clock."""
        if stamp <= now_us + AHEAD_MAX_US:
            self.last = max(self.last, stamp)
