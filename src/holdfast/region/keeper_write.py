"""Putting blocks into a stream so that a plain yes means kept: pipelined, fenced, and read back when in doubt.

Several blocks may be on their way at once, each fenced by the number before it and by the digest of the block before
it, so they land in order or not at all. (By the number alone, a block whose predecessor was refused would land behind
the block of whoever took its place: found by simulation.)
An answer other than yes (error 10071, `duplicate`, silence) says nothing: the message may be kept or not. Then no
more is sent; the stream is read and compared. Same bytes: kept. Nothing there: sent again. Other bytes: another keeper
writes this chain, and this process must stop.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.adapters.log_streams import Published, Streams
from holdfast.core.chain import digest_of
from holdfast.core.errors import Broken, Degraded
from holdfast.core.log.continuity import Key, Link

DEPTH = 4  # blocks on their way at once: hides the round trip and lets JetStream fsync back to back
SETTLE_PAUSE_S = 0.1


class Fenced(Broken):
    """Another keeper has written this chain."""


@dataclass(slots=True)
class _Sent:
    link: Link
    message: bytes
    task: asyncio.Task[Published]
    done: asyncio.Future[None]


class Writer:
    """Writes one stream. `confirm(link, message)` is called in order for each block that is surely on disk."""

    def __init__(self, streams: Streams, key: Key, confirm: Callable[[Link, bytes], None]) -> None:
        self._streams = streams
        self._key = key
        self._confirm = confirm
        self._sent: deque[_Sent] = deque()
        self._loop_task: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()
        self.broken: BaseException | None = None
        self.refused = 0  # times in a row that a server which answers would not store, or left that unanswered

    @property
    def in_flight(self) -> int:
        return len(self._sent)

    async def room(self) -> None:
        """Wait until another block may be sent. Raises Broken once the writer is broken."""
        await self._room.wait()
        if self.broken:
            raise Broken(f"{self._key.chain} can no longer be written: {self.broken}") from self.broken

    def put(self, link: Link, message: bytes) -> asyncio.Future[None]:
        """Send block `link.n`; the future ends when it is on disk, or with Broken. Call `room` before."""
        loop = asyncio.get_running_loop()
        after = self._sent[-1].link.digest.hex() if self._sent else ""
        sent = _Sent(link, message, loop.create_task(self._publish(link, message, after)), loop.create_future())
        sent.done.add_done_callback(_heard)
        self._sent.append(sent)
        if len(self._sent) >= DEPTH:
            self._room.clear()
        if self._loop_task is None:
            self._loop_task = loop.create_task(self._finish())
        return sent.done

    async def drain(self) -> None:
        """Wait until nothing is on its way. Raises Broken if the writer broke."""
        while self._loop_task is not None:
            await asyncio.wait([self._loop_task])
        if self.broken:
            raise Broken(f"{self._key.chain} can no longer be written: {self.broken}") from self.broken

    async def _publish(self, link: Link, message: bytes, after: str = "") -> Published:
        return await self._streams.publish(self._key, link.n, message, link.digest.hex(), after)

    async def _finish(self) -> None:
        """Take answers in order until nothing is on its way."""
        try:
            while self._sent:
                if (await self._sent[0].task).stored:
                    self._kept(self._sent[0])
                else:
                    await self._settle()
        except Broken as e:
            self.broken = e
            self._room.set()
            for sent in self._sent:
                if not sent.done.done():
                    sent.done.set_exception(e)
            self._sent.clear()
        finally:
            self._loop_task = None

    def _kept(self, sent: _Sent) -> None:
        self._sent.popleft()
        self.refused = 0
        self._confirm(sent.link, sent.message)
        if not sent.done.done():
            sent.done.set_result(None)
        if len(self._sent) < DEPTH:
            self._room.set()

    async def _settle(self) -> None:
        """Find out by reading what became of everything on its way, sending again what is not there."""
        self._room.clear()
        await asyncio.wait([s.task for s in self._sent])
        while self._sent:
            sent = self._sent[0]
            try:
                if await self._is_kept(sent):
                    self._kept(sent)
                    continue
                if not (await self._publish(sent.link, sent.message)).stored:
                    self.refused += 1
                    await asyncio.sleep(SETTLE_PAUSE_S)  # refused, a full disk perhaps: not in a tight circle
            except Degraded:
                await asyncio.sleep(SETTLE_PAUSE_S)  # the server is away: ask again until it is back
        self._room.set()

    async def _is_kept(self, sent: _Sent) -> bool:
        """Read the stream: is exactly this block there? Raises Fenced if another is, Broken if one before is gone."""
        n = sent.link.n
        extent = await self._streams.extent(self._key)
        if extent is None or extent.last < n - 1:
            raise Broken(f"{self._key.chain} {self._key.epoch} lost blocks after {extent.last if extent else 0}")
        if extent.last < n:
            return False
        got = await self._streams.read(self._key, n, n)
        if not got or got[0][0] != n:
            raise Broken(f"block {n} of {self._key.chain} {self._key.epoch} cannot be read back")
        if got[0][1] != sent.message:
            raise Fenced(f"another keeper wrote block {n} of {self._key.chain} ({digest_of(got[0][1]).hex()[:8]})")
        return True


def _heard(future: asyncio.Future[None]) -> None:
    """Mark an error as seen, so that a caller that no longer waits causes no warning."""
    if not future.cancelled():
        future.exception()
