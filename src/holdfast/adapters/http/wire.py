"""Bodies in, answers out: JSON or msgpack by Content-Type, parsed exactly, and every mistake named.

There is one way in (`read`) and one way out (`answer`), so that every call speaks both formats and every error has the
same shape. Bodies are decoded straight into their types in one go. Only when that fails do we look again, slowly, to
say where: in JSON a bare `NaN` is bad syntax, and "byte 70" helps no one, so we read it leniently to find the field.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from litestar import Request, Response
from litestar.openapi.spec import OpenAPIMediaType, Operation, Reference, RequestBody

from holdfast.adapters.http.shapes import Fault
from holdfast.core.errors import Broken, Degraded, Refused

MSGPACK = "application/msgpack"
JSON = "application/json"
BODY_BYTES_MAX = 8_000_000  # 1000 items of the longest captions, tags and addresses, every letter escaped

# What a refusal's code means in HTTP; a code that is not listed is the caller's mistake in the content: 422, the door.
STATUS_OF_CODE = {
    "malformed": 400,
    "token": 401,
    "key": 401,
    "jurisdiction": 403,
    "scope": 403,
    "missing": 404,
    "method": 405,
    "conflict": 409,
    "quota": 409,  # all of it is taken
    "offset": 409,
    "large": 413,
    "range": 416,
    "overloaded": 429,
}
T = TypeVar("T")
_AT = re.compile(r" - at `(?P<path>[^`]*)`$")
_INDEX = re.compile(r"\[(\d+)\]")
_NAMED = re.compile(r"field `(?P<name>[^`]+)`")


class Body(Generic[T]):
    """A type of request body, with its two decoders made once, and the most bytes that one may have.

    `needs` is the hint when a field is missing: only the first is named, so it names them all.
    """

    def __init__(self, kind: type[T], bytes_max: int = BODY_BYTES_MAX, needs: str = "") -> None:
        self.kind: Any = kind
        self.bytes_max = bytes_max
        self.needs = needs
        self.json = msgspec.json.Decoder(kind).decode
        self.msgpack = msgspec.msgpack.Decoder(kind).decode

    def decode(self, data: bytes, content_type: str) -> T:
        """Decode a body. Raises Refused: `malformed`, or `door` with the field and the index of the first bad entry."""
        packed = content_type.startswith(MSGPACK)
        try:
            return self.msgpack(data) if packed else self.json(data)
        except msgspec.ValidationError as e:
            raise misfit(e, self.needs) from e
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            if not packed:
                self._look_again(data)
            spelling = "msgpack" if packed else "JSON"
            raise Refused(f"the body is not {spelling}: {e}", field="body", code="malformed") from e
        except RecursionError as e:
            raise Refused("the body is nested too deeply", field="body", code="malformed") from e

    def _look_again(self, data: bytes) -> None:
        """Raise the Refused that names the field if the body is JSON but for NaN or Infinity."""
        try:
            msgspec.convert(json.loads(data), self.kind)
        except msgspec.ValidationError as e:
            raise misfit(e, self.needs) from e
        except (ValueError, RecursionError):
            return


class Misfit(Refused):
    """A refusal that knows which entry of the batch it is about."""

    def __init__(self, message: str, *, field: str, index: int | None, hint: str = "", code: str = "door") -> None:
        super().__init__(message, field=field, hint=hint, code=code)
        self.index = index


def misfit(error: msgspec.ValidationError, needs: str = "") -> Misfit:
    """Turn msgspec's `… - at `$.entries[3].item`` into a refusal that names field and index."""
    text = str(error)
    at = _AT.search(text)
    path = at["path"] if at else "$"
    index = _INDEX.search(path)
    named = _NAMED.search(text)
    field = named["name"] if named else re.split(r"[.\[]", re.sub(r"\[[^\]]*\]", "", path))[-1]
    message = _AT.sub("", text)
    field = "" if field == "$" else field
    return Misfit(
        f"`{field}`: {message}" if field and not named else message, field=field,
        index=int(index[1]) if index else None, hint=needs if "missing required" in message else "",
    )  # fmt: skip


async def read(request: Request[Any, Any, Any], body: Body[T]) -> T:
    """Read and decode a request's body. Raises Refused (`large`, `malformed`, `door`).

    Nothing is read of a body that says it is too large, and no more than `bytes_max` of one that does not say.
    """
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > body.bytes_max:
        raise too_large(body.bytes_max)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > body.bytes_max:
            raise too_large(body.bytes_max)
        parts.append(part)
    return body.decode(b"".join(parts), request.headers.get("content-type", JSON))


def too_large(bytes_max: int) -> Refused:
    """The refusal of a body of more than `bytes_max` bytes."""
    return Refused(f"the body has more than {bytes_max} bytes", field="body", code="large", hint="send less at once")


def answer(request: Request[Any, Any, Any], value: Any, status: int = 200) -> Response[bytes]:
    """Encode an answer in the format of the request's body, or the one it asks for if it has none."""
    if request.headers.get("content-type", request.headers.get("accept", JSON)).startswith(MSGPACK):
        return Response(msgspec.msgpack.encode(value), media_type=MSGPACK, status_code=status)
    return Response(msgspec.json.encode(value), media_type=JSON, status_code=status)


def fault_of(error: Exception) -> tuple[int, Fault]:
    """Return the status and body of an error of ours."""
    if isinstance(error, Degraded):
        return 503, Fault(error="degraded", message=str(error), retry_after_s=error.retry_after_s)
    if isinstance(error, Refused):
        index = error.index if isinstance(error, Misfit) else None
        fault = Fault(error=error.code, message=str(error), field=error.field, hint=error.hint, index=index)
        return STATUS_OF_CODE.get(error.code, 422), fault
    if isinstance(error, Broken):
        return 500, Fault(error="broken", message="the region met a fault of its own and is restarting")
    return 500, Fault(error="broken", message="the region met a fault of its own")


def reads(kind: type) -> type[Operation]:
    """Return the OpenAPI operation of a call whose body is `kind` (its schema is in the app's components)."""

    @dataclass
    class Reading(Operation):
        def __post_init__(self) -> None:
            schema = Reference(ref=f"#/components/schemas/{kind.__name__}")
            content = {t: OpenAPIMediaType(schema=schema) for t in (JSON, MSGPACK)}
            self.request_body = RequestBody(content=content, required=True)

    return Reading
