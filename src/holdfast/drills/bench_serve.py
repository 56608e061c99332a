"""`holdfast bench serve`: how many slates a second does one core give, how soon, and from what?

Through HTTP against a real region (log server, keeper, node, learner) on core 0; the load generator has core 1. The
catalogue is published through the items API; VIEWERS viewers with hidden tastes then tell what they watched, the
learner learns from that and releases, and the slates measured are made by what it released. Every request comes from
another viewer and carries 50 events and a seen list, as an app's would; while slates are measured, events keep coming
in and the learner goes on releasing.

Two phases: CONNECTIONS requests always in flight, for `slates_per_s`; then requests at random moments (Poisson) at half
that rate, timed from the moment they were due, for `p50_ms` and `p99_ms`. `cpu_ms_per_slate` is what the region's
processes used per slate of the first phase: on a machine that does other work too it says more than the rate.
"""

import asyncio
import os
import random
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import numpy as np
import uvloop

from holdfast.adapters import apikeys
from holdfast.core.errors import Degraded
from holdfast.drills import bench_recall, bench_stack
from holdfast.drills.bench_region import JSON, Http, Running, region, status
from holdfast.drills.bench_town import DURATION_MS, Town

TEAM = "bench"
ROLES = ("log", "keeper", "node", "learner")
VIEWERS = 4000
CONNECTIONS = 32
INGEST_PER_S = 200  # events a second that come in while slates are measured
INGEST_BATCH = 50
ITEMS_PER_PUT = 500
EVENTS_PER_POST = 1000
FILLING = 6  # requests in flight while the region is filled
PATIENCE_S = 600.0  # for a model that has learned from all of it, on one core beside everything else
AUDIENCE = 8  # viewers watching at a time while a model is waited for
PAUSE_S = 0.2
WARM_S = 3.0
SLATE = 10

Say = Callable[[str], None]


