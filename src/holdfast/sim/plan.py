"""What befalls a world: drawn from its seed before it begins, a different mix of faults and rates each time.

Swarm testing (Groce et al., ISSTA 2012): worlds in which *some* kinds of fault are absent find more than worlds in
which everything always happens, because one kind of fault can hide another.
"""

from dataclasses import dataclass, field
from random import Random

from holdfast.core.topology import Region, Topology, resolve
from holdfast.sim.network import Weather

FIRE_S = (10.0, 18.0)  # how long faults are at work
LAWS = (  # jurisdictions of the regions
    ("US", "US"), ("US", "US", "EU"), ("US", "US", "EU"), ("US", "EU"), ("US", "US", "US"), ("US", "US", "EU", "EU"),
)  # fmt: skip
NAMES = ("east", "west", "north", "south")
TAIL_BYTES = (3_000, 12_000, 64 * 1024 * 1024)  # so small that chains close segments every few seconds
KINDS = (
    "partition", "one-way partition", "partial partition", "slow link", "keeper killed", "keeper stopped in order",
    "second keeper", "log server killed", "node killed", "power cut", "power cut everywhere", "power cut in a write",
    "disks lost", "restored from a backup", "flipped message", "hidden stream", "flipped piece", "flipped record",
    "full disk", "clock jump", "poisoned entries", "trespass", "overload", "item removed", "item restored",
)  # fmt: skip
RATES = ("silent", "wrong", "doubtful", "stall")
OFTEN = 0.3  # share of worlds in which a kind of fault occurs
RARELY = 0.03  # it takes as long as ten other worlds
DESTROYS = frozenset({"disks lost", "flipped message", "flipped piece", "hidden stream"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that happens at `at_s`, to `where` (and `other`), for `for_s` seconds."""

    at_s: float
    kind: str
    where: str
    other: str
    for_s: float


@dataclass(slots=True)
class Plan:
    """A world before it begins."""

    seed: int
    top: Topology
    weather: Weather
    fire_s: float
    rates: dict[str, float] = field(default_factory=dict[str, float])
    faults: list[Fault] = field(default_factory=list[Fault])
    viewers: int = 1  # per region
    strict_disk: bool = False
    fresh_nodes: bool = False  # nodes start anew before the last look, and fold everything from the beginning


def plan(seed: int) -> Plan:
    """Draw the world of a seed."""
    chance = Random(f"plan/{seed}")
    laws = chance.choice(LAWS)
    regions = [
        Region(name=f"{law.lower()}-{NAMES[laws[:i].count(law)]}", jurisdiction=law) for i, law in enumerate(laws)
    ]
    top = resolve(Topology(regions=regions, tail_bytes=chance.choice(TAIL_BYTES)))
    weather = Weather()
    for rate in ("lost", "doubled", "late"):
        if chance.random() < 0.4:
            setattr(weather, rate, chance.choice([0.01, 0.05, 0.15]))
    made = Plan(seed, top, weather, chance.uniform(*FIRE_S))
    made.rates = {r: chance.choice([0.005, 0.03]) for r in RATES if chance.random() < 0.35}
    made.strict_disk, made.fresh_nodes = chance.random() < 0.5, chance.random() < 0.5
    names = [r.name for r in regions]
    for kind in KINDS:
        draw = Random(f"plan/{seed}/{kind}")  # each kind for itself: another kind beside it changes nothing here
        if draw.random() < (RARELY if kind == "overload" else OFTEN):
            for _ in range(draw.choice([1, 1, 2, 3])):
                where, other = draw.sample(names, 2)
                at = draw.uniform(2.0, made.fire_s - 1.0)
                made.faults.append(Fault(at, kind, where, other, draw.choice([0.3, 1.0, 2.5, 5.0])))
    made.faults.sort(key=lambda f: f.at_s)
    return made
