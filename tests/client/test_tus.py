"""The Python uploader before a region that loses its answers."""

import asyncio

from aiohttp import web

from holdfast.adapters.aio.tus import Tus


def test_when_only_the_last_answer_was_lost_nothing_is_sent_again() -> None:
    """The region had it all, dealt with it and forgot the bytes before the client asked how far it was."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.method)
        await request.read()
        if request.method == "POST":
            return web.Response(status=201, headers={"Location": "/v1/uploads/" + "a" * 32})
        if request.method == "PATCH":
            return web.Response(status=503)
        if request.method == "HEAD":
            return web.Response(status=404)
        return web.json_response({"state": "published", "item": "x"})

    async def story() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        async with Tus("t") as tus:
            assert await tus.send(f"http://127.0.0.1:{port}", b"12345", {}) == "a" * 32
        await runner.cleanup()

    asyncio.run(story())
    assert seen.count("PATCH") == 1
