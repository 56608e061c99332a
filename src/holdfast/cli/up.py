"""`holdfast up`: from nothing to three living regions and an open feed, with a word about every step.

The order is that of dependence: look before leaping (ports, disk, directory), keys, log servers, keepers, nodes; then
the videos, the control room, and the audience once there is something to watch. Ctrl-C stops it; starting again in
the same directory goes on where it stopped.
"""

import asyncio
import shutil
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from holdfast.adapters import system
from holdfast.adapters.home import Home
from holdfast.cli import words
from holdfast.core.errors import Refused
from holdfast.core.topology import DEFAULT, Topology, check, parse_toml, resolve
from holdfast.region.child import Spec
from holdfast.region.control import ControlRoom, serve
from holdfast.region.roles import ENV
from holdfast.region.supervisor import Supervisor, ports

OPEN_AFTER = 24  # the feed opens when this many clips are published
OPEN_WAIT_S = 170.0
LIVE_EVERY_S = 1.0
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What `up` was asked to do."""

    home: Home
    top: Topology
    clips: Path | None
    clips_count: int
    audience: int
    demo: bool
    json: bool


def read_topology(home: Home, file: Path | None, port: int | None, nats: str, fresh: bool) -> Topology:
    """The map to use: the one that lives in the directory, else `file`, else the three default regions.

    Raises Refused when an option contradicts the map that is already there.
    """
    if home.topology_file.exists() and not fresh:
        top = home.load()
        if port and port != top.port:
            said = f"{home.root} was set up on port {top.port}"
            raise Refused(said, field="port", hint="leave out --port; for a second one pass another --dir")
        if file is None:
            return top
    try:
        top = parse_toml(file.read_text(), str(file)) if file else DEFAULT
    except (OSError, UnicodeDecodeError) as e:
        raise Refused(f"{file} cannot be read: {e}", field="topology", hint="pass --topology FILE.toml") from e
    if nats:
        if len(top.regions) != 1:
            raise Refused("--nats serves one region", field="nats", hint="name each region's `nats` in --topology FILE")
        top = msgspec.structs.replace(top, regions=[msgspec.structs.replace(top.regions[0], nats=nats)])
    made = resolve(top, port)
    check(made)
    if home.topology_file.exists() and not fresh and made != home.load():
        raise Refused(f"{home.root} holds another topology", field="topology", hint="another --dir, or --fresh")
    return made


def wipe(home: Home) -> None:
    """Remove an installation (never anything else). Raises Refused if it is none, or runs."""
    if not home.root.exists() or not any(home.root.iterdir()):
        return
    if not home.topology_file.exists():
        raise Refused(f"{home.root} is not a Holdfast directory", field="dir", hint="--fresh only deletes its own")
    for what, host, port in ports(home.load()):
        if not system.port_is_free(host, port):
            said = f"{home.root} seems to be running: port {port} ({what}) is in use"
            raise Refused(said, field="fresh", hint="stop it first; --fresh deletes everything in it")
    for part in ("regions", "keys", "logs", "clips"):
        shutil.rmtree(home.root / part, ignore_errors=True)
    home.topology_file.unlink()


def up(plan: Plan) -> None:
    """Start everything and stay until Ctrl-C."""
    asyncio.run(_up(plan))


async def _up(plan: Plan) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    begun_s = time.monotonic()
    s = Supervisor(plan.home, plan.top)
    s.check()
    room = ControlRoom(s)
    if not words.err.is_terminal:  # where no bar moves; the rest takes a minute or more
        words.err.print(beginning(plan), markup=False)
    async with s:
        bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(),
            console=words.err, transient=True,
        )  # fmt: skip
        with bar:
            steps = bar.add_task("starting the regions", total=len(plan.top.regions))
            starting = asyncio.create_task(s.start())
            while not starting.done() and not stop.is_set():
                bar.update(steps, completed=sum(p == "on" for p in s.power.values()))
                await asyncio.wait([starting], timeout=0.2)
            if stop.is_set():
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
                return
            await starting
            close = await serve(room, plan.top.host, plan.top.port) if plan.demo else None
            watch = asyncio.create_task(room.watch())
            opened = True
            if plan.clips or plan.clips_count:
                _publish(s, plan)
                opened = await _until_open(s, room, bar, stop)
        if plan.audience and not stop.is_set():
            _audience(s, plan)
        ready_s = time.monotonic() - begun_s
        if not stop.is_set():
            _addresses(plan, ready_s, opened)
        await _live(s, stop)
        words.err.print("stopping (everything acknowledged is on disk)")
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        if close:
            await close()


def _command(*more: str) -> list[str]:
    return [sys.executable, "-m", "holdfast.cli.main", *more]


def _publish(s: Supervisor, plan: Plan) -> None:
    source = ["--clips", str(plan.clips.resolve())] if plan.clips else ["--count", str(plan.clips_count)]
    argv = _command("publish", "--dir", str(plan.home.root), *source)
    log = plan.home.root / "logs" / "publish.log"
    s.add(Spec("publish", "", lambda: argv, log, nice=5, once=True, env=ENV))


def _audience(s: Supervisor, plan: Plan) -> None:
    argv = _command("audience", "--dir", str(plan.home.root), "--viewers", str(plan.audience))
    log = plan.home.root / "logs" / "audience.log"
    s.add(Spec("audience", "", lambda: argv, log, nice=5, env=ENV))


async def _until_open(s: Supervisor, room: ControlRoom, bar: Progress, stop: asyncio.Event) -> bool:
    """Wait for the first clips, or for what an earlier start left to watch; return False if it took too long."""
    task = bar.add_task("publishing the first clips", total=OPEN_AFTER)
    end_s = time.monotonic() + OPEN_WAIT_S
    while not stop.is_set() and time.monotonic() < end_s:
        report = s.reports.get("publish", {})
        done, total = _number(report, "done"), _number(report, "total")
        allowed = max((st.get("items", {}).get("allowed", 0) for st in room.status.values()), default=0)
        bar.update(task, completed=min(OPEN_AFTER, max(done, allowed)))
        if max(done, allowed) >= OPEN_AFTER or (total and done >= total):
            return True
        await asyncio.sleep(0.2)
    return False


def _number(report: dict[str, object], key: str) -> int:
    value = report.get(key, 0)
    return value if isinstance(value, int) else 0


def beginning(plan: Plan) -> str:
    """Say what is being started, and where it will be."""
    many = f"{len(plan.top.regions)} regions" if len(plan.top.regions) > 1 else "one region"
    first = plan.top.regions[0].url
    return f"starting {many}; {f'control room at {_room(plan)}' if plan.demo else f'the first at {first}'}"


def _room(plan: Plan) -> str:
    return f"http://{plan.top.host}:{plan.top.port}"


def _addresses(plan: Plan, ready_s: float, opened: bool) -> None:
    top = plan.top
    room = _room(plan)
    if plan.json:
        regions = {r.name: r.url for r in top.regions}
        words.as_json({"control": room if plan.demo else None, "regions": regions, "ready_s": round(ready_s, 1)})
        return
    rows = [("watch, and cut the power", room)] if plan.demo else []
    rows += [(f"{r.name} ({r.jurisdiction})", r.url) for r in top.regions]
    rows += [("API", f"{top.regions[0].url}/schema"), ("data", str(plan.home.root))]
    words.table("", ["", ""], rows)
    log = plan.home.root / "logs" / "publish.log"
    state = "The feed is open after" if opened else f"Few clips are in (see {log}) after"
    words.out.print(f"\n{state} {ready_s:.0f} s. Ctrl-C stops it; nothing is lost.")


async def _live(s: Supervisor, stop: asyncio.Event) -> None:
    """One quiet line that says how it goes; on a terminal only."""
    told = 0
    with words.err.status("") as status:
        while not stop.is_set():
            audience, publishing = s.reports.get("audience", {}), s.reports.get("publish", {})
            counts = ", ".join(f"{_number(audience, k):,} {k}" for k in ("acknowledged", "lost", "failed", "repeats"))
            done, total = _number(publishing, "done"), _number(publishing, "total")
            clips = f"; {done} of {total} clips published" if done < total else ""
            status.update(counts + clips)
            for event in [e for e in s.events if e.n > told]:
                told = event.n
                when = time.strftime("%H:%M:%S", time.localtime(event.stamp / 1e6))
                words.err.print(f"{when} {event.region} {event.text}", markup=False)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LIVE_EVERY_S)


def may_demo(top: Topology) -> bool:
    """The power switches are for one's own machine."""
    return top.host in LOOPBACK