class Bench:
    """A region being measured. `key`: of a team that may do everything here."""

    def __init__(self, running: Running, key: str, town: Town, say: Say) -> None:
        self.running, self.key, self.town, self.say = running, key, town, say
        self.outbox: Counter[int] = Counter()
        self.rungs: Counter[str] = Counter()
        self.failed = 0

    # -- filling -----------------------------------------------------------------------------------------------------

    async def fill(self) -> dict[str, float]:
        """Publish the catalogue and tell what everyone watched; return how fast each went."""
        n, began = self.town.videos, time.monotonic()
        puts = [msgspec.json.encode({"items": self.town.items(at, min(n, at + ITEMS_PER_PUT))})
                for at in range(0, n, ITEMS_PER_PUT)]  # fmt: skip
        await self._all("PUT", "/v1/items", puts)
        published_s = time.monotonic() - began
        self.say(f"{n} videos published in {published_s:.0f} s")
        began = time.monotonic()
        now_us = time.time_ns() // 1000 - 3_600_000_000
        entries = [e for v in range(self.town.viewers) for e in self._watched(v, now_us)]
        posts = [msgspec.json.encode({"entries": entries[at : at + EVENTS_PER_POST]})
                 for at in range(0, len(entries), EVENTS_PER_POST)]  # fmt: skip
        await self._all("POST", "/v1/events", posts)
        told_s = time.monotonic() - began
        self.say(f"{len(entries)} events told in {told_s:.0f} s")
        return {"items_per_s": round(n / published_s, 1), "events_per_s": round(len(entries) / told_s, 1)}

    def _watched(self, viewer: int, from_us: int) -> list[dict[str, Any]]:
        """What a viewer watched so far, as the events API wants it."""
        return [self._event(viewer, act, from_us + 1_000_000 * k) for k, act in enumerate(self.town.past(viewer))]

    def _event(self, viewer: int, act: dict[str, Any], stamp: int) -> dict[str, Any]:
        self.outbox[viewer] += 1
        body = {k: v for k, v in act.items() if k not in {"action", "age_s"}}
        return {"kind": "view", "viewer": f"v{viewer}", "outbox": self.outbox[viewer], "stamp": stamp, **body}

    async def _all(self, method: str, path: str, bodies: list[bytes]) -> None:
        left = iter(bodies)

        async def some() -> None:
            http = await self.running.connect()
            for body in left:
                code, answer = await http.call(method, path, body, self.key, JSON)
                while code == 503:
                    await asyncio.sleep(0.2)
                    code, answer = await http.call(method, path, body, self.key, JSON)
                if code != 200:
                    raise Degraded(f"{method} {path}: {code} {answer[:200]!r}")
            http.close()

        await asyncio.gather(*(some() for _ in range(FILLING)))

    async def until_learned(self, rung: str) -> None:
        """Wait until slates stand on `rung`, or, come PATIENCE_S, on whatever there is."""
        http, deadline, said = await self.running.connect(), time.monotonic() + PATIENCE_S, ""
        while time.monotonic() < deadline:
            self.running.check()
            code, body = await http.call("POST", "/v1/feed", self.town.asks(0, SLATE, "probe"), self.key, JSON)
            slate = msgspec.json.decode(body) if code == 200 else {}
            if slate.get("rung") == rung:
                return
            if slate and slate["reason"] != said:
                said = slate["reason"]
                self.say(f"waiting for {rung}: {said}")
            await asyncio.sleep(1.0)
        self.say(f"no slate on {rung} within {PATIENCE_S:.0f} s; what follows is measured on what there is")

    @asynccontextmanager
    async def audience(self) -> AsyncIterator[None]:
        """Let AUDIENCE viewers at a time watch what they are served, and say so: a network learns from slates."""

        async def one(number: int) -> None:
            http, dice, turn = await self.running.connect(), random.Random(number), 0
            while True:
                viewer, turn = dice.randrange(self.town.viewers), turn + 1
                body = self.town.asks(viewer, SLATE, f"a{number}-{turn}")
                code, answer = await http.call("POST", "/v1/feed", body, self.key, JSON)
                slate = msgspec.json.decode(answer) if code == 200 else {"items": []}
                acts = [
                    {"item": item["item"], "dwell_ms": self.town.dwell(viewer, item["item"], dice),
                     "duration_ms": DURATION_MS, "slate": slate["slate"], "pos": pos}
                    for pos, item in enumerate(slate["items"])
                ]  # fmt: skip
                now_us = time.time_ns() // 1000
                entries = [self._event(viewer, act, now_us + pos) for pos, act in enumerate(acts)]
                await http.call("POST", "/v1/events", msgspec.json.encode({"entries": entries}), self.key, JSON)
                await asyncio.sleep(PAUSE_S)

        tasks = [asyncio.create_task(one(k)) for k in range(AUDIENCE)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    # -- measuring ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def ingesting(self) -> AsyncIterator[None]:
        """Let events come in at INGEST_PER_S for the length of the block."""

        async def flow() -> None:
            http, dice = await self.running.connect(), random.Random(1)
            due = time.monotonic()
            while True:
                acts = [self._event(v, self.town.watch(v, dice), time.time_ns() // 1000)
                        for v in (dice.randrange(self.town.viewers) for _ in range(INGEST_BATCH))]  # fmt: skip
                await http.call("POST", "/v1/events", msgspec.json.encode({"entries": acts}), self.key, JSON)
                due += INGEST_BATCH / INGEST_PER_S
                await asyncio.sleep(max(0.0, due - time.monotonic()))

        task = asyncio.create_task(flow())
        try:
            yield
        finally:
            task.cancel()

    async def _ask(self, http: Http, body: bytes) -> bool:
        code, answer = await http.call("POST", "/v1/feed", body, self.key, JSON)
        if code != 200:
            self.failed += 1
            return False
        at = answer.index(b'"rung":"') + 8
        self.rungs[answer[at : answer.index(b'"', at)].decode()] += 1
        return True

    async def saturate(self, seconds: float) -> dict[str, Any]:
        """CONNECTIONS requests always in flight; → slates a second and what they cost."""
        bodies = iter(self.town.requests(int(seconds * 3000), SLATE, "full"))
        until = time.monotonic() + WARM_S + seconds
        done: list[float] = []

        async def one() -> None:
            http = await self.running.connect()
            while time.monotonic() < until:
                if await self._ask(http, next(bodies)):
                    done.append(time.monotonic())
            http.close()

        asking = asyncio.gather(*(one() for _ in range(CONNECTIONS)))
        await asyncio.sleep(WARM_S)
        self.rungs.clear()
        cpu, own = self.running.cpu_s(), time.process_time()
        await asking
        used = {role: s - cpu[role] for role, s in self.running.cpu_s().items()}
        counted = sum(at > until - seconds for at in done)
        return {
            "slates_per_s": round(counted / seconds, 1),
            "cpu_ms_per_slate": {role: round(1000 * s / max(1, counted), 3) for role, s in used.items()},
            "cores": {role: round(s / seconds, 3) for role, s in used.items()}
            | {"generator": round((time.process_time() - own) / seconds, 3)},
            "rung_share": {rung: round(k / self.rungs.total(), 4) for rung, k in self.rungs.items()},
        }

    async def at_rate(self, rate: float, seconds: float) -> dict[str, Any]:
        """Ask at random moments, `rate` a second; → latency from the moment each was due."""
        dice, times = random.Random(2), list[float]()
        free: asyncio.Queue[Http] = asyncio.Queue()
        for _ in range(4 * CONNECTIONS):
            free.put_nowait(await self.running.connect())
        tasks: list[asyncio.Task[None]] = []

        async def one(body: bytes, due: float) -> None:
            http = await free.get()
            if await self._ask(http, body):
                times.append(1000 * (time.monotonic() - due))
            free.put_nowait(http)

        due = began = time.monotonic()
        for body in self.town.requests(int(rate * (seconds + 5)), SLATE, "half"):
            due += dice.expovariate(rate)
            if due > began + seconds:
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            tasks.append(asyncio.create_task(one(body, due)))
        await asyncio.gather(*tasks)
        return {"half_load_per_s": round(rate, 1), "asked": len(times), **quantiles(times)}

    async def recall(self) -> dict[str, Any]:
        """Return `recall_at_100` over the vectors of the network that serves, and its digest; nothing if none does."""
        http = await self.running.connect()
        code, body = await http.call("POST", "/v1/feed", self.town.asks(0, SLATE, "last"), self.key, JSON)
        slate = msgspec.json.decode(body) if code == 200 else {}
        if slate.get("rung") not in ("FULL", "STALE"):
            return {}
        sha = slate["model"]["release"]
        self.say(f"recall over the vectors of {sha[:12]}")
        return {"release": sha, **bench_recall.measure(bench_recall.released(self.running.home, sha), self.town, TEAM)}


def quantiles(times: list[float]) -> dict[str, float]:
    """p50, p90 and p99 of latencies in ms."""
    cut = np.quantile(times, [0.5, 0.9, 0.99]) if times else np.zeros(3)
    return dict(zip(("p50_ms", "p90_ms", "p99_ms"), (round(float(q), 2) for q in cut), strict=True))


async def _run(videos: int, viewers: int, seconds: float, rung: str, say: Say) -> dict[str, Any]:
    town = Town(videos, viewers)
    async with region(ROLES) as running:
        key = apikeys.make(running.home, TEAM, ("items", "events", "feed"))
        await asyncio.sleep(1.5)  # nodes notice a new key within a second
        bench = Bench(running, key, town, say)
        filled = await bench.fill()
        async with bench.audience():
            await bench.until_learned(rung)
        async with bench.ingesting():
            full = await bench.saturate(seconds)
            say(f"{full['slates_per_s']} slates/s, {full['cpu_ms_per_slate']} ms of CPU a slate")
            half = await bench.at_rate(full["slates_per_s"] / 2, seconds)
        figures = await status(await running.connect())
        recall = await bench.recall()
        return {
            "videos": videos, "viewers": viewers, **full, **half, "failed": bench.failed, "rss_mb": running.rss_mb(),
            "filled": filled, "ingest_per_s": INGEST_PER_S, "node_slate_ms_p99": figures["latency_ms"].get("slate_p99"),
            **recall,
        }  # fmt: skip


def _beside(videos: int, seconds: float, say: Say) -> dict[str, Any]:
    """What bare libraries and the usual stack do with as many videos."""
    found = bench_stack.retrieval(videos)
    say(f"retrieval alone: {found}")
    stack = uvloop.run(bench_stack.stack(videos, seconds))
    return {"beside": found | stack}


def run(videos: int, viewers: int, seconds: float, rung: str, say: Say) -> dict[str, Any]:
    """Measure for `seconds` each; returns the figures.

    Raises Degraded if the region does not start or a request that fills it fails.
    """
    before = os.sched_getaffinity(0)
    if len(before) > 1:
        os.sched_setaffinity(0, {max(before)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    try:
        return uvloop.run(_run(videos, viewers, seconds, rung, say)) | _beside(videos, seconds / 2, say)
    finally:
        os.sched_setaffinity(0, before)
