"""Gathering on the way to the keeper: many requests become one append.

A request of a few entries costs the keeper as much as one of hundreds: a message, a reply, a place in a block. So
entries that arrive within GATHER_S travel together, and everyone waits for the same fsync. At one request a second it
costs a viewer four milliseconds; at a thousand it saves the keeper nine messages out of ten.
"""

import asyncio
from dataclasses import dataclass, field

from holdfast.adapters.log import LogClient
from holdfast.core.asks import Acked
from holdfast.core.chain import BLOCK_BYTES_MAX
from holdfast.core.classes import Class
from holdfast.core.errors import Degraded, HoldfastError

GATHER_S = 0.004  # small beside an fsync (1-10 ms) and the 50 ms that the issue allows
APPEND_BYTES_MAX = BLOCK_BYTES_MAX // 2  # a full block is the keeper's business
PENDING_BYTES_MAX = 32 * 1024 * 1024  # what may wait for the keeper; beyond it we say so instead of queueing
TIMEOUT_S = 4.0  # below the client's own deadline for a write


@dataclass(slots=True)
class _Load:
    """Entries on their way: msgpack bodies without the list header, and who waits for them."""

    parts: list[bytes] = field(default_factory=list[bytes])
    entries: int = 0
    size: int = 0
    done: asyncio.Future[Acked] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


def body_of(packed: bytes) -> tuple[int, memoryview]:
    """Split a msgpack list into (length, the bytes of its elements)."""
    view = memoryview(packed)
    head = view[0]
    if head & 0xF0 == 0x90:
        return head & 0x0F, view[1:]
    if head == 0xDC:
        return int.from_bytes(view[1:3], "big"), view[3:]
    assert head == 0xDD, head
    return int.from_bytes(view[1:5], "big"), view[5:]


class Appender:
    """Appends to this region's chains. Bounded: raises Degraded when too much waits already."""

    def __init__(self, log: asyncio.Future[LogClient]) -> None:
        self._log = log
        self._open: dict[Class, _Load] = {}
        self._flying: set[asyncio.Task[None]] = set()
        self._pending = 0

    async def put(self, cls: Class, packed: bytes) -> Acked:
        """Append a msgpack list of entries; return the block that holds them, fsynced.

        Raises Degraded if that is not known in time (send again; ids make it harmless) or too much waits already.
        """
        return await asyncio.shield(self._load(cls, packed).done)

    def put_later(self, cls: Class, packed: bytes) -> "asyncio.Future[Acked]":
        """Append without waiting: the future tells what became of it."""
        return self._load(cls, packed).done

    def _load(self, cls: Class, packed: bytes) -> _Load:
        if self._pending + len(packed) > PENDING_BYTES_MAX:
            raise Degraded("the region is taking in more than it can write; try again", retry_after_s=1.0)
        count, body = body_of(packed)
        load = self._open.get(cls)
        if load is not None and load.size + len(body) > APPEND_BYTES_MAX:
            self._send(cls)
            load = None
        if load is None:
            load = self._open[cls] = _Load()
            asyncio.get_running_loop().call_later(GATHER_S, self._send_if, cls, load)
        load.parts.append(bytes(body))
        load.entries += count
        load.size += len(body)
        self._pending += len(body)
        return load

    def _send_if(self, cls: Class, load: _Load) -> None:
        if self._open.get(cls) is load:
            self._send(cls)

    def _send(self, cls: Class) -> None:
        load = self._open.pop(cls)
        task = asyncio.get_running_loop().create_task(self._fly(cls, load))
        self._flying.add(task)
        task.add_done_callback(self._flying.discard)

    async def _fly(self, cls: Class, load: _Load) -> None:
        try:
            packed = b"\xdd" + load.entries.to_bytes(4, "big") + b"".join(load.parts)
            if not self._log.done():
                raise Degraded("the region's log is not there yet", retry_after_s=1.0)
            acked = await self._log.result().append(cls, packed, TIMEOUT_S)
            if not load.done.done():
                load.done.set_result(acked)
        except HoldfastError as e:
            if not load.done.done():
                load.done.set_exception(e)
                load.done.exception()  # whoever waits has it; a load that nobody waits for must not be reported
        finally:
            self._pending -= load.size
            if not load.done.done():
                load.done.cancel()

    async def drain(self) -> None:
        """Send what is open and wait for what flies; for a clean stop."""
        for cls in list(self._open):
            self._send(cls)
        if self._flying:
            await asyncio.wait(list(self._flying), timeout=TIMEOUT_S)
