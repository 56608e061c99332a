"""`holdfast drill spike`: ten times the usual crawl and prefetch, then four times what the region bears. Who notices?

Hypothesis: while low-priority traffic is ten times the usual, at least 99.9 % of slates and writes of people come in
time. While people themselves ask for four times what the region can serve, at least 90 % of what it can serve is
served. Ten seconds after either, all is as before; and all the while the region hears at most 1.1 attempts for each
request. Nobody touches anything.

One real region (log server, keeper, node) has core 0, the generator another core. Capacity is measured first, with a
closed loop, and again at the end. Low priority is half a team's lists for nobody in particular (by its route) and half
feeds fetched ahead of need (`Priority: u=7`).
"""

import asyncio
import os
import random
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import uvloop

from holdfast.adapters import apikeys
from holdfast.adapters.signing import Signer, b64, device_message
from holdfast.core.errors import Degraded
from holdfast.core.health.budget import Budget
from holdfast.drills.bench_region import JSON, Http, Running, region, status
from holdfast.drills.bench_town import DURATION_MS, Town
from holdfast.drills.spike_load import Asked, Shot, Traffic

ROLES = ("log", "keeper", "node")
ITEMS = 10_000
DEVICES = 200
SLATE = 20  # with a context of 50 events and 200 seen: work enough that one process can ask for four times the capacity
LATE_MAX_MS = 100.0  # of the generator, p99: beyond, it was not the region that was measured
WIDTH = 32  # requests in flight while capacity is measured
FEED_SHARE, LOW_SHARE = 0.4, 0.25  # usual feeds and usual low-priority requests a second, as parts of capacity
WRITES_PER_S = 20.0
SPIKE, OVERLOAD = 10.0, 4.0
CALM_S, AFTER_S = 6.0, 15.0
SETTLE_S = 60.0
GOOD_MIN, GOODPUT_MIN, NORMAL_MAX_S, AMPLIFICATION_MAX = 0.999, 0.9, 10.0, 1.1

Say = Callable[[str], None]


class Verdict(msgspec.Struct, kw_only=True):
    """Figures. Shares are of requests due in the phase; times in seconds."""

    capacity_per_s: float  # slates, the mean of before and after
    capacity_before_per_s: float
    capacity_after_per_s: float
    spike_feed_ok: float
    spike_write_ok: float
    spike_low_ok: float
    spike_low_per_s: float
    spike_feed_p99_ms: float
    calm_feed_p99_ms: float
    spike_normal_s: float  # from the end of the spike until people's requests are answered as before
    overload_offered_per_s: float
    overload_goodput_per_s: float
    goodput: float  # part of capacity
    overload_write_ok: float
    overload_normal_s: float
    retry_amplification: float  # attempts the region heard for each request of people, over the whole drill
    refused: dict[str, int]  # by priority
    limit: int
    late_ms_p99: float  # of the generator
    passed: bool = False

    def broken(self) -> list[str]:
        """Promises that were not kept, in words."""
        kept = {
            "feeds in the spike": self.spike_feed_ok >= GOOD_MIN,
            "writes in the spike": self.spike_write_ok >= GOOD_MIN,
            "normal after the spike": self.spike_normal_s <= NORMAL_MAX_S, "goodput": self.goodput >= GOODPUT_MIN,
            "normal after the overload": self.overload_normal_s <= NORMAL_MAX_S,
            "retries": self.retry_amplification <= AMPLIFICATION_MAX,
            "the generator was late: this is no verdict": self.late_ms_p99 <= LATE_MAX_MS,
        }  # fmt: skip
        return [name for name, well in kept.items() if not well]


def run(seconds: float, say: Say) -> dict[str, Any]:
    """Run the drill, `seconds` of spike and of overload. Returns its verdict. Raises Degraded if it cannot begin."""
    before = os.sched_getaffinity(0)
    if len(before) > 1:
        os.sched_setaffinity(0, {max(before)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 8192), hard), hard))
    try:
        verdict = uvloop.run(_run(seconds, say))
    finally:
        os.sched_setaffinity(0, before)
    return {**msgspec.to_builtins(verdict), "broken": verdict.broken()}


async def _run(seconds: float, say: Say) -> Verdict:
    async with region(ROLES) as running:
        crowd = await Crowd.begin(running, say)
        try:
            return await _drill(crowd, seconds, say)
        finally:
            crowd.traffic.close()


