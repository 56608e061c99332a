"""Profiles: what a region remembers of each viewer, bounded, and mended by what the viewer's device brings along.

A viewer is an alias. Kept are: the newest events (what the models read), what was seen and when (so that nothing
comes twice, and the longest unseen first when it must), what was served a moment ago, likes, follows and what the
viewer said of tags and creators as registers whose newest stamp wins, and what was hidden. Everything joins on stamps,
so that the order of arrival does not matter within the bounds.

A viewer can have the past forgotten: `events` then holds only what came after, so nothing that reads it can choose by
what came before. What was laid aside can be taken back for a few minutes, and is then dropped.
"""

from bisect import insort
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

SEEN_KEPT = 20_000  # items per viewer; a heavy viewer's month
EVENTS_KEPT = 50  # as the request's context
VIEW_AGAIN_US = 6 * 3600 * 1_000_000  # until a viewer's playing of an item counts again in what is liked now
SERVED_KEPT = 8  # slates still thought to be in the viewer's hand
SERVED_FOR_US = 600 * 1_000_000  # ten minutes: a slate not watched by then may offer its videos again
SHOWN_FOR_US = 86_400 * 1_000_000  # a day, either way (devices' clocks differ): how long a slate vouches for a playing
VOUCHING = ("", "plain")  # the feeds whose slates do: of the others the viewer chooses what they hold
TOLD_KEPT = 300  # tags and creators a viewer has spoken of; more than a person edits by hand
UNDO_US = 600 * 1_000_000  # ten minutes to take a reset back, then what it laid aside is dropped


class Event(msgspec.Struct, order=True, gc=False):
    """One act of a viewer. Ordered by stamp. There are millions, so it is small and no business of the collector's."""

    stamp: int
    row: int
    action: str
    dwell_ms: int = 0
    duration_ms: int = 0


Write = tuple[int, str, int, bool]  # stamp, device, outbox, on: the newest holds
Liked = tuple[int, str, int, int]  # stamp, device, outbox, OFF, ON or COUNTED: the newest holds
Told = tuple[int, str, int, str]  # stamp, device, outbox, what was said (entries.Say): the newest holds
Forgot = tuple[int, str, int, int]  # stamp, device, outbox, before when (µs): the newest holds
NEVER_FORGOT: Forgot = (-1, "", 0, 0)
K = TypeVar("K", int, str)
V = TypeVar("V", Write, Told, Liked)
OFF, ON, COUNTED = 0, 1, 2  # of a like; COUNTED: and it is in what is liked now
WARM, SHOWN = 1, 2  # the last bits of a stamp in `seen`: it is of a showing that counted; a slate showed the item


