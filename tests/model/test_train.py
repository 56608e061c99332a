"""The training step: learns a batch by heart; sampled negatives estimate the softmax; two devices agree with one."""

import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from holdfast.model import network, train
from holdfast.model.network import Items, Shape
from holdfast.model.train import Recipe, Window

N = 40
SHAPE = Shape(width=16, layers=1, heads=2, length=8, item_buckets=N + 1, tag_buckets=2, creator_buckets=2, actions=2)
PLAIN = Recipe(dropout=0.0)
KEY = jax.random.key(0)


def items() -> Items:
    ids = jnp.asarray(np.stack([np.arange(1, N + 1), np.zeros(N)], 1), jnp.int32)
    return Items(ids, jnp.zeros((N, 1), jnp.int32), jnp.zeros(N, jnp.int32), jnp.zeros(N, jnp.int32))


def batch(rows: int = 4) -> Window:
    seen = jnp.asarray(np.random.default_rng(0).permutation(N)[: rows * 9].reshape(rows, 9), jnp.int32)
    one = jnp.ones((rows, 8), jnp.int32)
    return Window(seen[:, :-1], seen[:, 1:], one, one * 0, one * 0)


@partial(jax.jit, static_argnums=2)
def loss_of(params: network.Params, window: Window, recipe: Recipe, key: jax.Array) -> jax.Array:
    return train.loss(params, SHAPE, items(), window, recipe, key)


def test_it_learns_a_batch_by_heart() -> None:
    recipe = Recipe(dropout=0.0, mean=0.9)
    run = train.begin(network.init(jax.random.key(0), SHAPE), recipe)
    step = train.stepper(SHAPE, items(), recipe, 0)
    losses: list[float] = []
    for _ in range(120):
        run, loss = step(run, batch(), 0.01)
        losses.append(float(loss))
    assert losses[0] > 3 and losses[-1] < 0.2
    assert float(loss_of(run.mean, batch(), PLAIN, KEY)) < 0.3, "the running mean of the weights learned it too"


def test_sampled_negatives_estimate_the_full_softmax() -> None:
    params = network.init(jax.random.key(3), SHAPE)
    full = float(loss_of(params, batch(), PLAIN, KEY))
    some = Recipe(dropout=0.0, negatives=20)
    drawn = [float(loss_of(params, batch(), some, jax.random.key(k))) for k in range(60)]
    assert abs(np.mean(drawn) - full) < 0.1 * full


def test_padding_and_missing_targets_count_for_nothing() -> None:
    params, whole = network.init(jax.random.key(3), SHAPE), batch()
    half = whole._replace(target=whole.target.at[2:].set(-1))
    none = whole._replace(target=whole.target.at[2:].set(-1), rows=whole.rows.at[2:].set(5))
    a, b = (float(loss_of(params, w, PLAIN, KEY)) for w in (half, none))
    assert a == pytest.approx(b, rel=1e-5)


def test_the_rate_rises_and_falls() -> None:
    rates = [train.cosine(p / 100, 1.0) for p in range(101)]
    top = int(np.argmax(rates))
    assert top == 3 and rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)
    assert rates[-1] == pytest.approx(0.02)


TWO = """
import sys; sys.path.insert(0, sys.argv[1])
import jax, numpy as np, test_train as t
from holdfast.model import network, train
assert len(jax.devices()) == 2
recipe = train.Recipe(dropout=0.0)
ends = []
for mesh in (None, train.mesh()):
    run = train.begin(network.init(jax.random.key(0), t.SHAPE), recipe)
    step = train.stepper(t.SHAPE, t.items(), recipe, 0, mesh)
    for _ in range(3):
        run, loss = step(run, t.batch(), 0.01)
    ends.append(run)
assert mesh is not None and len(ends[1].params["item"].sharding.device_set) == 2
for a, b in zip(jax.tree.leaves(ends[0].params), jax.tree.leaves(ends[1].params)):
    np.testing.assert_allclose(a, b, atol=2e-5)
"""


def test_two_devices_take_the_step_of_one() -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    here = os.path.dirname(__file__)
    done = subprocess.run(
        [sys.executable, "-c", TWO, here], env={**os.environ, **flags}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
