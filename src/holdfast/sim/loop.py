"""An event loop without a clock: time stands still while anything can run, and jumps to the next timer when not.

asyncio is deterministic except for three things: the clock, what the selector reports, and threads. Here the clock is
a number, the selector reports nothing, and a "thread" is a call made a moment later on the one thread there is. So a
program runs the same way every time, and an hour takes as long as what happens in it. After the same idea in
FoundationDB's simulator (Zhou et al., SIGMOD 2021).

A *process* is what a crash kills: its tasks, and whatever they have in threads. Which process code runs in travels in
its context; a task belongs to the process that made it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")
TIE_S = 1e-7  # timers due together are told apart by a draw of this size
FINISH_ROUNDS = 20
TURNS_MAX = 3_000_000  # a world takes some 70,000; more means a circle in which no time passes
THREAD_S = 0.002  # a call in a thread takes up to this long


class Stalled(Exception):
    """Nothing can run and no timer is set, or time stands still: the world would last for ever."""


class Process:
    """Something that can be killed at any moment, and then does nothing more."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.tasks: dict[asyncio.Future[Any], None] = {}

    def kill(self) -> None:
        """End it as kill -9 does: none of its code has any effect from now on."""
        self.alive = False
        for task in list(self.tasks):
            task.cancel()


PROCESS: ContextVar[Process] = ContextVar("process")


class _NoSelector:
    """Instead of waiting for events, lets the clock jump."""

    def __init__(self, loop: "SimLoop") -> None:
        self._loop = loop
        self._turns = 0

    def select(self, timeout: float | None) -> list[Any]:
        self._turns += 1
        if timeout is None or self._turns > TURNS_MAX:
            raise Stalled("nothing can run, and no timer is set" if timeout is None else "it goes round and round")
        if timeout > 0:
            self._loop.jump()
        return []


class SimLoop(asyncio.BaseEventLoop):
    """A loop whose time is virtual, in seconds from 0. All chance comes from `chance`."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self._now = 0.0
        self._chance = chance
        self._selector = _NoSelector(self)
        self._clock_resolution = 1e-9
        self.set_task_factory(_task_of_process)  # type: ignore[arg-type]
        self.set_exception_handler(lambda _loop, context: self.complaints.append(context))
        self.outside = Process("outside")  # the world itself
        self.processes: dict[Process, None] = {}
        self.complaints: list[dict[str, Any]] = []

    def time(self) -> float:
        return self._now

    @property
    def process(self) -> Process:
        """The process in which the running code is."""
        return PROCESS.get(self.outside)

    def jump(self) -> None:
        """Go on to the next timer."""
        self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        return super().call_at(when + self._chance.random() * TIE_S, callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]
        """Call `func` a moment later. It runs to its end even if nobody waits for it any more, as threads do."""
        del executor
        future: asyncio.Future[T] = self.create_future()
        process = self.process

        def run() -> None:
            if not process.alive:
                return
            try:
                result = func(*args)
            except Exception as e:  # noqa: BLE001 - it is the caller's, as in a thread
                if not future.done():
                    future.set_exception(e)
                return
            if not future.done():
                future.set_result(result)

        self.call_later(self._chance.random() * THREAD_S, run)
        return future

    def spawn(self, process: Process, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run `work` as part of a process."""
        return context_of(process).run(self.create_task, work)

    def finish(self) -> None:
        """End whatever still runs, and close. Call it when nothing that happens matters any more."""
        for process in self.processes:
            process.alive = False
        for _ in range(FINISH_ROUNDS):
            tasks = [task for process in self.processes for task in process.tasks]
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            moment: asyncio.Future[None] = self.create_future()
            self.call_later(0.01, moment.set_result, None)
            self.run_until_complete(moment)
        self._scheduled.clear()  # type: ignore[attr-defined]
        self.close()

    def _process_events(self, event_list: list[Any]) -> None:
        del event_list

    def _write_to_self(self) -> None:
        """Wake the selector: it never sleeps."""

    def _asyncgen_firstiter_hook(self, agen: Any) -> None:
        """What a killed process was iterating is dropped, not closed politely."""

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """As above."""


def context_of(process: Process) -> Context:
    """A context in which code belongs to `process`."""
    context = Context()
    context.run(PROCESS.set, process)
    return context


def _task_of_process(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], context: Context | None = None
) -> "asyncio.Task[Any]":
    assert isinstance(loop, SimLoop)
    process = context[PROCESS] if context is not None and PROCESS in context else PROCESS.get(loop.outside)
    task = asyncio.Task(work, loop=loop, context=context)
    process.tasks[task] = None
    loop.processes[process] = None
    task.add_done_callback(lambda done: process.tasks.pop(done, None))
    if not process.alive:
        task.cancel()
    return task
