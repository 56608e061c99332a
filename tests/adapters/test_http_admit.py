"""Admission before the app: who is what is read from route and token, lowered by a header, and never believed."""

import asyncio
from typing import Any

import msgspec
import pytest

from holdfast.adapters.http import admit
from holdfast.adapters.http.admit import CLASSES, TEAM_BATCH_BYTES, Admission, urgency
from holdfast.adapters.http.ports import ANYONE, Caller
from holdfast.adapters.http.wire import MSGPACK
from holdfast.core.errors import Degraded, Refused
from holdfast.core.health.admission import CALLER_MAX, Gate, Priority, Why

PERSON, READER, BACKGROUND = Priority
DEVICE, TEAM, KEYLESS = "Bearer device", "Bearer team", "Bearer hfk_no_file"
PROBE = ("GET", "/v1/status", "")
Said = tuple[int, dict[str, str], bytes]


class Door:
    def caller(self, authorization: str) -> Caller:
        if authorization in (DEVICE, TEAM):
            return Caller(alias="d1") if authorization == DEVICE else Caller(team="acme", scopes=frozenset(("feed",)))
        if authorization == KEYLESS:
            raise Degraded("this node cannot read its API keys")
        if authorization:
            raise Refused("forged", code="token")
        return ANYONE


class Figures:
    def __init__(self) -> None:
        self.faults: list[int] = []

    def fault(self, status: int, error: Exception) -> None:
        self.faults.append(status)


class Rooms:
    def __init__(self) -> None:
        self.door, self.figures = Door(), Figures()


class Stage:
    """An app that answers when it is told to, behind a door of its own."""

    def __init__(self) -> None:
        self.rooms, self.gate = Rooms(), Gate()
        self.go = asyncio.Event()
        self.bodies: list[bytes] = []
        self.door = Admission(self.app, self.rooms, self.gate)  # type: ignore[arg-type]

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", bool(dict(scope["headers"]).get(b"content-length"))
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"well"})

    def begin(self, many: int, what: tuple[str, str, str] = ("POST", "/v1/feed", DEVICE)) -> list["asyncio.Task[Said]"]:
        method, path, token = what
        return [asyncio.create_task(self.ask(method, path, token)) for _ in range(many)]

    async def until_open(self, many: int) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        assert self.gate.open == many
        for ticket in self.gate.in_hand:  # however slow this machine is, they do not count as on a slow line
            ticket.began_s += 3600
        for queue in self.gate._queues:  # and who waits here is not late
            for ticket in queue.tickets:
                ticket.came_s += 3600

    async def ask(self, method: str = "POST", path: str = "/v1/feed", token: str = DEVICE, body: bytes = b"",
                  parts: tuple[bytes, ...] = (), headers: dict[str, str] | None = None) -> "Said":  # fmt: skip
        sent = [(k.encode(), v.encode()) for k, v in (headers or {}).items()]
        sent += [(b"authorization", token.encode())] if token else []
        sent += [(b"content-length", str(len(body)).encode())] if body or parts else []
        left = list(parts or [body])

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0)
            part = left.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(left)}

        out: list[Any] = []

        async def send(message: Any) -> None:
            out.append(message)

        await self.door({"type": "http", "method": method, "path": path, "headers": sent}, receive, send)
        return out[0]["status"], {k.decode(): v.decode() for k, v in out[0]["headers"]}, out[1]["body"]


WHO = [
    ("POST", "/v1/feed", DEVICE, {}, PERSON), ("POST", "/v1/events", DEVICE, {}, PERSON),
    ("POST", "/v1/feed", TEAM, {}, PERSON), ("POST", "/v1/feed", "", {}, READER),
    ("POST", "/v1/feed", "Bearer forged", {}, READER), ("POST", "/v1/feed", KEYLESS, {}, READER),
    ("GET", "/v1/items/x/similar/", TEAM, {}, BACKGROUND), ("GET", "//v1//items/x/similar", TEAM, {}, BACKGROUND),
    ("GET", "/v1/items/similar", TEAM, {}, READER), ("POST", "/v1/feed/", DEVICE, {}, PERSON),
    ("POST", "/v1/feed", DEVICE, {"priority": "u=7"}, BACKGROUND),
    ("POST", "/v1/feed", "", {"priority": "u=0"}, READER),
    ("GET", "/v1/trending", TEAM, {"priority": "u=0"}, BACKGROUND),
    ("GET", "/v1/trending", TEAM, {}, BACKGROUND), ("PUT", "/v1/items", TEAM, {}, BACKGROUND),
    ("GET", "/v1/items/x", TEAM, {}, READER), ("GET", "/v1/items/x/similar", TEAM, {}, BACKGROUND),
    ("POST", "/v1/items/x/feed", DEVICE, {}, READER), ("GET", "/feed", DEVICE, {}, READER),
    ("GET", "/v1/status", "", {}, READER), ("GET", "/", "", {}, READER), ("GET", "/v1/safe", DEVICE, {}, PERSON),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "token", "headers", "priority"), WHO)
