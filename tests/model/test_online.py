"""Learning while serving: it learns, resumes bit for bit, touches only what it saw, and runs on two devices."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from town import SMALL, Town

from holdfast.core.errors import Broken
from holdfast.core.feed.ladder import Rung
from holdfast.model import online


@pytest.fixture(scope="module")
def units() -> tuple[Town, list]:
    town = Town(clips=60, viewers=8)
    for _ in range(4):
        town.round(Rung.REGIONAL)
    return town, list(town.examples.emptied())


def test_a_killed_learner_takes_the_steps_it_would_have_taken(units) -> None:
    town, found = units
    whole = online.Trainer(town.catalogue, 3, SMALL)
    for i, unit in enumerate(found):
        whole.offer(unit)
        while len(whole.waiting) >= whole.new:
            whole.step()
        if i == len(found) // 2:
            whole.flush()
            kept, at = whole.dump(), i
    whole.flush()

    again = online.Trainer(town.catalogue, 3, SMALL)
    again.load(kept)
    for i, unit in enumerate(found):
        again.offer(unit, known=i <= at)
        while len(again.waiting) >= again.new:
            again.step()
    again.flush()
    assert int(whole.run.step) == int(again.run.step) >= 4 and whole.trained == again.trained
    for a, b in zip(jax.tree.leaves(whole.run), jax.tree.leaves(again.run), strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole.dump() == again.dump()


def test_showings_of_one_slate_that_wait_together_are_one_example(units) -> None:
    """Reading a history is most of a step, so what has the same one is read once; nothing is lost by it."""
    town, found = units
    trainer = online.Trainer(town.catalogue, 3, SMALL)
    before = [len(u.rows) for u in found]
    for unit in found:
        trainer.offer(unit)
    alone = [u for u in trainer.waiting if u.past.rows.size]
    assert len(alone) == len({id(u.past) for u in alone}) and len(trainer.waiting) < len(found) / 2
    assert sum(len(u.rows) for u in trainer.waiting) == sum(before) and before == [len(u.rows) for u in found]
    trainer.flush()
    assert trainer.trained == sum(before) and not trainer._parts


def test_a_checkpoint_of_something_else_is_refused(units) -> None:
    town, _ = units
    trainer = online.Trainer(town.catalogue, 3, SMALL)
    good = trainer.dump()
    for bad in (b"", good[:-5], good[:40] + b"\xff" + good[41:]):
        with pytest.raises(Broken):
            trainer.load(bad)


def test_steps_on_one_batch_bring_its_loss_down_and_leave_other_rows_alone(units) -> None:
    town, found = units
    trainer = online.Trainer(town.catalogue, 0, SMALL)
    before = np.asarray(trainer.run.params["net"]["item"])
    losses = []
    for _ in range(40):
        for unit in found[:8]:
            trainer.offer(unit)
        trainer.step()
        losses.append(trainer.loss)
    assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:5])
    after = np.asarray(trainer.run.params["net"]["item"])
    read = np.unique(trainer._buckets.all()[:, :2])
    left = np.setdiff1d(np.arange(len(after)), read)
    assert left.size and (after[left] == before[left]).all() and (after[read] != before[read]).any()


TWO = """
import sys
sys.path.insert(0, sys.argv[1])
import jax, numpy as np
from town import SMALL, Town
from holdfast.core.feed.ladder import Rung
from holdfast.model import online, train
assert len(jax.devices()) == 2
town = Town(clips=40, viewers=6)
town.round(Rung.REGIONAL)
units = list(town.examples.emptied())
runs = []
for mesh in (None, train.mesh()):
    trainer = online.Trainer(town.catalogue, 5, SMALL, mesh)
    for unit in units:
        trainer.offer(unit)
    trainer.flush()
    runs.append(trainer)
assert len(runs[1].run.params["net"]["user"].sharding.device_set) == 2
for a, b in zip(jax.tree.leaves(runs[0].run.params), jax.tree.leaves(runs[1].run.params), strict=True):
    np.testing.assert_allclose(a, b, atol=2e-4)
print("equal")
"""


def test_two_devices_take_the_same_steps() -> None:
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", TWO, here], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "equal", done.stderr[-2000:]
