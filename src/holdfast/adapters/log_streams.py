"""JetStream as a keeper uses it: one stream per chain and epoch, its sequence numbers the block numbers.

JetStream has faults that are measured, not feared: a flipped bit plus kill −9 truncates a stream silently, a flipped
metafile hides it, an error may come back for a message that was kept. So nothing here is believed: what was
published is read back when the answer is not a plain yes, and what is read is checked by its caller.
"""

import asyncio
import contextlib
import json
from dataclasses import dataclass

from nats import errors as nats_errors

from holdfast.adapters.log_wire import Wire
from holdfast.core.errors import Broken, Degraded
from holdfast.core.log.continuity import Key

API = "$JS.API."
REQUEST_S = 2.0  # an fsync on a busy disk takes tens of ms; after this we read back and see
READ_BATCH = 256
READ_BYTES = 4_000_000
READ_QUIET_S = 1.0  # a batch that stops arriving this long has ended early
DUPLICATE_WINDOW_NS = 120 * 1_000_000_000
WRONG_LAST_SEQUENCE = 10071
STREAM_NOT_FOUND = 10059
STREAM_EXISTS = 10058


@dataclass(frozen=True, slots=True)
class Extent:
    """What a stream says of itself: messages first..last (last = first − 1: none), `size` bytes."""

    first: int
    last: int
    size: int


@dataclass(frozen=True, slots=True)
class Published:
    """Outcome of one publish: `stored` is a plain yes; otherwise `why`, and the stream must be read back."""

    stored: bool
    why: str = ""


def stream_name(key: Key) -> str:
    """`HF_<class>_<origin>_<epoch>`"""
    cls, origin = key.chain.split("/")
    return f"HF_{cls}_{origin}_{key.epoch}"


def subject_of(key: Key) -> str:
    """`hf.log.<class>.<origin>.<epoch>`"""
    cls, origin = key.chain.split("/")
    return f"hf.log.{cls}.{origin}.{key.epoch}"


def parse_stream(name: str) -> Key | None:
    """Return the key of a stream's name, None if it is not one of ours."""
    parts = name.split("_")
    return Key(f"{parts[1]}/{parts[2]}", parts[3]) if len(parts) == 4 and parts[0] == "HF" else None


