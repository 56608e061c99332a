"""The HTTP face of a node: every call of docs/protocol.md, wired in one visible place.

Handlers hold no rules. They read a typed body, ask a room of the region (`ports`), and encode its answer; whatever a
room raises becomes one shape of error here, so that a new call cannot forget to.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import uvicorn
from litestar import Litestar, Request, Response
from litestar.config.cors import CORSConfig
from litestar.exceptions import HTTPException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from holdfast import __version__
from holdfast.adapters.http import routes_items, routes_me, routes_people, routes_region, routes_team, routes_uploads
from holdfast.adapters.http.admit import App
from holdfast.adapters.http.ports import Rooms
from holdfast.adapters.http.schema_page import SchemaPage
from holdfast.adapters.http.shapes import Fault
from holdfast.adapters.http.wire import answer, fault_of

CODE_OF_STATUS = {400: "malformed", 404: "missing", 405: "method", 413: "large"}
HUNG_UP = 499  # nginx's number: whoever asked has gone, so nobody reads this answer and nobody here is at fault
TUS_HEADERS = ["Location", "Upload-Offset", "Upload-Length", "Tus-Resumable", "Tus-Version", "Content-Range", "ETag"]


def build(rooms: Rooms) -> Litestar:
    """Build the app over the rooms of a region."""
    handlers = [
        *routes_people.routes(rooms), *routes_me.routes(rooms), *routes_items.routes(rooms),
        *routes_uploads.routes(rooms), *routes_team.routes(rooms), *routes_region.routes(rooms),
    ]

    def ours(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        status, fault = fault_of(error)
        rooms.figures.fault(status, error)
        response = answer(request, fault, status)
        if fault.retry_after_s is not None:
            response.headers["retry-after"] = str(max(1, round(fault.retry_after_s)))
        return response

    def theirs(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        status = HUNG_UP if "client disconnected" in error.detail else error.status_code
        rooms.figures.fault(status, error)
        code = CODE_OF_STATUS.get(status, "refused")
        return answer(request, Fault(error=code, message=error.detail or code), status)

    app = Litestar(
        handlers,
        cors_config=CORSConfig(allow_origins=["*"], expose_headers=TUS_HEADERS, max_age=86_400),
        exception_handlers={HTTPException: theirs, Exception: ours},
        openapi_config=OpenAPIConfig(
            title="Holdfast", version=__version__, create_examples=False,
            render_plugins=[SchemaPage(), JsonRenderPlugin()],
            description="A For You feed that holds when a data centre goes dark.",
        ),
        request_max_body_size=routes_uploads.CHUNK_BYTES_MAX,
        logging_config=None,
    )
    app.openapi_schema.components.schemas = {**(app.openapi_schema.components.schemas or {}), **schemas()}
    return app


def schemas() -> dict[str, Any]:
    """JSON schemas of the request bodies, by type name, for the OpenAPI page."""
    bodies = (*routes_people.BODIES, *routes_me.BODIES, *routes_items.BODIES, *routes_team.BODIES)
    kinds = [body.kind for body in bodies]
    _, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return components


class _Server(uvicorn.Server):
    """Leaves the signals to the process, which has more to close than this server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: App, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises SystemExit (uvicorn's way) if the port is busy."""
    config = uvicorn.Config(
        app, host=host, port=port, loop="none", http="httptools", ws="none", lifespan="off", access_log=False,
        log_level="warning", server_header=False, timeout_keep_alive=75, timeout_graceful_shutdown=2, backlog=1024,
    )
    server = _Server(config)

    async def watch() -> None:
        await stop.wait()
        server.should_exit = True

    watcher = asyncio.create_task(watch())
    try:
        await server.serve()
    finally:
        watcher.cancel()
