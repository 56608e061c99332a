"""Calls by which viewers see and steer what is chosen for them, and creators see how their videos fare."""

from typing import Any

from litestar import Request, Response, get, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery

from holdfast.adapters.http import shapes_me as s
from holdfast.adapters.http.ports import Rooms
from holdfast.adapters.http.routes_people import bearer
from holdfast.adapters.http.wire import Body, answer, read, reads

Asked = Request[Any, Any, Any]
TELL = Body(s.TellRequest, 40_000)
BODIES = (TELL,)


def routes(rooms: Rooms) -> list[Any]:
    """Build the handlers of these calls."""

    @get(
        "/v1/me/interests",
        tags=["viewer"],
        responses={200: ResponseSpec(s.Interests)},
        summary="What the feed makes of me, and where that comes from (an API key names the `viewer`)",
    )
    async def interests(request: Asked, viewer: FromQuery[str] = "") -> Response[Any]:
        return answer(request, rooms.interests.interests(rooms.door.caller(bearer(request)), viewer))

    @put(
        "/v1/me/interests",
        tags=["viewer"],
        operation_class=reads(s.TellRequest),
        responses={200: ResponseSpec(s.Interests)},
        summary="More, less or never of something; forget the past",
    )
    async def tell(request: Asked) -> Response[Any]:
        caller = rooms.door.caller(bearer(request))
        if not caller.alias:
            caller.need("events")  # before the body is read
        return answer(request, await rooms.interests.tell(await read(request, TELL), caller))

    @get(
        "/v1/topics", tags=["viewer"], responses={200: ResponseSpec(s.Topics)}, summary="What a topic feed can be about"
    )
    async def topics(request: Asked) -> Response[Any]:
        return answer(request, rooms.interests.topics(rooms.door.caller(bearer(request))))

    @get(
        "/v1/me/videos",
        tags=["viewer"],
        responses={200: ResponseSpec(s.MadeVideos)},
        summary="My videos, and how their first viewers come (an API key of scope `items` names the `creator`)",
    )
    async def videos(request: Asked, creator: FromQuery[str] = "") -> Response[Any]:
        return answer(request, rooms.makers.videos(rooms.door.caller(bearer(request)), creator))

    return [interests, tell, topics, videos]
