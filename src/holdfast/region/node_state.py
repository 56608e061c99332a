"""What the rooms of one node share: who it is, what it has folded, how far the chains reach, and its counters.

One process, one event loop, one owner: everything here is read and changed on the loop's thread only.
"""

import asyncio
import contextlib
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from holdfast.adapters.apikeys import ApiKeys
from holdfast.adapters.blobs import BlobStore
from holdfast.adapters.home import Home
from holdfast.adapters.log import LogClient
from holdfast.adapters.signing import load_keys
from holdfast.adapters.tables import Tables
from holdfast.core import asks
from holdfast.core.classes import Class
from holdfast.core.entries import Incident
from holdfast.core.errors import Degraded
from holdfast.core.feed.ladder import Ladder, Rung
from holdfast.core.feed.shapes import SlateItem
from holdfast.core.feed.world import World
from holdfast.core.health.admission import Gate
from holdfast.core.hlc import Hlc
from holdfast.region.node_networks import Model, Networks

RATE_WINDOW_S = 10  # rates are over the last ten seconds
LATENCIES_KEPT = 2000
INCIDENTS_KEPT = 50
FOLD_WAIT_S = 2.0  # a fold follows its fsync within 20-100 ms; the answer must not hang on a fold that is behind


@dataclass(slots=True)
class Tally:
    """Counts since the start, and per second over the last RATE_WINDOW_S."""

    total: dict[str, int] = field(default_factory=dict[str, int])
    seconds: deque[tuple[int, dict[str, int]]] = field(default_factory=deque[tuple[int, dict[str, int]]])
    slate_ms: deque[float] = field(default_factory=lambda: deque[float](maxlen=LATENCIES_KEPT))
    fold_ms: deque[float] = field(default_factory=lambda: deque[float](maxlen=LATENCIES_KEPT))  # sealed to folded

    def add(self, name: str, n: int, now_s: float) -> None:
        """Count `n` more of `name` at monotonic second `now_s`."""
        self.total[name] = self.total.get(name, 0) + n
        second = int(now_s)
        if not self.seconds or self.seconds[-1][0] != second:
            self.seconds.append((second, {}))
            while self.seconds[0][0] < second - RATE_WINDOW_S:
                self.seconds.popleft()
        here = self.seconds[-1][1]
        here[name] = here.get(name, 0) + n

    def lately(self, name: str, now_s: float) -> int:
        """How many of `name` in the last RATE_WINDOW_S whole seconds."""
        this = int(now_s)
        return sum(c.get(name, 0) for s, c in self.seconds if this - RATE_WINDOW_S <= s < this)


def quantile(values: deque[float], q: float) -> float:
    """A quantile of the latest measurements, 0.0 for none."""
    return round(float(np.quantile(list(values), q)), 2) if values else 0.0


@dataclass(slots=True)
class Peer:
    """Another region as seen from here. `heard_s`: monotonic second of its last answer, −1: never."""

    heard_s: float = -1.0
    behind: int = 0
    lag_s: float = 0.0


class State:
    """The shared state of a node."""

    def __init__(self, home: Home, region: str) -> None:
        self.home, self.region = home, region
        self.log: asyncio.Future[LogClient] = asyncio.get_running_loop().create_future()  # done once it is there
        self.top = home.load()
        self.here = self.top.region(region)
        self.keys = load_keys(home, region)
        self.api_keys = ApiKeys(home)
        self.folder: Path = home.region(region)
        self.blobs = BlobStore(self.folder / "blobs")
        self.tables = Tables(self.folder / "tables.sqlite")
        self.world = World(self.here.jurisdiction)
        self.clock = Hlc()
        self.tally = Tally()
        self.gate = Gate()
        self.peers = {r.name: Peer() for r in self.top.peers(region)}
        self.held: asks.Have = {}
        self.safe: asks.Have = {}
        self.watermark: dict[str, tuple[str, int]] = {}  # chain -> (epoch, n) folded, the newest epoch
        self.folded: asks.Have = {}  # chain -> epoch -> newest block folded
        self._readers: list[tuple[asks.Acked, asyncio.Future[None]]] = []
        self.folding = False  # True once the folds have caught up with the log
        self.model: Model | None = None  # of LINEAR
        self.networks = Networks()
        self.shelf: list[SlateItem] = []
        self.ladder = Ladder(Rung.SHELF, self.now_s(), self.now_s())
        self.incidents: deque[Incident] = deque(maxlen=INCIDENTS_KEPT)
        self.started_s = self.now_s()
        boot = self.now_us()
        self.device = f"n-{region}-{boot:x}"[:64]  # this node's own outbox: one device per boot, numbered from 1
        self.outbox = 0

    @staticmethod
    def now_us() -> int:
        """Wall clock, µs since 1970."""
        return time.time_ns() // 1000

    @staticmethod
    def now_s() -> float:
        """Monotonic clock, seconds."""
        return time.monotonic()

    @staticmethod
    def token_hex(size: int) -> str:
        """2·size hex digits that nobody else will draw."""
        return secrets.token_hex(size)

    def stamp(self) -> dict[str, int | str]:
        """Device, outbox number and stamp of a new entry of this node."""
        self.outbox += 1
        return {"device": self.device, "outbox": self.outbox, "stamp": self.clock.tick(self.now_us())}

    def count(self, name: str, n: int = 1) -> None:
        """Count something."""
        self.tally.add(name, n, self.now_s())

    def need_folds(self) -> None:
        """Raise Degraded while the log is still being read: what is not known yet must not be called absent."""
        if not self.folding:
            raise Degraded("this region is still reading its log; try again or elsewhere", retry_after_s=1.0)

    async def folds(self, acked: asks.Acked) -> None:
        """Return once a block is folded here, so that who wrote it reads it; or after FOLD_WAIT_S, come what may."""
        if self.folded.get(acked.chain, {}).get(acked.epoch, 0) >= acked.n:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.append((acked, done))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done, FOLD_WAIT_S)

    def mark_folded(self, chain: str, epoch: str, n: int) -> None:
        """Note that a block is folded, and let go who waits for it."""
        epochs = self.folded.setdefault(chain, {})
        epochs[epoch] = max(n, epochs.get(epoch, 0))  # blocks read again for the tables are below it
        for acked, done in self._readers:
            if (acked.chain, acked.epoch) == (chain, epoch) and acked.n <= n and not done.done():
                done.set_result(None)
        self._readers = [(acked, done) for acked, done in self._readers if not done.done()]

    def strongest(self, cls: Class) -> str:
        """`safe` if another permitted failure domain exists for this class, else `local`."""
        return "safe" if self.top.peers(self.region, cls) else "local"

    def lags_s(self) -> dict[str, float]:
        """How old the newest block held of each other region is, seconds."""
        return {name: round(peer.lag_s, 2) for name, peer in self.peers.items()}
