"""The learner's network: trained on what settles, released to a canary, widened or taken back, and resumed exactly.

Everything here happens between two blocks of the fold, one thing after the other, so the catalogue stands still
meanwhile and the state belongs to a watermark:

    block folded ─► examples ─► steps ─► every RELEASE_EVERY_S: flush (─► checkpoint) ─► gate ─► release + canary
                                     └─► every DECIDE_EVERY_S: widen, serve or roll back what is under trial

The heavy parts run in a thread, so the log client's heartbeat goes on. JAX is imported when there is first something to
train: a learner of a region without an audience stays small.

The checkpoint is a file of this region: parameters, optimiser and step, with the watermark they belong to. The examples
are not in it: they are the chain's. A restart folds the chain again, knows what was trained before the watermark, and
trains on from there. A stand-by holds the same examples untrained; when it takes over, it begins with the parameters of
the release that serves.
"""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.adapters import system, telemetry
from holdfast.adapters.blobs import BlobStore
from holdfast.adapters.home import Home
from holdfast.core.asks import Have
from holdfast.core.classes import Class
from holdfast.core.entries import Entry, Release, Rollout
from holdfast.core.errors import Broken, Degraded
from holdfast.model import gate
from holdfast.model.examples import Examples, Unit
from holdfast.model.lessons import Lessons
from holdfast.model.rollout import RUNG, SHARES_PPM, Line, Step, Trial
from holdfast.region import node_networks
from holdfast.region.fetch import Fetcher

RELEASE_EVERY_S = 2.0  # while nothing is under trial
KEEP_EVERY_S = 15.0  # between checkpoints; a kill costs so much training again
DECIDE_EVERY_S = 1.0
UNITS_FIRST = 64  # examples before anything is trained
PAST_KEPT = 4096  # as model.online.PAST
WHOLE_EVERY = 10  # releases that build upon one whole one
AGAIN_S = 300.0  # after a failure of JAX
COMPILING = "from holdfast.model import online; online.prepare()"
KEPT = 24  # own blobs of networks kept, beside those the line names

log = telemetry.logger()


