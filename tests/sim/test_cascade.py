"""The workload model: the same seed gives the same figures; what it says of a lost region agrees with the drill's."""

import pytest

from holdfast.core.health.admission import Gate
from holdfast.core.health.budget import KEPT, SAVED_FIRST, SAVED_MAX, SHARE
from holdfast.core.health.router import Router
from holdfast.sim import cascade_kill
from holdfast.sim.cascade import Defences, Size, World
from holdfast.sim.cascade_cases import ALL, CASES, NEVER_S, NONE, WELL, Outcome, run, without, words
from holdfast.sim.cascade_client import Client
from holdfast.sim.cascade_table import holds

CASE = {case.name: case for case in CASES}
SMALL = Size(regions=8)
WITHIN = 0.2
# `holdfast drill kill --json`, silent: the worst client, seconds after the cut (docs/figures.md)
MEASURED = {"suspected_s": 0.86, "slate_s": 0.76, "ack_s": 0.86}


def test_a_seed_is_a_run() -> None:
    tiny = Size(regions=5)
    assert run(CASE["lost"], tiny, ALL, 3) == run(CASE["lost"], tiny, ALL, 3) != run(CASE["lost"], tiny, ALL, 4)


def test_it_decides_with_the_real_code() -> None:
    world = World(SMALL, ALL, 1)
    assert type(world.regions[0].gate) is Gate and type(Client(world, 0, 0).router) is Router


@pytest.mark.parametrize("name", list(CASE))
def test_with_all_defences_a_trouble_passes_by_itself_and_without_them_it_stays(name: str) -> None:
    well, ill = run(CASE[name], SMALL, ALL, 1), run(CASE[name], SMALL, NONE, 1)
    assert well.before >= WELL and well.recovered_s != NEVER_S and well.blast == 0.0
    assert ill.before >= WELL and ill.recovered_s == NEVER_S and ill.end < 0.95
    assert well.amplification < ill.amplification


def test_the_budget_bounds_what_clients_ask_beyond_one_attempt() -> None:
    world = World(SMALL, ALL, 1)
    world.clients = [Client(world, home, k) for home in range(SMALL.regions) for k in range(SMALL.clients)]
    for client in world.clients:
        client.begin()
    world.run(3.0)
    for region in world.regions:
        region.answers = False
    world.run(20.0)
    for client in world.clients:
        budget = client.router.budget
        assert budget.extra <= SAVED_FIRST + SHARE * budget.asked + 1e-6 and budget.saved <= SAVED_MAX
    assert KEPT < SAVED_MAX


def test_a_surge_is_served_at_capacity() -> None:
    """While everybody asks 2.5 times as much, what is answered in time is nearly all that can be."""
    outcome = run(CASE["surge"], SMALL, ALL, 1)
    served = [x * 2.5 * SMALL.load for x in outcome.curve[8:11]]  # beyond the first second, within the surge
    assert sum(served) / len(served) >= 0.8, served


def test_it_says_of_the_kill_drill_what_was_measured() -> None:
    waits = cascade_kill.run(1)
    for name, measured_s in MEASURED.items():
        assert getattr(waits, name) == pytest.approx(measured_s, rel=WITHIN), name


def outcome(case: str, defences: str, recovered_s: float) -> Outcome:
    return Outcome(case=case, defences=defences, regions=2, before=1, worst=1, end=1, device=0, recovered_s=recovered_s,
                   amplification=1, attempts=1, blast=0, curve=[])  # fmt: skip


def test_the_verdict_is_a_verdict() -> None:
    good = [outcome("lost", "all", 1.0), outcome("lost", "none", NEVER_S)]
    assert holds(good)
    assert not holds([outcome("lost", "all", NEVER_S), good[1]])
    assert not holds([good[0], outcome("lost", "none", 3.0)])


def test_defences_have_names() -> None:
    assert (words(ALL), words(NONE), words(without("budget"))) == ("all", "none", "all but budget")
    assert Defences(admission=False) == without("admission")
