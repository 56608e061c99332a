"""How soon is what was watched part of the feed? `holdfast bench learn`: one region, an audience, and three clocks.

    event acknowledged ─► the next slate knows of it          event_to_slate_ms
                       ─► a released network learned from it  event_to_release_s      (LINEAR: event_to_linear_s)
    showings that a released network was trained on, a second: events_per_s

The region (log, keeper, node, learner) shares core 0, the audience has the other. Viewers of a seeded world watch slate
after slate through the API; a dwell is reported, not waited for. Releases are read from the log, as a node reads them.

Two phases. At a pace that leaves the core some rest, for the clocks. Then the FLOOD: as many slates as the region will
serve, and on until a released network has learned from the last of them: `events_per_s` of `offered_per_s`.
`learner_ms_per_event` is what the learner used of the core per showing of that phase; its inverse is the ceiling.
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from holdfast.adapters import apikeys
from holdfast.adapters.log import LogClient
from holdfast.client import Place, Team
from holdfast.core.classes import Class
from holdfast.core.entries import UNREADABLE, Release, Rollout, decode
from holdfast.core.errors import Degraded
from holdfast.core.feed.shapes import FeedRequest
from holdfast.drills import bench_region
from holdfast.drills.bench_learning import Seat, item_of, watch
from holdfast.drills.world import World, clips
from holdfast.model.rollout import RUNG as NETWORK

ROLES = ("log", "keeper", "node", "learner")
CLIPS = 2000
VIEWERS = 200
SLATE = 8
AT_ONCE = 4
PROBE_EVERY_S = 0.25
PAUSE_S = 0.2  # between two slates of one lane: about AT_ONCE · SLATE / PAUSE_S showings a second at most
FLOOD_LANES = 12  # beside the others, without a pause
DRAIN_S = 120.0  # for a network that has learned from all of the flood
FIRST_S = 240.0  # until the first network is released, on a busy machine

Say = Callable[[str], None]


@dataclass(slots=True)
class Books:
    """What was seen. Times in monotonic seconds, stamps in µs."""

    acked: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])  # (when, stamp) of views
    heard: list[tuple[float, Release]] = field(default_factory=list[tuple[float, Release]])
    rollouts: list[Rollout] = field(default_factory=list[Rollout])
    probes_ms: list[float] = field(default_factory=list[float])
    rungs: dict[str, int] = field(default_factory=dict[str, int])


def run(seconds: float, say: Say) -> dict[str, Any]:
    """Measure for `seconds` after the first network's release; → the figures. Raises Degraded if there is none."""
    before = os.sched_getaffinity(0)
    if len(before) > 1:
        os.sched_setaffinity(0, {max(before)})
    try:
        return asyncio.run(_run(seconds, say))
    finally:
        os.sched_setaffinity(0, before)


