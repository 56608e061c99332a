"""The learner: reads the region's chains, keeps the next-item sums, and lets a new model out when there is news.

It is a follower like any other: rungs, nodes and viewers do not wait for it, and a learner that dies costs no slate,
only freshness. When it starts it folds the chains from the beginning, so it comes back knowing what it knew.

One learner of a jurisdiction is enough. Each has a rank by hash; while fresh releases of a better-ranked one arrive,
the others fold along but rest, so that they can take over at once, and fetch the blob so that it lies in every region.
"""

import asyncio
import hashlib
import os
import time
from typing import Any

from holdfast.adapters import telemetry
from holdfast.adapters.blobs import BlobStore
from holdfast.adapters.home import Home
from holdfast.adapters.log import Batch, LogClient
from holdfast.core import entries
from holdfast.core.asks import Have
from holdfast.core.classes import Class, parse_chain
from holdfast.core.entries import Entry, Release, Rollout
from holdfast.core.errors import Broken, Degraded, HoldfastError
from holdfast.core.hlc import Hlc
from holdfast.model import gate, linear
from holdfast.model.learn import SOLVED_FIRST, affordable
from holdfast.model.lessons import Lessons
from holdfast.model.rollout import RUNG as NETWORK
from holdfast.region.fetch import Fetcher
from holdfast.region.learner_network import LearnerNetwork

RUNG = "LINEAR"
RELEASE_EVERY_S = 3.0  # a viewer's new liking reaches the model within this and a solve
SOLVE_SHARE = 0.1  # of the learner's time at most: a solve of 4 s is followed by 36 s of rest
RELEASE_LATEST_S = 25.0  # but never so long that the stand-by thinks it gone
EXAMPLES_FIRST = 20  # a first release from fewer would be noise
REST_S = 30.0  # a better-ranked learner that has been silent this long is taken over from
SLICE_S = 0.02  # how long the fold may hold the event loop
KEPT = 5  # old releases kept for roll-back; a node that is slower than this many releases fetches the newest

log = telemetry.logger()


def main(region: str, home: Home) -> None:
    """Run the learner of `region` until stopped. The supervisor makes it nice and caps BLAS at one thread."""
    telemetry.start("learner", region)
    asyncio.run(Learner(region, home).run())


def rank(region: str) -> str:
    """Return a region's rank among the learners of its jurisdiction; the smallest trains."""
    return hashlib.sha256(f"learner/{region}".encode()).hexdigest()


