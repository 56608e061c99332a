"""The encoder: shapes, no peeking ahead, padding that says nothing, new videos, and that it learns."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from holdfast.model import network
from holdfast.model.network import Events, Items, Shape

SHAPE = Shape(width=16, layers=2, heads=2, length=8, item_buckets=40, tag_buckets=10, creator_buckets=8)


def items(count: int, tags: Sequence[int] = ()) -> Items:
    ids = np.stack([np.arange(1, count + 1), np.zeros(count)], 1).astype(np.int32)
    slots = np.zeros((count, network.TAGS), np.int32)
    slots[:, : len(tags)] = tags
    return Items(jnp.asarray(ids), jnp.asarray(slots), jnp.zeros(count, jnp.int32), jnp.zeros(count, jnp.int32))


@pytest.fixture(scope="module")
def params() -> network.Params:
    return network.init(jax.random.key(1), SHAPE)


@jax.jit
def encoded(params: network.Params, rows: jax.Array, action: jax.Array) -> jax.Array:
    vec = network.item_vectors(params, SHAPE, items(39))[rows]
    return network.states(params, SHAPE, Events(vec, action, action * 0, action * 0))


def histories(params: network.Params, rows: np.ndarray, action: np.ndarray) -> jax.Array:
    return encoded(params, jnp.asarray(rows, jnp.int32), jnp.asarray(action, jnp.int32))


def test_shapes_and_unit_length(params: network.Params) -> None:
    rows = np.random.default_rng(0).integers(0, 39, (3, 8))
    out = histories(params, rows, np.ones((3, 8)))
    users = network.user_vectors(params, out)
    assert out.shape == users.shape == (3, 8, 16)
    np.testing.assert_allclose(jnp.linalg.norm(users, axis=-1), 1, atol=1e-4)
    vectors = network.retrieval_items(params, network.item_vectors(params, SHAPE, items(39)))
    np.testing.assert_allclose(jnp.linalg.norm(vectors, axis=-1), 1, atol=1e-4)


def test_a_state_does_not_see_later_events(params: network.Params) -> None:
    rows = np.random.default_rng(1).integers(0, 39, (2, 8))
    changed = rows.copy()
    changed[:, 5:] = (changed[:, 5:] + 7) % 39
    before, after = (histories(params, r, np.ones((2, 8))) for r in (rows, changed))
    np.testing.assert_allclose(before[:, :5], after[:, :5], atol=1e-5)
    assert not np.allclose(before[:, 5:], after[:, 5:], atol=1e-3)


def test_padding_says_nothing(params: network.Params) -> None:
    rows = np.random.default_rng(2).integers(0, 39, (1, 5))
    bare = histories(params, rows, np.ones((1, 5)))
    padded = histories(
        params, np.pad(rows, ((0, 0), (3, 0)), constant_values=9), np.pad(np.ones((1, 5)), ((0, 0), (3, 0)))
    )
    np.testing.assert_allclose(bare, padded[:, 3:], atol=1e-5)
    assert np.isfinite(padded).all()


def test_order_counts(params: network.Params) -> None:
    rows = np.arange(8)[None]
    assert not np.allclose(
        histories(params, rows, np.ones((1, 8)))[:, -1],
        histories(params, np.roll(rows[:, ::-1], -1, 1), np.ones((1, 8)))[:, -1],
        atol=1e-3,
    )


def test_a_new_video_has_a_vector_from_its_content(params: network.Params) -> None:
    known = items(1, tags=[3, 4])
    new = Items(jnp.zeros((1, 2), jnp.int32), known.tags, known.creator, known.length)
    other = Items(
        jnp.zeros((1, 2), jnp.int32), known.tags.at[:, :2].set(jnp.asarray([5, 6])), known.creator, known.length
    )
    a, b = (network.item_vectors(params, SHAPE, it) for it in (new, other))
    assert float(jnp.linalg.norm(a)) > 0.1 and not np.allclose(a, b)
