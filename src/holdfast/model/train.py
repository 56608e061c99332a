"""Training the network on sequences: the loss, the optimiser, and one step that runs on one device or on many.

Every position of a window is an example: the state after event t is asked for the video of event t+1. The loss is the
softmax over the whole catalogue, or with `negatives` over the target and that many videos drawn uniformly and shared by
the batch, each score less the logarithm of how often it was expected there (the logQ correction: Bengio and Senécal
2008; Yi et al., RecSys 2019), so that both estimate the same softmax. Label smoothing spreads a little of the target
over the catalogue. The optimiser is AdamW; its rate is an argument of every step, because how long a run may take is
known to its caller (`cosine`). What is evaluated is a running mean of the weights (Polyak averaging).

Several devices: the batch is cut over the axis "data" of a mesh, parameters are the same everywhere, and XLA adds the
gradients up. On one device the same code is the plain step. Chance is a key, drawn from (seed, step), so a run that
was killed and goes on from its checkpoint takes the steps that it would have taken.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from holdfast.model import network
from holdfast.model.network import Array, Events, Items, Params, Shape

SHARPEST = 40.0  # of the softmax: exp(−2 · 40) is still a number in single precision


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    decay: float = 0.01  # weight decay, on matrices and tables only
    dropout: float = 0.2
    smoothing: float = 0.0
    negatives: int = 0  # 0 = the whole catalogue
    mean: float = 0.999  # of the running mean of weights


class Window(NamedTuple):
    """B windows of T events and the video after each; `rows` index the catalogue."""

    rows: Array  # int32[B, T]
    target: Array  # int32[B, T] the next event's row; −1 = none (padding, or nothing follows)
    action: Array  # int32[B, T], 0 = padding
    dwell: Array  # int32[B, T]
    gap: Array  # int32[B, T]


class Run(NamedTuple):
    """All that a training run is, between two steps."""

    params: Params
    mean: Params  # the running mean of the weights: what is evaluated and released
    state: Any  # the optimiser's
    step: Array  # int32[]


def cosine(progress: float, peak: float, warm: float = 0.03) -> float:
    """Return the rate at `progress` 0..1 of a run: up to `peak` over the share `warm`, then down to 2 % of it."""
    if progress < warm:
        return peak * max(progress / warm, 0.01)
    down = min((progress - warm) / (1 - warm), 1.0)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * down)))


def optimiser(recipe: Recipe) -> optax.GradientTransformation:
    """Return AdamW with clipping, at rate −1: the step multiplies by its rate."""

    def matrices(params: Params) -> Any:
        return jax.tree.map(lambda p: p.ndim > 1, params)

    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.scale_by_adam(b2=0.98),
        optax.add_decayed_weights(recipe.decay, mask=matrices),
    )


def begin(params: Params, recipe: Recipe) -> Run:
    """Return a run before its first step."""
    copy = jax.tree.map(jnp.array, params)
    return Run(params, copy, optimiser(recipe).init(params), jnp.zeros((), jnp.int32))


def loss(params: Params, shape: Shape, items: Items, window: Window, recipe: Recipe, key: Array) -> Array:
    """Return the loss of a batch, float32[]: the mean over its targets."""
    drop, draw = jax.random.split(key)
    vectors = network.item_vectors(params, shape, items)  # [N, d]
    events = Events(vectors[window.rows], window.action, window.dwell, window.gap)
    users = network.user_vectors(params, network.states(params, shape, events, drop, recipe.dropout))  # [B, T, d]
    sharp = jnp.minimum(jnp.exp(params["temperature"]), SHARPEST)
    users = users.reshape(-1, shape.width) * sharp  # [M, d]
    target = window.target.reshape(-1)  # [M]
    real = target >= 0
    all_items = network.retrieval_items(params, vectors)  # [N, d]
    hit = (users * all_items[jnp.maximum(target, 0)]).sum(-1)  # [M]
    n = vectors.shape[0]
    if recipe.negatives == 0 or n <= recipe.negatives:
        scores = users @ all_items.T  # [M, N]
        total = (
            jnp.log(jnp.exp(scores - sharp).sum(-1)) + sharp
        )  # no score is above `sharp`: its maximum need not be sought
        mean = users @ all_items.mean(0)
    else:
        drawn = jax.random.randint(draw, (recipe.negatives,), 0, n)
        scores = users @ all_items[drawn].T - jnp.log(recipe.negatives / n)  # [M, negatives]
        scores = jnp.where(drawn[None, :] == target[:, None], -1e9, scores)  # the target is not its own negative
        total = jax.nn.logsumexp(jnp.concatenate([hit[:, None], scores], 1), -1)
        mean = scores.mean(-1)
    aim = (1 - recipe.smoothing) * hit + recipe.smoothing * mean
    return jnp.where(real, total - aim, 0.0).sum() / jnp.maximum(real.sum(), 1)


def stepper(
    shape: Shape, items: Items, recipe: Recipe, seed: int, mesh: Mesh | None = None
) -> Callable[[Run, Window, float], tuple[Run, Array]]:
    """Return the compiled step: (run, window, rate) → (run, loss). With a mesh, B must be a multiple of its devices."""
    tool = optimiser(recipe)

    def step(run: Run, window: Window, rate: float) -> tuple[Run, Array]:
        key = jax.random.fold_in(jax.random.key(seed, impl="rbg"), run.step)
        value, grads = jax.value_and_grad(loss)(run.params, shape, items, window, recipe, key)
        updates, state = tool.update(grads, run.state, run.params)
        params = jax.tree.map(lambda p, u: p - rate * u, run.params, updates)
        keep = jnp.minimum(recipe.mean, (run.step + 1.0) / (run.step + 10.0))
        mean = jax.tree.map(lambda m, p: m + (1 - keep) * (p - m), run.mean, params)
        return Run(params, mean, state, run.step + 1), value

    if mesh is None:
        return jax.jit(step, donate_argnums=0)
    same, cut = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    return jax.jit(step, donate_argnums=0, in_shardings=(same, cut, None), out_shardings=(same, same))


def mesh(devices: int | None = None) -> Mesh | None:
    """Return a mesh over the accelerators (or the given number of devices); None where there is but one."""
    found = jax.devices()[:devices]
    return Mesh(np.array(found), ("data",)) if len(found) > 1 else None
