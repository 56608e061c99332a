"""A world: regions, viewers and a studio under a plan of faults; then everything heals, and must be well in time.

    draw the plan ─► fire: faults, checks of safety at every step ─► heal ─► converge within HEAL_S ─► last checks

One thread, one seed. `run(seed)` gives an outcome that says what was broken, what happened, and a hash of all of it.
"""

import asyncio
import gc
from dataclasses import dataclass, field
from random import Random

from holdfast.core.health.router import Place
from holdfast.sim import checks
from holdfast.sim.calls import SimCalls
from holdfast.sim.faults import Hand
from holdfast.sim.ledger import Ledger
from holdfast.sim.loop import Process, SimLoop
from holdfast.sim.network import Network
from holdfast.sim.node import Node
from holdfast.sim.plan import Plan, plan
from holdfast.sim.site import Site
from holdfast.sim.studio import Studio, judged_node
from holdfast.sim.trace import Trace
from holdfast.sim.viewer import Viewer

HEAL_S = 60.0  # virtual seconds in which everything must be well again
LOOK_S = 0.5


@dataclass(slots=True)
class Outcome:
    """What became of a seed. `breaches`: promises that did not hold, in words; empty is well."""

    seed: int
    breaches: list[str]
    trace_hash: str
    counts: dict[str, int]
    story: list[str]
    virtual_s: float
    healed_s: float
    events: int
    slates: int
    entries: int
    plan: Plan = field(repr=False)


class World:
    """Everything of one seed."""

    def __init__(self, made: Plan) -> None:
        self.plan = made
        seed = made.seed
        self.loop = SimLoop(Random(f"{seed}/loop"))
        self.trace = Trace(self.loop.time)
        self.network = Network(self.loop, Random(f"{seed}/network"), self.trace, made.weather)
        self.chance = Random(f"{seed}/world")
        self.ledger = Ledger({r.name: r.jurisdiction for r in made.top.regions})
        self.breaches: list[str] = []
        self.sites: dict[str, Site] = {}
        self.judge = checks.Judge(self)

        def make_node(site: Site) -> Node:
            return judged_node(site, self.breaches)

        for r in made.top.regions:
            site = self.sites[r.name] = Site(seed, r.name, made.top, self.network, self.sites, make_node)
            site.server.on_stored = self.ledger.stored
            site.disk.strict = made.strict_disk
        self.places = [Place(r.name, r.jurisdiction, f"sim://{r.name}") for r in made.top.regions]
        self.viewers: list[Viewer] = []
        self.studio = Studio(self.sites, self.chance, self.trace)
        self.hand = Hand(self)

    def breach(self, text: str) -> None:
        """A promise did not hold."""
        self.trace.tell("CHECK", text)
        self.breaches.append(text)

    async def live(self) -> float:
        """From the first start to the last check; returns how long healing took, in virtual seconds."""
        for site in self.sites.values():
            site.power_on()
        self._invite()
        self.loop.create_task(self.studio.work())
        for fault in self.plan.faults:
            self.loop.call_at(fault.at_s, self.hand.strike, fault)
        self.hand.rates(self.plan.rates)
        while self.loop.time() < self.plan.fire_s:
            await asyncio.sleep(LOOK_S)
            self.judge.meanwhile()
        self.hand.heal()
        self.trace.tell("world", "everything heals")
        took = await self._until_well()
        if not self.breaches and (self.plan.fresh_nodes or self.judge.lost()):
            self.trace.tell("world", "the nodes start anew, and fold everything from the beginning")
            self.trace.count("folded from the beginning")
            for site in self.sites.values():  # what is lost since, some node may have folded before
                site.kill_node(0.1)
            await asyncio.sleep(LOOK_S)
            await self._until_well()
        if not self.breaches:
            self.judge.at_the_end()
        return took

    async def _until_well(self) -> float:
        """Wait until everything is as it should be; return how long it took, virtual seconds."""
        began, unwell = self.loop.time(), [""]
        while unwell and self.loop.time() - began < HEAL_S and not self.breaches:
            await asyncio.sleep(LOOK_S)
            self.judge.meanwhile()
            unwell = self.judge.unwell()
        if not self.breaches:
            for text in unwell:
                self.breach(f"{HEAL_S:.0f} s after everything healed: {text}")
        return self.loop.time() - began

    def _invite(self) -> None:
        for i, place in enumerate(self.places):
            name = f"viewer-{i + 1}"
            calls = SimCalls(name, place.jurisdiction, self.network, self.sites, self.breach)
            chance = Random(f"{self.plan.seed}/{name}")
            viewer = Viewer(name, self.places, place, calls, self.ledger, self.trace, chance)
            self.viewers.append(viewer)
            self.loop.spawn(Process(name), viewer.live())


def run(seed: int) -> Outcome:
    """Live through one seed."""
    gc.collect()
    gc.disable()  # so that nothing is finalised at a moment that the seed does not decide
    world = World(plan(seed))
    healed = -1.0
    try:
        healed = world.loop.run_until_complete(world.live())
    except Exception as e:  # noqa: BLE001 - a mistake of the simulator, or of the code in it: the seed fails, and says so
        world.breaches.append(f"the world ended by {e!r}")
    finally:
        world.judge.complaints()
    trace = world.trace
    outcome = Outcome(
        seed, world.breaches, trace.digest, dict(sorted(trace.counts.items())), list(trace.story), world.loop.time(),
        healed, trace.events, sum(v.slates for v in world.viewers), len(world.ledger.homes), world.plan,
    )  # fmt: skip
    world.loop.finish()
    gc.enable()
    return outcome
