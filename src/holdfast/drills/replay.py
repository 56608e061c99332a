"""Real input: the KuaiRand log, in time order, through the public API, and how well each rung foresaw it.

    holdfast replay kuairand DIR [--limit N] [--speedup X] [--json]

Before each view that the log says was long, the region is asked for twenty videos on each rung, with the viewer's
newest events as the device would bring them; a hit is when the video is among them. Only then the region hears what
was watched: predict, then learn. Beside the rungs stands what was watched long most in the 24 hours before (of the
log's time). Stamps are moved so that the log ends now; the order and the distances stay.

It is a hard test and a biased one: the log shows what Kuaishou's own recommender chose to show, so no feed can hit what
it would have shown instead. Three of the twenty places go to new videos and chance, by design, on every rung.
"""

import asyncio
import secrets
import shutil
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.adapters import apikeys, system
from holdfast.adapters.home import Home
from holdfast.client import Place, Team
from holdfast.core.errors import Degraded
from holdfast.core.feed.shapes import CONTEXT_MAX, SEEN_MAX, ContextEvent, FeedRequest
from holdfast.core.topology import Region, Topology, resolve
from holdfast.drills import kuairand
from holdfast.drills.kuairand import Shown
from holdfast.model.evaluate import AT, hit, paired
from holdfast.region.supervisor import Supervisor

RUNGS = ("LINEAR", "REGIONAL", "SHELF")
WINDOW = 48  # impressions whose questions are asked together, before any of them is told
ASKING = 6  # questions under way: enough to keep one node busy
DAY_MS = 86_400_000
CHUNK = 900  # entries per request; the door takes 1000
PATIENCE_S = 120.0  # for the learner to read the history and release
SAY_EVERY_S = 5.0

Say = Callable[[str], None]


@dataclass(slots=True)
class Device:
    """What one viewer's device remembers."""

    outbox: int = 0
    context: deque[tuple[int, ContextEvent]] = field(default_factory=lambda: deque(maxlen=CONTEXT_MAX))
    seen: list[str] = field(default_factory=list[str])

    def ask(self, rung: str, name: str, now_ms: int) -> FeedRequest:
        """Make a request as this device would; the newest events come last."""
        context = [aged(event, now_ms - at) for at, event in self.context]
        return FeedRequest(n=AT, request=name, context=context, seen=self.seen[-SEEN_MAX:], at_most=rung)  # type: ignore[arg-type]

    def watch(self, shown: Shown, viewer: str, shift_us: int) -> list[dict[str, Any]]:
        """Remember a showing and return the entries that report it."""
        acts: list[dict[str, Any]] = [{"kind": "view", "dwell_ms": shown.dwell_ms, "duration_ms": shown.duration_ms}]
        acts += [{"kind": "like"}] if shown.like else []
        acts += [{"kind": "hide"}] if shown.hate else []
        entries: list[dict[str, Any]] = []
        for act in acts:
            self.outbox += 1
            stamp = shown.time_ms * 1000 + shift_us + len(entries)
            entries.append({"viewer": viewer, "outbox": self.outbox, "stamp": stamp, "item": shown.item, **act})
            self.context.append((shown.time_ms, ContextEvent(
                item=shown.item, action=act["kind"], dwell_ms=act.get("dwell_ms", 0), duration_ms=shown.duration_ms,
            )))  # fmt: skip
        self.seen.append(shown.item)
        return entries


def aged(event: ContextEvent, age_ms: int) -> ContextEvent:
    """Return the event with its age in seconds."""
    return ContextEvent(item=event.item, action=event.action, dwell_ms=event.dwell_ms, duration_ms=event.duration_ms,
                        age_s=max(age_ms, 0) / 1000)  # fmt: skip


class Popular:
    """What was watched long most in the last 24 hours of the log's time."""

    def __init__(self, items: Iterable[str]) -> None:
        self.at = {item: i for i, item in enumerate(items)}
        self.counts = np.zeros(len(self.at), np.int32)
        self._recent: deque[tuple[int, int]] = deque()

    def ask(self, shown: Shown, seen: list[str]) -> float:
        """Return the hit of the top twenty, less what the viewer had seen; ties over the edge count in part."""
        while self._recent and self._recent[0][0] < shown.time_ms - DAY_MS:
            self.counts[self._recent.popleft()[1]] -= 1
        counts = self.counts.copy()
        counts[[self.at[item] for item in seen if item in self.at]] = -1
        return hit(counts, self.at[shown.item])

    def learn(self, shown: Shown) -> None:
        """Count a long view."""
        if shown.long:
            self.counts[self.at[shown.item]] += 1
            self._recent.append((shown.time_ms, self.at[shown.item]))


def run(source: Path, limit: int | None, speedup: float, home: Home, say: Say) -> dict[str, Any]:
    """Replay; → `{hit_rate_at_20: {rung…, popular}, asked, lift_over_popular…}`. `speedup` 0: as fast as it goes."""
    return asyncio.run(_run(source, limit, speedup, home, say))


async def _run(source: Path, limit: int | None, speedup: float, home: Home, say: Say) -> dict[str, Any]:
    items = kuairand.videos(source)
    log = kuairand.impressions(source, limit)
    async with _team(home, say) as team:
        for i in range(0, len(items), 500):
            await team.put_items(items[i : i + 500])
        say(f"{len(items)} videos published; {len(log)} impressions to come")
        replay = Replay(team, log, Popular(i["item"] for i in items), say)
        begun = time.monotonic()
        await replay.past(source)
        await replay.until_learned()
        await replay.drive(speedup)
        return {**replay.figures(), "seconds": round(time.monotonic() - begun, 1)}