class Learner:
    """One region's learner."""

    def __init__(self, region: str, home: Home) -> None:
        self.region = region
        self.home = home
        self.top = home.load()
        self.lessons = Lessons(self.top.region(region).jurisdiction)
        self.blobs = BlobStore(home.region(region) / "blobs")
        self.fetcher = Fetcher(home, region, self.blobs)
        self.network = LearnerNetwork(self.lessons, home, region, self.blobs, self.fetcher)
        self.device = f"learner:{region}:{os.urandom(4).hex()}"  # outbox numbers begin at 1 in each life
        self.outbox = 0
        self.clock = Hlc()
        self.solved_s = 0.0
        self.videos = SOLVED_FIRST
        self.examples_out = 0
        self.better_at: float | None = None  # monotonic: when a better-ranked learner's fresh release was taken
        self.own: list[str] = []  # digests of own releases, oldest first
        self.caught_up = False

    async def run(self) -> None:
        """Fold and release, for ever."""
        client = await LogClient.open(self.home, self.region, role="learner")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._fold(client))
                tasks.create_task(self._release_when_due(client))
        finally:
            await self.fetcher.close()
            await client.close()

    # -- folding ---------------------------------------------------------------------------------------------------

    async def _fold(self, client: LogClient) -> None:
        have: Have = {}
        read: set[Class] = set()  # classes read to where the region held them once: no release from half a history
        async for news in client.follow_all(list(Class), have):
            for batch in news.batches:
                await self._take(batch)
            await self._network_when_due(client)
            if all(have.get(c, {}).get(e, 0) >= n for c, epochs in news.held.items() for e, n in epochs.items()):
                read.add(news.cls)
            self.caught_up = len(read) == len(Class)

    async def _take(self, batch: Batch) -> None:
        cls, origin = parse_chain(batch.chain)
        until = time.monotonic() + SLICE_S
        for block in batch.blocks:
            for raw in block.entries:
                try:
                    entry = entries.decode(raw)
                except entries.UNREADABLE as e:  # the door let it in, or a newer version wrote it: not a lesson
                    log.warning("entry skipped", chain=batch.chain, n=block.n, why=str(e))
                    continue
                if isinstance(entry, Release) and cls is Class.PERSONAL and entry.rung != NETWORK:
                    await self._hear(entry, origin)
                self.network.take(entry)
                self.lessons.take(entry)
                if time.monotonic() > until:
                    await asyncio.sleep(0)
                    until = time.monotonic() + SLICE_S
            resting = self.resting(time.monotonic())
            await self.network.folded(batch.chain, batch.epoch, block.n, resting=resting, caught_up=self.caught_up)

    async def _network_when_due(self, client: LogClient) -> None:
        """Write what the network's learning decided: between two batches, when the folds stand still."""
        if not self.caught_up or self.resting(time.monotonic()):
            return
        try:
            made = [self._entry(fields) for fields in await self.network.due()]
            if made:
                await client.append(Class.PERSONAL, made)
                self.network.heard(made)
        except HoldfastError as e:
            log.warning("the network's release waits", why=str(e))
        except Exception as e:  # noqa: BLE001 - JAX raises what it likes; LINEAR goes on
            self.network.fail(e)

    def _entry(self, fields: dict[str, Any]) -> Entry:
        self.outbox += 1
        kind = Rollout if "share_ppm" in fields else Release
        stamp = self.clock.tick(time.time_ns() // 1000)
        return kind(device=self.device, outbox=self.outbox, stamp=stamp, **fields)

    async def _hear(self, release: Release, origin: str) -> None:
        """Take note of a release: rest while a better-ranked learner's are fresh, and get its blob."""
        if origin == self.region:
            self.own = [*self.own, release.sha]
            return
        age_s = time.time() - release.stamp / 1e6
        if rank(origin) >= rank(self.region) or age_s > REST_S:
            return
        try:
            model = linear.load(await self.fetcher.get(Class.PERSONAL, release.sha, likely=origin))
        except (Broken, Degraded) as e:
            log.warning("a peer's release is not usable, so it is not waited for", origin=origin, why=str(e))
            return
        self.better_at = time.monotonic()
        self.lessons.incumbent = linear.Linear(model, self.lessons.world.catalogue, release.sha)

    # -- releasing -------------------------------------------------------------------------------------------------

    def resting(self, now_s: float) -> bool:
        """Say whether a better-ranked learner of this jurisdiction is alive."""
        return self.better_at is not None and now_s - self.better_at < REST_S

    async def _release_when_due(self, client: LogClient) -> None:
        while True:
            await asyncio.sleep(min(max(RELEASE_EVERY_S, self.solved_s / SOLVE_SHARE), RELEASE_LATEST_S))
            examples = self.lessons.statistics.examples
            due = examples >= EXAMPLES_FIRST and examples > self.examples_out
            if not due or not self.caught_up or self.resting(time.monotonic()):
                continue
            try:
                await self._recall()
                await self._release(client)
            except HoldfastError as e:
                log.warning("no release this time", why=str(e))

    async def _recall(self) -> None:
        """After a restart: what was released last is what a candidate is compared with."""
        if self.lessons.incumbent is not None or not self.own:
            return
        try:
            model = linear.load(await self.fetcher.get(Class.PERSONAL, self.own[-1]))
        except (Broken, Degraded) as e:
            log.warning("the last release is not to be had", why=str(e))
            return
        self.lessons.incumbent = linear.Linear(model, self.lessons.world.catalogue, self.own[-1])

    async def _release(self, client: LogClient) -> None:
        """Solve, judge, write the blob, then name it in the chain: a name never stands for a blob that is not there."""
        lessons = self.lessons
        frozen = lessons.statistics.copy()
        learned_to = lessons.learned_to
        begun = time.monotonic()
        data = await asyncio.to_thread(lambda: linear.dump(frozen.solve(self.videos)))
        self.solved_s = time.monotonic() - begun
        self.videos = affordable(min(self.videos, frozen.videos), self.solved_s)
        self.examples_out = frozen.examples
        model = linear.load(data)  # judge what will be served, rounding included; Broken: not a number
        candidate = linear.Linear(model, lessons.world.catalogue)
        verdict = gate.judge(model, candidate, lessons.incumbent, lessons.log)
        if not verdict.released:
            log.warning("release refused by the gate", why=verdict.why)
            return
        sha = await asyncio.to_thread(self.blobs.put, Class.PERSONAL, data)
        if sha == (lessons.incumbent.release if lessons.incumbent else ""):
            return
        candidate.release = sha
        self.outbox += 1
        entry = Release(
            device=self.device, outbox=self.outbox, stamp=self.clock.tick(time.time_ns() // 1000), rung=RUNG, sha=sha,
            size=len(data), learned_to=learned_to, examples=frozen.examples, verdict=verdict.why[:300],
            figures={**lessons.log.figures(), **verdict.figures},
        )  # fmt: skip
        await client.append(Class.PERSONAL, [entry])
        lessons.incumbent = candidate
        log.info("released", sha=sha, examples=frozen.examples, solve_s=round(self.solved_s, 3), why=verdict.why)
        await asyncio.to_thread(self._forget_old)

    def _forget_old(self) -> None:
        """Delete own releases beyond the newest KEPT; the chain goes on naming them, as what once served."""
        for sha in self.own[:-KEPT]:
            self.blobs.delete(Class.PERSONAL, sha)
        self.own = self.own[-KEPT:]
