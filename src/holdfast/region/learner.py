"""The learner: reads the region's chains, keeps the next-item sums, and lets a new model out when there is news.

It is a follower like any other: rungs, nodes and viewers do not wait for it, and a learner that dies costs no slate,
only freshness. When it starts it folds the chains from the beginning, so it comes back knowing what it knew.

One learner of a jurisdiction is enough. Each has a rank by hash; while a better-ranked one is at work (`model.pace`),
the others fold along but rest, so that they can take over at once, and fetch the blob so that it lies in every region.

Whoever holds the *turn* may read the world and the models, and they stand still meanwhile: the fold takes it batch by
batch, a release for the moments in which it freezes the sums and judges what was solved. Solving itself needs neither.
"""

import asyncio
import hashlib
import os
import time
from dataclasses import replace
from typing import Any

from holdfast.adapters import system, telemetry
from holdfast.adapters.blobs import BlobStore
from holdfast.adapters.home import Home
from holdfast.adapters.log import Batch, LogClient
from holdfast.core import entries
from holdfast.core.asks import Have
from holdfast.core.classes import Class, parse_chain
from holdfast.core.entries import Entry, Release, Rollout
from holdfast.core.errors import Broken, Degraded, HoldfastError
from holdfast.core.hlc import Hlc
from holdfast.model import gate, linear, pace
from holdfast.model.learn import SOLVED_FIRST, affordable
from holdfast.model.lessons import Lessons
from holdfast.model.pace import StandBy
from holdfast.model.rollout import RUNG as NETWORK
from holdfast.model.solve import System
from holdfast.region.fetch import Fetcher
from holdfast.region.learner_network import LearnerNetwork

