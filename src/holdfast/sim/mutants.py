"""Known bugs, planted one by one in the real code: what the simulator must notice, or it proves nothing.

Each is a mistake that somebody could make, or did make, in a system like this one. `holdfast sim --mutants` plants them
and runs worlds until one breaks a promise.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

from holdfast.sim.mutate import Mutant, attempt, automatic

SEEDS = tuple(range(1, 61))  # worlds tried, those first in which a mutant was caught before
QUICK = (3, 12, 30)  # worlds that automatic mutants live through, after the tests of their module
WALL_S = 1800.0  # on a machine that is busy; the processor time is bounded in the process itself

R, C, F = "holdfast.region.", "holdfast.core.", "holdfast.core.feed."

PLANTED: tuple[Mutant, ...] = (
    Mutant("acknowledge before fsync", R + "keeper_seal",
           "        copy.writer.put(self._link, message).add_done_callback(done)",
           "        copy.writer.put(self._link, message)\n        for reply in replies:\n            reply(acked)",
           seeds=(15,)),
    Mutant("skip the digest check", C + "log.continuity", "if before.digest and block.prev != before.digest:",
           "if False:"),
    Mutant("forget the de-duplication", F + "world", "if not folded.add(entry.outbox):",
           "if not folded.add(entry.outbox) and entry.outbox < 0:", seeds=(1,)),
    Mutant("merge by block order", C + "profile", "if held is not None and write[:3] <= held[:3]:", "if False:",
           seeds=(10,)),
    Mutant("trust a stale watermark", C + "log.safe", "best = min(n, max(", "best = max(n, max(", seeds=(9,)),
    Mutant("continue a chain after an unanswered restart", C + "log.epochs", "if not peers <= answers.keys():",
           "if False:"),
    Mutant("go on with an epoch of a backup", R + "keeper_epoch", "    if copy.ended:\n        return None\n", "",
           seeds=(25,)),
    Mutant("drop the seen list", "holdfast.client.client", "seen=list(self.memory.seen)", "seen=[]"),
    Mutant("cross the jurisdiction", C + "classes",
           "return cls is not Class.PERSONAL or origin_jurisdiction == holder_jurisdiction", "return True"),
    Mutant("send the token abroad", C + "health.router",
           "return [p for p in self.places if p.jurisdiction == self.jurisdiction]", "return list(self.places)"),
    Mutant("climb without calm", F + "ladder", "if now_s - self.calm_since_s < CALM_S:", "if False:", seeds=(2,)),
    Mutant("let allow beat remove", C + "rulings", "return max((r.verdict for r in self.standing())",
           "return min((r.verdict for r in self.standing())"),
    Mutant("forget what a ruling supersedes", C + "rulings", "if self.void.get(i, 0) <= r.stamp]", "]", seeds=(6,)),
    Mutant("show what no ruling allows", C + "catalogue", '(self.verdict[:n] == STRICTNESS["allow"])',
           '(self.verdict[:n] <= STRICTNESS["allow"])'),
    Mutant("let go at the first acknowledgement", C + "health.outbox", '    if safe.get(ack.chain, {})',
           '    if ack.n > 0 or safe.get(ack.chain, {})', seeds=(9,)),
    Mutant("send nothing again after a move", C + "health.outbox",
           "            again += 1\n            kept.waiting = True\n        return again\n\n    def forgotten",
           "            again += 1\n        return again\n\n    def forgotten"),
    Mutant("take any answer for a yes", R + "keeper_write", "if (await self._sent[0].task).stored:",
           "if await self._sent[0].task:", seeds=(15,)),
    Mutant("fence pipelined blocks by number alone", R + "keeper_write",
           'after = self._sent[-1].link.digest.hex() if self._sent else ""', 'after = ""',
           seeds=(32,)),
    Mutant("believe that what lies there is ours", R + "keeper_write", "if got[0][1] != sent.message:", "if False:",
           seeds=(32,)),
    Mutant("never settle the names of pieces", R + "keeper_files", "            self._disk.settle(place)  #",
           "            pass  #",
           seeds=(2,)),
    Mutant("cut one block too many", R + "keeper_store", "await self.streams.purge_before(copy.key, n)",
           "await self.streams.purge_before(copy.key, n + 1)"),
    Mutant("say that one holds what lies behind a hole", C + "log.ranges",
           "return missing[0][0] - 1 if missing and missing[0][0] <= last else last", "return last"),
    Mutant("declare lost before all have answered", R + "keeper_scrub",
           "        if asked - answers.keys():\n            return", "        if False:\n            return"),
    Mutant("never look for damage", R + "keeper_scrub",
           '        link, end = Link(copy.tail_first - 1, b""), copy.end.n\n',
           '        return True\n        link, end = Link(copy.tail_first - 1, b""), copy.end.n\n',
           seeds=(5,)),
    Mutant("salvage nothing", R + "keeper_salvage", "        return rows, traces\n", "        return Rows(), traces\n",
           seeds=(17,)),
    Mutant("export every class to every peer", "holdfast.adapters.natsconf", "for cls in Class if peer in peers[cls]]",
           "for cls in Class]"),
    Mutant("an interval set forgets its last number", C + "merge",
           "        if i >= 0 and n <= ends[i]:\n            return False",
           "        if i >= 0 and n < ends[i]:\n            return False"),
    Mutant("count a view twice", C + "catalogue", "        self.views[row] += 1\n", "        self.views[row] += 2\n"),
    Mutant("do not say that it is a rewatch", F + "pipeline", 'result = Result(viewer, rung, [], "seen" in level[i],',
           'result = Result(viewer, rung, [], False,'),
    Mutant("skip the digest check of a blob", R + "keeper_files",
           "return len(data), hashlib.sha256(data).hexdigest() == path.name", "return len(data), True",
           seeds=(36,)),
    Mutant("a fenced keeper keeps its hands on the files", R + "keeper_store",
           "if self._owner and self._disk.read(self._owner_path) != self._owner:", "if False:",
           seeds=(17,)),
    Mutant("a reader steps over what is not lost", "holdfast.adapters.log",
           "            known = answer.safe_version\n",
           "            known = answer.safe_version\n            for c, es in answer.held.items():\n"
           "                have.setdefault(c, {}).update({e: n for e, n in es.items() if n % 7 == 0})\n"),
)  # fmt: skip
CONTROL = Mutant("nothing at all", C + "errors")  # must not be caught, or the others mean nothing


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant. `by`: who noticed it; empty: nobody."""

    name: str
    planted: bool
    by: str

    @property
    def caught(self) -> bool:
        return bool(self.by)


