"""`holdfast drill kill`: a data centre goes dark under load and its disks are gone. Who notices, and what is missing?

Hypothesis: nothing that was *safe* is missing elsewhere; with the outboxes nothing acknowledged is missing at all;
every client's next slate and next acknowledged write come within 1 s of its first suspicion and 2 s of the cut; no
slate is empty, none repeats; and the region comes back from an empty disk by itself.

The fault: all processes of us-east are stopped (SIGSTOP; connections hang, as with a dead data centre) or, in the
second variant, killed (connections are refused), and its data directory is deleted. All clients are on us-east: nobody
is spared. Everything is real and runs on this machine, in a directory of its own, which is removed at the end.
"""

import asyncio
import shutil
import time
from contextlib import AsyncExitStack, suppress
from typing import Any

import msgspec

from holdfast.core.errors import Degraded
from holdfast.core.merge import IntervalSet
from holdfast.core.topology import Topology
from holdfast.drills.drill_stage import Say, Stage
from holdfast.drills.load import Witness, living
from holdfast.drills.verdict import NEVER_S
from holdfast.region.supervisor import Supervisor

LOST, SPARE = "us-east", "us-west"
WARM_S = 8.0
AFTER_CUT_S = 8.0
SETTLE_S = 20.0  # outboxes flush and folds catch up within this
RESTORE_S = 90.0
FROM_SUSPICION_S, FROM_CUT_S = 1.0, 2.0  # the promises


class Verdict(msgspec.Struct, kw_only=True):
    """One variant's figures. Times in seconds, over clients; counts over all clients together."""

    mode: str
    clients: int
    entries_per_s: float  # acknowledged, before the cut
    slates_per_s: float
    clients_elsewhere: int  # had left us-east before the cut: suspicion can be wrong, and costs little
    suspected_s_max: float  # from the cut to a client's first suspicion
    slate_from_cut_s_p99: float  # from the cut to a client's next slate
    slate_from_cut_s_max: float
    slate_from_suspicion_s_max: float
    ack_from_cut_s_p99: float  # from the cut to a client's next acknowledged write
    ack_from_cut_s_max: float
    ack_from_suspicion_s_max: float
    slates_empty: int
    repeats: int
    failed: int
    safe: int = 0  # entries declared safe before the cut
    safe_missing: int = 0  # of those, not held by us-west
    acknowledged: int = 0
    acknowledged_missing: int = 0  # not held by us-west once the outboxes have flushed
    serves_again_s: float = -1.0  # from power to the first slate of us-east, whose disk was empty; -1: never
    restored_s: float = -1.0  # from power until it holds everything acknowledged; -1: never
    passed: bool = False

    def holds(self) -> bool:
        """Whether every promise was kept."""
        quick = max(self.slate_from_suspicion_s_max, self.ack_from_suspicion_s_max) <= FROM_SUSPICION_S
        soon = max(self.slate_from_cut_s_max, self.ack_from_cut_s_max) <= FROM_CUT_S
        nothing = self.slates_empty + self.repeats + self.failed + self.safe_missing + self.acknowledged_missing == 0
        return quick and soon and nothing and self.restored_s >= 0


def run(modes: list[str], clients: int, seconds: float, say: Say) -> dict[str, Any]:
    """Run the drill in each of `modes` (`silent`, `refuse`), `seconds` of load before each cut. → figures by mode."""
    verdicts = {mode: asyncio.run(_one(mode, clients, seconds, say)) for mode in modes}
    return {"passed": all(v.passed for v in verdicts.values()), **verdicts}


async def _one(mode: str, clients: int, seconds: float, say: Say) -> Verdict:
    async with Stage.own(1, say) as stage:
        with stage.marked("kill"):
            return await _drill(stage, mode, clients, seconds, say)


