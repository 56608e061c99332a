"""The SDK before odd regions, played by a small server: what it says to whom, and what it does with a refusal."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from holdfast.adapters.aio.calls import Calls, Unreachable
from holdfast.client import Client, Place
from holdfast.core.health.outbox import Ack
from patience import comes

HOUR_US = 3_600_000_000


class Stub:
    """A region of one jurisdiction. `refuse(entries)` may answer (status, body) instead of taking them."""

    def __init__(self, name: str, refuse: Callable[[list[dict[str, Any]]], tuple[int, object] | None]) -> None:
        self.name, self.refuse = name, refuse
        self.heard: list[tuple[str, Any]] = []
        self.taken: list[dict[str, Any]] = []
        self.items: list[dict[str, Any]] = []
        self.ahead_us = 0  # how wrong its clock is

    async def answer(self, request: web.Request) -> web.Response:
        raw = await request.read()
        body = msgspec.msgpack.decode(raw) if raw else None
        self.heard.append((request.path, body))
        status, told = self.say(request.path, body)
        return web.Response(body=msgspec.json.encode(told), status=status, content_type="application/json")

    def say(self, path: str, body: Any) -> tuple[int, object]:
        now = time.time_ns() // 1000 + self.ahead_us
        if path == "/v1/devices":
            return 200, {"token": "t", "alias": "v-1", "jurisdiction": "US", "expires": 4_000_000_000}
        if path == "/v1/events":
            if said := self.refuse(body["entries"]):
                return said
            self.taken += body["entries"]
            return 200, {"chain": f"personal/{self.name}", "epoch": "e", "n": len(self.taken), "strongest": "safe",
                         "safe": {}, "held": {}, "now": now, "acked": len(body["entries"])}
        if path == "/v1/feed":
            return 200, {"slate": "s", "request": "r", "region": self.name, "rung": "REGIONAL", "reason": "",
                         "since_s": 0, "lacks": {}, "model": None, "lags_s": {}, "rewatch": False, "public": True,
                         "items": self.items, "taste": [], "removed": {}, "took_ms": 1, "now": now, "safe": {},
                         "held": {}}
        return 200, {"safe": {}, "held": {}, "now": now}


def item(name: str) -> dict[str, Any]:
    return {"item": name, "creator": "c", "caption": "", "tags": ["t"], "duration_ms": 6000, "playlist": None,
            "poster": None, "width": 1, "height": 1, "url": None, "likes": 0, "liked": False, "comments": 0, "views": 0,
            "why": {"source": "hot", "score": 1.0, "sentence": "", "features": []}}


def with_stubs(story: Callable[..., Awaitable[None]], *stubs: Stub) -> None:
    async def run() -> None:
        urls: list[str] = []
        runners: list[web.AppRunner] = []
        for stub in stubs:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", stub.answer)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            runners.append(runner)
            urls.append(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
        try:
            await story(*[f"http://127.0.0.1:{port}" for port in urls])
        finally:
            for runner in runners:
                await runner.cleanup()

    asyncio.run(run())


def taking(entries: list[dict[str, Any]]) -> None:
    return None


def test_a_foreign_region_hears_how_many_and_not_even_a_name_of_the_request() -> None:
    abroad = Stub("us-east", taking)
    abroad.items = [item(f"v{k}") for k in range(3)]

    async def story(url: str) -> None:
        places = [Place("eu-west", "EU", "http://127.0.0.1:1"), Place("us-east", "US", url)]
        async with Client(places, "EU") as viewer:
            slate = await viewer.feed(2)
            assert slate.region == "us-east"
            slate = await viewer.feed(2, exclude=["v0", "v1", "v2"])
            assert slate.items and slate.rewatch, "never empty, and a repeat is said to be one"
        assert [body for path, body in abroad.heard if path == "/v1/feed"] == [{"n": 100}] * 2
        assert {path for path, _ in abroad.heard} <= {"/v1/feed", "/v1/safe"}

    with_stubs(story, abroad)


def test_a_redirect_is_not_followed() -> None:
    elsewhere = Stub("elsewhere", taking)

    async def story(url: str) -> None:
        async def moved(request: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": f"{url}/v1/feed"})

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", moved)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        async with Calls() as calls:
            with pytest.raises(Unreachable):
                await calls.call("POST", f"http://127.0.0.1:{port}/v1/feed", {"seen": ["secret"]}, bearer="t")
        await runner.cleanup()
        assert elsewhere.heard == []

    with_stubs(story, elsewhere)


def test_what_a_runaway_clock_stamped_is_stamped_anew_and_not_dropped() -> None:
    def door(entries: list[dict[str, Any]]) -> tuple[int, object] | None:
        for k, e in enumerate(entries):
            if e["stamp"] > time.time_ns() // 1000 + 1_000_000:
                return 422, {"error": "door", "message": "in the future", "field": "stamp", "index": k}
        return None

    region = Stub("us-east", door)

    async def story(url: str) -> None:
        viewer = Client([Place("us-east", "US", url)], "US")
        viewer._clock._ahead_us = HOUR_US  # the device's clock is an hour ahead, and no region has told it the time
        numbers = [viewer.view(f"v{k}", dwell_ms=10**9) for k in range(3)]
        async with viewer:
            await comes(lambda: len(region.taken) == 3)
            numbers.append(viewer.like("v0"))
            await comes(lambda: len(region.taken) == 4)
            assert [e["outbox"] for e in region.taken] == numbers and viewer.outbox.refused == []
            assert all(e["dwell_ms"] == 3_600_000 for e in region.taken[:3]), "a forgotten player counts an hour"
            stamps = [e["stamp"] for e in region.taken]
            assert stamps == sorted(set(stamps))

    with_stubs(story, region)


@pytest.mark.parametrize("jump_us", [HOUR_US, -HOUR_US])
def test_a_region_whose_clock_jumps_and_jumps_back_loses_nobody_a_word(jump_us: int) -> None:
    def door(entries: list[dict[str, Any]]) -> tuple[int, object] | None:
        latest = time.time_ns() // 1000 + region.ahead_us + 1_000_000
        late = next((k for k, e in enumerate(entries) if e["stamp"] > latest), None)
        return None if late is None else (422, {"error": "door", "message": "later", "field": "stamp", "index": late})

    region = Stub("us-east", door)

    async def story(url: str) -> None:
        async with Client([Place("us-east", "US", url)], "US") as viewer:
            for k, ahead_us in enumerate((0, jump_us, 0)):
                region.ahead_us = ahead_us
                viewer.like(f"v{k}")
                await comes(lambda k=k: len(region.taken) == k + 1)
            assert [e["item"] for e in region.taken] == ["v0", "v1", "v2"] and viewer.outbox.refused == []

    with_stubs(story, region)


def test_what_is_no_longer_ahead_when_the_time_is_asked_is_said_again() -> None:
    """A stamp a hair too new is refused; a moment later, when the region has told its time, it is no longer so."""
    left = [2]

    def door(entries: list[dict[str, Any]]) -> tuple[int, object] | None:
        left[0] -= 1
        return None if left[0] < 0 else (422, {"error": "door", "message": "later", "field": "stamp", "index": 0})

    region = Stub("us-east", door)

    async def story(url: str) -> None:
        async with Client([Place("us-east", "US", url)], "US") as viewer:
            viewer.like("v0")
            await comes(lambda: len(region.taken) == 1)
            assert viewer.outbox.refused == []

    with_stubs(story, region)


def test_what_a_region_took_is_not_given_up_because_anothers_clock_is_slow() -> None:
    viewer = Client([Place("us-east", "US", "http://127.0.0.1:1")], "US")
    number = viewer.like("v0")
    kept = viewer.outbox.kept[number]
    viewer.outbox.acknowledge([number], Ack("personal/us-east", "e1", 1))
    viewer.outbox.moved()
    viewer._clock.learn(viewer._clock.now_us() - HOUR_US)
    assert viewer._refused(kept, "stamp") and not viewer.outbox.refused
    assert not viewer.outbox.waits() and viewer.outbox.kept == {number: kept}, "nor does it hold up what came later"
    viewer._clock.learn(viewer._clock.now_us() + 31 * 24 * HOUR_US)
    assert viewer._refused(kept, "stamp") and viewer.outbox.refused == [number]


def test_a_bad_entry_that_the_region_does_not_name_is_found_and_given_up_alone() -> None:
    def door(entries: list[dict[str, Any]]) -> tuple[int, object] | None:
        bad = any(e["item"] == "bad" for e in entries)
        return (422, {"error": "door", "message": "one of these is wrong"}) if bad else None

    region = Stub("us-east", door)

    async def story(url: str) -> None:
        async with Client([Place("us-east", "US", url)], "US") as viewer:
            for name in ("a", "bad", "b"):
                viewer.like(name)
            await comes(lambda: len(region.taken) == 2)
            assert viewer.outbox.refused == [2]

    with_stubs(story, region)


def test_a_stranger_at_the_address_empties_no_outbox() -> None:
    stranger = Stub("us-east", lambda entries: (404, {"detail": "Not Found"}))

    async def story(url: str) -> None:
        async with Client([Place("us-east", "US", url)], "US") as viewer:
            viewer.like("a")
            await comes(lambda: any(path == "/v1/events" for path, _ in stranger.heard))
            await asyncio.sleep(0.5)
            assert len(viewer.outbox.kept) == 1 and not viewer.outbox.refused

    with_stubs(story, stranger)


def test_an_app_that_starts_again_is_the_same_device(tmp_path: Path) -> None:
    places = [Place("us-east", "US", "http://127.0.0.1:1")]

    async def story() -> None:
        box = tmp_path / "outbox"
        first = Client(places, "US", outbox=box)
        first.like("v1")
        await first.aclose()
        again = Client(places, "US", outbox=box)
        assert again._device.public == first._device.public, "what it sends again must not count as another's"
        assert again.outbox.last == 1
        await again.aclose()
        box.unlink()
        bare = Client(places, "US", outbox=box)
        assert bare.outbox.next_number() > 1_000_000, "its numbers are used: it goes on from the clock"
        await bare.aclose()

    asyncio.run(story())
