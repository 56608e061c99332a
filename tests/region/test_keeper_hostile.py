"""A peer that lies, forges or asks for too much: it gets a refusal, and our log stays as it is."""

import asyncio
import time
from pathlib import Path

import pytest
from keeper_world import World, view
from msgspec import Raw

from holdfast.adapters.log_streams import Streams
from holdfast.adapters.signing import Signer, load_keys, unb64
from holdfast.core import entries
from holdfast.core.asks import BlobPart, Chunk, Failed, Follow, Range, Run, decode_answer, encode
from holdfast.core.chain import Block, digest_of, seal
from holdfast.core.classes import Class
from holdfast.core.errors import Broken, HoldfastError
from holdfast.core.log.continuity import Key
from holdfast.region.keeper_recover import empty_into_pieces
from holdfast.region.keeper_serve import OPEN_ASKS_PEER_MAX

P = Class.PERSONAL


async def nothing(_key: Key, _first: int, _last: int) -> list[bytes]:
    return []


def test_what_a_peer_offers_makes_no_stream_and_no_epoch_unless_its_origin_sealed_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US") as w:
            w.start_nats("us-west")
            await w.start("us-east")
            east, keeper = await w.client("us-east"), w.keepers["us-east"][0]
            for k in range(1, 4):
                a = await east.append(P, [view(k)])
            rows = await keeper.store.read(keeper.store.copies[Key(a.chain, a.epoch)], 1, 3)
            before, streams = set(keeper.store.copies), await Streams(east.wire).names()
            alike = f"{a.epoch}-{digest_of(rows[1]).hex()[:12]}"  # our own row, offered as another branch of it
            for bad in (
                Run("x", "e", 1, [b"?"]),
                Run("personal/us-west", "e", 1, [b"?"]),
                Run("personal/us-west", "e.>", 1, []),
                Run("personal/us-east", "0123456789ab", 1, [rows[0]]),
                Run(a.chain, a.epoch, a.n + 1, [rows[0]]),
                Run(a.chain, a.epoch, 2, [rows[0]]),
                Run(a.chain, a.epoch + "-000000000000", 1, [rows[0]]),
            ):
                with pytest.raises(HoldfastError):
                    await keeper.intake.take(P, bad, [], nothing)
            assert set(keeper.store.copies) == before
            assert (await Streams(east.wire).names()).keys() == streams.keys()
            await keeper.intake.take(P, Run(a.chain, alike, 2, [rows[1]]), [(1, 1)], nothing)
            b = await east.append(P, [view(9)])
            assert (b.epoch, b.n) == (a.epoch, a.n + 1), "nobody made us leave our epoch"
            await east.close()

    asyncio.run(run())


def test_a_fork_far_behind_large_blocks_is_found(tmp_path: Path) -> None:
    """The peer's answers take 1 MB, the blocks before the fork more."""

    async def run() -> None:
        async with World(tmp_path, us_east="US") as w:
            await w.start("us-east")
            east, keeper = await w.client("us-east"), w.keepers["us-east"][0]
            for k in range(1, 6):
                a = await east.append(P, [view(k)])
            copy = keeper.store.copies[Key(a.chain, a.epoch)]
            rows = await keeper.store.read(copy, 1, 5)
            asked: list[tuple[int, int]] = []

            async def one_by_one(_key: Key, first: int, last: int) -> list[bytes]:
                asked.append((first, last))
                return rows[first - 1 : first]

            other = [b"another block 5"]
            assert await keeper.intake._parting(copy, Run(a.chain, a.epoch, 5, other), one_by_one) == (5, other)
            assert asked == [(1, 4), (2, 4), (3, 4), (4, 4)]
            await east.close()

    asyncio.run(run())


def test_blocks_behind_a_hole_are_kept_when_a_lost_range_is_stepped_over(tmp_path: Path) -> None:
    """The hole touches the tail, and nobody can fill it now: that is no reason to drop what is held behind it."""

    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US") as w:
            w.start_nats("us-west")  # its keeper stays away
            await w.start("us-east")
            keeper, sign = w.keepers["us-east"][0], Signer(unb64(load_keys(w.home, "us-west").block_seed)).sign
            key, rows, before = Key("personal/us-west", "0123456789ab"), dict[int, bytes](), bytes(32)
            for n in range(1, 13):
                raw = Raw(entries.encode([view(n)])[1:])
                rows[n] = seal(Block(key.chain, key.epoch, n, before, time.time_ns() // 1000, [raw]), sign)
                before = digest_of(rows[n])

            async def take(first: int, last: int, lost: list[tuple[int, int]]) -> None:
                run = Run(key.chain, key.epoch, first, [rows[n] for n in range(first, last + 1)])
                await keeper.intake.take(P, run, lost, nothing)

            await take(1, 6, [])
            copy = keeper.store.copies[key]
            async with copy.lock, copy.shape:
                await empty_into_pieces(keeper.store, copy, [(5, 6)], True)
            await take(7, 8, [])
            await take(11, 12, [(9, 10)])
            assert (copy.end.n, copy.missing, copy.lost) == (12, [(5, 6)], [(9, 10)])
            for n in (1, 4, 7, 8, 11, 12):
                assert await keeper.store.read(copy, n, n) == [rows[n]], n

    asyncio.run(run())


def test_greedy_or_malformed_asks_cost_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US") as w:
            await w.start("us-east")
            w.start_nats("us-west")
            east, keeper = await w.client("us-east"), w.keepers["us-east"][0]
            a = await east.append(P, [view(1)])
            keeper.store.copies[Key(a.chain, a.epoch)].ring.clear()
            await east.ask(P, Range(chain=a.chain, epoch=a.epoch, first=1, last=1, max_bytes=0))
            assert not keeper.store.suspects, "a question is no damage"
            for part in (BlobPart(sha="0" * 64, size=-1), BlobPart(sha="0" * 64, offset=2**63)):
                with pytest.raises(HoldfastError):
                    await east.ask(P, part)
            wait = encode(Follow(have={a.chain: {a.epoch: a.n}}, wait_ms=3000))
            peer = [
                asyncio.create_task(keeper.server.answer("hf.ask.personal.us-west", wait, _drop))
                for _ in range(OPEN_ASKS_PEER_MAX)
            ]
            await asyncio.sleep(0.05)
            got: list[bytes] = []
            await keeper.server.answer("hf.ask.personal.us-west", encode(Follow()), got.append)
            assert isinstance(decode_answer(got[0]), Failed)
            assert (await east.heads(P)).chains, "others are answered as ever"
            for task in peer:
                task.cancel()
            await east.close()

    asyncio.run(run())


def _drop(_answer: bytes) -> None:
    """Nobody reads it."""


def test_an_answer_of_another_kind_is_an_error_that_callers_handle(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US") as w:
            w.start_nats("us-east")
            liar, client = await w.client("us-east"), await w.client("us-east")

            async def lie(msg) -> None:
                await msg.respond(encode(Chunk(b"", -1)))

            await liar.nats.subscribe("hf.ask.personal.local", cb=lie)
            await liar.nats.flush()
            with pytest.raises(Broken, match="Chunk"):
                await client.heads(P)
            with pytest.raises(Broken, match="Chunk"):
                await client.follow(P, Follow(wait_ms=10))
            await liar.close()
            await client.close()

    asyncio.run(run())
