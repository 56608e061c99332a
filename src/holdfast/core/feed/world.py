"""The world as one region knows it: the folds of all entries, which the feed reads and nothing else changes.

Every entry enters by `apply`, once: an interval set per device remembers which outbox numbers were folded, so that a
block heard twice, an outbox sent again through another region or a mended chain changes no count.

Anyone may say that they watched anything, so what ranks (what is liked now, debuts, the sums that models are made of,
the totals told to other jurisdictions) counts only what was *shown*: a slate of For You or of the plain feed held the
item for this viewer (`profile.was_shown`); and no more of one viewer than a person can do (`allowance`). What comes
under an API key is the team's word and counts (`tenants`). The rest is remembered of the viewer and counted for people
to read, no more. A playing may be heard before its slate, which came to another region: it counts when the slate is
heard. Decision 0007.
"""

from collections.abc import Callable
from typing import Any

from holdfast.core.allowance import Allowance
from holdfast.core.catalogue import Catalogue
from holdfast.core.entries import (
    Comment,
    Counts,
    Entry,
    Experiment,
    Follow,
    Hide,
    Interest,
    Like,
    Publication,
    Reset,
    Retraction,
    Ruling,
    Share,
    Skip,
    SlateServed,
    View,
)
from holdfast.core.experiments import Trials
from holdfast.core.feed.actions import is_long
from holdfast.core.feed.debut_book import HIDDEN, LONG, QUALIFIED, QUALIFIED_MS, SHOWN, Book
from holdfast.core.merge import IntervalSet
from holdfast.core.profile import COUNTED, OFF, ON, SHOWN_FOR_US, Event, Profile, slate_name, vouches
from holdfast.core.profile import SHOWN as WAS_SHOWN
from holdfast.core.tenants import SEPARATOR

LENGTHS_KEPT = 50_000  # different lengths of time kept once: a minute in milliseconds, 4 MB


