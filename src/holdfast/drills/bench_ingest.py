"""`holdfast bench ingest`: how many entries a second does one region keep, and how soon is each acknowledged?

One region (log server, keeper, node) shares core 0; the load generator has core 1: DEVICES connections, each a device
that posts 1–50 views of 100 bytes, waits for the acknowledgement after fsync, and posts the next. Then the very blocks
that were sealed are published to a bare JetStream (`bench_log`): `ratio` is how near Holdfast comes to it.
"""

import asyncio
import os
import random
import resource
import time
from typing import Any

import msgspec
import uvloop

from holdfast.adapters.home import Home
from holdfast.adapters.log import LogClient
from holdfast.adapters.signing import Signer, b64, device_message
from holdfast.core.classes import Class
from holdfast.core.errors import Degraded
from holdfast.drills import bench_log
from holdfast.drills.bench_region import NAME, Http, region, status

DEVICES = 24  # requests in flight: about 600 entries, 30 ms at the target rate
WARM_S = 2.0
ENTRY_BYTES = 100
REQUEST_MAX = 50
ITEMS = 500
BLOCKS_KEPT = 400  # sealed blocks replayed against bare JetStream
ROLES = ("log", "keeper", "node")


class _Device:
    """One device that posts views as fast as they are acknowledged."""

    def __init__(self, number: int, host: str, port: int) -> None:
        self._http = Http(host, port)
        self._dice = random.Random(number)
        self._outbox = 0
        self.acks: list[tuple[float, float, int]] = []  # (when, seconds it took, entries)
        self.failed = 0

    async def enrol(self) -> None:
        await self._http.open()
        key, stamp = Signer(self._dice.randbytes(32)), int(time.time())
        proof = b64(key.sign(device_message("US", stamp)))
        body = {"key": b64(key.public), "jurisdiction": "US", "stamp_s": stamp, "proof": proof}
        status, answer = await self._http.call("POST", "/v1/devices", msgspec.msgpack.encode(body))
        if status != 200:
            raise Degraded(f"the node does not enrol a device: {status} {answer[:200]!r}")
        self._token = msgspec.msgpack.decode(answer)["token"]

    def _body(self) -> bytes:
        now, entries = time.time_ns() // 1000, []
        for _ in range(self._dice.randint(1, REQUEST_MAX)):
            self._outbox += 1
            now += 1
            item = f"bench-{self._dice.randrange(ITEMS):05d}"
            entry = {"kind": "view", "outbox": self._outbox, "stamp": now, "item": item, "dwell_ms": 4000}
            entry["duration_ms"], entry["pos"] = 6000, 3
            entry["slate"] = "s" * max(1, ENTRY_BYTES - 76)
            entries.append(entry)
        self._count = len(entries)
        return msgspec.msgpack.encode({"entries": entries})

    async def post(self, until_s: float) -> None:
        body = self._body()
        while time.monotonic() < until_s:
            began = time.monotonic()
            status, _ = await self._http.call("POST", "/v1/events", body, self._token)
            now = time.monotonic()
            if status == 200:
                self.acks.append((now, now - began, self._count))
                body = self._body()
            else:
                self.failed += 1
                await asyncio.sleep(0.05)

    def close(self) -> None:
        self._http.close()


async def _blocks(home: Home) -> list[bytes]:
    """Some of the sealed blocks of the run, as they are on disk."""
    client = await LogClient.open(home, NAME)
    kept: list[bytes] = []
    async for news in client.follow_class(Class.PERSONAL, {}, wait_ms=100):
        for batch in news.batches:
            kept += [m for m, b in zip(batch.messages, batch.blocks, strict=True) if len(b.entries) > REQUEST_MAX]
        if not news.batches or len(kept) >= 4 * BLOCKS_KEPT:
            break
    await client.close()
    return kept[-BLOCKS_KEPT:]


def _quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(int(q * len(values)), len(values) - 1)] if values else 0.0


async def _run(seconds: float) -> dict[str, Any]:
    async with region(ROLES) as running:
        http = await running.connect()
        place = running.top.regions[0]
        devices = [_Device(k, place.host, place.http_port) for k in range(DEVICES)]
        await asyncio.gather(*(d.enrol() for d in devices))
        began = time.monotonic() + WARM_S
        posting = asyncio.gather(*(d.post(began + seconds) for d in devices))
        await asyncio.sleep(WARM_S)
        cpu, before = running.cpu_s(), (await status(http))["counters"]
        own = time.process_time()
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
        now = await status(http)
        used = {r: round((s - cpu[r]) / seconds, 3) for r, s in running.cpu_s().items()}
        used["generator"] = round((time.process_time() - own) / seconds, 3)
        await posting
        acks = [(took, n) for d in devices for at, took, n in d.acks if began <= at <= began + seconds]
        blocks = await _blocks(running.home)
        for device in devices:
            device.close()
        http.close()
    raw = await bench_log.raw(blocks, min(seconds, 5.0))
    rate = sum(n for _, n in acks) / seconds
    times = [1000 * took for took, _ in acks]
    return {
        "entries_per_s": round(rate, 1),
        "ack_ms_p50": round(_quantile(times, 0.5), 2),
        "ack_ms_p99": round(_quantile(times, 0.99), 2),
        "folded_per_s": round((now["counters"]["folded"] - before["folded"]) / seconds, 1),
        "fold_lag_ms_p99": round(now["latency_ms"]["fold_p99"], 2),
        "ratio": round(rate / raw["entries_per_s"], 4),
        "raw_entries_per_s": round(raw["entries_per_s"], 1),
        "raw_blocks_per_s": round(raw["blocks_per_s"], 1),
        "requests_per_s": round(len(acks) / seconds, 1),
        "failed": sum(d.failed for d in devices),
        "entry_bytes": ENTRY_BYTES,
        "cpu": used,
    }


def run(seconds: float, as_json: bool) -> dict[str, Any]:
    """Measure for `seconds`; returns the figures (rates per second, times in ms, `cpu` in cores used).

    Raises Degraded if the region does not start.
    """
    del as_json  # the caller prints; nothing is said on the way
    before = os.sched_getaffinity(0)
    if len(before) > 1:
        os.sched_setaffinity(0, {max(before)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    try:
        return uvloop.run(_run(seconds))
    finally:
        os.sched_setaffinity(0, before)
