"""`holdfast drill flip`: one bit flips in every file of a stopped region's log server. Who notices, and what is left?

Hypothesis: us-east, which has a peer for everything it holds, is whole again within 60 s of its start; eu-west, which
has nobody for its personal chain, says exactly which of its blocks are lost, and gets the rest back.

The fault: the region's processes are killed, one bit in the middle of each file that its log server keeps (messages,
metafiles, indexes) is turned over, and the region starts. *Mended*: every block that was on disk before is held again,
none is missing. *Exact*: the blocks that cannot be read are the blocks declared lost, no more and no fewer.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters.home import Home
from holdfast.adapters.log import LogClient
from holdfast.client import Client
from holdfast.core.asks import Ranges
from holdfast.core.classes import Class, parse_chain
from holdfast.core.errors import Degraded
from holdfast.core.log.ranges import count, minus, normal
from holdfast.drills.drill_stage import Say, Stage
from holdfast.drills.verdict import NEVER_S
from holdfast.region.supervisor import Supervisor

WRITES_PER_S = 100
LOOK_S = 0.1
SETTLE_S = 1.0  # carrying and the record of watermarks catch up before the region is killed
GIVE_UP_S = 90.0
MENDED_S = 60.0  # the promise

Held = dict[tuple[str, str], Ranges]  # (chain, epoch) -> blocks


class Verdict(msgspec.Struct, kw_only=True):
    """The figures of one region. `mended_s`: seconds from its start until nothing but what is lost was missing."""

    region: str
    files_flipped: int
    blocks_before: int
    mended_s: float
    blocks_lost: int
    lost: dict[str, Ranges]  # chain -> ranges declared lost
    lost_exactly: bool  # what cannot be read is what was declared lost
    passed: bool


def run(seconds: float, say: Say) -> dict[str, Any]:
    """Write for `seconds`, then flip; → `{passed, "us-east": …, "eu-west": …}`."""
    return asyncio.run(_run(seconds, say))


async def _run(seconds: float, say: Say) -> dict[str, Any]:
    async with Stage.own(1, say, roles=("log", "keeper", "node"), items=0) as stage:
        s, home = stage.running(), stage.home
        with stage.marked("flip"):
            us = Client(stage.places(), "US", prefer="us-east", calls=stage.calls)
            eu = Client(stage.places(), "EU", prefer="eu-west", calls=stage.calls)
            async with us, eu:
                say(f"two viewers write for {seconds:.0f} s")
                await asyncio.gather(_write(us, seconds), _write(eu, seconds))
            await asyncio.sleep(SETTLE_S)
            verdicts = [await _flip(s, home, region, say) for region in ("us-east", "eu-west")]
            whole = verdicts[0].blocks_lost == 0
            return {"passed": whole and all(v.passed for v in verdicts), **{v.region: v for v in verdicts}}


async def _write(client: Client, seconds: float) -> None:
    for k in range(int(seconds * WRITES_PER_S)):
        client.view(f"item-{k % 500}", dwell_ms=1000, duration_ms=6000)
        await asyncio.sleep(1 / WRITES_PER_S)


async def _flip(s: Supervisor, home: Home, region: str, say: Say) -> Verdict:
    before, _, _ = await _look(home, region)
    s.cut(region, "refuse")
    await asyncio.sleep(SETTLE_S)
    flipped = flip_files(home.region(region) / "nats")
    say(f"{region}: one bit turned over in each of {flipped} files; it starts")
    begun_s = time.monotonic()
    await s.restore(region)
    mended_s, missing, lost = NEVER_S, before, Held()
    while mended_s == NEVER_S and time.monotonic() - begun_s < GIVE_UP_S:
        await asyncio.sleep(LOOK_S)
        try:
            held, damaged, lost = await _look(home, region)
        except Degraded:
            continue
        missing = {key: rest for key, had in before.items() if (rest := minus(had, held.get(key, [])))}
        if not any(damaged.values()) and all(rest == lost.get(key, []) for key, rest in missing.items()):
            mended_s = time.monotonic() - begun_s
    named = {f"{chain} {epoch}": ranges for (chain, epoch), ranges in lost.items() if ranges}
    readable = await _readable(home, region, before) if mended_s != NEVER_S else {}
    exact = all(minus(had, readable.get(key, [])) == lost.get(key, []) for key, had in before.items())
    gone = sum(count(ranges) for ranges in lost.values())
    say(f"{region}: {gone} blocks lost, named {'exactly' if exact else 'WRONGLY'}")
    return Verdict(
        region=region, files_flipped=flipped, blocks_before=sum(count(r) for r in before.values()), mended_s=mended_s,
        blocks_lost=sum(count(r) for r in missing.values()), lost=named, lost_exactly=exact,
        passed=mended_s <= MENDED_S and exact,
    )  # fmt: skip


def flip_files(folder: Path) -> int:
    """Turn over one bit in the middle of every file that is not empty; return how many there were."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.stat().st_size]
    for path in files:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x10
        path.write_bytes(data)
    return len(files)


async def _look(home: Home, region: str) -> tuple[Held, Held, Held]:
    """Return what the keeper holds, misses, and declares lost."""
    held, damaged, lost = Held(), Held(), Held()
    log = await LogClient.open(home, region, role="drill")
    try:
        for cls in Class:
            for chain, heads in (await log.heads(cls)).chains.items():
                for h in heads:
                    key = (chain, h.epoch)
                    damaged[key], lost[key] = normal(h.missing), normal(h.lost)
                    whole = [(1, h.last)] if h.last else []
                    held[key] = minus(minus(normal(whole), damaged[key]), lost[key])
    finally:
        await log.close()
    return held, damaged, lost


async def _readable(home: Home, region: str, wanted: Held) -> Held:
    """Read every block that there was, and return which could be had."""
    got = Held()
    log = await LogClient.open(home, region, role="drill")
    try:
        for (chain, epoch), ranges in wanted.items():
            have: Ranges = []
            for first, last in ranges:
                n = first
                while n <= last:
                    runs = (await log.range(parse_chain(chain)[0], chain, epoch, n, last)).runs
                    have += [(r.first, r.first + len(r.messages) - 1) for r in runs if r.messages]
                    n = max([n, *(b for _, b in have if b >= n)]) + 1
            got[(chain, epoch)] = normal(have)
    finally:
        await log.close()
    return got
