"""Examples: each slate that was served, joined with what the viewer then did, as rows to train the network on.

    slate served ──► waits, with the history and the signals it was ranked by
       view, skip, hide ──► by slate id                  ─┐
       like, share, follow ─► by the viewer's last slates ─┴─► SETTLE_US after the view: one example

An example must not wait for the last act that could come, or a release would be minutes behind. So a showing is settled
SETTLE_US after it ended, by the stamps of the entries and not by anyone's clock. What comes later (up to LATE_US)
corrects: the act is taught once more, alone, as a positive. For rare acts that undoes the negative taught before to
within p² (the "fake negative" weighting of Ktena et al., RecSys 2019).

Short-video facts. A loop is a dwell longer than the video: it counts as long, and its share lies above 1 in the
history. A play of zero length was never looked at: it says a quarter of what a skip says. A video shown again in one
slate is one showing, its longest dwell counts. The place in the slate is a signal in training and 0 in serving. `stay`
is the quantile of the dwell among videos of like length, which takes length out of dwell.

Bad data does not teach: what was folded before, what names a slate of somebody else, and what is more than one viewer
can have done in an hour (`core.allowance`); nor is any release judged by it. A lower rung's slate counts less. One
slate in HOLD_OUT is kept aside to judge by. A comment is public, under a name that cannot be joined to the viewer's
alias, so it teaches nothing.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.allowance import Allowance
from holdfast.core.catalogue import fnv64
from holdfast.core.entries import Entry, Follow, Hide, Like, Reset, Share, Skip, SlateServed, View
from holdfast.core.feed.actions import is_glance, is_long
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.feed.viewer import History, history
from holdfast.core.feed.world import World
from holdfast.core.profile import Profile
from holdfast.model import signals
from holdfast.model.buckets import LENGTHS, length_bucket
from holdfast.model.evaluate import HOLD_OUT, Example
from holdfast.model.sizes import HEADS

Array = NDArray[Any]

SECOND = 1_000_000
SETTLE_US = 4 * SECOND  # a like comes within seconds of the view or mostly not at all
JUDGED_US = 30 * SECOND  # after the last view so far, a held-out slate is a question: a first release must not wait
LATE_US = 600 * SECOND  # the stated window: what comes after it teaches nothing
SLATES_MAX = 20_000  # waiting at once; the oldest go
VIEWERS_MAX = 500_000  # whose rates are remembered; then all begin anew
SHOWN_MAX = 10  # showings per example; a longer slate makes several
# What a slate's showings weigh, by its rung. What popularity alone chose teaches nothing: with a weight of 0.3 an hour
# on REGIONAL cost the network 8 % of its long views (`holdfast bench guard`).
RUNG_SHARE = {"FULL": 1.0, "STALE": 1.0, "LINEAR": 0.7}
ZERO_SHARE = 0.25  # what a play of zero length says
HEAD = {name: i for i, name in enumerate(HEADS)}
HEARD = np.array([name != "comment" for name in HEADS], np.float32)
_NOTHING = FeedRequest()


@dataclass(slots=True)
class Unit:
    """Some showings of one slate that have settled: what the network trains on at once.

    `past`: the history before the slate. Per showing: int64[K] rows, int16[K, F] signals, float32[K, A] labels and
    weights (0: not known).
    """

    past: History
    rows: Array
    fixed: Array
    labels: Array
    weights: Array

    def join(self, other: "Unit") -> None:
        """Take in other showings of the same slate."""
        self.rows, self.fixed = np.concatenate([self.rows, other.rows]), np.concatenate([self.fixed, other.fixed])
        self.labels = np.concatenate([self.labels, other.labels])
        self.weights = np.concatenate([self.weights, other.weights])


@dataclass(frozen=True, slots=True)
class Outcome:
    """A showing, for whoever compares releases: was it long, and how often this viewer's were before.

    Told at once: a like may follow within seconds and waits for that (SETTLE_US), how long was watched is known.
    """

    stamp: int
    viewer: str
    release: str
    long: bool
    before: float


@dataclass(slots=True)
class _Slate:
    viewer: str
    stamp: int
    release: str
    share: float
    past: History
    rows: Array
    fixed: Array
    held: bool
    dwell: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])  # row -> (dwell, duration)
    did: dict[int, set[str]] = field(default_factory=dict[int, set[str]])  # row -> like, share, follow, skip, hide
    taught: set[int] = field(default_factory=set[int])  # rows
    viewed: int = 0  # stamp of the newest view
    asked: bool = False  # a held-out slate: is it a question by now?


class Stay:
    """Running quantiles of the dwell, by length: what share of the plays of videos of like length was shorter."""

    BINS = 48  # of half powers of √2 of a tenth of a second, up to 50 minutes

    def __init__(self) -> None:
        self.counts = np.ones((LENGTHS, self.BINS), np.float64)

    def quantile(self, dwell_ms: int, duration_ms: int) -> float:
        """Return 0..1 for one dwell, and count it."""
        counts, at = self.counts[length_bucket(duration_ms)], min(self.BINS - 1, int(3 * np.log2(1 + dwell_ms / 100)))
        below = float(counts[:at].sum() + 0.5 * counts[at]) / float(counts.sum())
        counts[at] += 1.0
        return below


class Examples:
    """Joins slates with outcomes while a world folds. `take` each entry before the world does.

    `units` holds what has settled since it was last emptied, `outcomes` what was shown; `judged` the newest held-out
    slates.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.units: list[Unit] = []
        self.outcomes: deque[Outcome] = deque(maxlen=SLATES_MAX)
        self.judged: deque[Example] = deque(maxlen=512)
        self.now_us = 0  # the newest stamp taken
        self.learned_to = 0  # the newest view of a showing that has settled
        self.agreed = [0, 0]  # slates whose history here was the one served, of those that say
        self._slates: OrderedDict[str, _Slate] = OrderedDict()
        self._last: dict[str, deque[str]] = {}  # viewer -> newest slates
        self._due: list[tuple[int, int, str, int]] = []  # heap: (when, number, slate, row, or −1: the slate itself)
        self._number = 0
        self._stay = Stay()
        self._rates: dict[str, list[float]] = {}  # viewer -> [long, shown], fading
        self.allowance = Allowance()

    def take(self, entry: Entry) -> None:
        """Join one entry; the world has not folded it yet."""
        folded = self.world.folded.get(entry.device)
        if folded is not None and entry.outbox in folded:
            return
        self.now_us = max(self.now_us, entry.stamp)
        self._settle()
        match entry:
            case SlateServed():
                self._serve(entry)
            case View():
                self._view(entry)
            case Skip() | Hide():
                self._act(entry, "skip" if isinstance(entry, Skip) else "hide", entry.slate)
            case Like() | Share():
                if isinstance(entry, Share) or entry.on:
                    self._act(entry, "like" if isinstance(entry, Like) else "share", "")
            case Follow():
                self._follow(entry)
            case Reset():
                self._forget(entry.viewer or entry.device, min(entry.before, entry.stamp))
            case _:
                pass

    def _serve(self, entry: SlateServed) -> None:
        c = self.world.catalogue
        if entry.slate in self._slates:  # a request repeated, perhaps at another region: what was shown first stands
            return
        rows = np.array([c.items.of.get(item, -1) for item in entry.items], np.int64)
        fixed = signals.unpack(entry.signals, rows.size)
        if fixed is None or not rows.size or (rows < 0).any():
            return
        if entry.feed:  # plain: nothing personal in it; the others: the viewer chose what it holds (decision 0007)
            return
        if entry.rung not in RUNG_SHARE:
            return
        past = history(self.world.profiles.get(entry.viewer, Profile()), _NOTHING, c, entry.stamp)
        if entry.history:
            self.agreed[0] += signals.digest(past, c) == entry.history
            self.agreed[1] += 1
        held = fnv64(f"{entry.viewer}/{entry.slate}") % HOLD_OUT == 0
        self._slates[entry.slate] = _Slate(
            entry.viewer, entry.stamp, entry.release, RUNG_SHARE[entry.rung], past, rows, fixed, held
        )
        last = self._last.setdefault(entry.viewer, deque())
        last.append(entry.slate)
        if len(last) > 4:
            self._close(last.popleft())
        while len(self._slates) > SLATES_MAX or self._oldest_is_over():
            self._close(next(iter(self._slates)))

    def _forget(self, viewer: str, before: int) -> None:
        """Drop what waits of a viewer's slates up to `before`: the viewer had it forgotten, so it teaches nothing."""
        for name in list(self._last.get(viewer, ())):
            slate = self._slates.get(name)
            if slate is not None and slate.stamp <= before:
                slate.held = False  # no question to judge by either
                slate.dwell.clear()
                self._close(name)

    def _oldest_is_over(self) -> bool:
        return bool(self._slates) and next(iter(self._slates.values())).stamp < self.now_us - LATE_US

    def _close(self, name: str) -> None:
        """Settle what is left of a slate and forget it; a held-out one becomes a question to judge by."""
        slate = self._slates.pop(name, None)
        if slate is None:
            return
        self._teach(slate, [row for row in slate.dwell if row not in slate.taught])  # who swipes fast settles at once
        last = self._last.get(slate.viewer)
        if last is not None and name in last:
            last.remove(name)
        if last is not None and not last:
            del self._last[slate.viewer]
        self._ask(slate)

    def _ask(self, slate: _Slate) -> None:
        """Make a held-out slate a question to judge by, once."""
        if slate.held and slate.dwell and not slate.asked and not self.allowance.spent(slate.viewer):
            slate.asked = True
            at = np.array([i for i, row in enumerate(slate.rows.tolist()) if row in slate.dwell])
            long = np.array([is_long(*slate.dwell[row]) for row in slate.rows[at].tolist()])
            heat = slate.fixed[at, signals.NAMES.index("heat")].astype(np.float32)
            self.judged.append(Example(slate.past, slate.rows[at], long, heat, slate.fixed[at]))

    def _view(self, entry: View) -> None:
        slate, row = self._slates.get(entry.slate), self.world.catalogue.items.of.get(entry.item, -1)
        if slate is None or slate.viewer != entry.device or row not in slate.rows or row in slate.taught:
            return
        slate.viewed = max(slate.viewed, entry.stamp)
        before = slate.dwell.get(row, (-1, 0))[0]
        more_ms = entry.dwell_ms - max(before, 0)
        if entry.dwell_ms <= before or not self.allowance.grants(slate.viewer, more_ms, self.now_us):
            return
        slate.dwell[row] = (entry.dwell_ms, entry.duration_ms)
        if before < 0:
            self._tell(slate, is_long(entry.dwell_ms, entry.duration_ms))
            self._wait(entry.stamp + SETTLE_US, entry.slate, row)
            if slate.held:
                self._wait(entry.stamp + JUDGED_US, entry.slate, -1)

    def _tell(self, slate: _Slate, long: bool) -> None:
        if len(self._rates) > VIEWERS_MAX:
            self._rates.clear()
        rate = self._rates.setdefault(slate.viewer, [1.0, 3.0])
        self.outcomes.append(Outcome(slate.stamp, slate.viewer, slate.release, long, rate[0] / rate[1]))
        rate[0], rate[1] = 0.98 * rate[0] + long, 0.98 * rate[1] + 1.0

    def _wait(self, until: int, slate: str, row: int) -> None:
        self._number += 1
        heappush(self._due, (until, self._number, slate, row))

    def _act(self, entry: Like | Share | Skip | Hide, what: str, name: str) -> None:
        row = self.world.catalogue.items.of.get(entry.item, -1)
        names = [name] if name else list(reversed(self._last.get(entry.device, ())))
        for slate in (self._slates.get(n) for n in names):
            if slate is not None and slate.viewer == entry.device and row in slate.rows:
                self._did(slate, row, what)
                return

    def _follow(self, entry: Follow) -> None:
        c = self.world.catalogue
        creator = c.creators.of.get(entry.creator, -2)
        for slate in (self._slates[n] for n in reversed(self._last.get(entry.device, ())) if n in self._slates):
            for row in reversed(list(slate.dwell)):
                if entry.on and c.creator[row] == creator:
                    self._did(slate, row, "follow")
                    return

    def _did(self, slate: _Slate, row: int, what: str) -> None:
        acts = slate.did.setdefault(row, set())
        if what in acts:
            return
        acts.add(what)
        if row in slate.taught and not slate.held and not self.allowance.spent(slate.viewer):  # late: taught alone
            labels = np.zeros((1, len(HEADS)), np.float32)
            labels[0, HEAD[what]] = 1.0
            self._emit(slate, np.flatnonzero(slate.rows == row)[:1], labels, labels * slate.share)

    # -- settling --------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        ready: OrderedDict[str, list[int]] = OrderedDict()
        while self._due and self._due[0][0] <= self.now_us:
            due, _, name, row = heappop(self._due)
            slate = self._slates.get(name)
            if slate is not None and row < 0 and slate.viewed + JUDGED_US <= due:
                self._ask(slate)
            elif slate is not None and row in slate.dwell and row not in slate.taught:
                ready.setdefault(name, []).append(row)
                slate.taught.add(row)
                self.learned_to = max(self.learned_to, due - SETTLE_US)
        for name, rows in ready.items():
            self._teach(self._slates[name], rows)

    def _teach(self, slate: _Slate, rows: list[int]) -> None:
        at, labels, weights = [], [], []
        for row in rows:
            if slate.held:
                continue
            dwell_ms, duration_ms = slate.dwell[row]
            at.append(int(np.flatnonzero(slate.rows == row)[0]))
            labels.append(self._labels(slate.did.get(row, set()), dwell_ms, duration_ms))
            weights.append(HEARD * slate.share * (ZERO_SHARE if dwell_ms == 0 else 1.0))
        for first in range(0, len(at), SHOWN_MAX):
            cut = slice(first, first + SHOWN_MAX)
            self._emit(slate, np.array(at[cut]), np.stack(labels[cut]), np.stack(weights[cut]))

    def _labels(self, did: set[str], dwell_ms: int, duration_ms: int) -> Array:
        out = np.zeros(len(HEADS), np.float32)
        for act in did:
            out[HEAD[act]] = 1.0
        out[HEAD["long"]] = is_long(dwell_ms, duration_ms)
        out[HEAD["stay"]] = self._stay.quantile(dwell_ms, duration_ms)
        if is_glance(dwell_ms, duration_ms):
            out[HEAD["skip"]] = 1.0
        return out

    def _emit(self, slate: _Slate, at: Array, labels: Array, weights: Array) -> None:
        fixed = signals.placed(slate.fixed)[at]
        self.units.append(Unit(slate.past, slate.rows[at], fixed, labels, weights.astype(np.float32)))

    def emptied(self) -> Iterator[Unit]:
        """Yield and forget the units that have settled."""
        units, self.units = self.units, []
        yield from units
