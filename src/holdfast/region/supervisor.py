"""The supervisor: starts every process of every region, keeps them alive, and can take a region's power away.

    async with Supervisor(home, top) as s:
        await s.start()
        s.cut("us-east", "silent")     # SIGSTOP: packets go unanswered, as in a dark data centre
        await s.restore("us-east")     # kill -9, start again: through recovery, as after a power loss

It holds no data and decides nothing about it: whatever it does to a process, the process must survive. `extra` are
processes of the installation besides the regions' (the demo's publisher and audience).
"""

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from holdfast.adapters import log_files, natsconf, system
from holdfast.adapters.aio.calls import Calls
from holdfast.adapters.home import Home
from holdfast.adapters.signing import make_keys
from holdfast.core.errors import Degraded, Refused
from holdfast.core.topology import Topology
from holdfast.region.child import Child, Spec
from holdfast.region.roles import ENV, NAMES, WAN, command, role_named

STOP_S = 4.0  # a process that has not ended by then is killed; recovery is the normal path anyway
LOG_START_S = 20.0  # a log server reading a large store
READY_S = 90.0  # all regions serving, on two busy cores
EVENTS_MAX = 1000
TIDY_EVERY_S = 10.0
TOLD = 5  # of what happened, said when a start fails
LOG_DISK_MIN_BYTES = 50_000_000  # below it a log server may end for want of space, with nothing wrong in its store
DISK_MIN_BYTES = 2_000_000_000  # three regions with 240 clips take about 0.6 GB


class Event(msgspec.Struct):
    """One line for people. `stamp`: microseconds since 1970; `level`: kelp, amber, coral or sky."""

    n: int
    stamp: int
    region: str
    text: str
    level: str


