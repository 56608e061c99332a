"""Fetching a blob: here if it is whole, otherwise from whoever holds it.

A blob's name is the sha256 of its bytes, so it does not matter who sends it, only who sends it first. We ask the
likeliest peer (usually where the clip was published) and, when nothing has come after HEDGE_S, the next one beside it:
a dark data centre drops packets without a word, and a viewer is waiting. What arrives is checked and kept, and so mends
a damaged copy. Several askers of one blob share one fetch.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from holdfast.adapters.blobs import BlobStore, sha_of
from holdfast.adapters.home import Home
from holdfast.adapters.log import LogClient
from holdfast.core.classes import Class
from holdfast.core.errors import Degraded, Refused

HEDGE_S = 0.6  # a distant peer answers in 2-3 round trips of 70-150 ms; longer is suspicious
PART_TIMEOUT_S = 3.0  # for PART_BYTES over a poor link between regions
PART_BYTES = 1_000_000  # one answer, well below the log servers' 8 MB; a 2 s segment is at most 0.7 MB
BLOB_BYTES_MAX = 256 * 1024 * 1024
AT_ONCE_MAX = 16  # fetches in flight: 16 MB of memory at most, and a link shared with the chains


class Fetcher:
    """Fetches blobs into one region's store. `fetched` and `failed` count."""

    def __init__(self, home: Home, region: str, blobs: BlobStore) -> None:
        self._home = home
        self._region = region
        self._top = home.load()
        self._blobs = blobs
        self._peers: dict[str, LogClient] = {}
        self._connecting: dict[str, asyncio.Task[None]] = {}
        self._flights: dict[tuple[Class, str], asyncio.Task[bytes]] = {}
        self._gate = asyncio.Semaphore(AT_ONCE_MAX)
        self.fetched = 0
        self.failed = 0

    async def get(self, cls: Class, sha: str, likely: str = "") -> bytes:
        """Return a blob's bytes, from here or from a peer (`likely` is asked first).

        Raises Degraded when no reachable region holds it whole.
        """
        data = await asyncio.to_thread(self._blobs.get, cls, sha)
        if data is not None:
            return data
        key = (cls, sha)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._race(cls, sha, likely))
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return await asyncio.shield(flight)  # one asker who leaves does not stop it for the others

    async def close(self) -> None:
        """Drop what is in flight and the connections to peers."""
        tasks = [*self._flights.values(), *self._connecting.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in self._peers.values():
            await client.close()

    def _order(self, cls: Class, likely: str) -> list[str]:
        """Peers that may hold blobs of `cls`, the likeliest first, connected ones before others."""
        names = [r.name for r in self._top.peers(self._region, cls)]
        return sorted(names, key=lambda n: (not self._connected(n), n != likely, n))

    def _connected(self, peer: str) -> bool:
        return peer in self._peers and self._peers[peer].nats.is_connected

    async def _race(self, cls: Class, sha: str, likely: str) -> bytes:
        async with self._gate:
            try:
                data = await self._first(cls, sha, self._order(cls, likely))
            except Degraded:
                self.failed += 1
                raise
            await asyncio.to_thread(self._blobs.put, cls, data)
            self.fetched += 1
            return data

    async def _first(self, cls: Class, sha: str, peers: Sequence[str]) -> bytes:
        """Ask one peer after the other, the next when one fails or HEDGE_S have passed; the first whole blob wins."""
        waiting = list(peers)
        runners: set[asyncio.Task[bytes]] = set()
        try:
            while waiting or runners:
                if waiting:
                    runners.add(asyncio.create_task(self._from(waiting.pop(0), cls, sha)))
                patience = HEDGE_S if waiting else None
                done, runners = await asyncio.wait(runners, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if not task.exception():
                        return task.result()
                    if not isinstance(task.exception(), (Degraded, Refused)):
                        task.result()  # our own mistake: say it
        finally:
            for task in runners:
                task.cancel()
            await asyncio.gather(*runners, return_exceptions=True)
        raise Degraded(f"no reachable region holds blob {sha[:12]}…", retry_after_s=2.0)

    async def _from(self, peer: str, cls: Class, sha: str) -> bytes:
        """Read a blob from a peer, part by part. Raises Degraded if it is silent, lacks it, or sends something else."""
        client = await self._client(peer)
        parts: list[bytes] = []
        size, total = 0, 1
        while size < total:
            try:
                chunk = await asyncio.wait_for(client.blob(cls, sha, size, PART_BYTES), PART_TIMEOUT_S)
            except TimeoutError as e:
                raise Degraded(f"{peer} does not answer") from e
            total = chunk.total
            if total < 0 or total > BLOB_BYTES_MAX or not chunk.data:
                raise Degraded(f"{peer} does not hold it")
            parts.append(chunk.data)
            size += len(chunk.data)
        data = b"".join(parts)
        if sha_of(data) != sha:
            raise Degraded(f"{peer} holds a damaged copy")
        return data

    async def _client(self, peer: str) -> LogClient:
        """The connection to a peer, made on first use and then for ever. Raises Degraded if it is not there in time."""
        if peer not in self._peers:
            if peer not in self._connecting:
                self._connecting[peer] = asyncio.create_task(self._connect(peer))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._connecting[peer]), PART_TIMEOUT_S)
        if not self._connected(peer):
            raise Degraded(f"{peer} cannot be reached")
        return self._peers[peer]

    async def _connect(self, peer: str) -> None:
        self._peers[peer] = await LogClient.open(self._home, self._region, peer, role="fetch")
