"""Debuts: every approved video gets its first viewers, and no region has to ask another how many are still owed.

The naive way is a counter: "this video has 12 of its 20, give it 8". Two regions that both do so give it 16, and
agreeing first would make the feed wait for a peer that may be dark. So the budget here is not a count but a *share of
impressions*. Each debut is owed a pace: what it still lacks over the time left until it should be done,

    pace = (N − met − under way) / max(approved + SOON − now, LEFT_MIN)          impressions a second

and the share is the sum of all paces over the impressions the whole jurisdiction sees a second,

    share = min(SHARE_MAX, Σ pace / λ)

Every region computes both from its own folds and gives debuts that share of *its own* slates. A region with two thirds
of the viewers thereby gives two thirds, without knowing that it has them. When a region is lost its viewers come to
another one, and the share comes with them. What a region has not heard yet from its peers is at most the pace times the
delay, and as the pace falls with what is left, so does the overshoot.

While debuts want more than SHARE_MAX they take longer. When they want more than the place can carry within T, N itself
shrinks, for all alike: the level that just fits is found by filling up from the videos with least (water-filling).
`progress` tells the creator so.

A video that strangers do not want stops early: its place is taken from others who wait. The verdict is a posterior (a
uniform prior, so nobody is judged on three viewers): surely watched long less than 0.4 times as often as a usual video.
A good one grows by its own merit: it is a candidate like any other, and its figures are in the score.
"""

from dataclasses import dataclass, replace
from math import comb
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue, fnv64
from holdfast.core.feed import chance
from holdfast.core.feed.debut_book import DEBUT_AGE_US, DEBUT_VIEWS, S_US, SHOWN_MAX, Rates
from holdfast.core.feed.world import World
from holdfast.core.tenants import PLATFORM

Array = NDArray[Any]

SHARE_MAX = 0.2  # of impressions: two places of ten, never more
SOON_US = 240 * S_US  # when a debut should be done, if there is room: ten minutes is the promise in `bench debuts`
LEFT_MIN_US = 30 * S_US  # a late one is not made up for in a burst
WAVE = 5.0  # showings under way at once: what is served before the first verdicts are in cannot be taken back
BEHIND = 2.0  # e-folds between a debut that has met nobody when all should be done, and one on time
LATE_US = 60 * S_US  # an e-fold for each minute beyond SOON_US,
LATE_MAX = 8.0  # up to this many
OPEN_MAX = 10_000  # debuts looked at at once, the longest waiting first; the rest waits its turn
OFFERED = 200  # of them, most urgent first, to one viewer
HOLD_OUT = 20  # one viewer in so many gets no debuts: what they cost is measured against these

STOP_SHARE = 0.4  # of the usual share of long views: a video surely below it stops
STOP_SURE = 0.9
STOP_SHOWN = 6  # nobody is judged on fewer
HIDE_COUNTS = 3  # a hide says as much as three short views
RECEPTION_PRIOR = 4.0  # showings with the usual share of long views, before a debut's own count
USUAL_LONG = 0.3  # long views of all showings, while the place has too few of its own
USUAL_PRIOR = 200.0  # showings that this guess is worth

PLACES = (3, 6)  # of every ten: late enough to have watched something, early enough to be reached
MATCH = 1.0  # how strongly a viewer's own score decides which debut they meet: e-folds per standard deviation
_SALT_SHARE, _SALT_HOLD_OUT = 0x5EED_0001, "debut-hold-out"
_LOGISTIC = 0.55  # logistic to unit variance

