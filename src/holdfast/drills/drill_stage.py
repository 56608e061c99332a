"""The stage of a drill: a platform of real processes, its own or one that runs, and the timeline of what is done to it.

    async with Stage.own(seed, say) as stage:       # three regions, 70 ms apart, on ports and a disk of their own
    async with Stage.attach(root, seed, say):       # what `holdfast up` runs in `root`

On a stage of its own every process keeps a clock that can be bent, and viewers come in through links of their own. On
an attached one, faults reach the processes by signals and through the control room, and the links by their weather;
what needs more says that it could not run. Whatever runs here is marked as a drill while it runs: in every region's
status, in the control room, in the incidents.
"""

import asyncio
import os
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters import apikeys, system
from holdfast.adapters.home import Drill, Home
from holdfast.client import Calls, Place
from holdfast.core.errors import Degraded, Refused
from holdfast.core.topology import DEFAULT, Topology, resolve
from holdfast.drills import drill_journal, faults_clock, proxy
from holdfast.drills.drill_journal import Journal
from holdfast.drills.fuse import PowerDisk
from holdfast.drills.load import put_items
from holdfast.region.child import Child, Spec
from holdfast.region.roles import ENV, NAMES
from holdfast.region.supervisor import Supervisor
from holdfast.region.wan import Weather

MARK_S = 3600.0  # no drill runs longer; a mark that was left behind ends by itself
ITEMS = 3000  # more than any client watches in a run, so that no repeat is excusable
PORTS = 60

Say = Callable[[str], None]
Ways = dict[str, dict[str, Weather]]  # link -> {"forth": …, "back": …}


