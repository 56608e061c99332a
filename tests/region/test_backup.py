"""A region backed up while it runs, its directory lost, restored from the files: everything is there again."""

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from holdfast.adapters import apikeys, system
from holdfast.adapters.home import Home
from holdfast.adapters.signing import Signer, make_keys
from holdfast.client import Calls, Client, Place
from holdfast.core.errors import Degraded, Refused
from holdfast.core.topology import Region, Topology, resolve
from holdfast.drills.load import put_items
from holdfast.region.backup import backup, restore
from holdfast.region.supervisor import Supervisor
from patience import SLOW, comes

TOP = Topology(rtt_ms=0, regions=[Region(name="eu-west", jurisdiction="EU")])
ROLES = ("log", "keeper", "node")
PHONE = Signer(b"a phone that outlives its region")  # 32 bytes


async def flushed(viewer: Client) -> None:
    await comes(lambda: not viewer.outbox.waits(), 20, "the region acknowledges")


async def fill(home: Home, top: Topology, to: Path) -> list[tuple[int, int]]:
    async with Supervisor(home, top, roles=ROLES) as s, Calls() as calls:
        await s.start()
        key = apikeys.make(home, "songs", ("items",))
        await asyncio.sleep(apikeys.RELOAD_S + 0.1)
        places = [Place(r.name, r.jurisdiction, r.url) for r in top.regions]
        await put_items(places, "EU", key, 50, calls)
        async with Client(places, "EU", calls=calls, device=PHONE) as viewer:
            for k in range(120):
                viewer.view(f"drill-{k % 50}", dwell_ms=1000, duration_ms=6000)
                await asyncio.sleep(0.01)
            await flushed(viewer)
            figures = await asyncio.to_thread(backup, home, "eu-west", to)
            assert figures["blocks"] > 10
            with pytest.raises(Refused, match="not empty"):
                await asyncio.to_thread(backup, home, "eu-west", to)
            with pytest.raises(Refused, match="running"):
                await asyncio.to_thread(restore, home, "eu-west", to)
            return await viewer.held("eu-west")


async def look(home: Home, top: Topology, wanted: list[tuple[int, int]]) -> None:
    async with Supervisor(home, top, roles=ROLES) as s, Calls() as calls:
        await s.start()
        places = [Place(r.name, r.jurisdiction, r.url) for r in top.regions]
        async with Client(places, "EU", calls=calls, device=PHONE) as viewer:
            end_s = time.monotonic() + 20 * SLOW
            while (held := await viewer.held("eu-west")) != wanted:
                assert time.monotonic() < end_s, held
                await asyncio.sleep(0.2)
            slate = await viewer.feed(10)
            assert len(slate.items) == 10
            viewer.view(slate.items[0].item, dwell_ms=1, duration_ms=6000)  # and it takes new entries
            await flushed(viewer)


def test_a_region_comes_back_from_its_backup(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    top = resolve(TOP, system.free_base("127.0.0.1", 60))
    to = tmp_path / "backup"
    held = asyncio.run(fill(home, top, to))
    assert sum(last - first + 1 for first, last in held) == 120

    with pytest.raises(Refused, match="not empty"):
        restore(home, "eu-west", to)
    shutil.rmtree(home.region("eu-west"))
    victim = next(p for p in to.rglob("*/??/*") if p.is_file())
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(Refused, match="damaged"):
        restore(home, "eu-west", to)
    assert not home.region("eu-west").exists(), "nothing is half restored"
    victim.write_bytes(whole)

    assert restore(home, "eu-west", to)["blocks"] > 10
    asyncio.run(look(home, top, held))


def test_a_region_that_does_not_run_cannot_be_backed_up(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    top = resolve(TOP, system.free_base("127.0.0.1", 60))
    home.save(top)
    make_keys(home, top)
    with pytest.raises(Degraded, match="does not run"):
        backup(home, "eu-west", tmp_path / "b")
    with pytest.raises(Refused, match="not a backup"):
        restore(home, "eu-west", tmp_path / "nothing")
