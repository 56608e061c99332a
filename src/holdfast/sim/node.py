"""A region's node in a simulated world: the real rooms (follower, feed, door, appender), without a database.

What is left out is what touches a machine: tables, blobs, networks, HTTP. A small learner stands in for the real one,
so that there is a rung above REGIONAL to climb to; a studio publishes items and rules on them.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from holdfast.adapters.http import shapes as s
from holdfast.adapters.http.ports import ANYONE, Caller
from holdfast.adapters.signing import b64
from holdfast.core.asks import Have
from holdfast.core.classes import Class
from holdfast.core.entries import Entry, Publication, Release, Ruling, encode
from holdfast.core.errors import Degraded, HoldfastError, Refused
from holdfast.core.feed.ladder import Ladder, Rung
from holdfast.core.feed.predict import Eligible
from holdfast.core.feed.shapes import FeedRequest, Slate, SlateItem
from holdfast.core.feed.viewer import History
from holdfast.core.feed.world import World
from holdfast.core.hlc import Hlc
from holdfast.region.node_append import Appender
from holdfast.region.node_door import NodeDoor
from holdfast.region.node_feed import NodeFeed
from holdfast.region.node_follow import Follower
from holdfast.region.node_networks import Model, Networks
from holdfast.region.node_state import State, Tally

if TYPE_CHECKING:
    from holdfast.sim.site import Site

LEARN_EVERY_S = 4.0
SHELF_EVERY_S = 5.0
SHELF_SIZE = 20
SECRET = b64(bytes(32))


class _NoTables:
    """No rows are kept: every block counts as new to them, and nothing is written."""

    def watermark(self) -> Have:
        return {}

    def write(self, rows: list[Entry], marks: Have) -> None:
        del rows, marks


class NodeState(State):
    """A node's state, without its disk."""

    def __init__(self, site: "Site") -> None:
        self.site = site
        self.home, self.region, self.top = site.home, site.region, site.top
        self.log = asyncio.get_running_loop().create_future()
        self.here = self.top.region(self.region)
        self.keys = SimpleNamespace(alias_secret=SECRET)  # type: ignore[assignment]
        self.tables = _NoTables()  # type: ignore[assignment]
        self.world = World(self.here.jurisdiction)
        self.clock, self.tally = Hlc(), Tally()
        self.peers = {}
        self.held, self.safe, self.watermark, self.folded = {}, {}, {}, {}
        self._readers = []
        self.folding, self.model, self.networks = False, None, Networks()
        self.shelf: list[SlateItem] = list(site.shelf)
        self.ladder = Ladder(Rung.SHELF, self.now_s(), self.now_s())
        self.incidents = deque(maxlen=50)
        self.started_s = self.now_s()
        site.boots += 1
        self.device, self.outbox = f"n-{self.region}-{site.boots}-{site.chance.randrange(1 << 40):x}", 0

    def now_us(self) -> int:  # type: ignore[override]
        return self.site.now_us()

    def now_s(self) -> float:  # type: ignore[override]
        return self.site.loop.time()

    def token_hex(self, size: int) -> str:  # type: ignore[override]
        return self.site.chance.randbytes(size).hex()


class Door(NodeDoor):
    """The real door for entries; who someone is, is taken on their word here."""

    def __init__(self, state: State, appender: Appender) -> None:
        self._state, self._appender = state, appender


class Likely:
    """A model that likes items by a fixed hash: enough to stand on LINEAR, and the same everywhere."""

    trust = 0.5
    parts = ("next",)

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self, histories: Any) -> "Likely":
        del histories
        return self

    def _next(self, rows: Any) -> Any:
        return (self._world.catalogue.hashed[rows] % np.uint64(1000)).astype(np.float32) / 1000

    def retrieve(self, k: int, eligible: list[Eligible]) -> list[tuple[Any, Any]]:
        out: list[tuple[Any, Any]] = []
        for one in eligible:
            open_ = one.allowed.copy()
            open_[one.barred] = False
            rows = np.flatnonzero(open_)
            scores = self._next(rows)
            best = np.argsort(-scores, kind="stable")[:k]
            out.append((rows[best], scores[best]))
        return out

    def score(self, rows: list[Any]) -> list[Any]:
        return [self._next(r)[:, None] for r in rows]

    def because(self, history: History, rows: Any) -> list[tuple[int, float]]:
        del history
        return [(-1, 0.0)] * len(rows)


