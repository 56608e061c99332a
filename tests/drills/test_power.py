"""The power cut, small: one region with its log and keeper on a disk that forgets. The drill itself is a command."""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from holdfast.adapters import natsconf, system
from holdfast.adapters.home import Home
from holdfast.client import Client, Place
from holdfast.core.errors import Degraded, Refused
from holdfast.core.merge import IntervalSet
from holdfast.core.topology import Region, Topology, resolve
from holdfast.drills.fuse import PowerDisk
from holdfast.drills.fuse_wire import cannot_mount
from holdfast.drills.load import Record
from holdfast.drills.power import AfterCut, cut_power
from holdfast.drills.power_books import QuietCalls
from holdfast.region.supervisor import Supervisor

REGION = "here"
ENOUGH = 200
WAIT_S = 60.0

pytestmark = pytest.mark.skipif(bool(cannot_mount()), reason=f"no power cut can be made here: {cannot_mount()}")


async def acknowledged_then_cut(
    root: Path, names: str, torn: int | None, wait_s: float = WAIT_S
) -> tuple[Record, IntervalSet, int]:
    """Write until ENOUGH is acknowledged, cut, start again. → what was promised, what is held, bytes the cut took."""
    home = Home(root)
    top = resolve(Topology(regions=[Region(name=REGION, jurisdiction="US")]), system.free_base("127.0.0.1", 60))
    record = Record()
    async with AsyncExitStack() as stack:
        disk = await stack.enter_async_context(PowerDisk(home.region(REGION), names))
        s = await stack.enter_async_context(Supervisor(home, top, roles=("log", "keeper", "node")))
        calls = QuietCalls()
        stack.push_async_callback(calls.aclose)
        await s.start()
        places = [Place(REGION, "US", top.regions[0].url)]
        client = await stack.enter_async_context(Client(places, "US", calls=calls, tell=record.hear))
        async with asyncio.timeout(WAIT_S):
            while len(record.acknowledged) < ENOUGH:
                client.view("an-item", dwell_ms=1000, duration_ms=6000)
                await asyncio.sleep(0.005)
        calls.quiet = True
        cut = await cut_power(s, {REGION: disk}, torn)
        await s.restore(REGION)
        await s.ready()
        held = IntervalSet()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while any(n not in held for first, last in record.acknowledged.pairs() for n in range(first, last + 1)):
                    with suppress(Degraded, Refused):
                        held = IntervalSet()
                        for first, last in await client.held(REGION):
                            held.starts.append(first)
                            held.ends.append(last)
                    await asyncio.sleep(0.1)
        return record, held, cut[REGION].lost_bytes


def test_what_could_not_be_counted_is_not_called_kept() -> None:
    assert AfterCut(torn=None).wrong() and not AfterCut(torn=None, counted=True).wrong()
    assert AfterCut(torn=None, counted=True, blocks_lost=1).wrong()


HOW = [("fsynced", None), pytest.param("eager", 3, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("names", "torn"), HOW)
def test_what_was_acknowledged_outlives_the_power(tmp_path: Path, names: str, torn: int | None) -> None:
    record, held, lost_bytes = asyncio.run(acknowledged_then_cut(tmp_path, names, torn))
    promised = [n for first, last in record.acknowledged.pairs() for n in range(first, last + 1)]
    assert len(promised) >= ENOUGH
    assert [n for n in promised if n not in held] == []
    assert lost_bytes > 0, "the cut took nothing: it was none"


@pytest.mark.slow
def test_a_log_that_acknowledges_before_it_fsyncs_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JetStream's default: fsync every two minutes. Were the setting lost, the drill must see it."""
    render = natsconf.render
    weaker = lambda *args: render(*args).replace("sync_interval: always", 'sync_interval: "2m"')  # noqa: E731
    monkeypatch.setattr(natsconf, "render", weaker)
    record, held, _ = asyncio.run(acknowledged_then_cut(tmp_path, "fsynced", None, wait_s=15.0))
    promised = [n for first, last in record.acknowledged.pairs() for n in range(first, last + 1)]
    assert len([n for n in promised if n not in held]) > ENOUGH / 2
