"""The wide-area link: what goes in comes out, in order, half a round trip later."""

import asyncio
import hashlib
import time

from holdfast.adapters import system
from holdfast.core.topology import Region, Topology, resolve
from holdfast.region import wan
from patience import SLOW, comes

RTT_MS = 80.0


def test_bytes_arrive_whole_in_order_and_late(tmp_path) -> None:
    async def run() -> None:
        named = [Region(name="a", jurisdiction="US"), Region(name="b", jurisdiction="US")]
        top = resolve(Topology(regions=named, rtt_ms=RTT_MS), system.free_base("127.0.0.1", 60))
        ended = asyncio.Event()

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            ended.set()
            writer.close()

        target = await asyncio.start_server(echo, "127.0.0.1", top.region("b").nats_port)
        links = await wan.serve(top)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", top.links["a>b"])
            trips = []
            while len(trips) < 200 and (not trips or min(trips) >= 2 * RTT_MS / 1000):  # until one meets an idle moment
                began = time.monotonic()
                writer.write(b"?")
                assert await reader.readexactly(1) == b"?"
                trips.append(time.monotonic() - began)
            assert RTT_MS / 1000 <= min(trips) < 2 * RTT_MS / 1000
            data = hashlib.sha256(b"seed").digest() * 200_000  # 6.4 MB: not one byte lost or swapped
            writer.write(data)
            assert hashlib.sha256(await reader.readexactly(len(data))).digest() == hashlib.sha256(data).digest()
            writer.close()
            await asyncio.wait_for(ended.wait(), 5 * SLOW)  # the end of one side becomes the end of the other
        finally:
            for server in [*links, target]:
                server.close()

    asyncio.run(run())


def test_nobody_behind_the_link_closes_the_connection(tmp_path) -> None:
    async def run() -> None:
        named = [Region(name="a", jurisdiction="US"), Region(name="b", jurisdiction="US")]
        top = resolve(Topology(regions=named, rtt_ms=RTT_MS), system.free_base("127.0.0.1", 60))
        links = await wan.serve(top)
        reader, _ = await asyncio.open_connection("127.0.0.1", top.links["a>b"])
        assert await asyncio.wait_for(reader.read(), 5 * SLOW) == b""
        for server in links:
            server.close()

    asyncio.run(run())


def test_bytes_for_someone_who_does_not_read_wait_within_the_window(tmp_path) -> None:
    async def run() -> None:
        named = [Region(name="a", jurisdiction="US"), Region(name="b", jurisdiction="US")]
        top = resolve(Topology(regions=named, rtt_ms=2.0), system.free_base("127.0.0.1", 60))
        begin = asyncio.Event()
        got = 0

        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal got
            await begin.wait()
            while data := await reader.read(1 << 16):
                got += len(data)
            writer.close()

        target = await asyncio.start_server(late, "127.0.0.1", top.region("b").nats_port)
        links = await wan.serve(top)
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", top.links["a>b"])
            part, sent = bytes(1 << 20), 0
            try:
                while sent < 100:
                    writer.write(part)
                    sent += 1
                    await asyncio.wait_for(writer.drain(), 1.0)
            except TimeoutError:
                pass
            assert sent < 60, f"{sent} MB wait in memory"
            begin.set()
            await asyncio.wait_for(writer.drain(), 5 * SLOW)
            writer.close()
            await comes(lambda: got == sent << 20)
        finally:
            for server in [*links, target]:
                server.close()

    asyncio.run(run())
