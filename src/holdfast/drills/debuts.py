"""Do new videos get their first viewers, and what does that cost? `holdfast bench debuts`, an hour in a minute or two.

Two regions of one jurisdiction, LAG_S apart, in virtual time (`drills.hour`): the real folds, lessons and pipeline. In
one hour NEW videos are approved, one in BAD_EVERY of them such that nobody likes it, whatever it is about. The share of
impressions that may go to debuts (`debut.SHARE_MAX`) is at least three times what the new videos are owed; `demand`
says how many times. Then the same hour again, and one of the regions is lost half-way, for good.

    good_reached_share   of the good ones: 20 qualified impressions within ten minutes of approval
    minutes_p95          when the 20th came, in minutes after approval, 95th percentile of the good ones
    bad_impressions_mean showings of a bad one, all told
    hit_rate_cost        by how much less the others watch long than the hold-out arm, which gets no debuts: 1 − ratio
    overshoot            debut places watched after the 20 were complete, as a share of all that was owed

The hit rate is the chance, which the world knows, that a video shown is watched long: the draw itself adds only noise.
One viewer in ARM is of the hold-out arm, by their name: more than in a region (`debut.HOLD_OUT`), to see the same cost
more sharply; and each viewer's rate before the first debut is taken into account, by regression (Deng et al., WSDM
2013). `hit_rate_cost_paired` compares each slate that holds debuts with the one the same request gets without them, and
so is free of the noise between viewers; unlike the hold-out arm it does not see what the debuts teach. Intervals are
95 %, over viewers drawn again with replacement.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from holdfast.core.feed import debut
from holdfast.core.feed.debut_book import DEBUT_VIEWS, QUALIFIED_MS
from holdfast.core.feed.pipeline import Chosen, Result
from holdfast.core.feed.shapes import FeedRequest
from holdfast.drills.hour import BEGIN_US, ESTABLISHED, REGIONS, SLATE, Hour, Seat, clip
from holdfast.drills.jurisdiction import S_US, Jurisdiction
from holdfast.drills.world import Clip, Viewer, Watch, World

LAG_S = 30.0
NEW = 200
BAD_EVERY = 10
WARM_S = 20 * 60
HOUR_S = 3600
WITHIN_S = 600  # also the tail after the hour, so that the last one approved has its ten minutes too
P_LONG_BAD, P_HIDE_BAD = 0.03, 0.15
RESAMPLES = 1000
ARM = 4
NEWCOMERS = 200
NEWCOMER_EVENTS = (0, 1, 3, 5, 10)  # of a new viewer, after which the next slate is looked at

Say = Callable[[str], None]


class Crowd(World):
    """An audience for whom some clips are bad, whatever they are about."""

    bad: frozenset[str] = frozenset()

    def p_long(self, viewer: Viewer, clip: Clip) -> float:
        return P_LONG_BAD if clip.item in self.bad else super().p_long(viewer, clip)

    def watch(self, viewer: Viewer, item: str | Clip) -> Watch:
        did = super().watch(viewer, item)
        name = item if isinstance(item, str) else item.item
        if name in self.bad and not did.long:
            return Watch(did.dwell_ms, False, False, self.chance("bad", viewer.name, name) < P_HIDE_BAD)
        return did


@dataclass(slots=True)
class Fate:
    """What became of a new video. `late`: debut places watched after its 20 were complete."""

    approved_us: int
    bad: bool
    met: set[str] = field(default_factory=set[str])
    reached_us: int = 0
    shown: int = 0
    places: int = 0
    late: int = 0


@dataclass(slots=True)
class Outcome:
    """What an hour left behind: fates by item; by viewer [expected long views, showings] until the first approval, and
    from then on; of each slate with debuts the chance of long views with them and without; slates in all."""

    fates: dict[str, Fate] = field(default_factory=dict[str, Fate])
    before: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    hits: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    paired: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    slates: int = 0
    newcomers: dict[str, float] = field(default_factory=dict[str, float])


class Debuts(Hour):
    """The hour, and its outcome."""

    def __init__(self, seed: int, *, lose: bool) -> None:
        crowd = Crowd(seed, [clip(seed, "old", k) for k in range(ESTABLISHED)])
        super().__init__(crowd, seed, Jurisdiction(list(REGIONS), LAG_S, seed))
        self.fresh = [clip(seed, "new", k) for k in range(NEW)]
        bad = self.rng.permutation(NEW)[: NEW // BAD_EVERY].tolist()
        crowd.bad = frozenset(self.fresh[k].item for k in bad)
        crowd.clips.update((made.item, made) for made in self.fresh)
        self.start_us = BEGIN_US + WARM_S * S_US
        self.end_us = self.start_us + (HOUR_S + WITHIN_S) * S_US
        for k, second in enumerate(np.sort(self.rng.uniform(0, HOUR_S, NEW)).tolist()):
            self.at(self.start_us + int(second * S_US), "approve", k)
        if lose:
            self.at(self.start_us + HOUR_S // 2 * S_US, "lose", 0)
        self.out = Outcome()

    def viewer(self, k: int) -> Viewer:
        wanted, n = k % ARM == 0, 0
        while debut.held_out(f"viewer-{k}-{n}") != wanted:
            n += 1
        return Viewer(f"viewer-{k}-{n}", self.crowd.viewer(k).moods)

    def approve(self, k: int) -> None:
        made = self.fresh[k]
        self.publish(made, self.law.now_us)
        self.out.fates[made.item] = Fate(self.law.now_us, made.item in self.crowd.bad)  # type: ignore[attr-defined]

    def chance_of(self, seat: Seat, item: str) -> float:
        """How likely this viewer watches this item long."""
        return self.crowd.p_long(seat.viewer, self.crowd.clips[item])

    def asked(self, seat: Seat, result: Result) -> None:
        if self.law.now_us < self.start_us or debut.held_out(seat.viewer.name):
            return
        self.out.slates += 1
        if any(c.how == "debut" for c in result.chosen):
            ask = result.viewer.query.ask
            plain = self.law.ask(seat.region, seat.viewer.name, ask, frozenset({"debut"}))
            with_, without = (sum(self.chance_of(seat, c.item) for c in r.chosen) for r in (result, plain))
            self.out.paired.append((with_, without))

    def watched(self, seat: Seat, chosen: Chosen, did: Watch) -> None:
        book = self.out.before if self.law.now_us < self.start_us else self.out.hits
        tally = book.setdefault(seat.viewer.name, [0.0, 0.0])
        tally[0] += self.chance_of(seat, chosen.item)
        tally[1] += 1
        fate = self.out.fates.get(chosen.item)
        if fate is None:
            return
        fate.shown += 1
        fate.places += chosen.how == "debut"
        fate.late += chosen.how == "debut" and bool(fate.reached_us)
        if did.dwell_ms >= QUALIFIED_MS or did.like or did.hide:
            fate.met.add(seat.viewer.name)
        if len(fate.met) >= DEBUT_VIEWS and not fate.reached_us:
            fate.reached_us = self.law.now_us

    def newcomers(self) -> dict[str, float]:
        """Return, by events a new viewer's device brings along, the chance that a video of the next slate is watched
        long. They are the same viewers each time, and no region has heard of them."""
        region = next(site.name for site in self.law.sites.values() if not site.lost)
        found: dict[int, list[float]] = {n: [] for n in NEWCOMER_EVENTS}
        for k in range(NEWCOMERS):
            seat = Seat(self.crowd.viewer(10_000 + k), region)
            first = self.law.ask(region, seat.viewer.name, FeedRequest(n=max(NEWCOMER_EVENTS), request=f"new-{k}"))
            for i, chosen in enumerate([*first.chosen, None]):
                if i in found:
                    seat.viewer = Viewer(f"{seat.viewer.name}", seat.viewer.moods)
                    asked = seat.memory.request(SLATE, f"new-{k}-{i}", self.law.now_us)
                    next_ = self.law.ask(region, seat.viewer.name, asked)
                    found[i] += [self.chance_of(seat, c.item) for c in next_.chosen]
                if chosen is not None:
                    self._told(seat, chosen.item)
        return {str(n): round(float(np.mean(p)), 4) for n, p in found.items() if p}

    def _told(self, seat: Seat, item: str) -> None:
        did, length_ms = self.crowd.watch(seat.viewer, item), self.crowd.clips[item].duration_ms
        seat.memory.watched(self.law.now_us, item, did.dwell_ms, length_ms, liked=False, hid=False)


def live(seed: int, *, lose: bool) -> Outcome:
    """Let one hour happen."""
    hour = Debuts(seed, lose=lose)
    hour.go(hour.end_us)
    if not lose:
        hour.out.newcomers = hour.newcomers()
    return hour.out


def run(worlds: int, say: Say) -> dict[str, Any]:
    """Run the hour calm, and with a region lost, in so many worlds each. See the module for the keys."""
    begun = time.monotonic()
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 2 * worlds)) as pool:
        going = {lose: [pool.submit(live, seed, lose=lose) for seed in range(worlds)] for lose in (False, True)}
        say(f"{2 * worlds} hours of an audience; each takes a minute of a core or more")
        done = {lose: [one.result() for one in row] for lose, row in going.items()}
    return {
        **figures(done[False]),
        "one_region_lost": figures(done[True]),
        "newcomer_hit_rate_by_events": done[False][0].newcomers,
        "worlds": worlds,
        "seconds": round(time.monotonic() - begun, 1),
    }


def figures(hours: list[Outcome]) -> dict[str, Any]:
    """Return the figures over some worlds."""
    fates = [fate for hour in hours for fate in hour.fates.values()]
    good, bad = [f for f in fates if not f.bad], [f for f in fates if f.bad]
    minutes = [(f.reached_us - f.approved_us) / S_US / 60 if f.reached_us else np.inf for f in good]
    owed = DEBUT_VIEWS * len(good)
    cost, low, high = _cost(hours)
    pairs = np.array([pair for hour in hours for pair in hour.paired]).reshape(-1, 2)
    slates = sum(hour.slates for hour in hours)
    # slates without a debut cost nothing, and there are `slates` of SLATE places each
    base = float(pairs[:, 1].mean()) if pairs.size else 1.0
    shown = sum(n for hour in hours for _, n in hour.hits.values())
    p95 = float(np.quantile(minutes, 0.95, method="higher"))
    return {
        "good_reached_share": round(float(np.mean([m <= WITHIN_S / 60 for m in minutes])), 4),
        "minutes_median": round(float(np.median(minutes)), 2),
        "minutes_p95": round(p95, 2) if np.isfinite(p95) else None,
        "bad_impressions_mean": round(float(np.mean([f.shown for f in bad])), 2),
        "good_impressions_mean": round(float(np.mean([f.shown for f in good])), 2),
        "hit_rate_cost": round(cost, 4),
        "hit_rate_cost_interval": [round(low, 4), round(high, 4)],
        "hit_rate_cost_paired": round(float((pairs[:, 1] - pairs[:, 0]).sum()) / (base * max(slates, 1)), 4),
        "overshoot": round(sum(f.late for f in good) / owed, 4),
        "debut_share": round(sum(f.places for f in fates) / max(shown, 1), 4),
        "demand": round(shown * debut.SHARE_MAX / (DEBUT_VIEWS * len(fates)), 2),
        "impressions": int(shown),
    }


def _cost(hours: list[Outcome]) -> tuple[float, float, float]:
    """Return by what share the others' hit rate is below the hold-out arm's, and its interval."""
    rows: list[tuple[float, float, float, float]] = []  # weight, hit rate, before, of the hold-out arm
    for hour in hours:
        warm = np.array(list(hour.before.values())).sum(0)
        for name, (long, n) in hour.hits.items():
            before, times = hour.before.get(name, (0.0, 0.0))
            rows.append((n, long / n, (before + warm[0] / warm[1]) / (times + 1), debut.held_out(name)))
    table = np.array(rows, np.float64)
    rng = np.random.default_rng(0)

    def cost(at: Any) -> float:
        weight, rate, before, held = table[at].T
        x = np.stack([np.ones_like(rate), 1.0 - held, before - before.mean()], 1)
        root = np.sqrt(weight)
        fitted = np.linalg.lstsq(x * root[:, None], rate * root, rcond=None)[0]
        return float(-fitted[1] / fitted[0])

    again = [cost(rng.integers(0, len(table), len(table))) for _ in range(RESAMPLES)]
    low, high = np.quantile(again, [0.025, 0.975])
    return cost(np.arange(len(table))), float(low), float(high)