class Supervisor:
    """Every process of one installation. `roles` limits what runs in each region (tests)."""

    def __init__(self, home: Home, top: Topology, *, roles: Sequence[str] = NAMES) -> None:
        self.home, self.top = home, top
        self.power: dict[str, str] = {r.name: "off" for r in top.regions}
        self.events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self.reports: dict[str, dict[str, object]] = {}  # last report of each child that makes any
        self._told = 0
        self._regions = {
            r.name: [self._child(role, r.name) for role in roles if not (role == "log" and r.nats)]
            for r in top.regions
        }  # fmt: skip
        self._extra: dict[str, Child] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.calls = Calls()

    async def __aenter__(self) -> "Supervisor":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    # -- life ----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Look before starting. Raises Refused on a busy port, a full disk or an unusable directory."""
        system.usable_directory(self.home.root)
        free = system.disk_free_bytes(self.home.root)
        if free < DISK_MIN_BYTES:
            raise Refused(
                f"only {free / 1e9:.1f} GB are free under {self.home.root}, {DISK_MIN_BYTES / 1e9:.0f} GB are needed",
                field="dir", hint="free some space, or pass --dir on another disk",
            )  # fmt: skip
        for what, host, port in ports(self.top):
            if not system.port_is_free(host, port):
                raise Refused(
                    f"port {port} ({what}) is in use", field="port",
                    hint="is Holdfast running already? stop it; for a second one pass --dir and --port",
                )  # fmt: skip
        natsconf.find_server()

    async def start(self, *, wait: bool = True) -> None:
        """Start all regions; with `wait`, return once every node answers. Raises Degraded if one does not."""
        make_keys(self.home, self.top)
        self.home.save(self.top)
        if self.top.links:
            self.add(Spec("wan", "", lambda: command(WAN, "", self.home, self.top), self._log("wan"), env=ENV))
        self._spawn(self._tidy())
        await asyncio.gather(*(self._power_on(name) for name in self._regions))
        if wait:
            await self.ready()

    async def ready(self, deadline_s: float = READY_S) -> None:
        """Return once every node that should run answers."""
        end_s = time.monotonic() + deadline_s
        while not all(power == "on" for power in self.power.values()):
            if time.monotonic() > end_s:
                late = [n for n, power in self.power.items() if power != "on"]
                told = [e for e in self.events if e.region in late][-TOLD:]
                said = "".join(f"\n{e.region}: {e.text}" for e in told)
                raise Degraded(
                    f"{', '.join(late)} did not start within {deadline_s:.0f} s{said}\n"
                    f"see {self.home.root}/regions/{late[0]}/logs"
                )  # fmt: skip
            await asyncio.sleep(0.1)

    async def aclose(self) -> None:
        """Stop everything: TERM, then KILL; nodes before their log server."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(c.stop(STOP_S) for c in self._extra.values()))
        for children in self._regions.values():
            for child in children:
                child.signal(signal.SIGCONT)
        await asyncio.gather(*(c.stop(STOP_S) for cs in self._regions.values() for c in cs if c.spec.name != "log"))
        await asyncio.gather(*(c.stop(STOP_S) for cs in self._regions.values() for c in cs))
        await self.calls.aclose()

    def add(self, spec: Spec) -> Child:
        """Run one more process of the installation."""
        child = Child(spec, self.tell, self._report)
        self._extra[spec.name] = child
        child.start()
        return child

    # -- power ---------------------------------------------------------------------------------------------------

    def cut(self, region: str, mode: str = "silent") -> None:
        """Take a region's power: `silent` stops its processes dead, `refuse` kills them and frees their ports."""
        children = self._children(region)
        if mode not in ("silent", "refuse"):
            raise Refused(f"`{mode}` is not a way to cut power", field="mode", hint="silent or refuse")
        self.power[region] = "off"
        if mode == "silent":
            for child in children:
                if child.pid:
                    child.signal(signal.SIGSTOP)
                else:  # between two lives: without power it has no next one
                    self._spawn(child.stop())
        else:
            for child in children:
                self._spawn(child.stop())
        self.tell(region, "lost power" if mode == "silent" else "was killed; its ports refuse", "coral")

    def thaw(self, region: str) -> None:
        """Let a silent region go on where it was stopped, as when only its network was away."""
        for child in self._children(region):
            child.signal(signal.SIGCONT)
            child.start()  # if it was between two lives
        self.power[region] = "on"
        self.tell(region, "goes on", "kelp")

    async def restore(self, region: str) -> None:
        """Give power back: whatever is frozen is killed with -9, and everything starts through recovery."""
        children = self._children(region)
        self.power[region] = "starting"
        self.tell(region, "has power again and is starting", "sky")
        await asyncio.gather(*(c.stop() for c in children))
        await self._power_on(region)

    async def _power_on(self, region: str) -> None:
        self.power[region] = "starting"
        place = self.top.region(region)
        for child in self._children(region):
            child.start()
            if child.spec.name == "log" and not await system.listening(place.host, place.nats_port, LOG_START_S):
                self.tell(region, "the log server is slow to start", "amber")
        self._spawn(self._until_on(region))

    async def _until_on(self, region: str) -> None:
        begun_s = time.monotonic()
        url = f"{self.top.region(region).url}/v1/region"
        if not any(c.spec.name == "node" for c in self._children(region)):
            self.power[region] = "on"
            return
        while self.power[region] == "starting":
            with suppress(Degraded, Refused, TimeoutError):
                async with asyncio.timeout(2.0):
                    await self.calls.call("GET", url)
                if self.power[region] == "starting":
                    self.power[region] = "on"
                    self.tell(region, f"serves, {time.monotonic() - begun_s:.1f} s after its start", "kelp")
            await asyncio.sleep(0.15)

    def pids(self, region: str) -> dict[str, int]:
        """Process ids of a region, by role."""
        return {c.spec.name: c.pid for c in self._children(region)}

    def child(self, region: str, role: str) -> Child:
        """One process of a region, or with an empty region one of the installation."""
        if not region:
            return self._extra[role]
        return next(c for c in self._children(region) if c.spec.name == role)

    # -- telling -------------------------------------------------------------------------------------------------

    def tell(self, region: str, text: str, level: str = "sky") -> None:
        """Add a line of events in plain words."""
        self._told += 1
        self.events.append(Event(self._told, time.time_ns() // 1000, region, text, level))

    def _report(self, name: str, report: dict[str, object]) -> None:
        if report.get("stuck") == "log":
            return self._unstick(str(report.get("region")))
        self.reports[name] = report

    def _unstick(self, region: str) -> None:
        """A log server that stores nothing, though its disk would, is killed: its child starts it again."""
        log = next((c for c in self._regions.get(region, []) if c.spec.name == "log"), None)
        if log and self.power[region] != "off":
            self.tell(region, "the log server stores nothing, though the disk is well; it is started anew", "amber")
            log.signal(signal.SIGKILL)

    # -- parts ---------------------------------------------------------------------------------------------------

    def _children(self, region: str) -> list[Child]:
        self.top.region(region)
        return self._regions[region]

    def _child(self, role: str, region: str) -> Child:
        row = role_named(role)
        spec = Spec(
            role, region, lambda: command(row, region, self.home, self.top),
            self.home.region(region) / "logs" / f"{role}.log", row.nice, env=ENV,
        )  # fmt: skip
        return Child(spec, self.tell, self._report, self._mend, self._prepare)

    async def _prepare(self, spec: Spec) -> None:
        """A log server may cut its files off at a damage: they are copied first, for the keeper to salvage from."""
        if spec.name == "log":
            try:
                await asyncio.to_thread(log_files.keep_before, natsconf.store_dir(self.home, spec.region))
            except OSError as e:
                self.tell(spec.region, f"the log's files could not be kept before its start: {e.strerror}", "amber")

    async def _mend(self, spec: Spec) -> None:
        """A log server that cannot read its store is given a clean one; the keeper fills it from blobs and peers."""
        if spec.name == "log":
            place = self.top.region(spec.region)
            if not system.port_is_free(place.host, place.nats_port):
                return self.tell(spec.region, f"port {place.nats_port} of the log server is taken", "coral")
            if system.disk_free_bytes(self.home.root) < LOG_DISK_MIN_BYTES:
                return self.tell(spec.region, "the disk is full; the log server waits for space", "coral")
            store = natsconf.store_dir(self.home, spec.region)
            if not any(names for _, _, names in os.walk(store)):  # each attempt would leave one more empty folder
                said = f"the log server ends at once, with an empty store: see logs/{spec.log.name}"
                return self.tell(spec.region, said, "coral")
            aside = self.home.region(spec.region) / f"{log_files.DAMAGED}{time.time_ns() // 1_000_000_000}"
            try:
                store.rename(aside)
            except OSError as e:  # the watch goes on, and so do the attempts to start
                return self.tell(spec.region, f"the log server's store cannot be set aside: {e.strerror}", "coral")
            self.tell(spec.region, f"the log server cannot read its store; it was set aside as {aside.name}", "amber")

    def _log(self, name: str) -> Path:
        return self.home.root / "logs" / f"{name}.log"

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def tell_of_space(self, was_full: bool) -> bool:
        """Tell when the disk fills and when there is room again; return whether it is full."""
        full = system.disk_free_bytes(self.home.root) < LOG_DISK_MIN_BYTES
        if full and not was_full:
            self.tell("", "the disk is full: feeds go on, nothing new is taken in until some space is freed", "coral")
        elif was_full and not full:
            self.tell("", "the disk has space again", "kelp")
        return full

    async def _tidy(self) -> None:
        full = False
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            full = self.tell_of_space(full)
            for log in [*self.home.root.glob("logs/*.log"), *self.home.root.glob("regions/*/logs/*.log")]:
                system.bound_log(log)


def ports(top: Topology) -> list[tuple[str, str, int]]:
    """Every (what, host, port) an installation listens on."""
    out = [("control room", top.host, top.port)]
    for r in top.regions:
        out.append((f"viewers of {r.name}", r.host, r.http_port))
        if not r.nats:
            out.append((f"log server of {r.name}", r.host, r.nats_port))
    return out + [(f"link {link}", top.host, port) for link, port in top.links.items()]