class World:
    """State that this fold alone owns. `jurisdiction` tells foreign counts from our own."""

    def __init__(self, jurisdiction: str = "") -> None:
        self.catalogue = Catalogue(jurisdiction)
        self.profiles: dict[str, Profile] = {}
        self.folded: dict[str, IntervalSet] = {}  # device -> outbox numbers
        self.trials = Trials()
        self.debuts = Book()
        self.allowance = Allowance()
        self.entries = 0
        self.duplicates = 0
        self._lengths: dict[int, int] = {}
        c = self.catalogue
        self._takes: dict[type, Callable[[Any], None]] = {
            View: self._view,
            Like: self._like,
            Skip: self._skip,
            Hide: self._hide,
            Follow: self._follow,
            Share: self._share,
            SlateServed: self._served,
            Interest: self._interest,
            Reset: self._reset,
            Experiment: self.trials.define,
            Comment: self._comment,
            Publication: c.publish,
            Retraction: c.retract,
            Ruling: c.rule,
            Counts: c.count,
        }

    def same(self, ms: int) -> int:
        """Return the one number object kept for a length of time: viewers' events hold millions of few numbers."""
        held = self._lengths.get(ms)
        if held is None:
            if len(self._lengths) >= LENGTHS_KEPT:
                self._lengths.clear()
            held = self._lengths[ms] = ms
        return held

    def apply(self, entry: Entry) -> bool:
        """Fold one entry; return False, having changed nothing, if it was folded before."""
        folded = self.folded.get(entry.device)
        if folded is None:
            folded = self.folded[entry.device] = IntervalSet()
        if not folded.add(entry.outbox):
            self.duplicates += 1
            return False
        self.entries += 1
        take = self._takes.get(type(entry))
        if take is not None:
            take(entry)
        return True

    def profile(self, viewer: str) -> Profile:
        """Return a viewer's profile, making an empty one at first sight."""
        profile = self.profiles.get(viewer)
        if profile is None:
            profile = self.profiles[viewer] = Profile()
        return profile

    def held(self, device: str) -> list[tuple[int, int]]:
        """Return which outbox numbers of a device are folded here, as (first, last) pairs."""
        folded = self.folded.get(device)
        return [] if folded is None else folded.pairs()

    def _view(self, e: View) -> None:
        row = self.catalogue.deed_row(e.item)
        if row < 0:
            return
        long = is_long(e.dwell_ms, e.duration_ms)
        profile = self.profile(e.device)
        self._arrived(profile, row)
        self.catalogue.view(row, e.stamp, long=long)
        event = Event(e.stamp, row, "view", self.same(e.dwell_ms), self.same(e.duration_ms))
        may = SEPARATOR in e.device or self.allowance.grants(e.device, e.dwell_ms, e.stamp)
        self._count(e.device, profile, event, shown=self._was_shown(e.device, profile, row, e.stamp), may=may)
        profile.add(event)
        self.trials.act(e)

    def was_shown(self, viewer: str, row: int, stamp: int) -> bool:
        """Say whether what a viewer did to a row at `stamp` was to what was shown them, as far as is known here."""
        profile = self.profiles.get(viewer)
        return profile is not None and self._was_shown(viewer, profile, row, stamp)

    def _was_shown(self, viewer: str, profile: Profile, row: int, stamp: int) -> bool:
        return SEPARATOR in viewer or profile.was_shown(row, stamp)  # who comes under a key is `team:viewer`

    def _count(self, viewer: str, profile: Profile, e: Event, *, shown: bool, may: bool) -> None:
        """Remember a view, skip, hide or share as seen; if it was shown and may, it counts."""
        c, view = self.catalogue, e.action == "view"
        long = is_long(e.dwell_ms, e.duration_ms) if view else e.action == "share"
        if profile.see(e.row, e.stamp, shown=shown, view=view and may):
            c.shown(e.row, e.stamp, long=long)
        if not (shown and may):
            return
        qualified = not view or long or e.dwell_ms >= QUALIFIED_MS
        flags = SHOWN | QUALIFIED * qualified | LONG * long | HIDDEN * (e.action == "hide")
        if view:
            self.debuts.watched(c, e.row, viewer, e.stamp, flags)
        else:
            self.debuts.mark(c, e.row, viewer, e.stamp, flags)

    def _like(self, e: Like) -> None:
        row = self.catalogue.deed_row(e.item)
        if row < 0:
            return
        profile = self.profile(e.device)
        held, shown = profile.likes.get(row), self._was_shown(e.device, profile, row, e.stamp)
        was_on = held is not None and held[3] != OFF
        # "now" moves by every like heard, also by one that another has outdone: else it would depend on their order
        self.catalogue.newest_us = max(self.catalogue.newest_us, e.stamp)
        if not profile.like(row, (e.stamp, e.device, e.outbox, ON if e.on else OFF)):
            return
        self.catalogue.like(row, e.on - was_on)
        if held is not None and was_on:
            if held[3] == COUNTED:
                self.catalogue.like_shown(row, held[0], -1)
            profile.drop(row, "like")
        if e.on:
            if shown and not self.allowance.spent(e.device):
                self._count_like(e.device, profile, row)
            profile.add(Event(e.stamp, row, "like"))
        if e.on != was_on:
            self.trials.act(e)

    def _count_like(self, viewer: str, profile: Profile, row: int) -> None:
        """What is liked was shown: it counts."""
        stamp, device, outbox, _ = profile.likes[row]
        profile.likes[row] = (stamp, device, outbox, COUNTED)
        self.catalogue.like_shown(row, stamp, +1)
        self.debuts.mark(self.catalogue, row, viewer, stamp, SHOWN | QUALIFIED | LONG)

    def _act(self, e: Skip | Hide | Share, action: str) -> None:
        row = self.catalogue.deed_row(e.item)
        if row < 0:
            return
        profile = self.profile(e.device)
        self._arrived(profile, row)
        event = Event(e.stamp, row, action)
        shown, may = self._was_shown(e.device, profile, row, e.stamp), not self.allowance.spent(e.device)
        self._count(e.device, profile, event, shown=shown, may=may)
        profile.add(event)
        if action == "hide":
            profile.hidden.add(row)

    def _skip(self, e: Skip) -> None:
        self._act(e, "skip")

    def _hide(self, e: Hide) -> None:
        self._act(e, "hide")

    def _share(self, e: Share) -> None:
        self._act(e, "share")

    def _follow(self, e: Follow) -> None:
        creator = self.catalogue.creators.number(e.creator)
        self.profile(e.device).follow(creator, (e.stamp, e.device, e.outbox, e.on))

    def _served(self, e: SlateServed) -> None:
        self.trials.serve(e)
        rows = [row for row in map(self.catalogue.deed_row, e.items) if row >= 0]
        name, profile = slate_name(e.feed, e.slate), self.profile(e.viewer)
        profile.serve(e.stamp, name, rows)
        self.debuts.served(self.catalogue, rows, e.stamp)
        if vouches(name):
            self._count_late(e.viewer, profile, e.stamp, rows)

    def _count_late(self, viewer: str, profile: Profile, stamp: int, rows: list[int]) -> None:
        """Count what was heard before the slate that showed it, of what is still among the viewer's newest events."""
        may = not self.allowance.spent(viewer)
        late = {row for row in rows if (row in profile.seen or row in profile.likes)
                and not profile.seen.get(row, 0) & WAS_SHOWN}  # fmt: skip
        for event in [e for e in profile.events if e.row in late and abs(e.stamp - stamp) <= SHOWN_FOR_US]:
            if event.action == "like":
                if may and profile.likes[event.row][3] == ON:
                    self._count_like(viewer, profile, event.row)
            elif event.action != "comment":
                self._count(viewer, profile, event, shown=True, may=may)

    def _arrived(self, profile: Profile, row: int) -> None:
        """What was served to this viewer has been seen: the debut book no longer waits for it."""
        if self.catalogue.awaited[row] > 0.0 and row not in profile.seen:
            served = next((stamp for stamp, _, rows in reversed(profile.served) if row in rows), None)
            if served is not None:
                self.debuts.arrived(self.catalogue, row, served)

    def _interest(self, e: Interest) -> None:
        self.profile(e.viewer or e.device).tell(f"{e.about}:{e.name}", (e.stamp, e.device, e.outbox, e.say))

    def _reset(self, e: Reset) -> None:
        before = min(e.before, e.stamp)  # what was not yet watched cannot be forgotten
        self.profile(e.viewer or e.device).forget((e.stamp, e.device, e.outbox, before))

    def _comment(self, e: Comment) -> None:
        self.catalogue.comment(e)
        row = self.catalogue.deed_row(e.item)
        if row >= 0 and e.device in self.profiles:
            self.profiles[e.device].add(Event(e.stamp, row, "comment"))