State = Literal["waiting", "running", "reached", "stopped", "over"]
NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is owed at a moment: int64[M] rows, ascending, and float32[M] how urgently each, in e-folds.

    `urgent`: int64[≤ OFFERED] rows, most urgent first; `share`: of all places; `level`: N as it is now; `usual`: the
    share of all showings here that are long.
    """

    rows: Array
    urge: Array
    urgent: Array
    share: float
    level: float
    usual: float = USUAL_LONG

    def urge_of(self, rows: Array) -> Array:
        """Return float32[K]: how urgently each row is owed a showing, −inf for one that is owed none."""
        if not self.rows.size:
            return np.full(rows.size, -np.inf, np.float32)
        at = np.minimum(np.searchsorted(self.rows, rows), self.rows.size - 1)
        return np.where(self.rows[at] == rows, self.urge[at], np.float32(-np.inf))


NOTHING = Plan(NONE, np.zeros(0, np.float32), NONE, 0.0, float(DEBUT_VIEWS))


def plan(world: World, allowed: Array, now_us: int, tenant: str = PLATFORM) -> Plan:
    """Return what is owed at `now_us` to a tenant's videos. `allowed`: bool[n], which of them may be shown."""
    c, book = world.catalogue, world.debuts
    n = allowed.size
    age = now_us - np.maximum(c.published[:n], c.ruled[:n])
    fresh = allowed & (age < DEBUT_AGE_US) & (c.qualified[:n] < DEBUT_VIEWS) & (c.debut_shown[:n] < SHOWN_MAX)
    rows = np.flatnonzero(fresh)
    often_long = usual(c)
    rows = rows[~stopped(c, rows, often_long)]
    if rows.size > OPEN_MAX:
        rows = np.sort(rows[np.argpartition(-age[rows], OPEN_MAX)[:OPEN_MAX]])
    if not rows.size:
        return replace(NOTHING, usual=often_long)
    met = c.qualified[rows].astype(np.float64)
    rates = book.rates.get(c.tenants.of.get(tenant, -1)) or Rates()
    level = affordable(met, rates.day.per_s(now_us) * SHARE_MAX * DEBUT_AGE_US / S_US)
    awaited = book.awaited(c, rows, now_us)
    lacks = level - met - awaited
    now = (lacks > 0) & (awaited < WAVE)
    rows, lacks, age = rows[now], lacks[now], age[rows[now]]
    if not rows.size:
        return replace(NOTHING, level=level, usual=often_long)
    pace = lacks / (np.maximum(SOON_US - age, LEFT_MIN_US) / S_US)
    seen_s = rates.now.per_s(now_us)
    share = min(SHARE_MAX, float(pace.sum()) / seen_s) if seen_s > 0 else SHARE_MAX
    urge = _urgency(lacks, age, level)
    return Plan(rows, urge, rows[np.argsort(-urge, kind="stable")[:OFFERED]], share, level, often_long)


def _urgency(lacks: Array, age_us: Array, level: float) -> Array:
    """Return float32[M] e-folds: how far a debut is behind, plus how late; what is hardly owed any more comes last.

    Not the pace: the last of twenty has a low pace and would wait for ever behind those who still lack all of theirs.
    """
    behind = lacks / level - np.maximum(1.0 - age_us / SOON_US, 0.0)
    late = np.maximum(age_us - SOON_US, 0) / LATE_US
    return (BEHIND * behind + np.minimum(late, LATE_MAX) + np.log(np.minimum(lacks, 1.0))).astype(np.float32)


def affordable(met: Array, capacity: float) -> float:
    """Return the level N ≤ DEBUT_VIEWS with Σ max(0, N − met) ≤ capacity: all alike. No measured capacity: all of N."""
    if capacity <= 0 or float((DEBUT_VIEWS - met).sum()) <= capacity:
        return float(DEBUT_VIEWS)
    at = np.bincount(met.astype(np.int64), minlength=DEBUT_VIEWS)[:DEBUT_VIEWS]
    below = np.cumsum(at)  # how many stand at or below each count: what one step up costs
    steps = np.minimum(np.cumsum(below), 2**53)
    whole = int(np.searchsorted(steps, capacity, side="right"))
    spent = float(steps[whole - 1]) if whole else 0.0
    return min(whole + (capacity - spent) / max(float(below[min(whole, DEBUT_VIEWS - 1)]), 1.0), float(DEBUT_VIEWS))


def usual(c: Catalogue) -> float:
    """Return the share of all showings here that were long."""
    fade = 1.0 / max(1.0, float(c.warm_views.max(initial=0.0)))  # the sums are of one landmark: only their ratio counts
    views, long = float((c.warm_views * fade).sum()), float((c.warm_long * fade).sum())
    prior = USUAL_PRIOR * fade
    return (long + USUAL_LONG * prior) / (views + prior)


def stopped(c: Catalogue, rows: Array, usual_long: float) -> Array:
    """Return bool[M]: debuts that strangers surely do not want."""
    shown, long = c.debut_shown[rows].astype(np.int64), c.debut_long[rows].astype(np.int64)
    against = np.maximum(shown - long, 0) + (HIDE_COUNTS - 1) * c.debut_hidden[rows].astype(np.int64)
    bound = STOP_SHARE * usual_long
    judged = np.flatnonzero(shown >= STOP_SHOWN)
    sure: Array = np.zeros(rows.size, bool)
    sure[judged] = surely_below(bound, long[judged], against[judged]) >= STOP_SURE
    return sure


def reception(rows: Array, c: Catalogue, usual_long: float) -> Array:
    """Return float32[K] in −1..1: how its first viewers took each row, against what is usual; 0 where nobody met it.

    These viewers were sent to it whether or not the model liked it, so what they did is news that the model lacks.
    """
    shown = c.debut_shown[rows].astype(np.float32)
    rate = (c.debut_long[rows] + RECEPTION_PRIOR * usual_long) / (shown + RECEPTION_PRIOR)
    return np.clip(rate / usual_long - 1.0, -1.0, 1.0).astype(np.float32)


