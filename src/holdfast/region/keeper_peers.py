"""Connections to the peers' log servers: one per peer, made in the background, used by everything that asks."""

import asyncio
from collections.abc import Awaitable, Callable

from holdfast.adapters.log import LogClient
from holdfast.adapters.natsconf import ask_subjects
from holdfast.core import asks
from holdfast.core.classes import Class
from holdfast.core.errors import Degraded, HoldfastError
from holdfast.core.topology import Topology

HEADS_TIMEOUT_S = 1.0  # several round trips of a slow link; a peer that takes longer is asked again


class Peers:
    """The peers of a region, and which classes each may be asked for."""

    def __init__(self, top: Topology, region: str, connect: Callable[[str], Awaitable[LogClient]]) -> None:
        self._connect = connect
        self._clients: dict[str, LogClient] = {}
        self.classes: dict[str, list[Class]] = {
            p.name: [Class(s.split(".")[2]) for s in ask_subjects(top, p.name, region)] for p in top.peers(region)
        }

    async def connect(self, peer: str) -> None:
        """Connect to one peer, trying until it is there; from then on the connection mends itself."""
        self._clients[peer] = await self._connect(peer)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()

    def of(self, cls: Class) -> set[str]:
        """The peers that may be asked for a class: those that may hold the chains of it that we may hold."""
        return {p for p, classes in self.classes.items() if cls in classes}

    def client(self, peer: str) -> LogClient:
        """The connection to a peer. Raises Degraded while there is none."""
        client = self._clients.get(peer)
        if client is None:
            raise Degraded(f"{peer} is not connected", retry_after_s=0.2)
        return client

    async def heads(self, cls: Class, chain: str) -> dict[str, list[asks.Head]]:
        """Ask every peer of a class how far it holds a chain; those that do not answer are absent."""

        async def ask(peer: str) -> tuple[str, list[asks.Head]] | None:
            try:
                answer = await self.client(peer).heads(cls, [chain], HEADS_TIMEOUT_S)
            except HoldfastError:
                return None
            return peer, answer.chains.get(chain, [])

        answers = await asyncio.gather(*(ask(p) for p in sorted(self.of(cls))))
        return dict(a for a in answers if a is not None)
