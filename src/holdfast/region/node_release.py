"""Taking over what the learner releases: fetch, check, load beside the old model, swap between two slates.

A release is an entry with a digest. The blob is fetched (from here, or from a region of the jurisdiction), its sha256
is the check, the gate has passed it where it was made, and loading it refuses numbers that are not finite. The newest
that loads serves; one that does not is counted and the old one goes on.
"""

import asyncio

from holdfast.core.classes import Class
from holdfast.core.entries import Release
from holdfast.core.errors import Broken, Degraded
from holdfast.model import linear
from holdfast.region.fetch import Fetcher
from holdfast.region.node_state import Model, State

RETRY_S = 2.0


class NodeReleases:
    """Keeps the newest good release in use."""

    def __init__(self, state: State, fetcher: Fetcher) -> None:
        self._state = state
        self._fetcher = fetcher
        self.newest: Release | None = None
        self._news = asyncio.Event()

    def hear(self, release: Release) -> None:
        """Note a release; the one that learned from the newest entry wins, the stamp breaks ties."""
        newest = self.newest
        if newest is None or (release.learned_to, release.stamp) > (newest.learned_to, newest.stamp):
            self.newest = release
            self._news.set()

    async def keep(self) -> None:
        """Swap to the newest release, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            release = self.newest
            assert release is not None
            try:
                blob = await self._fetcher.get(Class.PERSONAL, release.sha)
                model = await asyncio.to_thread(linear.load, blob)
            except Broken:  # the learner's gate should have stopped it; ours does, and the old model goes on
                self._state.count("releases_refused")
                continue
            except Degraded:
                self._news.set()
                await asyncio.sleep(RETRY_S)
                continue
            predict = linear.Linear(model, self._state.world.catalogue, release.sha)
            self._state.model = Model(predict, release.sha, release.learned_to, release.examples, release.figures)
            self._state.count("releases")
