"""The stand-in log server answers as a real nats-server does: the same calls to both, and the same answers."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "region"))
from keeper_world import World

from holdfast.adapters.log import LogClient
from holdfast.adapters.log_streams import Streams, stream_name
from holdfast.core.errors import Broken, Degraded
from holdfast.core.log.continuity import Key
from holdfast.core.topology import Region, Topology, resolve
from holdfast.sim.jetstream import FILE_ROWS
from holdfast.sim.loop import SimLoop
from holdfast.sim.network import Network
from holdfast.sim.server import Connection, LogServer
from holdfast.sim.trace import Trace

KEY, OTHER = Key("personal/eu-west", "0123456789ab"), Key("public/eu-west", "ba9876543210")
TOP = resolve(Topology(regions=[Region(name="eu-west", jurisdiction="EU")]))
Script = Callable[["Bench"], Awaitable[None]]


class Bench:
    """A server under test, and what it answered."""

    def __init__(self, wire: Any, restart: Callable[[], Awaitable[None]]) -> None:
        self.wire, self.restart = wire, restart
        self.streams = Streams(wire)
        self.said: list[object] = []

    async def say(self, answer: Awaitable[object]) -> None:
        """Note an answer, or the error in its place, by its kind."""
        try:
            got = await answer
        except (Broken, Degraded) as e:
            got = type(e).__name__
        self.said.append(getattr(got, "stored", got))

    async def put(self, n: int, text: str, msg_id: str, after: str = "", key: Key = KEY) -> None:
        await self.say(self.streams.publish(key, n, text.encode(), msg_id, after))


async def in_order(b: Bench) -> None:
    await b.streams.create(KEY)
    for n in range(1, 6):
        await b.put(n, f"block {n}", f"id{n}", f"id{n - 1}" if n > 1 else "")
    await b.say(b.streams.read(KEY, 1, 5))
    await b.say(b.streams.read(KEY, 3, 9))
    await b.say(b.streams.read(KEY, 6, 9))
    await b.say(b.streams.read(KEY, 1, 5, 8))
    e = await b.streams.extent(KEY)
    b.said.append(e and (e.first, e.last))


async def fenced(b: Bench) -> None:
    await b.streams.create(KEY)
    await b.put(1, "mine", "a1")
    await b.put(1, "yours", "b1")  # the number is taken
    await b.put(2, "yours too", "b2", "b1")  # its number is free, and yet it follows what is not there
    await b.put(2, "mine", "a2", "a1")
    await b.put(2, "mine", "a2")  # again: a duplicate
    await b.put(5, "a gap", "a5")
    await b.say(b.streams.read(KEY, 1, 9))


async def cut_and_begun_anew(b: Bench) -> None:
    await b.streams.create(KEY)
    for n in range(1, 7):
        await b.put(n, f"block {n}", f"id{n}")
    await b.streams.purge_before(KEY, 4)
    await b.say(b.streams.read(KEY, 1, 9))
    e = await b.streams.extent(KEY)
    b.said.append(e and (e.first, e.last))
    await b.streams.purge_before(KEY, 7)
    e = await b.streams.extent(KEY)
    b.said.append(e and (e.first, e.last))
    await b.put(7, "block 7", "id7")
    await b.streams.delete(KEY)
    await b.streams.delete(KEY)
    b.said.append(await b.streams.extent(KEY))
    await b.put(1, "to nobody", "x")
    await b.streams.create(KEY, 41)
    await b.streams.create(KEY, 7)  # there already: left as it is
    e = await b.streams.extent(KEY)
    b.said.append(e and (e.first, e.last))
    await b.put(41, "block 41", "id41")
    await b.say(b.streams.read(KEY, 41, 41))


async def listed_and_restarted(b: Bench) -> None:
    await b.streams.create(KEY)
    await b.streams.create(OTHER, 3)
    await b.put(1, "one", "id1")
    await b.put(2, "two", "id2", "id1")
    await b.put(3, "three", "o3", key=OTHER)
    b.said.append({k: (e.first, e.last) for k, e in sorted((await b.streams.names()).items())})
    await b.restart()
    b.said.append({k: (e.first, e.last) for k, e in sorted((await b.streams.names()).items())})
    await b.say(b.streams.read(KEY, 1, 2))
    await b.put(2, "two", "id2")  # the window of duplicates outlives a restart
    await b.put(3, "not after two", "id3", "id1")
    await b.put(3, "after two", "id3", "id2")  # and so does the last id


SCRIPTS = (in_order, fenced, cut_and_begun_anew, listed_and_restarted)


async def on_the_real_one(script: Script, path: Path) -> list[object]:
    async with World(path, eu_west="EU") as w:
        w.start_nats("eu-west")
        client = await w.client("eu-west")

        async def restart() -> None:
            w.kill_nats("eu-west")
            w.start_nats("eu-west")
            async with asyncio.timeout(30):
                while True:
                    try:
                        await bench.streams.names()
                        return
                    except Degraded:
                        await asyncio.sleep(0.05)

        bench = Bench(client.wire, restart)
        await script(bench)
        await client.close()
        return bench.said


def on_the_stand_in(script: Script) -> list[object]:
    loop = SimLoop(Random(1))
    network = Network(loop, Random(2), Trace(loop.time))
    server = LogServer("eu-west", TOP, network, Random(3))
    server.start()

    async def run() -> list[object]:
        wire = Connection(server, "eu-west", "local")
        await asyncio.sleep(1)

        async def restart() -> None:
            server.stop()
            server.start()
            await asyncio.sleep(1)

        bench = Bench(LogClient(wire, "local").wire, restart)  # type: ignore[arg-type]
        await script(bench)
        return bench.said

    try:
        return loop.run_until_complete(run())
    finally:
        loop.finish()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.__name__)
def test_the_stand_in_answers_as_the_real_server(script: Script, tmp_path: Path) -> None:
    assert on_the_stand_in(script) == asyncio.run(on_the_real_one(script, tmp_path))


def flip_on_the_stand_in(n: int) -> list[int]:
    loop = SimLoop(Random(1))
    server = LogServer("eu-west", TOP, Network(loop, Random(2), Trace(loop.time)), Random(3))
    server.start()

    async def run() -> list[int]:
        wire = Connection(server, "eu-west", "local")
        await asyncio.sleep(1)
        streams = Streams(wire)  # type: ignore[arg-type]
        await streams.create(KEY)
        for k in range(1, FILE_ROWS):
            await streams.publish(KEY, k, b"block %d" % k, str(k))
        server.streams.all[stream_name(KEY)].flip(n, Random(4))
        server.stop()
        server.start()
        await asyncio.sleep(1)
        return [k for k, _ in await streams.read(KEY, 1, FILE_ROWS - 1)]

    try:
        return loop.run_until_complete(run())
    finally:
        loop.finish()


def test_a_flipped_bit_cuts_the_file_off_there_in_both(tmp_path: Path) -> None:
    async def real() -> list[int]:
        async with World(tmp_path, eu_west="EU") as w:
            w.start_nats("eu-west")
            client = await w.client("eu-west")
            streams = Streams(client.wire)
            await streams.create(KEY)
            for k in range(1, FILE_ROWS):  # what lies in the first file of the stand-in, and of the real one
                await streams.publish(KEY, k, b"block %d" % k, str(k))
            await client.close()
            w.kill_nats("eu-west")
            (path,) = w.home.region("eu-west").rglob("*.blk")
            data = bytearray(path.read_bytes())
            data[data.index(b"block 5")] ^= 1
            path.write_bytes(data)
            w.start_nats("eu-west")
            client = await w.client("eu-west")
            async with asyncio.timeout(30):
                while True:
                    try:
                        return [k for k, _ in await Streams(client.wire).read(KEY, 1, FILE_ROWS - 1)]
                    except Degraded:
                        await asyncio.sleep(0.05)
                    finally:
                        await client.close()

    assert flip_on_the_stand_in(5) == asyncio.run(real()) == [1, 2, 3, 4]