class Crowd:
    """Devices with tokens, a team with a key, and the traffic they make."""

    def __init__(self, running: Running, key: str) -> None:
        self.running, self.key = running, key
        self.traffic = Traffic(running)
        self.tokens: list[str] = []
        self.budgets = [Budget() for _ in range(DEVICES)]
        self.outbox = [0] * DEVICES
        self._bodies = [self._asks(k) for k in range(DEVICES)]

    @classmethod
    async def begin(cls, running: Running, say: Say) -> "Crowd":
        """Fill the region and enrol the devices. Raises Degraded."""
        crowd = cls(running, apikeys.make(running.home, "spike", ("items", "feed", "events")))
        await asyncio.sleep(apikeys.RELOAD_S + 0.1)
        http = await running.connect()
        town = Town(ITEMS, DEVICES)
        for at in range(0, ITEMS, 500):
            await _must(http, "PUT", "/v1/items", {"items": town.items(at, at + 500)}, crowd.key)
        for k in range(DEVICES):
            signer, stamp_s = Signer((k + 1).to_bytes(32, "big")), int(time.time())
            proof = b64(signer.sign(device_message("US", stamp_s)))
            body = {"key": b64(signer.public), "jurisdiction": "US", "stamp_s": stamp_s, "proof": proof}
            crowd.tokens.append((await _must(http, "POST", "/v1/devices", body))["token"])
        deadline = time.monotonic() + SETTLE_S
        while (await status(http))["items"]["allowed"] < ITEMS:
            if time.monotonic() > deadline:
                raise Degraded(f"after {SETTLE_S:.0f} s the region does not show its {ITEMS} items")
            await asyncio.sleep(0.2)
        say(f"{ITEMS} items, {DEVICES} devices; the region's rung is {(await status(http))['rung']}")
        http.close()
        return crowd

    @staticmethod
    def _asks(viewer: int) -> dict[str, Any]:
        body = msgspec.json.decode(Town(ITEMS, DEVICES).asks(viewer, SLATE, ""))
        del body["viewer"]  # the token says who it is
        return body

    def _slate(self, k: int) -> bytes:
        return msgspec.json.encode({**self._bodies[k], "request": f"spike-{random.getrandbits(48):x}"})

    def feed(self) -> Shot:
        """A person asks for a slate."""
        k = random.randrange(DEVICES)
        return Shot("POST", "/v1/feed", self._slate(k), self.tokens[k], budget=self.budgets[k])

    def write(self) -> Shot:
        """A person watched something."""
        k = random.randrange(DEVICES)
        self.outbox[k] += 1
        view = {"kind": "view", "outbox": self.outbox[k], "stamp": time.time_ns() // 1000, "dwell_ms": DURATION_MS,
                "item": f"clip-{random.randrange(ITEMS):07d}", "duration_ms": DURATION_MS}  # fmt: skip
        body = msgspec.json.encode({"entries": [view]})
        return Shot("POST", "/v1/events", body, self.tokens[k], budget=self.budgets[k])

    def low(self) -> Shot:
        """Nobody waits for this."""
        if random.random() < 0.5:
            return Shot("GET", "/v1/trending?n=10", b"", self.key)
        k = random.randrange(DEVICES)
        return Shot("POST", "/v1/feed", self._slate(k), self.tokens[k], urgency=7)

    async def heard(self) -> dict[str, Any]:
        """What the region's door counted so far."""
        http = await self.running.connect()
        try:
            return (await status(http))["admission"]
        finally:
            http.close()

    async def usual(self, capacity: float, seconds: float, *, low: float = 1.0) -> None:
        """The traffic of a usual minute, low-priority requests `low` times as many."""
        flow = self.traffic.flow
        await asyncio.gather(
            flow("feed", FEED_SHARE * capacity, seconds, self.feed), flow("write", WRITES_PER_S, seconds, self.write),
            flow("low", low * LOW_SHARE * capacity, seconds, self.low),
        )  # fmt: skip


async def _must(http: Http, method: str, path: str, body: dict[str, Any], key: str = "") -> dict[str, Any]:
    code, answer = await http.call(method, path, msgspec.json.encode(body), key, JSON)
    if code != 200:
        raise Degraded(f"{method} {path}: {code} {answer[:200]!r}")
    return msgspec.json.decode(answer)


