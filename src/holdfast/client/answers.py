"""What a node says, as a client reads it: only the fields that a client acts on."""

from collections.abc import Sequence

import msgspec

from holdfast.adapters.aio.calls import Calls
from holdfast.core.errors import Degraded
from holdfast.core.health.outbox import Ack, Watermark
from holdfast.core.health.router import Place


class Also(msgspec.Struct):
    """Another block that holds a part of a batch."""

    chain: str
    epoch: str
    n: int
    strongest: str


class Acked(msgspec.Struct):
    """A node's answer to events. A batch of two classes stands in two blocks: the second is in `also`."""

    chain: str
    epoch: str
    n: int
    strongest: str
    safe: Watermark
    held: Watermark
    now: int
    also: list[Also] = []

    def acks(self, now_s: float) -> list[Ack]:
        """One acknowledgement per block, heard at `now_s`."""
        return [Ack(a.chain, a.epoch, a.n, a.strongest, now_s) for a in (self, *self.also)]


class Marks(msgspec.Struct):
    """A node's answer to `GET /v1/safe`."""

    safe: Watermark
    held: Watermark
    now: int


class Region(msgspec.Struct):
    """A node's answer to `GET /v1/region`."""

    region: str
    jurisdiction: str
    now: int
    regions: list[Place]


async def discover(urls: Sequence[str], calls: Calls) -> list[Place]:
    """Ask the given addresses, in order, which regions there are. Raises Degraded if none answers."""
    failure = "no address given"
    for url in urls:
        try:
            return (await calls.call("GET", f"{url.rstrip('/')}/v1/region", answer=Region)).regions
        except Degraded as e:
            failure = str(e)
    raise Degraded(failure)
