"""Experiments: who gets which arm, and what may be concluded from it at any moment one happens to look.

*Assignment* is a hash of (experiment, viewer): the same in every region and after every restart, with no table to keep,
and independent between experiments. *Exposure* is in the log: the slate's entry names the arm it was made under. So
results count only viewers who were shown something, under both arms alike.

*One viewer is one number.* Showings of one viewer resemble each other, so they are not so many witnesses. A viewer's
outcome is what they did within `window_s` of their first exposure, and it is counted once that time is over: it never
changes afterwards, and heavy viewers weigh as much as light ones.

*Looking is free.* People look at results every day and stop when they please; an ordinary 95 % interval then errs far
more often than one time in twenty. The interval here holds at all times at once: the normal-mixture confidence
sequence (Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon 2021; as mSPRT for A/B tests: Johari, Pekelis, Walsh 2015).
With θ̂ the difference of two means and V its variance, at every look

    |θ̂ − θ|  ≤  √( V (V + τ²) / τ² · ln( (V + τ²) / (V α²) ) )         with probability ≥ 1 − α for all looks together

τ is the size of effect one hopes to see (`effect`); it changes how soon, never how often wrongly. The normal
approximation needs viewers: below VIEWERS_MIN in an arm there is no interval. Several arms share α evenly.
"""

import math
from dataclasses import dataclass, field

import msgspec

from holdfast.core.catalogue import fnv64
from holdfast.core.entries import Experiment, Like, SlateServed, View
from holdfast.core.feed.actions import is_long
from holdfast.core.tenants import tenant_of

ALPHA = 0.05
SHARES_ALPHA = 0.01  # a false alarm about the arms' sizes would stop a good experiment
SHARES_PRIOR = 100.0  # viewers: how surely, before any came, the sizes are as planned
VIEWERS_MIN = 50  # per arm, before an interval is given
VIEWERS_KEPT = 200_000  # per experiment; later viewers are served their arm but not counted


def arm_of(experiment: Experiment, viewer: str) -> str:
    """Return the arm of a viewer: by hash, in proportion to the arms' shares."""
    total = sum(arm.share for arm in experiment.arms)
    mark = _unit(f"{experiment.name}\x1f{experiment.salt}\x1f{viewer}") * total
    for arm in experiment.arms:
        mark -= arm.share
        if mark < 0:
            return arm.name
    return experiment.arms[-1].name


def _unit(text: str) -> float:
    """Hash a text to [0, 1): FNV-1a, then the finaliser of splitmix64, which makes near texts independent."""
    z = fnv64(text)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return ((z ^ (z >> 31)) >> 11) / 2.0**53


class Tally(msgspec.Struct, array_like=True):
    """One viewer in one experiment. `since`: stamp of the first exposure, µs; counts within the window after it."""

    arm: str
    since: int
    views: int = 0
    long_views: int = 0
    likes: int = 0


@dataclass(slots=True)
class Trials:
    """The fold of experiments: definitions (the newest stamp holds) and one tally per exposed viewer."""

    defined: dict[str, Experiment] = field(default_factory=dict[str, Experiment])
    tallies: dict[str, dict[str, Tally]] = field(default_factory=dict[str, dict[str, Tally]])
    _exposed: dict[str, list[str]] = field(default_factory=dict[str, list[str]])  # viewer -> experiments
    _running: dict[str, list[Experiment]] = field(default_factory=dict[str, list[Experiment]])  # by tenant

    def define(self, entry: Experiment) -> None:
        """Take a definition, a change of it or its end."""
        held = self.defined.get(entry.name)
        if held is None or (entry.stamp, entry.device, entry.outbox) > (held.stamp, held.device, held.outbox):
            self.defined[entry.name] = entry
            self._running.pop(tenant_of(entry.name), None)

    def serve(self, entry: SlateServed) -> None:
        """Note an exposure."""
        for name, arm in entry.arms.items():
            tallies = self.tallies.setdefault(name, {})
            held = tallies.get(entry.viewer)
            if held is not None:
                held.since = min(held.since, entry.stamp)
            elif len(tallies) < VIEWERS_KEPT:
                tallies[entry.viewer] = Tally(arm, entry.stamp)
                self._exposed.setdefault(entry.viewer, []).append(name)

    def act(self, entry: View | Like) -> None:
        """Count what an exposed viewer did within the window."""
        for name in self._exposed.get(entry.device, ()):
            tally, experiment = self.tallies[name][entry.device], self.defined.get(name)
            if experiment is None or not 0 <= entry.stamp - tally.since < experiment.window_s * 1_000_000:
                continue
            if isinstance(entry, View):
                tally.views += 1
                tally.long_views += is_long(entry.dwell_ms, entry.duration_ms)
            else:
                tally.likes += 1 if entry.on else -1

    def recall(self, name: str, tallies: dict[str, Tally]) -> None:
        """Take up tallies from a snapshot."""
        self.tallies.setdefault(name, {}).update(tallies)
        for viewer in tallies:
            self._exposed.setdefault(viewer, []).append(name)

    def running(self, tenant: str) -> list[Experiment]:
        """Return the experiments of a tenant that run, by name. Kept, since every slate asks; not to be changed."""
        held = self._running.get(tenant)
        if held is None:
            runs = (e for _, e in sorted(self.defined.items()) if tenant_of(e.name) == tenant and not e.stopped)
            held = self._running[tenant] = list(runs)
        return held


