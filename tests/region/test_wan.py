"""The wide-area link: what goes in comes out, in order, half a round trip later."""

import asyncio
import contextlib
import hashlib
import time

import msgspec

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


class Echo:
    """A link with an echo behind it, and its weather."""

    async def __aenter__(self) -> "Echo":
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1 << 16):
                self.heard += data
                writer.write(data)
            writer.close()

        self.heard = b""
        base = system.free_base("127.0.0.1", 60)
        self.server = await asyncio.start_server(echo, "127.0.0.1", base)
        self.link = wan.Link("a>b", ("127.0.0.1", base + 1), ("127.0.0.1", base), 0.0)
        await self.link.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.link.close()
        self.server.close()

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.link._listen)

    async def hears(self, data: bytes) -> None:
        """Wait until the far side has heard exactly this."""
        async with asyncio.timeout(30):
            while self.heard != data:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def test_a_silent_way_holds_everything_back_and_loses_nothing() -> None:
    async def run() -> None:
        async with Echo() as e:
            reader, writer = await e.dial()
            writer.write(b"1")
            assert await asyncio.wait_for(reader.readexactly(1), 30) == b"1"
            e.link.bear({"back": wan.Weather(silent=True)})
            writer.write(b"2")
            await e.hears(b"12")  # one way only: the far side hears
            e.link.bear({"forth": wan.Weather(silent=True), "back": wan.Weather(silent=True)})
            writer.write(b"3")
            answer = asyncio.create_task(reader.readexactly(2))
            late, _ = await e.dial()
            dialled = asyncio.create_task(late.read(1))
            await asyncio.sleep(0.3)
            assert e.heard == b"12" and not answer.done() and not dialled.done()
            e.link.bear({})
            assert await asyncio.wait_for(answer, 30) == b"23"
            dialled.cancel()
            writer.close()

    asyncio.run(run())


def test_a_refusing_link_breaks_off_what_there_is_and_what_comes() -> None:
    async def run() -> None:
        async with Echo() as e:
            reader, writer = await e.dial()
            writer.write(b"1")
            await asyncio.wait_for(reader.readexactly(1), 30)
            e.link.bear({"forth": wan.Weather(refuse=True)})
            for ends in (reader, None):
                with contextlib.suppress(ConnectionError):  # reset, or closed before we read: both are "no"
                    ends = ends or (await e.dial())[0]
                    assert await asyncio.wait_for(ends.read(1), 30) == b""
            e.link.bear({})
            reader, writer = await e.dial()
            writer.write(b"2")
            assert await asyncio.wait_for(reader.readexactly(1), 30) == b"2"
            writer.close()

    asyncio.run(run())


def test_what_is_swallowed_is_what_begins_so_and_nothing_else() -> None:
    async def run() -> None:
        async with Echo() as e:
            e.link.bear({"forth": wan.Weather(swallow="POST /v1/feed", swallow_share=1.0)})
            reader, writer = await e.dial()
            writer.write(b"GET /v1/safe")
            assert await asyncio.wait_for(reader.readexactly(12), 30) == b"GET /v1/safe"
            _, shout = await e.dial()
            shout.write(b"POST /v1/feed and more")
            writer.write(b"!")
            assert await asyncio.wait_for(reader.readexactly(1), 30) == b"!"
            assert e.heard == b"GET /v1/safe!"
            shout.write(b"GET /v1/safe")  # the same connection: nobody listens there any more
            writer.write(b"?")
            assert await asyncio.wait_for(reader.readexactly(1), 30) == b"?"
            assert e.heard == b"GET /v1/safe!?"
            for w in (writer, shout):
                w.close()

    asyncio.run(run())


def test_a_thin_or_lossy_way_delivers_everything_late() -> None:
    way = wan._Way("a>b forth", 0.035)
    assert way.due_s(1000, 10.0) == 10.035
    way.weather = wan.Weather(bytes_per_s=1000.0)
    assert way.due_s(1000, 10.0) == 11.035 and way.due_s(500, 10.0) == 11.535  # all connections share it
    way.weather = wan.Weather(loss=0.5, delay_ms=100.0)
    waits = [way.due_s(1, 0.0) for _ in range(2000)]
    sent_again = [w for w in waits if w > 0.135]
    assert min(waits) == 0.135 and 850 < len(sent_again) < 1150
    assert abs(min(sent_again) - 0.335) < 1e-9 and max(waits) < 0.135 + 0.2 * 2**5


def test_the_weather_file_is_heeded_and_its_end_is_calm(tmp_path) -> None:
    async def run() -> None:
        async with Echo() as e:
            file = tmp_path / "weather.json"
            watching = asyncio.create_task(wan.watch_weather([e.link], file))

            async def until(refuses: bool) -> None:
                async with asyncio.timeout(30):
                    while e.link.refuses != refuses:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)

            file.write_bytes(msgspec.json.encode({"a>b": {"back": wan.Weather(refuse=True)}}))
            await until(True)
            for damaged in (b"{half", b'{"a>b": {"back": {"swallow": "\xff"}}}'):
                file.write_bytes(damaged)
                await asyncio.sleep(3 * wan.LOOK_S)
                assert e.link.refuses and not watching.done(), "half a file changes nothing"
            file.unlink()
            await until(False)
            watching.cancel()

    asyncio.run(run())
