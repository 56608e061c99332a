"""The viewer as one request sees them: the region's record joined with what the device brought along.

Either alone is enough for a good slate. The record may lag behind another region; the device may be new. So history
is the union of both by (video, action), and seen is what either has seen.
"""

from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed import chance, kinds
from holdfast.core.feed.actions import WEIGHT_UNIT, weight_of
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.shapes import CONTEXT_MAX, FeedRequest
from holdfast.core.feed.wishes import Wishes
from holdfast.core.feed.wishes import read as wishes_of
from holdfast.core.feed.world import World
from holdfast.core.profile import Event, Profile, slate_name
from holdfast.core.tenants import PLATFORM

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """What experiments make of one query: the arm in each, and factors of the score's parts (`value.WEIGHTS`)."""

    arms: dict[str, str] = field(default_factory=dict[str, str])
    factors: dict[str, float] = field(default_factory=dict[str, float])


NO_TRIAL = Trial()  # never changed


@dataclass(frozen=True, slots=True)
class Query:
    """One feed request and who asks: `viewer` is an alias, "" for the public feed; `tenant`: whose items it is about.

    The items that `ask` names are full names (`core.tenants`).
    """

    viewer: str
    ask: FeedRequest
    tenant: str = PLATFORM
    trial: Trial = NO_TRIAL


@dataclass(frozen=True, slots=True)
class Budget:
    """Time, chance and place of one call of the pipeline.

    `rung`: the rung this region stands on; `shelf`: item ids of the signed shelf; `without`: names of optional
    stages (`budget.OPTIONAL`) that were dropped before the call because they do not fit.
    """

    now_us: int
    seed: int
    rung: Rung
    shelf: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class History:
    """What a viewer did lately, oldest first: int32[H] catalogue rows, float32[H] weights, the strongest action.

    `shares`: float32[H], how much of the video was watched (1 = once, −1 = not known); `stamps`: int64[H] of the
    newest act, µs. A history made without them is one of which they are not known.
    """

    rows: Array
    weights: Array
    actions: tuple[str, ...]
    shares: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    stamps: Array = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a viewer has seen and when, by catalogue row: the region's record, which is shared, and what was brought.

    What the device lists without a time counts by its place in the list: older than anything that has a stamp.
    """

    record: dict[int, int]
    brought: dict[int, int]

    def __contains__(self, row: int) -> bool:
        return row in self.record or row in self.brought

    def when(self, row: int) -> int:
        """Return when a row was seen last, µs; 0 if it was not."""
        return max(self.record.get(row, 0), self.brought.get(row, 0))

    def rows(self) -> Array:
        """Return int64: every row seen, each once."""
        record = self.record
        more = [row for row in self.brought if row not in record]
        return np.fromiter(chain(record, more), np.int64, len(record) + len(more))


@dataclass(slots=True)
class Viewer:
    """Everything the stages need to know about one query. Sets hold catalogue rows."""

    query: Query
    draw: int  # which draw of chance this request is
    slate: str
    rung: Rung
    profile: Profile
    history: History
    seen: Seen
    excluded: set[int] = field(default_factory=set[int])  # in the device's buffer
    in_hand: set[int] = field(default_factory=set[int])  # served a moment ago
    asked: kinds.Asked = kinds.FOR_YOU  # which feed answers
    wishes: Wishes | None = None  # what the viewer said of tags and creators

    @property
    def public(self) -> bool:
        return not self.query.viewer


EMPTY = Profile()  # never changed: the public's profile
_NO_PAST = History(np.zeros(0, np.int32), np.zeros(0, np.float32), ())


def see(query: Query, world: World, budget: Budget) -> Viewer:
    """Join a query with the region's record of its viewer."""
    ask, of = query.ask, world.catalogue.items.of
    profile = world.profiles.get(query.viewer, EMPTY) if query.viewer else EMPTY
    draw = chance.key(budget.seed, query.viewer, ask.request)
    slate = f"{draw:016x}"
    listed = map(of.get, ask.seen)
    brought: dict[int, int] = {row: place for place, row in enumerate(listed) if row is not None}
    for event in ask.context:
        row = of.get(event.item)
        if row is not None:
            brought[row] = max(brought.get(row, -1), budget.now_us - int(event.age_s * 1e6))
    asked = kinds.settle(ask, profile, world.catalogue, query.tenant)
    wishes = wishes_of(profile, world.catalogue)
    past = history(profile, ask, world.catalogue, budget.now_us)
    if asked.kind.name == "plain":  # nothing that follows can profile: it is not told of what to make a profile
        profile, wishes, past = kinds.blind(profile), wishes.bans() if wishes else None, _NO_PAST
    in_hand = set(profile.in_hand(budget.now_us, slate_name(asked.kind.name, slate)))
    return Viewer(
        query, draw, slate, max(_rung(query, draw, budget), asked.kind.top), profile, past,
        Seen(profile.seen, brought), {of[item] for item in ask.exclude if item in of}, in_hand, asked, wishes,
    )


def _rung(query: Query, draw: int, budget: Budget) -> Rung:
    top = Rung[query.ask.at_most]
    if query.ask.randomise:
        names = query.ask.randomise
        top = max(top, Rung[names[chance.pick(draw, len(names))]])
    if not query.viewer:
        top = max(top, Rung.REGIONAL)
    return max(budget.rung, top)


_STAMP = attrgetter("stamp")


def history(profile: Profile, ask: FeedRequest, catalogue: Catalogue, now_us: int) -> History:
    """Join the region's and the device's memory of a viewer; the newest CONTEXT_MAX videos count.

    Several acts on one video are one: the strongest liking, unless it was hidden or skipped later than liked.
    A short look (a glance) takes back no word: who likes a video and swipes on at once likes it.
    """
    acts = profile.events  # in order
    if ask.context:
        of = catalogue.items.of
        acts = acts + [
            Event(now_us - int(c.age_s * 1e6), row, c.action, c.dwell_ms, c.duration_ms)
            for c in ask.context if (row := of.get(c.item)) is not None
        ]  # fmt: skip
        acts.sort(key=_STAMP)
    if profile.forgot[3]:
        acts = [act for act in acts if act.stamp > profile.forgot[3]]  # a device may not have heard of the reset yet
    joined: dict[int, tuple[int, str, float, int]] = {}  # row -> (weight, action, share, stamp), by the newest act
    for act in acts:
        row, action, dwell_ms, duration_ms = act.row, act.action, act.dwell_ms, act.duration_ms
        weight = weight_of(action, dwell_ms, duration_ms)
        watched = dwell_ms / duration_ms if duration_ms > 0 and action == "view" else -1.0
        held = joined.pop(row, None)
        if held is not None:
            watched = max(watched, held[2])
            said = action == "view" and held[1] != "view"  # a look, after a word
            if weight < held[0] and (weight >= 0 or said):
                weight, action = held[0], held[1]
        joined[row] = (weight, action, watched, act.stamp)
    if not joined:
        return _NO_PAST
    weights, actions, shares, stamps = zip(*list(joined.values())[-CONTEXT_MAX:], strict=True)
    return History(
        np.array(list(joined)[-CONTEXT_MAX:], np.int32), np.array(weights, np.float32) / WEIGHT_UNIT, actions,
        np.array(shares, np.float32), np.array(stamps, np.int64),
    )  # fmt: skip
