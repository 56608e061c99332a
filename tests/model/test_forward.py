"""Serving in NumPy gives what training defines in JAX: equal to 1e-5, whatever the histories and the weights."""

import jax
import numpy as np
import pytest
from town import SMALL

from holdfast.model import network, ranker
from holdfast.model.begin import begin, items_of
from holdfast.model.forward import Encoder, Scorer
from holdfast.model.sizes import LIVE, Size, leaves, planted, shapes

STATES, VECTORS = jax.jit(network.states, static_argnums=1), jax.jit(network.item_vectors, static_argnums=1)
RANK = jax.jit(ranker.rank, static_argnums=1)


def moved(seed: int, size: Size, scale: float):
    """Parameters away from where they begin: nothing is zero, nothing is one."""
    dice = np.random.default_rng(seed)
    start = begin(seed, size)
    params = jax.tree.map(lambda x: np.asarray(x) + scale * dice.standard_normal(x.shape).astype(np.float32), start)
    params["rank"]["edges"] = np.sort(params["rank"]["edges"], axis=1)
    return params


@pytest.fixture(scope="module", params=[SMALL, LIVE], ids=["small", "live"])
def size(request) -> Size:
    return request.param


def test_the_tree_is_what_jax_makes_of_it(size: Size) -> None:
    params = jax.tree.map(np.asarray, begin(0, size))
    assert [x.shape for x in jax.tree.leaves(params)] == leaves(shapes(size))
    again = planted(shapes(size), list(jax.tree.leaves(params)))
    assert jax.tree.structure(again) == jax.tree.structure(params)
    assert all((a == b).all() for a, b in zip(leaves(again), leaves(params), strict=True))


@pytest.mark.parametrize("scale", [0.0, 0.1])
def test_videos_and_histories_are_read_alike(size: Size, scale: float) -> None:
    net, params = size.net, moved(1, size, scale)["net"]
    dice = np.random.default_rng(2)
    least = min(net.item_buckets, net.tag_buckets, net.creator_buckets)
    buckets = dice.integers(0, least, (70, 15)).astype(np.int32)
    buckets[:20, 5:14] = 0  # few tags, or none
    buckets[:5, 2:] = 0
    vectors, sides = Encoder(params, net).videos(buckets)
    want = VECTORS(params, net, items_of(buckets))
    np.testing.assert_allclose(vectors, want, atol=1e-5)
    np.testing.assert_allclose(sides, network.retrieval_items(params, want), atol=1e-5)

    t = net.length
    action = dice.integers(1, net.actions, (6, t)).astype(np.int32)
    for b, known in enumerate((t, 0, 1, t - 1, 3, t)):
        action[b, : t - known] = 0
    real = action > 0
    dwell, gap = (dice.integers(0, most, (6, t)).astype(np.int32) * real for most in (net.dwells, net.gaps))
    vec = vectors[dice.integers(0, 70, (6, t))] * real[..., None]
    states, users = Encoder(params, net).states(vec, action, dwell, gap)
    there = np.asarray(STATES(params, net, network.Events(vec, action, dwell, gap)))
    np.testing.assert_allclose(states[real], there[real], rtol=1e-4, atol=1e-4)  # sums of the residual stream grow
    np.testing.assert_allclose(users, network.user_vectors(params, there[:, -1]), atol=1e-5)


@pytest.mark.parametrize("loud", [1.0, 40.0])
def test_chances_are_the_rankers(size: Size, loud: float) -> None:
    shape, params = size.rank, moved(3, size, 0.1)["rank"]
    params["key"] = params["key"] * loud  # attention that would overflow without its shift
    dice = np.random.default_rng(4)
    states = dice.standard_normal((3, size.net.length, shape.width)).astype(np.float32)
    mask = dice.random((3, size.net.length)) < 0.7
    mask[1] = False
    mask[2] = True
    counts = [600, 5, 600]
    candidates = dice.standard_normal((sum(counts), shape.width)).astype(np.float32)
    numbers = 2 * dice.standard_normal((sum(counts), shape.features)).astype(np.float32)
    said = np.split(Scorer(params, shape).chances(states, mask, candidates, numbers, counts), np.cumsum(counts)[:-1])
    cut = np.split(np.arange(sum(counts)), np.cumsum(counts)[:-1])
    for b, rows in enumerate(cut):
        logits = RANK(params, shape, states[b][None], mask[b][None], candidates[rows][None], numbers[rows][None])
        np.testing.assert_allclose(said[b], jax.nn.sigmoid(logits)[0], atol=1e-5)
