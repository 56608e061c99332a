"""Drills on real processes, small: the faults strike, everything is marked and restored, and nothing is lost.

How fast is the drill's own business (`holdfast drill --all`); here is what holds on any machine.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest

from holdfast.drills import drill_run, faults
from holdfast.drills.drill_run import Drill, Load
from holdfast.drills.drill_stage import Stage
from holdfast.drills.verdict import Verdict
from patience import SLOW

ROLES = ("log", "keeper", "node")
EAST, WEST = "us-east", "us-west"


def looked_at(seen: dict[str, object], drill: Drill, look) -> Drill:
    """The drill, with a look at the stage in the middle of its fault."""

    @asynccontextmanager
    async def fault(stage: Stage) -> AsyncIterator[None]:
        async with drill.fault(stage):
            seen[drill.name] = await look(stage)
            yield

    return replace(drill, fault=fault)


async def marked(stage: Stage) -> object:
    """What us-west says runs here: asked until it answers."""
    async with asyncio.timeout(60 * SLOW):
        while not (status := await stage.status(WEST, 5.0)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return status["drill"], stage.home.drill(time.time_ns() // 1000)


async def weather(stage: Stage) -> object:
    """What the links suffer, once us-west has noticed it."""
    async with asyncio.timeout(60 * SLOW):
        while not (status := await stage.status(WEST, 5.0)) or status["peers"][EAST]["reachable"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return msgspec.json.decode(stage.home.weather_file.read_bytes())


def of(verdict: Verdict) -> tuple[int, int, int]:
    assert verdict.ran and verdict.figures, verdict.why_not
    assert verdict.figures.acknowledged > 0
    return verdict.figures.lost, verdict.figures.lost_safe, verdict.figures.repeats


@pytest.mark.timeout(900)
def test_drills_strike_are_marked_restore_and_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_run, "RESTORE_S", 200.0)
    monkeypatch.setattr(drill_run, "SETTLE_S", 150.0)
    monkeypatch.setattr(drill_run, "WARM_S", 3.0)
    dark = Drill("dark", "us-east goes dark", "", lambda s: faults.dark(s, EAST), must_leave=True, hold_s=4.0)
    parted = Drill("parted", "us-east is cut off", "", lambda s: faults.partition(s, EAST, (WEST,)), hold_s=3.0)
    seen: dict[str, object] = {}

    async def run() -> tuple[Verdict, Verdict, Stage]:
        async with Stage.own(1, print, roles=ROLES, items=1500) as stage:
            assert stage.supervisor
            load = Load(clients=6, watches=3.0)
            first, _ = await drill_run.run(stage, looked_at(seen, dark, marked), load)
            power = dict(stage.supervisor.power)
            second, _ = await drill_run.run(stage, looked_at(seen, parted, weather), load)
            assert power == dict.fromkeys(power, "on")
            assert msgspec.json.decode(stage.home.weather_file.read_bytes()) == {}
            status = await stage.status(WEST, 30.0)
            assert status and status["drill"] == "" and not stage.home.drill_file.exists()
        return first, second, stage

    first, second, stage = asyncio.run(run())
    said, mark = seen["dark"]  # type: ignore[misc]
    assert said == "dark" and mark.name == "dark"
    ways = seen["parted"]
    assert isinstance(ways, dict) and set(ways) == {f"{EAST}>{WEST}", f"{WEST}>{EAST}"}
    assert all(side["silent"] for sides in ways.values() for side in sides.values())
    assert of(first) == of(second) == (0, 0, 0)
    assert all(v.figures and v.figures.top_rung_s >= 0 and v.figures.converged_s >= 0 for v in (first, second))
    assert not stage.home.root.exists()

