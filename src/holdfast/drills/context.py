"""What the request's own memory is worth when a region is lost: `holdfast bench context [DIR]`.

Replication is the slow path, the request the fast one: a device brings along its last events and what it has seen. Two
regions, `lag_s` apart, in virtual time; one of them is lost half-way. Everything is asked twice, with the device's
memory in the request and without, of the same regions at the same moment.

With the KuaiRand log (DIR): before each long view of it the viewer's region is asked for twenty videos; a hit is when
the video is among them, a repeat is a video of the twenty that the viewer has seen.

    at_home      the viewer's own region, which knows all it was told at once
    behind       the other region at the same moment: what the viewer would get if their own were lost just then
    after_loss   the surviving region, in the AFTER_S after the loss, asked by the viewers of the lost one

`behind` is the loss at every moment, with the whole log for a sample; `after_loss` is one loss, and few questions.

Without DIR: the synthetic audience (`drills.hour`); what is counted is the first slate of each viewer who is there when
their region goes dark. There a loss meets many people in mid-session, as a real one does.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.core.entries import Entry, Hide, Like, Publication, Ruling, View
from holdfast.drills import kuairand
from holdfast.drills.hour import BEGIN_US, ESTABLISHED, REGIONS, SLATE, Hour, Seat, clip
from holdfast.drills.jurisdiction import S_US, Jurisdiction
from holdfast.drills.kuairand import Shown
from holdfast.drills.memory import Memory
from holdfast.drills.world import World

AT = 20
LEARN_EVERY = 2_000  # impressions between two solves
AFTER_S = 3600
HALF_HOUR_S = 1800
RESAMPLES = 1000

Say = Callable[[str], None]


@dataclass(slots=True)
class Asked:
    """Answers of one kind: hits and repeats per question, with and without the device's memory."""

    hits: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    repeats: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def figures(self) -> dict[str, Any]:
        """Return means, with the 95 % interval of the paired difference in hit rate, questions drawn again."""
        if not self.hits:
            return {"asked": 0}
        hits, repeats = np.array(self.hits), np.array(self.repeats)
        gain = hits[:, 0] - hits[:, 1]
        again = gain[np.random.default_rng(0).integers(0, gain.size, (RESAMPLES, gain.size))].mean(1)
        return {
            "asked": int(gain.size),
            "hit_rate": {"with": round(float(hits[:, 0].mean()), 4), "without": round(float(hits[:, 1].mean()), 4)},
            "repeat_share": {
                "with": round(float(repeats[:, 0].mean()), 4), "without": round(float(repeats[:, 1].mean()), 4),
            },
            "hit_rate_gain": [round(float(x), 4) for x in (gain.mean(), *np.quantile(again, [0.025, 0.975]))],
        }  # fmt: skip


def run(source: Path | None, limit: int, lag_s: float, seed: int, say: Say) -> dict[str, Any]:
    """Replay the log, or let the synthetic audience live, with regions `lag_s` apart.

    → `{at_home | behind | after_loss | first_slate_after_loss: {asked, hit_rate, repeat_share, hit_rate_gain}}`
    """
    begun = time.monotonic()
    found = Loss(seed, lag_s).run(say) if source is None else Replay(source, limit, seed, lag_s).run(say)
    return {**{name: asked.figures() for name, asked in found.items()}, "lag_s": lag_s,
            "seconds": round(time.monotonic() - begun, 1)}  # fmt: skip


# -- the synthetic audience ----------------------------------------------------------------------------------------


class Loss(Hour):
    """Half an hour of an audience; then a region is lost, and each of its viewers asks the other for a slate."""

    def __init__(self, seed: int, lag_s: float) -> None:
        crowd = World(seed, [clip(seed, "old", k) for k in range(ESTABLISHED)])
        super().__init__(crowd, seed, Jurisdiction(list(REGIONS), lag_s, seed))
        self.first = Asked()

    def run(self, say: Say) -> dict[str, Asked]:
        """Let it happen; return the first slates after the loss."""
        at_us = BEGIN_US + HALF_HOUR_S * S_US
        self.at(at_us, "lose", 0)
        self.go(at_us + S_US)
        say(f"{len(self.first.hits)} viewers of {REGIONS[0]} turned to {REGIONS[1]}")
        return {"first_slate_after_loss": self.first}

    def failed_over(self, seat: Seat) -> None:
        if not seat.leaves_us:
            return
        now_us, name = self.law.now_us, seat.viewer.name
        had = set(seat.memory.seen)
        hits: list[float] = []
        repeats: list[float] = []
        for carries in (True, False):
            asked = seat.memory.request(SLATE, f"first-{name}", now_us, carries=carries)
            got = self.law.ask(seat.region, name, asked).chosen
            chances = [0.0 if c.item in had else self.crowd.p_long(seat.viewer, self.crowd.clips[c.item]) for c in got]
            hits.append(float(np.mean(chances)))
            repeats.append(float(np.mean([c.item in had for c in got])))
        self.first.hits.append((hits[0], hits[1]))
        self.first.repeats.append((repeats[0], repeats[1]))


