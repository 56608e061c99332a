"""One process kept alive: started, watched, started again after a wait that grows.

A process that dies at once, dies again at once: restarting it in a tight loop heats the machine and fills the log. So
the wait doubles up to RESTART_CAP_S, at random below that so that children who died together do not return together,
and is forgotten once the process has lived for STEADY_S.
"""

import asyncio
import json
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.adapters import system
from holdfast.core.errors import Refused
from holdfast.core.health.backoff import delay_s

RESTART_FIRST_S, RESTART_CAP_S = 0.3, 10.0
STEADY_S = 10.0
SHORT_LIFE_S, SHORT_LIVES = 4.0, 2  # a log server that ends by itself this soon, this often, cannot read its store
EXITED_WELL = 0
PIPE_END_S = 1.0  # a killed group lets go of its pipe at once


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run. `argv` is made anew at each start; `once`: do not start again after a clean end."""

    name: str
    region: str
    argv: Callable[[], list[str]]
    log: Path
    nice: int = 0
    once: bool = False
    env: dict[str, str] = field(default_factory=dict[str, str])


Tell = Callable[[str, str, str], None]  # (region, text, level)
Report = Callable[[str, dict[str, object]], None]  # (name of the child, one JSON object it printed)
Mend = Callable[[Spec], Awaitable[None]]


async def _nothing(spec: Spec) -> None:
    """Nothing to mend."""


class Child:
    """Keeps one Spec running between `start` and `stop`."""

    def __init__(
        self, spec: Spec, tell: Tell, report: Report, mend: Mend = _nothing, prepare: Mend = _nothing
    ) -> None:
        self.spec = spec
        self._tell, self._report, self._mend, self._prepare = tell, report, mend, prepare
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self.restarts = 0

    @property
    def pid(self) -> int:
        """The child's process id, 0 when it is not running."""
        return self._process.pid if self._process and self._process.returncode is None else 0

    @property
    def done(self) -> bool:
        """Whether the child has ended for good."""
        return self._task is None or self._task.done()

    def start(self) -> None:
        if self.done:
            self._stopping = False
            self._task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        attempt = 0
        while True:
            await self._prepare(self.spec)
            begun_s = time.monotonic()
            try:
                code = await self._live()
            except Refused as e:
                self._tell(self.spec.region, f"{self.spec.name} does not start: {e}", "coral")
                code = system.NO_PROGRAM
            if self._stopping or (self.spec.once and code == EXITED_WELL):
                return
            lived_s = time.monotonic() - begun_s
            attempt = 0 if lived_s > STEADY_S else attempt + 1
            ran = code > 0 and code != system.NO_PROGRAM  # a program that is not there says nothing of a store
            if ran and lived_s < SHORT_LIFE_S and attempt >= SHORT_LIVES:
                try:
                    await self._mend(self.spec)
                except Refused as e:  # nothing may end the watch
                    self._tell(self.spec.region, f"{self.spec.name} cannot be mended: {e}", "coral")
            wait_s = delay_s(attempt, random.random(), first_s=RESTART_FIRST_S, cap_s=RESTART_CAP_S)
            self.restarts += 1
            self._tell(self.spec.region, f"{self.spec.name} ended ({_why(code)}); starting it again", "amber")
            await asyncio.sleep(wait_s)

    async def _live(self) -> int:
        """Run the process once; return its exit code."""
        spec = self.spec
        spawning = asyncio.ensure_future(system.spawn(spec.argv(), spec.log, nice=spec.nice, env=spec.env))
        try:
            self._process = process = await asyncio.shield(spawning)
            assert process.stdout
            while True:
                try:
                    line = await process.stdout.readline()
                    if line.startswith(b"{"):
                        self._report(spec.name, json.loads(line))
                except ValueError:  # cut short by a kill, or longer than a report may be: the next one will say more
                    continue
                if not line:
                    return await process.wait()
        finally:
            process = await spawning  # cancelled in the middle of a fork, asyncio would lose its pipe
            system.signal_group(process.pid, signal.SIGKILL)  # whatever it had spawned, or itself if we are cancelled
            with suppress(TimeoutError, ValueError):
                assert process.stdout
                await asyncio.wait_for(process.stdout.read(), PIPE_END_S)  # its end closes the pipe on our side

    def signal(self, number: int) -> None:
        """Signal the whole process group, if it runs."""
        if self.pid:
            system.signal_group(self.pid, number)

    async def stop(self, patience_s: float = 0.0) -> None:
        """End the child: TERM and `patience_s` to comply (0: none), then KILL. `start` brings it back."""
        task, process = self._task, self._process
        self._stopping = True
        if task and not task.done() and patience_s:
            self.signal(signal.SIGTERM)
            await asyncio.wait([task], timeout=patience_s)
        if task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if process and process.returncode is None:
            await process.wait()


def _why(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return "an invariant broke; it comes back through recovery" if code == 3 else f"exit {code}"