def surely_below(bound: float, successes: Array, failures: Array) -> Array:
    """Return float64[M]: P(rate < bound) under the posterior Beta(1 + successes, 1 + failures).

    For whole numbers that is a binomial tail: P(Bin(s + f + 1, bound) ≥ s + 1).
    """
    wide = int(failures.max(initial=0)) + 1
    pairs, back = np.unique(successes * wide + failures, return_inverse=True)  # as numbers: whole columns sort slowly
    return np.array([_tail(bound, *divmod(pair, wide)) for pair in pairs.tolist()], np.float64)[back]


def _tail(x: float, s: int, f: int) -> float:
    n = s + f + 1
    return 1.0 - sum(comb(n, j) * x**j * (1.0 - x) ** (n - j) for j in range(s + 1))


# -- one slate -----------------------------------------------------------------------------------------------------


def held_out(viewer: str) -> bool:
    """Say whether a viewer is of the arm that gets no debuts. The public feed gets none either: nobody to count."""
    return not viewer or fnv64(f"{_SALT_HOLD_OUT}/{viewer}") % HOLD_OUT == 0


def places(share: float, n: int, draw: int) -> list[int]:
    """Return the places of a slate of `n` that go to debuts: `share` of them on average, the odd one by lot."""
    wanted = min(share, SHARE_MAX) * n
    count = int(wanted) + (chance.uniform_one(draw, _SALT_SHARE) < wanted - int(wanted))
    at = [i for ten in range(0, n, 10) for i in (ten + p for p in PLACES) if i < n]
    if not at:  # a short slate: its last place
        at = [n - 1]
    return at[: max(count, 0)] if count <= len(at) else at


def order(rows: Array, urge: Array, score: Array, catalogue: Catalogue, draw: int) -> list[int]:
    """Return the candidates owed a showing, best first: Thompson draw × urgency × how well they suit this viewer.

    int64[K] rows, float32[K] urgency, float[K] scores of this viewer. The draw is from Beta(1 + long, 1 + other), by
    its moments; one that has met nobody may turn out to be anything, so it is tried.
    """
    new = np.flatnonzero(urge > -np.inf)
    if not new.size:
        return []
    at = rows[new]
    a = 1.0 + catalogue.debut_long[at]
    b = 1.0 + np.maximum(catalogue.debut_shown[at] - catalogue.debut_long[at], 0)
    mean = a / (a + b)
    spread = np.sqrt(mean * (1.0 - mean) / (a + b + 1.0))
    u = chance.uniform(draw, catalogue.hashed[at])
    quality = np.clip(mean + spread * _LOGISTIC * np.log(u / (1.0 - u)), 0.02, 1.0)
    suits = score[new]
    wide = float(score.std())
    match = MATCH * (suits - suits.max()) / wide if wide > 0 else 0.0
    return new[np.argsort(-(urge[new] + np.log(quality) + match), kind="stable")].tolist()


# -- what a creator is told ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a video's debut has come. `owed`: N now; it was DEBUT_VIEWS unless too many debut at once."""

    met: int
    owed: int
    state: State
    words: str


def progress(world: World, row: int, now: Plan, now_us: int) -> Progress:
    """Say how far the debut of a row has come, in words for its creator."""
    c = world.catalogue
    met, owed = int(c.qualified[row]), max(1, int(now.level))
    if met >= DEBUT_VIEWS:
        return Progress(met, DEBUT_VIEWS, "reached", f"Its first {DEBUT_VIEWS} viewers have met it.")
    if not c.allowed()[row]:
        return Progress(met, owed, "waiting", "It waits for a ruling that allows it; its debut begins then.")
    if now_us - max(int(c.published[row]), int(c.ruled[row])) >= DEBUT_AGE_US:
        return Progress(met, owed, "over", f"Its first day is over; {met} viewers met it. It goes on by its own merit.")
    if bool(stopped(c, np.array([row]), usual(c))[0]):
        shown = int(c.debut_shown[row])
        return Progress(met, owed, "stopped", f"Of its first {shown} viewers few stayed, so it gets no places of its "
                        "own any more. It goes on by its own merit.")  # fmt: skip
    if met >= owed:
        return Progress(met, owed, "reached", f"{met} viewers have met it. So many are new now that each gets {owed} "
                        f"instead of {DEBUT_VIEWS} for the time being.")  # fmt: skip
    less = f" (not {DEBUT_VIEWS}: so many are new at once)" if owed < DEBUT_VIEWS else ""
    return Progress(met, owed, "running", f"{met} of its first {owed} viewers have met it{less}.")
