"""Group commit: whatever entries arrived within a few milliseconds become one signed block, acknowledged after fsync.

An fsync costs about the same for one entry as for a thousand, so while blocks are on their way to disk the next
entries gather. A lone entry waits LINGER_S at most. What cannot be taken in is refused at once (`overloaded`): a queue
without a bound only turns an overload into a longer one.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from holdfast.core import asks
from holdfast.core.asks import Acked, Failed
from holdfast.core.chain import BLOCK_BYTES_MAX, ENTRIES_PER_BLOCK_MAX, Block, Sign, digest_of, seal
from holdfast.core.classes import Class, chain_id
from holdfast.core.errors import Degraded
from holdfast.core.hlc import Hlc
from holdfast.core.log.continuity import Key, Link
from holdfast.region.keeper_store import Copy, Store

LINGER_S = 0.003  # entries gather this long while another block is on its way
OPEN_AGAIN_S = 0.2  # a stream that could not be made is asked for again
QUEUE_BYTES_MAX = 32_000_000  # about ten seconds at full load; older clients have given up by then

Reply = Callable[[bytes], None]
_decode = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode

STARTING = asks.encode(Failed("starting", "the keeper is recovering"))
OVERLOADED = asks.encode(Failed("overloaded", "too many entries wait to be kept"))


class Sealer:
    """Seals one of the region's own chains."""

    def __init__(self, cls: Class, region: str, store: Store, sign: Sign, clock: Hlc) -> None:
        self.cls = cls
        self.chain = chain_id(cls, region)
        self.copy: Copy | None = None
        self._store = store
        self._sign = sign
        self._clock = clock
        self._queue: deque[tuple[list[msgspec.Raw], int, Reply]] = deque()
        self._queued = 0
        self._more = asyncio.Event()
        self._next_epoch = ""

    def offer(self, payload: bytes, reply: Reply) -> None:
        """Take a msgpack list of entries; `reply` gets the encoded answer, once."""
        if self._queued + len(payload) > QUEUE_BYTES_MAX:
            return reply(OVERLOADED)
        if len(payload) > BLOCK_BYTES_MAX:
            return reply(asks.encode(Failed("refused", f"{len(payload)} bytes, a block takes {BLOCK_BYTES_MAX}")))
        try:
            entries = _decode(payload)
        except msgspec.MsgspecError as e:
            return reply(asks.encode(Failed("refused", f"not a list of entries: {e}")))
        if not 1 <= len(entries) <= ENTRIES_PER_BLOCK_MAX:
            return reply(asks.encode(Failed("refused", f"{len(entries)} entries, 1 to {ENTRIES_PER_BLOCK_MAX} go")))
        self._queue.append((entries, len(payload), reply))
        self._queued += len(payload)
        self._more.set()
        return None

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is on its way."""
        return not self._queue and (self.copy is None or not self.copy.writer.in_flight)

    def reopen(self, epoch: str) -> None:
        """Go on in a new epoch, once what is on its way has landed."""
        self._next_epoch = epoch
        self._more.set()

    async def run(self, now_us: Callable[[], int], sealing: set[Key]) -> None:
        """Seal for ever, keeping the epoch being written in `sealing`. Raises Broken when it cannot be written.

        A log server too slow to make a stream is waited for: a keeper that ended instead would come back to a server
        that is busier still.
        """
        if self.copy is not None:
            sealing.add(self.copy.key)
        while True:
            await self._more.wait()
            if self._next_epoch:
                try:
                    await self._open(self._next_epoch, sealing)
                except Degraded:
                    await asyncio.sleep(OPEN_AGAIN_S)
                    continue
            copy = self.copy
            if copy is None or not self._queue:
                self._more.clear()
                continue
            if copy.writer.in_flight:
                await asyncio.sleep(LINGER_S)
            await copy.writer.room()
            async with copy.lock:  # the scrubber rearranges only while nothing is being sealed
                self._seal(copy, now_us())

    async def _open(self, epoch: str, sealing: set[Key]) -> None:
        key = Key(self.chain, epoch)
        sealing.add(key)
        if self.copy is not None:
            await self.copy.writer.drain()
            sealing.discard(self.copy.key)
        self.copy = await self._store.open(key)
        self._link = self.copy.end
        self._next_epoch = ""

    def resume(self, copy: Copy) -> None:
        """Continue an epoch that recovery found whole."""
        self.copy = copy
        self._link = copy.end

    def _seal(self, copy: Copy, now_us: int) -> None:
        entries: list[msgspec.Raw] = []
        replies: list[Reply] = []
        size = 0
        while self._queue:
            more, bytes_more, reply = self._queue[0]
            if entries and (size + bytes_more > BLOCK_BYTES_MAX or len(entries) + len(more) > ENTRIES_PER_BLOCK_MAX):
                break
            self._queue.popleft()
            self._queued -= bytes_more
            entries += more
            size += bytes_more
            replies.append(reply)
        link, epoch = self._link, copy.key.epoch
        hlc = self._clock.tick(now_us)
        message = seal(Block(self.chain, epoch, link.n + 1, link.digest, hlc, entries), self._sign)
        self._link = Link(link.n + 1, digest_of(message))
        if not copy.opened:
            copy.opened = hlc
        acked = asks.encode(Acked(self.chain, epoch, self._link.n, hlc))

        def done(future: asyncio.Future[None]) -> None:
            answer = acked if not future.cancelled() and future.exception() is None else STARTING
            for reply in replies:
                reply(answer)

        copy.writer.put(self._link, message).add_done_callback(done)
