"""Lessons: how entries become examples. The learner's world is the node's world, folded by the same code.

Before an entry is folded, the viewer's history is what a node would have had before it; that and what the viewer then
did make one example. So serving and training cannot drift apart: they call the same `history`, on the same fold.

Bad data does not teach: what was folded before is no lesson, nor what arrives late (its history would know the
future), nor a video the viewer had seen or that no slate showed them, nor what they had forgotten (`history` leaves out
what came before a reset), nor more than one viewer can have done in an hour (`allowance`). No model is judged by such
either: a view names its slate itself, so a script could fill all that candidates are judged by. What an outage shows
counts less, by the rung of the slate it came from. And one slate in HOLD_OUT is kept aside to judge by.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from holdfast.core.allowance import Allowance
from holdfast.core.catalogue import fnv64
from holdfast.core.entries import Entry, Hide, Reset, SlateServed, View
from holdfast.core.feed.actions import is_long
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.feed.viewer import History, history
from holdfast.core.feed.world import World
from holdfast.core.profile import Profile
from holdfast.model.evaluate import HOLD_OUT, Example, Log, Question, ask_over_all, hit
from holdfast.model.learn import OUTCOME, Statistics
from holdfast.model.linear import Linear

SHARE_OF_RUNG = {"FULL": 1.0, "STALE": 1.0, "LINEAR": 1.0, "REGIONAL": 0.5, "SHELF": 0.25}
SLATES_KEPT = 20_000  # whose rung is remembered; a day of a small region, minutes of a large one: then share 1
SHOWN_MAX = 10  # showings that make one held-out slate, where the app names no slate
ASK_EVERY = 4  # once there are enough, one question in so many: each looks at the whole catalogue
ASIDE_MAX = 5_000  # viewers with a held-out slate under way
_NOTHING = FeedRequest()


@dataclass(slots=True)
class _Aside:
    """A held-out slate under way: what was known before it, what was shown since."""

    slate: str
    past: History
    rows: list[int] = field(default_factory=list[int])
    long: list[bool] = field(default_factory=list[bool])
    heat: list[float] = field(default_factory=list[float])


class Lessons:
    """A world that learns while it folds. `incumbent` is the model now serving."""

    def __init__(self, jurisdiction: str) -> None:
        self.world = World(jurisdiction)
        self.statistics = Statistics(self.world.catalogue)
        self.log = Log()
        self.incumbent: Linear | None = None
        self.learned_to = 0  # newest stamp learned from
        self.allowance = Allowance()
        self._rungs: OrderedDict[str, str] = OrderedDict()
        self._aside: OrderedDict[str, _Aside] = OrderedDict()
        self._asked = 0

    def take(self, entry: Entry) -> None:
        """Learn from one entry, then fold it."""
        if isinstance(entry, View | Hide):
            self._learn(entry)
        elif isinstance(entry, SlateServed):
            self._rungs[entry.slate] = entry.rung
            if len(self._rungs) > SLATES_KEPT:
                self._rungs.popitem(last=False)
        elif isinstance(entry, Reset):  # what was forgotten is not asked about either
            self._aside.pop(entry.viewer or entry.device, None)
        self.world.apply(entry)

    def _learn(self, entry: View | Hide) -> None:
        profile = self.world.profiles.get(entry.device)
        row = self.world.catalogue.items.of.get(entry.item)
        if profile is None or row is None or not profile.events or self._folded(entry):
            return
        if entry.stamp < profile.events[-1].stamp or (row in profile.seen and isinstance(entry, View)):
            return
        if not self.world.was_shown(entry.device, row, entry.stamp):
            return
        held = self._aside.get(entry.device)
        if held is not None and (held.slate != entry.slate or len(held.rows) >= SHOWN_MAX):
            self._close(self._aside.pop(entry.device))
        if fnv64(f"{entry.device}/{entry.slate}") % HOLD_OUT == 0:
            if isinstance(entry, View) and self._may(entry):
                self._keep_aside(entry, row, profile)
            return
        outcome = "hide" if isinstance(entry, Hide) else _outcome(entry)
        if outcome is None or not self._may(entry):
            return
        past = history(profile, _NOTHING, self.world.catalogue, entry.stamp)
        share = SHARE_OF_RUNG.get(self._rungs.get(entry.slate, ""), 1.0)
        self.statistics.learn(past, row, entry.stamp, outcome=OUTCOME[outcome], share=share, viewer=entry.device)
        self.learned_to = max(self.learned_to, entry.stamp)

    def _may(self, entry: View | Hide) -> bool:
        """Count an act; say whether its viewer may still teach, and judge, in this hour."""
        return self.allowance.grants(entry.device, entry.dwell_ms if isinstance(entry, View) else 0, entry.stamp)

    def _folded(self, entry: Entry) -> bool:
        folded = self.world.folded.get(entry.device)
        return folded is not None and entry.outbox in folded

    def _keep_aside(self, entry: View, row: int, profile: Profile) -> None:
        c = self.world.catalogue
        held = self._aside.get(entry.device)
        if held is None:
            held = self._aside[entry.device] = _Aside(entry.slate, history(profile, _NOTHING, c, entry.stamp))
            if len(self._aside) > ASIDE_MAX:
                self._close(self._aside.popitem(last=False)[1])
        long = _outcome(entry) == "long"
        if long and not any(held.long):
            self._ask(held.past, row, profile)
        held.rows.append(row)
        held.long.append(long)
        held.heat.append(float(c.heat(c.newest_us, slice(row, row + 1))[0]))

    def _close(self, aside: _Aside) -> None:
        heat = np.array(aside.heat, np.float32)
        self.log.examples.append(Example(aside.past, np.array(aside.rows), np.array(aside.long), heat))

    def _ask(self, past: History, row: int, profile: Profile) -> None:
        """Ask the serving model and popularity for the next long view, over all that could have been shown."""
        self._asked += 1
        if self.log.full and self._asked % ASK_EVERY:
            return
        c = self.world.catalogue
        free = c.allowed() & (c.tenant[: c.n] == c.tenant[row])
        free[list(profile.seen)] = False
        if not free[row]:
            return
        rows = np.flatnonzero(free).astype(np.int32)
        heat = c.heat(c.newest_us)[rows].astype(np.float32)
        question = Question(past, rows, heat, int(np.searchsorted(rows, row)))
        self.log.put(question)
        if self.incumbent is not None:
            self.log.model_hits.append(ask_over_all(self.incumbent, question))
            self.log.popular_hits.append(hit(heat, question.at))


def _outcome(entry: View) -> str | None:
    return "long" if is_long(entry.dwell_ms, entry.duration_ms) else None
