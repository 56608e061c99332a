"""Many worlds: run over processes, and what they show together.

A sweep fails if a promise broke in any seed, and a full one also if a fault or a rare state never occurred: then the
simulator has stopped looking there.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from holdfast.sim.plan import KINDS
from holdfast.sim.world import run

FULL = 1000  # a sweep of this many seeds must have seen everything
RARE = (
    "lost message", "doubled message", "late message", "cut off", "reordered release", "request timed out",
    "acknowledgement lost", "10071 for a kept block", "duplicate acknowledgement", "stalled fsync",
    "full disk refused a block", "stuck log server started anew", "silent truncation", "skipped sequences",
    "torn write", "kept without an answer",
    "power cut between two writes", "keeper ended broken", "epoch opened anew", "segment closed",
    "blocks lost and named", "told: damage", "told: mended", "told: salvaged", "told: lost", "append overloaded",
    "append refused", "client moved", "device rung", "rewatch", "climbed a rung", "fell a rung",
    "folded from the beginning", "refused at the fence",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One seed of a sweep. `cpu_ms`: what it took."""

    seed: int
    breaches: list[str]
    trace_hash: str
    counts: dict[str, int]
    cpu_ms: float
    virtual_s: float


@dataclass(slots=True)
class Sweep:
    """What a sweep found so far."""

    rows: list[Row] = field(default_factory=list[Row])

    @property
    def failed(self) -> list[Row]:
        """The seeds in which a promise broke."""
        return [row for row in self.rows if row.breaches]

    @property
    def trace_hash(self) -> str:
        """One hash over all seeds, in their order."""
        both = "".join(row.trace_hash for row in sorted(self.rows, key=lambda row: row.seed))
        return hashlib.blake2b(both.encode(), digest_size=16).hexdigest()

    def occurred(self) -> dict[str, int]:
        """In how many seeds each fault and rare state occurred, those that never did among them."""
        seen = Counter(name for row in self.rows for name, n in row.counts.items() if n)
        return {name: seen.get(name, 0) for name in (*KINDS, *RARE)}

    def never(self) -> list[str]:
        """What a full sweep should have seen and did not; nothing for a shorter one."""
        return [name for name, n in self.occurred().items() if not n] if len(self.rows) >= FULL else []


def one(seed: int) -> Row:
    """Run one seed."""
    began = time.process_time()
    o = run(seed)
    return Row(seed, o.breaches, o.trace_hash, o.counts, round((time.process_time() - began) * 1000, 1), o.virtual_s)


def sweep(seeds: Iterable[int], jobs: int) -> Iterator[Row]:
    """Run seeds over `jobs` processes; rows come as they are done, in the order of the seeds."""
    if jobs <= 1:
        yield from map(one, seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("forkserver")) as pool:
        yield from pool.map(one, seeds, chunksize=4)
