"""The log as a region would hear it: slates when they are served, outcomes when they end, learners that follow.

    past (no times) ─► views ─────────────────────────────┐
    impression ─► slate with its signals, at its time     ├─► Examples, Lessons (the learner's own) ─► Trainer
               └► view, like, … when the dwell is over ───┘

The entries, the fold, the joining of slates with outcomes, LINEAR's sums and the network's steps are those of a region;
only the clock is the log's. An outcome is told when it happened, not when the impression began: what online learning
knows a minute later is what it would have known.

One viewer in NEWCOMERS is told to nobody, neither the past nor the log. They are the new viewers: of them the feed
knows just the events that a question hands it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.adapters import kuairand
from holdfast.core.catalogue import Catalogue, fnv64
from holdfast.core.entries import Entry, Follow, Hide, Like, Publication, Ruling, Share, SlateServed, View
from holdfast.core.errors import Refused
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.feed.viewer import History, history
from holdfast.core.profile import Event, Profile
from holdfast.eval.online_popular import Popular
from holdfast.model import signals
from holdfast.model.examples import Examples
from holdfast.model.lessons import Lessons

Array = NDArray[Any]
Say = Callable[[str], None]

NEWCOMERS = 12
PUBLISHED_US = 20 * 86_400 * 1_000_000  # before the log: its videos are older than it (uploaded 9–11 April)
STEP_US = 60_000_000  # between two earlier views, whose times are not known; the last one's is
STAYED_MS, WHOLE_MS = 5_000, 25_000  # an earlier view that was not long, and one that was
DWELL_MAX_MS = 3_600_000
NOTHING = FeedRequest()
_ACTS: tuple[tuple[str, Callable[..., Entry]], ...] = (("is_like", Like), ("is_forward", Share), ("is_hate", Hide))


@dataclass(frozen=True, slots=True)
class Impression:
    """One row of the log. `number` is its place in time order; times in µs."""

    number: int
    at_us: int
    viewer: int
    row: int  # of the catalogue
    long: bool


class Stream:
    """What a region has heard so far. `advance` to a moment, then `serve` what the log shows there."""

    def __init__(self, folder: Path, limit: int | None) -> None:
        """Read the log. Raises Refused for a file that is not sound, with its line."""
        log = kuairand.read_log(folder / kuairand.LOG)
        if limit is not None and limit < 1:
            raise Refused("--limit is at least 1", field="limit", hint="leave it out for the whole log")
        self.column = {name: values[:limit].tolist() for name, values in log.column.items()}
        self._viewers = set(log.column["user_id"].tolist())  # of all the log: a limit cuts it short, nothing else
        self.folder = folder
        self.begin_us = self.column["time_ms"][0] * 1000
        self.lessons = Lessons("online")
        self.examples = Examples(self.lessons.world)
        self.popular = Popular()
        self.private: dict[int, Profile] = {}  # newcomers': what only their own devices know
        self._outbox: dict[str, int] = {}
        self._open: list[tuple[int, int]] = []  # heap: (when the dwell is over, number)
        self._rows: dict[int, int] = {}  # video → catalogue row
        self._publish()

    @property
    def catalogue(self) -> Catalogue:
        """The one catalogue that all arms read by name."""
        return self.lessons.world.catalogue

    def impressions(self) -> Iterator[Impression]:
        """Yield the log in time order."""
        names = ("time_ms", "user_id", "video_id", "long_view")
        for i, (at, user, video, long) in enumerate(zip(*(self.column[n] for n in names), strict=True)):
            yield Impression(i, at * 1000, user, self._rows[video], long == 1)

    # -- telling ---------------------------------------------------------------------------------------------------

    def _told(self, entry: Entry) -> None:
        self.examples.take(entry)
        self.lessons.take(entry)

    def _stamped(self, device: str, stamp: int) -> dict[str, Any]:
        number = self._outbox[device] = self._outbox.get(device, 0) + 1
        return {"device": device, "outbox": number, "stamp": stamp}

    def _publish(self) -> None:
        """Publish and allow every video of the table, and those of the log that it lacks."""
        table = kuairand.read_videos(self.folder)
        stamp = self.begin_us - PUBLISHED_US
        for video in [*table, *sorted(set(self.column["video_id"]) - table.keys())]:
            row = table.get(video, {})
            tags = [f"tag-{tag}" for tag in row.get("tag", "").split(",") if tag.strip().isdigit()][:12]
            length = min(int(float(row.get("video_duration") or 0)), DWELL_MAX_MS)
            item = f"v{video}"
            self._told(Publication(**self._stamped("desk", stamp), item=item, creator=f"a{row.get('author_id', 0)}",
                                   tags=tags, duration_ms=length))  # fmt: skip
            self._told(Ruling(**self._stamped("desk", stamp), item=item, verdict="allow"))
            self._rows[video] = self.catalogue.row(item)

    def past(self) -> int:
        """Tell the earlier views of the log's viewers, and return how many; newcomers keep theirs to themselves."""
        told = 0
        pasts = [p for p in kuairand.read_pasts(self.folder / kuairand.HISTORY) if p.user_id in self._viewers]
        for past in sorted(pasts, key=lambda p: p.last_time_ms):
            long, n = set(past.long_watch_seq), len(past.watch_seq)
            for i, video in enumerate(past.watch_seq):
                if video not in self._rows:
                    continue
                stamp = past.last_time_ms * 1000 - (n - 1 - i) * STEP_US
                self._view(past.user_id, video, stamp, WHOLE_MS if video in long else STAYED_MS, WHOLE_MS, "")
                told += 1
        return told

    def _view(self, user: int, video: int, stamp: int, dwell_ms: int, length_ms: int, slate: str) -> None:
        if newcomer(user):
            row = self._rows[video]
            self.private.setdefault(user, Profile()).add(Event(stamp, row, "view", dwell_ms, length_ms))
            return
        name = viewer_name(user)
        self._told(View(**self._stamped(name, stamp), item=f"v{video}", dwell_ms=dwell_ms, duration_ms=length_ms,
                        slate=slate))  # fmt: skip

    def advance(self, at_us: int) -> None:
        """Tell what ended by `at_us`."""
        while self._open and self._open[0][0] <= at_us:
            self._ended(*heappop(self._open))

    def _ended(self, stamp: int, i: int) -> None:
        c = self.column
        user, video = c["user_id"][i], c["video_id"][i]
        dwell, length = (min(c[name][i], DWELL_MAX_MS) for name in ("play_time_ms", "duration_ms"))
        self._view(user, video, stamp, dwell, length, f"s{i}")
        if newcomer(user):
            return
        if c["long_view"][i]:
            self.popular.learn(self._rows[video], stamp)
        name = viewer_name(user)
        for column, act in _ACTS:
            if c[column][i]:
                self._told(act(**self._stamped(name, stamp + 1), item=f"v{video}"))
        row = self._rows[video]
        if c["is_follow"][i] and self.catalogue.creator[row] >= 0:
            creator = self.catalogue.creators.all[int(self.catalogue.creator[row])]
            self._told(Follow(**self._stamped(name, stamp + 1), creator=creator))

    def serve(self, shown: Impression, fixed: Array | None) -> None:
        """Record an impression with its int16[1, F] signals as served (None: a newcomer's); its outcome follows."""
        dwell_us = min(self.column["play_time_ms"][shown.number], DWELL_MAX_MS) * 1000
        heappush(self._open, (shown.at_us + dwell_us, shown.number))
        if fixed is not None:
            self._told(SlateServed(
                **self._stamped("node", shown.at_us), viewer=viewer_name(shown.viewer), slate=f"s{shown.number}",
                rung="FULL", items=[self.catalogue.items.all[shown.row]], signals=signals.pack(fixed),
            ))  # fmt: skip

    # -- asking ----------------------------------------------------------------------------------------------------

    def history(self, shown: Impression) -> History:
        """Return what a node knows of the viewer at that moment."""
        profile = self.lessons.world.profiles.get(viewer_name(shown.viewer), Profile())
        return history(profile, NOTHING, self.catalogue, shown.at_us)

    def seen(self, shown: Impression) -> Array:
        """Return int64[M]: the rows a region knows the viewer to have seen."""
        profile = self.lessons.world.profiles.get(viewer_name(shown.viewer), Profile())
        return np.array(list(profile.seen), np.int64)

    def met(self, shown: Impression) -> bool:
        """Say whether the newcomer has had to do with the video before."""
        return any(event.row == shown.row for event in self.private.get(shown.viewer, Profile()).events)

    def newest(self, shown: Impression, k: int) -> History | None:
        """Return the newcomer's newest `k` events as a history; None if there are fewer."""
        events = self.private.get(shown.viewer, Profile()).events
        if len(events) < k:
            return None
        return history(Profile(events=events[len(events) - k :]), NOTHING, self.catalogue, shown.at_us)


def viewer_name(user: int) -> str:
    """Return a viewer's alias: as an importer's under its API key, so that what no slate here showed counts too."""
    return f"log:{user}"


def newcomer(user: int) -> bool:
    """Say whether a viewer is one of those told to nobody."""
    return fnv64(f"newcomer/{user}") % NEWCOMERS == 0
