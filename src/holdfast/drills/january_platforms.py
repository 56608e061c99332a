"""The two platforms of the January drill, started for real on one machine, each behind the same few calls.

Each lives in a folder of its own; the site that will lose power lies on a disk that forgets what was never fsynced
(`fuse`), where such a disk can be mounted. Power is lost the same way for both: every process of that site stops and
answers nobody (SIGSTOP), and when power returns all of them are killed, the disk drops what it must, and they start.
"""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from holdfast.adapters import apikeys, system
from holdfast.adapters.aio.calls import Calls
from holdfast.adapters.aio.tus import Tus
from holdfast.adapters.home import Home
from holdfast.client import Place
from holdfast.core.errors import Degraded, Refused
from holdfast.core.merge import IntervalSet
from holdfast.core.topology import DEFAULT, resolve
from holdfast.drills.fuse import PowerDisk
from holdfast.drills.fuse_wire import cannot_mount
from holdfast.drills.january_app import App, BaselineApp, HoldfastApp
from holdfast.drills.january_store import Store
from holdfast.drills.power import cut_power, patiently
from holdfast.drills.world import Clip
from holdfast.region.roles import ENV
from holdfast.region.supervisor import Supervisor

START_S, ASK_S = 90.0, 3.0
ITEMS_PER_PUT = 300
DARK, SPARE = "us-east", "us-west"
TICK = os.sysconf("SC_CLK_TCK")


class Platform(Protocol):
    """What the drill does to a platform and asks of it. `deep`: requests so far at its deepest layer."""

    name: str
    sites: int

    async def open(self, folder: Path, clips: Sequence[Clip], viewers: int) -> list[App]:
        """Start everything and publish the clips; one app for each viewer."""
        ...

    async def cut(self) -> None:
        """The site loses power: it is silent."""
        ...

    async def restore(self) -> None:
        """Power returns: through recovery, from what was fsynced."""
        ...

    async def aclose(self) -> None:
        """Stop everything."""
        ...

    async def deep(self) -> int: ...
    async def says_why(self) -> bool: ...
    async def acknowledged(self) -> tuple[int, int]:
        """(entries acknowledged to anybody, how many of them the platform lacks now)."""
        ...

    def mark(self) -> None:
        """The cut is now: remember what was acknowledged until here."""
        ...

    async def elsewhere(self) -> int:
        """How many of the marked entries no living site holds, and no app keeps."""
        ...

    def cpu_s(self) -> float: ...
    def crossed(self) -> int:
        """Bytes between sites so far."""
        ...


def processor_s(pids: Iterable[int]) -> float:
    """Processor seconds of these processes and of their children that have ended."""
    total = 0.0
    for pid in pids:
        with suppress(OSError, IndexError):
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, stat[11:15])) / TICK
    return total