@dataclass(slots=True)
class Profile:
    """One viewer. Items are catalogue rows, creators are catalogue numbers, times are stamps (µs)."""

    events: list[Event] = field(default_factory=list[Event])  # oldest first, at most EVENTS_KEPT
    seen: dict[int, int] = field(default_factory=dict[int, int])  # item -> newest stamp
    hidden: set[int] = field(default_factory=set[int])
    likes: dict[int, Liked] = field(default_factory=dict[int, Liked])
    follows: dict[int, Write] = field(default_factory=dict[int, Write])
    served: list[tuple[int, str, list[int]]] = field(default_factory=list[tuple[int, str, list[int]]])
    told: dict[str, Told] = field(default_factory=dict[str, Told])  # "tag:…" or "creator:…" -> what was said of it
    forgot: Forgot = NEVER_FORGOT
    aside: list[Event] = field(default_factory=list[Event])  # what a reset laid aside, while it can be taken back

    def add(self, event: Event) -> None:
        """Remember an event among the newest EVENTS_KEPT."""
        if event.stamp <= self.forgot[3]:
            insort(self.aside, event)
            del self.aside[:-EVENTS_KEPT]
            self._drop_aside()
            return
        if self.aside:
            self._drop_aside(event.stamp)
        events = self.events
        if not events or event.stamp >= events[-1].stamp:  # the common case: in order
            events.append(event)
        else:
            insort(events, event)
        if len(events) > EVENTS_KEPT:
            del events[0]

    def drop(self, row: int, action: str) -> None:
        """Take back what was done to an item."""
        self.events = [e for e in self.events if e.row != row or e.action != action]
        self.aside = [e for e in self.aside if e.row != row or e.action != action]

    def see(self, row: int, stamp: int, *, shown: bool = False, view: bool = False) -> bool:
        """Remember that an item was met at `stamp`; beyond SEEN_KEPT the longest unseen quarter is forgotten.

        `shown`: by a slate (`was_shown`). Return whether this is a view of what was shown, and the viewer's first of
        the item in VIEW_AGAIN_US. Both are kept in the last bits of the stamp: microseconds are nothing here, and
        there are millions of them.
        """
        held = self.seen.get(row, 0)
        counted = bool(held & WARM) and stamp - held < VIEW_AGAIN_US
        counts = view and shown and not counted
        bits = held & SHOWN | SHOWN * shown | (counts or counted)
        self.seen[row] = max(stamp, held) & ~(WARM | SHOWN) | bits
        if len(self.seen) > SEEN_KEPT:
            newest = sorted(self.seen.items(), key=lambda kv: kv[1], reverse=True)[: SEEN_KEPT * 3 // 4]
            self.seen = dict(newest)
        return counts

    def was_shown(self, row: int, stamp: int) -> bool:
        """Say whether a slate of ours showed the viewer this item, as far as is known here, within SHOWN_FOR_US; or
        longer ago, if it was met then: once shown and met it stays so, for as long as it is remembered as seen."""
        if self.seen.get(row, 0) & SHOWN:
            return True
        return any(
            row in rows and abs(stamp - at) <= SHOWN_FOR_US and vouches(slate)
            for at, slate, rows in reversed(self.served)
        )

    def like(self, row: int, write: Liked) -> bool:
        """Set or undo a like; the newest write wins. Return whether this one did."""
        return _join(self.likes, row, write)

    def follow(self, creator: int, write: Write) -> bool:
        """Follow a creator, or stop; the newest write wins. Return whether this one did."""
        return _join(self.follows, creator, write)

    def serve(self, stamp: int, slate: str, rows: list[int]) -> None:
        """Remember a slate that was handed out."""
        self.served.append((stamp, slate, rows))
        if len(self.served) > SERVED_KEPT:
            self.served.sort()
            del self.served[0]

    def in_hand(self, now_us: int, but: str) -> list[int]:
        """Return the items of slates of one feed served lately, except slate `but` (a retry gets the same answer).

        `but` is a `slate_name`, and its feed is the one: whoever turns to another feed lets go of what they held.
        """
        after, feed = now_us - SERVED_FOR_US, but.rpartition("/")[0]
        return [
            row for stamp, slate, rows in self.served
            if stamp >= after and slate != but and slate.rpartition("/")[0] == feed for row in rows
        ]  # fmt: skip

    def tell(self, key: str, told: Told) -> bool:
        """Remember what the viewer says of a tag or creator; the newest write wins. Return whether this one did.

        Beyond TOLD_KEPT the one said longest ago is forgotten.
        """
        won = _join(self.told, key, told)
        if len(self.told) > TOLD_KEPT:
            del self.told[min(self.told, key=lambda k: self.told[k])]
        return won

    def said(self) -> dict[str, str]:
        """Return what holds of each tag and creator spoken of, those taken back left out."""
        return {key: told[3] for key, told in self.told.items() if told[3] != "learned"}

    def forget(self, forgot: Forgot) -> bool:
        """Lay aside the events up to `forgot[3]`, and take up again those after it; the newest write wins.

        Return whether this one did.
        """
        if forgot[:3] <= self.forgot[:3]:
            return False
        self.forgot = forgot
        known = sorted(self.aside + self.events)
        self.events = [e for e in known if e.stamp > forgot[3]][-EVENTS_KEPT:]
        self.aside = [e for e in known if e.stamp <= forgot[3]][-EVENTS_KEPT:]
        self._drop_aside(self.events[-1].stamp if self.events else 0)
        return True

    def _drop_aside(self, now_us: int = 0) -> None:
        """Drop what was laid aside once the viewer has gone on for UNDO_US after the reset."""
        newest = max(now_us, self.events[-1].stamp if self.events else 0)
        if newest > self.forgot[0] + UNDO_US:
            self.aside.clear()

    def liked(self, row: int) -> bool:
        """Say whether the viewer likes the item."""
        return row in self.likes and self.likes[row][3] != OFF

    def followed(self) -> list[int]:
        """Return the creators followed."""
        return [c for c, write in self.follows.items() if write[3]]


def slate_name(feed: str, slate: str) -> str:
    """Return the name under which a profile keeps a slate: with its feed in front, if it is not For You."""
    return f"{feed}/{slate}" if feed and feed != "for_you" else slate


def vouches(name: str) -> bool:
    """Say whether the slate of this `slate_name` is of a feed in VOUCHING."""
    return name.rpartition("/")[0] in VOUCHING


def _join(register: dict[K, V], key: K, write: V) -> bool:
    held = register.get(key)
    if held is not None and write[:3] <= held[:3]:
        return False
    register[key] = write
    return True
