"""Taking over what the learner releases: fetch, check, load beside the old model, swap between two slates.

A release is an entry with a digest. The blob is fetched (from here, or from a region of the jurisdiction), its sha256
is the check, the gate has passed it where it was made, and loading it refuses numbers that are not finite. The newest
that loads serves; one that does not is counted and the old one goes on.

LINEAR's newest release serves at once. A network's serves whom its rollout says (`model.rollout`): what is loaded is
what serves and what is under trial, and nothing else.
"""

import asyncio
import math
import time

from holdfast.adapters import telemetry
from holdfast.core.catalogue import Catalogue
from holdfast.core.classes import Class
from holdfast.core.entries import Release, Rollout
from holdfast.core.errors import Broken, Degraded
from holdfast.model import linear
from holdfast.model.rollout import RUNG
from holdfast.region import node_networks
from holdfast.region.fetch import Fetcher
from holdfast.region.node_networks import Model
from holdfast.region.node_state import State

RETRY_S = 2.0
REFUSED_KEPT = 64
AGAIN_S, AGAIN_MAX_S = 60.0, 3600.0  # a network that there was no memory for is tried again, at doubling intervals


class Refusals:
    """Networks that could not be taken up, and when each is tried again. Times in seconds of a steady clock."""

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, float]] = {}  # digest -> (when, how long that was to wait)

    def refuse(self, sha: str, now_s: float, *, broken: bool) -> float:
        """Note a failure; return how long to wait: for ever if the network itself is broken."""
        waited_s = self._until.pop(sha, (0.0, AGAIN_S / 2))[1]
        wait_s = math.inf if broken else min(2 * waited_s, AGAIN_MAX_S)
        self._until[sha] = now_s + wait_s, wait_s
        while len(self._until) > REFUSED_KEPT:
            del self._until[next(iter(self._until))]
        return wait_s

    def open(self, sha: str, now_s: float) -> bool:
        """Say whether a network may be tried now."""
        return now_s >= self._until.get(sha, (0.0, 0.0))[0]


class NodeReleases:
    """Keeps the newest good release of each rung in use."""

    def __init__(self, state: State, fetcher: Fetcher) -> None:
        self._state = state
        self._fetcher = fetcher
        self.newest: Release | None = None  # of LINEAR
        self._served: Release | None = None  # of LINEAR, the one taken up last
        self._refused = Refusals()
        self._base: tuple[str, object] | None = None
        self._news = asyncio.Event()

    def hear(self, release: Release | Rollout) -> None:
        """Note a release or rollout. Of LINEAR's, what learned from the newest entry wins, the stamp breaks ties."""
        if release.rung == RUNG:
            if self._state.networks.line.hear(release):
                self._news.set()
            return
        newest = self.newest
        if isinstance(release, Release) and (
            newest is None or (release.learned_to, release.stamp) > (newest.learned_to, newest.stamp)
        ):
            self.newest = release
            self._news.set()

    def heard(self) -> list[Release | Rollout]:
        """Return the entries that a snapshot must hear again to stand where this one does."""
        line = self._state.networks.line
        return [*([self.newest] if self.newest else []), *line.steps, *line.releases.values()]  # a step drops releases

    async def keep(self) -> None:
        """Swap to the newest releases, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            late = False  # what cannot be had now holds up nothing else
            try:
                await self._take_linear()
            except Degraded:
                late = True
            for release in self._state.networks.wanted():
                try:
                    if self._refused.open(release.sha, time.monotonic()):
                        await self._take_network(release)
                except Degraded:
                    late = True
            self._state.networks.drop()
            if late:
                self._news.set()
                await asyncio.sleep(RETRY_S)

    async def _take_linear(self) -> None:
        release, state = self.newest, self._state
        if release is None or (self._served is not None and release.sha == self._served.sha):
            return
        try:
            blob = await self._fetcher.get(Class.PERSONAL, release.sha)
            predict = await asyncio.to_thread(_bound, blob, state.world.catalogue, release.sha)
        except Broken:  # the learner's gate should have stopped it; ours does, and the old model goes on
            state.count("releases_refused")
            if self.newest is release:  # and none came meanwhile
                self.newest = self._served  # what it said it had learned from holds back no honest one
            return
        state.model = Model(predict, release.sha, release.learned_to, release.examples, release.figures)
        state.networks.follow_linear(predict)
        self._served = release
        state.count("releases")

    async def _take_network(self, release: Release) -> None:
        state = self._state
        try:
            blob = await self._fetcher.get(Class.PERSONAL, release.sha)
            node_networks.prepare(state.home)
            model = await asyncio.to_thread(node_networks.load, blob, await self._base_of(blob))
            full = await asyncio.to_thread(node_networks.module)
            like = state.networks.serving or state.networks.held.get(state.networks.line.trial)
            network = full.Full(
                model, state.world.catalogue, state.model.predict if state.model else None, release.sha,
                like.predict if like else None,
            )  # fmt: skip
            await asyncio.to_thread(node_networks.warm, network, release.figures.get("probe"))
        except Degraded:
            raise
        except Exception as e:  # noqa: BLE001 - Broken, or JAX is not there, or has no memory: LINEAR serves on
            telemetry.logger().warning("a network is refused here", sha=release.sha, why=repr(e))
            state.count("releases_refused")
            wait_s = self._refused.refuse(release.sha, time.monotonic(), broken=isinstance(e, Broken))
            if wait_s < math.inf:
                asyncio.get_running_loop().call_later(wait_s, self._news.set)
            return
        network.linear = state.model.predict if state.model else None  # the newest, should it have changed meanwhile
        network.refresh()
        state.networks.held[release.sha] = Model(
            network, release.sha, release.learned_to, release.examples, release.figures
        )
        state.count("networks")

    async def _base_of(self, blob: bytes) -> object | None:
        """The whole release that a change builds upon; kept, because the next change builds upon it too."""
        sha = await asyncio.to_thread(node_networks.base_of, blob)
        if not sha:
            return None
        if self._base is None or self._base[0] != sha:
            whole = await self._fetcher.get(Class.PERSONAL, sha)
            self._base = (sha, await asyncio.to_thread(node_networks.load, whole, None))
        return self._base[1]


def _bound(blob: bytes, catalogue: Catalogue, sha: str) -> linear.Linear:
    """Bind a LINEAR model to the catalogue; for a thread: a large one takes long to read. Raises Broken."""
    predict = linear.Linear(linear.load(blob), catalogue, sha)
    predict.refresh()
    return predict
