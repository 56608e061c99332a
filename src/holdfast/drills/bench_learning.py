"""Is learning visible? `holdfast bench learning`: the top rung beside REGIONAL, on viewers whose tastes nobody told.

One region, real processes, the public API. Viewers of a seeded world (`drills.world`) watch slates whose rung is drawn
per request by hash, so the two rungs meet the same viewers at the same time: a randomised experiment. Time is not
waited for, it is reported: a dwell of six seconds is an entry that says so. What is compared is the share of showings
watched long, and the interval comes from drawing viewers again with replacement.

Then the replay: the same request twice, once with three clips of a theme liked, once with them merely watched; the
draws are the same, so what changes is the like.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.adapters import apikeys, system
from holdfast.adapters.home import Home
from holdfast.client import Place, Team
from holdfast.core.errors import Degraded
from holdfast.core.feed.shapes import CONTEXT_MAX, ContextEvent, FeedRequest, Slate
from holdfast.core.topology import Region, Topology, resolve
from holdfast.drills.world import Clip, Viewer, World, clips
from holdfast.region.supervisor import Supervisor

VIEWERS = 60
SLATE = 10
WARM_ROUNDS = 4  # slates per viewer before measuring: the model needs something to learn from
ROUNDS = 8  # measured slates per viewer; with the warm ones half of the 240 clips
AT_ONCE = 8
RUNGS = ("LINEAR", "REGIONAL")
PATIENCE_S = 90.0  # for the first release and the ladder's calm, on two busy cores
RESAMPLES = 2000
THEME_VIEWERS = 24
LIKED = 3
ROLES = ("log", "keeper", "node", "learner")

Say = Callable[[str], None]


@dataclass(slots=True)
class Seat:
    """One viewer's device: what it remembers, its outbox numbers, and (long, shown) per rung while measuring."""

    viewer: Viewer
    outbox: int = 0
    context: list[ContextEvent] = field(default_factory=list[ContextEvent])
    seen: list[str] = field(default_factory=list[str])
    shown: dict[str, list[int]] = field(default_factory=lambda: {rung: [0, 0] for rung in RUNGS})


def run(seeds: int, say: Say) -> dict[str, Any]:
    """Run the experiment in `seeds` worlds. Keys: long_view_share {LINEAR, REGIONAL}, lift, lift_low, lift_high, …"""
    begun = time.monotonic()
    seats: list[Seat] = []
    by_seed: list[dict[str, Any]] = []
    themes: list[tuple[float, float]] = []
    for seed in range(seeds):
        found, shares = asyncio.run(_one_world(seed, say))
        seats += found
        themes += shares
        by_seed.append({"seed": seed, **summary(found)})
        say(f"world {seed}: {by_seed[-1]}")
    rise = [after - before for before, after in themes]
    return {
        **summary(seats),
        "by_seed": by_seed,
        "theme_share_without_like": round(float(np.mean([b for b, _ in themes])), 4),
        "theme_share_with_like": round(float(np.mean([a for _, a in themes])), 4),
        "theme_share_rise_low": round(float(np.quantile(_means(rise), 0.025)), 4),
        "viewers": len(seats),
        "seconds": round(time.monotonic() - begun, 1),
    }


def summary(seats: list[Seat]) -> dict[str, Any]:
    """Return the long-view share per rung, the lift of the first over the second, and its 95 % interval by viewer."""
    counts = np.array([[seat.shown[rung] for rung in RUNGS] for seat in seats], float)  # [viewers, rungs, (long, n)]
    share = _shares(counts.sum(0))
    chosen = np.random.default_rng(0).integers(0, len(seats), (RESAMPLES, len(seats)))
    lifts = [a / b - 1 for a, b in (_shares(counts[rows].sum(0)) for rows in chosen)]
    low, high = np.quantile(lifts, [0.025, 0.975])
    return {
        "long_view_share": {rung: round(float(s), 4) for rung, s in zip(RUNGS, share, strict=True)},
        "shown": {rung: int(n) for rung, n in zip(RUNGS, counts.sum(0)[:, 1], strict=True)},
        "lift": round(float(share[0] / share[1] - 1), 4),
        "lift_low": round(float(low), 4),
        "lift_high": round(float(high), 4),
    }


def _shares(total: Any) -> Any:
    return total[:, 0] / np.maximum(total[:, 1], 1)


def _means(values: list[float]) -> Any:
    rows = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    return np.array(values)[rows].mean(1)


async def _one_world(seed: int, say: Say) -> tuple[list[Seat], list[tuple[float, float]]]:
    root = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    base = system.free_base("127.0.0.1", 60)
    top = resolve(Topology(regions=[Region(name="lab", jurisdiction="US")], rtt_ms=0.0), base)
    home = Home(root)
    try:
        async with Supervisor(home, top, roles=ROLES) as s:
            await s.start()
            key = apikeys.make(home, "bench", ("items", "events", "feed"))
            async with Team([Place(r.name, r.jurisdiction, r.url) for r in top.regions], "US", key) as team:
                return await _experiment(seed, team, say)
    finally:
        shutil.rmtree(root, ignore_errors=True)


