"""Admission in front of every call: reads who asks for what, lets `core.health.admission` decide, answers refusals.

It stands before routing and decoding, so that a refusal costs little more than reading the request's head. A body is
waited for first: a place is for work, and a slow line must not hold one. CLASSES says who goes first; a token makes a
person of a stranger only once its signature was checked, and the header `Priority` (RFC 9218) can only lower.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from holdfast.adapters.http.ports import ANYONE, Rooms
from holdfast.adapters.http.shapes import Fault
from holdfast.adapters.http.wire import JSON, MSGPACK
from holdfast.core.errors import Degraded, HoldfastError
from holdfast.core.health.admission import CALLER_MAX, TABLE, TEAM_MAX, Gate, Priority, Ticket, Why

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

PERSON, READER, BACKGROUND = Priority
BODY_FIRST_BYTES = 1024 * 1024  # of a longer body no more is waited for before the door
BODY_WAIT_S = 2.0  # most phones' lines bring one sooner; afterwards a place is held for `HOLD_S` at most
TEAM_BATCH_BYTES = 64 * 1024  # more events in one request than people say in a moment: a backfill
URGENCY_LOW = 5  # RFC 9218 counts down from 0 to 7; browsers give 0 to 4 to what a page needs


@dataclass(frozen=True, slots=True)
class Class:
    """Priorities of one sort of call: asked without a token, by a device, with a team's key."""

    stranger: Priority
    device: Priority
    team: Priority


FOR_PEOPLE = Class(READER, PERSON, PERSON)
FOR_READERS = Class(READER, READER, READER)
FOR_TEAMS = Class(BACKGROUND, READER, BACKGROUND)
CLASSES: dict[str, Class] = {  # by the path's first name under /v1; all others are "", for readers
    "feed": FOR_PEOPLE, "events": FOR_PEOPLE, "held": FOR_PEOPLE, "me": FOR_PEOPLE, "uploads": FOR_PEOPLE,
    "safe": FOR_PEOPLE,  # a device's heartbeat
    "rulings": FOR_PEOPLE, "queue": FOR_PEOPLE, "trending": FOR_TEAMS, "experiments": FOR_TEAMS,
    "items": FOR_READERS, "blobs": FOR_READERS, "status": FOR_READERS, "region": FOR_READERS, "shelf": FOR_READERS,
    "": FOR_READERS,
}  # fmt: skip
READ = frozenset(("GET", "HEAD"))
SAYS = {
    Why.FULL: "the region has more to do than it can now; others go first",
    Why.LATE: "the region has more to do than it can now; this would be answered too late",
    Why.SHARE: "too many of your requests are open at once",
}