def trial(jobs: int, others: int, only: str = "") -> Iterator[tuple[int, Result]]:
    """Try every planted mutant whose name holds `only`, and `others` automatic ones; yields (total, result)."""
    waiting = [m for m in PLANTED if only in m.name] + automatic(others)
    total, running = len(waiting), dict[Connection, tuple[Mutant, object, float]]()
    context = get_context("forkserver")
    context.set_forkserver_preload(["holdfast.sim.world", "pytest"])
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop(0)
            ours, theirs = context.Pipe()
            process = context.Process(target=attempt, args=(mutant, worlds_of(mutant), theirs), daemon=True)
            process.start()
            theirs.close()
            running[ours] = (mutant, process, time.monotonic())
        done = wait(list(running), 1.0)
        late = [pipe for pipe, (_, _, began) in running.items() if time.monotonic() - began > WALL_S]
        for pipe in {*done, *late}:
            assert isinstance(pipe, Connection)
            mutant, process, _ = running.pop(pipe)
            try:
                by = str(pipe.recv()) if pipe in done else "it never ends"
            except EOFError:  # killed for its processor time
                by = "it never ends"
            process.kill()  # type: ignore[attr-defined]
            process.join()  # type: ignore[attr-defined]
            yield total, Result(mutant.name, mutant.planted, by)


def worlds_of(mutant: Mutant) -> tuple[int, ...]:
    """The worlds in which a mutant is tried, the promising ones first."""
    if not mutant.planted:
        return QUICK
    return tuple(dict.fromkeys((*mutant.seeds, *SEEDS)))