@dataclass(slots=True)
class Span:
    """A fault, from when to when (monotonic seconds; ended_s 0: it lasts)."""

    what: str
    begun_s: float
    ended_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the timeline."""

    at_s: float
    text: str
    level: str = "sky"


class Stage:
    """One platform and what a drill does to it. `supervisor` is None when attached."""

    def __init__(self, home: Home, top: Topology, calls: Calls, seed: int, say: Say) -> None:
        self.home, self.top, self.calls, self.seed = home, top, calls, seed
        self.chance = random.Random(seed)
        self.journal = Journal(home.root)
        self.supervisor: Supervisor | None = None
        self.spans: list[Span] = []
        self.notes: list[Note] = []
        self.items = ITEMS
        self.disks: dict[str, PowerDisk] = {}
        self.more: dict[str, float | str] = {}  # what one drill alone measures
        self.broken: list[str] = []  # promises that a fault itself saw broken
        self._say = say
        self._weather: list[Ways] = []

    @classmethod
    @asynccontextmanager
    async def own(
        cls, seed: int, say: Say, *, roles: tuple[str, ...] = NAMES, items: int = ITEMS, disks: tuple[str, ...] = ()
    ) -> "AsyncIterator[Stage]":
        """Start three regions with `items` items in a directory of their own, and remove it all at the end.

        The regions `disks` live on a disk that can be told to be full or read-only. Raises Refused where there is none.
        """
        for line in drill_journal.sweep():
            say(f"left by a drill that died: {line}")
        root = drill_journal.make_root()
        top = resolve(DEFAULT, system.free_base(DEFAULT.host, PORTS))
        try:
            async with AsyncExitStack() as stack:
                home = Home(root)
                bad = {name: await stack.enter_async_context(PowerDisk(home.region(name))) for name in disks}
                s = await stack.enter_async_context(Supervisor(home, top, roles=roles))
                calls = await stack.enter_async_context(Calls())
                stage = cls(home, top, calls, seed, say)
                stage.disks = bad
                stage.supervisor, stage.items = s, items
                stage._bend_clocks(s)
                say(f"three regions start, {top.rtt_ms:.0f} ms apart")
                await s.start()
                doors = stage._open_doors()
                s.add(doors)
                key = apikeys.make(s.home, "drill", ("items",))
                await asyncio.sleep(apikeys.RELOAD_S + 0.1)
                await put_items(stage.places(), top.regions[0].jurisdiction, key, items, calls)
                yield stage
        finally:
            drill_journal.undo_all(root)
            shutil.rmtree(root, ignore_errors=True)

    @classmethod
    @asynccontextmanager
    async def attach(cls, root: Path, seed: int, say: Say) -> "AsyncIterator[Stage]":
        """Use what runs in `root`. Raises Refused if nothing does."""
        home = Home(root)
        top = home.load()
        for line in drill_journal.undo_all(root):
            say(f"left by a drill that died: {line}")
        async with Calls() as calls:
            stage = cls(home, top, calls, seed, say)
            statuses = [await stage.status(r.name) for r in top.regions]
            if not all(statuses):
                dark = [r.name for r, s in zip(top.regions, statuses, strict=True) if not s]
                said = f"{', '.join(dark)} of {root} does not answer"
                raise Refused(said, field="attach", hint="holdfast up, and give every region power")
            stage.items = min(s["items"]["allowed"] for s in statuses if s)
            child = Child(stage._open_doors(), lambda *_: None, lambda *_: None)
            child.start()
            try:
                yield stage
            finally:
                await child.stop(2.0)
                (home.root / proxy.FILE).unlink(missing_ok=True)

    def _open_doors(self) -> Spec:
        """Write down the viewers' links, and say what runs them."""
        listed = list(proxy.doors(self.top).values())
        for door in listed:
            if not system.port_is_free(door.host, door.port):
                raise Refused(f"port {door.port} ({door.name}) is in use", field="port", hint="end what listens there")
        (self.home.root / proxy.FILE).write_bytes(msgspec.json.encode(listed))
        argv = [sys.executable, "-m", "holdfast.drills.proxy", str(self.home.root)]
        return Spec("doors", "", lambda: argv, self.home.root / "logs" / "doors.log", env=ENV)

    def _bend_clocks(self, s: Supervisor) -> None:
        for region in self.top.regions:
            faults_clock.set_offset(self.clock_file(region.name), 0.0)
            for role in s.pids(region.name):
                child = s.child(region.name, role)
                if role != "log":
                    bent = partial(faults_clock.wrapped, child.spec.argv, self.clock_file(region.name))
                    child.spec = replace(child.spec, argv=bent)

    # -- places --------------------------------------------------------------------------------------------------

    def places(self, *, through: bool = False) -> list[Place]:
        """The regions as viewers know them; `through` the viewers' links, which may have weather."""
        doors = proxy.doors(self.top)
        return [
            Place(r.name, r.jurisdiction, f"http://{r.host}:{doors[r.name].port}" if through else r.url)
            for r in self.top.regions
        ]  # fmt: skip

    def clock_file(self, region: str) -> Path:
        return self.home.root / "clocks" / region

    def folder(self, region: str) -> Path:
        """A region's disk."""
        return self.home.region(region)

    def running(self) -> Supervisor:
        """The supervisor. Raises Refused on an attached platform: what a fault needs is not to be had there."""
        if self.supervisor is None:
            raise Refused("this needs a platform of the drill's own", field="attach", hint="leave out --attach")
        return self.supervisor

    def pid(self, region: str, role: str) -> int:
        """The process of a role, 0 if there is none."""
        if self.supervisor is not None:
            return self.supervisor.pids(region).get(role, 0)
        conf = f"{region}.nats.conf"
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    ours = str(self.home.root) in words and role in words and region in words and "run" in words
                    log = role == "log" and any(w.endswith(conf) and str(self.home.root) in w for w in words)
                    if ours or log:
                        return int(entry.name)
        return 0

    async def status(self, region: str, patience_s: float = 1.0) -> dict[str, Any] | None:
        """What a region says of itself; None if it does not."""
        try:
            async with asyncio.timeout(patience_s):
                return await self.calls.call("GET", f"{self.top.region(region).url}/v1/status")
        except (Degraded, Refused, TimeoutError):
            return None

    # -- the timeline --------------------------------------------------------------------------------------------

    def note(self, text: str, level: str = "sky") -> None:
        """Add a line to the timeline."""
        self.notes.append(Note(time.monotonic(), text, level))
        self._say(text)

    @contextmanager
    def span(self, what: str) -> Iterator[None]:
        """A fault lasts for the length of the block."""
        span = Span(what, time.monotonic())
        self.spans.append(span)
        self.note(what, "coral")
        try:
            yield
        finally:
            span.ended_s = time.monotonic()
            self.note(f"restored: {what}", "kelp")

    @contextmanager
    def marked(self, name: str) -> Iterator[None]:
        """Mark the platform as under drill."""
        now_us = time.time_ns() // 1000
        file = self.home.drill_file
        with self.journal.owes("file", str(file)):
            part = file.with_suffix(".part")
            part.write_bytes(msgspec.json.encode(Drill(name, now_us, now_us + int(MARK_S * 1e6))))
            part.replace(file)
            try:
                yield
            finally:
                file.unlink(missing_ok=True)

    @contextmanager
    def weather(self, ways: Ways) -> Iterator[None]:
        """Let links have weather; blocks within each other add up, link by link and way by way."""
        self._weather.append(ways)
        with self.journal.owes("file", str(self.home.weather_file)):
            self._blow()
            try:
                yield
            finally:
                self._weather.remove(ways)
                self._blow()

    def _blow(self) -> None:
        file = self.home.weather_file
        merged: Ways = {}
        for ways in self._weather:
            for link, sides in ways.items():
                merged[link] = {**merged.get(link, {}), **sides}
        part = file.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(merged))
        os.replace(part, file)
