"""A region that nobody can mend saves itself: whatever happens to its log server's files, all but the damaged blocks
come back, and those are named. The oracle is plain: a block is damaged if its bytes are nowhere in the files any more.
"""

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from keeper_world import World, view

from holdfast.adapters.home import Home
from holdfast.adapters.log import LogClient
from holdfast.adapters.log_files import set_aside
from holdfast.adapters.log_streams import stream_name
from holdfast.adapters.system import free_base
from holdfast.core.chain import unseal
from holdfast.core.classes import Class
from holdfast.core.errors import Degraded
from holdfast.core.log.continuity import Key, Link, check_next
from holdfast.core.log.ranges import normal
from holdfast.core.topology import Region, Topology, resolve
from holdfast.region.keeper_salvage import Salvage
from holdfast.region.keeper_store import Copy
from holdfast.region.supervisor import Supervisor

P = Class.PERSONAL
EU = "eu-west"
Messages = dict[int, bytes]
T = TypeVar("T")


def folder(w: World, key: Key) -> Path:
    """Where the log server keeps the stream of an epoch."""
    return next((w.home.region(EU) / "nats").rglob(stream_name(key)))


def flip(path: Path, where: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[int(len(data) * where)] ^= 0x10
        path.write_bytes(data)


Damage = Callable[[Path, Messages], None]  # (folder of the stream, its blocks as they were)


def each(pattern: str, do: Callable[[Path], None]) -> Damage:
    def damage(folder: Path, _before: Messages) -> None:
        found = [p for p in sorted(folder.rglob(pattern)) if p.is_file()]
        assert found or pattern == "index.db", pattern
        for path in found:
            do(path)

    return damage


def cut_short(path: Path) -> None:
    with path.open("r+b") as f:
        f.truncate(path.stat().st_size * 2 // 3)


def beside(*places: tuple[int, int]) -> Damage:
    """Flip a bit so many bytes after the beginning of a block (number, bytes)."""

    def damage(folder: Path, before: Messages) -> None:
        blk = folder / "msgs" / "1.blk"
        data = bytearray(blk.read_bytes())
        for n, offset in places:
            data[data.index(before[n]) + offset] ^= 0x10
        blk.write_bytes(data)

    return damage


DAMAGES: dict[str, Damage] = {
    "a flipped metafile": each("meta.inf", flip),
    "a flipped checksum of the metafile": each("meta.sum", flip),
    "a flipped index": each("index.db", flip),
    "a flip in a block": beside((12, 100)),
    "a flip in a signature, in a first block and in a last": beside((12, 7), (1, 0), (24, 70)),
    "a flip in what the server writes around a block": beside((12, -10)),
    "a file cut short": each("*.blk", cut_short),
    "a flip everywhere": each("*", flip),
    "an absent metafile": each("meta.inf", Path.unlink),
    "a stream that is gone, found in a store set aside": beside((7, 90)),
}


async def write(w: World, count: int, device: str = "v-test") -> Key:
    """Append blocks of one entry each."""
    client = await w.client(EU)
    acked = [await client.append(P, [view(k, device=device)]) for k in range(1, count + 1)]
    await client.close()
    return Key(acked[-1].chain, acked[-1].epoch)


async def messages(w: World, key: Key) -> Messages:
    """Every block of an epoch that can be had, checked: genuine, and each continues the one before it."""
    client, out = await w.client(EU), Messages()
    head = next(h for h in (await client.heads(P)).chains[key.chain] if h.epoch == key.epoch)
    n = 1
    while n <= head.last:
        runs = (await client.range(P, key.chain, key.epoch, n, head.last)).runs
        got = {run.first + i: m for run in runs for i, m in enumerate(run.messages)}
        out |= got
        n = max([n, *got]) + 1
    await client.close()
    verify = w.keepers[EU][0].intake._verifiers[EU]
    for n, message in out.items():
        before = out.get(n - 1)
        link = Link(n - 1, check_next(key, Link(n - 2, b""), before, None)[1].digest if before else b"")
        check_next(key, link if n > 1 else Link(0, bytes(32)), message, verify)
    return out


def intact(w: World, before: Messages) -> set[int]:
    """The blocks whose bytes still lie somewhere in the files."""
    region = w.home.region(EU)
    data = [p.read_bytes() for place in [region / "nats", *set_aside(region)] for p in place.rglob("*.blk")]
    return {n for n, message in before.items() if any(message in d for d in data)}


async def kill(w: World) -> None:
    await w.recorded(EU)
    await w.kill_keeper(EU)
    w.kill_nats(EU)


async def start(w: World) -> None:
    w.start_nats(EU)
    await w.start_keeper(EU)


async def wounded(w: World, count: int) -> tuple[Key, Messages, set[int]]:
    """A region that is down, with a flipped bit in block 9: its epoch, the blocks as they were, the numbers damaged."""
    await start(w)
    key = await write(w, count)
    before = await messages(w, key)
    await kill(w)
    beside((9, 80))(folder(w, key), before)
    return key, before, before.keys() - intact(w, before)


async def whole_but(w: World, key: Key, before: Messages, damaged: set[int], what: str) -> None:
    """Wait until nothing is open, then: all but `damaged` is held as it was, and exactly those are named as lost."""
    keeper = w.keepers[EU][0]
    copy = keeper.store.copies[key]
    await w.until(lambda: not copy.missing, 20, f"{what}: nothing is open", w.keepers[EU][2])
    assert copy.lost == normal((n, n) for n in damaged), (what, copy.lost, sorted(damaged), w.said)
    assert await messages(w, key) == {n: m for n, m in before.items() if n not in damaged}, what
    client = await w.client(EU)
    head = next(h for h in (await client.heads(P)).chains[key.chain] if h.epoch == key.epoch)
    assert (head.last, head.missing, head.lost) == (max(before), [], copy.lost), what
    await client.close()


@pytest.mark.parametrize("what", list(DAMAGES))
def test_all_but_the_damaged_blocks_come_back(tmp_path: Path, what: str) -> None:
    async def run() -> None:
        async with World(tmp_path, eu_west="EU") as w:
            await start(w)
            key = await write(w, 24)
            before = await messages(w, key)
            await kill(w)
            DAMAGES[what](folder(w, key), before)
            if "set aside" in what:
                store = w.home.region(EU) / "nats"
                store.rename(store.with_name("nats.damaged-1"))
            damaged = before.keys() - intact(w, before)
            await start(w)
            await whole_but(w, key, before, set(damaged), what)
            sizes = {"a flip in a block": 1, "a flip in a signature, in a first block and in a last": 3, "gone": 1}
            if "short" in what or "everywhere" in what:
                assert len(damaged) < 10
            else:
                assert len(damaged) == sizes.get(what, sizes["gone"] if "gone" in what else 0)
            assert not set_aside(w.home.region(EU)), "nothing lies about once it is done"
            assert len(list(w.home.region(EU).glob("nats.salvaged-*"))) == ("set aside" in what)
            again = await write(w, 3, "v-later")
            assert len(await messages(w, again)) == 3

    asyncio.run(run())


def test_blocks_that_no_record_knows_come_back_too(tmp_path: Path) -> None:
    """Both generations of the record are gone, a metafile hides the stream; a damaged block in the middle is named."""

    async def run() -> None:
        async with World(tmp_path, eu_west="EU") as w:
            key, before, damaged = await wounded(w, 20)
            flip(folder(w, key) / "meta.inf")
            for path in w.home.region(EU).glob("held*.json"):
                path.unlink()
            await start(w)
            await whole_but(w, key, before, damaged, "no record")
            copy = w.keepers[EU][0].store.copies[key]
            assert copy.end.digest and copy.opened == unseal(before[1]).hlc
            assert await write(w, 1, "v-later") != key

    asyncio.run(run())


def test_a_crash_at_any_moment_of_salvage_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the first block is put back, and after one, two, … more of them; the log server too, in between."""
    put_back, stop_after = Salvage.put_back, [0]

    async def run() -> None:
        reached = asyncio.Event()

        async def stops(salvage: Salvage, copy: Copy, rows: dict[int, bytes]) -> None:
            await put_back(salvage, copy, dict(sorted(rows.items())[: stop_after[0]]))
            reached.set()
            await asyncio.Event().wait()  # here the power goes

        async with World(tmp_path, eu_west="EU") as w:
            key, before, damaged = await wounded(w, 24)
            blk = folder(w, key) / "msgs" / "1.blk"
            w.start_nats(EU)
            monkeypatch.setattr(Salvage, "put_back", stops)
            for put in range(6):
                stop_after[0] = put
                keeper = await w.start_keeper(EU, ready=False)
                await w.until(reached.is_set, 60, f"{put} blocks are put back")
                assert keeper.store.copies[key].missing, "the rest lies only in the copies"
                assert put or not blk.exists(), "the stream begins anew: nothing is left in the server's files"
                await w.kill_keeper(EU)
                reached.clear()
                if put % 2:
                    w.kill_nats(EU)
                    w.start_nats(EU)
            monkeypatch.setattr(Salvage, "put_back", put_back)
            await w.start_keeper(EU)
            await whole_but(w, key, before, damaged, "crashes")

    asyncio.run(run())


def test_a_log_server_that_dies_under_a_living_keeper_is_salvaged_as_well(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, eu_west="EU") as w:
            await start(w)
            key = await write(w, 24)
            before = await messages(w, key)
            w.kill_nats(EU)
            beside((9, 80))(folder(w, key), before)
            damaged = before.keys() - intact(w, before)
            w.start_nats(EU)
            keeper = w.keepers[EU][0]
            copy = keeper.store.copies[key]
            copy.ring.clear()  # what is in memory would be served all the same
            await w.until(lambda: bool(copy.lost), 60, "the scrubber found it", w.keepers[EU][2])
            await whole_but(w, key, before, set(damaged), "alive")
            region = w.home.region(EU)
            await w.until(lambda: not set_aside(region), 60, "a sound round puts the copies away")

    asyncio.run(run())


def test_under_the_supervisor_a_region_without_peers_is_whole_again_but_for_the_bit(tmp_path: Path) -> None:
    async def run() -> None:
        alone = Topology(regions=[Region(name=EU, jurisdiction="EU")], rtt_ms=0)
        home = Home(tmp_path)
        async with Supervisor(home, resolve(alone, free_base("127.0.0.1", 60)), roles=("log", "keeper")) as s:
            await s.start()
            client = await LogClient.open(home, EU)
            for k in range(1, 25):
                acked = await patient(lambda k=k: client.append(P, [view(k, item=f"clip-{k:04}")]))
            s.cut(EU, "refuse")
            (blk,) = (p for p in home.region(EU).rglob("HF_personal*/msgs/*.blk") if p.stat().st_size)
            data = bytearray(blk.read_bytes())
            data[data.index(b"clip-0012")] ^= 1
            blk.write_bytes(data)
            await s.restore(EU)
            while True:
                heads = (await patient(lambda: client.heads(P))).chains["personal/eu-west"]
                head = next(h for h in heads if h.epoch == acked.epoch)
                if head.lost and not head.missing:
                    break
                await asyncio.sleep(0.1)
            assert (head.last, head.lost) == (24, [(12, 12)])
            await client.close()

    asyncio.run(asyncio.wait_for(run(), 240))


def test_an_epoch_with_traces_of_more_at_its_end_is_not_continued(tmp_path: Path) -> None:
    """Its damaged last block was acknowledged: its number must not be given to another, even if all peers agree."""

    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US") as w:
            await w.start()
            east = await w.client("us-east")
            first = await east.append(P, [view(1)])
            west = w.keepers["us-west"][0].store
            await w.until(lambda: west.held(P).get(first.chain, {}).get(first.epoch) == 1, 20, "carried")
            await w.stop_keeper("us-west")
            record = w.home.region("us-east") / "held.json"
            await w.recorded("us-east")
            before = record.read_bytes()
            last = await east.append(P, [view(2)])
            assert (last.epoch, last.n) == (first.epoch, 2)
            await east.close()
            await w.kill_keeper("us-east")
            w.kill_nats("us-east")
            record.write_bytes(before)  # as if power had gone before the record of block 2
            key = Key(last.chain, last.epoch)
            blk = next((w.home.region("us-east") / "nats").rglob(f"{stream_name(key)}/msgs/1.blk"))
            data = bytearray(blk.read_bytes())
            data[-30] ^= 0x10
            blk.write_bytes(data)
            w.start_nats("us-east")
            await asyncio.gather(w.start_keeper("us-east"), w.start_keeper("us-west"))
            east = await w.client("us-east")
            again = await east.append(P, [view(2)])
            assert again.epoch != first.epoch
            assert {("v-test", 1), ("v-test", 2)} <= (await w.entries("us-east", P)).keys()
            await east.close()

    asyncio.run(run())


async def patient(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer; the test's deadline is the bound."""
    while True:
        try:
            return await ask()
        except Degraded:
            await asyncio.sleep(0.1)


def test_what_the_region_never_signed_does_not_enter(tmp_path: Path) -> None:
    """A forger writes a whole chain into the files, and a genuine block over another's number."""

    async def run() -> None:
        async with World(tmp_path, eu_west="EU") as w:
            key, before, (bad,) = await wounded(w, 12)
            blk = folder(w, key) / "msgs" / "1.blk"
            forged = [m[:1] + bytes(64) + m[65:].replace(b"clip", b"evil") for m in before.values()]
            further = [m[:65] + m[65:].replace(bytes([0xAC]) + key.epoch.encode() + bytes([n]),
                                               bytes([0xAC]) + key.epoch.encode() + bytes([n + 40]))
                       for n, m in before.items()]  # fmt: skip
            assert all(unseal(m).n > 40 for m in further)
            blk.write_bytes(b"".join(forged) + blk.read_bytes() + b"".join(further))
            region = w.home.region(EU)
            shutil.copytree(region / "nats", region / "nats.damaged-7")
            await start(w)
            await whole_but(w, key, before, {bad}, "forged")
            copies = w.keepers[EU][0].store.copies.values()
            assert {c.key for c in copies if c.end.n and c.cls is P} == {key}

    asyncio.run(run())


@pytest.mark.slow
def test_a_hundred_stores_with_random_flips(tmp_path: Path) -> None:
    """Killed, 1–40 bits turned over anywhere in the store, started: never stuck, never other bytes, all others back."""

    async def round_(w: World, seed: int) -> int:
        chance = random.Random(seed)
        key = await write(w, chance.randrange(5, 40), f"v-{seed}")
        before = await messages(w, key)
        await kill(w)
        store = w.home.region(EU) / "nats"
        files = [p for p in sorted(store.rglob("*")) if p.is_file() and p.stat().st_size]
        for _ in range(chance.choice([1, 2, 5, 40])):
            path = chance.choice(files)
            flip(path, chance.random())
        if chance.random() < 0.3:
            cut_short(max((folder(w, key) / "msgs").glob("*.blk")))
        damaged = before.keys() - intact(w, before)
        w.start_nats(EU)
        await asyncio.sleep(0.3)
        if w.nats[EU].poll() is not None:  # it cannot read its store: what the supervisor does then
            store.rename(store.with_name(f"nats.damaged-{seed:06d}"))
            w.start_nats(EU)
        await w.start_keeper(EU)
        await whole_but(w, key, before, set(damaged), f"seed {seed}")
        return len(damaged)

    async def run() -> None:
        lost = 0
        for ten in range(10):
            async with World(tmp_path / str(ten), eu_west="EU") as w:
                await start(w)
                for seed in range(10 * ten, 10 * ten + 10):
                    lost += await round_(w, seed)
        print(f"{lost} blocks damaged in all")
        assert lost > 20

    asyncio.run(run())
