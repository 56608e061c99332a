"""The rollout: how a network that passed the gate comes to serve everyone, or is taken back.

    gate ─► canary 1/8 of viewers ─► 1/2 ─► serves
                └────────┴── worse ──────────┴─► rollback: the release before it serves

The gate judges on slates that others chose. What a network would choose itself is only seen when it chooses: so it
first serves a share of viewers, drawn by hash, and the share widens as showings are counted. One release is under trial
at a time. Every step is an entry, so nodes and stand-by learners follow by folding, and so can anyone.

The stamps of steps give their order and nothing else: who makes one stamps it after the last (`since`), whatever clock
that was made by, so a successor need not wait until its own clock has caught up with one that ran ahead. How much was
shown is counted from the trial's `learned_to`, which is a viewer's time, and from the figures of the step before.

Viewers differ more than releases do, so what is compared is each showing against the same viewer's own rate before it.
The bound holds however often one looks (a normal-mixture confidence sequence: Robbins 1970; Howard et al.,
"Time-uniform Chernoff bounds", 2021).
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import log, sqrt

from holdfast.core.catalogue import fnv64
from holdfast.core.entries import Release, Rollout
from holdfast.model.examples import Outcome

RUNG = "FULL"
SHARES_PPM = (125_000, 500_000, 1_000_000)
COUNTED = 60  # showings by the trial at each share before it widens
MARGIN = 0.02  # of the long-view rate: who looks worse by more does not widen yet
WORSE = 0.05
STARVED = 600  # showings beside it, in which a trial that is hardly shown ends: the next draws other viewers
STARVED_US = 45_000_000  # but not before nodes have had time to load it, however many are served
TOLD = 200  # showings after which a trial that looks worse by WORSE goes back though it is not sure
ALPHA = 0.05
MIXTURE = 50.0  # the bound is tightest after about so many units of variance: some 250 showings
BEFORE = 4  # releases that could be returned to
STEPS_KEPT = 16  # three for each of those


@dataclass(slots=True)
class Line:
    """Which release serves, which is under trial and for how many viewers: a fold of releases and rollouts."""

    serving: str = ""
    trial: str = ""
    share_ppm: int = 0
    since: int = 0  # stamp of the last step
    shown: int = 0  # showings by the trial that the last step counted
    before: list[str] = field(default_factory=list[str])
    releases: dict[str, Release] = field(default_factory=dict[str, Release])
    steps: list[Rollout] = field(default_factory=list[Rollout])  # that lead here, for a snapshot; the newest last

    @property
    def began(self) -> int:
        """Stamp of the newest view that the release under trial learned from: what it shows comes after."""
        return self.releases[self.trial].learned_to if self.trial in self.releases else 0

    def hear(self, entry: Release | Rollout) -> bool:
        """Fold an entry; say whether anything changed. What is older than the last step is passed over."""
        if entry.rung != RUNG:
            return False
        if isinstance(entry, Release):
            self.releases[entry.sha] = entry
            return True
        if entry.stamp <= self.since:
            return False
        self.since = entry.stamp
        if entry.verdict == "rollback":
            self._back(entry.sha)
        elif entry.verdict == "serve":
            if self.serving and self.serving != entry.sha:
                self.before = [*self.before, self.serving][-BEFORE:]
            self.serving, self.trial, self.share_ppm = entry.sha, "", 0
        else:
            self.trial, self.share_ppm = entry.sha, entry.share_ppm
        self.shown = int(entry.figures.get("shown", 0)) if entry.verdict == "widen" else 0
        kept = {self.serving, self.trial, *self.before}
        # a failed trial's steps are let go, so that they never push out the step that made what serves
        led = [s for s in self.steps if s.sha == self.trial or (s.verdict == "serve" and s.sha in kept)]
        self.steps = [*led[-STEPS_KEPT:], entry]
        spare = [sha for sha in self.releases if sha not in kept and sha != entry.sha][-BEFORE:]  # not decided on yet
        self.releases = {sha: r for sha, r in self.releases.items() if sha in kept or sha in spare}
        return True

    def _back(self, sha: str) -> None:
        if sha == self.trial:
            self.trial, self.share_ppm = "", 0
        if sha == self.serving:
            self.serving = self.before.pop() if self.before else ""

    def chosen(self, viewer: str) -> str:
        """Return the digest of the release that serves this viewer, "" for none."""
        return self.trial if self.trial and in_trial(self.trial, viewer, self.share_ppm) else self.serving


def in_trial(sha: str, viewer: str, share_ppm: int) -> bool:
    """Say whether a viewer is among the share that a trial serves. A wider share holds the narrower one."""
    return fnv64(f"{sha}/{viewer}") % 1_000_000 < share_ppm


@dataclass(frozen=True, slots=True)
class Step:
    """What to do with a trial, and why: `widen`, `serve`, `rollback`, or "" to wait."""

    verdict: str
    share_ppm: int = 0
    why: str = ""
    figures: dict[str, float] = field(default_factory=dict[str, float])


class Trial:
    """Counts what a trial and what stands beside it showed: long or not, less the viewer's rate before."""

    def __init__(self) -> None:
        self._seen: deque[Outcome] = deque(maxlen=50_000)
        self._looked: tuple[str, int, int, int] = ("", 0, 0, 0)  # trial, share; showings beside and stamp at first look

    def see(self, outcomes: Iterable[Outcome]) -> None:
        """Take settled showings, of any release."""
        self._seen.extend(outcomes)

    def step(self, line: Line) -> Step:
        """Decide about the trial of `line` from the slates served since it began."""
        here = [o for o in self._seen if o.stamp >= line.began]
        ours = [o.long - o.before for o in here if o.release == line.trial]
        theirs = [o.long - o.before for o in here if o.release != line.trial]
        counted = len(ours) - line.shown
        difference = mean(ours) - mean(theirs)
        half = bound(len(ours)) + bound(len(theirs))
        figures = {"difference": round(difference, 4), "bound": round(min(half, 1.0), 4),
                   "shown": float(len(ours)), "beside": float(len(theirs))}  # fmt: skip
        words = f"{difference:+.3f} ± {min(half, 1.0):.3f} of the long-view rate over {len(ours)} showings"
        compared = bool(theirs)
        if compared and (difference + half < 0 or (difference < -WORSE and len(ours) >= TOLD)):
            return Step("rollback", 0, f"worse: {words}", figures)
        beside = self._beside(line, len(theirs))
        if counted < COUNTED and beside >= STARVED:
            return Step("rollback", 0, f"hardly shown: {counted} of {counted + beside} showings", figures)
        if counted < COUNTED or (compared and difference < -MARGIN):
            return Step("")
        wider = next((s for s in SHARES_PPM if s > line.share_ppm), SHARES_PPM[-1])
        return Step("serve" if wider == SHARES_PPM[-1] else "widen", wider, f"not worse: {words}", figures)

    def _beside(self, line: Line, theirs: int) -> int:
        """Showings beside the trial since it was first looked at with this share; 0 before STARVED_US have passed."""
        newest = self._seen[-1].stamp if self._seen else line.began
        if self._looked[:2] != (line.trial, line.share_ppm):
            self._looked = line.trial, line.share_ppm, theirs, newest
        return theirs - self._looked[2] if newest >= self._looked[3] + STARVED_US else 0


def mean(values: list[float]) -> float:
    """Return the mean, 0.0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def bound(n: int) -> float:
    """Return the half-width of a mean of n numbers within ±1/2 of their own, valid at every n at once."""
    if n == 0:
        return 1.0
    variance = n / 4
    return sqrt((variance + MIXTURE) * log((variance + MIXTURE) / (MIXTURE * ALPHA**2))) / n