RUNG = "LINEAR"
LOOK_EVERY_S = 0.5  # whether a release is due
EXAMPLES_FIRST = 20  # a first release from fewer would be noise
FRESH_S = 30.0  # of age: older releases that history tells of say nothing about who is at work now
SLICE_S = 0.02  # how long the fold may hold the event loop
CROWDED = 4.0  # a solve may take so many times as long by the clock as by the core; beyond it, fewer videos are solved
STRIDE = 32  # entries between two looks at the clock
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
        here = self.top.region(region).jurisdiction
        self.lessons = Lessons(here)
        self.blobs = BlobStore(home.region(region) / "blobs")
        self.fetcher = Fetcher(home, region, self.blobs)
        self.network = LearnerNetwork(self.lessons, home, region, self.blobs, self.fetcher)
        self.device = f"learner:{region}:{os.urandom(4).hex()}"  # outbox numbers begin at 1 in each life
        self.outbox = 0
        self.clock = Hlc()
        self.spent_s = 0.0  # on the last release: solving and judging
        self.videos = SOLVED_FIRST
        self.examples_out = 0
        others = [r.name for r in self.top.regions if r.jurisdiction == here]
        self.before = {f"{Class.PERSONAL}/{name}" for name in others if rank(name) < rank(region)}  # chains
        self.stand_by = StandBy(behind=bool(self.before))
        self.turn = asyncio.Lock()
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
                async with self.turn:
                    await self._take(batch)
            async with self.turn:
                await self._network_when_due(client)
            if all(have.get(c, {}).get(e, 0) >= n for c, epochs in news.held.items() for e, n in epochs.items()):
                read.add(news.cls)
            self.caught_up = len(read) == len(Class)
            theirs = {c: epochs for c, epochs in news.held.items() if c in self.before}
            if any(have.get(c, {}).get(e, 0) < n for c, epochs in theirs.items() for e, n in epochs.items()):
                self.stand_by = self.stand_by.reading(time.monotonic())

    async def _take(self, batch: Batch) -> None:
        cls, origin = parse_chain(batch.chain)
        until, taken = time.monotonic() + SLICE_S, 0
        for block in batch.blocks:
            for raw in block.entries:
                try:
                    entry = entries.decode(raw)
                except entries.UNREADABLE as e:  # the door let it in, or a newer version wrote it: not a lesson
                    log.warning("entry skipped", chain=batch.chain, n=block.n, why=str(e))
                    continue
                if isinstance(entry, Release | Rollout) and cls is Class.PERSONAL:
                    await self._hear(entry, origin)
                self.network.take(entry)
                self.lessons.take(entry)
                taken += 1
                if not taken % STRIDE and time.monotonic() > until:
                    await asyncio.sleep(0)
                    until = time.monotonic() + SLICE_S
            now_s = time.monotonic()
            self.stand_by = self.stand_by.learn(self.lessons.learned_to, now_s)
            resting = self.stand_by.heard and self.stand_by.resting(now_s)
            await self.network.folded(batch.chain, batch.epoch, block.n, resting=resting, caught_up=self.caught_up)

    async def _network_when_due(self, client: LogClient) -> None:
        """Write what the network's learning decided: between two batches, when the folds stand still."""
        if not self.caught_up or self.stand_by.resting(time.monotonic()):
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
        stamp = self.clock.tick(time.time_ns() // 1000)
        if "share_ppm" not in fields:
            return Release(device=self.device, outbox=self.outbox, stamp=stamp, **fields)
        stamp = max(stamp, self.network.line.since + 1)  # after the last step, whatever clock that was made by
        return Rollout(device=self.device, outbox=self.outbox, stamp=stamp, **fields)

    async def _hear(self, entry: Release | Rollout, origin: str) -> None:
        """Take note of what a learner wrote: rest while a better-ranked one is at work, and get its LINEAR's blob.

        Its network counts as work too: its gate may be holding LINEAR back, as ours would. Not if its last blob was not
        to be had.
        """
        if origin == self.region:
            if entry.rung != NETWORK:
                self.own = [*self.own, entry.sha][-2 * KEPT :]  # a life before this one deleted what was before these
            return
        age_s = time.time() - entry.stamp / 1e6
        if rank(origin) >= rank(self.region) or (age_s > FRESH_S and not self.caught_up):
            return
        before, now_s = self.stand_by, time.monotonic()
        if isinstance(entry, Rollout) or entry.rung == NETWORK:
            self.stand_by = before.reading(now_s) if before.heard else before
            return
        self.stand_by = before.hear(entry.learned_to, now_s)  # at once: the blob may be long in coming
        try:
            model = linear.load(await self.fetcher.get(Class.PERSONAL, entry.sha, likely=origin))
        except (Broken, Degraded) as e:
            log.warning("a peer's release is not usable, so it is not waited for", origin=origin, why=str(e))
            self.stand_by = replace(before, heard=False)
            return
        self.lessons.incumbent = linear.Linear(model, self.lessons.world.catalogue, entry.sha)

    # -- releasing -------------------------------------------------------------------------------------------------

    async def _release_when_due(self, client: LogClient) -> None:
        released_s = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            examples = self.lessons.statistics.examples
            due = examples >= EXAMPLES_FIRST and examples > self.examples_out
            rest_s = pace.rest_s(self.spent_s, 1 - self.examples_out / max(examples, 1))
            now_s = time.monotonic()
            if not due or now_s - released_s < rest_s or not self.caught_up or self.stand_by.resting(now_s):
                continue
            try:
                await self._recall()
                await self._release(client)
            except HoldfastError as e:
                log.warning("no release this time", why=str(e))
            released_s = time.monotonic()

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
        async with self.turn:
            examples, learned_to = lessons.statistics.examples, lessons.learned_to
            frozen = await asyncio.to_thread(lessons.statistics.freeze, self.videos)  # up to seconds of a busy core
        begun = time.monotonic()
        solved = sum(name.startswith("i:") for name in frozen.names)
        data, core_s = await asyncio.to_thread(_solved, frozen)
        solved_s = max(core_s, (time.monotonic() - begun) / CROWDED)
        del frozen  # it holds the solution, the largest thing here
        self.videos = affordable(min(self.videos, solved), solved_s)
        self.examples_out = examples
        model = linear.load(data)  # judge what will be served, rounding included; Broken: not a number
        candidate = linear.Linear(model, lessons.world.catalogue)
        async with self.turn:
            verdict = await asyncio.to_thread(gate.judge, model, candidate, lessons.incumbent, lessons.log)
        self.spent_s = time.monotonic() - begun
        if self.stand_by.resting(time.monotonic()):  # a better-ranked one was heard of meanwhile
            return
        if not verdict.released:
            log.warning("release refused by the gate", why=verdict.why)
            return
        sha = await asyncio.to_thread(self.blobs.put, Class.PERSONAL, data)
        if sha == (lessons.incumbent.release if lessons.incumbent else ""):
            return
        candidate.release = sha
        entry = self._entry({
            "rung": RUNG, "sha": sha, "size": len(data), "learned_to": learned_to, "examples": examples,
            "verdict": verdict.why[:300], "figures": {**lessons.log.figures(), **verdict.figures},
        })  # fmt: skip
        await client.append(Class.PERSONAL, [entry])
        lessons.incumbent = candidate
        log.info("released", sha=sha, examples=examples, solve_s=round(solved_s, 3), why=verdict.why)
        await asyncio.to_thread(self._forget_old)

    def _forget_old(self) -> None:
        """Delete own releases beyond the newest KEPT; the chain goes on naming them, as what once served."""
        for sha in self.own[:-KEPT]:
            self.blobs.delete(Class.PERSONAL, sha)
        self.own = self.own[-KEPT:]
        system.give_back_memory()  # solving and judging leave as much free as they took


def _solved(system: System) -> tuple[bytes, float]:
    """Return the model's bytes and the seconds of a core that it took: on a busy machine not those of the clock."""
    begun = time.thread_time()
    return linear.dump(system.solve()), time.thread_time() - begun
