"""The baseline of the January drill: one region as a competent team would first build it, with a copy of its database.

    apps ─► API ×2 ─► database (fsync) ──(wide-area link)──► stand-by copy
      └───► edge (a CDN): video files, the popular list; lives elsewhere and survives

It is meant to be good: DEFENCES lists everything it has, and each row is code below or in `january_app`. What it does
not have is what the comparison is about: a second region that can serve and take writes. The copy protects data, not
service; bringing an API up beside it is a runbook for people, who need longer than the drill's outage (Netflix took
about 50 minutes before it automated this, "Project Nimble", 2018).

Run as a process: `python -m holdfast.drills.january_baseline ROLE PORT FOLDER …`.
"""

import argparse
import asyncio
import json
import math
import os
import random
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from holdfast.adapters.media import transcode
from holdfast.core.errors import HoldfastError
from holdfast.drills.january_store import Store

DEFENCES: tuple[tuple[str, str], ...] = (
    ("durable writes", "the database fsyncs every commit before it answers; files of uploads too"),
    ("stand-by copy", "another site's database follows the first, asked for changes twice a second"),
    ("idempotent writes", "each event has a key of its own; sent twice, it counts once"),
    ("two API processes", "apps know both, and leave one that fails its health check"),
    ("personal feed", "tastes by tag from every view and like, seen videos left out, a slot for new videos"),
    ("cached popular fallback", "the API serves the popular list when the database does not answer in 0.3 s"),
    ("popular list at the edge", "renewed every 2 s while the API answers, served stale when it does not"),
    ("static video at the edge", "files are cached where the outage is not, and served for ever"),
    ("time-outs", "no call of an app waits longer than 1 s, no upload piece longer than 5 s"),
    ("retries with full jitter", "at most two per call, at most a tenth more calls in all; events wait 0.2 to 5 s"),
    ("health checks", "an API that failed is asked for its health, with jitter, before it gets calls again"),
    ("load shedding", "beyond 64 requests at once the API answers 503 and says when to come back"),
    ("queue in the app", "events wait in the app, 5,000 of them, until they are acknowledged"),
    ("memory in the app", "the app leaves out what it has shown, also from the popular list, while anything is left"),
    ("resumable uploads", "an upload goes on from the last byte that was fsynced, also after a power cut"),
    ("cache warm-up", "an API answers its health check only when its lists are in memory"),
    ("apology in the app", "the app says that something is wrong as soon as a feed request failed"),
)
AT_ONCE_MAX = 64
DATABASE_S = 0.3
LISTS_S = 2.0  # candidates and the edge's popular list are this old at most
POPULAR = 200  # as many as Holdfast's app keeps for when nothing answers
FOLLOW_S = 0.5
NEW_VIEWS = 30  # fewer, and a video is still new
BODY_MAX = 4_000_000


