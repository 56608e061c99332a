"""Calls about items: a team's own catalogue, an item's page and comments, its playlist and its bytes, its rulings."""

import re
from typing import Annotated, Any

from litestar import Request, Response, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter

from holdfast.adapters.http import shapes as s
from holdfast.adapters.http.ports import Rooms
from holdfast.adapters.http.routes_people import bearer
from holdfast.adapters.http.wire import Body, answer, read, reads
from holdfast.core.errors import Refused

Asked = Request[Any, Any, Any]
ITEMS = Body(s.Items)
RULING = Body(s.RulingRequest, 100_000)
BODIES = (ITEMS, RULING)
SHA = re.compile(r"^[0-9a-f]{64}$")
RANGE = re.compile(r"^bytes=(\d{0,15})-(\d{0,15})$")
FOR_EVER = "public, max-age=31536000, immutable"  # a blob's name is its checksum: it cannot change
BRIEFLY = "public, max-age=10"  # T of promise 7: how long a cache may keep a playlist after a removal


def routes(rooms: Rooms) -> list[Any]:
    """Build the handlers of these calls."""

    @put(
        "/v1/items", tags=["team"], operation_class=reads(s.Items), responses={200: ResponseSpec(s.ItemsTaken)},
        summary="Publish or change a team's items (scope `items`)",
    )
    async def put_items(request: Asked) -> Response[Any]:
        caller = rooms.door.caller(bearer(request))
        caller.need("items")
        return answer(request, await rooms.catalogue.put_items((await read(request, ITEMS)).items, caller))

    @get("/v1/items/{item:str}", tags=["viewer"], responses={200: ResponseSpec(s.ItemPage)}, summary="An item's page")
    async def page(request: Asked, item: FromPath[str]) -> Response[Any]:
        return answer(request, rooms.catalogue.page(item, rooms.door.caller(bearer(request))))

    @get(
        "/v1/items/{item:str}/comments", tags=["viewer"], responses={200: ResponseSpec(s.Comments)},
        summary="The newest comments on an item",
    )
    async def comments(request: Asked, item: FromPath[str]) -> Response[Any]:
        return answer(request, await rooms.catalogue.comments(item, rooms.door.caller(bearer(request))))

    @get("/v1/items/{item:str}/index.m3u8", tags=["video"], media_type="application/vnd.apple.mpegurl",
         summary="HLS media playlist (fMP4)")
    async def playlist(item: FromPath[str]) -> Response[str]:
        return Response(
            rooms.catalogue.playlist(item), media_type="application/vnd.apple.mpegurl",
            headers={"cache-control": BRIEFLY},
        )

    @get("/v1/blobs/{sha:str}", tags=["video"], media_type="application/octet-stream",
         summary="A part of an item that may be shown, with Range")
    async def blob(request: Asked, sha: FromPath[str]) -> Response[bytes]:
        if not SHA.match(sha):
            raise Refused("a blob is named by 64 hex digits", field="sha", code="missing")
        if request.headers.get("if-none-match") == f'"{sha}"':
            rooms.catalogue.shown(sha)
            return Response(b"", status_code=304, headers={"etag": f'"{sha}"', "cache-control": FOR_EVER})
        data, kind = await rooms.catalogue.blob(sha)
        return part_of(data, kind, sha, request.headers.get("range", ""))

    @post(
        "/v1/rulings", status_code=200, tags=["moderation"], operation_class=reads(s.RulingRequest),
        responses={200: ResponseSpec(s.Acked)}, summary="A person rules on an item (scope `rulings`)",
    )
    async def rule(request: Asked) -> Response[Any]:
        caller = rooms.door.caller(bearer(request))
        caller.need("rulings")
        return answer(request, await rooms.rulings.rule(await read(request, RULING), caller))

    @get("/v1/rulings", tags=["moderation"], responses={200: ResponseSpec(s.RulingsOf)},
         summary="Every ruling heard on an item")
    async def rulings_of(request: Asked, item: Annotated[str, QueryParameter(max_length=81)]) -> Response[Any]:
        return answer(request, rooms.rulings.rulings_of(item, rooms.door.caller(bearer(request))))

    @get("/v1/queue", tags=["moderation"], responses={200: ResponseSpec(s.Queue)},
         summary="Items that wait for a person (scope `rulings`)")
    async def queue(request: Asked) -> Response[Any]:
        caller = rooms.door.caller(bearer(request))
        caller.need("rulings")
        return answer(request, rooms.rulings.queue(caller))

    return [put_items, page, comments, playlist, blob, rule, rulings_of, queue]


def part_of(data: bytes, kind: str, sha: str, wanted: str) -> Response[bytes]:
    """Answer with a blob or the one range of it that is asked for (RFC 9110 §14; several ranges: the whole)."""
    headers = {"etag": f'"{sha}"', "cache-control": FOR_EVER, "accept-ranges": "bytes"}
    match = RANGE.match(wanted)
    if not match or match.groups() == ("", ""):
        return Response(data, status_code=200, media_type=kind, headers=headers)
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last) if last else len(data) - 1, len(data) - 1)
    else:
        start, stop = max(len(data) - int(last), 0), len(data) - 1
    if start > stop:
        return Response(b"", status_code=416, headers={**headers, "content-range": f"bytes */{len(data)}"})
    headers["content-range"] = f"bytes {start}-{stop}/{len(data)}"
    return Response(data[start : stop + 1], status_code=206, media_type=kind, headers=headers)