@asynccontextmanager
async def _team(home: Home, say: Say) -> AsyncIterator[Team]:
    """Speak to the installation that runs in `home`, or to one of our own with two regions, gone afterwards."""
    if home.topology_file.exists():
        places = [Place(r.name, r.jurisdiction, r.url) for r in home.load().regions]
        key = apikeys.make(home, "kuairand", ("items", "events", "feed"))
        async with Team(places, places[0].jurisdiction, key) as team:
            await asyncio.sleep(1.5)  # nodes notice a new key within a second
            yield team
        return
    say("no installation runs there; two regions of our own start")
    root = Path(tempfile.mkdtemp(prefix="holdfast-replay-"))
    regions = [Region(name=name, jurisdiction="US") for name in ("us-east", "us-west")]
    top = resolve(Topology(regions=regions), system.free_base("127.0.0.1", 60))
    try:
        async with Supervisor(Home(root), top, roles=("log", "keeper", "node", "learner")) as s:
            await s.start()
            async with _team(Home(root), say) as team:
                yield team
    finally:
        shutil.rmtree(root, ignore_errors=True)


class Replay:
    """One replay under way."""

    def __init__(self, team: Team, log: list[Shown], popular: Popular, say: Say) -> None:
        self.team, self.log, self.popular, self.say = team, log, popular, say
        self.name = secrets.token_hex(3)  # viewers of this replay: an earlier one's outbox numbers are taken
        self.shift_us = time.time_ns() // 1000 - log[-1].time_ms * 1000 - 1_000_000
        self.past_us = 0  # newest stamp of the past told
        self.devices: dict[int, Device] = {shown.user: Device() for shown in log}
        self.hits: dict[str, list[float]] = {rung: [] for rung in (*RUNGS, "popular")}
        self.missed: dict[str, int] = dict.fromkeys(RUNGS, 0)  # asked, but answered on another rung

    async def past(self, source: Path) -> None:
        """Tell the regions what these viewers watched before the log begins."""
        entries: list[dict[str, Any]] = []
        told = 0
        for past in kuairand.pasts(source, set(self.devices)):
            for shown in past:
                entries += self._watch(shown)
            self.past_us = max(self.past_us, past[-1].time_ms * 1000 + self.shift_us)
            if len(entries) > CHUNK - 3 * CONTEXT_MAX:
                await self.team.events(entries)
                told, entries = told + len(entries), []
        if entries:
            await self.team.events(entries)
        self.say(f"{told + len(entries)} earlier views told")

    async def until_learned(self) -> None:
        """Wait for a model that has read the past. If the gate refuses it for PATIENCE_S, the one that serves must do.

        Raises Degraded if none serves.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            slate = await self.team.feed(f"{self.name}-probe", FeedRequest(n=1))
            if slate.model and slate.now - slate.model.age_s * 1e6 >= self.past_us - 3_600_000_000:
                return
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(1.0)
        if not slate.model:
            raise Degraded("the learner did not release in time", retry_after_s=10.0)
        self.say("the model that has read the past was not released; an earlier one goes on")

    async def drive(self, speedup: float) -> None:
        """Go through the log: ask, count, tell."""
        begun, first = time.monotonic(), self.log[0].time_ms
        said = begun
        for i in range(0, len(self.log), WINDOW):
            window = self.log[i : i + WINDOW]
            questions: list[tuple[Shown, str, FeedRequest]] = []
            entries: list[dict[str, Any]] = []
            for j, shown in enumerate(window):
                device = self.devices[shown.user]
                if shown.long:
                    self.hits["popular"].append(self.popular.ask(shown, device.seen))
                    questions += [(shown, r, device.ask(r, f"{i + j}-{r}", shown.time_ms)) for r in RUNGS]
                self.popular.learn(shown)
                entries += self._watch(shown)
            await self._ask(questions)
            await self.team.events(entries)
            if speedup > 0:
                await asyncio.sleep(max(0.0, (window[-1].time_ms - first) / 1000 / speedup - time.monotonic() + begun))
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                self.say(f"{i + len(window)} of {len(self.log)}: {self.figures()['hit_rate_at_20']}")

    async def _ask(self, questions: list[tuple[Shown, str, FeedRequest]]) -> None:
        gate = asyncio.Semaphore(ASKING)

        async def one(shown: Shown, rung: str, request: FeedRequest) -> tuple[str, str, float]:
            async with gate:  # a viewer name of its own, or the slate of one rung would be "in hand" for the next
                slate = await self.team.feed(f"{self.name}-{request.request}", request)
                return rung, slate.rung, float(any(item.item == shown.item for item in slate.items))

        for rung, got, found in await asyncio.gather(*(one(*q) for q in questions)):
            self.hits[rung].append(found)
            self.missed[rung] += got != rung

    def _watch(self, shown: Shown) -> list[dict[str, Any]]:
        return self.devices[shown.user].watch(shown, f"{self.name}-{shown.user}", self.shift_us)

    def figures(self) -> dict[str, Any]:
        """Return hit rates so far, and the paired 95 % interval of LINEAR over popular."""
        gain = paired(self.hits["LINEAR"], self.hits["popular"])
        return {
            "hit_rate_at_20": {k: round(float(np.mean(v)), 4) if v else None for k, v in self.hits.items()},
            "linear_over_popular": [round(gain.mean, 4), round(gain.low, 4), round(gain.high, 4)],
            "asked": len(self.hits["popular"]),
            "impressions": len(self.log),
            "answered_on_another_rung": self.missed,
        }
