"""tus 1.0 (core, creation, termination): an upload that survives a lost connection, a lost node, a closed laptop.

An offset in an answer is fsynced. https://tus.io/protocols/resumable-upload, version 1.0.0.
"""

from typing import Any

from litestar import Request, Response, delete, get, head, patch, post, route
from litestar.enums import HttpMethod
from litestar.params import FromPath

from holdfast.adapters.http.ports import Rooms
from holdfast.adapters.http.routes_people import bearer
from holdfast.adapters.http.wire import answer
from holdfast.core.errors import Refused

Asked = Request[Any, Any, Any]
TUS = {"tus-resumable": "1.0.0"}
ABOUT = {**TUS, "tus-version": "1.0.0", "tus-extension": "creation,creation-with-upload,termination"}
CHUNK_BYTES_MAX = 16 * 1024 * 1024  # one PATCH; larger files come in several


def whole(request: Asked, header: str) -> int:
    """Read a header that must be a whole number. Raises Refused (`malformed`)."""
    text = request.headers.get(header, "")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Refused(f"`{header}` must be a whole number, not `{text}`", field=header, code="malformed")
    return int(text)


def routes(rooms: Rooms) -> list[Any]:
    """Build the handlers of these calls."""

    @route("/v1/uploads", http_method=[HttpMethod.OPTIONS], status_code=204, include_in_schema=False)
    async def about() -> Response[None]:
        return Response(None, status_code=204, headers=ABOUT)

    @post("/v1/uploads", tags=["upload"], summary="Begin an upload (tus creation)")
    async def create(request: Asked) -> Response[bytes]:
        caller = rooms.door.caller(bearer(request))
        length = whole(request, "Upload-Length")
        upload = await rooms.uploads.create(length, request.headers.get("Upload-Metadata", ""), caller)
        headers = {**TUS, "location": f"/v1/uploads/{upload}", "upload-offset": "0"}
        data = await request.body()
        if data and request.headers.get("content-type") == "application/offset+octet-stream":
            headers["upload-offset"] = str(await rooms.uploads.append(upload, 0, data, caller))
        return Response(b"", status_code=201, headers=headers)

    @head("/v1/uploads/{upload:str}", tags=["upload"], status_code=200, summary="How far an upload is fsynced")
    async def offset(request: Asked, upload: FromPath[str]) -> Response[None]:
        at, length = await rooms.uploads.offset(upload, rooms.door.caller(bearer(request)))
        headers = {**TUS, "upload-offset": str(at), "upload-length": str(length), "cache-control": "no-store"}
        return Response(None, headers=headers)

    @patch("/v1/uploads/{upload:str}", tags=["upload"], status_code=204, summary="Append bytes to an upload")
    async def append(request: Asked, upload: FromPath[str]) -> Response[None]:
        caller = rooms.door.caller(bearer(request))
        if request.headers.get("content-type") != "application/offset+octet-stream":
            raise Refused("the Content-Type of a PATCH is application/offset+octet-stream", field="Content-Type",
                          code="malformed")
        at = whole(request, "Upload-Offset")
        now_at = await rooms.uploads.append(upload, at, await request.body(), caller)
        return Response(None, status_code=204, headers={**TUS, "upload-offset": str(now_at)})

    @delete("/v1/uploads/{upload:str}", tags=["upload"], status_code=204, summary="Give an upload up")
    async def terminate(request: Asked, upload: FromPath[str]) -> Response[None]:
        await rooms.uploads.terminate(upload, rooms.door.caller(bearer(request)))
        return Response(None, status_code=204, headers=TUS)

    @get("/v1/uploads/{upload:str}", tags=["upload"], summary="What became of an upload")
    async def state(request: Asked, upload: FromPath[str]) -> Response[Any]:
        return answer(request, await rooms.uploads.state(upload))

    return [about, create, offset, append, terminate, state]
