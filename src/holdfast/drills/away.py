"""`holdfast drill away`: a peer is gone for half a minute while writing goes on. How soon is it level again?

Hypothesis: carrying resumes within 1 s of the peer's return, and the watermarks of both regions agree within 2 s.

The fault: every process of us-west is stopped, as when a machine is paused or a network falls silent, and later goes
on. Its connections are dead by then, its log server has been given up by everyone; nothing is restarted for it.
*Resumed*: its watermark of us-east's personal chain has moved. *Agree*: it holds what us-east held LAG_S before, for
every chain that both may hold; writing goes on meanwhile, so that is as level as two regions 70 ms apart can be.
"""

import asyncio
import time
from typing import Any

import msgspec

from holdfast.client import Calls, Client
from holdfast.core.asks import Have
from holdfast.core.errors import Degraded
from holdfast.core.topology import Topology
from holdfast.drills.drill_stage import Say, Stage
from holdfast.drills.verdict import NEVER_S

WRITER, AWAY = "us-east", "us-west"
WRITES_PER_S = 100
WARM_S = 3.0
LOOK_S = 0.02
LAG_S = 0.25  # one way between the regions, plus the time a block takes to be sealed, carried and shown
GIVE_UP_S = 30.0
RESUMED_S, AGREE_S = 1.0, 2.0  # the promises


class Verdict(msgspec.Struct, kw_only=True):
    """The figures. Times in seconds from the peer's return."""

    away_s: float
    resumed_s: float
    agree_s: float
    blocks_behind: int  # when it returned
    passed: bool


def run(seconds: float, say: Say) -> dict[str, Any]:
    """Stop the peer for `seconds`; → `{passed, away: …}`."""
    verdict = asyncio.run(_run(seconds, say))
    return {"passed": verdict.passed, "away": verdict}


async def _run(seconds: float, say: Say) -> Verdict:
    async with Stage.own(1, say, roles=("log", "keeper", "node"), items=0) as stage:
        s, top, calls = stage.running(), stage.top, stage.calls
        law = top.region(WRITER).jurisdiction
        with stage.marked("away"):
            async with Client(stage.places(), law, prefer=WRITER, calls=calls) as client:
                writing = asyncio.create_task(_write(client))
                await asyncio.sleep(WARM_S)
                say(f"{AWAY} is away for {seconds:.0f} s")
                s.cut(AWAY, "silent")
                await asyncio.sleep(seconds)
                before = await _held(top, WRITER, calls)
                s.thaw(AWAY)
                verdict = await _watch(top, calls, seconds, before)
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                return verdict


async def _write(client: Client) -> None:
    k = 0
    while True:
        k += 1
        client.view(f"item-{k % 500}", dwell_ms=1000, duration_ms=6000)
        await asyncio.sleep(1 / WRITES_PER_S)


async def _held(top: Topology, region: str, calls: Calls) -> Have:
    try:
        async with asyncio.timeout(1.0):
            return (await calls.call("GET", f"{top.region(region).url}/v1/safe"))["held"]
    except (Degraded, TimeoutError):
        return {}


async def _watch(top: Topology, calls: Calls, away_s: float, before: Have) -> Verdict:
    begun_s = time.monotonic()
    chain = f"personal/{WRITER}"
    shared = {f"{cls}/{r.name}" for r in top.regions for cls, origin in top.holds(AWAY) if origin == r.name}
    history: list[tuple[float, Have]] = [(begun_s, before)]
    first: int | None = None
    resumed = agree = NEVER_S
    while agree == NEVER_S and time.monotonic() - begun_s < GIVE_UP_S:
        theirs, ours = await asyncio.gather(_held(top, AWAY, calls), _held(top, WRITER, calls))
        now_s = time.monotonic()
        history.append((now_s, ours))
        reached = sum(theirs.get(chain, {}).values())
        if first is None and theirs:
            first = reached
        if resumed == NEVER_S and first is not None and reached > first:
            resumed = now_s - begun_s
        lately = [have for at_s, have in history if at_s <= now_s - LAG_S]
        if resumed != NEVER_S and lately and _covers(theirs, lately[-1], shared):
            agree = now_s - begun_s
        await asyncio.sleep(LOOK_S)
    behind = sum(before.get(chain, {}).values()) - (first or 0)
    passed = resumed <= RESUMED_S and agree <= AGREE_S
    return Verdict(away_s=away_s, resumed_s=resumed, agree_s=agree, blocks_behind=behind, passed=passed)


def _covers(held: Have, wanted: Have, chains: set[str]) -> bool:
    return all(
        held.get(chain, {}).get(epoch, 0) >= n
        for chain, epochs in wanted.items() if chain in chains
        for epoch, n in epochs.items()
    )  # fmt: skip
