"""The wide-area links: plain TCP relays that hold every byte for half a round trip.

Regions on one laptop are too close for the truth. Each link of the topology listens on a port of its own and passes
bytes on to the target's log server, `rtt_ms`/2 later each way. The order is kept, nothing is lost, and the throughput
is not limited: bytes wait in memory for their moment, up to WINDOW_BYTES, then the sender is made to wait.

A region that is stopped or black-holed looks through a link as it would over an ocean: connections open (as far as the
relay) and nothing comes back.

Drills give a link *weather*, each way by itself: the file `weather.json` beside the topology, read again whenever it
changes. What TCP does about bad weather is modelled, not left out: bytes that meet a silent or lossy link are not gone,
they come late, in order, as retransmissions would bring them.
"""

import asyncio
import contextlib
import random
import signal
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from holdfast.adapters.home import Home
from holdfast.core.errors import Refused
from holdfast.core.topology import Topology

WINDOW_BYTES = 16 * 1024 * 1024  # in flight per direction: 200 MB/s at 80 ms
LOOK_S = 0.05  # how often the weather is looked at
RESEND_S = 0.2  # Linux's shortest retransmission time-out; it doubles with every further loss
RESENDS_MAX = 5


class Weather(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a link suffers one way, beyond its length."""

    silent: bool = False  # nothing gets through; what was sent waits, and so does who wants to connect
    refuse: bool = False  # connections are broken off, new ones too
    delay_ms: float = 0.0
    loss: float = 0.0  # share of bursts that must be sent again
    bytes_per_s: float = 0.0  # all connections together; 0: unlimited
    swallow: str = ""  # a connection on which something begins with this is deaf from then on ...
    swallow_share: float = 0.0  # ... with this probability: a gray failure, seen by some requests only


CALM = Weather()


class _Way:
    """One direction of a link: its weather, and what all its connections share."""

    def __init__(self, name: str, delay_s: float) -> None:
        self.weather = CALM
        self._delay_s = delay_s
        self._free_s = 0.0  # when the last byte admitted so far has left, at bytes_per_s
        self._chance = random.Random(name)

    def due_s(self, size: int, now_s: float) -> float:
        """When a burst that comes now is through."""
        w = self.weather
        late_s = self._delay_s + w.delay_ms / 1000
        if w.bytes_per_s:
            self._free_s = max(self._free_s, now_s) + size / w.bytes_per_s
            late_s += self._free_s - now_s
        wait_s = RESEND_S
        for _ in range(RESENDS_MAX if w.loss else 0):
            if self._chance.random() >= w.loss:
                break
            late_s, wait_s = late_s + wait_s, wait_s * 2
        return now_s + late_s

    def swallows(self, data: bytes) -> bool:
        w = self.weather
        return bool(w.swallow) and data.startswith(w.swallow.encode()) and self._chance.random() < w.swallow_share


class _Delayed(asyncio.Protocol):
    """One end of a relayed connection: what it receives goes to its `other` end, when its way lets it through."""

    def __init__(self, way: _Way) -> None:
        self.way = way
        self.other: _Delayed | None = None
        self.transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = self._deaf = False
        self._full = False  # our transport takes no more for now

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass, so no assert

    def data_received(self, data: bytes) -> None:
        self._deaf = self._deaf or self.way.swallows(data)
        if self._deaf:
            return
        now_s = asyncio.get_running_loop().time()
        self._due_s = max(self._due_s, self.way.due_s(len(data), now_s))  # in order, whatever waits for a resend
        self._waiting.append((self._due_s, data))
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
            at = self._waiting[0][0] if self._waiting else self.way.due_s(0, loop.time())
            self._timer = loop.call_at(max(at, loop.time() + LOOK_S) if self.way.weather.silent else at, self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        target = self.other.transport if self.other is not None else None
        if target is None and not self._closed:
            return  # the far end is not connected yet; `join` schedules again
        if self.way.weather.silent and target is not None:
            return self._schedule()
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


class Link:
    """A port that leads to another address, `delay_s` away each way."""

    def __init__(self, name: str, listen: tuple[str, int], target: tuple[str, int], delay_s: float) -> None:
        self.name = name
        self._listen, self._target = listen, target
        self._forth, self._back = _Way(f"{name} forth", delay_s), _Way(f"{name} back", delay_s)
        self._ends: set[_Delayed] = set()
        self._dialling: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. Raises Refused if the port is taken."""
        try:
            self._server = await asyncio.get_running_loop().create_server(lambda: _Near(self), *self._listen)
        except OSError as e:
            said = f"port {self._listen[1]} is taken: {e}"
            raise Refused(said, field="port", hint="choose another with --port") from e

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def bear(self, ways: dict[str, Weather]) -> None:
        """Have this weather (`forth`, `back`) from now on."""
        self._forth.weather, self._back.weather = ways.get("forth", CALM), ways.get("back", CALM)
        if self.refuses:
            for end in list(self._ends):
                end.transport.abort()  # type: ignore[union-attr]

    @property
    def refuses(self) -> bool:
        return self._forth.weather.refuse or self._back.weather.refuse

    def dial_for(self, near: "_Near") -> None:
        """Connect what was dialled with where the link leads."""
        task = asyncio.get_running_loop().create_task(self._dial(near))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _dial(self, near: "_Near") -> None:
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(self._forth.due_s(0, loop.time()) - loop.time())
            while self._forth.weather.silent or self._back.weather.silent:  # noqa: ASYNC110 - a handshake needs both ways
                await asyncio.sleep(LOOK_S)
            _, far = await loop.create_connection(lambda: _End(self, self._back), *self._target)
            near.join(far)
        except OSError:  # nobody listens there: the caller sees its connection close, as over an ocean
            if near.transport is not None:
                near.transport.close()


class _End(_Delayed):
    """An end that its link knows of, so that it can be broken off."""

    def __init__(self, link: Link, way: _Way) -> None:
        super().__init__(way)
        self.link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.link._ends.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.link._ends.discard(self)
        super().connection_lost(exc)


class _Near(_End):
    """The end that was dialled: it dials on."""

    def __init__(self, link: Link) -> None:
        super().__init__(link, link._forth)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.link.refuses:
            return cast(asyncio.Transport, transport).abort()
        self.link.dial_for(self)


def links_of(top: Topology) -> list[Link]:
    """The links between a topology's regions."""
    return [
        Link(name, (top.host, port), (there.host, there.nats_port), top.rtt_ms / 2000)
        for name, port in top.links.items() for there in [top.region(name.split(">")[1])]
    ]  # fmt: skip


async def serve(top: Topology) -> list[Link]:
    """Open all links of a topology. Raises Refused if a port is taken."""
    links = links_of(top)
    for link in links:
        await link.open()
    return links


async def watch_weather(links: Sequence[Link], file: Path) -> None:
    """Let the links bear what the file says, `{link: {"forth": …, "back": …}}`, for ever; no file: calm."""
    before: bytes | None = None
    while True:
        try:
            text = file.read_bytes()
        except OSError:
            text = b""
        if text != before:
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):  # half written, or another's: as it was
                said = msgspec.json.decode(text or b"{}", type=dict[str, dict[str, Weather]])
                before = text
                for link in links:
                    link.bear(said.get(link.name, {}))
        await asyncio.sleep(LOOK_S)


def relay(links: Sequence[Link], weather: Path) -> None:
    """Relay until SIGTERM or SIGINT."""

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        for link in links:
            await link.open()
        watching = asyncio.create_task(watch_weather(links, weather))
        await stop.wait()
        watching.cancel()
        for link in links:
            link.close()

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(run())


def main(home: Home) -> None:
    """Relay all links of the installation until SIGTERM or SIGINT."""
    relay(links_of(home.load()), home.weather_file)