class Admission:
    """An ASGI app around another. `gate` is turned here, and nowhere else."""

    def __init__(self, app: App, rooms: Rooms, gate: Gate) -> None:
        self._app, self._rooms, self._gate = app, rooms, gate
        self._turning = False
        self._timer: asyncio.TimerHandle | None = None
        self._reading = [0] * len(Priority)  # bodies on their way
        self._bodies: Counter[str] = Counter()  # and of whom

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "OPTIONS":  # the browser asks leave: next to no work
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        kind, priority, caller, most = self._know(scope, headers)
        gate = self._gate
        if b"content-length" in headers or b"transfer-encoding" in headers:
            why = self._no_more_bodies(priority, caller, most)
            if why is not None:
                gate.refused[priority][why] += 1
                await self._refuse(priority, why, headers, send)
                return
            receive = await self._body(priority, caller, receive)
        ticket = gate.enter(kind, priority, caller, most, time.monotonic())
        if ticket.waits:
            await self._wait(ticket)
        if ticket.refused is not None:
            await self._refuse(priority, ticket.refused, headers, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            gate.leave(ticket)
            if not self._turning:
                self._turning = True
                asyncio.get_running_loop().call_soon(self._turn)

    def _know(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[str, Priority, str, int]:
        """Return (kind of work, priority, caller, the most that it may have open)."""
        names = list(filter(None, scope["path"].split("/")))  # the router, too, takes //v1/items/ for /v1/items
        name = names[1] if len(names) > 1 and names[0] == "v1" else ""
        row = CLASSES.get(name)
        if row is None:
            name, row = "", FOR_READERS
        elif name == "items" and (scope["method"] not in READ or names[3:] == ["similar"]):
            name, row = "lists", FOR_TEAMS  # a team's catalogue, written or looked through: nobody waits
        authorization = headers.get(b"authorization")
        asks = ANYONE
        if authorization is not None:
            try:
                asks = self._rooms.door.caller(authorization.decode("latin-1"))
            except HoldfastError:  # its call will say so
                row = FOR_READERS
        if asks.alias:
            priority, caller, most = row.device, asks.alias, CALLER_MAX
        elif asks.team:
            priority, caller, most = row.team, f"team {asks.team}", TEAM_MAX
            size = headers.get(b"content-length")  # who does not say how much it is has much to say
            if name == "events" and (size is None or int(size) > TEAM_BATCH_BYTES):
                priority = BACKGROUND
        else:
            priority, caller, most = row.stranger, "", 0
        wish = headers.get(b"priority")
        if wish is not None and urgency(wish) >= URGENCY_LOW:
            priority = BACKGROUND
        return name, priority, caller, most

    def _no_more_bodies(self, priority: Priority, caller: str, most: int) -> Why | None:
        """Why one more body is not waited for, if it is not: slow lines are bounded as what is open is."""
        if caller and self._bodies[caller] >= most:
            return Why.SHARE
        return Why.FULL if self._reading[priority] >= TABLE[priority].open_max else None

    async def _body(self, priority: Priority, caller: str, receive: Receive) -> Receive:
        """Wait for a body, or the first BODY_FIRST_BYTES of it; return how the app is to receive it.

        Not for ever: without it the app can still say that the key is wrong or the body too large.
        """
        parts: list[dict[str, Any]] = []
        size = 0
        self._reading[priority] += 1
        self._bodies[caller] += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BODY_WAIT_S):
                    while (not parts or parts[-1].get("more_body")) and size < BODY_FIRST_BYTES:
                        parts.append(await receive())
                        size += len(parts[-1].get("body", b""))
        finally:
            self._reading[priority] -= 1
            self._bodies[caller] -= 1
            if not self._bodies[caller]:
                del self._bodies[caller]
        parts.reverse()

        async def again() -> dict[str, Any]:
            return parts.pop() if parts else await receive()

        return again

    # -- waiting -----------------------------------------------------------------------------------------------------

    async def _wait(self, ticket: Ticket) -> None:
        """Return when the ticket no longer waits."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        ticket.wake = done
        if self._timer is None:
            self._timer = loop.call_later(max(0.0, self._gate.due_s() - time.monotonic()), self._overdue)
        try:
            await done
        except asyncio.CancelledError:
            if not ticket.over:
                self._gate.leave(ticket)
            raise

    def _turn(self) -> None:
        self._turning = False
        for ticket in self._gate.turn(time.monotonic()):
            done = ticket.wake
            if isinstance(done, asyncio.Future) and not done.done():
                done.set_result(None)

    def _overdue(self) -> None:
        """Nobody left for so long that somebody's time is up."""
        self._timer = None
        self._turn()
        if self._gate.waiting():
            wait_s = max(0.001, self._gate.due_s() - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._overdue)

    # -- refusing ----------------------------------------------------------------------------------------------------

    async def _refuse(self, priority: Priority, why: Why, headers: dict[bytes, bytes], send: Send) -> None:
        status = 429 if why is Why.SHARE else 503
        retry_s = self._gate.retry_after_s(priority, random.random(), time.monotonic())
        if priority is PERSON:  # somebody was left without an answer: that is a failure, and counts as one
            self._rooms.figures.fault(status, Degraded(SAYS[why]))
        fault = Fault(error="overloaded", message=SAYS[why], hint="ask again after Retry-After, or another region",
                      retry_after_s=round(retry_s, 2))  # fmt: skip
        asked = headers.get(b"content-type") or headers.get(b"accept") or b""
        packed = asked.startswith(MSGPACK.encode())
        body = msgspec.msgpack.encode(fault) if packed else msgspec.json.encode(fault)
        await send({"type": "http.response.start", "status": status, "headers": [
            (b"content-type", (MSGPACK if packed else JSON).encode()), (b"content-length", str(len(body)).encode()),
            (b"retry-after", str(max(1, round(retry_s))).encode()), (b"access-control-allow-origin", b"*"),
            (b"access-control-expose-headers", b"Retry-After"),
        ]})  # fmt: skip
        await send({"type": "http.response.body", "body": body})


def urgency(header: bytes) -> int:
    """The urgency in a `Priority` header, 0 to 7; 3 if it names none (RFC 9218 §4.1)."""
    for part in header.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"u" and len(value) == 1 and b"0" <= value <= b"7":
            return int(value)
    return 3
