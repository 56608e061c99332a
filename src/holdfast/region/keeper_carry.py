"""Carrying: one loop per peer and class that says how far we hold everything, and stores what comes next.

Any holder is asked for every chain, its own and others', so a dead region's last blocks still spread, and what we lost
of our own comes back the same way. The `have` of each ask is also the acknowledgement that makes blocks *safe* there.
"""

import asyncio
from collections.abc import Callable

from holdfast.core import asks
from holdfast.core.classes import Class
from holdfast.core.errors import HoldfastError
from holdfast.core.log.continuity import Key
from holdfast.region.keeper_peers import Peers
from holdfast.region.keeper_store import Store
from holdfast.region.keeper_take import Intake

WAIT_MS = 1_000  # also how long a question to a silent peer stays open, give or take
RELAY_AFTER_MS = 1_500  # others' chains come from their origin; from third parties only when it seems to be away
RETRY_S = 0.2  # issue: carrying resumes within 1 s of a peer's return
DAMAGE_PAUSE_S = 1.0  # a peer that offers what we refuse is asked again slowly


class Carrier:
    """Carries one class from one peer."""

    def __init__(self, peers: Peers, peer: str, cls: Class, store: Store, intake: Intake) -> None:
        self._peers = peers
        self._peer = peer
        self._cls = cls
        self._store = store
        self._intake = intake
        self._branches: dict[Key, Key] = {}  # epochs of which this peer holds another branch than we do
        self.heard_at = 0.0  # when the peer last answered, on the store's clock
        self.trouble = ""

    async def run(self, say: Callable[[str], None]) -> None:
        """Carry for ever. Raises Broken only when our own log can no longer be written."""
        while True:
            ask = self._ask()
            try:
                answer = await self._peers.client(self._peer).follow(self._cls, ask)
            except HoldfastError as e:
                self.trouble = str(e)
                await asyncio.sleep(RETRY_S)
                continue
            self.heard_at, self.trouble = self._store.now_s(), ""
            for run in answer.runs:
                try:
                    lost = answer.lost.get(run.chain, {}).get(run.epoch, [])
                    kept = await self._intake.take(self._cls, run, lost, self._fetch)
                    if kept != (run.chain, run.epoch):
                        self._branches[Key(run.chain, run.epoch)] = kept
                except HoldfastError as e:
                    if self._broken_here(Key(run.chain, run.epoch)):
                        raise
                    self.trouble = str(e)
                    say(f"{self._peer} offers blocks of {run.chain} that are not taken: {e}")
                    await asyncio.sleep(DAMAGE_PAUSE_S)
            if answer.runs and self._ask().have == ask.have:
                await asyncio.sleep(RETRY_S)  # nothing of it was new: it would be offered again at once, for ever

    def _broken_here(self, key: Key) -> bool:
        copy = self._store.copies.get(key)
        return copy is not None and copy.writer.broken is not None

    def _ask(self) -> asks.Follow:
        have = self._store.held(self._cls)
        for key, branch in self._branches.items():
            have.setdefault(key.chain, {})[key.epoch] = self._store.copies[branch].held
        return asks.Follow(have=have, wait_ms=WAIT_MS, relay_after_ms=RELAY_AFTER_MS)

    async def _fetch(self, key: Key, first: int, last: int) -> list[bytes]:
        answer = await self._peers.client(self._peer).range(self._cls, key.chain, key.epoch, first, last)
        return answer.runs[0].messages if answer.runs else []
