"""`holdfast drill kill` in the workload model: does it say what the drill measured?

A model that decides with the real code may still be wrong about time. So it plays the drill whose figures are in
docs/figures.md: two permitted regions, fifty clients, all of them at the one that goes dark; each asks for a slate
once a second and writes five times a second, at regular moments; one whose region falls silent asks for a slate at
once, as an app refills its buffer. Work is what a slate (on REGIONAL, in a batch) and a handful of entries cost a node.

One input is assumed, not measured: DEAF, the share of time in which the process of fifty clients, beside three regions
on two cores, could not listen. Without it (0) the worst first suspicion comes at 0.69 s instead of 0.74 s.
"""

from collections.abc import Callable

import msgspec

from holdfast.sim.cascade import Defences, Size, World
from holdfast.sim.cascade_client import Client

CLIENTS = 50
SLATE_EVERY_S, WRITE_EVERY_S = 1.0, 0.19
WARM_S, AFTER_S = 20.0, 8.0
DEAF = 0.1
MEASURED = Size(
    regions=2, clients=CLIENTS, deaf=DEAF, feed_s=0.002, write_s=0.0012, store_s=0.0006, rtt_s=0.004, step_s=0.0
)


class Waits(msgspec.Struct, kw_only=True):
    """The worst client's, seconds after the cut."""

    suspected_s: float
    slate_s: float
    ack_s: float


def run(seed: int, size: Size = MEASURED) -> Waits:
    """Play the drill once."""
    world = World(size, Defences(), seed)
    crowd = [Client(world, 0, 1) for _ in range(size.clients)]
    heard: list[dict[str, float]] = [{} for _ in crowd]
    for client in crowd:
        _live(world, client)
    world.run(WARM_S)
    for client, mine in zip(crowd, heard, strict=True):
        client.tell = _listener(world, client, mine)
    world.regions[0].power(on=False)
    world.run(WARM_S + AFTER_S)
    worst = {what: max(mine.get(what, float("inf")) for mine in heard) for what in ("suspect", "feed", "write")}
    return Waits(
        suspected_s=round(worst["suspect"], 3), slate_s=round(worst["feed"], 3), ack_s=round(worst["write"], 3)
    )


def _live(world: World, client: Client) -> None:
    """Regular requests from a random moment on."""
    for kind, every_s in (("feed", SLATE_EVERY_S), ("write", WRITE_EVERY_S)):
        world.at(world.dice.random() * every_s, _due, world, client, kind, every_s)


def _due(world: World, client: Client, kind: str, every_s: float) -> None:
    world.at(world.now_s + every_s, _due, world, client, kind, every_s)
    client.ask(kind)


def _listener(world: World, client: Client, mine: dict[str, float]) -> Callable[[str, int], None]:
    cut_s = world.now_s

    def hear(what: str, region: int) -> None:
        if (region == 0) == (what == "suspect"):
            mine.setdefault(what, world.now_s - cut_s)
        if what == "suspect" and region == 0:
            world.at(world.now_s, client.ask, "feed")

    return hear
