"""The allowance: how much of one viewer may count and teach within an hour, whatever arrives in their name.

A script can claim any number of showings, of any length. What a person cannot have done does neither: more than
SHOWINGS_MAX showings in an hour, or more watching than an hour holds. So a farm of k accounts weighs at most as much as
k busy people. One showing counts as at most LENGTH_MAX_MS of it: a player left running overnight uses up little.
"""

from dataclasses import dataclass, field

HOUR_US = 3_600_000_000
SHOWINGS_MAX = 300
WATCHED_MAX_MS = 3_600_000
LENGTH_MAX_MS = 600_000


@dataclass(slots=True)
class Allowance:
    """What each viewer has used of this hour. The hour is that of the entries' stamps."""

    hour: int = 0
    used: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])  # showings, milliseconds
    refused: int = 0  # since the beginning

    def grants(self, viewer: str, dwell_ms: int, now_us: int) -> bool:
        """Count one showing of `viewer`; say whether it may count."""
        if now_us // HOUR_US > self.hour:
            self.hour, self.used = now_us // HOUR_US, {}
        showings, watched_ms = self.used.get(viewer, (0, 0))
        may = showings < SHOWINGS_MAX and watched_ms < WATCHED_MAX_MS
        self.used[viewer] = (showings + 1, watched_ms + min(dwell_ms, LENGTH_MAX_MS))
        self.refused += not may
        return may

    def spent(self, viewer: str) -> bool:
        """Say whether a viewer has used up this hour."""
        showings, watched_ms = self.used.get(viewer, (0, 0))
        return showings > SHOWINGS_MAX or watched_ms > WATCHED_MAX_MS + LENGTH_MAX_MS
