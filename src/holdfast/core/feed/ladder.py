"""The degradation ladder: what the feed gives up, in what order, and when it climbs back.

Think of shedding sail. A gust takes sail down at once; only a lull that lasts puts it back. So a region falls as far
as it must immediately, but climbs one rung at a time and only after CALM_S quiet seconds. Without that asymmetry a
region at the edge of its capacity flaps: every climb brings back the very load that made it fall.

TABLE is the whole truth about the rungs; docs and app take their words from it.
"""

from dataclasses import dataclass
from enum import IntEnum

CALM_S = 10.0  # long enough to outlast a restart's hiccups, short enough that a person watching sees the climb
LINEAR_AGE_MAX_S = 30 * 86_400.0  # as old as the oldest entry the door takes; what follows what changes slowly
FRESH_S = 600.0  # FULL means a model that learned from something newer than this


class Rung(IntEnum):
    """How much of the feed is working; smaller is better."""

    FULL = 0
    STALE = 1
    LINEAR = 2
    REGIONAL = 3
    SHELF = 4
    DEVICE = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A rung in words: what it needs, what it gives, and what a viewer is told."""

    rung: Rung
    needs: str
    gives: str
    words: str


TABLE: tuple[Row, ...] = (
    Row(Rung.FULL, "a fresh sequence model, fresh folds", "sequence retrieval, ranker, debut",
        "Everything works: your feed learns from what you just watched."),
    Row(Rung.STALE, "any released sequence model", "the same, and says how old",
        "Your feed works, with a model that is older than usual."),
    Row(Rung.LINEAR, "item statistics, the client's context", "closed-form next-item scores",
        "Your feed follows what you just watched, by what others watched next."),
    Row(Rung.REGIONAL, "the catalogue", "what this place likes now, less what you have seen",
        "You see what people here like now; it is not shaped to you."),
    Row(Rung.SHELF, "one signed file", "the last published shelf of approved videos",
        "You see a saved shelf of approved videos."),
    Row(Rung.DEVICE, "nothing", "the app re-ranks what it holds by what was just watched",
        "No region answers: your device goes on with what it holds."),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a region has at hand. Ages in seconds; None: there is none. `allowed`: videos it may show."""

    network_age_s: float | None
    linear_age_s: float | None
    allowed: int
    shelf: int
    folding: bool = True  # the folds follow the log (False: cold, still reading history)


def affordable(facts: Facts) -> tuple[Rung, dict[str, str]]:
    """Return the best rung these facts can carry and, for each rung above it, what it lacks in plain words."""
    lacks: dict[str, str] = {}
    for row in TABLE:
        missing = _missing(row.rung, facts)
        if not missing:
            return row.rung, lacks
        lacks[row.rung.name] = missing
    raise AssertionError("DEVICE needs nothing")


def _missing(rung: Rung, facts: Facts) -> str:
    no_network = "no network serves yet: the learner trains one and shows it to a few viewers first"
    if rung is Rung.FULL:
        if facts.network_age_s is None:
            return no_network
        age_s = facts.network_age_s
        return "" if age_s <= FRESH_S else f"the network last learned {age_s / 60:.0f} min ago"
    if rung is Rung.STALE:
        return no_network if facts.network_age_s is None else ""
    if rung is Rung.DEVICE:
        return ""
    if rung is Rung.SHELF:
        return "" if facts.shelf else "no signed shelf is on this disk"
    if not facts.allowed:
        return "no approved video is known here yet" if facts.folding else "the region is still reading its log"
    if rung is Rung.REGIONAL:
        return ""
    if facts.linear_age_s is None:
        return "the learner has not released next-item statistics yet"
    if facts.linear_age_s > LINEAR_AGE_MAX_S:
        return f"the next-item statistics are {facts.linear_age_s / 3600:.0f} h old"
    return ""


@dataclass(frozen=True, slots=True)
class Ladder:
    """Where a region stands. Times in seconds of one monotonic clock."""

    rung: Rung
    calm_since_s: float
    since_s: float = 0.0  # when this rung was reached

    def step(self, best: Rung, now_s: float) -> "Ladder":
        """Return the ladder after learning the best rung affordable at `now_s`."""
        assert now_s >= self.calm_since_s
        if best >= self.rung:  # no better than now: fall (or stay), restart the lull
            return Ladder(best, now_s, self.since_s if best == self.rung else now_s)
        if now_s - self.calm_since_s < CALM_S:
            return self
        return Ladder(Rung(max(best, self.rung - 1)), now_s, now_s)

    def calm_s(self, best: Rung, now_s: float) -> float:
        """Return the seconds of calm still wanted before the next climb, 0.0 if there is nothing to climb to."""
        return 0.0 if best >= self.rung else max(0.0, CALM_S - (now_s - self.calm_since_s))


def standing(ladder: Ladder, best: Rung, lacks: dict[str, str], now_s: float) -> tuple[str, dict[str, str]]:
    """Return (reason, lacks) as a slate says them: why this rung and not the one above it.

    A rung that could be afforded but is still being waited for says so.
    """
    above = dict(lacks)
    for rung in Rung:
        if best <= rung < ladder.rung:
            above[rung.name] = f"available again; climbing after {ladder.calm_s(best, now_s):.0f} s more of calm"
    if ladder.rung is Rung.FULL:
        return TABLE[0].words, above
    higher = Rung(ladder.rung - 1)
    return f"{TABLE[ladder.rung].words} Above it, {higher.name}: {above.get(higher.name, 'not offered')}.", above