class LearnerNetwork:
    """The network's part of one region's learner. `entries` it makes are appended by the owner."""

    def __init__(self, lessons: Lessons, home: Home, region: str, blobs: BlobStore, fetcher: Fetcher) -> None:
        self.lessons = lessons
        self.examples = Examples(lessons.world)
        self.line = Line()
        self.trial = Trial()
        self._home, self._region = home, region
        self._blobs, self._fetcher = blobs, fetcher
        self._file = home.region(region) / "network.checkpoint"
        self._known: Have = {}  # trained on before the checkpoint
        self._done: Have = {}  # folded
        # seen while there is no trainer, and whether the checkpoint's had trained on it
        self._past: deque[tuple[Unit, bool]] = deque(maxlen=PAST_KEPT)
        self._trainer: Any = None
        self._making: asyncio.Task[Any] | None = None
        self._stored: bytes = b""
        self._serving: Any = None  # the Full that serves, to judge by
        self._base: tuple[str, Any] | None = None
        self._since_base = 0
        self._own: list[str] = []
        self._bases: dict[str, str] = {}  # of own networks: what each builds upon
        self._tried_s = self._decided_s = self._kept_s = time.monotonic()
        self._off_until_s = 0.0
        self._out = 0  # showings trained on at the last try
        self._recall()

    # -- folding ---------------------------------------------------------------------------------------------------

    def take(self, entry: Entry) -> None:
        """Hear of an entry, before the world folds it."""
        self.examples.take(entry)
        if isinstance(entry, Release | Rollout) and self.line.hear(entry) and isinstance(entry, Rollout):
            log.info("rollout", verdict=entry.verdict, sha=entry.sha, share_ppm=entry.share_ppm, why=entry.why)

    def heard(self, made: Sequence[Entry]) -> None:
        """Follow entries of one's own at once: the next decision must not be taken as if they were not written."""
        for entry in made:
            if isinstance(entry, Release | Rollout):
                self.line.hear(entry)

    async def folded(self, chain: str, epoch: str, n: int, *, resting: bool, caught_up: bool) -> None:
        """A block is folded: learn from what has settled."""
        self._done.setdefault(chain, {})[epoch] = n
        known = n <= self._known.get(chain, {}).get(epoch, 0)
        self.trial.see(self.examples.outcomes)
        self.examples.outcomes.clear()
        for unit in self.examples.emptied():
            if self._trainer is not None and not resting:
                self._trainer.offer(unit, known=known)
            else:
                self._past.append((unit, known))
        if resting:  # another learner's parameters go on from here; ours would be of the past
            self._trainer, self._stored = None, b""
        if resting or time.monotonic() < self._off_until_s:
            return
        try:
            if self._making is None and self._trainer is None and len(self._past) >= UNITS_FIRST:
                self._making = asyncio.create_task(self._make())  # also while history is read: compiling reads nothing
            if caught_up:
                await self._learn()
        except Exception as e:  # noqa: BLE001 - JAX raises what it likes; LINEAR goes on
            self.fail(e)

    def fail(self, e: Exception) -> None:
        """JAX is not there, does not compile or has no memory: LINEAR goes on alone, and this is tried again later."""
        log.warning("the network cannot learn now", why=repr(e), again_s=AGAIN_S)
        self._trainer = self._making = self._serving = None
        self._stored, self._off_until_s = b"", time.monotonic() + AGAIN_S

    async def _learn(self) -> None:
        if self._making is not None and self._making.done():
            made, self._making = self._making.result(), None
            await self._begin(made)
        while self._trainer is not None and len(self._trainer.waiting) >= self._trainer.new:
            await asyncio.to_thread(self._trainer.step)

    async def _make(self) -> Any:
        """Make a trainer and compile its step, beside the fold: tens of seconds on a busy machine.

        A process of its own compiles, into JAX's cache on disk, and ends: what compiling takes (400 MB) goes with it.
        Where that fails, for want of memory say, it is not done here either, or LINEAR would go down with it. Raises
        Degraded.
        """
        node_networks.prepare(self._home)
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", COMPILING)
        try:
            failed = await child.wait()
        except asyncio.CancelledError:
            child.kill()
            raise
        if failed:
            raise Degraded(f"compiling the network's step ended with {failed}", retry_after_s=AGAIN_S)
        online = await asyncio.to_thread(_online)
        trainer = await asyncio.to_thread(online.Trainer, self.lessons.world.catalogue)
        await asyncio.to_thread(trainer.warm)
        await asyncio.to_thread(system.give_back_memory)
        return trainer

    async def _begin(self, trainer: Any) -> None:
        """Start: from the checkpoint, from the release that serves, or from nothing."""
        fresh = not self._stored
        if self._stored:
            try:
                trainer.load(self._stored)
            except Broken as e:
                log.warning("the checkpoint is not of use", why=str(e))
                fresh = True
            self._stored = b""
        full = await self._full_of(self.line.serving) if fresh and self.line.serving else None
        if full is not None:
            trainer.adopt(full.model)
        for unit, known in self._past:  # a killed learner goes on with what came after its checkpoint
            trainer.offer(unit, known=full is not None if fresh else known)
        self._past.clear()
        self._trainer = trainer
        log.info("the network learns", examples=len(trainer.waiting), step=int(trainer.run.step), anew=fresh)

    # -- the checkpoint --------------------------------------------------------------------------------------------

    def _recall(self) -> None:
        try:
            known, data = msgspec.msgpack.decode(self._file.read_bytes(), type=tuple[Have, bytes])
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as e:
            log.warning("the checkpoint does not read; learning begins with the release that serves", why=str(e))
            return
        self._known, self._stored = known, data

    def _keep(self) -> None:
        """Write the checkpoint; a crash leaves the old one."""
        data = msgspec.msgpack.encode((self._done, self._trainer.dump()))
        system.write_whole(self._file, data)

    # -- releasing -------------------------------------------------------------------------------------------------

    async def due(self) -> list[dict[str, Any]]:
        """Return the fields of the entries that should be written now: a rollout's next step, a release's canary."""
        now_s = time.monotonic()
        if self._trainer is None:
            return []
        made: list[dict[str, Any]] = []
        if self.line.trial and now_s - self._decided_s >= DECIDE_EVERY_S:
            self._decided_s = now_s
            step = await asyncio.to_thread(self.trial.step, self.line)
            made += [_rollout(self.line.trial, step)] if step.verdict else []
        if now_s - self._tried_s >= RELEASE_EVERY_S:
            self._tried_s = now_s
            await asyncio.to_thread(self._trainer.flush)
            if now_s - self._kept_s >= KEEP_EVERY_S:
                self._kept_s = now_s
                await asyncio.to_thread(self._keep)
            if not self.line.trial and self._trainer.trained > self._out:
                made += await self._candidate()
        return made

    async def _candidate(self) -> list[dict[str, Any]]:
        """Judge the network as it stands; return its release and its canary, or the rollback of a bad incumbent."""
        self._out = self._trainer.trained
        incumbent = await self._full_of(self.line.serving) if self.line.serving else None
        linear = self.lessons.incumbent
        if linear is None:
            return []
        learned_to = self.examples.learned_to
        data, full, judgement, incumbent_fails = await asyncio.to_thread(self._judge, incumbent, linear)
        if full is None:  # it would stay so for ever: learning begins again from the release that serves
            self._trainer = None
        if incumbent_fails:
            why = "the release that serves is surely worse than LINEAR on held-out slates"
            return [_rollout(self.line.serving, Step("rollback", 0, why, judgement.figures))]
        if full is None or not judgement.released:
            log.warning("network held back by the gate", why=judgement.why)
            return []
        sha = await asyncio.to_thread(self._blobs.put, Class.PERSONAL, data)
        if self._since_base == 0:
            self._base = (sha, full.model)
        self._since_base = (self._since_base + 1) % WHOLE_EVERY
        self._bases[sha] = node_networks.base_of(data)
        self._forget_old(sha)
        agreed, told = self.examples.agreed
        figures = {**judgement.figures, "probe": full.probe(), "agreed": agreed / max(told, 1)}
        release = {
            "rung": RUNG, "sha": sha, "size": len(data), "learned_to": learned_to,
            "examples": self._trainer.trained, "verdict": judgement.why[:300], "figures": figures,
        }  # fmt: skip
        return [release, _rollout(sha, Step("canary", SHARES_PPM[0], judgement.why))]

    def _judge(self, incumbent: Any, linear: Any) -> tuple[bytes, Any, gate.Judgement, bool]:
        """In a thread: round the network as it will be served, and judge it. The network is None if it is broken."""
        from holdfast.model import full as networks
        from holdfast.model import release

        model = release.rounded(self._trainer.model())
        full = None
        if model.finite():
            full = networks.Full(model, self.lessons.world.catalogue, linear, like=incumbent)
            full.warm()
        data = release.dump(model, self._base if self._since_base else None) if full else b""
        return data, full, *gate.judge_networks(full, incumbent, linear, gate.for_networks(self.examples.judged))

    async def _full_of(self, sha: str) -> Any:
        """The network of a release, bound to this catalogue; None when its blob is not to be had."""
        if self._serving is not None and self._serving.release == sha:
            self._serving.linear = self.lessons.incumbent
            return self._serving
        try:
            blob = await self._fetcher.get(Class.PERSONAL, sha)
            node_networks.prepare(self._home)
            base_sha = await asyncio.to_thread(node_networks.base_of, blob)
            base = None
            if base_sha:
                whole = await self._fetcher.get(Class.PERSONAL, base_sha)
                base = await asyncio.to_thread(node_networks.load, whole, None)
            model = await asyncio.to_thread(node_networks.load, blob, base)
        except (Broken, Degraded) as e:
            log.warning("a network is not to be had", sha=sha, why=str(e))
            return None
        full = (await asyncio.to_thread(node_networks.module)).Full
        self._serving = full(model, self.lessons.world.catalogue, self.lessons.incumbent, sha)
        await asyncio.to_thread(self._serving.warm)
        return self._serving

    def _forget_old(self, sha: str) -> None:
        """Delete own networks that nothing names any more."""
        self._own = [*(s for s in self._own if s != sha), sha]
        needed = {self.line.serving, self.line.trial, *self.line.before, self._base[0] if self._base else ""}
        needed |= {self._bases.get(s, "") for s in (*needed, *self._own[-KEPT:])}
        for old in [s for s in self._own[:-KEPT] if s not in needed]:
            self._blobs.delete(Class.PERSONAL, old)
            self._own.remove(old)
            self._bases.pop(old, None)


def _rollout(sha: str, step: Step) -> dict[str, Any]:
    return {
        "rung": RUNG, "sha": sha, "verdict": step.verdict, "share_ppm": step.share_ppm, "why": step.why[:300],
        "figures": step.figures,
    }  # fmt: skip


def _online() -> Any:
    from holdfast.model import online

    return online
