"""The cascade table: every trouble with all defences, with none, and with each one missing.

Troubles that begin somewhere and spread are played on the whole platform, with all defences and with none. Those that
strike all regions alike, and each single defence, are played on SMALL regions: forty runs take their time.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec

from holdfast.sim.cascade import Defences, Size
from holdfast.sim.cascade_cases import ALL, CASES, NEVER_S, NONE, Case, Outcome, run, without

SMALL = 40

Say = Callable[[str], None]


def table(regions: int, seed: int, say: Say) -> dict[str, Any]:
    """Play everything. Returns `{regions, clients, seed, each: [Outcome, …], holds}`."""
    size = Size(regions=regions)
    each: list[Outcome] = []
    for case, at, defences in plans(size):
        each.append(run(case, at, defences, seed))
        say(line(each[-1]))
    return {
        "regions": regions, "clients": size.clients, "seed": seed, "holds": holds(each),
        "each": [msgspec.to_builtins(o) for o in each],
    }  # fmt: skip


def plans(size: Size) -> Iterator[tuple[Case, Size, Defences]]:
    """What is played, in order."""
    small = replace(size, regions=min(SMALL, size.regions))
    for case in CASES:
        yield case, size if case.spreads else small, ALL
        yield case, size if case.spreads else small, NONE
        for name in Defences.names():
            yield case, small, without(name)


def holds(each: list[Outcome]) -> bool:
    """Whether every trouble passes by itself with all defences, and the lost region does not without them."""
    well = all(o.recovered_s != NEVER_S for o in each if o.defences == "all")
    ill = all(o.recovered_s == NEVER_S for o in each if o.defences == "none" and o.case == "lost")
    return well and ill


def line(o: Outcome) -> str:
    """One outcome in words."""
    back = "never" if o.recovered_s == NEVER_S else f"after {o.recovered_s:.0f} s"
    return f"{o.case}, {o.defences}: worst {o.worst:.2f}, at the end {o.end:.2f}, back {back}"