async def _experiment(seed: int, team: Team, say: Say) -> tuple[list[Seat], list[tuple[float, float]]]:
    made = clips(seed)
    world = World(seed, made)
    await team.put_items([item_of(clip) for clip in made])
    seats = [Seat(world.viewer(k)) for k in range(VIEWERS)]
    await _until(team, "REGIONAL")
    for turn in range(WARM_ROUNDS):
        await _round(team, world, seats, f"warm-{turn}", measured=False)
    await _until(team, "LINEAR")
    for turn in range(ROUNDS):
        await _round(team, world, seats, f"round-{turn}", measured=True)
        say(f"world {seed}: round {turn + 1} of {ROUNDS}")
    return seats, [await _theme_shares(team, world, VIEWERS + k) for k in range(THEME_VIEWERS)]


async def _round(team: Team, world: World, seats: list[Seat], name: str, *, measured: bool) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def turn(seat: Seat) -> None:
        async with gate:
            slate = await team.feed(seat.viewer.name, _ask(seat, name))
            await team.events(watch(world, seat, slate, measured))

    await asyncio.gather(*(turn(seat) for seat in seats))


def _ask(seat: Seat, name: str) -> FeedRequest:
    return FeedRequest(
        n=SLATE, request=f"{name}-{seat.viewer.name}", context=seat.context[-CONTEXT_MAX:], seen=seat.seen,
        randomise=list(RUNGS),
    )  # fmt: skip


def watch(world: World, seat: Seat, slate: Slate, measured: bool) -> list[dict[str, Any]]:
    """Watch a slate; return the entries to send. The device remembers what it did."""
    entries: list[dict[str, Any]] = []
    for pos, item in enumerate(slate.items):
        did = world.watch(seat.viewer, item.item)
        acts: list[dict[str, Any]] = [{"kind": "view", "dwell_ms": did.dwell_ms, "duration_ms": item.duration_ms,
                                       "slate": slate.slate, "pos": pos}]  # fmt: skip
        acts += [{"kind": "like"}] if did.like else []
        acts += [{"kind": "hide", "slate": slate.slate}] if did.hide else []
        for act in acts:
            seat.outbox += 1
            stamp = time.time_ns() // 1000
            who = {"viewer": seat.viewer.name, "outbox": seat.outbox, "stamp": stamp}
            entries.append({**who, "item": item.item, **act})
            seat.context.append(ContextEvent(
                item=item.item, action=act["kind"], dwell_ms=act.get("dwell_ms", 0), duration_ms=item.duration_ms,
            ))  # fmt: skip
        seat.seen.append(item.item)
        if measured and slate.rung in RUNGS:
            seat.shown[slate.rung][0] += did.long
            seat.shown[slate.rung][1] += 1
    return entries


async def _theme_shares(team: Team, world: World, k: int) -> tuple[float, float]:
    """Return the share of a theme in the slate after three of its clips were watched, and after they were liked."""
    theme = world.themes[k % len(world.themes)]
    three = [clip for clip in world.clips.values() if clip.theme == theme][:LIKED]
    watched = [ContextEvent(item=c.item, dwell_ms=c.duration_ms // 2, duration_ms=c.duration_ms) for c in three]
    liked = [ContextEvent(item=c.item, action="like") for c in three]
    shares: list[float] = []
    for context in (watched, watched + liked):
        slate = await team.feed(f"guest-{k}", FeedRequest(n=SLATE, request=f"theme-{k}", context=context))
        shares.append(sum(theme in item.tags for item in slate.items) / max(len(slate.items), 1))
    return shares[0], shares[1]


async def _until(team: Team, rung: str) -> None:
    """Wait until the region stands on `rung` or better. Raises Degraded if it does not come."""
    deadline = time.monotonic() + PATIENCE_S
    slate: Slate | None = None
    while time.monotonic() < deadline:
        try:
            slate = await team.feed("probe", FeedRequest(n=1))
        except Degraded:
            slate = None
        if slate and slate.rung in ("FULL", "STALE", "LINEAR", rung):
            return
        await asyncio.sleep(0.5)
    raise Degraded(f"the region did not reach {rung} within {PATIENCE_S:.0f} s: {slate.reason if slate else 'silence'}")


def item_of(clip: Clip) -> dict[str, Any]:
    """Return a clip as the items API takes it."""
    return {"item": clip.item, "creator": clip.creator, "caption": clip.item, "tags": list(clip.tags),
            "duration_ms": clip.duration_ms}  # fmt: skip
