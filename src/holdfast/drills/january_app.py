"""One viewer's app on either platform, so that one crowd can use both: a slate, what was done with it, an upload.

`BaselineApp` is the client half of the baseline's defences (`january_baseline.DEFENCES`). `HoldfastApp` is the SDK; all
it adds is that an upload is begun again elsewhere when the SDK's router has left the region it goes to.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from holdfast.adapters.aio.tus import Tus
from holdfast.client import Calls, Client, Place, Told
from holdfast.core.errors import Degraded, Refused
from holdfast.drills.world import Clip

SLATE_SIZE = 8
CALL_S, PIECE_S = 1.0, 5.0
TRIES, BUDGET = 3, 0.1  # calls for one question at most; more calls than questions, as a share
QUEUE_MAX, BATCH_MAX = 5000, 200
WAIT_FIRST_S, WAIT_CAP_S = 0.2, 5.0
HEALTH_EVERY_S = 1.0
UPLOAD_LOOK_S = 0.5
GENERIC = ("REGIONAL", "SHELF")  # rungs of Holdfast that know nothing of the viewer


@dataclass(frozen=True, slots=True)
class Shown:
    """A video in a slate, with the figures people see beside it."""

    clip: Clip
    views: int
    likes: int


@dataclass(slots=True)
class Look:
    """What a viewer got for one pull. `kind`: personal, generic or none; `said`: what the app told them about it."""

    kind: str
    shown: list[Shown]
    said: str = ""
    fresh: bool = True  # an answer of now, not something kept from earlier
    rewatch: bool = False  # said to be repeats
    at_s: float = 0.0
    took_s: float = 0.0


class App(Protocol):
    """One viewer's app. `acked`: when each thing that was done was acknowledged, and how long that took, s."""

    acked: list[tuple[float, float]]

    async def slate(self) -> Look:
        """Pull for more videos."""
        ...

    def view(self, shown: Shown, dwell_ms: int) -> None:
        """A video was watched."""
        ...

    def like(self, shown: Shown) -> None:
        """A video was liked."""
        ...

    async def publish(self, clip: Clip, data: bytes) -> bool:
        """Upload a video and wait until it is published; False if the app gave up."""
        ...


class BaselineApp:
    """The baseline's app. `apis`: both API processes; `edge`: the CDN."""

    def __init__(self, name: str, apis: Sequence[str], edge: str, session: aiohttp.ClientSession) -> None:
        self.name, self._apis, self._edge, self._session = name, list(apis), edge, session
        random.shuffle(self._apis)
        self._ill: set[str] = set()  # failed, and not yet found well
        self.acked: list[tuple[float, float]] = []
        self.keys: list[str] = []  # of what was acknowledged
        self._queue: dict[str, tuple[float, dict[str, Any]]] = {}
        self._shown: dict[str, Shown] = {}  # everything this app has shown, oldest first
        self._asked = self._again = 0
        self._last: list[Shown] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "BaselineApp":
        self._tasks = [asyncio.create_task(self._send())]
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def slate(self) -> Look:
        body = {"viewer": self.name, "n": SLATE_SIZE, "exclude": list(self._shown)[-200:]}
        try:
            answer = await self._call("POST", "/feed", body)
            look = Look(answer["kind"], [_shown(row) for row in answer["items"]])
        except Degraded:
            look = await self._fall_back()
        for shown in look.shown:
            self._shown[shown.clip.item] = shown
        self._last = look.shown or self._last
        return look

    async def _fall_back(self) -> Look:
        """The popular list at the edge, less what this app has shown; at last what it showed longest ago."""
        said = "Something went wrong. Pull down to try again."
        try:
            async with self._session.get(f"{self._edge}/popular.json", timeout=_within(CALL_S)) as answered:
                rows = (await answered.json())["items"]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return Look("none", [], said, fresh=False)
        popular = [_shown(row) for row in rows]
        left = [s for s in popular if s.clip.item not in self._shown]
        oldest = [s for s in self._shown.values() if s not in left]
        return Look("generic", (left or oldest)[:SLATE_SIZE], said, fresh=False)

    async def _call(
        self, method: str, path: str, body: object = None, within_s: float = CALL_S, data: bytes = b""
    ) -> Any:
        """Ask an API; again with full jitter, within the budget, at the other one. Raises Degraded."""
        self._asked += 1
        for k in range(TRIES):
            if k:
                if self._again >= BUDGET * self._asked + 1:
                    break
                self._again += 1
                await asyncio.sleep(random.uniform(0, WAIT_FIRST_S * 2**k))
            url = next((api for api in self._apis if api not in self._ill), "")
            if not url:
                break
            try:
                how: dict[str, Any] = {"data": data} if data else {"json": body}
                async with self._session.request(method, url + path, timeout=_within(within_s), **how) as answered:
                    if answered.status < 500:
                        return {"status": answered.status, **_object(await answered.json())}
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                pass
            self._suspect(url)
        raise Degraded(f"{self._apis} do not answer")

    def _suspect(self, url: str) -> None:
        if url not in self._ill:
            self._ill.add(url)
            self._tasks = [t for t in self._tasks if not t.done()] + [asyncio.create_task(self._check(url))]

    async def _check(self, url: str) -> None:
        """Ask for its health, with jitter, until it answers; until then it gets no calls, and we fall back at once."""
        while url in self._ill:
            await asyncio.sleep(random.uniform(0.5, 1.5) * HEALTH_EVERY_S)
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with self._session.get(f"{url}/health", timeout=_within(CALL_S)) as answered:
                    if answered.status == 200:
                        self._ill.discard(url)

    def view(self, shown: Shown, dwell_ms: int) -> None:
        self._say("view", shown, {"dwell_ms": dwell_ms, "duration_ms": shown.clip.duration_ms})

    def like(self, shown: Shown) -> None:
        self._say("like", shown, {})

    def _say(self, kind: str, shown: Shown, more: dict[str, Any]) -> None:
        if len(self._queue) < QUEUE_MAX:
            key = f"{self.name}-{time.time_ns()}"
            row = {"key": key, "viewer": self.name, "kind": kind, "video": shown.clip.item, "more": more}
            self._queue[key] = (time.monotonic(), row)

    async def _send(self) -> None:
        attempt = 0
        while True:
            batch = list(self._queue.items())[:BATCH_MAX]
            if not batch:
                await asyncio.sleep(0.1)
                continue
            try:
                await self._call("POST", "/events", [row for _, (_, row) in batch])
            except Degraded:
                attempt += 1
                await asyncio.sleep(random.uniform(0, min(WAIT_CAP_S, WAIT_FIRST_S * 2**attempt)))
                continue
            attempt, now_s = 0, time.monotonic()
            for key, (since_s, _) in batch:
                del self._queue[key]
                self.keys.append(key)
                self.acked.append((now_s, now_s - since_s))
            await asyncio.sleep(0.1)

    async def publish(self, clip: Clip, data: bytes) -> bool:
        about = {"length": len(data), "creator": clip.creator, "video": clip.item, "tags": clip.tags,
                 "duration_ms": clip.duration_ms}
        upload, at, attempt = "", 0, 0
        while True:
            with suppress(Degraded):
                if not upload:
                    upload = (await self._call("POST", "/uploads", about)).get("id", "")
                elif at < len(data):
                    told = await self._call("PATCH", f"/uploads/{upload}?at={at}", None, PIECE_S, data[at:])
                    upload, at = ("", 0) if told["status"] == 404 else (upload, told["offset"])
                else:
                    told = await self._call("GET", f"/uploads/{upload}")
                    if told.get("done"):
                        return told["done"] == "published"
                attempt = 0
                await asyncio.sleep(UPLOAD_LOOK_S)
                continue
            attempt += 1
            await asyncio.sleep(random.uniform(0, min(WAIT_CAP_S, WAIT_FIRST_S * 2**attempt)))


