"""Faults of power, processes and networks: each takes something away for a while and always gives it back.

    async with dark(stage, "us-east"), slow(stage, links, delay_ms=300):
        ...

They compose, because each restores what it took and nothing else; and what they owe is in the journal before it is
done. A region that is *dark* is silent: its processes are stopped, connections hang. The refusing variant kills them,
and its ports refuse.
"""

import asyncio
import os
import shutil
import signal
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress

import msgspec

from holdfast.core.errors import Degraded, Refused
from holdfast.drills.drill_journal import started
from holdfast.drills.drill_stage import Stage, Ways
from holdfast.region.wan import Weather

SILENT = Weather(silent=True)
POWER_WAIT_S = 90.0


# -- power -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def dark(stage: Stage, region: str, mode: str = "silent", *, disks: bool = False) -> AsyncIterator[None]:
    """A region loses power, `silent` or `refuse`; with `disks`, what lies on them too. It comes back by recovery."""
    how = "goes dark without a word" if mode == "silent" else "is killed; its ports refuse"
    with stage.span(f"{region} {how}{', and its disks are gone' if disks else ''}"):
        await _power(stage, region, on=False, mode=mode)
        try:
            if disks:
                await asyncio.to_thread(shutil.rmtree, stage.running().home.region(region), True)
            yield
        finally:
            await _power(stage, region, on=True, mode=mode)


async def _power(stage: Stage, region: str, *, on: bool, mode: str) -> None:
    if stage.supervisor is None:
        url = f"http://{stage.top.host}:{stage.top.port}/control/power"
        body = msgspec.json.encode({"region": region, "on": on, "mode": mode})
        asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            await asyncio.to_thread(lambda: urllib.request.urlopen(asked, timeout=POWER_WAIT_S).close())
        except OSError as e:
            raise Degraded(f"the control room at port {stage.top.port} did not switch {region}: {e}") from e
    elif on:
        await stage.supervisor.restore(region)
    else:
        stage.supervisor.cut(region, mode)


@asynccontextmanager
async def stopped(stage: Stage, region: str, roles: Sequence[str], what: str = "") -> AsyncIterator[None]:
    """Processes of a region stand still (SIGSTOP) and later go on where they were, as in a long pause."""
    pids = [pid for role in roles if (pid := stage.pid(region, role))]
    if not pids:
        raise Refused(f"{region} runs none of {', '.join(roles)}", field="region", hint="holdfast status")
    owed = " ".join(f"{pid}:{started(pid)}" for pid in pids)
    with stage.span(what or f"{region}: {', '.join(roles)} stand still"), stage.journal.owes("pids", owed):
        _signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(pids, signal.SIGCONT)


@asynccontextmanager
async def pulses(stage: Stage, region: str, role: str, *, period_s: float, share: float) -> AsyncIterator[None]:
    """A process gets `share` of its time taken away in even pulses: a dependency that is slow, not gone."""
    pid = stage.pid(region, role)
    with stage.span(f"{region}: {role} stands still {share:.0%} of the time"), \
         stage.journal.owes("pids", f"{pid}:{started(pid)}"):  # fmt: skip

        async def beat() -> None:
            while True:
                _signal([pid], signal.SIGSTOP)
                await asyncio.sleep(period_s * share)
                _signal([pid], signal.SIGCONT)
                await asyncio.sleep(period_s * (1 - share))

        beating = asyncio.create_task(beat())
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            _signal([pid], signal.SIGCONT)


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


@asynccontextmanager
async def dead(stage: Stage, region: str, role: str) -> AsyncIterator[None]:
    """One process of a region is killed and stays dead."""
    child = stage.running().child(region, role)
    with stage.span(f"{region}: its {role} is dead"):
        await child.stop()
        try:
            yield
        finally:
            child.start()


@asynccontextmanager
async def killed(stage: Stage, region: str, role: str) -> AsyncIterator[None]:
    """One process of a region is killed with -9, once; who keeps it alive starts it again."""
    pid = stage.pid(region, role)
    with stage.span(f"{region}: its {role} is killed, and is started again"):
        _signal([pid], signal.SIGKILL)
        yield


# -- networks --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _blowing(stage: Stage, what: str, ways: Ways) -> AsyncIterator[None]:
    missing = [link for link in ways if not link.startswith("viewers>") and link not in stage.top.links]
    if missing:
        said = f"there is no link {', '.join(missing)} to do this to"
        raise Refused(said, field="topology", hint="links are relayed where rtt_ms is above 0")
    with ExitStack() as stack:
        stack.enter_context(stage.span(what))
        stack.enter_context(stage.weather(ways))
        yield


def between(a: str, b: str, weather: Weather) -> Ways:
    """This weather on everything between two regions."""
    both = {"forth": weather, "back": weather}
    return {f"{a}>{b}": dict(both), f"{b}>{a}": dict(both)}


def to_viewers(region: str, weather: Weather) -> Ways:
    """This weather between a region and its viewers."""
    return {f"viewers>{region}": {"forth": weather, "back": weather}}


def partition(stage: Stage, a: str, others: Sequence[str], *, refuse: bool = False):
    """A region and the others hear nothing of each other; viewers reach all of them."""
    ways: Ways = {}
    for b in others:
        ways |= between(a, b, Weather(refuse=True) if refuse else SILENT)
    how = "connections between them break off" if refuse else "nothing passes between them"
    return _blowing(stage, f"{a} | {', '.join(others)}: {how}", ways)


@asynccontextmanager
async def cut_off_and_lost(stage: Stage, region: str, others: Sequence[str], alone_s: float) -> AsyncIterator[None]:
    """A region is cut off from its peers, writes on alone for a while, and is then lost with its disks.

    What it acknowledged while it was alone lies nowhere else, except in the outboxes of who said it.
    """
    async with AsyncExitStack() as cut_off:
        await cut_off.enter_async_context(partition(stage, region, others))
        await asyncio.sleep(alone_s)
        async with dark(stage, region, disks=True):
            await cut_off.aclose()  # the links are well again, and lead to nobody
            yield


def one_way(stage: Stage, a: str, b: str):
    """What `a` sends to `b` is lost; what `b` sends arrives."""
    ways = {f"{a}>{b}": {"forth": SILENT}, f"{b}>{a}": {"back": SILENT}}
    return _blowing(stage, f"{a} → {b}: what {a} sends is lost, what {b} sends arrives", ways)


def unheard(stage: Stage, region: str):
    """Viewers' requests reach a region; its answers do not reach them."""
    ways = {f"viewers>{region}": {"back": SILENT}}
    return _blowing(stage, f"{region} hears its viewers, they do not hear it", ways)


def gray(stage: Stage, region: str, share: float):
    """Of a region's feed requests this share is never answered; everything else, health checks too, is."""
    ways = {f"viewers>{region}": {"forth": Weather(swallow="POST /v1/feed", swallow_share=share)}}
    return _blowing(stage, f"{region} leaves {share:.0%} of feed requests unanswered, and answers all else", ways)


def blowing(stage: Stage, what: str, ways: Ways):
    """Any weather on any links."""
    return _blowing(stage, what, ways)
