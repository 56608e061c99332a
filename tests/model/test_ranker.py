"""The ranker: candidates never meet, it learns what can be learned, and its probabilities are probabilities."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from holdfast.model import ranker
from holdfast.model.ranker import HEADS, Batch, Shape

SHAPE = Shape(width=16, features=5, bins=4, heads=2, hidden=24, members=3)
B, T, K = 6, 9, 7


def some(shape: Shape, seed: int = 0) -> Batch:
    """Random viewers and candidates; `long` is done where the first number is high, `like` where a state is met."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(B, T, shape.width))
    candidates = rng.normal(size=(B, K, shape.width))
    candidates[:, ::2] = states[:, [1, 3, 5, 7]]
    counters = rng.normal(size=(B, K, shape.features))
    labels = np.zeros((B, K, len(HEADS)))
    labels[..., HEADS.index("long")] = counters[..., 0] > 0
    labels[..., HEADS.index("like")] = (np.arange(K) % 2 == 0)[None]
    array = (jnp.asarray(a, jnp.float32) for a in (states, candidates, counters, labels))
    s, c, n, y = array
    return Batch(s, jnp.ones((B, T), bool), c, n, y, jnp.ones_like(y))


OPTIMISER = optax.adam(1e-2)
first = jax.jit(lambda seed: ranker.init(jax.random.key(seed), SHAPE))
rank = jax.jit(lambda params, b: ranker.rank(params, SHAPE, b.states, b.mask, b.candidates, b.counters))


@jax.jit
def step(params: ranker.Params, state: optax.OptState, batch: Batch) -> tuple[ranker.Params, optax.OptState]:
    slope = jax.grad(ranker.loss)(params, SHAPE, batch, 0.1)
    moves, state = OPTIMISER.update(slope, state, params)
    return optax.apply_updates(params, moves), state  # type: ignore[return-value]


def taught(batch: Batch, steps: int = 150) -> ranker.Params:
    params = ranker.with_bins(first(1), SHAPE, np.asarray(batch.counters).reshape(B * K, -1))
    state = OPTIMISER.init(params)
    for _ in range(steps):
        params, state = step(params, state, batch)
    return params


@pytest.fixture(scope="module")
def learned() -> tuple[Batch, ranker.Params]:
    batch = some(SHAPE)
    return batch, taught(batch)


def ask(params: ranker.Params, batch: Batch) -> np.ndarray:
    return np.asarray(rank(params, batch))


def test_it_starts_at_the_base_rates() -> None:
    batch = some(SHAPE)
    logits = ask(first(0), batch)
    assert logits.shape == (B, K, len(HEADS))
    assert np.allclose(1 / (1 + np.exp(-logits)), ranker.BASE_RATES, atol=1e-5)


def test_it_learns_numbers_and_meetings(learned: tuple[Batch, ranker.Params]) -> None:
    batch, params = learned
    chosen = ask(params, batch)[..., [HEADS.index("long"), HEADS.index("like")]] > 0
    wanted = np.asarray(batch.labels)[..., [HEADS.index("long"), HEADS.index("like")]] > 0.5
    assert (chosen == wanted).mean() > 0.97
    assert np.allclose(
        params["edges"], ranker.with_bins(params, SHAPE, np.asarray(batch.counters).reshape(-1, 5))["edges"]
    )


def test_candidates_never_meet(learned: tuple[Batch, ranker.Params]) -> None:
    batch, params = learned
    whole = ask(params, batch)
    order = np.array([3, 0, 6])
    fewer = ask(params, batch._replace(candidates=batch.candidates[:, order], counters=batch.counters[:, order]))
    assert np.allclose(whole[:, order], fewer, atol=1e-5)
    other = batch._replace(candidates=batch.candidates.at[:, 1].set(9.0), counters=batch.counters.at[:, 1].set(-9.0))
    assert np.allclose(np.delete(whole, 1, 1), np.delete(ask(params, other), 1, 1), atol=1e-5)
    assert not np.allclose(whole[:, 1], ask(params, other)[:, 1], atol=1e-2)


def test_padding_says_nothing_and_no_history_is_an_answer(learned: tuple[Batch, ranker.Params]) -> None:
    batch, params = learned
    half = batch._replace(mask=batch.mask.at[:, :4].set(False))
    noisy = half._replace(states=half.states.at[:, :4].set(77.0))
    assert np.allclose(ask(params, half), ask(params, noisy), atol=1e-5)
    assert np.isfinite(ask(params, batch._replace(mask=jnp.zeros_like(batch.mask)))).all()


def test_rows_without_weight_do_not_teach() -> None:
    batch = some(SHAPE)
    params = first(0)
    part = batch._replace(weights=batch.weights.at[:, 3:].set(0.0))
    flipped = part._replace(labels=part.labels.at[:, 3:].set(1 - part.labels[:, 3:]))
    assert float(ranker.loss(params, SHAPE, part, 1.0)) == float(ranker.loss(params, SHAPE, flipped, 1.0))
    assert float(ranker.loss(params, SHAPE, part)) != float(ranker.loss(params, SHAPE, batch))


def test_seeded_twice_is_the_same() -> None:
    batch = some(SHAPE)
    assert np.array_equal(ask(taught(batch, 5), batch), ask(taught(batch, 5), batch))


def test_calibration_moves_the_mean_to_what_happened() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(4000, len(HEADS))) - 1
    labels = (rng.random(truth.shape) < 1 / (1 + np.exp(-truth))).astype(float)
    params = first(0)
    fitted = ranker.calibrated(params, 3 * truth + 2, labels, np.ones_like(labels))["calibration"]
    assert np.allclose(fitted[0], 1 / 3, atol=0.04) and np.allclose(fitted[1], -2 / 3, atol=0.1)
    few = np.zeros_like(labels)
    few[:5] = labels[:5]
    assert ranker.calibrated(params, truth, few * 0, np.ones_like(labels))["calibration"][0].tolist() == [1.0] * len(
        HEADS
    )


def test_a_shape_that_cannot_be_is_refused() -> None:
    with pytest.raises(AssertionError):
        replace(SHAPE, width=15)
