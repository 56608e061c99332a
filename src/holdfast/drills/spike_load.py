"""Requests at a steady rate, whatever becomes of them, and a line in a book for each.

An overload cannot be made by waiting for answers: a server that slows down would slow its load down too. So requests
are due at random moments (Poisson), each is sent when it is due on whatever connection is free, and its time counts
from then. Who asks gives up after PATIENCE_S and hangs up. A person's request that fails is tried again as an app
would, later, out of the same retry budget as the SDK's (`core.health.budget`), one for each device.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.core.health.backoff import delay_s
from holdfast.core.health.budget import Budget
from holdfast.drills.bench_region import JSON, Http, Running

PATIENCE_S = 1.5  # the SDK's deadline for a slate
OPEN_MAX = 3000  # connections; beyond, a request fails here, and that is said
AGAIN_FIRST_S, AGAIN_CAP_S = 0.2, 2.0


@dataclass(slots=True)
class Asked:
    """One request: what kind, when it was due (monotonic), how long until its answer, the last status (0: silence)."""

    kind: str
    due_s: float
    took_s: float = -1.0
    status: int = 0
    attempts: int = 0
    late_s: float = 0.0  # by which it was sent after it was due: the generator's doing

    @property
    def well(self) -> bool:
        """Answered, in time."""
        return self.status == 200 and self.took_s <= PATIENCE_S


@dataclass(slots=True)
class Shot:
    """How to make one request: method, path, body, token, urgency; `budget` None: it is not tried again."""

    method: str
    path: str
    body: bytes
    token: str
    urgency: int = 3
    budget: Budget | None = None


@dataclass(slots=True)
class Traffic:
    """The generator. `book`: every request that was ever due."""

    running: Running
    book: list[Asked] = field(default_factory=list[Asked])
    _free: list[Http] = field(default_factory=list[Http])
    _open: int = 0
    _flying: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def flow(self, kind: str, per_s: float, seconds: float, make: Callable[[], Shot]) -> None:
        """Send `per_s` requests a second for so long; return when all have been answered or given up."""
        mine: list[asyncio.Task[None]] = []
        due_s, end_s = time.monotonic(), time.monotonic() + seconds
        while (due_s := due_s + random.expovariate(per_s)) < end_s:
            if (ahead_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(ahead_s)
            asked = Asked(kind, due_s)
            asked.late_s = time.monotonic() - due_s
            self.book.append(asked)
            task = asyncio.create_task(self._ask(asked, make()))
            self._flying.add(task)
            task.add_done_callback(self._flying.discard)
            mine.append(task)
        await asyncio.gather(*mine)

    async def saturate(self, seconds: float, width: int, make: Callable[[], Shot]) -> float:
        """Keep `width` requests in flight; return how many a second were answered well."""
        end_s, well = time.monotonic() + seconds, 0

        async def one() -> None:
            nonlocal well
            while time.monotonic() < end_s:
                asked = Asked("capacity", time.monotonic())
                await self._ask(asked, make())
                well += asked.well and time.monotonic() < end_s

        await asyncio.gather(*(one() for _ in range(width)))
        return well / seconds

    async def _ask(self, asked: Asked, shot: Shot) -> None:
        if shot.budget:
            shot.budget.earn()
        while True:
            asked.attempts += 1
            await self._try(asked, shot)
            asked.took_s = time.monotonic() - asked.due_s
            if asked.status == 200 or shot.budget is None or not shot.budget.retry():
                return
            wait_s = delay_s(asked.attempts - 1, random.random(), first_s=AGAIN_FIRST_S, cap_s=AGAIN_CAP_S)
            if asked.took_s + wait_s >= PATIENCE_S:
                return
            await asyncio.sleep(wait_s)

    async def _try(self, asked: Asked, shot: Shot) -> None:
        """One attempt. A connection that broke or timed out is closed: its answer has nobody left to go to."""
        http, asked.status = None, 0
        try:
            async with asyncio.timeout(max(0.01, PATIENCE_S - (time.monotonic() - asked.due_s))):
                http = await self._line()
                if http is not None:
                    said = await http.call(shot.method, shot.path, shot.body, shot.token, JSON, shot.urgency)
                    asked.status = said[0]
                    self._free.append(http)
                    http = None
        except (OSError, EOFError, TimeoutError, ValueError):
            pass
        finally:
            if http is not None:
                self._open -= 1
                http.close()

    async def _line(self) -> Http | None:
        if self._free:
            return self._free.pop()
        if self._open >= OPEN_MAX:
            return None
        self._open += 1
        try:
            return await self.running.connect()
        except BaseException:
            self._open -= 1
            raise

    def close(self) -> None:
        """Hang up all free lines."""
        for http in self._free:
            http.close()
