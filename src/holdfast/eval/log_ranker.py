"""FULL's ranker taught by a log: the multi-action heads of `model.ranker` over what is known of each impression.

A row is one impression: its video's vector, and its numbers (`columns.network`). Eight heads answer. The states of the
sequence network were tried too (20 events before the row's day, trained together): AUC +.0006, GAUC −.0008 on 27 and
28 April for twice the time; what the earlier views know comes in as a number instead (`earlier`).

The videos' vectors are those of the co-watch matrix of the past (its leading singular vectors), so that the 817,187
earlier views teach them and not the log's few labels; they stay as they are. Training tables too costs ten times as
long here (a scatter of single rows on the CPU).

Several seeds are trained and their logits averaged, each with its own folds of the encodings, so that the noise of the
folds averages out too.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

from holdfast.eval.kuairand import Data
from holdfast.eval.next_view import cowatch
from holdfast.model import ranker
from holdfast.model.ranker import HEADS, Batch

Array = NDArray[Any]
Say = Callable[[str], None]

WEIGHT = {"long": 1.0, "stay": 0.3, "like": 0.3, "share": 0.1, "follow": 0.1, "comment": 0.1, "skip": 0.3, "hide": 0.1}


@dataclass(frozen=True)
class Recipe:
    """How to train; chosen on 27 and 28 April."""

    width: int = 16
    bins: int = 16
    hidden: int = 64
    members: int = 8
    epochs: int = 6
    rows: int = 512  # per step
    rate: float = 1e-3
    decay: float = 0.05  # AdamW's, on everything but biases
    dropout: float = 0.2


class Rows(NamedTuple):
    """What one step is given: of N rows, their videos, numbers, events before, and labels."""

    video: Any  # int32[N] place in the tables
    numbers: Any  # float32[N, F]
    labels: Any  # float32[N, A]


class Ranker:
    """What all seeds are made of, and one compiled step."""

    def __init__(self, data: Data, recipe: Recipe, features: int, taught: int) -> None:
        self.recipe = recipe
        self.size = min(recipe.rows, taught)
        steps = recipe.epochs * (taught // self.size)
        self.shape = ranker.Shape(recipe.width, features, recipe.bins, 2, recipe.hidden, recipe.members)
        warm = min(50, steps // 4 + 1)
        schedule = optax.warmup_cosine_decay_schedule(0.0, recipe.rate, warm, steps + 1, 0.01 * recipe.rate)
        self.optimiser = optax.adamw(schedule, weight_decay=recipe.decay, mask=_decayed)
        self.first = jax.jit(self._first)
        self.step = jax.jit(self._step)
        self.ask = jax.jit(self._ask)

    def begin(self, seed: int, numbers: Array) -> tuple[Any, Any]:
        """Return parameters and the optimiser's state. `numbers` float32[N, F]: taught rows, for the bins."""
        params = self.first(jax.random.key(seed))
        params = ranker.with_bins(params, self.shape, numbers)
        return params, self.optimiser.init(params)

    def _first(self, key: jax.Array) -> Any:
        return ranker.init(jax.random.split(key)[1], self.shape)

    def _batch(self, vectors: jax.Array, rows: Rows) -> Batch:
        candidate = vectors[rows.video][:, None]  # [N, 1, d]
        weights = jnp.broadcast_to(jnp.asarray([WEIGHT[head] for head in HEADS]), rows.labels.shape)[:, None]
        nobody = jnp.zeros(candidate.shape[:2], bool)  # no states: attention finds nothing
        return Batch(jnp.zeros_like(candidate), nobody, candidate, rows.numbers[:, None], rows.labels[:, None], weights)

    def _step(
        self, params: Any, state: Any, vectors: jax.Array, rows: Rows, key: jax.Array
    ) -> tuple[Any, Any, jax.Array]:
        def cost(params: Any) -> jax.Array:
            return ranker.loss(params, self.shape, self._batch(vectors, rows), key=key, drop=self.recipe.dropout)

        loss, slope = jax.value_and_grad(cost)(params)
        moves, state = self.optimiser.update(slope, state, params)
        return optax.apply_updates(params, moves), state, loss

    def _ask(self, params: Any, vectors: jax.Array, rows: Rows) -> jax.Array:
        b = self._batch(vectors, rows)
        return ranker.rank(params, self.shape, b.states, b.mask, b.candidates, b.counters)[:, 0]


def _decayed(params: Any) -> Any:
    """Weight decay for matrices and tables, not for biases, norms and fixed bins."""
    kept = ("bias", "edges", "calibration", "scale", "norm", "sink", "temperature")
    name = jax.tree_util.keystr
    return jax.tree_util.tree_map_with_path(lambda path, _: not any(k in name(path) for k in kept), params)


def vectors(data: Data, width: int) -> Array:
    """Return float32[V, width]: a video's place among those watched long together in the past, of length 1."""
    v = len(data.videos)
    left, strength, _ = svds(cowatch(data.past, v), k=min(width, v - 1), v0=np.full(v, v**-0.5))
    assert left is not None  # scipy leaves it out only when asked to
    found = np.zeros((v, width), np.float32)
    found[:, : left.shape[1]] = left * np.sqrt(strength)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)


def predict(
    data: Data, recipe: Recipe, numbers: list[Array], seed: int, until_s: float, say: Say
) -> tuple[Array, dict[str, Any]]:
    """Train one network on each float32[N, F] of `numbers` until `until_s` (monotonic), at least one.

    → mean logits float64[asked, A], and how.
    """
    places = jnp.asarray(vectors(data, recipe.width))
    labels = np.stack([data.column[head] for head in HEADS], 1).astype(np.float32)
    asked = np.flatnonzero(~data.taught)
    total, done, begun = np.zeros((len(asked), len(HEADS))), 0, time.monotonic()
    taught = np.flatnonzero(data.taught)
    model = Ranker(data, recipe, numbers[0].shape[1], len(taught))  # one compilation for all
    for k, table in enumerate(numbers):
        if done and time.monotonic() + (time.monotonic() - begun) / done > until_s:
            break
        rows = Rows(data.column["video"].astype(np.int32), table, labels)
        total += fit(model, places, rows, taught, asked, seed + k)
        done += 1
        say(f"network {done} of {len(numbers)}: {time.monotonic() - begun:.0f} s")
    return total / done, {"seeds": done, "seconds": round(time.monotonic() - begun, 1), "features": numbers[0].shape[1]}


def fit(model: Ranker, places: jax.Array, rows: Rows, taught: Array, asked: Array, seed: int) -> Array:
    """Train one network on rows `taught`; return logits float64[asked, A]."""
    recipe, size = model.recipe, model.size
    per_epoch = len(taught) // size
    params, state = model.begin(seed, rows.numbers[taught])
    rng, key = np.random.default_rng(seed), jax.random.key(seed + 1)
    for epoch in range(recipe.epochs):
        order = rng.permutation(taught)
        for i in range(per_epoch):
            mine = order[i * size : (i + 1) * size]
            step = jax.random.fold_in(key, epoch * per_epoch + i)
            params, state, _ = model.step(params, state, places, Rows(*(x[mine] for x in rows)), step)
    out: list[Array] = []
    for i in range(0, len(asked), 1024):
        mine = asked[i : i + 1024]
        full = np.concatenate([mine, np.repeat(mine[:1], 1024 - len(mine))])  # one shape, one compilation
        out.append(np.asarray(model.ask(params, places, Rows(*(x[full] for x in rows))), np.float64)[: len(mine)])
    return np.concatenate(out)
