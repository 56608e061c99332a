"""Calls about the region itself: who it is, how it is, how far its chains reach, its shelf; and the web app."""

from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.datastructures import CacheControlHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.static_files import create_static_files_router

from holdfast.adapters.http import shapes as s
from holdfast.adapters.http.metrics import TEXT, text
from holdfast.adapters.http.ports import Rooms
from holdfast.adapters.http.wire import answer

Asked = Request[Any, Any, Any]


def routes(rooms: Rooms) -> list[Any]:
    """Build the handlers of these calls."""

    @get("/v1/region", tags=["region"], responses={200: ResponseSpec(s.RegionInfo)}, summary="Who answers, who else is")
    async def info(request: Asked) -> Response[Any]:
        return answer(request, rooms.figures.info())

    @get("/v1/status", tags=["region"], responses={200: ResponseSpec(s.Status)}, summary="How the region is")
    async def status(request: Asked) -> Response[Any]:
        return answer(request, rooms.figures.status())

    @get("/v1/safe", tags=["region"], responses={200: ResponseSpec(s.Reach)}, summary="How far chains are safe")
    async def safe(request: Asked) -> Response[Any]:
        return answer(request, rooms.figures.reach())

    @get("/v1/shelf", tags=["region"], responses={200: ResponseSpec(s.Shelf)}, summary="The signed shelf")
    async def shelf(request: Asked) -> Response[Any]:
        return answer(request, rooms.figures.shelf())

    @get("/metrics", media_type=TEXT, include_in_schema=False)
    async def metrics() -> Response[str]:
        return Response(text(rooms.figures.status()), media_type=TEXT)

    return [info, status, safe, shelf, metrics, *webapp(rooms.webapp)]


def no_such_file(request: Asked, error: ValueError) -> Response[Any]:
    """Answer a path that no file can have (a NUL in it): nobody's fault here."""
    return answer(request, s.Fault(error="missing", message="there is no such page"), 404)


def webapp(folder: Path | None) -> list[Any]:
    """Serve the built web app at `/`; without one, a line that says how to build it."""
    if folder is not None and (folder / "index.html").is_file():
        named = CacheControlHeader(max_age=31_536_000, public=True, immutable=True)  # by their digest
        return [
            create_static_files_router(
                path="/assets", directories=[folder / "assets"], cache_control=named, include_in_schema=False,
                exception_handlers={ValueError: no_such_file},
            ),
            create_static_files_router(
                path="/", directories=[folder], html_mode=True, include_in_schema=False,
                cache_control=CacheControlHeader(no_cache=True), exception_handlers={ValueError: no_such_file},
            ),
        ]  # fmt: skip

    @get("/", media_type="text/plain", include_in_schema=False)
    async def bare() -> str:
        return "Holdfast: this node has no web app built in (make web); the API is described at /schema\n"

    return [bare]
