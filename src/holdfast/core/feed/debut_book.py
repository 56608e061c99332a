"""The debut book: who has met each new video, and how they took it. A fold, like all that a slate is made from.

A *qualified impression* is a distinct viewer, not the creator, who had the video on screen for QUALIFIED_MS, or to the
end if it is shorter, or acted on it. Counted are the first DEBUT_VIEWS: min(N, distinct viewers) comes out the same in
any order of arrival, and twice heard is once counted. Until then the book holds each viewer's verdict as flags that
only add up (a join, too), so that how the video was taken needs no order either.

Two rates stand beside it: impressions a second *just now*, which paces the debuts, and over the day, which says how
many the place can carry. And what was served but not yet seen is remembered, fading, so that a slate made before the
last one was watched does not serve it again: this holds for the slates of other regions as well, once they are heard.
"""

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue

Array = NDArray[Any]

S_US = 1_000_000
DEBUT_VIEWS = 20  # N: qualified impressions a new video is owed
DEBUT_AGE_US = 24 * 3600 * S_US  # T: within a day of its approval
QUALIFIED_MS = 1_000  # below it a showing was a swipe in passing
SHOWN_MAX = 100  # showings after which a debut is over, even if hardly one was long enough to count
MET_MAX = 10_000  # debuts whose viewers are remembered, the newest: about 40 MB at worst
PACE_HALF_LIFE_US = 300 * S_US  # "just now": short against an hour's tide, long against a replication delay
DAY_HALF_LIFE_US = 12 * 3600 * S_US
AWAIT_HALF_LIFE_US = 120 * S_US  # a slate is watched within some minutes, or left; 60 s overshot by a third more
SHIFT_MAX = 200.0  # powers of two a landmark may lag behind
SPAN_MIN_US = 60 * S_US  # no rate is read off a shorter time than this

SHOWN, QUALIFIED, LONG, HIDDEN = 1, 2, 4, 8  # flags of one viewer's verdict


@dataclass(slots=True)
class Rate:
    """How many a second, lately: a forward-decayed count over the time it had to gather, so that it starts unbiased."""

    half_life_us: int
    landmark_us: int = 0
    first_us: int = 0
    warm: float = 0.0

    def add(self, stamp: int) -> None:
        """Count one event made at `stamp` (µs)."""
        if not self.landmark_us:
            self.landmark_us = self.first_us = stamp
        self.first_us = min(self.first_us, stamp)
        power = (stamp - self.landmark_us) / self.half_life_us
        if power > SHIFT_MAX:
            self.warm *= 2.0**-power
            self.landmark_us, power = stamp, 0.0
        self.warm += 2.0 ** max(power, -SHIFT_MAX)

    def per_s(self, now_us: int) -> float:
        """Return events a second as of `now_us`; 0.0 before the first."""
        if not self.landmark_us:
            return 0.0
        span = max(now_us - self.first_us, SPAN_MIN_US) / self.half_life_us
        fade = 2.0 ** min(max(-1000.0, (self.landmark_us - now_us) / self.half_life_us), SHIFT_MAX)
        filled = (1.0 - 2.0 ** -min(span, 1000.0)) * self.half_life_us / S_US / 0.6931
        return self.warm * fade / filled


@dataclass(slots=True)
class Rates:
    """Impressions a second of one tenant: just now, and over the day."""

    now: Rate = field(default_factory=lambda: Rate(PACE_HALF_LIFE_US))
    day: Rate = field(default_factory=lambda: Rate(DAY_HALF_LIFE_US))


@dataclass(slots=True)
class Book:
    """See the module. The counts themselves are columns of the catalogue: `qualified`, `debut_…`, `awaited`."""

    met: dict[int, dict[str, int]] = field(default_factory=dict[int, dict[str, int]])  # row -> viewer -> flags
    rates: dict[int, Rates] = field(default_factory=dict[int, Rates])  # tenant's number -> its impressions
    await_landmark_us: int = 0

    def watched(self, c: Catalogue, row: int, viewer: str, stamp: int, flags: int) -> None:
        """Take a showing that ended: flags SHOWN, and QUALIFIED and LONG where they hold."""
        rates = self.rates.setdefault(int(c.tenant[row]), Rates())
        rates.now.add(stamp)
        rates.day.add(stamp)
        self.mark(c, row, viewer, stamp, flags)

    def mark(self, c: Catalogue, row: int, viewer: str, stamp: int, flags: int) -> None:
        """Add flags to a viewer's verdict on a debut; nothing for a video whose debut is over or not begun."""
        if not is_open(c, row, stamp):
            return
        publication = c.publications[row]
        if publication is None or publication.creator == viewer:
            return
        by = self.met.setdefault(row, {})
        if len(self.met) > MET_MAX:
            del self.met[next(iter(self.met))]
        held = by.get(viewer, 0)
        new = flags & ~held
        if not new:
            return
        by[viewer] = held | flags
        c.debut_shown[row] += bool(new & SHOWN)
        c.qualified[row] += bool(new & QUALIFIED)
        c.debut_long[row] += bool(new & LONG)
        c.debut_hidden[row] += bool(new & HIDDEN)
        if c.qualified[row] >= DEBUT_VIEWS or c.debut_shown[row] >= SHOWN_MAX:
            del self.met[row]

    # -- served, and not yet seen ------------------------------------------------------------------------------------

    def served(self, c: Catalogue, rows: list[int], stamp: int) -> None:
        """Remember that a slate with these rows is on its way to a viewer."""
        weight = 0.0
        for row in rows:
            if is_open(c, row, stamp):
                weight = weight or self._await_weight(c, stamp)
                c.awaited[row] += weight

    def arrived(self, c: Catalogue, row: int, served_at: int) -> None:
        """What was served at `served_at` has been seen: it is no longer awaited."""
        if c.awaited[row] > 0.0:
            c.awaited[row] = max(0.0, c.awaited[row] - self._await_weight(c, served_at))

    def awaited(self, c: Catalogue, rows: Array, now_us: int) -> Array:
        """Return float64[M]: showings of each row thought to be under way at `now_us`."""
        fade = 2.0 ** min(max(-1000.0, (self.await_landmark_us - now_us) / AWAIT_HALF_LIFE_US), 0.0)
        return c.awaited[rows] * fade

    def _await_weight(self, c: Catalogue, stamp: int) -> float:
        if not self.await_landmark_us:
            self.await_landmark_us = stamp
        power = (stamp - self.await_landmark_us) / AWAIT_HALF_LIFE_US
        if power > SHIFT_MAX:
            c.awaited *= 2.0**-power
            self.await_landmark_us, power = stamp, 0.0
        return 2.0 ** max(power, -SHIFT_MAX)


def is_open(c: Catalogue, row: int, stamp: int) -> bool:
    """Say whether the debut of a row is still going on, as far as time and counts tell."""
    if c.publications[row] is None or c.qualified[row] >= DEBUT_VIEWS or c.debut_shown[row] >= SHOWN_MAX:
        return False
    return stamp - max(int(c.published[row]), int(c.ruled[row])) < DEBUT_AGE_US