def test_who_goes_first(method: str, path: str, token: str, headers: dict[str, str], priority: Priority) -> None:
    async def run() -> list[int]:
        stage = Stage()
        stage.go.set()
        await stage.ask(method, path, token, headers=headers)
        return stage.gate.admitted

    assert asyncio.run(run()) == [int(p is priority) for p in Priority]


def test_made_up_paths_leave_nothing_behind() -> None:
    async def run() -> int:
        stage = Stage()
        stage.go.set()
        for k in range(300):
            await stage.ask("GET", f"/v1/made-up-{k}", "")
            await stage.ask("GET", f"/v1/items/x/made-up-{k}", "")
            await asyncio.sleep(0)
        return len(stage.gate.limit._least)

    assert asyncio.run(run()) <= len(CLASSES) + 1


def test_a_teams_large_batch_of_events_is_a_backfill() -> None:
    async def run() -> list[int]:
        stage = Stage()
        stage.go.set()
        await stage.ask(path="/v1/events", token=TEAM, body=b"x")
        await stage.ask(path="/v1/events", token=TEAM, body=b"x" * (TEAM_BATCH_BYTES + 1))
        await stage.ask(path="/v1/events", token=TEAM, headers={"transfer-encoding": "chunked"})  # how much, who knows
        return stage.gate.admitted

    assert asyncio.run(run()) == [1, 0, 2]


@pytest.mark.parametrize(("header", "said"), [
    (b"u=5", 5), (b"u=0, i", 0), (b"i,u=7", 7), (b"i", 3), (b"u=9", 3), (b"u=-1", 3), (b"", 3), (b"u=77", 3),
])  # fmt: skip
def test_urgency_as_browsers_write_it(header: bytes, said: int) -> None:
    assert urgency(header) == said


def test_a_refusal_says_when_to_come_back_and_counts() -> None:
    async def run() -> None:
        stage = Stage()
        asks = stage.begin(CALLER_MAX)
        await stage.until_open(CALLER_MAX)
        status, headers, body = await stage.ask()
        fault = msgspec.json.decode(body)
        assert (status, fault["error"]) == (429, "overloaded") and fault["retry_after_s"] > 0
        assert int(headers["retry-after"]) >= 1 and headers["access-control-allow-origin"] == "*"
        assert stage.gate.refused[PERSON][Why.SHARE] == 1 and stage.rooms.figures.faults == [429]
        status, headers, body = await stage.ask(headers={"accept": MSGPACK})
        assert headers["content-type"] == MSGPACK and msgspec.msgpack.decode(body)["error"] == "overloaded"
        stage.go.set()
        assert {(await ask)[0] for ask in asks} == {200}
        await asyncio.sleep(0)  # the next turn
        assert stage.gate.open == 0 and not stage.gate.in_hand

    asyncio.run(run())


def test_who_waits_too_long_is_told_although_nobody_leaves() -> None:
    async def run() -> set[int]:
        stage = Stage()
        stage.gate.limit.value = 8.0
        first = stage.begin(6, PROBE)  # three quarters: the share of readers
        await stage.until_open(6)
        status, _, _ = await stage.begin(1, PROBE)[0]
        assert status == 503, "nobody leaves, and the timer tells"
        stage.go.set()
        return {(await ask)[0] for ask in first}

    assert asyncio.run(run()) == {200}


def test_who_waits_is_let_in_when_a_place_is_free() -> None:
    async def run() -> list[int]:
        stage = Stage()
        stage.gate.limit.value = 8.0
        first = stage.begin(8)
        await stage.until_open(8)
        later = stage.begin(4)
        await stage.until_open(12)
        assert stage.gate.waiting() == 4
        stage.go.set()
        return [(await ask)[0] for ask in [*first, *later]]

    assert asyncio.run(run()) == [200] * 12


def test_a_slow_body_takes_no_place_and_arrives_whole() -> None:
    async def run() -> None:
        stage = Stage()
        stage.go.set()
        parts = (b"a" * 10, b"b" * 10, b"c")
        ask = asyncio.create_task(stage.ask(parts=parts))
        await asyncio.sleep(0)
        assert stage.gate.open == 0
        assert (await ask)[0] == 200 and stage.bodies == [b"".join(parts)]

    asyncio.run(run())


def test_slow_bodies_of_one_device_shut_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand connections of one token, each with a body that comes by and by, would else be all there may be."""

    monkeypatch.setattr(admit, "BODY_WAIT_S", 3600.0)  # however slow this machine is

    async def run() -> tuple[set[int], int]:
        stage = Stage()
        stage.go.set()
        slow = [asyncio.create_task(stage.ask(parts=(b"x",) * 500)) for _ in range(CALLER_MAX)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert stage.gate.open == 0, "all of them are still on their way"
        (refused, _, _), (other, _, _) = await stage.ask(body=b"x"), await stage.ask(token=TEAM, body=b"x")
        assert (refused, other) == (429, 200) and stage.gate.refused[PERSON][Why.SHARE] == 1
        return {(await ask)[0] for ask in slow}, len(stage.door._bodies)

    assert asyncio.run(run()) == ({200}, 0)
