"""Calls a viewer's device makes: enrol, feed, events, what is held; and the team calls that mirror them.

`POST /v1/events` is the hot path: one decode of the whole batch into its types, no work per entry here; the door fills
in the device and answers after fsync.
"""

from typing import Any

from litestar import Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec

from holdfast.adapters.http import shapes as s
from holdfast.adapters.http.ports import Rooms
from holdfast.adapters.http.wire import Body, answer, read, reads
from holdfast.core.feed.shapes import FeedRequest, Slate

Asked = Request[Any, Any, Any]
EVENT_NEEDS = (
    "an event needs `kind`, `outbox` (counts up from 1, for each device or viewer), `stamp` (µs since 1970) and what "
    "its kind is about: `item`, and for a view `dwell_ms`; /schema lists all"
)
EVENTS = Body(s.Events, needs=EVENT_NEEDS)
FEED_BYTES_MAX = 1_000_000  # the longest context, lists and rules, with room for JSON's escapes and spaces
FEED = Body(FeedRequest, FEED_BYTES_MAX)
DEVICE = Body(s.DeviceRequest, 10_000)
BODIES = (EVENTS, FEED, DEVICE)


def bearer(request: Asked) -> str:
    """The Authorization header, empty if there is none."""
    return request.headers.get("authorization", "")


def routes(rooms: Rooms) -> list[Any]:
    """Build the handlers of these calls."""

    @post(
        "/v1/devices", status_code=200, tags=["viewer"], operation_class=reads(s.DeviceRequest),
        responses={200: ResponseSpec(s.DeviceToken)}, summary="Enrol a device: show its key, get a token",
    )
    async def devices(request: Asked) -> Response[Any]:
        return answer(request, await rooms.door.enrol(await read(request, DEVICE)))

    @post(
        "/v1/feed", status_code=200, tags=["viewer"], operation_class=reads(FeedRequest),
        responses={200: ResponseSpec(Slate)}, summary="What to see next, and why",
    )
    async def feed(request: Asked) -> Response[Any]:
        caller = rooms.door.caller(bearer(request))
        if caller.team:  # before the body is read
            caller.need("feed")
        return answer(request, await rooms.feed.slate(await read(request, FEED), caller))

    @post(
        "/v1/events", status_code=200, tags=["viewer"], operation_class=reads(s.Events),
        responses={200: ResponseSpec(s.Taken)}, summary="Send what a viewer did; answered after fsync",
    )
    async def events(request: Asked) -> Response[Any]:
        caller = rooms.door.caller(bearer(request))
        if not caller.alias:
            caller.need("events")
        return answer(request, await rooms.door.take((await read(request, EVENTS)).entries, caller))

    @get("/v1/held", tags=["viewer"], responses={200: ResponseSpec(s.Held)}, summary="Which of my entries are here")
    async def held(request: Asked) -> Response[Any]:
        return answer(request, rooms.door.held(rooms.door.caller(bearer(request))))

    return [devices, feed, events, held]
