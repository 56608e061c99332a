"""Answering asks: what a keeper tells its own region's processes and its peers, and nothing else.

The subject of an ask says the class and who asks; the log server lets a peer publish only its own. An ask that waits
for news costs a task, so their number is bounded.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

import msgspec

from holdfast.core import asks
from holdfast.core.asks import Blocks, Chunk, Failed, Head, HeadsAnswer, Run
from holdfast.core.classes import Class
from holdfast.core.errors import Degraded
from holdfast.core.log import ranges
from holdfast.core.log.safe import Safety
from holdfast.region.keeper_store import Copy, Store

LINGER_S = 0.008  # small answers come no closer than this: at full load it halves what following costs
SMALL_BYTES = 64_000
OPEN_ASKS_MAX = 500
OPEN_ASKS_PEER_MAX = 40  # of one peer: one `follow` per class, its scrubber, its fetches of blobs; more is a fault
RELAY_AFTER_MS_MIN = 100  # how often a waiting `follow` may look again for what has lain here long enough
LOCAL = "local"


class Server:
    """Answers the asks of one region. `keeper` is this process's random id."""

    def __init__(self, region: str, store: Store, keeper: str) -> None:
        self.region = region
        self.keeper = keeper
        self.safety = {c: Safety(region) for c in Class}
        self._store = store
        self._open: Counter[str] = Counter()

    async def answer(self, subject: str, payload: bytes, reply: Callable[[bytes], None]) -> None:
        """Answer one ask, given its subject `hf.ask.<class>.<who>`."""
        _, _, cls, who = subject.split(".")
        if self._open[who] >= (OPEN_ASKS_MAX if who == LOCAL else OPEN_ASKS_PEER_MAX):
            return reply(asks.encode(Failed("overloaded", "too many asks are open")))
        self._open[who] += 1
        try:
            reply(asks.encode(await self._answer(Class(cls), who, asks.decode_ask(payload))))
        except (msgspec.MsgspecError, ValueError) as e:
            reply(asks.encode(Failed("refused", f"not an ask: {e}")))
        except Degraded as e:
            reply(asks.encode(Failed("starting", str(e))))
        finally:
            self._open[who] -= 1

    async def _answer(self, cls: Class, who: str, ask: asks.Ask) -> asks.Answer:
        match ask:
            case asks.Heads():
                return self.heads(cls, ask.chains)
            case asks.Follow():
                return await self._follow(cls, who, ask)
            case asks.Range():
                return await self._range(cls, ask)
            case asks.BlobPart():
                if len(ask.sha) != 64 or not ask.sha.isalnum() or not 0 <= ask.offset < 2**62 or ask.size < 0:
                    return Failed("refused", "not a part of a blob named by its sha256")
                size = min(ask.size, asks.ANSWER_BYTES_MAX)
                return Chunk(*await asyncio.to_thread(self._store.files.part, cls, ask.sha, ask.offset, size))

    def heads(self, cls: Class, chains: list[str]) -> HeadsAnswer:
        """How far each epoch of these chains is held."""
        out: dict[str, list[Head]] = {}
        for c in self._store.of_class(cls):
            if c.end.n and (not chains or c.key.chain in chains):
                first = ranges.step_over(0, c.lost) + 1
                head = Head(c.key.epoch, first, c.end.n, c.end.digest, c.opened, c.missing, c.lost)
                out.setdefault(c.key.chain, []).append(head)
        return HeadsAnswer(out, self.keeper)

    async def _range(self, cls: Class, ask: asks.Range) -> asks.Answer:
        for c in self._store.of_class(cls):
            if c.key == (ask.chain, ask.epoch):
                size = max(1, min(ask.max_bytes, asks.ANSWER_BYTES_MAX))
                messages = await self._store.read(c, ask.first, ask.last, size) if ask.first >= 1 else []
                return Blocks([Run(ask.chain, ask.epoch, ask.first, messages)] if messages else [])
        return Blocks([])

    async def _follow(self, cls: Class, who: str, ask: asks.Follow) -> Blocks:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        deadline = asked + min(ask.wait_ms, asks.WAIT_MS_MAX) / 1000
        safety = self.safety[cls]
        if who != LOCAL and safety.hear(who, ask.have):
            self._store.changed(cls)
        while True:
            news = self._store.news(cls)
            runs, size = await self._collect(cls, who, ask)
            safe_moved = ask.safe_known != -2 and ask.safe_known != safety.version
            left = deadline - loop.time()
            if runs or safe_moved or left <= 0:
                break
            if ask.relay_after_ms:
                left = min(left, max(ask.relay_after_ms, RELAY_AFTER_MS_MIN) / 1000)
            try:
                await asyncio.wait_for(news.wait(), left)
            except TimeoutError:
                continue
        early_s = asked + LINGER_S - loop.time()
        if runs and size < SMALL_BYTES and ask.wait_ms and early_s > 0:  # who waited long gets it at once
            await asyncio.sleep(early_s)
            runs, size = await self._collect(cls, who, ask)
        held = self._store.held(cls)
        lost: asks.Lost = {}
        for c in self._store.of_class(cls):
            if c.lost:
                lost.setdefault(c.key.chain, {})[c.key.epoch] = c.lost
        return Blocks(runs, held, safety.safe(held), lost=lost, safe_version=safety.version)

    async def _collect(self, cls: Class, who: str, ask: asks.Follow) -> tuple[list[Run], int]:
        runs: list[Run] = []
        left = min(ask.max_bytes, asks.ANSWER_BYTES_MAX)
        for c in self._store.of_class(cls):
            first = ranges.step_over(ask.have.get(c.key.chain, {}).get(c.key.epoch, 0), c.lost) + 1
            last = self._relayable(c, who, ask.relay_after_ms)
            hole = next((a for a, b in ranges.union(c.missing, c.lost) if b >= first), last + 1)
            last = min(last, hole - 1)
            if first > last or left <= 0:
                continue
            messages = await self._store.read(c, first, last, left)
            if messages:
                runs.append(Run(c.key.chain, c.key.epoch, first, messages))
                left -= sum(map(len, messages))
        return runs, min(ask.max_bytes, asks.ANSWER_BYTES_MAX) - left

    def _relayable(self, c: Copy, who: str, relay_after_ms: int) -> int:
        """The last block of a copy that may be offered: to peers, other regions' blocks only once they lay here."""
        if who == LOCAL or c.origin == self.region or not relay_after_ms:
            return c.end.n
        too_young = self._store.now_s() - relay_after_ms / 1000
        for n, _, at in c.ring:
            if at > too_young:
                return n - 1
        return c.end.n
