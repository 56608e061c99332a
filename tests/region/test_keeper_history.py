"""Segments, forks, and damage found while running."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from keeper_world import World, view
from test_keeper_flips import flip, told

from holdfast.adapters.log import LogClient
from holdfast.adapters.log_streams import Streams
from holdfast.adapters.signing import Signer, load_keys, unb64
from holdfast.core.chain import Block, digest_of, seal
from holdfast.core.classes import Class
from holdfast.core.entries import encode
from holdfast.core.log.continuity import Key
from holdfast.region import keeper_held
from holdfast.region.keeper import Keeper
from holdfast.region.keeper_recover import recover
from holdfast.region.keeper_store import Copy, Store
from patience import SLOW

P = Class.PERSONAL


def copy_of(keeper: Keeper, chain: str, epoch: str) -> Copy:
    return keeper.store.copies[Key(chain, epoch)]


async def shows(w: World, region: str, enough: Callable[[set[tuple[str, int]]], bool]) -> None:
    """Wait until what a region shows of its personal chains is enough."""
    end_s = time.monotonic() + 20 * SLOW
    while not enough(seen := set(await w.entries(region, P))):
        assert time.monotonic() < end_s, (region, len(seen), w.said)
        await asyncio.sleep(0.2)


async def fill(client: LogClient, first: int, last: int) -> str:
    """Append entries of about 1 kB each, several in a block; return the epoch."""
    epoch = ""
    for k in range(first, last + 1, 10):
        epoch = (await client.append(P, [view(n, item="x" * 64, device="d" * 60) for n in range(k, k + 10)])).epoch
    return epoch


def test_segments_close_alike_everywhere_and_a_newcomer_reads_through_them(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, tail_bytes=60_000, us_east="US", us_west="US") as w:
            await w.start()
            east = await w.client("us-east")
            epoch = await fill(east, 1, 2000)
            ours, theirs = (copy_of(w.keepers[r][0], "personal/us-east", epoch) for r in ("us-east", "us-west"))
            await w.until(lambda: len(ours.pieces) >= 3 and ours.pieces == theirs.pieces, 15, "closed alike")
            cut = lambda: ours.tail_first == theirs.tail_first == ours.pieces[-1].last + 1  # noqa: E731
            await w.until(cut, 30, "dropped from both streams")
            extent = await Streams(east.wire).extent(ours.key)
            assert extent is not None
            assert extent.first == ours.tail_first
            assert len(await w.entries("us-east", P)) >= 2000
            await east.close()
            await w.kill_keeper("us-east")  # an empty disk: everything comes back through the pieces of the peer
            w.kill_nats("us-east")
            w.wipe("us-east")
            w.start_nats("us-east")
            keeper = await w.start_keeper("us-east")
            held = lambda: keeper.store.held(P).get("personal/us-east", {}).get(epoch, 0)  # noqa: E731
            await w.until(lambda: held() == theirs.end.n, 20, "restored")
            again = copy_of(keeper, "personal/us-east", epoch)
            assert len(await w.entries("us-east", P)) >= 2000
            piece = theirs.pieces[1]  # damage to a closed piece, found by reading, mended from the peer
            flip(w.keepers["us-west"][0].store.files.path(P, piece.sha))
            w.keepers["us-west"][0].store.files.forget()
            theirs.ring.clear()
            assert len(await w.entries("us-west", P)) < 2000
            await w.until(lambda: theirs.missing == [] and len(theirs.pieces) > 0, 20, "mended")
            await shows(w, "us-west", lambda seen: len(seen) >= 2000)
            assert again.end == theirs.end

    asyncio.run(run())


def test_two_blocks_with_one_number_are_both_kept_and_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US") as w:
            await w.start("us-west")
            w.start_nats("us-east")
            west = w.keepers["us-west"][0]
            await w.start_keeper("us-east")
            east = await w.client("us-east")
            a = [await east.append(P, [view(k)]) for k in (1, 2, 3)][-1]
            await w.until(lambda: west.store.held(P).get(a.chain, {}).get(a.epoch) == 3, 30, "carried")
            # A rogue with us-east's key rewrites its chain from block 3 on while its keeper is away.
            await w.stop_keeper("us-east")
            key, streams = Key(a.chain, a.epoch), Streams(east.wire)
            rows = await streams.read(key, 1, 3)
            sign = Signer(unb64(load_keys(w.home, "us-east").block_seed)).sign
            await streams.delete(key)
            await streams.create(key)
            prev, messages = b"", [rows[0][1], rows[1][1]]
            for n in (3, 4, 5):
                prev = digest_of(messages[-1])
                entry = msgspec.Raw(encode(view(n, device="v-rogue")))
                messages.append(seal(Block(a.chain, a.epoch, n, prev, time.time_ns() // 1000, [entry]), sign))
            for n, message in enumerate(messages, 1):
                assert (await streams.publish(key, n, message, digest_of(message).hex())).stored
            (w.home.region("us-east") / "held.json").unlink()
            (w.home.region("us-east") / "held.prev.json").unlink(missing_ok=True)
            keeper = await w.start_keeper("us-east")
            await w.until(lambda: any("-" in k.epoch for k in west.store.copies), 10, "the branch is kept at us-west")
            b = await east.append(P, [view(50)])
            assert b.epoch != a.epoch, "writing goes on in a new epoch"
            wanted = {("v-test", k) for k in (1, 2, 3, 50)} | {("v-rogue", k) for k in (3, 4, 5)}
            for region in ("us-west", "us-east"):
                await shows(w, region, wanted.issubset)
            await told(w, "us-west", "equivocation")
            assert keeper.ready.is_set()
            await east.close()

    asyncio.run(run())


def test_damage_in_a_running_region_is_found_by_the_scrubber(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US") as w:
            await w.start()
            east = await w.client("us-east")
            epoch = await fill(east, 1, 400)
            keeper = w.keepers["us-east"][0]
            copy, west = copy_of(keeper, "personal/us-east", epoch), w.keepers["us-west"][0]
            await w.until(lambda: west.store.held(P).get("personal/us-east", {}).get(epoch) == copy.end.n, 30, "held")
            copy.ring.clear()
            (block,) = (w.home.region("us-east") / "nats").rglob(f"*personal_us-east_{epoch}/msgs/1.blk")
            flip(block)
            await w.until(lambda: copy.tail_first > 1 and not copy.missing, 25, "found and mended")
            assert len(await w.entries("us-east", P)) == 400
            assert (await east.append(P, [view(1)])).epoch == epoch
            await told(w, "us-east", "damage")
            await east.close()

    asyncio.run(run())


def test_a_recovery_that_is_cut_short_forgets_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, tail_bytes=60_000, eu_west="EU") as w:
            await w.start()
            eu = await w.client("eu-west")
            for cls in Class:
                for k in range(1, 801, 10):
                    await eu.append(cls, [view(n, item="x" * 64, device="d" * 60) for n in range(k, k + 10)])
            keeper = w.keepers["eu-west"][0]
            await w.until(lambda: sum(bool(c.pieces) for c in keeper.store.copies.values()) == 3, 10, "segments")
            await w.recorded("eu-west")
            await w.stop_keeper("eu-west")
            path = w.home.region("eu-west") / "held.json"
            streams = Streams(eu.wire)
            for key in await streams.names():
                await streams.delete(key)  # every tail is gone: recovery has to begin each stream anew
            before = keeper_held.load(path)
            assert before is not None
            pieces = {(c, e): h.pieces for c, es in before.chains.items() for e, h in es.items()}
            verifiers = keeper.intake._verifiers
            for cut in (1, 2):  # recovery dies after one chain, then after two
                store = Store(streams, path.parent, time.monotonic)
                work = asyncio.create_task(recover(store, keeper_held.load(path), verifiers, keeper.salvage))
                await w.until(lambda cut=cut, store=store: restarted(store) >= cut, 10, "a stream begun anew", work)
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                after = keeper_held.load(path)
                assert after is not None
                assert {(c, e): h.pieces for c, es in after.chains.items() for e, h in es.items()} == pieces
            await w.start_keeper("eu-west")
            await w.until(lambda: not any(c.missing for c in w.keepers["eu-west"][0].store.copies.values()), 10, "said")
            for cls in Class:
                kept = sum(p.last for p in pieces[next(k for k in pieces if k[0].startswith(cls))][-1:])
                assert len(await w.entries("eu-west", cls)) >= 10 * (kept - 5)
            await eu.close()

    asyncio.run(run())


def restarted(store: Store) -> int:
    """How many copies' streams recovery has begun anew so far."""
    return sum(c.tail_first == c.end.n + 1 and c.end.n > 0 for c in store.copies.values())
