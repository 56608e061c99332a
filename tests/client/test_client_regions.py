"""The SDK against real regions: it goes on when one goes dark, nothing said is lost, and nothing leaves the fence."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest

from holdfast.adapters import apikeys, system
from holdfast.adapters.home import Home
from holdfast.client import Calls, Client, Place, Team, Told, discover
from holdfast.core.errors import Degraded, Refused
from holdfast.core.feed.shapes import Slate
from holdfast.core.merge import IntervalSet
from holdfast.core.topology import DEFAULT, Topology, resolve
from holdfast.drills.load import put_items
from holdfast.region.supervisor import Supervisor
from patience import SLOW, comes

ROLES = ("log", "keeper", "node")


def topology() -> Topology:
    import msgspec

    base = system.free_base("127.0.0.1", 60)
    return resolve(msgspec.structs.replace(DEFAULT, rtt_ms=0.0), base)


async def folded(viewer: Client, region: str, numbers: set[int], seconds: float = 20.0 * SLOW) -> None:
    """What was acknowledged is fsynced at once and folded a moment later: `region` comes to hold `numbers`."""
    end_s = time.monotonic() + seconds
    missing = numbers
    while missing:
        assert time.monotonic() < end_s, f"{region} never folded {sorted(missing)[:10]}"
        with suppress(Degraded):  # it may have too much to do to say so now
            missing = numbers - {n for a, b in await viewer.held(region) for n in range(a, b + 1)}
        await asyncio.sleep(0.05)


async def fed(viewer: Client, n: int, *regions: str) -> Slate:
    """Ask for slates until one of `regions` gives one: who is slow for a moment is passed over, and rightly."""
    end_s = time.monotonic() + 20.0 * SLOW
    while (slate := await viewer.feed(n)).region not in regions:
        assert time.monotonic() < end_s, (slate.region, slate.rung)
        await asyncio.sleep(0.2)
    return slate


class Tap:
    """A wire-tap before a region: relays every byte and keeps what viewers sent."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.heard = b""

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, keep: bool) -> None:
            while data := await source.read(65536):
                if keep:
                    self.heard += data
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, up_writer, True), pump(up_reader, writer, False), return_exceptions=True)


async def story(root: Path) -> None:
    top = topology()
    async with Supervisor(Home(root), top, roles=ROLES) as s, Calls() as calls:
        await s.start()
        key = apikeys.make(s.home, "songs", ("items", "events", "feed"))
        await asyncio.sleep(apikeys.RELOAD_S + 0.1)
        places = await discover(["http://127.0.0.1:1", top.regions[0].url], calls)
        assert [p.name for p in places] == ["us-east", "us-west", "eu-west"]
        await put_items(places, "US", key, 400, calls)
        await a_team_uses_it(places, key, calls)
        await the_fence_holds(s, top, places, calls)
        await a_region_goes_dark(s, root, places, calls)
        await all_go_dark(s, places, calls)


async def a_team_uses_it(places: list[Place], key: str, calls: Calls) -> None:
    async with Team(places, "US", key, calls=calls) as team:
        slate = await team.feed("anna")
        assert len(slate.items) == 10
        now_us = time.time_ns() // 1000
        seen = {"kind": "view", "viewer": "anna", "outbox": 1, "stamp": now_us, "item": slate.items[0].item,
                "dwell_ms": 6000, "duration_ms": 6000}  # fmt: skip
        assert (await team.events([seen]))["acked"] == 1
        with pytest.raises(Refused):
            await team.events([{**seen, "dwell_ms": -1}])


