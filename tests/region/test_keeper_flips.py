"""One flipped bit in each file of a stopped region's log server: found, mended from peers, or named as lost."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from keeper_world import World, view

from holdfast.core import entries
from holdfast.core.classes import Class
from holdfast.core.entries import Incident
from patience import SLOW

P = Class.PERSONAL
EVERY = ("*.blk", "meta.inf", "meta.sum", "index.db", "*")


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def flip_all(world: World, region: str, pattern: str) -> int:
    """Flip a bit in each file of the region's log server that matches; return how many there were."""
    found = (p for p in sorted((world.home.region(region) / "nats").rglob(pattern)) if p.is_file())
    files = [p for p in found if p.stat().st_size]
    for path in files:
        flip(path)
    return len(files)


async def down(w: World, region: str, orderly: bool) -> None:
    await w.carried(region)
    await w.recorded(region)
    await (w.stop_keeper if orderly else w.kill_keeper)(region)
    w.nats[region].terminate() if orderly else w.nats[region].kill()
    w.nats[region].wait()


async def up(w: World, region: str) -> None:
    w.start_nats(region)
    await asyncio.sleep(0.5)
    assert w.nats[region].poll() is None, (w.home.root / f"{region}.nats.log").read_text()[-2000:]
    await w.start_keeper(region)


async def incidents(w: World, region: str) -> list[Incident]:
    client = await w.client(region)
    out: list[Incident] = []
    async for news in client.follow_class(Class.PUBLIC, {}, wait_ms=200):
        for batch in news.batches:
            for block in batch.blocks:
                out += [e for raw in block.entries if isinstance(e := entries.decode(raw), Incident)]
        if not news.batches:
            break
    await client.close()
    return out


async def told(w: World, region: str, *what: str) -> None:
    """Wait until all of `what` was told as incidents in the public chains that a region follows."""
    end_s = time.monotonic() + 20 * SLOW
    while not set(what) <= (said := {i.what for i in await incidents(w, region)}):
        assert time.monotonic() < end_s, said
        await asyncio.sleep(0.1)


async def back(w: World, region: str, before: dict[Class, set[tuple[str, int]]], why: str) -> None:
    """Wait until a region shows again what it showed `before`."""
    store, end_s = w.keepers[region][0].store, time.monotonic() + 20 * SLOW
    while any(missing := {c: seen - (await w.entries(region, c)).keys() for c, seen in before.items()}.values()):
        state = [(c.key, c.end.n, c.missing, c.lost) for c in store.copies.values()]
        assert time.monotonic() < end_s, (why, missing, state, w.said, store.suspects)
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("orderly", [True, False], ids=["stopped", "killed"])
def test_flips_in_each_kind_of_file_are_mended_from_peers(tmp_path: Path, orderly: bool) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US", eu_west="EU") as w:
            await w.start()
            west = await w.client("us-west")
            for k in range(1, 21):
                await west.append(P, [view(k, device="v-west")])
            flipped = 0
            for round_, pattern in enumerate(EVERY if orderly else ("*.blk", "*")):
                east = await w.client("us-east")
                for k in range(100 * round_, 100 * round_ + 20):
                    for cls in Class:
                        await east.append(cls, [view(k + 1, item="x" * 60)])
                await east.close()
                before = {cls: set(await w.entries("us-east", cls)) for cls in Class}
                await down(w, "us-east", orderly)
                flipped += flip_all(w, "us-east", pattern)
                await up(w, "us-east")
                await back(w, "us-east", before, pattern)
            assert flipped > 15
            copies = w.keepers["us-east"][0].store.copies.values()
            await w.until(lambda: not any(c.missing for c in copies), 20, "nothing is open")
            assert not [c.key for c in copies if c.lost]
            await told(w, "us-west", "damage", "mended")
            await west.close()

    asyncio.run(run())


def test_what_nobody_else_may_hold_is_reported_lost_exactly_and_the_chain_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US", eu_west="EU") as w:
            await w.start()
            eu = await w.client("eu-west")
            for k in range(1, 31):
                a = await eu.append(P, [view(k)])
                await eu.append(Class.PUBLIC, [view(k)])
            await eu.close()
            before = await w.entries("eu-west", P)
            await down(w, "eu-west", orderly=False)
            for path in (w.home.region("eu-west") / "nats").rglob("*.blk"):
                data = bytearray(path.read_bytes())
                if data:
                    data[data.index(b"v-test", len(data) // 2)] ^= 0x10  # inside a block: nobody has another copy of it
                    path.write_bytes(data)
            await up(w, "eu-west")
            keeper = w.keepers["eu-west"][0]
            copy = next(c for k, c in keeper.store.copies.items() if k == ("personal/eu-west", a.epoch))
            await w.until(lambda: not copy.missing and copy.lost, 20, "declared lost")
            eu = await w.client("eu-west")
            after = await w.entries("eu-west", P)
            gone = {int(before[key].rsplit("/", 1)[1]) for key in before.keys() - after.keys()}
            assert gone, "a flip that loses nothing shows nothing"
            named = {n for x, y in copy.lost for n in range(x, y + 1)}
            assert named == gone
            head = next(h for h in (await eu.heads(P)).chains["personal/eu-west"] if h.epoch == a.epoch)
            assert {n for x, y in head.lost for n in range(x, y + 1)} == gone
            await told(w, "us-east", "lost")
            (text,) = [i.text for i in await incidents(w, "us-east") if i.what == "lost"]
            words = re.findall(r"\d+–\d+|\b\d+(?=[,\s])", text.split("blocks ")[1])
            ranges = [tuple(map(int, r.split("–"))) for r in words]
            assert {n for r in ranges for n in range(r[0], r[-1] + 1)} == gone, text
            await eu.append(P, [view(500)])
            assert ("v-test", 500) in await w.entries("eu-west", P)
            await w.until(lambda: not any(c.missing for c in keeper.store.copies.values()), 10, "the rest is mended")
            public = await w.entries("eu-west", Class.PUBLIC)
            assert {("v-test", k) for k in range(1, 31)} <= public.keys(), "public blocks come back from the US"
            await eu.close()

    asyncio.run(run())
