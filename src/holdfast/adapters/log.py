"""The way to the log: append entries, follow chains, ask a keeper. This package alone (log, log_*) imports nats.

A `LogClient` speaks to one region's log server: its own, as user `local`, or a peer's, through the peer's account of
ours there. The connection itself, which never gives up, is in `log_wire`.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from nats.aio.msg import Msg

from holdfast.adapters.home import Home
from holdfast.adapters.log_wire import RETRY_S, Handler, Replies, Silent, Wire, connect
from holdfast.adapters.natsconf import LOCAL_USER
from holdfast.adapters.signing import load_keys
from holdfast.core import asks
from holdfast.core.asks import Acked, Answer, Ask, Blocks, Chunk, Failed, Have, HeadsAnswer
from holdfast.core.chain import Block, unseal
from holdfast.core.classes import Class
from holdfast.core.entries import Entry
from holdfast.core.errors import Broken, Degraded, Refused
from holdfast.core.log.ranges import step_over

FOLLOW_AGAIN_S = 0.2  # a follower asks again this soon after a failure

A = TypeVar("A", HeadsAnswer, Blocks, Chunk, Failed)

encode_list = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class Batch:
    """Decoded blocks of one chain and epoch, in order, without a gap except what `lost` names."""

    chain: str
    epoch: str
    first: int
    blocks: list[Block]
    messages: list[bytes]


@dataclass(slots=True)
class News:
    """One answer of a keeper: batches (maybe none), and how far this region holds and knows to be safe each chain."""

    cls: Class
    batches: list[Batch]
    held: Have
    safe: Have
    lost: asks.Lost = field(default_factory=dict)


class LogClient:
    """A connection to one region's log. `who` is the name under which it asks: `local`, or our region's at a peer."""

    def __init__(self, wire: Wire, who: str) -> None:
        self.wire = wire
        self.nats = wire.nats
        self.who = who

    @classmethod
    async def open(cls, home: Home, region: str, peer: str = "", role: str = "") -> "LogClient":
        """Connect as a process of `region` to its own log server, or to `peer`'s. Waits until the server is there."""
        top, keys = home.load(), load_keys(home, region)
        target = top.region(peer or region)
        name = f"{region}/{role or 'client'}"
        if peer:
            url = f"nats://{target.host}:{top.link_port(region, peer)}"
            return cls(await connect(url, region, keys.peers[peer], name, f"_INBOX_{region}"), region)
        url = target.nats or f"nats://{target.host}:{target.nats_port}"
        return cls(await connect(url, LOCAL_USER, keys.nats_local, name), "local")

    async def close(self) -> None:
        """Close the connection; what was not sent is dropped."""
        await self.nats.close()

    async def serve(self, subject: str, group: str, handler: Handler, replies: Replies) -> None:
        """Answer requests on a subject; of several processes in one `group`, one gets each request.

        The handler is awaited request by request: it must not wait for anything itself.
        """

        async def take(msg: Msg) -> None:
            await handler(msg.subject, msg.data, functools.partial(replies.send, msg.reply))

        await self.nats.subscribe(subject, queue=group, cb=take)

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> Answer:
        """Send one request and decode its answer. Raises as `Wire.request`."""
        data = await self.wire.request(subject, payload, timeout_s)
        try:
            return asks.decode_answer(data)
        except msgspec.MsgspecError as e:
            raise Broken(f"the keeper's answer on {subject} does not decode: {e}") from e

    async def ask(self, cls: Class, ask: Ask, timeout_s: float = 5.0) -> Answer:
        """Ask the keeper. Raises Degraded when it does not answer in time, is overloaded or starting; Refused on a
        question it refuses."""
        answer = await self.request(f"hf.ask.{cls}.{self.who}", asks.encode(ask), timeout_s)
        if isinstance(answer, Failed):
            if answer.error == "refused":
                raise Refused(answer.message)
            raise Degraded(f"the keeper says {answer.error}: {answer.message}", retry_after_s=RETRY_S)
        return answer

    async def append(self, cls: Class, entries: bytes | Sequence[Entry], timeout_s: float = 5.0) -> Acked:
        """Append entries (a msgpack list, or structs) as one piece to this region's chain of `cls`.

        Returns when the block that holds them is fsynced. Raises Degraded when that is not known within `timeout_s`
        (they may or may not be kept: send them again, ids make that harmless) or the keeper is overloaded; Refused if
        they are not a list of entries or too large for a block.
        """
        payload = entries if isinstance(entries, bytes) else encode_list(list(entries))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            try:
                answer = await self.request(f"hf.append.{cls}", payload, max(deadline - loop.time(), 0.05))
            except Silent:
                if loop.time() > deadline - RETRY_S:
                    raise
                await asyncio.sleep(RETRY_S)
                continue
            if isinstance(answer, Acked):
                return answer
            failed = _of(Failed, answer)
            if failed.error == "refused":
                raise Refused(failed.message, field="entries")
            if failed.error == "overloaded" or loop.time() > deadline - RETRY_S:
                raise Degraded(f"the keeper says {failed.error}: {failed.message}")
            await asyncio.sleep(RETRY_S)

    async def heads(self, cls: Class, chains: Iterable[str] = (), timeout_s: float = 2.0) -> HeadsAnswer:
        """How far the keeper holds the chains of a class. Raises as `ask`."""
        answer = await self.ask(cls, asks.Heads(chains=list(chains)), timeout_s)
        return _of(HeadsAnswer, answer)

    async def range(self, cls: Class, chain: str, epoch: str, first: int, last: int) -> Blocks:
        """Blocks first..last of one epoch, or the beginning of that row, if the keeper holds it. Raises as `ask`."""
        answer = await self.ask(cls, asks.Range(chain=chain, epoch=epoch, first=first, last=last))
        return _of(Blocks, answer)

    async def blob(self, cls: Class, sha: str, offset: int = 0, size: int = 1_000_000) -> Chunk:
        """A part of a blob; `total` is −1 when the keeper does not hold it. Raises as `ask`."""
        answer = await self.ask(cls, asks.BlobPart(sha=sha, offset=offset, size=size))
        return _of(Chunk, answer)

    async def follow(self, cls: Class, ask: asks.Follow) -> Blocks:
        """What comes next in the chains of a class. Raises as `ask`."""
        answer = await self.ask(cls, ask, ask.wait_ms / 1000 + 2.0)
        return _of(Blocks, answer)

    async def follow_class(self, cls: Class, have: Have, wait_ms: int = 2_000) -> AsyncIterator[News]:
        """Follow all chains of one class for ever, from `have` (which is advanced in place).

        Yields one News per answer, also when nothing is new, so that `held` and `safe` are fresh. A block comes once
        per `have`, in order; keepers may come and go.
        """
        known = -1
        while True:
            try:
                answer = await self.follow(cls, asks.Follow(have=have, wait_ms=wait_ms, safe_known=known))
            except Degraded as e:
                await asyncio.sleep(min(e.retry_after_s, FOLLOW_AGAIN_S))
                continue
            known = answer.safe_version
            batches = [batch for run in answer.runs if (batch := _take(run, have, answer.lost)) is not None]
            pass_lost(have, answer.lost)
            yield News(cls, batches, answer.held, answer.safe, answer.lost)

    async def follow_all(
        self, classes: Iterable[Class], have: Have | None = None, wait_ms: int = 2_000
    ) -> AsyncIterator[News]:
        """Follow several classes at once; the News of each class arrive in order, rulings tend to come first.

        `have` is advanced in place as News are handed out. Memory is bounded: one answer per class waits at a time.
        """
        mine = have if have is not None else {}
        queue: asyncio.Queue[News] = asyncio.Queue(maxsize=1)

        async def pump(cls: Class) -> None:
            async for news in self.follow_class(cls, mine, wait_ms):
                await queue.put(news)

        tasks = [asyncio.create_task(pump(cls)) for cls in classes]
        try:
            while True:
                getter = asyncio.create_task(queue.get())
                await asyncio.wait([getter, *tasks], return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():  # a pump ends only by an error: say it here
                        getter.cancel()
                        task.result()
                yield await getter
        finally:
            for task in tasks:
                task.cancel()


def _of(kind: type[A], answer: Answer) -> A:
    """The answer, if it is of the kind that was asked for. Raises Broken: a peer may say anything."""
    if not isinstance(answer, kind):
        raise Broken(f"the keeper answers {type(answer).__name__} where {kind.__name__} was asked for")
    return answer


def pass_lost(have: Have, lost: asks.Lost) -> None:
    """Advance `have` over what is lost behind it: where an epoch ends in a lost range, no later block would do so."""
    for chain, epochs in lost.items():
        for epoch, ranges in epochs.items():
            at = have.get(chain, {}).get(epoch, 0)
            if (over := step_over(at, ranges)) > at:
                have.setdefault(chain, {})[epoch] = over


def _take(run: asks.Run, have: Have, lost: asks.Lost) -> Batch | None:
    """Advance `have` by one run and decode what is new of it. Raises Broken on a gap."""
    epochs = have.setdefault(run.chain, {})
    at = epochs.get(run.epoch, 0)
    over = step_over(at, lost.get(run.chain, {}).get(run.epoch, []))
    skip = max(at + 1 - run.first, 0)
    messages = run.messages[skip:]
    if not messages:
        return None
    first = run.first + skip
    if first > over + 1:
        raise Broken(f"{run.chain} jumps from block {at} to {first} of epoch {run.epoch}")
    blocks = [unseal(m) for m in messages]
    epochs[run.epoch] = first + len(messages) - 1
    return Batch(run.chain, run.epoch, first, blocks, messages)