class Api:
    """One API process on the shared database file. `first`: it also finishes uploads that a crash interrupted."""

    def __init__(self, folder: Path, *, first: bool) -> None:
        self._store = Store(folder / "baseline.sqlite")
        self._uploads, self._files = folder / "uploads", folder / "files"
        for place in (self._uploads, self._files):
            place.mkdir(parents=True, exist_ok=True)
        self._first, self._at_once, self._served = first, 0, 0
        self._rows: list[dict[str, Any]] = []
        self._rows_s = -math.inf
        self._tasks: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        """Build the application."""
        made = web.Application(middlewares=[self._admit], client_max_size=BODY_MAX)
        made.on_startup.append(self._warm)
        made.add_routes([
            web.get("/health", self._health), web.post("/feed", self._feed), web.post("/events", self._events),
            web.get("/popular", self._popular), web.get("/counts", self._counts), web.get("/changes", self._changes),
            web.post("/uploads", self._begin), web.patch("/uploads/{id}", self._append),
            web.get("/uploads/{id}", self._state), web.get("/files/{name}", self._file), web.post("/has", self._has),
        ])  # fmt: skip
        return made

    @web.middleware
    async def _admit(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self._at_once >= AT_ONCE_MAX:
            return web.json_response({"error": "busy"}, status=503, headers={"Retry-After": "1"})
        self._at_once += 1
        try:
            return await handler(request)
        finally:
            self._at_once -= 1

    async def _warm(self, _: web.Application) -> None:
        await self._lists()
        if self._first:
            for about in self._uploads.glob("*.json"):
                said = json.loads(about.read_bytes())
                data = about.with_suffix(".data")
                if not said.get("done") and data.exists() and data.stat().st_size >= said["length"]:
                    self._finish(about.stem, said)

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"statements": self._store.statements, "served": self._served})

    # -- the feed ------------------------------------------------------------------------------------------------

    async def _lists(self) -> list[dict[str, Any]]:
        if time.monotonic() - self._rows_s > LISTS_S:
            self._rows_s = time.monotonic()
            self._rows = await asyncio.to_thread(self._store.candidates)
        return self._rows

    async def _feed(self, request: web.Request) -> web.Response:
        asked = await request.json()
        n, held = asked["n"], set(asked["exclude"])
        self._served += 1
        try:
            async with asyncio.timeout(DATABASE_S):
                rows = await self._lists()
                tastes, seen = await asyncio.to_thread(self._store.person, asked["viewer"])
        except TimeoutError:
            chosen = [r for r in self._rows if r["video"] not in held][:n]
            return web.json_response({"kind": "generic", "items": chosen})
        return web.json_response({"kind": "personal", "items": choose(rows, tastes, seen | held, n)})

    async def _popular(self, _: web.Request) -> web.Response:
        return web.json_response({"kind": "generic", "items": (await self._lists())[:POPULAR], "at": time.time()})

    async def _counts(self, request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self._store.counts, request.query["videos"].split(",")))

    # -- writing -------------------------------------------------------------------------------------------------

    async def _events(self, request: web.Request) -> web.Response:
        return web.json_response({"new": await asyncio.to_thread(self._store.take, await request.json())})

    async def _changes(self, request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self._store.changes, int(request.query["after"])))

    async def _has(self, request: web.Request) -> web.Response:
        return web.json_response({"has": await asyncio.to_thread(self._store.has, await request.json())})

    async def _begin(self, request: web.Request) -> web.Response:
        upload = secrets.token_hex(8)
        await asyncio.to_thread(self._keep, upload, await request.json())
        return web.json_response({"id": upload})

    def _keep(self, upload: str, said: dict[str, Any]) -> None:
        part, about = self._uploads / f"{upload}.part", self._uploads / f"{upload}.json"
        for path, data in ((self._uploads / f"{upload}.data", None), (part, json.dumps(said).encode())):
            with path.open("ab" if data is None else "wb") as f:
                f.write(data or b"")
                f.flush()
                os.fsync(f.fileno())
        part.replace(about)
        fd = os.open(self._uploads, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    async def _append(self, request: web.Request) -> web.Response:
        upload, at, data = request.match_info["id"], int(request.query["at"]), await request.read()
        path, about = self._uploads / f"{upload}.data", self._uploads / f"{upload}.json"
        if not about.exists():
            return web.json_response({"error": "unknown"}, status=404)

        def write() -> int:
            with path.open("r+b") as f:
                f.truncate(at) if at < path.stat().st_size else None
                f.seek(at)
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            return at + len(data)

        if at > path.stat().st_size:
            return web.json_response({"offset": path.stat().st_size}, status=409)
        now_at = await asyncio.to_thread(write)
        said = json.loads(about.read_bytes())
        if now_at >= said["length"]:
            self._finish(upload, said)
        return web.json_response({"offset": now_at})

    def _finish(self, upload: str, said: dict[str, Any]) -> None:
        task = asyncio.create_task(self._publish(upload, said))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(self, upload: str, said: dict[str, Any]) -> None:
        """Transcode (the same code as Holdfast's), keep the files, publish."""
        try:
            made = await transcode(self._uploads / f"{upload}.data", self._uploads)
        except HoldfastError as e:
            return await asyncio.to_thread(self._keep, upload, {**said, "done": f"refused: {e}"})
        for sha, data in made.parts.items():
            await asyncio.to_thread((self._files / sha).write_bytes, data)
        more = {"tags": said["tags"], "duration_ms": said["duration_ms"], "at": time.time()}
        row = {"key": f"publish-{upload}", "viewer": said["creator"], "kind": "publish", "video": said["video"],
               "more": more}
        await asyncio.to_thread(self._store.take, [row])
        await asyncio.to_thread(self._keep, upload, {**said, "done": "published"})

    async def _state(self, request: web.Request) -> web.Response:
        upload = request.match_info["id"]
        about = self._uploads / f"{upload}.json"
        if not about.exists():
            return web.json_response({"error": "unknown"}, status=404)
        offset = (self._uploads / f"{upload}.data").stat().st_size
        return web.json_response({"offset": offset, "done": json.loads(about.read_bytes()).get("done", "")})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = self._files / Path(request.match_info["name"]).name
        return web.FileResponse(path) if path.exists() else web.Response(status=404)


def choose(rows: list[dict[str, Any]], tastes: dict[str, float], seen: set[str], n: int) -> list[dict[str, Any]]:
    """The team's ranker: taste by tag, and heat; the last place is for a new video. Seen ones if nothing is left."""
    fresh = [r for r in rows if r["video"] not in seen] or rows
    scale = 1.0 + max(map(abs, tastes.values()), default=0.0)

    def score(r: dict[str, Any]) -> float:
        taste = sum(tastes.get(tag, 0.0) for tag in r["tags"]) / scale
        return taste + 0.1 * math.log1p(r["views"] + 5 * r["likes"]) + 0.05 * random.random()

    best = sorted(fresh, key=score, reverse=True)[:n]
    new = [r for r in fresh if r["views"] < NEW_VIEWS and r not in best]
    if new and len(best) == n:
        best[-1] = max(new, key=lambda r: r["published"])
    return best


class Edge:
    """The CDN: keeps what it was asked for once, and the newest popular list; answers whatever happens behind it."""

    def __init__(self, origins: list[str]) -> None:
        self._origins = origins
        self._popular: dict[str, Any] = {"kind": "generic", "items": [], "at": 0.0}
        self._files: dict[str, bytes] = {}  # their names are their sha256: what was right once stays right

    def app(self) -> web.Application:
        """Build the application."""
        made = web.Application()
        made.on_startup.append(self._start)
        made.add_routes([web.get("/popular.json", self._list), web.get("/files/{name}", self._file)])
        return made

    async def _start(self, _: web.Application) -> None:
        self._task = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        timeout = aiohttp.ClientTimeout(total=1.0)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                for origin in self._origins:
                    with suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
                        async with session.get(f"{origin}/popular") as answered:
                            if answered.status == 200:
                                self._popular = await answered.json()
                                break
                await asyncio.sleep(LISTS_S)

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response(self._popular)

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as session:
                for origin in self._origins:
                    with suppress(aiohttp.ClientError, TimeoutError, OSError):
                        async with session.get(f"{origin}/files/{name}") as answered:
                            if answered.status == 200:
                                self._files[name] = await answered.read()
                                break
        found = self._files.get(name)
        return web.Response(body=found) if found is not None else web.Response(status=404)


async def follow(folder: Path, origins: list[str], rtt_s: float) -> None:
    """The stand-by copy: ask for changes, `rtt_s` away, and apply them in order. File `sent`: bytes it was sent."""
    store, sent = Store(folder / "copy.sqlite"), 0
    at = store.last()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
        while True:
            for origin in origins:
                with suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
                    await asyncio.sleep(rtt_s)
                    async with session.get(f"{origin}/changes", params={"after": str(at)}) as answered:
                        raw = await answered.read()
                        rows: list[dict[str, Any]] = json.loads(raw)
                    sent += len(raw)
                    if rows:
                        await asyncio.to_thread(store.take, rows)
                        at = rows[-1]["id"]
                    (folder / "sent").write_text(str(sent))
                    break
            await asyncio.sleep(FOLLOW_S)


def main() -> None:
    """One process: api, edge or copy."""
    words = argparse.ArgumentParser(prog="holdfast.drills.january_baseline")
    words.add_argument("role", choices=("api", "edge", "copy"))
    words.add_argument("port", type=int)
    words.add_argument("folder", type=Path)
    words.add_argument("--origins", nargs="*", default=[])
    words.add_argument("--first", action="store_true")
    words.add_argument("--rtt-ms", type=float, default=70.0)
    args = words.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.role == "copy":
        asyncio.run(follow(args.folder, args.origins, args.rtt_ms / 1000))
        return
    app = Api(args.folder, first=args.first).app() if args.role == "api" else Edge(args.origins).app()
    web.run_app(app, host="127.0.0.1", port=args.port, print=None, access_log=None, handle_signals=True)


if __name__ == "__main__":
    main()