async def _run(seconds: float, say: Say) -> dict[str, Any]:
    books = Books()
    async with bench_region.region(ROLES) as running:
        places = [Place(r.name, r.jurisdiction, r.url) for r in running.top.regions]
        key = apikeys.make(running.home, "bench", ("items", "events", "feed"))
        async with Team(places, "US", key) as team:
            made = clips(0, CLIPS)
            for at in range(0, CLIPS, 500):
                await team.put_items([item_of(clip) for clip in made[at : at + 500]])
            world = World(0, made)
            tasks = [asyncio.create_task(_listen(running, books)), asyncio.create_task(_probe(team, world, books))]
            tasks += [asyncio.create_task(_lane(team, world, books, k)) for k in range(AT_ONCE)]
            try:
                first = await _first_network(tasks, running, books, say)
                books.probes_ms.clear()
                began, cpu = time.monotonic(), running.cpu_s()
                await asyncio.sleep(seconds)
                used = {r: round((s - cpu[r]) / seconds, 3) for r, s in running.cpu_s().items()}
                found = figures(books, first, began) | {"cpu": used}
                found |= await _flood(team, world, books, running, seconds)
                return found | {"rss_mb": running.rss_mb()}
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def _flood(
    team: Team, world: World, books: Books, running: bench_region.Running, seconds: float
) -> dict[str, Any]:
    """Offer as much as the region will serve for `seconds`; wait until it is learned; → what was trained."""
    before = [(at, r) for at, r in books.heard if r.rung == NETWORK][-1]
    began, offered, cpu = time.monotonic(), len(books.acked), running.cpu_s()["learner"]
    tasks = [asyncio.create_task(_lane(team, world, books, AT_ONCE + k, 0.0)) for k in range(FLOOD_LANES)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    flooded_s, offered = time.monotonic() - began, len(books.acked) - offered
    last = max(stamp for _, stamp in books.acked)
    after = before
    while time.monotonic() < began + flooded_s + DRAIN_S and after[1].learned_to < last:
        running.check()
        await asyncio.sleep(0.5)
        after = [(at, r) for at, r in books.heard if r.rung == NETWORK][-1]
    trained, took_s = after[1].examples - before[1].examples, after[0] - before[0]
    used_s = running.cpu_s()["learner"] - cpu
    return {
        "events_per_s": round(trained / took_s, 1) if took_s else 0.0,
        "offered_per_s": round(offered / flooded_s, 1),
        "learner_ms_per_event": round(1000 * used_s / trained, 3) if trained else 0.0,
        "drained_s": round(after[0] - began - flooded_s, 1) if after[1].learned_to >= last else None,
    }


async def _first_network(
    tasks: list[asyncio.Task[None]], running: bench_region.Running, books: Books, say: Say
) -> float:
    """Wait for the first release of a network; return the seconds since the audience began."""
    began = time.monotonic()
    while time.monotonic() - began < FIRST_S:
        running.check()
        for task in tasks:
            if task.done():
                task.result()
        if any(r.rung == NETWORK for _, r in books.heard):
            return time.monotonic() - began
        await asyncio.sleep(1.0)
        waited_s = time.monotonic() - began
        say(f"{waited_s:.0f} s: {len(books.acked)} showings, {len(books.heard)} releases, no network yet")
    raise Degraded(f"no network was released within {FIRST_S:.0f} s", retry_after_s=1.0)


async def _listen(running: bench_region.Running, books: Books) -> None:
    """Read releases and rollouts from the log, as they come."""
    client = await LogClient.open(running.home, bench_region.NAME)
    try:
        async for news in client.follow_class(Class.PERSONAL, {}):
            now = time.monotonic()
            for raw in (raw for batch in news.batches for block in batch.blocks for raw in block.entries):
                try:
                    entry = decode(raw)
                except UNREADABLE:
                    continue
                if isinstance(entry, Release):
                    books.heard.append((now, entry))
                elif isinstance(entry, Rollout):
                    books.rollouts.append(entry)
    finally:
        await client.close()


async def _lane(team: Team, world: World, books: Books, lane: int, pause_s: float = PAUSE_S) -> None:
    """Some of the viewers, one slate each in turn."""
    seats = [Seat(world.viewer(lane + AT_ONCE * k)) for k in range(VIEWERS // AT_ONCE)]
    if lane >= AT_ONCE:  # of the flood: viewers of its own
        seats = [Seat(world.viewer(VIEWERS * (1 + lane) + k)) for k in range(VIEWERS // AT_ONCE)]
    turn = 0
    while True:
        turn += 1
        for seat in seats:
            try:
                ask = FeedRequest(n=SLATE, request=f"{turn}-{seat.viewer.name}")
                slate = await team.feed(seat.viewer.name, ask)
                books.rungs[slate.rung] = books.rungs.get(slate.rung, 0) + 1
                entries = watch(world, seat, slate, False)
                await team.events(entries)
            except Degraded:
                await asyncio.sleep(0.5)
                continue
            now = time.monotonic()
            books.acked += [(now, e["stamp"]) for e in entries if e["kind"] == "view"]
            await asyncio.sleep(pause_s)


async def _probe(team: Team, world: World, books: Books) -> None:
    """A viewer nobody knows watches one clip; how long from the acknowledgement to a slate that knows it."""
    names = list(world.clips)
    number = 0
    while True:
        number += 1
        viewer = f"probe-{number}"
        event = {"viewer": viewer, "outbox": 1, "stamp": time.time_ns() // 1000, "kind": "view",
                 "item": names[number % len(names)], "dwell_ms": 6000, "duration_ms": 6000}  # fmt: skip
        try:
            await team.events([event])
            acked = time.monotonic()
            while not (await team.feed(viewer, FeedRequest(n=1))).removed.get("seen"):
                if time.monotonic() - acked > 5.0:
                    break
            books.probes_ms.append((time.monotonic() - acked) * 1000)
        except Degraded:
            pass
        await asyncio.sleep(PROBE_EVERY_S)


def figures(books: Books, first_s: float, began: float) -> dict[str, Any]:
    """Return the figures of what was acknowledged and released since `began`."""
    networks = [(at, r) for at, r in books.heard if r.rung == NETWORK]
    waits = {rung: _waits(books, rung, began) for rung in (NETWORK, "LINEAR")}
    verdicts: dict[str, int] = {}
    for rollout in books.rollouts:
        verdicts[rollout.verdict] = verdicts.get(rollout.verdict, 0) + 1
    return {
        "event_to_slate_ms_p50": quantile(books.probes_ms, 0.5),
        "event_to_slate_ms_p99": quantile(books.probes_ms, 0.99),
        "event_to_release_s_p50": quantile(waits["FULL"], 0.5),
        "event_to_release_s_p99": quantile(waits["FULL"], 0.99),
        "event_to_linear_s_p99": quantile(waits["LINEAR"], 0.99),
        "paced_per_s": round(sum(at >= began for at, _ in books.acked) / max(time.monotonic() - began, 1e-9), 1),
        "first_network_s": round(first_s, 1),
        "networks": len(networks),
        "verdicts": verdicts,
        "probes": len(books.probes_ms),
        "rung_share": {k: round(v / sum(books.rungs.values()), 4) for k, v in books.rungs.items()},
        "auc": networks[-1][1].figures.get("auc", 0.0) if networks else 0.0,
        "auc_linear": networks[-1][1].figures.get("auc_LINEAR", 0.0) if networks else 0.0,
        "agreed": networks[-1][1].figures.get("agreed", 0.0) if networks else 0.0,
    }


def _waits(books: Books, rung: str, began: float) -> list[float]:
    """Seconds from each acknowledgement to the first release that learned from its stamp or a newer one.

    What no release has covered yet by the end is counted with the time it has waited so far, if that is longer than any
    that was covered had to wait.
    """
    releases = [(at, r.learned_to) for at, r in books.heard if r.rung == rung]
    end = time.monotonic()
    waits: list[float] = []
    open_: list[float] = []
    for acked, stamp in books.acked:
        if acked < began:
            continue
        covered = next((at for at, learned_to in releases if learned_to >= stamp), None)
        if covered is not None:
            waits.append(max(0.0, covered - acked))
        else:
            open_.append(end - acked)
    longest = max(waits, default=0.0)
    return waits + [so_far for so_far in open_ if so_far > longest]


def quantile(values: list[float], q: float) -> float | None:
    """Return a quantile, None of nothing: 0 would look like the best there is."""
    return round(sorted(values)[min(int(q * len(values)), len(values) - 1)], 2) if values else None