# -- the KuaiRand log ----------------------------------------------------------------------------------------------


class Replay:
    """The log in time order, its viewers spread over two regions by their number."""

    def __init__(self, source: Path, limit: int, seed: int, lag_s: float) -> None:
        self.source = source
        self.log = kuairand.impressions(source, limit)
        self.law = Jurisdiction(list(REGIONS), lag_s, seed)
        self.devices: dict[int, Memory] = {shown.user: Memory() for shown in self.log}
        self.lost_us = 0
        self.found = {"at_home": Asked(), "behind": Asked(), "after_loss": Asked()}

    def run(self, say: Say) -> dict[str, Asked]:
        """Tell the past, then go through the log; half-way the first region is lost."""
        law, begin_us = self.law, self.log[0].time_ms * 1000
        law.advance(begin_us - 365 * 86_400 * S_US // 2)
        self._publish(begin_us)
        told = 0
        for past in kuairand.pasts(self.source, set(self.devices)):
            for shown in past:
                told += 1
                self._watch(shown, everywhere=True)
        law.advance(begin_us)
        law.learn()
        say(f"{told} earlier views told; {len(self.log)} impressions to come")
        half = self.log[len(self.log) // 2].time_ms
        for i, shown in enumerate(self.log):
            law.advance(shown.time_ms * 1000)
            if not self.lost_us and shown.time_ms >= half:
                self._lose()
            if shown.long:
                self._ask(shown, str(i))
            self._watch(shown, everywhere=False)
            if i % LEARN_EVERY == LEARN_EVERY - 1:
                law.learn()
                say(f"{i + 1} of {len(self.log)}: {self.found['behind'].figures()}")
        return self.found

    def _publish(self, begin_us: int) -> None:
        old = begin_us - 20 * 86_400 * S_US
        law = self.law
        for item in kuairand.videos(self.source):
            entry = Publication(**law.stamped("desk", old), **item)
            law.everywhere(entry)
            law.everywhere(Ruling(**law.stamped("desk", old), item=entry.item, verdict="allow"))

    def _home(self, user: int) -> str:
        return REGIONS[1] if self.lost_us else REGIONS[user % 2]

    def _lose(self) -> None:
        self.lost_us = self.law.now_us
        self.law.lose(REGIONS[0])

    def _resend(self, user: int) -> None:
        """A device says again at the surviving region what the lost one may not have told anyone."""
        device = self.devices[user]
        if self.lost_us and user % 2 == 0 and device.unsafe:
            for stamp, entry in device.unsafe:
                if stamp >= self.lost_us - self.law.lag_us:
                    self.law.tell(self._home(user), entry)
            device.unsafe.clear()

    def _ask(self, shown: Shown, name: str) -> None:
        home = self._home(shown.user)
        if not self.lost_us:
            self._put("at_home", home, shown, name)
            self._put("behind", REGIONS[1 - REGIONS.index(home)], shown, name)
        elif shown.user % 2 == 0 and self.law.now_us - self.lost_us < AFTER_S * S_US:
            self._put("after_loss", home, shown, name)  # the first slate is asked for while the outbox is on its way

    def _put(self, kind: str, region: str, shown: Shown, name: str) -> None:
        device = self.devices[shown.user]
        had = set(device.seen)
        hits: list[float] = []
        repeats: list[float] = []
        for carries in (True, False):
            request = device.request(AT, name, self.law.now_us, carries=carries)
            got = [c.item for c in self.law.ask(region, str(shown.user), request).chosen]
            hits.append(float(shown.item in got))
            repeats.append(float(np.mean([item in had for item in got])))
        self.found[kind].hits.append((hits[0], hits[1]))
        self.found[kind].repeats.append((repeats[0], repeats[1]))

    def _watch(self, shown: Shown, *, everywhere: bool) -> None:
        device, law, name = self.devices[shown.user], self.law, str(shown.user)
        stamp = shown.time_ms * 1000
        acts: list[Entry] = [View(**law.stamped(name, stamp), item=shown.item, dwell_ms=shown.dwell_ms,
                                  duration_ms=shown.duration_ms)]  # fmt: skip
        acts += [Like(**law.stamped(name, stamp + 1), item=shown.item)] if shown.like else []
        acts += [Hide(**law.stamped(name, stamp + 1), item=shown.item)] if shown.hate else []
        self._resend(shown.user)
        for entry in acts:
            if everywhere:
                law.everywhere(entry)
            else:
                law.tell(self._home(shown.user), entry)
        if not everywhere and not self.lost_us:
            device.keep(stamp, acts, law.lag_us)
        device.watched(stamp, shown.item, shown.dwell_ms, shown.duration_ms, liked=shown.like, hid=shown.hate)
