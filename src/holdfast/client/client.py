"""A viewer's client: a feed that always answers, and an outbox that keeps what was said until it is safe.

    async with Client(regions, "US") as client:
        slate = await client.feed(10)
        client.view(slate.items[0].item, dwell_ms=6000, duration_ms=6000, slate=slate.slate)
        client.like(slate.items[0].item)

Reads go through a staggered race (`reach`); what is said goes into the outbox and is sent in order by `_flush`. The
fence: a token, the context and the seen list go to regions of the client's jurisdiction only. A foreign region is
asked for a longer public list, which is filtered and ordered here.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from holdfast.adapters.aio.calls import Calls, RefusedEntry
from holdfast.adapters.around import HERE, Around
from holdfast.adapters.signing import Signer, b64, device_message
from holdfast.client.answers import Acked, Marks
from holdfast.client.clock import Clock
from holdfast.client.device import Memory
from holdfast.client.journal import Journal
from holdfast.client.reach import Reach
from holdfast.core.classes import class_of
from holdfast.core.entries import Say
from holdfast.core.errors import Degraded, Refused
from holdfast.core.feed.kinds import KindName
from holdfast.core.feed.shapes import SLATE_MAX, FeedRequest, Slate
from holdfast.core.health.backoff import delay_s
from holdfast.core.health.outbox import Kept, Outbox, Watermark
from holdfast.core.health.router import Place, Router

FEED_DEADLINE_S = 1.5  # beyond this the device goes on by itself
WRITE_DEADLINE_S = 5.0  # for a write with nowhere else to go: fsync on a tired disk
GATHER_S = 0.1  # what is said within this time travels together
BATCH_MAX = 500  # half of what a node takes in one request
HEARTBEAT_S = 0.5  # how long a silent region goes unnoticed while nothing else is asked of it
PROBE_FIRST_S, PROBE_CAP_S = 0.5, 4.0  # full jitter between tries of a suspected region
RETRY_FIRST_S, RETRY_CAP_S = 0.2, 5.0
SHOWING_MAX_MS = 3_600_000  # entries.Millis: more is a player that was forgotten
DOORS = ("door", "malformed", "large")  # codes by which a region says that the entries themselves are at fault


@dataclass(frozen=True, slots=True)
class Told:
    """Noticed: `asked` (for a slate), `slate`, `suspect`, `moved`, `acked`, `safe`, `refused`. `at_s`: monotonic."""

    what: str
    region: str
    at_s: float
    numbers: Sequence[int] = ()


class Client:
    """One device. `prefer` names the nearest region; `outbox` is a file to keep what is said in.

    `device` is its key; by default a new one, kept beside the outbox if there is one, since its numbers are this key's.
    """

    def __init__(
        self, places: Sequence[Place], jurisdiction: str, *, prefer: str = "", device: Signer | None = None,
        outbox: Path | None = None, calls: Calls | None = None, tell: Callable[[Told], None] = lambda told: None,
        around: Around = HERE,
    ) -> None:  # fmt: skip
        self._now_s, self._clock = around.now_s, Clock(around.now_us)
        self._chance, self._token_hex = around.chance, around.token_hex
        self.router = Router(jurisdiction, sorted(places, key=lambda p: p.name != prefer))
        self.memory = Memory()
        self.alias = ""
        self.heartbeat_s = HEARTBEAT_S
        self._own_calls = calls is None
        self._reach = Reach(self.router, calls or Calls(), self._suspected, self._now_s)
        self._journal = Journal(outbox) if outbox else None
        self.outbox = self._journal.load() if self._journal else Outbox()
        seed, known = self._journal.key() if self._journal and not device else (secrets.token_bytes(32), device)
        self._device = device or Signer(seed)
        if known and not self.outbox.last:  # a known device without its outbox: numbers it cannot have used yet
            self.outbox.last = self._clock.now_us()
        self.tell = tell
        self._token = ""
        self._at_once = BATCH_MAX
        self._news = asyncio.Event()
        self._heard_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._probes: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> "Client":
        self._tasks = [asyncio.create_task(self._flush()), asyncio.create_task(self._listen())]
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop. What is not yet safe stays in the outbox file, if there is one."""
        tasks = self._tasks + list(self._probes.values())
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        await self._reach.aclose()
        if self._journal:
            self._journal.close()
        if self._own_calls:
            await self._reach.calls.aclose()
        for end in ends:  # a task of ours that ended by itself is a mistake of ours: say it
            if isinstance(end, Exception):
                raise end

    # -- the feed ------------------------------------------------------------------------------------------------

    async def feed(
        self, n: int = 10, *, at_most: str = "FULL", exclude: Sequence[str] = (), feed: KindName = "for_you",
        topic: str = "",
    ) -> Slate:  # fmt: skip
        """Return a slate of up to `n` videos; with no region in reach its rung is DEVICE. Feeds: `core.feed.kinds`.

        Raises Refused only when the request itself is at fault.
        """
        request = self._token_hex(8)
        near = self.router.candidates(self._now_s())
        ask = FeedRequest(
            n=n, request=request, context=self.memory.context(self._now_s()), seen=list(self.memory.seen),
            at_most=at_most, exclude=list(exclude), feed=feed, topic=topic,  # type: ignore[arg-type]
        )  # fmt: skip
        try:
            place, slate = await self._reach.race(
                lambda p: self._ask_feed(p, ask), near + self.router.foreign(), FEED_DEADLINE_S, hedge=len(near)
            )
        except Degraded:
            slate = self.memory.alone(ask, self._clock.now_us())
            self.tell(Told("slate", "", self._now_s()))
            return slate
        self._heard_s = self._now_s()
        self._hear(place.name, slate.safe, slate.held, slate.now)
        self.memory.offered(slate.items)
        if place.jurisdiction != self.router.jurisdiction:
            kept = [i for i in slate.items if i.item not in set(exclude)]
            fit, slate.feed = self.memory.narrowed(kept or slate.items, feed, topic)
            slate.items, slate.rewatch = self.memory.order(fit, n, slate.feed)
            slate.rewatch |= not kept  # a repeat, and said to be one, is better than nothing at all
            slate.taste = self.memory.shown_taste()
        self.tell(Told("slate", place.name, self._now_s()))
        return slate

    async def _ask_feed(self, place: Place, ask: FeedRequest) -> Slate:
        self.tell(Told("asked", place.name, self._now_s()))
        url = f"{place.url}/v1/feed"
        if place.jurisdiction != self.router.jurisdiction:  # the fence: nothing about this viewer leaves
            return await self._reach.calls.call("POST", url, FeedRequest(n=SLATE_MAX), answer=Slate)
        return await self._personal(place, "POST", "/v1/feed", ask, Slate)

    async def held(self, region: str) -> list[tuple[int, int]]:
        """Which outbox numbers of this device a permitted region says it holds, as closed intervals."""
        place = next(p for p in self.router.permitted() if p.name == region)
        answer = await self._personal(place, "GET", "/v1/held", None, dict[str, Any])
        return [(first, last) for first, last in answer["intervals"]]

    # -- saying things -------------------------------------------------------------------------------------------

    def view(self, item: str, *, dwell_ms: int, duration_ms: int = 0, slate: str = "", pos: int = 0) -> int:
        """A showing ended. Returns the outbox number."""
        dwell_ms, duration_ms = (min(max(0, ms), SHOWING_MAX_MS) for ms in (dwell_ms, duration_ms))
        fields = {"item": item, "dwell_ms": dwell_ms, "duration_ms": duration_ms, "slate": slate, "pos": pos}
        self.memory.remember("view", item, dwell_ms, duration_ms, self._now_s())
        return self._say("view", fields)

    def like(self, item: str, on: bool = True) -> int:
        if on:
            self.memory.remember("like", item, 0, 0, self._now_s())
        return self._say("like", {"item": item, "on": on})

    def skip(self, item: str, slate: str = "") -> int:
        self.memory.remember("skip", item, 0, 0, self._now_s())
        return self._say("skip", {"item": item, "slate": slate})

    def hide(self, item: str, slate: str = "") -> int:
        self.memory.remember("hide", item, 0, 0, self._now_s())
        return self._say("hide", {"item": item, "slate": slate})

    def follow(self, creator: str, on: bool = True) -> int:
        self.memory.follows = self.memory.follows | {creator} if on else self.memory.follows - {creator}
        return self._say("follow", {"creator": creator, "on": on})

    def interest(self, about: Literal["tag", "creator"], name: str, say: Say) -> int:
        """More, less or never of a tag or creator; `learned` takes that back. Returns the outbox number."""
        self.memory.told[(about, name)] = say
        return self._say("interest", {"about": about, "name": name, "say": say})

    def forget(self) -> int:
        """Have nothing chosen by what was done up to now. What was seen stays seen. Returns the outbox number."""
        self.memory.forget()
        return self._say("reset", {"before": max(self._clock.now_us(), self._clock.last)})

    def share(self, item: str) -> int:
        self.memory.remember("share", item, 0, 0, self._now_s())
        return self._say("share", {"item": item})

    def comment(self, item: str, text: str) -> int:
        self.memory.remember("comment", item, 0, 0, self._now_s())
        return self._say("comment", {"item": item, "text": text})

    def _say(self, kind: str, fields: dict[str, object]) -> int:
        number = self.outbox.next_number()
        raw = msgspec.msgpack.encode({"kind": kind, "outbox": number, "stamp": self._clock.stamp(), **fields})
        if self._journal:
            self._journal.keep(number, raw, class_of(kind))
        self.outbox.put(number, raw, class_of(kind))
        self._news.set()
        return number

    # -- sending -------------------------------------------------------------------------------------------------

    async def _flush(self) -> None:
        """Send what waits, in order, one request at a time, for as long as the client lives."""
        attempt = 0
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_S if not attempt else 0)
            self._news.clear()
            if not (batch := self.outbox.batch(self._at_once)):
                continue
            near = self.router.candidates(self._now_s())
            try:
                if not near:
                    raise Degraded("no permitted region answers", retry_after_s=0.0)
                await self._send(near, batch)
                attempt = 0
            except RefusedEntry as e:
                if e.field == "stamp":
                    await self._ask_time(e.region)
                if not self._refused(batch[e.index if e.index < len(batch) else 0], e.field):
                    attempt = await self._rest(attempt)
            except Degraded as e:
                if e.retry_after_s or self.router.candidates(self._now_s())[:1] in ([], near[:1]):  # nowhere better
                    attempt = await self._rest(attempt, e.retry_after_s)
            except Refused as e:
                if e.code in DOORS:
                    self._narrow(batch)
                else:  # the token, or what answers there is no region: try again slowly, and keep everything
                    attempt = await self._rest(attempt)
            if self.outbox.waits():
                self._news.set()

    async def _rest(self, attempt: int, told_s: float = 0.0) -> int:
        """Wait after a try that failed, at least as long as a region asked for; return the number of the next one."""
        wait_s = delay_s(attempt, self._chance(), first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S)
        await asyncio.sleep(max(wait_s, min(told_s, RETRY_CAP_S)))
        return attempt + 1

    def _narrow(self, batch: list[Kept]) -> None:
        """A region refused a batch without naming the entry: go one by one until it stands alone, and give that up."""
        if len(batch) == 1:
            self._refused(batch[0], "")
        self._at_once = 1 if len(batch) > 1 else BATCH_MAX

    async def _send(self, near: list[Place], batch: list[Kept]) -> None:
        if self._journal:
            self._journal.sync()
        numbers = [kept.number for kept in batch]
        body = {"entries": [msgspec.Raw(kept.raw) for kept in batch]}
        place, acked = await self._reach.race(
            lambda p: self._personal(p, "POST", "/v1/events", body, Acked), near, WRITE_DEADLINE_S
        )
        now_s = self._heard_s = self._now_s()
        left = self.outbox.acknowledge(numbers, *acked.acks(now_s))
        self.tell(Told("acked", place.name, now_s, [n for n in numbers if n not in left] if left else numbers))
        self._hear(place.name, acked.safe, acked.held, acked.now)
        if left:
            raise Degraded(f"{place.name} named no block for {len(left)} entries", retry_after_s=0.0)

    def _refused(self, kept: Kept, field: str) -> bool:
        """The door does not take an entry: give it up, unless only its time was ahead. Return whether that is settled.

        What is ahead is stamped anew; what a region took is not, nor said to this one. Else the time was not told yet.
        """
        if field == "stamp" and not self._clock.aged(kept.raw):
            late = [k for k in self.outbox.kept.values() if not k.acks and self._clock.ahead(k.raw)]
            for entry in late:
                entry.raw = self._clock.anew(entry.raw)
                if self._journal:
                    self._journal.keep(entry.number, entry.raw, entry.cls)
            kept.waiting = not kept.acks
            return bool(late or kept.acks)
        self.outbox.refuse(kept.number)
        if self._journal:
            self._journal.drop([kept.number], self.outbox)
        self.tell(Told("refused", self.router.active, self._now_s(), [kept.number]))
        return True

    def _hear(self, region: str, safe: Watermark, held: Watermark, now_us: int) -> None:
        """Learn from any answer: the region's clock, and what may be let go."""
        self._clock.learn(now_us)
        gone = self.outbox.let_go(safe, held, region, self._now_s())
        if self.outbox.forgotten(held, region, self._now_s()):
            self._news.set()
        if gone:
            if self._journal:
                self._journal.drop(gone, self.outbox)
            self.tell(Told("safe", region, self._now_s(), gone))

    async def _ask_time(self, region: str) -> None:
        """A region calls our stamps wrong: its clock may have jumped, or that of the region we had them from."""
        with suppress(Degraded, Refused):
            for place in [p for p in self.router.permitted() if p.name == region]:
                self._clock.learn((await self._marks(place)).now)

    # -- identity ------------------------------------------------------------------------------------------------

    async def _personal(self, place: Place, method: str, path: str, body: object, answer: Any) -> Any:
        """A call with the client's token, only ever to its own jurisdiction; a stale token is renewed once."""
        assert place.jurisdiction == self.router.jurisdiction, "the fence"
        token = self._token or await self._new_token(place, "")
        try:
            return await self._reach.calls.call(method, place.url + path, body, bearer=token, answer=answer)
        except Refused as e:
            if e.code != "token":
                raise
        token = await self._new_token(place, token)
        return await self._reach.calls.call(method, place.url + path, body, bearer=token, answer=answer)

    async def _new_token(self, place: Place, stale: str) -> str:
        if self._token != stale:  # someone renewed it meanwhile
            return self._token
        self._clock.learn((await self._marks(place)).now)  # the proof is dated by its clock
        stamp_s = self._clock.now_us() // 1_000_000
        law = self.router.jurisdiction
        proof = b64(self._device.sign(device_message(law, stamp_s)))
        body = {"key": b64(self._device.public), "jurisdiction": law, "stamp_s": stamp_s, "proof": proof}
        answer = await self._reach.calls.call("POST", f"{place.url}/v1/devices", body)
        self._token, self.alias = answer["token"], answer["alias"]
        return self._token

    # -- health --------------------------------------------------------------------------------------------------

    def _suspected(self, name: str) -> None:
        now_s = self._now_s()
        self.tell(Told("suspect", name, now_s))
        if name not in self._probes or self._probes[name].done():
            self._probes[name] = asyncio.create_task(self._probe(name))
        again = self.outbox.moved(name)
        if name == self.router.active:
            self._move()
        if again:
            self._news.set()

    def _move(self) -> None:
        """Settle on the best region. Only what a suspected one acknowledged last is said again, when it is suspected.

        One that is left in health carries what it has. Were all said again on the way home, a region that has power
        again would be met by everybody's whole outbox at once.
        """
        if self.router.settle(self._now_s()):
            self.tell(Told("moved", self.router.active, self._now_s()))
            self._news.set()

    async def _probe(self, name: str) -> None:
        """Try a suspected region now and then, until it answers; one that owes answers, with what it owes."""
        place = next(p for p in self.router.places if p.name == name)
        attempt, vantage = 0, self.router.vantages[name]
        while vantage.suspected:
            await asyncio.sleep(delay_s(attempt, self._chance(), first_s=PROBE_FIRST_S, cap_s=PROBE_CAP_S))
            attempt += 1
            try:
                await self._reach.race(self._taste if vantage.owed else self._marks, [place], WRITE_DEADLINE_S)
                attempt = 0
            except (Degraded, Refused):
                continue
        if name == self.router.active:  # we never left: it may have lost what it had acknowledged
            self.outbox.moved(name)
            self._news.set()

    async def _taste(self, place: Place) -> object:
        """The smallest feed request there is, without a name: does it answer those?"""
        return await self._reach.calls.call("POST", f"{place.url}/v1/feed", FeedRequest(n=1), answer=Slate)

    async def _marks(self, place: Place) -> Marks:
        token = self._token if place.jurisdiction == self.router.jurisdiction else ""  # known people go first
        return await self._reach.calls.call("GET", f"{place.url}/v1/safe", bearer=token, answer=Marks)

    async def _listen(self) -> None:
        """A quiet region is asked how safe things are: that is its heartbeat, and lets the outbox go."""
        while True:
            await asyncio.sleep(self.heartbeat_s * (0.75 + self._chance() / 2))
            self._move()
            idle_s = self._now_s() - self._heard_s
            near = self.router.candidates(self._now_s())
            if near and (idle_s >= self.heartbeat_s or self.outbox.kept):
                try:
                    place, marks = await self._reach.race(self._marks, near[:1], WRITE_DEADLINE_S)
                except (Degraded, Refused):
                    continue
                self._heard_s = self._now_s()
                self._hear(place.name, marks.safe, marks.held, marks.now)