class Node:
    """One node process. `on_folded` hears of every ruling folded here."""

    def __init__(self, site: "Site", on_ruling: Callable[[Ruling], None]) -> None:
        self.site = site
        self.state = NodeState(site)
        self.appender = Appender(self.state.log)
        self.feed = NodeFeed(self.state, self.appender)
        self.door = Door(self.state, self.appender)
        self.rulings: dict[str, list[Ruling]] = {}
        hooks: dict[type, list[Callable[[Any], None]]] = {
            Ruling: [self._ruled, on_ruling], Release: [self._released],
        }  # fmt: skip
        self.follower = Follower(self.state, hooks)

    def _ruled(self, entry: Ruling) -> None:
        self.rulings.setdefault(entry.item, []).append(entry)

    def _released(self, entry: Release) -> None:
        held = self.state.model
        if held is None or entry.learned_to > held.learned_to:
            likely: Any = Likely(self.state.world)
            self.state.model = Model(likely, entry.sha, entry.learned_to, entry.examples, entry.figures)

    async def run(self) -> None:
        """Everything that runs as long as the node does."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._connect(), self.follower.run(), self._learn(), self._keep_shelf()):
                tasks.create_task(work)

    async def _connect(self) -> None:
        self.state.log.set_result(await self.site.connect())

    async def _learn(self) -> None:
        while True:
            await asyncio.sleep(LEARN_EVERY_S)
            digest = self.site.chance.randbytes(32).hex()
            release = Release(
                **self.state.stamp(), rung="LINEAR", sha=digest, size=1, learned_to=self.state.now_us(), examples=1,  # type: ignore[arg-type]
            )  # fmt: skip
            await self._say(Class.PERSONAL, release)

    async def _keep_shelf(self) -> None:
        while True:
            await asyncio.sleep(SHELF_EVERY_S)
            try:
                slate = await self.feed.slate(FeedRequest(n=SHELF_SIZE, request="shelf"), ANYONE)
            except HoldfastError:
                continue
            self.state.shelf = self.site.shelf = list(slate.items)

    async def _say(self, cls: Class, entry: Entry) -> bool:
        try:
            await self.appender.put(cls, encode([entry]))
        except HoldfastError:
            return False
        return True

    async def publish(self, item: str, tags: list[str], creator: str) -> bool:
        """Publish an item; whether the log took it."""
        entry = Publication(
            **self.state.stamp(), item=item, creator=creator, tags=tags, duration_ms=9000,  # type: ignore[arg-type]
        )  # fmt: skip
        return await self._say(Class.PUBLIC, entry)

    async def rule(self, item: str, verdict: str, supersedes: list[tuple[str, int]]) -> Ruling | None:
        """Rule on an item; None if the log did not take it (it may have)."""
        ruling = Ruling(**self.state.stamp(), item=item, verdict=verdict, supersedes=supersedes)  # type: ignore[arg-type]
        return ruling if await self._say(Class.RULINGS, ruling) else None

    # -- what clients ask ---------------------------------------------------------------------------------------------

    async def serve(self, path: str, body: bytes, bearer: str) -> bytes:
        """Answer a call as the HTTP face does: (status, answer) in msgpack."""
        try:
            answer: object = await self._serve(path, body, bearer)
        except Refused as e:
            index = getattr(e, "index", None)
            return msgspec.msgpack.encode((400, [str(e), e.field, e.code, index]))
        except Degraded as e:
            return msgspec.msgpack.encode((503, str(e)))
        return msgspec.msgpack.encode((200, answer))

    async def _serve(self, path: str, body: bytes, bearer: str) -> object:
        alias, _, law = bearer.partition("@")
        here = self.state.here.jurisdiction
        if bearer and law != here:
            raise Refused("a token of another jurisdiction", code="jurisdiction")
        caller = Caller(alias=alias, public_name=f"p-{alias}") if alias else ANYONE
        match path:
            case "/v1/feed":
                return await self.feed.slate(msgspec.msgpack.decode(body, type=FeedRequest), caller)
            case "/v1/events":
                return await self.door.take(msgspec.msgpack.decode(body, type=s.Events).entries, caller)
            case "/v1/safe":
                return {"safe": self.state.safe, "held": self.state.held, "now": self.state.now_us()}
            case _:
                request = msgspec.msgpack.decode(body)
                if request["jurisdiction"] != here:
                    raise Refused("another jurisdiction", code="jurisdiction")
                return {"token": f"v-{request['key'][:12]}@{here}", "alias": f"v-{request['key'][:12]}"}


def decoded_slate(raw: bytes) -> Slate | None:
    """The slate in an answer of `serve`, if there is one."""
    status, answer = msgspec.msgpack.decode(raw, type=tuple[int, msgspec.Raw])
    return msgspec.msgpack.decode(answer, type=Slate) if status == 200 else None


def draw_verdict(chance: Random) -> str:
    """A verdict for a new item: most are allowed."""
    return chance.choice(["allow", "allow", "allow", "allow", "limit", "remove"])
