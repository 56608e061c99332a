"""What is safe: held by another permitted failure domain too.

A peer's `follow` says how far it holds each chain on disk. For a chain that began here, a block is safe once some peer
covers it. For a copy of another region's chain, origin and we are two domains already: what we hold is safe.
"""

from holdfast.core.asks import Have


class Safety:
    """How far peers say they hold the chains of one class. `version` changes with what is safe."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._peers: dict[str, Have] = {}
        self.version = 0

    def hear(self, peer: str, have: Have) -> bool:
        """Take a peer's word; return whether it moved."""
        if self._peers.get(peer) == have:
            return False
        self._peers[peer] = have
        self.version += 1
        return True

    def said(self, peer: str) -> Have:
        """What a peer last said it holds."""
        return self._peers.get(peer, {})

    def safe(self, held: Have) -> Have:
        """Return chain → epoch → last block that is safe, given how far we hold each."""
        out: Have = {}
        for chain, epochs in held.items():
            own = chain.split("/", 1)[1] == self._region
            for epoch, n in epochs.items():
                best = n
                if own:
                    best = min(n, max((h.get(chain, {}).get(epoch, 0) for h in self._peers.values()), default=0))
                if best > 0:
                    out.setdefault(chain, {})[epoch] = best
        return out