async def _drill(stage: Stage, mode: str, clients: int, seconds: float, say: Say) -> Verdict:
    s, top = stage.running(), stage.top
    law = top.region(LOST).jurisdiction
    crowd = [Witness(stage.places(), law, LOST, stage.calls) for _ in range(clients)]
    async with AsyncExitStack() as stack:
        for witness in crowd:
            await stack.enter_async_context(witness.client)
        async with living(crowd):
            await asyncio.sleep(WARM_S + seconds)
            rates = _rates(crowd, seconds)
            say(f"{mode}: {rates[0]:.0f} entries/s acknowledged, {rates[1]:.0f} slates/s; now {LOST} goes dark")
            cut_s = time.monotonic()
            s.cut(LOST, mode)
            elsewhere = [w.client.router.active != LOST for w in crowd]
            safe = [IntervalSet(list(w.record.safe.starts), list(w.record.safe.ends)) for w in crowd]
            await asyncio.to_thread(shutil.rmtree, s.home.region(LOST), True)
            await asyncio.sleep(AFTER_CUT_S)
        say(f"{mode}: counting what {SPARE} holds")
        verdict = _waits(crowd, mode, rates, cut_s, elsewhere)
        verdict.safe = sum(len(numbers) for numbers in safe)
        verdict.safe_missing = await _missing(crowd, SPARE, safe, SETTLE_S)
        verdict.acknowledged_missing = await _missing(crowd, SPARE, None, SETTLE_S)
        verdict.acknowledged = sum(len(w.record.acknowledged) for w in crowd)
        say(f"{mode}: {LOST} gets power, and an empty disk")
        await _come_back(s, top, crowd, verdict)
    verdict.passed = verdict.holds()
    return verdict


def _rates(crowd: list[Witness], seconds: float) -> tuple[float, float]:
    """Entries acknowledged and slates a second, over the last `seconds`."""
    since_s = time.monotonic() - seconds
    entries = sum(n for w in crowd for at, n in w.record.acked_at if at >= since_s)
    slates = sum(shown.at_s >= since_s for w in crowd for shown in w.record.slates)
    return entries / seconds, slates / seconds


def _waits(
    crowd: list[Witness], mode: str, rates: tuple[float, float], cut_s: float, elsewhere: list[bool]
) -> Verdict:
    """How long each client waited, after the cut and after its own first suspicion."""
    records = [w.record for w in crowd]
    pairs = zip(records, elsewhere, strict=True)
    suspect = [0.0 if gone else _first(r.suspected, cut_s, {LOST}) for r, gone in pairs]
    slate = [_first([(s.at_s, s.region) for s in r.slates], cut_s, {SPARE}) for r in records]
    ack = [_first(r.acks, cut_s, {SPARE}) for r in records]
    after = [[max(0.0, x - y) for x, y in zip(what, suspect, strict=True)] for what in (slate, ack)]
    return Verdict(
        mode=mode, clients=len(crowd), entries_per_s=rates[0], slates_per_s=rates[1],
        clients_elsewhere=sum(elsewhere), suspected_s_max=max(suspect),
        slate_from_cut_s_p99=_p99(slate), slate_from_cut_s_max=max(slate), slate_from_suspicion_s_max=max(after[0]),
        ack_from_cut_s_p99=_p99(ack), ack_from_cut_s_max=max(ack), ack_from_suspicion_s_max=max(after[1]),
        slates_empty=sum(r.empty for r in records), repeats=sum(r.repeats for r in records),
        failed=sum(r.failed + r.refused for r in records),
    )  # fmt: skip


def _first(happened: list[tuple[float, str]], since_s: float, where: set[str]) -> float:
    """Seconds from `since_s` to the first of these in one of the regions; NEVER_S if there is none."""
    return next((at - since_s for at, region in happened if at >= since_s and region in where), NEVER_S)


def _p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.99 * len(values)))]


async def _missing(crowd: list[Witness], region: str, numbers: list[IntervalSet] | None, within_s: float) -> int:
    """Count what `region` lacks of `numbers` (None: of all acknowledged), once it has had `within_s` to fold."""
    end_s = time.monotonic() + within_s
    while True:
        wanted = numbers or [w.record.acknowledged for w in crowd]
        late = time.monotonic() > end_s
        try:
            found = await asyncio.gather(*(w.missing(region, n) for w, n in zip(crowd, wanted, strict=True)))
        except Degraded:  # it has too much to do to say so now; what it cannot say in the end is no figure
            if late:
                raise
        else:
            if late or not (sum(found) or any(w.client.outbox.waits() for w in crowd)):
                return sum(found)
        await asyncio.sleep(0.5)


async def _come_back(s: Supervisor, top: Topology, crowd: list[Witness], verdict: Verdict) -> None:
    """Give power back; note when the region serves a slate, and when it holds all that was acknowledged."""
    begun_s = time.monotonic()
    await s.restore(LOST)
    url = f"{top.region(LOST).url}/v1/feed"
    while time.monotonic() - begun_s < RESTORE_S:
        with suppress(Degraded):
            slate = await s.calls.call("POST", url, {"n": 10})
            if verdict.serves_again_s < 0 and slate["items"]:
                verdict.serves_again_s = time.monotonic() - begun_s
            if verdict.serves_again_s >= 0 and not await _missing(crowd, LOST, None, 0.0):
                verdict.restored_s = time.monotonic() - begun_s
                return
        await asyncio.sleep(0.2)
