"""Watching from outside: viewers with ledgers of what they were told, and somebody who asks the regions how they are.

Nothing here believes the platform about itself where it can count for itself. What was acknowledged and declared safe
stands in the witnesses' records (`load`), and at the end every region is asked for each of those numbers. The regions'
own words (rung, lag, reachable peers, incidents) are written down beside it, with their times: they are what an
operator would have seen, and the first of them after a fault is when the platform noticed.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from holdfast.core.errors import Degraded, Refused
from holdfast.core.feed.ladder import Rung
from holdfast.core.merge import IntervalSet
from holdfast.drills.drill_stage import Span, Stage
from holdfast.drills.load import Witness, living

PROBE_EVERY_S = 0.5
LAG_ALARM_S = 2.0  # between regions 70 ms apart, something is wrong
AUDIT_PATIENCE_S, AUDIT_TRIES = 10.0, 3


@dataclass(frozen=True, slots=True)
class Look:
    """What a region said of itself at one moment; `rung` is "" if it did not answer. `lag_s`: its worst peer's."""

    at_s: float
    region: str
    rung: str
    lag_s: float


@dataclass(frozen=True, slots=True)
class Sign:
    """Somebody noticed something."""

    at_s: float
    text: str


@dataclass(slots=True)
class Books:
    """All that was seen."""

    begun_s: float = 0.0
    fault: Span | None = None
    looks: list[Look] = field(default_factory=list[Look])
    signs: list[Sign] = field(default_factory=list[Sign])
    crowd: list[Witness] = field(default_factory=list[Witness])


class Watch:
    """`crowd`: how many viewers prefer each region; `watches`: videos each watches a second."""

    def __init__(self, stage: Stage, crowd: dict[str, int], watches: float, *, through: bool) -> None:
        self.stage = stage
        places = stage.places(through=through)
        self.books = Books(time.monotonic())
        self.books.crowd = [
            Witness(places, stage.top.region(region).jurisdiction, region, stage.calls, watches=watches)
            for region, count in crowd.items() for _ in range(count)
        ]  # fmt: skip
        self._stack = AsyncExitStack()
        self._probing: list[asyncio.Task[None]] = []
        self._knew: dict[str, set[str]] = {}

    async def __aenter__(self) -> "Watch":
        for witness in self.books.crowd:
            await self._stack.enter_async_context(witness.client)
        self._living = AsyncExitStack()
        await self._living.enter_async_context(living(self.books.crowd))
        self._probing = [asyncio.create_task(self._probe(r.name)) for r in self.stage.top.regions]
        return self

    async def rest(self) -> None:
        """Let the viewers watch no more; what they have said still goes out."""
        await self._living.aclose()

    async def __aexit__(self, *exc: object) -> None:
        await self._living.aclose()
        for task in self._probing:
            task.cancel()
        await asyncio.gather(*self._probing, return_exceptions=True)
        await self._stack.aclose()

    async def _probe(self, region: str) -> None:
        while True:
            due_s = time.monotonic() + PROBE_EVERY_S
            status = await self.stage.status(region)
            now_s = time.monotonic()
            lags = [p["lag_s"] for p in status["peers"].values()] if status else []
            self.books.looks.append(Look(now_s, region, status["rung"] if status else "", max(lags, default=0.0)))
            self._notice(region, status, now_s)
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    def _notice(self, region: str, status: dict[str, Any] | None, now_s: float) -> None:
        """Write down what a region says now and did not say before."""
        said = {f"{region} does not answer"}
        if status:
            said = {f"{region}: {name} is unreachable" for name, p in status["peers"].items() if not p["reachable"]}
            said |= {f"{region}: lags behind {name}" for name, p in status["peers"].items() if p["lag_s"] > LAG_ALARM_S}
            said |= {f"{region} is on {status['rung']}"}
            said |= {f"incident {i['stamp']}: {i['text']}" for i in status["incidents"]}
        before = self._knew.get(region)
        if before is not None:
            self.books.signs += [Sign(now_s, text) for text in sorted(said - before) if not _better(text, before)]
        self._knew[region] = said

    # -- counting at the end -------------------------------------------------------------------------------------

    def waits(self) -> bool:
        """Whether anything that was said is not yet acknowledged."""
        return any(w.client.outbox.waits() for w in self.books.crowd)

    async def missing(self, *, safe: bool = False, everywhere: bool = False) -> int:
        """How many acknowledged (or safe) entries no permitted region holds; `everywhere`: not all of them hold."""
        counts = await asyncio.gather(*(self._absent(w, safe, everywhere) for w in self.books.crowd))
        return sum(counts)

    async def _absent(self, witness: Witness, safe: bool, everywhere: bool) -> int:
        wanted = witness.record.safe if safe else witness.record.acknowledged
        names = [place.name for place in witness.client.router.permitted()]
        answers = [await self._held(witness, name, AUDIT_TRIES if not everywhere else 1) for name in names]
        if not any(answer is not None for answer in answers) and not everywhere:
            raise Degraded(f"none of {', '.join(names)} says what it holds")  # nobody to ask is no evidence of a loss
        each = [answer or [] for answer in answers]
        sets = [union(held) for held in each] if everywhere else [union([p for held in each for p in held])]
        return sum(any(n not in held for held in sets) for a, b in wanted.pairs() for n in range(a, b + 1))

    async def _held(self, witness: Witness, region: str, tries: int) -> list[tuple[int, int]] | None:
        """What a region holds of a witness, None if it does not say so."""
        for _ in range(tries):
            with suppress(Degraded, Refused, TimeoutError):
                async with asyncio.timeout(AUDIT_PATIENCE_S):
                    return await witness.client.held(region)
        return None


def _better(text: str, before: set[str]) -> bool:
    """Whether this is a rung higher than before, or an answer again: no sign of a fault."""
    region, _, rung = text.partition(" is on ")
    if rung not in Rung.__members__:
        return False
    old = [t.partition(" is on ")[2] for t in before if t.startswith(f"{region} is on ")]
    return not old or Rung[rung] <= Rung[old[0]]


def union(pairs: Sequence[tuple[int, int]]) -> IntervalSet:
    """The numbers in any of these closed intervals."""
    out = IntervalSet()
    for a, b in sorted(pairs):
        if out.ends and a <= out.ends[-1] + 1:
            out.ends[-1] = max(out.ends[-1], b)
        else:
            out.starts.append(a)
            out.ends.append(b)
    return out
