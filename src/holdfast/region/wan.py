"""The wide-area links: plain TCP relays that hold every byte for half a round trip.

Regions on one laptop are too close for the truth. Each link of the topology listens on a port of its own and passes
bytes on to the target's log server, `rtt_ms`/2 later each way. The order is kept, nothing is lost, and the throughput
is not limited: bytes wait in memory for their moment, up to WINDOW_BYTES, then the sender is made to wait.

A region that is stopped or black-holed looks through a link as it would over an ocean: connections open (as far as the
relay) and nothing comes back.
"""

import asyncio
import contextlib
import signal
from collections import deque
from typing import cast

import uvloop

from holdfast.adapters.home import Home
from holdfast.core.errors import Refused
from holdfast.core.topology import Topology

WINDOW_BYTES = 16 * 1024 * 1024  # in flight per direction: 200 MB/s at 80 ms


class _Delayed(asyncio.Protocol):
    """One end of a relayed connection: what it receives goes to its `other` end, `delay_s` later."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.other: _Delayed | None = None
        self.transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._full = False  # our transport takes no more for now

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass, so no assert

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time() + self.delay_s, data))
        self._size += len(data)
        if self._size > WINDOW_BYTES and self.transport is not None:
            self.transport.pause_reading()
        self._schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._schedule()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self.other is not None:
            self.other._schedule()

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is None:
            at = self._waiting[0][0] if self._waiting else loop.time() + self.delay_s
            self._timer = loop.call_at(at, self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        target = self.other.transport if self.other is not None else None
        if target is None and not self._closed:
            return  # the far end is not connected yet; `join` schedules again
        now = loop.time() + 0.0005  # timers have a granularity: what is due within half a millisecond goes too
        while self._waiting and self._waiting[0][0] <= now and not (self.other is not None and self.other._full):
            _, data = self._waiting.popleft()
            self._size -= len(data)
            if target is not None and not target.is_closing():
                target.write(data)
        if self._size <= WINDOW_BYTES // 2 and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
        if self._waiting and self.other is not None and self.other._full:
            return  # bytes wait here, within WINDOW_BYTES, until it takes them: `resume_writing` schedules again
        if self._waiting:
            self._schedule()
        elif self._closed and target is not None:
            target.close()

    def join(self, other: "_Delayed") -> None:
        """Tie two ends together."""
        self.other, other.other = other, self
        self._schedule()
        other._schedule()


async def _relay(listen: tuple[str, int], target: tuple[str, int], delay_s: float) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    dialling: set[asyncio.Task[None]] = set()

    async def dial(near: _Delayed) -> None:
        try:
            await asyncio.sleep(delay_s)
            _, far = await loop.create_connection(lambda: _Delayed(delay_s), *target)
            near.join(far)
        except OSError:  # nobody listens there: the caller sees its connection close, as over an ocean
            if near.transport is not None:
                near.transport.close()

    class Near(_Delayed):
        """The end that was dialled: it dials on."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            task = loop.create_task(dial(self))
            dialling.add(task)
            task.add_done_callback(dialling.discard)

    try:
        return await loop.create_server(lambda: Near(delay_s), *listen)
    except OSError as e:
        raise Refused(f"port {listen[1]} is taken: {e}", field="port", hint="choose another with --port") from e


async def serve(top: Topology) -> list[asyncio.Server]:
    """Open all links of a topology. Raises Refused if a port is taken."""
    servers = []
    for name, port in top.links.items():
        target = top.region(name.split(">")[1])
        servers.append(await _relay((top.host, port), (target.host, target.nats_port), top.rtt_ms / 2000))
    return servers


def main(home: Home) -> None:
    """Relay all links of the installation until SIGTERM or SIGINT."""

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        servers = await serve(home.load())
        await stop.wait()
        for server in servers:
            server.close()

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(run())
