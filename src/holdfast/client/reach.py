"""Reaching a region that answers: a staggered race, in which silence is what starts the next runner.

The naive way asks one region and waits for a time-out of some seconds: a dead data centre then costs every viewer
those seconds. Asking all at once costs the living ones double work for ever. So (as browsers do with addresses, RFC
8305 "happy eyeballs") we ask one; the next starts when the first has *failed*, has become *suspicious*, or, for reads
is merely *slow*. Each runner after the first is paid from the budget (`core.health.budget`): when that is used up, the
first is all there is. The first answer wins and the others are dropped. A region from which other answers come is not
suspicious; but after SLOW_S its asker looks elsewhere all the same.

Who loses a race is listened to a little longer, though nobody waits for it: a region that leaves unanswered what
another one answered is sick in a way that no health check shows, and is left.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from holdfast.adapters.aio.calls import Busy, Calls, RefusedEntry, Unreachable
from holdfast.core.errors import Degraded, Refused
from holdfast.core.health.detector import DEAF_MAX_S
from holdfast.core.health.router import Place, Router

T = TypeVar("T")
Shot = Callable[[Place], Awaitable[T]]
SLOW_S = 1.0  # nobody waits longer for one region while there is another, accused or not
GOODPUT_MIN = 0.5  # a region that fails every second call is left, even though it answers


@dataclass(slots=True)
class _Runner:
    place: Place
    at_s: float
    deaf_at_s: float
    suspected: bool = False


class Reach:
    """The router at work. `on_suspect(name)` is called when a region is first suspected."""

    def __init__(
        self, router: Router, calls: Calls, on_suspect: Callable[[str], None] = lambda name: None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._now_s = now_s
        self._late: dict[asyncio.Task[None], asyncio.Task[Any]] = {}  # who hears out -> who is heard out
        self.router = router
        self.calls = calls
        self._on_suspect = on_suspect

    def suspect(self, place: Place) -> None:
        """Note that `place` failed or fell silent."""
        if self.router.vantages[place.name].bad(self._now_s()):
            self._on_suspect(place.name)

    async def race(self, shot: "Shot[T]", places: list[Place], deadline_s: float, hedge: int = 0) -> tuple[Place, T]:
        """Return (place, answer) of the first of `places` to answer.

        The first `hedge` places may be asked early. Raises Refused as soon as a region refuses (it is there, the
        request is at fault), Degraded when all failed, no further attempt could be paid for, or `deadline_s` has
        passed; its `retry_after_s` is what a region asked for, else 0.
        """
        begun_s = self._now_s()
        waiting = list(places)
        running: dict[asyncio.Task[T], _Runner] = {}
        asked, failure, told_s, budget = 0, "no region may be asked", 0.0, self.router.budget
        budget.earn()
        self.calls.ear.attend()
        try:
            while True:
                now_s = self._now_s()
                if waiting and all(r.suspected or now_s - r.at_s >= SLOW_S for r in running.values()):
                    if asked and not budget.retry():
                        waiting.clear()
                        continue
                    self._launch(shot, waiting.pop(0), running)
                    asked += 1
                left_s = begun_s + deadline_s - now_s
                if not running or left_s <= 0:
                    what = failure if not running else f"no answer within {deadline_s:.1f} s"
                    raise Unreachable(what, retry_after_s=told_s)
                may_hedge = bool(waiting) and asked < hedge and budget.may_hedge()
                await asyncio.wait(running, timeout=min(left_s, self._next_s(running, may_hedge, bool(waiting))),
                                   return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
                for task in [t for t in running if t.done()]:
                    runner = running.pop(task)
                    try:
                        answer = self._settle(task, runner)
                        self._listen_on(running, runner.place)
                        return runner.place, answer
                    except Degraded as e:
                        failure = str(e)
                        told_s = max(told_s, 0.0 if isinstance(e, Unreachable) else e.retry_after_s)
                self._grow_suspicious(running)
                if may_hedge and running and self._slow(running) and budget.hedge():
                    self._launch(shot, waiting.pop(0), running)
                    asked += 1
        finally:
            self.calls.ear.rest()
            for task in running:
                task.cancel()

    def _listen_on(self, running: "dict[asyncio.Task[T], _Runner]", winner: Place) -> None:
        """Hear the losers out, and hold against them what they leave unanswered. A foreign winner was asked less."""
        for task, runner in list(running.items()):
            if not runner.suspected and runner.place.jurisdiction == winner.jurisdiction == self.router.jurisdiction:
                del running[task]
                late = asyncio.ensure_future(self._hear_out(task, runner))
                self._late[late] = task
                late.add_done_callback(lambda done: self._late.pop(done).cancel())

    async def _hear_out(self, task: "asyncio.Task[T]", runner: _Runner) -> None:
        vantage = self.router.vantages[runner.place.name]
        while not task.done():
            deaf_s = min(self.calls.ear.deaf_s - runner.deaf_at_s, DEAF_MAX_S)
            left_s = runner.at_s + vantage.patience_s() + deaf_s - self._now_s()
            if left_s <= 0:
                if vantage.beaten(self._now_s()):
                    self._on_suspect(runner.place.name)
                return
            await asyncio.wait([task], timeout=left_s)
        with contextlib.suppress(Degraded, Refused):
            self._settle(task, runner)

    async def aclose(self) -> None:
        """Hear nobody out any more."""
        late = [*self._late, *self._late.values()]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _launch(self, shot: "Shot[T]", place: Place, running: "dict[asyncio.Task[T], _Runner]") -> None:
        running[asyncio.ensure_future(shot(place))] = _Runner(place, self._now_s(), self.calls.ear.deaf_s)

    def _settle(self, task: "asyncio.Task[T]", runner: _Runner) -> T:
        now_s = self._now_s()
        vantage = self.router.vantages[runner.place.name]
        try:
            answer = task.result()
        except Refused as e:
            if isinstance(e, RefusedEntry):
                e.region = runner.place.name
            vantage.good(now_s - runner.at_s, now_s)
            raise
        except Unreachable:
            self.suspect(runner.place)
            raise
        except Degraded as e:
            vantage.heard_s = now_s
            if isinstance(e, Busy):
                vantage.rest(e.retry_after_s, now_s)
            if vantage.poor() < GOODPUT_MIN:
                self.suspect(runner.place)
            raise
        vantage.good(now_s - runner.at_s, now_s)
        return answer

    def _next_s(self, running: "dict[asyncio.Task[T], _Runner]", may_hedge: bool, may_leave: bool) -> float:
        """Time until a runner becomes suspicious, slow enough to hedge, or too slow to wait for, in seconds."""
        now_s = self._now_s()
        due = [now_s + self._patience_left_s(r) for r in running.values() if not r.suspected]
        if may_hedge:
            due += [r.at_s + self.router.hedge_after_s(r.place.name) for r in running.values()]
        if may_leave:
            due += [r.at_s + SLOW_S for r in running.values() if not r.suspected]
        return max(0.001, min(due, default=now_s + 1.0) - now_s)

    def _patience_left_s(self, runner: _Runner) -> float:
        vantage = self.router.vantages[runner.place.name]
        deaf_s = self.calls.ear.deaf_s - runner.deaf_at_s
        return vantage.patience_s() - vantage.silence_s(runner.at_s, self._now_s(), deaf_s)

    def _slow(self, running: "dict[asyncio.Task[T], _Runner]") -> bool:
        now_s = self._now_s()
        return all(now_s - r.at_s >= self.router.hedge_after_s(r.place.name) for r in running.values())

    def _grow_suspicious(self, running: "dict[asyncio.Task[T], _Runner]") -> None:
        for runner in running.values():
            if not runner.suspected and self._patience_left_s(runner) <= 0:
                runner.suspected = True
                self.suspect(runner.place)