class Streams:
    """The streams of one region's log server."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._nats = wire.nats

    async def _api(self, what: str, body: dict[str, object] | None = None) -> dict[str, object]:
        payload = json.dumps(body).encode() if body is not None else b""
        return json.loads(await self._wire.request(API + what, payload, REQUEST_S))

    async def names(self) -> dict[Key, Extent]:
        """List our streams."""
        out: dict[Key, Extent] = {}
        seen = 0  # all streams: an existing server may hold others than ours
        while True:
            answer = await self._api("STREAM.LIST", {"offset": seen})
            _raise(answer, "STREAM.LIST")
            streams: list[dict[str, dict[str, object]]] = answer.get("streams") or []  # type: ignore[assignment]
            for s in streams:
                key = parse_stream(str(s["config"]["name"]))
                if key is not None:
                    out[key] = _extent(s["state"])
            seen += len(streams)
            if not streams or seen >= int(str(answer.get("total", 0))):
                return out

    async def extent(self, key: Key) -> Extent | None:
        """Return what a stream holds, None if there is no such stream. Raises Degraded if the server is away."""
        answer = await self._api("STREAM.INFO." + stream_name(key))
        if _code(answer) == STREAM_NOT_FOUND:
            return None
        _raise(answer, "STREAM.INFO")
        return _extent(answer["state"])  # type: ignore[arg-type]

    async def create(self, key: Key, first: int = 1) -> None:
        """Create the stream, its next message to be number `first`; one that exists is left as it is."""
        config: dict[str, object] = {
            "name": stream_name(key), "subjects": [subject_of(key)], "storage": "file", "retention": "limits",
            "discard": "new", "num_replicas": 1, "allow_direct": True, "duplicate_window": DUPLICATE_WINDOW_NS,
            "max_msgs": -1, "max_bytes": -1, "max_age": 0,
        }  # fmt: skip
        if first > 1:
            config["first_seq"] = first
        answer = await self._api("STREAM.CREATE." + stream_name(key), config)
        if _code(answer) != STREAM_EXISTS:
            _raise(answer, f"create {stream_name(key)}")

    async def delete(self, key: Key) -> None:
        """Delete a stream; one that is not there is fine."""
        answer = await self._api("STREAM.DELETE." + stream_name(key))
        if _code(answer) != STREAM_NOT_FOUND:
            _raise(answer, "STREAM.DELETE")

    async def purge_before(self, key: Key, n: int) -> None:
        """Drop messages below number `n`."""
        _raise(await self._api("STREAM.PURGE." + stream_name(key), {"seq": n}), "STREAM.PURGE")

    async def publish(self, key: Key, n: int, message: bytes, msg_id: str, after: str = "") -> Published:
        """Publish block `n` (`msg_id`: its digest), fenced by the sequence before it.

        `after`: the digest of block n − 1 while that is still on its way. The number alone would let this block in
        behind another writer's block n − 1. Never raises for what the server or network did.
        """
        headers = {"Nats-Expected-Last-Sequence": str(n - 1), "Nats-Msg-Id": msg_id}
        if after:
            headers["Nats-Expected-Last-Msg-Id"] = after
        try:
            answer = json.loads(await self._wire.request(subject_of(key), message, REQUEST_S, headers))
        except (Degraded, ValueError) as e:
            return Published(False, repr(e))
        if "error" in answer:
            return Published(False, f"error {_code(answer)}: {answer['error'].get('description')}")
        if answer.get("duplicate") or answer.get("seq") != n:
            return Published(False, f"duplicate, or number {answer.get('seq')} in place of {n}")
        return Published(True)

    async def read(self, key: Key, first: int, last: int, max_bytes: int = READ_BYTES) -> list[tuple[int, bytes]]:
        """Return (number, message) of what the stream gives from first..last, in order; a hole is simply not there.

        Stops after about `max_bytes`. Raises Degraded if the server does not answer; nothing read means damage: a
        server that was only slow has shown with another answer that it is back, and is asked once more.
        """
        out: list[tuple[int, bytes]] = []
        size, at, asked_again = 0, first, False
        while at <= last and size < max_bytes:
            got = await self._read_batch(key, at, min(last - at + 1, READ_BATCH), max_bytes - size)
            out += [(n, m) for n, m in got if n <= last]
            if not got:
                await self.extent(key)  # raises if the server is away, which is not damage
                if asked_again:
                    break
                asked_again = True
                continue
            asked_again = False
            if got[-1][0] >= last:
                break
            size += sum(len(m) for _, m in got)
            at = got[-1][0] + 1
        return out

    async def _read_batch(self, key: Key, first: int, count: int, max_bytes: int) -> list[tuple[int, bytes]]:
        inbox = self._nats.new_inbox()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        got: list[tuple[int, bytes]] = []

        async def take(msg: object) -> None:
            headers: dict[str, str] = getattr(msg, "headers", None) or {}
            if "Nats-Sequence" in headers:
                got.append((int(headers["Nats-Sequence"]), getattr(msg, "data")))  # noqa: B009
            elif not done.done():
                done.set_result(None)  # 204 end of batch, 404 nothing there, or no responders

        sub = await self._nats.subscribe(inbox, cb=take)
        try:
            ask = {"seq": first, "batch": count, "max_bytes": max_bytes}
            await self._nats.publish("$JS.API.DIRECT.GET." + stream_name(key), json.dumps(ask).encode(), reply=inbox)
            while not done.done():
                seen = len(got)
                await asyncio.wait([done], timeout=READ_QUIET_S)
                if len(got) == seen and not done.done():
                    break  # it stumbled over damage, or is away: the caller's next question tells which
            return got
        except (OSError, nats_errors.Error) as e:
            raise Degraded(f"JetStream does not give blocks: {e!r}") from e
        finally:
            with contextlib.suppress(nats_errors.Error):  # the connection is gone, and the subscription with it
                await sub.unsubscribe()


def _code(answer: dict[str, object]) -> int:
    error = answer.get("error")
    return int(error.get("err_code", error.get("code", 0))) if isinstance(error, dict) else 0


def _raise(answer: dict[str, object], what: str) -> None:
    if "error" in answer:
        raise Broken(f"JetStream refuses {what}: {answer['error']}")


def _extent(state: dict[str, object]) -> Extent:
    return Extent(int(str(state["first_seq"])), int(str(state["last_seq"])), int(str(state["bytes"])))