async def _drill(crowd: Crowd, seconds: float, say: Say) -> Verdict:
    traffic, book = crowd.traffic, crowd.traffic.book
    await traffic.saturate(1.5, WIDTH, crowd.feed)  # what is made at the first use is made now
    first = await traffic.saturate(4.0, WIDTH, crowd.feed)
    say(f"capacity: {first:.0f} slates/s")
    begun = await crowd.heard()
    await crowd.usual(first, CALM_S)
    calm, usual_ms = len(book), 1000 * _p99([a.took_s for a in book if a.kind == "feed"])
    say(f"usual traffic: p99 {usual_ms:.0f} ms; now low-priority traffic ten times the usual")
    await crowd.usual(first, seconds, low=SPIKE)
    spike, spike_end_s = book[calm:], time.monotonic()
    await crowd.usual(first, AFTER_S)
    spike_normal_s = normal_s(book, spike_end_s, usual_ms)
    say(f"feeds {_ok(spike, 'feed'):.4f}, writes {_ok(spike, 'write'):.4f}, low {_ok(spike, 'low'):.2f}; "
        f"normal after {spike_normal_s:.1f} s; now people ask four times what the region can serve")  # fmt: skip
    at = len(book)
    await asyncio.gather(
        traffic.flow("feed", OVERLOAD * first, seconds, crowd.feed),
        traffic.flow("write", WRITES_PER_S, seconds, crowd.write),
    )
    over, over_end_s = book[at:], time.monotonic()
    await crowd.usual(first, AFTER_S)
    over_normal_s, ended = normal_s(book, over_end_s, usual_ms), await crowd.heard()
    last = await traffic.saturate(4.0, WIDTH, crowd.feed)
    goodput = sum(a.well for a in over if a.kind == "feed") / seconds
    capacity = (first + last) / 2
    say(f"goodput {goodput:.0f} of {capacity:.0f} slates/s; normal after {over_normal_s:.1f} s")
    verdict = Verdict(
        capacity_per_s=round(capacity, 1), capacity_before_per_s=round(first, 1), capacity_after_per_s=round(last, 1),
        spike_feed_ok=_ok(spike, "feed"), spike_write_ok=_ok(spike, "write"), spike_low_ok=_ok(spike, "low"),
        spike_low_per_s=round(sum(a.kind == "low" for a in spike) / seconds, 1),
        spike_feed_p99_ms=round(1000 * _p99([a.took_s for a in spike if a.kind == "feed"]), 1),
        calm_feed_p99_ms=round(usual_ms, 1), spike_normal_s=round(spike_normal_s, 2),
        overload_offered_per_s=round(sum(a.kind == "feed" for a in over) / seconds, 1),
        overload_goodput_per_s=round(goodput, 1), goodput=round(goodput / capacity, 4),
        overload_write_ok=_ok(over, "write"), overload_normal_s=round(over_normal_s, 2),
        retry_amplification=round(_amplification(book, begun, ended), 4),
        refused={p: sum(whys.values()) - sum(begun["refused"][p].values()) for p, whys in ended["refused"].items()},
        limit=ended["limit"], late_ms_p99=round(1000 * _p99([a.late_s for a in book]), 1),
    )  # fmt: skip
    verdict.passed = not verdict.broken()
    return verdict


def normal_s(book: Sequence[Asked], end_s: float, usual_ms: float) -> float:
    """Seconds from `end_s` until the last request of people that failed, or took longer than is usual by far."""
    bound_s = max(0.25, 2 * usual_ms / 1000)
    late = [a.due_s + a.took_s - end_s for a in book
            if a.kind in ("feed", "write") and a.due_s >= end_s and not (a.well and a.took_s <= bound_s)]  # fmt: skip
    return max(late, default=0.0)


def _amplification(book: Sequence[Asked], begun: dict[str, Any], ended: dict[str, Any]) -> float:
    """Attempts of people that the region's door counted, for each of their requests."""
    requests = sum(a.kind in ("feed", "write") for a in book)
    heard = sum(
        said["admitted"]["person"] * sign + sum(said["refused"]["person"].values()) * sign
        for said, sign in ((ended, 1), (begun, -1))
    )
    return heard / requests


def _ok(book: Sequence[Asked], kind: str) -> float:
    """The share of requests of a kind that were answered in time."""
    mine = [a.well for a in book if a.kind == kind]
    return round(sum(mine) / len(mine), 5) if mine else 1.0


def _p99(values: list[float]) -> float:
    return float(np.quantile(values, 0.99)) if values else 0.0
