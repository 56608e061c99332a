"""Sending a file by tus 1.0: announce it, send pieces, and after trouble ask how far they came and go on from there."""

import asyncio
import base64
from typing import Any

import aiohttp
import msgspec

from holdfast.adapters.aio.calls import silence
from holdfast.core.errors import Degraded, Refused

PIECE_BYTES = 4 * 1024 * 1024  # what is sent again at worst; a node takes up to 16 MB at once
TRIES = 4  # per piece
REST_S = 0.5  # before the next try
CALL_S = 20.0
TUS = {"Tus-Resumable": "1.0.0"}


class Said(msgspec.Struct):
    """What a node says of a refusal or of an upload."""

    message: str = ""
    field: str | None = ""
    hint: str | None = ""
    error: str = ""
    state: str = ""
    item: str = ""
    reason: str = ""
    verdict: str = ""


class Tus:
    """Uploads to any region with one bearer token or API key. Use as `async with Tus(bearer) as tus`."""

    def __init__(self, bearer: str) -> None:
        self._headers = {**TUS, "Authorization": f"Bearer {bearer}", "Accept": "application/json"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Tus":
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=CALL_S), headers=self._headers, trust_env=False,
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session:
            await self._session.close()

    async def send(self, url: str, data: bytes, said: dict[str, str]) -> str:
        """Upload `data` to the region at `url` with metadata `said`; return the upload's id once it has arrived whole.

        Raises Refused if the region does not want it, Degraded if it cannot be reached or cannot take it now.
        """
        upload = await self.begin(url, len(data), said)
        at = 0
        while at < len(data):
            at = await self._piece(url, upload, data, at)
        return upload

    async def begin(self, url: str, length: int, said: dict[str, str]) -> str:
        """Announce an upload of `length` bytes; return its id. Raises as `send`."""
        metadata = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in said.items())
        headers = {"Upload-Length": str(length), "Upload-Metadata": metadata}
        _, answered = await self._call("POST", f"{url}/v1/uploads", headers=headers)
        return answered.get("Location", "").rpartition("/")[2]

    async def append(self, url: str, upload: str, data: bytes, at: int) -> int:
        """Send `data` as the bytes from `at` on, once; return how far the region says it is. Raises as `send`."""
        headers = {"Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"}
        _, answered = await self._call("PATCH", f"{url}/v1/uploads/{upload}", headers=headers, data=data)
        return int(answered["Upload-Offset"])

    async def offset(self, url: str, upload: str) -> int:
        """How far the region holds an upload that is still open. Raises as `send`."""
        return int((await self._call("HEAD", f"{url}/v1/uploads/{upload}"))[1]["Upload-Offset"])

    async def _piece(self, url: str, upload: str, data: bytes, at: int) -> int:
        """Send the piece that begins at `at`; return how far the region says it is."""
        for k in range(TRIES):
            try:
                return await self.append(url, upload, data[at : at + PIECE_BYTES], at)
            except Refused as e:
                if e.code != "offset":
                    raise
            except Degraded:
                if k == TRIES - 1:
                    raise
                await asyncio.sleep(REST_S)
            try:
                at = await self.offset(url, upload)
            except Refused as e:
                if e.code != "404" or (await self.state(url, upload)).state in ("", "receiving"):
                    raise
                return len(data)  # all of it had arrived, only the answer had not; and it is dealt with already
        raise Degraded(f"upload {upload} at {url} does not get further than byte {at}")

    async def state(self, url: str, upload: str) -> Said:
        """What became of an upload. Raises as `send`."""
        return (await self._call("GET", f"{url}/v1/uploads/{upload}"))[0]

    async def known(self, url: str, item: str) -> bool:
        """Say whether the region knows an item. Raises Degraded if it cannot be reached."""
        try:
            await self._call("GET", f"{url}/v1/items/{item}")
        except Refused:
            return False
        return True

    async def _call(self, method: str, url: str, **what: Any) -> tuple[Said, Any]:
        assert self._session, "use `async with`"
        try:
            async with self._session.request(method, url, allow_redirects=False, **what) as response:
                raw, status, headers = await response.read(), response.status, response.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as e:
            raise Degraded(silence(url, e)) from e
        try:
            said = msgspec.json.decode(raw, type=Said) if raw else Said()
        except msgspec.MsgspecError:
            said = Said(message=f"{url} answered {status}")
        if status == 429 or status >= 500:
            raise Degraded(said.message or f"{url} answered {status}")
        if 300 <= status < 400:
            raise Degraded(f"{url} points elsewhere ({status})")
        if status >= 400:
            raise Refused(said.message, field=said.field or "", hint=said.hint or "", code=said.error or str(status))
        return said, headers
