"""One connection to a log server that never gives up, and requests that end when it breaks.

The library's defaults fit a short-lived client: it stops reconnecting after two minutes, notices a silent server after
four, and lets a request that was on its way when the connection broke wait for its time-out. Here it pings every
second, reconnects for ever, and what was on its way ends at once: that is most of resuming within a second.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from holdfast.core.errors import Degraded

RECONNECT_WAIT_S = 0.2  # a peer that returns is found again within this; issue: carrying resumes within 1 s
CONNECT_TIMEOUT_S = 1  # a stopped server accepts and says nothing; give up and try again
PING_S = 1
PINGS_OUT = 2  # a silent server is noticed after 2-3 s
RETRY_S = 0.1  # pause before asking again when the keeper is not there yet
PENDING_BYTES = 64 * 1024 * 1024  # what may wait for a connection; above it publishing fails, loudly

Headers = dict[str, str]
Reply = Callable[[bytes], None]
Handler = Callable[[str, bytes, Reply], Awaitable[None]]  # (subject, payload, reply)


class Silent(Degraded):
    """Nobody listens on the subject: the request was surely not taken."""


class Wire:
    """One connection. A request that is on its way when the connection breaks ends at once, not at its time-out."""

    def __init__(self) -> None:
        self.nats = Client()
        self._broke: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def request(self, subject: str, payload: bytes, timeout_s: float, headers: Headers | None = None) -> bytes:
        """Send one request, return the answer. Raises Silent if it surely was not taken, else Degraded."""
        if not self.nats.is_connected:
            raise Silent("the log server is away", retry_after_s=RETRY_S)
        asked = asyncio.ensure_future(self.nats.request(subject, payload, timeout=timeout_s, headers=headers))
        asked.add_done_callback(_heard)
        try:
            await asyncio.wait([asked, self._broke], return_when=asyncio.FIRST_COMPLETED)
        finally:
            whole = asked.done()
            asked.cancel()
        if not whole:
            raise Degraded("the connection to the log server broke", retry_after_s=RETRY_S)
        try:
            return asked.result().data
        except nats_errors.NoRespondersError as e:
            raise Silent("nobody listens there yet", retry_after_s=RETRY_S) from e
        except (TimeoutError, OSError, nats_errors.Error) as e:
            raise Degraded(f"the log does not answer: {e!r}", retry_after_s=1.0) from e

    async def broken(self) -> None:
        """Called when the connection breaks."""
        self._broke.set_result(None)
        self._broke = asyncio.get_running_loop().create_future()


def _heard(asked: "asyncio.Future[Msg]") -> None:
    """Mark an answer as seen, also when its asker has gone."""
    if not asked.cancelled():
        asked.exception()


async def connect(url: str, user: str, password: str, name: str, inbox: str = "_INBOX") -> Wire:
    """Connect to a log server, trying until it is there. Cancel to give up."""

    async def quiet(_: Exception) -> None:
        """Every failed attempt is reported here; the attempts go on by themselves."""

    while True:
        wire = Wire()
        try:
            await wire.nats.connect(
                url, user=user, password=password, name=name, inbox_prefix=inbox.encode(), error_cb=quiet,
                disconnected_cb=wire.broken,
                allow_reconnect=True, max_reconnect_attempts=-1, reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # seconds, fractions work
                connect_timeout=CONNECT_TIMEOUT_S, ping_interval=PING_S, max_outstanding_pings=PINGS_OUT,
                pending_size=PENDING_BYTES, flush_timeout=5,
            )  # fmt: skip
            return wire
        except (OSError, nats_errors.Error, TimeoutError):
            await asyncio.sleep(RECONNECT_WAIT_S)


class Replies:
    """Sends answers from plain code: they queue here, and one task publishes them in order."""

    def __init__(self, client: Client) -> None:
        self._nats = client
        self._queue: deque[tuple[str, bytes]] = deque()
        self._more = asyncio.Event()

    def send(self, subject: str, data: bytes) -> None:
        """Queue an answer. One without an address is dropped: nobody waits for it."""
        if subject:
            self._queue.append((subject, data))
            self._more.set()

    async def run(self) -> None:
        """Publish for ever; answers that find no connection are dropped, their askers ask again."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._queue:
                subject, data = self._queue.popleft()
                with contextlib.suppress(OSError, nats_errors.Error):
                    await self._nats.publish(subject, data)
