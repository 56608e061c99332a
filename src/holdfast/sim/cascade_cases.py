"""Five troubles, each with a moment at which its cause is gone, and what they leave behind.

The question is always the same: the cause is gone, nobody touches anything; does goodput come back?
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from holdfast.model.rollout import SHARES_PPM, TOLD
from holdfast.sim.cascade import Defences, Second, Size, World
from holdfast.sim.cascade_client import Client

TROUBLE_S = 6.0  # when it begins
SEEN_S = 24.0  # how long we look after the cause is gone
WELL = 0.99  # of what is asked is answered in time: recovered
HIT = 0.9  # a region whose viewers got less than this in the last TAIL_S is hit
TAIL_S = 6
NEVER_S = -1.0


@dataclass(frozen=True, slots=True)
class Case:
    """One trouble. `strikes(world)` sets it going at TROUBLE_S; its cause is gone `lasts_s` later."""

    name: str
    what: str
    lasts_s: float
    strikes: Callable[[World, float], None]
    spreads: bool = False  # it begins somewhere: played on the whole platform. Others strike all regions alike


class Outcome(msgspec.Struct, kw_only=True):
    """One run in figures. Shares are parts of what was asked; seconds count from the end of the cause."""

    case: str
    defences: str
    regions: int
    before: float  # good, before the trouble
    worst: float  # good, in the worst second
    end: float  # good, in the last TAIL_S
    device: float  # in the trouble and after: slates that the device made by itself
    recovered_s: float  # until good stays above WELL; −1: not within SEEN_S
    amplification: float  # attempts that reached a store, for each request that did
    attempts: float  # at regions, for each request, while the trouble lasted and after
    blast: float  # regions whose viewers got less than HIT in the last TAIL_S
    curve: list[float]  # good, second by second


def lost(world: World, end_s: float) -> None:
    """A region goes dark and stays dark."""
    world.regions[0].power(on=False)


def storm(world: World, end_s: float) -> None:
    """Nothing that regions answer arrives; they work on, and then everybody is back at once."""
    for region in world.regions:
        region.answers = False
    world.at(end_s, _calm, world)


def _calm(world: World) -> None:
    for region in world.regions:
        region.answers = True


def surge(world: World, end_s: float) -> None:
    """Everybody asks two and a half times as much."""
    world.surge = 2.5
    world.at(end_s, setattr, world, "surge", 1.0)


def release(world: World, end_s: float) -> None:
    """A release takes four times the work. Staged, an eighth of viewers get it until it was judged on TOLD slates."""
    for region in world.regions:
        region.slow = 4.0
    share = SHARES_PPM[0] / 1e6 if world.defences.rollout else 1.0
    for client in world.clients:
        client.on_trial = world.dice.random() < share
    if world.defences.rollout:  # one release is judged by all that it shows anywhere
        end_s = min(end_s, world.now_s + max(1.0, TOLD / (share * len(world.clients) * world.size.per_client)))
    world.at(end_s, _rolled_back, world)


def _rolled_back(world: World) -> None:
    for client in world.clients:
        client.on_trial = False


def cold(world: World, end_s: float) -> None:
    """Three regions in ten lose power; with the power they come back, and remember nothing."""
    dark = world.regions[:: max(1, len(world.regions) * 10 // (3 * len(world.regions)))]
    for region in dark:
        region.power(on=False)
    for region in dark:
        world.at(end_s, _on, region)


def _on(region: Any) -> None:
    region.power(on=True)


CASES: tuple[Case, ...] = (
    Case("lost", "a region is lost at the busy hour, for good", 0.0, lost, spreads=True),
    Case("storm", "for 4 s no answer arrives anywhere; then all do again", 4.0, storm),
    Case("surge", "for 6 s everybody asks 2.5 times as much", 6.0, surge),
    Case("release", "a release takes 4 times the work; people need 12 s", 12.0, release),
    Case("cold", "a third of regions: no power for 6 s, then cold", 6.0, cold, spreads=True),
)


def run(case: Case, size: Size, defences: Defences, seed: int) -> Outcome:
    """Play one case once. Deterministic: the same arguments give the same figures."""
    world = World(size, defences, seed)
    world.clients = [Client(world, home, k) for home in range(size.regions) for k in range(size.clients)]
    for client in world.clients:
        client.begin()
    world.run(TROUBLE_S)
    end_s = TROUBLE_S + case.lasts_s
    case.strikes(world, end_s)
    world.run(end_s + SEEN_S - TAIL_S)
    for client in world.clients:
        client.asked = client.good = 0
    world.run(end_s + SEEN_S)
    return figures(case, defences, world, end_s)


def figures(case: Case, defences: Defences, world: World, end_s: float) -> Outcome:
    """Read the books."""
    last = int(end_s + SEEN_S) - 2  # requests of the last seconds may still be under way
    curve = [_share(s) for s in world.seconds[:last]]
    first = int(TROUBLE_S)
    trouble = world.seconds[first:last]
    bad = [k for k in range(int(end_s), last) if curve[k] < WELL]
    recovered_s = 0.0 if not bad else bad[-1] + 1 - end_s
    asked = sum(s.asked for s in trouble)
    return Outcome(
        case=case.name, defences=words(defences), regions=world.size.regions,
        before=_mean(world.seconds[2 : first - 1]), worst=round(min(curve[first:]), 4),
        end=_mean(world.seconds[last - TAIL_S : last]),
        device=round(sum(s.device for s in trouble) / asked, 4),
        recovered_s=NEVER_S if recovered_s > SEEN_S - TAIL_S else round(recovered_s, 1),
        amplification=round(sum(s.store for s in trouble) / max(1, sum(s.store_first for s in trouble)), 3),
        attempts=round(sum(s.attempts for s in trouble) / asked, 3),
        blast=blast(world),
        curve=[round(x, 4) for x in curve],
    )


def blast(world: World) -> float:
    """The share of regions whose own viewers got less than HIT of what they asked for in the last TAIL_S."""
    asked, good = [0] * world.size.regions, [0] * world.size.regions
    for client in world.clients:
        asked[client.home] += client.asked
        good[client.home] += client.good
    return round(sum(g < HIT * a for g, a in zip(good, asked, strict=True)) / len(asked), 4)


def _share(second: Second) -> float:
    return min(1.0, second.good / second.asked) if second.asked else 1.0


def _mean(seconds: list[Second]) -> float:
    return round(sum(s.good for s in seconds) / max(1, sum(s.asked for s in seconds)), 4)


def words(defences: Defences) -> str:
    """`all`, `none`, or `all but …`."""
    off = [name for name in Defences.names() if not getattr(defences, name)]
    if not off:
        return "all"
    return "none" if len(off) == len(Defences.names()) else f"all but {', '.join(off)}"


ALL = Defences()
NONE = Defences(**dict.fromkeys(Defences.names(), False))


def without(name: str) -> Defences:
    """All defences but one."""
    return replace(ALL, **{name: False})
