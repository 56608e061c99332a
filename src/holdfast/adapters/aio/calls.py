"""Calls to a node over HTTP: msgpack both ways, and every outcome is one of ours.

    an answer                     → the decoded body
    4xx                           → Refused, with the field, hint and code the node named
    429, 5xx                      → Degraded: it is there, it cannot just now
    429, 503 `overloaded`         → Busy (a Degraded): it asks to be left alone for `retry_after_s`
    refused, reset, silent        → Unreachable (a Degraded): it may not be there at all

One `Calls` can serve many clients: it is a pool of connections, nothing more.
"""

from typing import Any

import aiohttp
import msgspec

from holdfast.adapters.aio.ear import Ear
from holdfast.core.errors import Degraded, Refused

MSGPACK = "application/msgpack"
CALL_MAX_S = 30.0  # no call hangs longer than this, whatever its caller forgot
BODY_MAX = 16 * 1024 * 1024  # a slate is 20 kB, a list of held intervals less; anything larger is a mistake
CODES = {401: "token", 403: "jurisdiction", 404: "missing"}

_encode = msgspec.msgpack.Encoder().encode


class Unreachable(Degraded):
    """No answer came: the region refused the connection, dropped it, or stayed silent."""


class Busy(Degraded):
    """The region has more to do than it can: asking it again at once would make it worse."""


class Reply(msgspec.Struct):
    """What a node answers when it refuses."""

    error: str = ""
    message: str = ""
    field: str | None = ""
    hint: str | None = ""
    index: int | None = None
    retry_after_s: float | None = None


class RefusedEntry(Refused):
    """A request of entries was refused because of the entry at `index`. `region`: by which, once the caller knows."""

    region = ""

    def __init__(self, message: str, *, field: str, hint: str, code: str, index: int) -> None:
        super().__init__(message, field=field, hint=hint, code=code)
        self.index = index


class Calls:
    """A pool of HTTP connections. Use as `async with Calls() as calls`. `ear`: whether we listened meanwhile."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self.ear = Ear()

    async def __aenter__(self) -> "Calls":
        self._open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
            timeout = aiohttp.ClientTimeout(total=CALL_MAX_S)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, auto_decompress=True, trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )  # fmt: skip
        return self._session

    async def call(self, method: str, url: str, body: object = None, *, bearer: str = "", answer: Any = dict) -> Any:
        """Send `body` as msgpack, return the answer decoded as type `answer`. Raises as the module's table says."""
        headers = {"Accept": MSGPACK}
        data: bytes | None = None
        if body is not None:
            data, headers["Content-Type"] = _encode(body), MSGPACK
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        try:
            async with self._open().request(
                method, url, data=data, headers=headers, allow_redirects=False
            ) as response:
                raw = await response.read()
                status, kind = response.status, response.content_type
        except (aiohttp.ClientError, TimeoutError, OSError) as e:
            raise Unreachable(silence(url, e)) from e
        if len(raw) > BODY_MAX:
            raise Degraded(f"{url} answered {len(raw)} bytes")
        if 300 <= status < 400:  # a region never sends one elsewhere; what does may lie beyond the fence
            raise Unreachable(f"{url} points elsewhere ({status})")
        if status >= 400:
            raise _refusal(url, status, kind, raw)
        try:
            return _decode(raw, kind, answer)
        except msgspec.MsgspecError as e:
            raise Degraded(f"{url} answered something else than expected: {e}") from e


def silence(url: str, error: Exception) -> str:
    """Say in plain words that no answer came from `url`, whatever the library calls it."""
    place = "/".join(url.split("/", 3)[:3])
    if isinstance(error, TimeoutError):
        return f"{place} does not answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"nobody answers at {place}"
    return f"the connection to {place} broke"


def _decode(raw: bytes, kind: str, answer: Any) -> Any:
    if answer is bytes:
        return raw
    if kind in (MSGPACK, "application/x-msgpack", "application/vnd.msgpack"):
        return msgspec.msgpack.decode(raw, type=answer)
    return msgspec.json.decode(raw, type=answer)


def _refusal(url: str, status: int, kind: str, raw: bytes) -> Exception:
    try:
        reply = _decode(raw, kind, Reply)
    except msgspec.MsgspecError:
        reply = Reply(message=f"{url} answered {status}")
    if status == 429 or status >= 500:
        trouble = Busy if reply.error == "overloaded" else Degraded
        return trouble(reply.message or f"{url} answered {status}", retry_after_s=reply.retry_after_s or 1.0)
    code = reply.error or CODES.get(status, "refused")
    field, hint = reply.field or "", reply.hint or ""
    if reply.index is not None:
        return RefusedEntry(reply.message, field=field, hint=hint, code=code, index=reply.index)
    return Refused(reply.message or f"{url} answered {status}", field=field, hint=hint, code=code)