def _within(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


def _object(answer: Any) -> dict[str, Any]:
    return answer if isinstance(answer, dict) else {"rows": answer}


def _shown(row: dict[str, Any]) -> Shown:
    clip = Clip(row["video"], tuple(row["tags"]), row["duration_ms"], row["creator"])
    return Shown(clip, row["views"], row["likes"])


@dataclass
class HoldfastApp:
    """The SDK of Holdfast. `tus`: uploads with a creator's key, to where this viewer's slates come from."""

    places: Sequence[Place]
    prefer: str
    calls: Calls
    tus: Tus
    acked: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    suspected: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    numbers: set[int] = field(default_factory=set[int])  # of what was acknowledged

    def __post_init__(self) -> None:
        law = next(p.jurisdiction for p in self.places if p.name == self.prefer)
        self.client = Client(self.places, law, prefer=self.prefer, calls=self.calls, tell=self._hear)
        self._said: dict[int, float] = {}
        self._slate = ""

    async def __aenter__(self) -> "HoldfastApp":
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.client.aclose()

    def _hear(self, told: Told) -> None:
        if told.what == "acked":
            fresh = [n for n in told.numbers if n not in self.numbers]
            self.numbers.update(fresh)
            self.acked += [(told.at_s, told.at_s - self._said.pop(n, told.at_s)) for n in fresh]
        elif told.what == "suspect":
            self.suspected.append((told.at_s, told.region))

    async def slate(self) -> Look:
        try:
            s = await self.client.feed(SLATE_SIZE)
        except (Degraded, Refused) as e:
            return Look("none", [], str(e), fresh=False)
        self._slate = s.slate
        shown = [
            Shown(Clip(i.item, tuple(i.tags), i.duration_ms or 6000, i.creator), i.views, i.likes) for i in s.items
        ]
        kind = "generic" if s.rung in GENERIC else "personal"
        said = f"{s.rung} at {s.region or 'the device'}: {s.reason}"
        return Look(kind if shown else "none", shown, said, fresh=s.rung != "DEVICE", rewatch=s.rewatch)

    def view(self, shown: Shown, dwell_ms: int) -> None:
        n = self.client.view(shown.clip.item, dwell_ms=dwell_ms, duration_ms=shown.clip.duration_ms, slate=self._slate)
        self._said[n] = time.monotonic()

    def like(self, shown: Shown) -> None:
        self._said[self.client.like(shown.clip.item)] = time.monotonic()

    async def publish(self, clip: Clip, data: bytes) -> bool:
        """To the region this app is on; begun again elsewhere when the router has left it, or when it fails."""
        said = {"filename": f"{clip.item}.mp4", "caption": clip.item, "tags": ",".join(clip.tags), "item": clip.item,
                "creator": clip.creator}
        while True:
            here = self._here()
            sending = asyncio.create_task(self._send(here, data, said))
            try:
                while not sending.done() and here == self._here():
                    await asyncio.wait([sending], timeout=UPLOAD_LOOK_S)
            finally:
                sending.cancel()
            with suppress(Degraded):
                if sending.done():
                    return sending.result()
            await asyncio.sleep(random.uniform(0, WAIT_FIRST_S * 4))

    async def _send(self, region: str, data: bytes, said: dict[str, str]) -> bool:
        url = next(p.url for p in self.places if p.name == region)
        upload = await self.tus.send(url, data, said)
        while True:
            state = (await self.tus.state(url, upload)).state
            if state in ("published", "refused"):
                return state == "published"
            await asyncio.sleep(UPLOAD_LOOK_S)

    def _here(self) -> str:
        return self.client.router.active or self.prefer