class Baseline:
    """One region and the copy (`january_baseline`). Site A: two APIs on one database. Elsewhere: the edge, the copy."""

    name, sites = "baseline", 1

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._apis: list[asyncio.subprocess.Process] = []
        self._others: list[asyncio.subprocess.Process] = []
        self._disk: PowerDisk | None = None
        self._apps: list[BaselineApp] = []
        self._marked: list[str] = []
        self._seen = [0, 0]
        self._deep = 0

    async def open(self, folder: Path, clips: Sequence[Clip], viewers: int) -> list[App]:
        base = system.free_base("127.0.0.1", 10)
        self._folder, self._ports = folder, (base, base + 1)
        self._urls = [f"http://127.0.0.1:{p}" for p in self._ports]
        if not cannot_mount():
            self._disk = await self._stack.enter_async_context(PowerDisk(folder / "site-a"))
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
        )
        await self._start_site()
        self._others = [
            await self._spawn("edge", base + 2, folder / "edge", "--origins", *self._urls),
            await self._spawn("copy", 0, folder / "site-b", "--origins", *self._urls),
        ]
        now = time.time()
        rows = [{"key": f"item-{c.item}", "viewer": c.creator, "kind": "publish", "video": c.item,
                 "more": {"tags": c.tags, "duration_ms": c.duration_ms, "at": now}} for c in clips]  # fmt: skip
        for k in range(0, len(rows), ITEMS_PER_PUT):
            async with self._session.post(f"{self._urls[0]}/events", json=rows[k : k + ITEMS_PER_PUT]) as answered:
                answered.raise_for_status()
        edge = f"http://127.0.0.1:{base + 2}"
        await self._until(lambda: self._get(f"{edge}/popular.json"), "items")
        self._apps = [BaselineApp(f"viewer-{k}", self._urls, edge, self._session) for k in range(viewers)]
        for app in self._apps:
            await self._stack.enter_async_context(app)
        return list(self._apps)

    async def _spawn(self, role: str, port: int, folder: Path, *more: str) -> asyncio.subprocess.Process:
        argv = [sys.executable, "-m", "holdfast.drills.january_baseline", role, str(port), str(folder), *more]
        with (self._folder / f"{role}-{port}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(*argv, stderr=log, env={**os.environ, **ENV}, process_group=0)

    async def _start_site(self) -> None:
        first = [("--first",), ()]
        self._apis = [
            await self._spawn("api", port, self._folder / "site-a", *more)
            for port, more in zip(self._ports, first, strict=True)
        ]
        self._seen = [0, 0]
        for url in self._urls:
            await self._until(lambda url=url: self._get(f"{url}/health"), "statements")

    async def _until(self, ask: Callable[[], Awaitable[dict[str, Any]]], field: str) -> None:
        """Ask until the answer has something in this field. Raises Degraded if it never has."""
        end_s = time.monotonic() + START_S
        while not (await ask()).get(field):
            if time.monotonic() > end_s:
                raise Degraded(f"the baseline did not start within {START_S:.0f} s: see {self._folder}")
            await asyncio.sleep(0.1)

    async def _get(self, url: str) -> dict[str, Any]:
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=ASK_S)) as answered:
                return await answered.json()
        return {}

    async def cut(self) -> None:
        for api in self._apis:
            system.signal_group(api.pid, signal.SIGSTOP)

    async def restore(self) -> None:
        for api in self._apis:
            system.signal_group(api.pid, signal.SIGKILL)
            await api.wait()
        if self._disk:
            await self._disk.cut()
        await self._start_site()

    async def aclose(self) -> None:
        for process in [*self._others, *self._apis]:
            system.signal_group(process.pid, signal.SIGKILL)
            await process.wait()
        await self._stack.aclose()

    async def deep(self) -> int:
        for k, url in enumerate(self._urls):
            statements = (await self._get(f"{url}/health")).get("statements", self._seen[k])
            self._deep += max(0, statements - self._seen[k])
            self._seen[k] = statements
        return self._deep

    async def says_why(self) -> bool:
        return False  # nothing of the platform answers but the edge, and its list says nothing

    async def acknowledged(self) -> tuple[int, int]:
        keys = [key for app in self._apps for key in app.keys]
        async with self._session.post(f"{self._urls[0]}/has", json=keys) as answered:
            return len(keys), len(keys) - (await answered.json())["has"]

    def mark(self) -> None:
        self._marked = [key for app in self._apps for key in app.keys]

    async def elsewhere(self) -> int:
        copy = Store(self._folder / "site-b" / "copy.sqlite")
        try:
            return len(self._marked) - await asyncio.to_thread(copy.has, self._marked)
        finally:
            copy.close()

    def cpu_s(self) -> float:
        return processor_s(p.pid for p in [*self._apis, *self._others])

    def crossed(self) -> int:
        with suppress(OSError, ValueError):
            return int((self._folder / "site-b" / "sent").read_text())
        return 0


class CountingCalls(Calls):
    """Calls that count the entries they carry, repeats included."""

    entries = 0

    async def call(self, method: str, url: str, body: object = None, *, bearer: str = "", answer: Any = dict) -> Any:
        """As `Calls.call`."""
        if method == "POST" and url.endswith("/v1/events") and isinstance(body, dict):
            self.entries += max((len(v) for v in body.values() if isinstance(v, list)), default=0)  # type: ignore[arg-type]
        return await super().call(method, url, body, bearer=bearer, answer=answer)


