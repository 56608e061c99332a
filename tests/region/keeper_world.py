"""Real regions for tests of the log: real nats-servers, keepers in this process (or their own), free loopback ports."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from holdfast.adapters import log_files, natsconf, system
from holdfast.adapters.home import Home
from holdfast.adapters.log import LogClient
from holdfast.adapters.signing import load_keys, make_keys
from holdfast.core import entries
from holdfast.core.asks import Have
from holdfast.core.chain import Block
from holdfast.core.classes import Class
from holdfast.core.topology import Region, Topology, resolve
from holdfast.region.keeper import Keeper
from patience import SLOW


def view(k: int, item: str = "clip", device: str = "v-test") -> entries.View:
    now = time.time_ns() // 1000
    return entries.View(device=device, outbox=k, stamp=now, item=item, dwell_ms=1000)


class World:
    """Some regions on this machine."""

    def __init__(self, root: Path, tail_bytes: int = 64 * 1024 * 1024, rtt_ms: float = 0.0, **regions: str) -> None:
        named = [Region(name=n.replace("_", "-"), jurisdiction=j) for n, j in regions.items()]
        named_top = Topology(regions=named, rtt_ms=rtt_ms, tail_bytes=tail_bytes)
        self.top = resolve(named_top, system.free_base("127.0.0.1", 60))
        self.home = Home(root)
        self.home.save(self.top)
        make_keys(self.home, self.top)
        self.nats: dict[str, subprocess.Popen[bytes]] = {}
        self.keepers: dict[str, tuple[Keeper, asyncio.Event, asyncio.Task[None]]] = {}
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.said: dict[str, list[str]] = {}

    async def __aenter__(self) -> "World":
        return self

    async def __aexit__(self, *_: object) -> None:
        for region in list(self.keepers):
            with contextlib.suppress(Exception):
                await self.stop_keeper(region)
        for child in [*self.nats.values(), *self.children.values()]:
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)
                child.kill()
                child.wait()

    def start_nats(self, region: str) -> None:
        log_files.keep_before(natsconf.store_dir(self.home, region))  # as the supervisor does
        conf = natsconf.write(self.home, self.top, load_keys(self.home, region))
        log = (self.home.root / f"{region}.nats.log").open("ab")
        self.nats[region] = subprocess.Popen(
            [natsconf.find_server(), "-c", str(conf)], stdout=log, stderr=log, start_new_session=True
        )

    def kill_nats(self, region: str) -> None:
        self.nats[region].kill()
        self.nats[region].wait()

    async def start_keeper(self, region: str, ready: bool = True) -> Keeper:
        """Start a keeper in this process."""
        stop = asyncio.Event()
        said = self.said.setdefault(region, [])
        keeper = Keeper(region, self.home, lambda level, text: said.append(f"{level}: {text}"))
        task = asyncio.create_task(keeper.run(stop))
        self.keepers[region] = (keeper, stop, task)
        if ready:
            await self.until(keeper.ready.is_set, 20, f"keeper of {region} is ready", task)
        return keeper

    async def stop_keeper(self, region: str) -> None:
        """An orderly stop."""
        _, stop, task = self.keepers.pop(region)
        stop.set()
        await task

    async def kill_keeper(self, region: str) -> None:
        """As much of a kill −9 as one process allows: cancel everything, write nothing more."""
        _, _, task = self.keepers.pop(region)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def recorded(self, region: str) -> None:
        """Have the record of watermarks on disk now; by itself it is written several times a second."""
        await self.keepers[region][0].store.save_held()

    async def carried(self, region: str) -> None:
        """Wait until every running peer that may hold a region's blocks holds all of them."""
        law = {r.name: r.jurisdiction for r in self.top.regions}

        def all_held() -> bool:
            ours = [c for c in self.keepers[region][0].store.copies.values() if c.key.chain.endswith(f"/{region}")]
            peers = [(name, k.store) for name, (k, _, _) in self.keepers.items() if name != region]
            return all(
                store.held(c.cls).get(c.key.chain, {}).get(c.key.epoch, 0) >= c.end.n
                for name, store in peers for c in ours if c.cls is not Class.PERSONAL or law[name] == law[region]
            )  # fmt: skip

        await self.until(all_held, 20, f"the peers hold what {region} wrote")

    def spawn_keeper(self, region: str, tag: str = "") -> subprocess.Popen[bytes]:
        """Start a keeper as a process of its own."""
        code = "import sys; from pathlib import Path; from holdfast.region.keeper import main;"
        code += "from holdfast.adapters.home import Home; main(sys.argv[1], Home(Path(sys.argv[2])))"
        log = (self.home.root / f"{region}{tag}.keeper.log").open("ab")
        child = subprocess.Popen(
            [sys.executable, "-c", code, region, str(self.home.root)], stderr=log, start_new_session=True
        )
        self.children[region + tag] = child
        return child

    async def start(self, *regions: str) -> None:
        names = regions or tuple(r.name for r in self.top.regions)
        for name in names:
            self.start_nats(name)
        await asyncio.gather(*(self.start_keeper(n) for n in names))

    def wipe(self, region: str) -> None:
        shutil.rmtree(self.home.region(region))

    async def until(self, check, seconds: float, what: str, task: asyncio.Task[None] | None = None) -> float:
        """Wait until check() holds; return how long it took."""
        began = time.monotonic()
        while not check():
            for running in [task] if task else [task for _, _, task in self.keepers.values()]:
                if running.done():
                    running.result()  # a keeper that ended by an error says which
            if time.monotonic() - began > seconds * SLOW:
                raise AssertionError(f"after {seconds * SLOW} s still not: {what}; said: {self.said}")
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def client(self, region: str, peer: str = "") -> LogClient:
        return await LogClient.open(self.home, region, peer, role="test")

    async def entries(self, region: str, cls: Class) -> dict[tuple[str, int], str]:
        """Everything a local follower of a class sees from the beginning: (device, outbox) -> chain/epoch/n."""
        client = await self.client(region)
        have: Have = {}
        seen: dict[tuple[str, int], str] = {}
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(client.close)
            async with asyncio.timeout(20 * SLOW):
                async for news in client.follow_class(cls, have, wait_ms=100):
                    for batch in news.batches:
                        for block in batch.blocks:
                            for e in decoded(block):
                                seen[e.device, e.outbox] = f"{batch.chain}/{batch.epoch}/{block.n}"
                    if not news.batches:
                        break
        return seen


def decoded(block: Block) -> list[entries.Entry]:
    return [entries.decode(raw) for raw in block.entries]


def pid_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