class ArmResult(msgspec.Struct, kw_only=True):
    """One arm. `viewers` whose window is over; `waiting` whose is not. `change` against the first arm, with the
    interval that holds at every look; None where there are too few viewers (VIEWERS_MIN)."""

    arm: str
    viewers: int
    waiting: int
    mean: float
    change: float | None = None
    low: float | None = None
    high: float | None = None
    surely: str = ""  # "better" or "worse" when the interval excludes 0


@dataclass(slots=True)
class Moments:
    """Sums of one arm's outcomes."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.n += 1
        self.total += value
        self.squares += value * value

    @property
    def mean(self) -> float:
        return self.total / self.n if self.n else 0.0

    @property
    def of_mean(self) -> float:
        """Variance of the mean."""
        if self.n < 2:
            return math.inf
        return max(0.0, (self.squares - self.n * self.mean**2) / (self.n - 1)) / self.n


def radius(variance: float, effect: float, alpha: float = ALPHA) -> float:
    """Return the half-width of the always-valid interval of a difference with this variance; 0 for no variance."""
    if variance <= 0.0:
        return 0.0
    mixed = variance + effect * effect
    return math.sqrt(variance * mixed / (effect * effect) * math.log(mixed / (variance * alpha * alpha)))


def shares_hold(counts: list[int], shares: list[int]) -> bool:
    """Say whether the arms' sizes are what their shares promise, at every look together.

    If they are not, exposures are lost in one arm, and no result of this experiment is to be believed. The Bayes factor
    of a Dirichlet-multinomial against the planned shares, compared with 1/SHARES_ALPHA (Lindon and Malek 2022).
    """
    total, n = sum(shares), sum(counts)
    planned = [share / total for share in shares]
    log_factor = math.lgamma(SHARES_PRIOR) - math.lgamma(SHARES_PRIOR + n)
    for count, share in zip(counts, planned, strict=True):
        log_factor += math.lgamma(SHARES_PRIOR * share + count) - math.lgamma(SHARES_PRIOR * share)
        log_factor -= count * math.log(share)
    return log_factor < math.log(1 / SHARES_ALPHA)


def outcome_of(tally: Tally, outcome: str) -> float | None:
    """Return a viewer's one number; None for a share of no showings."""
    if outcome == "long_view_share":
        return tally.long_views / tally.views if tally.views else None
    return float(tally.long_views if outcome == "long_views" else tally.likes)


def results(experiment: Experiment, tallies: dict[str, Tally], now_us: int) -> list[ArmResult]:
    """Return what may be said now, arm by arm; the first arm is what the others are compared with."""
    sums = {arm.name: Moments() for arm in experiment.arms}
    waiting = dict.fromkeys(sums, 0)
    until = min(now_us, experiment.stopped or now_us) - experiment.window_s * 1_000_000
    for tally in tallies.values():
        if tally.arm not in sums:  # an arm of an earlier definition
            continue
        value = outcome_of(tally, experiment.outcome)
        if tally.since > until:
            waiting[tally.arm] += 1
        elif value is not None:
            sums[tally.arm].add(value)
    control = sums[experiment.arms[0].name]
    alpha = ALPHA / max(1, len(experiment.arms) - 1)
    lines: list[ArmResult] = []
    for i, (name, mine) in enumerate(sums.items()):
        line = ArmResult(arm=name, viewers=mine.n, waiting=waiting[name], mean=round(mine.mean, 6))
        if i and min(mine.n, control.n) >= VIEWERS_MIN:
            change = mine.mean - control.mean
            wide = radius(mine.of_mean + control.of_mean, experiment.effect_ppm / 1e6, alpha)
            line.change, line.low, line.high = (round(x, 6) for x in (change, change - wide, change + wide))
            line.surely = "better" if line.low > 0 else "worse" if line.high < 0 else ""
        lines.append(line)
    return lines
