"""What callers of the log are told: refusals, overload, a log server that goes away and comes back."""

import asyncio
import sys
import time
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "region"))
from keeper_world import World, view

from holdfast.adapters.log import pass_lost
from holdfast.adapters.log_wire import Silent
from holdfast.core.asks import BlobPart, Failed, Have, decode_answer
from holdfast.core.chain import BLOCK_BYTES_MAX
from holdfast.core.classes import Class
from holdfast.core.errors import Degraded, Refused
from patience import SLOW

P = Class.PERSONAL


def test_what_is_not_a_list_of_entries_is_refused_and_nothing_of_it_kept(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, eu_west="EU") as w:
            await w.start()
            client = await w.client("eu-west")
            packed = msgspec.msgpack.encode
            for bad in (b"", b"\xff", packed({"kind": "view"}), packed([]), packed([view(1)])[:-3], packed("x")):
                with pytest.raises(Refused):
                    await client.append(P, bad)
            with pytest.raises(Refused, match="bytes"):
                await client.append(P, packed([b"x" * BLOCK_BYTES_MAX]))
            with pytest.raises(Refused):
                await client.ask(P, BlobPart(sha="../../etc/passwd"))
            answer = decode_answer(await client.wire.request("hf.ask.personal.local", b"\x00", 2))
            assert isinstance(answer, Failed)
            answer = decode_answer(await client.wire.request("hf.append.secrets", b"\x90", 2))
            assert isinstance(answer, Failed)
            acked = await client.append(P, [view(1)])
            assert acked.n == 1, "no block was made of any of it"
            await client.close()

    asyncio.run(run())


def test_many_small_appends_share_blocks(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, eu_west="EU") as w:
            await w.start()
            client = await w.client("eu-west")
            acks = await asyncio.gather(*(client.append(P, [view(k)]) for k in range(1, 501)))
            assert max(a.n for a in acks) <= 100, "group commit: one fsync for many"
            assert len(await w.entries("eu-west", P)) == 500
            await client.close()

    asyncio.run(run())


def test_a_dead_log_server_is_said_at_once_and_found_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, eu_west="EU") as w:
            await w.start()
            client = await w.client("eu-west")
            await client.append(P, [view(1)])
            w.kill_nats("eu-west")
            began = time.monotonic()
            with pytest.raises(Degraded):
                await client.append(P, [view(2)], timeout_s=1.0)
            assert time.monotonic() - began < 5.0 * SLOW
            with pytest.raises(Silent):
                await client.heads(P)
            w.start_nats("eu-west")
            acked = None
            while acked is None and time.monotonic() - began < 15 * SLOW:
                try:
                    acked = await client.append(P, [view(2)], timeout_s=1.0)
                except Degraded:
                    await asyncio.sleep(0.1)
            assert acked is not None
            await client.close()

    asyncio.run(run())


def test_a_follower_outlives_keeper_and_log_server_and_misses_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, eu_west="EU", us_east="US") as w:
            await w.start("eu-west")
            reader, writer = await w.client("eu-west"), await w.client("eu-west")
            got: list[tuple[str, str, int]] = []

            async def follow() -> None:
                async for news in reader.follow_all(tuple(Class), wait_ms=500):
                    for batch in news.batches:
                        got.extend((batch.chain, batch.epoch, b.n) for b in batch.blocks)

            following = asyncio.create_task(follow())
            acked = []
            for fault in (None, "keeper", "log", None):
                if fault == "keeper":
                    await w.kill_keeper("eu-west")
                    await w.start_keeper("eu-west")
                elif fault == "log":
                    w.kill_nats("eu-west")
                    w.start_nats("eu-west")
                for k in range(10):
                    while True:
                        try:
                            a = await writer.append(P, [view(k + 1)], timeout_s=1)
                            break
                        except Degraded:
                            await asyncio.sleep(0.1)
                    acked.append((a.chain, a.epoch, a.n))
            await w.until(lambda: set(acked) <= set(got), 10, "followed")
            assert len(got) == len(set(got)), "each block once"
            for chain, epoch in {(c, e) for c, e, _ in got}:
                numbers = [n for c, e, n in got if (c, e) == (chain, epoch)]
                assert numbers == list(range(1, len(numbers) + 1)), "in order, without a gap"
            assert not following.done()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await reader.close()
            await writer.close()

    asyncio.run(run())


def test_an_end_that_is_lost_does_not_hold_a_follower_up() -> None:
    """No later block of that epoch will ever come to carry it over; a node would read its log for ever."""
    have = {"c": {"torn": 297, "whole": 5, "behind": 100}}
    pass_lost(have, {"c": {"torn": [(298, 615)], "behind": [(298, 615)], "gone": [(1, 9)]}, "d": {"gone": [(1, 3)]}})
    assert have == {"c": {"torn": 615, "whole": 5, "behind": 100, "gone": 9}, "d": {"gone": 3}}


def test_a_follower_reaches_the_end_of_an_epoch_that_lost_its_last_blocks(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, eu_west="EU") as w:
            await w.start()
            client = await w.client("eu-west")
            for k in range(1, 31):
                acked = await client.append(P, [view(k)])
            await client.close()
            await w.recorded("eu-west")
            await w.kill_keeper("eu-west")
            w.nats["eu-west"].kill()
            w.nats["eu-west"].wait()
            (blocks,) = (w.home.region("eu-west") / "nats").rglob(f"HF_personal_*_{acked.epoch}/msgs/*.blk")
            with blocks.open("r+b") as file:
                file.truncate(blocks.stat().st_size // 2)
            w.start_nats("eu-west")
            await w.start_keeper("eu-west")
            client = await w.client("eu-west")
            have: Have = {}
            async with asyncio.timeout(20 * SLOW):
                async for news in client.follow_class(P, have, wait_ms=200):
                    if have.get(acked.chain, {}).get(acked.epoch, 0) >= acked.n:
                        assert news.lost[acked.chain][acked.epoch][-1][1] == acked.n, "the end was to be lost"
                        break
            await client.close()

    asyncio.run(run())