async def the_fence_holds(s: Supervisor, top: Topology, places: list[Place], calls: Calls) -> None:
    """Item 7: with eu-west dark, a US region serves an EU viewer and hears nothing about them."""
    tap = Tap(top.region("us-east").http_port)
    url = await tap.start()
    tapped = [Place("us-east", "US", url), *places[1:]]
    async with Client(tapped, "EU", calls=calls) as viewer:
        first = await fed(viewer, 5, "eu-west")
        assert not first.public
        for item in first.items:
            viewer.view(item.item, dwell_ms=6000, duration_ms=6000)
            viewer.like(item.item)
        await comes(lambda: not viewer.outbox.waits(), what="eu-west acknowledges")
        s.cut("eu-west", "silent")
        slates = [await viewer.feed(5) for _ in range(3)] + [await fed(viewer, 5, "us-east")]
        viewer.view(slates[-1].items[0].item, dwell_ms=100, duration_ms=6000)
        foreign = [sl for sl in slates if sl.region == "us-east"]
        assert foreign and all(len(sl.items) == 5 and sl.public for sl in foreign)
        seen = {i.item for i in first.items}
        assert not seen & {i.item for sl in foreign for i in sl.items}, "the device filters what it has seen"
        liked = {t for i in first.items for t in i.tags}
        assert foreign[-1].items[0].tags[0] in liked, "the device ranks by what was liked"
        await asyncio.sleep(1.0)
        assert b"POST /v1/feed" in tap.heard
        watched = [i.encode() for i in seen]
        for secret in (b"uthorization", b"context", b"seen", b"/v1/devices", b"/v1/events", *watched):
            assert secret not in tap.heard, secret
        await s.restore("eu-west")
        await comes(lambda: not viewer.outbox.waits(), 30, "what was said meanwhile arrives at home")


async def a_region_goes_dark(s: Supervisor, root: Path, places: list[Place], calls: Calls) -> None:
    """Promise 1, as a client lives it; the outbox survives the app, too."""
    told: list[Told] = []
    acknowledged = IntervalSet()
    box = root / "phone" / "outbox"
    async with Client(places, "US", calls=calls, outbox=box, tell=told.append) as viewer:
        for k in range(200):
            viewer.view(f"drill-{k}", dwell_ms=1000, duration_ms=6000)
            if k == 100:
                await comes(lambda: len(viewer.outbox.kept) < 101, what="something is safe")
                s.cut("us-east", "silent")
                cut_s = time.monotonic()
            await asyncio.sleep(0.01)
        with pytest.raises(AssertionError):
            viewer.outbox.put(1, b"")  # a number is given once
        viewer.comment("drill-1", "")  # the door refuses an empty comment: it must not stop what follows
        last = viewer.view("drill-201", dwell_ms=1000, duration_ms=6000)
        await comes(lambda: not viewer.outbox.waits(), what="us-west takes over")
        assert viewer.router.active == "us-west" and len(viewer.outbox.refused) == 1
        for t in told:
            if t.what == "acked":
                for n in t.numbers:
                    acknowledged.add(n)
        moved_s = next(t.at_s for t in told if t.what == "moved")
        acked_s = next(t.at_s for t in told if t.what == "acked" and t.region == "us-west")
        print(f"acknowledged {acked_s - cut_s:.2f} s after the cut, {acked_s - moved_s:.2f} s after the move")
        assert last in acknowledged
        await folded(viewer, "us-west", set(range(1, last + 1)) - set(viewer.outbox.refused))
        assert viewer.outbox.kept, "with us-east dark nothing more becomes safe"
    async with Client(places, "US", calls=calls, outbox=box, prefer="us-west") as viewer:
        assert viewer.outbox.kept and viewer.outbox.last == last, "the outbox outlived the app"
    await s.restore("us-east")
    await comes(lambda: s.power["us-east"] == "on", 30, "us-east returns")


async def all_go_dark(s: Supervisor, places: list[Place], calls: Calls) -> None:
    """Promise 2 at its end: the device goes on by itself, and comes back by itself."""
    async with Client(places, "US", calls=calls) as viewer:
        first = await viewer.feed(10)
        for region in s.power:
            s.cut(region, "refuse")
        viewer.view(first.items[0].item, dwell_ms=6000, duration_ms=6000)
        begun_s = time.monotonic()
        slate = await viewer.feed(3)
        assert (slate.rung, len(slate.items)) == ("DEVICE", 3) and time.monotonic() - begun_s < 10.0 * SLOW
        assert first.items[0].item not in {i.item for i in slate.items}
        for region in ("us-east", "us-west"):
            await s.restore(region)
        await comes(lambda: not viewer.outbox.waits(), 40, "what was said in the dark arrives")
        await fed(viewer, 3, "us-east", "us-west")


def test_a_client_lives_through_it_all(tmp_path: Path) -> None:
    asyncio.run(story(tmp_path))