class Holdfast:
    """Three regions as `holdfast up` starts them; us-east loses power. All viewers are US, nearest to us-east."""

    name, sites = "Holdfast", 3

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._apps: list[HoldfastApp] = []
        self._disk: PowerDisk | None = None
        self._marks: list[set[int]] = []

    async def open(self, folder: Path, clips: Sequence[Clip], viewers: int) -> list[App]:
        home, top = Home(folder), resolve(DEFAULT, system.free_base(DEFAULT.host, 60))
        if not cannot_mount():
            self._disk = await self._stack.enter_async_context(PowerDisk(home.region(DARK)))
        self._s = await self._stack.enter_async_context(Supervisor(home, top))
        self._calls = CountingCalls()
        self._stack.push_async_callback(self._calls.aclose)
        await self._s.start()
        key = apikeys.make(home, "drill", ("items",))
        await asyncio.sleep(apikeys.RELOAD_S + 0.1)
        self._places = [Place(r.name, r.jurisdiction, r.url) for r in top.regions]
        await self._publish(clips, key)
        tus = await self._stack.enter_async_context(Tus(key))
        self._apps = [HoldfastApp(self._places, DARK, self._calls, tus) for _ in range(viewers)]
        for app in self._apps:
            await self._stack.enter_async_context(app)
        return list(self._apps)

    async def _publish(self, clips: Sequence[Clip], key: str) -> None:
        rows = [{"item": c.item, "creator": c.creator, "caption": c.item, "tags": list(c.tags),
                 "duration_ms": c.duration_ms} for c in clips]  # fmt: skip
        for k in range(0, len(rows), ITEMS_PER_PUT):
            body = {"items": rows[k : k + ITEMS_PER_PUT]}
            await self._calls.call("PUT", f"{self._places[0].url}/v1/items", body, bearer=key)
        end_s = time.monotonic() + START_S
        while min([(await self._status(p.url))["items"]["allowed"] for p in self._places]) < len(clips):
            if time.monotonic() > end_s:
                raise Degraded(f"after {START_S:.0f} s not every region knows the videos")
            await asyncio.sleep(0.2)

    async def _status(self, url: str) -> dict[str, Any]:
        async with asyncio.timeout(5.0):
            return await self._calls.call("GET", f"{url}/v1/status")

    async def cut(self) -> None:
        self._s.cut(DARK, "silent")

    async def restore(self) -> None:
        if self._disk:
            await cut_power(self._s, {DARK: self._disk})
        await self._s.restore(DARK)
        await self._s.ready()

    async def aclose(self) -> None:
        await self._stack.aclose()

    async def deep(self) -> int:
        return self._calls.entries

    async def says_why(self) -> bool:
        spare = next(p.url for p in self._places if p.name == SPARE)
        with suppress(Degraded, Refused, TimeoutError):
            return not (await self._status(spare))["peers"][DARK]["reachable"]
        return False

    async def acknowledged(self) -> tuple[int, int]:
        total = sum(len(app.numbers) for app in self._apps)
        missing = [await self._missing(app, app.numbers, (DARK, SPARE)) for app in self._apps]
        return total, sum(missing)

    async def _missing(self, app: HoldfastApp, numbers: Iterable[int], regions: Sequence[str]) -> int:
        """How many of these a region of `regions` lacks."""
        worst = 0
        for region in regions:
            pairs = await patiently(lambda region=region: app.client.held(region))
            held = IntervalSet([first for first, _ in pairs], [last for _, last in pairs])
            worst = max(worst, sum(n not in held for n in numbers))
        return worst

    def mark(self) -> None:
        self._marks = [set(app.numbers) for app in self._apps]

    async def elsewhere(self) -> int:
        both = zip(self._apps, self._marks, strict=True)
        return sum([await self._missing(app, marks - set(app.client.outbox.kept), (SPARE,)) for app, marks in both])

    def _pids(self) -> list[int]:
        mine = [pid for r in self._s.top.regions for pid in self._s.pids(r.name).values() if pid]
        return [*mine, self._s.child("", "wan").pid]

    def cpu_s(self) -> float:
        return processor_s(self._pids())

    def crossed(self) -> int:
        """What the relay between the regions has read; both ways."""
        with suppress(OSError, IndexError):
            return int(Path(f"/proc/{self._s.child('', 'wan').pid}/io").read_text().split()[1])
        return 0


def size_mb(folder: Path) -> float:
    """Megabytes of the files below a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6


def clear(folder: Path) -> None:
    """Remove a platform's folder."""
    shutil.rmtree(folder, ignore_errors=True)
