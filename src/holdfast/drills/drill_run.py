"""Running a drill: steady, watch, fault, restore, watch on, count, judge. One function for every row of the table.

A drill aborts when it does more harm than it may: the bound is stated in its row, and what is left is restored at once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from holdfast.core.errors import Degraded, Refused
from holdfast.core.feed.ladder import Rung
from holdfast.drills.drill_machine import Machine
from holdfast.drills.drill_stage import Say, Span, Stage
from holdfast.drills.verdict import Bound, Event, Verdict, failed, judge, measure, standing
from holdfast.drills.watch import Books, Watch

WARM_S = 6.0  # until every client has its first slates and the rates are steady
LEAD_S = 4.0  # of it, the last part is what "before" means
RESTORE_S = 90.0  # by then everything must be as before
SETTLE_S = 30.0  # outboxes flush and folds catch up within this
LOOK_S = 0.25
FAILED_MAX = 500  # slates: a drill that costs more is stopped

Fault = Callable[[Stage], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Drill:
    """A row. `struck`: the region whose clients are looked at; `must_leave`: whether they have to go elsewhere."""

    name: str
    what: str
    hypothesis: str
    fault: Fault
    struck: str = "us-east"
    must_leave: bool = False
    through: bool = False  # viewers come in through links with weather
    hold_s: float = 12.0
    bounds: tuple[Bound, ...] = ()
    failed_max: int = FAILED_MAX
    disk: bool = False  # the struck region lives on a disk that can be told to fail
    own: Callable[[int, Say], Awaitable[Verdict]] | None = None  # a drill on a platform that only it can build


@dataclass(frozen=True, slots=True)
class Load:
    """How many viewers there are, and how many videos each watches a second. Every region has some; US East most."""

    clients: int = 20
    watches: float = 5.0

    def crowd(self, stage: Stage, struck: str) -> dict[str, int]:
        """How many prefer each region: four fifths the struck one."""
        others = [r.name for r in stage.top.regions if r.name != struck]
        each = max(1, self.clients // 10)
        return {struck: max(1, self.clients - each * len(others)), **dict.fromkeys(others, each)}


def could_not(drill: Drill, seed: int, why: str) -> Verdict:
    """The verdict on a drill for which this machine lacks something."""
    return Verdict(name=drill.name, hypothesis=drill.hypothesis, passed=False, ran=False, why_not=why, seed=seed)


async def run(stage: Stage, drill: Drill, load: Load) -> tuple[Verdict, Books]:
    """Carry out one drill. Never raises for what the platform does; Ctrl-C restores and goes on up."""
    begun_s = time.monotonic()
    stage.spans.clear()
    stage.notes.clear()
    stage.more.clear()
    stage.broken.clear()
    watch = Watch(stage, load.crowd(stage, drill.struck), load.watches, through=drill.through)
    verdict = Verdict(name=drill.name, hypothesis=drill.hypothesis, passed=False, seed=stage.seed)
    with stage.marked(drill.name):
        stage.note(f"drill {drill.name}: {drill.what}")
        try:
            async with watch:
                await asyncio.sleep(WARM_S)
                await _under(stage, drill, watch, verdict)
        except Refused as e:  # the fault cannot be had here
            verdict.ran, verdict.why_not = False, str(e)
        except (Degraded, TimeoutError, OSError) as e:  # begun, and not carried to its end: that is no pass
            verdict.broken.append(f"not carried to its end: {e!r}")
    if verdict.figures is not None:
        verdict.broken = judge(verdict.figures, drill.bounds) + verdict.broken + stage.broken
    verdict.more = dict(stage.more)
    verdict.passed = verdict.ran and not verdict.broken and not verdict.aborted
    verdict.seconds = round(time.monotonic() - begun_s, 1)
    t0 = stage.spans[0].begun_s if stage.spans else begun_s
    lines = [Event(round(n.at_s - t0, 2), n.text, n.level) for n in stage.notes]
    seen: dict[str, float] = {}
    for sign in sorted(watch.books.signs, key=lambda s: s.at_s):
        seen.setdefault(sign.text, round(sign.at_s - t0, 2))  # what comes and goes is told once
    lines += [Event(at_s, text, "amber") for text, at_s in seen.items()]
    verdict.timeline = sorted(lines, key=lambda e: e.at_s)
    return verdict, watch.books


async def _under(stage: Stage, drill: Drill, watch: Watch, verdict: Verdict) -> None:
    """The fault, what follows it, and the figures."""
    names = [r.name for r in stage.top.regions]
    stood = standing(watch.books, time.monotonic(), names)
    machine = Machine()
    async with drill.fault(stage):
        end_s = time.monotonic() + drill.hold_s
        while time.monotonic() < end_s and not verdict.aborted:
            await asyncio.sleep(LOOK_S)
            if sum(map(failed, watch.books.crowd)) > drill.failed_max:
                verdict.aborted = f"more than {drill.failed_max} slates failed"
                stage.note(f"aborted: {verdict.aborted}", "coral")
    fault = watch.books.fault = Span(drill.what, stage.spans[0].begun_s, time.monotonic())
    others = machine.others_share()
    top_s = await _stands(watch, stood, fault.ended_s)
    await watch.rest()
    lost, converged_s = await _settled(watch, fault.ended_s)
    figures = verdict.figures = measure(watch.books, fault, drill.struck, LEAD_S, must_leave=drill.must_leave)
    figures.top_rung_s, figures.converged_s, figures.lost = round(top_s, 3), round(converged_s, 3), lost
    figures.others_cpu = others
    figures.lost_safe = await watch.missing(safe=True) if lost else 0
    if top_s < 0:
        verdict.broken.append(f"not every region stood as high as before within {RESTORE_S:.0f} s")
    if converged_s < 0:
        verdict.broken.append(f"not every permitted region held everything within {SETTLE_S:.0f} s")


async def _stands(watch: Watch, stood: dict[str, Rung], since_s: float) -> float:
    """Wait until every region is as high as before; → seconds since the fault ended, −1 if that never was."""
    while time.monotonic() - since_s < RESTORE_S:
        now = {look.region: look for look in watch.books.looks if look.at_s > since_s}
        if all(r in now and now[r].rung and Rung[now[r].rung] <= rung for r, rung in stood.items()):
            return max(look.at_s for look in now.values()) - since_s
        await asyncio.sleep(LOOK_S)
    return -1.0


async def _settled(watch: Watch, since_s: float) -> tuple[int, float]:
    """Wait until outboxes are flushed and all permitted regions hold all; → (lost, seconds since the fault ended)."""
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < SETTLE_S:
        if not watch.waits() and not await watch.missing(everywhere=True):
            return 0, time.monotonic() - since_s
        await asyncio.sleep(LOOK_S)
    return await watch.missing(), -1.0

