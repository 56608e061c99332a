"""The control room's switches answer to its own page on loopback, and to no page from elsewhere."""

import asyncio

import aiohttp
import pytest

from holdfast.adapters import system
from holdfast.adapters.aio import control

HOST = "127.0.0.1"


class Room:
    """Notes what was switched."""

    def __init__(self) -> None:
        self.switched: list[str] = []

    def state(self) -> object:
        return {}

    def events_after(self, n: int) -> object:
        return []

    async def power(self, region: str, on: bool, mode: str) -> None:
        self.switched.append(region)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://{own}"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
def test_who_may_switch(headers: dict[str, str], status: int) -> None:
    async def go() -> None:
        room, port = Room(), system.free_base(HOST, 1)
        close = await control.serve(room, HOST, port, None)
        try:
            sent = {"Content-Type": "application/json"}
            sent |= {name: value.format(own=f"{HOST}:{port}") for name, value in headers.items()}
            body = b'{"region": "us-east", "on": false}'
            async with aiohttp.ClientSession() as http, http.post(
                f"http://{HOST}:{port}/control/power", data=body, headers=sent
            ) as answer:
                assert answer.status == status
        finally:
            await close()
        assert room.switched == (["us-east"] if status == 200 else [])

    asyncio.run(go())
