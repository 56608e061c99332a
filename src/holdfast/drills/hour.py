"""An hour of an audience, in a minute: viewers with hidden tastes come and go in a jurisdiction in virtual time.

Each has a device that remembers, asks a region for a slate, watches it video by video, and leaves when the session is
over, often in the middle of a slate. What they do with a video is a hash (`drills.world`); when they come is a draw of
the seed. Every LEARN_EVERY_S the regions learn. A region may be lost: its viewers go on at the other one, and what
their devices have not been told is safe (what they said within the lag) they say again there.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from holdfast.core.entries import Entry, Hide, Like, Publication, Ruling, View
from holdfast.core.feed.pipeline import Chosen, Result
from holdfast.drills.jurisdiction import S_US, Jurisdiction
from holdfast.drills.memory import Memory
from holdfast.drills.world import Clip, Viewer, Watch, World

BEGIN_US = 1_700_000_000 * S_US
REGIONS = ("us-east", "us-west")
THEMES = 12
ESTABLISHED = 1500  # clips that have long been there
VIEWERS = 1000
SESSION_S, SESSION_MIN_S, AWAY_S = 480.0, 30.0, 2400.0  # means: one viewer in six is there at a time
HESITATION_S = 0.7
SLATE = 10
LEARN_EVERY_S = 300

Playing = tuple[Chosen, int, str, Watch]  # the video, its place in its slate, the slate, what the viewer will do


@dataclass(slots=True)
class Seat:
    """One viewer, where they are, and what their device remembers."""

    viewer: Viewer
    region: str
    leaves_us: int = 0  # end of the session, 0 while away
    slate: str = ""
    left: deque[tuple[int, Chosen]] = field(default_factory=deque[tuple[int, Chosen]])  # (place, video)
    playing: Playing | None = None
    memory: Memory = field(default_factory=Memory)


def clip(seed: int, kind: str, k: int) -> Clip:
    """Return clip number k of a kind: themes in turn, a second tag, eight creators per theme, 10 to 18 seconds."""
    theme, turn = k % THEMES, k // THEMES
    tags = (f"theme-{theme}", f"shade-{(theme * 5 + turn) % 9}")
    return Clip(f"{kind}-{seed}-{k}", tags, 10_000 + (k * 337) % 8000, f"{kind}-creator-{theme}-{turn % 8}")


class Hour:
    """One audience in two regions. What is looked at, and what happens besides, is a subclass's business."""

    carries = True  # requests bring along what the device remembers

    def __init__(self, crowd: World, seed: int, law: Jurisdiction, viewers: int = VIEWERS) -> None:
        self.crowd, self.seed, self.law = crowd, seed, law
        self.rng = np.random.default_rng(seed)
        self.law.advance(BEGIN_US)
        regions = list(law.sites)
        for made in crowd.clips.values():
            self.publish(made, BEGIN_US - 3 * 86_400 * S_US)
        self.seats = [Seat(self.viewer(k), regions[k % len(regions)]) for k in range(viewers)]
        self._agenda: list[tuple[int, int, str, int]] = []  # (when, order of entry, what, number)
        self._entered = 0
        present = SESSION_S / (SESSION_S + AWAY_S)
        for k in range(viewers):
            here = self.rng.random() < present
            self.at(BEGIN_US + int(self.rng.exponential(10.0 if here else AWAY_S) * S_US), "turn", k)

    def at(self, when_us: int, what: str, k: int = 0) -> None:
        """Enter something into the agenda: a method's name and the number it is given."""
        self._entered += 1
        heapq.heappush(self._agenda, (when_us, self._entered, what, k))

    def go(self, until_us: int) -> None:
        """Let the hour pass until `until_us`."""
        for when in range(self.law.now_us, until_us, LEARN_EVERY_S * S_US):
            self.at(when, "learn")
        while self._agenda and self._agenda[0][0] < until_us:
            now_us, _, what, k = heapq.heappop(self._agenda)
            self.law.advance(now_us)
            getattr(self, what)(k)
        self.law.advance(until_us)

    def viewer(self, k: int) -> Viewer:
        """Return viewer number k."""
        return self.crowd.viewer(k)

    # -- what a subclass may look at ---------------------------------------------------------------------------------

    def asked(self, seat: Seat, result: Result) -> None:
        """A slate was served."""

    def watched(self, seat: Seat, chosen: Chosen, did: Watch) -> None:
        """A showing ended."""

    # -- what happens ------------------------------------------------------------------------------------------------

    def publish(self, made: Clip, stamp: int) -> None:
        """A clip is published and allowed, and all regions know."""
        law = self.law
        by: dict[str, Any] = {"item": made.item, "creator": made.creator, "tags": list(made.tags)}
        law.everywhere(Publication(**law.stamped("desk", stamp), **by, duration_ms=made.duration_ms))
        law.everywhere(Ruling(**law.stamped("desk", stamp), item=made.item, verdict="allow"))

    def learn(self, k: int) -> None:
        del k
        self.law.learn()

    def lose(self, k: int) -> None:
        """Region number k goes dark; its viewers turn to the other, and say again what may not have arrived."""
        gone, there = REGIONS[k], REGIONS[1 - k]
        self.law.lose(gone)
        for seat in self.seats:
            if seat.region == gone:
                seat.region = there
                self.failed_over(seat)
                for _, entry in seat.memory.unsafe:
                    self.law.tell(there, entry)

    def failed_over(self, seat: Seat) -> None:
        """A viewer's region has just been lost; nothing was said again yet."""

    def turn(self, k: int) -> None:
        """A viewer's next moment: a showing ends, the session too perhaps, or the next video begins."""
        seat, now = self.seats[k], self.law.now_us
        if seat.playing:
            self._end(seat, seat.playing)
            seat.playing = None
        if not seat.leaves_us:
            seat.leaves_us = now + int((SESSION_MIN_S + self.rng.exponential(SESSION_S - SESSION_MIN_S)) * S_US)
        elif now >= seat.leaves_us:  # what was not reached of the slate never will be
            seat.leaves_us = 0
            seat.left.clear()
            return self.at(now + int(self.rng.exponential(AWAY_S) * S_US), "turn", k)
        if not seat.left:
            asked = seat.memory.request(SLATE, f"{k}-{now}", now, carries=self.carries)
            result = self.law.serve(seat.region, seat.viewer.name, asked)
            seat.slate = result.viewer.slate
            seat.left.extend(enumerate(result.chosen))
            self.asked(seat, result)
        pos, chosen = seat.left.popleft()
        did = self.crowd.watch(seat.viewer, chosen.item)
        seat.playing = (chosen, pos, seat.slate, did)
        return self.at(now + int((did.dwell_ms / 1000 + HESITATION_S) * S_US), "turn", k)

    def _end(self, seat: Seat, playing: Playing) -> None:
        chosen, pos, slate, did = playing
        length_ms = self.crowd.clips[chosen.item].duration_ms
        law, name = self.law, seat.viewer.name
        view = View(**law.stamped(name), item=chosen.item, dwell_ms=did.dwell_ms, duration_ms=length_ms, slate=slate,
                    pos=pos)  # fmt: skip
        acts: list[Entry] = [view]
        acts += [Like(**law.stamped(name), item=chosen.item)] if did.like else []
        acts += [Hide(**law.stamped(name), item=chosen.item, slate=slate)] if did.hide else []
        for entry in acts:
            law.tell(seat.region, entry)
        seat.memory.keep(law.now_us, acts, law.lag_us)
        seat.memory.watched(law.now_us, chosen.item, did.dwell_ms, length_ms, liked=did.like, hid=did.hide)
        self.watched(seat, chosen, did)
