"""The control room's HTTP face: a page, its state, its power switches. Loopback only, same origin only.

Whoever can reach this can switch regions off, so a page from elsewhere must not be able to: the Host must be a
loopback name (else a foreign name that resolves to 127.0.0.1 would do), an Origin must be our own, and a POST must
carry JSON, which a foreign page may not send without asking, and we never say yes.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec
from aiohttp import web

from holdfast.core.errors import HoldfastError, Refused

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
BODY_MAX = 10_000
_encode = msgspec.json.encode


class Power(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /control/power`."""

    region: str
    on: bool
    mode: str = "silent"


class Room(Protocol):
    """What the control room shows and does."""

    def state(self) -> object:
        """The answer of `/control/state`."""
        ...

    def events_after(self, n: int) -> object:
        """The answer of `/control/events`."""
        ...

    async def power(self, region: str, on: bool, mode: str) -> None:
        """Give or take a region's power. Raises Refused if there is no such region or mode."""
        ...


def _json(body: object, status: int = 200) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=_encode(body), status=status, content_type="application/json", headers=headers)


@web.middleware
async def _guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if (request.url.host or "") not in LOOPBACK:
        return _json({"error": "refused", "message": "the control room answers on loopback only"}, 403)
    if request.headers.get("Origin", own := f"http://{request.host}") != own:
        return _json({"error": "refused", "message": "the control room answers to its own page only"}, 403)
    if request.method == "POST" and request.content_type != "application/json":
        return _json({"error": "refused", "message": "send JSON"}, 415)
    try:
        return await handler(request)
    except (msgspec.MsgspecError, ValueError) as e:
        return _json({"error": "malformed", "message": str(e)}, 400)
    except Refused as e:
        return _json({"error": e.code, "message": str(e), "field": e.field, "hint": e.hint}, 404)
    except HoldfastError as e:
        return _json({"error": "degraded", "message": str(e)}, 503)


def _app(room: Room, pages: Path | None) -> web.Application:
    async def state(request: web.Request) -> web.Response:
        return _json(room.state())

    async def events(request: web.Request) -> web.Response:
        return _json({"events": room.events_after(int(request.query.get("after", "0")))})

    async def power(request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=Power)
        await room.power(wanted.region, wanted.on, wanted.mode)
        return _json(room.state())

    async def page(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"] or "index.html"
        if pages is None:
            return web.Response(text="The web app is not built. hint: make setup\n", status=404)
        path = (pages / name).resolve()
        if not path.is_relative_to(pages) or not path.is_file():
            return web.Response(text="There is no such page.\n", status=404)
        immutable = "/assets/" in f"/{name}"  # named by their content
        cache = "public, max-age=31536000, immutable" if immutable else "no-cache"
        return web.FileResponse(path, headers={"Cache-Control": cache})

    app = web.Application(middlewares=[_guard], client_max_size=BODY_MAX)
    app.add_routes([
        web.get("/control/state", state), web.get("/control/events", events), web.post("/control/power", power),
        web.get("/{name:.*}", page),
    ])  # fmt: skip
    return app


async def serve(room: Room, host: str, port: int, pages: Path | None) -> Callable[[], Awaitable[None]]:
    """Serve the control room; returns what to await to stop it. Raises Refused if the port is taken."""
    runner = web.AppRunner(_app(room, pages.resolve() if pages else None), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as e:
        await runner.cleanup()
        raise Refused(f"port {port} (control room) is in use", field="port", hint="pass --port") from e
    return runner.cleanup
