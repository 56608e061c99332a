"""FULL's ranker taught by a log: the sequence network and the multi-action heads of `model`, trained together.

A row is one impression. Its viewer's last T events before the day began (earlier views, then the log) go through the
network; the video's vector asks the states, its numbers (`columns.network`) stand beside; eight heads answer. Rows see
no event of their own day, because the test's rows see none after the split: what a model is taught with must be what it
will be asked with.

The videos' vectors are those of the co-watch matrix of the past (its leading singular vectors), so that the 817,187
earlier views teach them and not the log's few labels; they and the codes of actions stay as they are. Training tables
too costs ten times as long here (a scatter of single rows on the CPU).

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
from jax import lax
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

from holdfast.adapters.kuairand import ZONE_MS
from holdfast.eval.kuairand import Data
from holdfast.eval.next_view import cowatch
from holdfast.model import network, ranker
from holdfast.model.ranker import HEADS, Batch

Array = NDArray[Any]
Say = Callable[[str], None]

WEIGHT = {"long": 1.0, "stay": 0.3, "like": 0.3, "share": 0.1, "follow": 0.1, "comment": 0.1, "skip": 0.3, "hide": 0.1}
ACTIONS = {"view": 1, "long": 2, "like": 3}  # what is known of an earlier view
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Recipe:
    """How to train; chosen on 27 and 28 April."""

    events: int = 0  # of history, T; 0 = no states at all
    width: int = 16
    layers: int = 1
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
    before: Any  # int32[N, T] places of events, -1 = none
    labels: Any  # float32[N, A]


class Sides(NamedTuple):
    """What is the same for all rows: of V videos and E events."""

    vectors: Any  # float32[V, d]
    event_video: Any  # int32[E]
    event_action: Any  # int32[E]


class Ranker:
    """What all seeds are made of, and one compiled step."""

    def __init__(self, data: Data, recipe: Recipe, features: int, taught: int) -> None:
        self.recipe = recipe
        self.size = min(recipe.rows, taught)
        steps = recipe.epochs * (taught // self.size)
        self.net = network.Shape(
            width=recipe.width, layers=recipe.layers, heads=2, length=max(recipe.events, 1),
            item_buckets=1, tag_buckets=1, creator_buckets=1,
        )  # fmt: skip
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
        params["rank"] = ranker.with_bins(params["rank"], self.shape, numbers)
        return params, self.optimiser.init(params)

    def _first(self, key: jax.Array) -> Any:
        one, two = jax.random.split(key)
        return {"net": network.init(one, self.net), "rank": ranker.init(two, self.shape)}

    def _batch(self, params: Any, sides: Sides, rows: Rows, key: jax.Array | None) -> Batch:
        drop = self.recipe.dropout if key is not None else 0.0
        candidate = sides.vectors[rows.video]  # [N, d]
        weights = jnp.broadcast_to(jnp.asarray([WEIGHT[head] for head in HEADS]), rows.labels.shape)[:, None]
        before = rows.before
        real = before >= 0
        if not self.recipe.events:
            nothing = jnp.zeros_like(candidate[:, None])
            return Batch(nothing, real, candidate[:, None], rows.numbers[:, None], rows.labels[:, None], weights)
        zero = jnp.zeros_like(before)
        action = jnp.where(real, sides.event_action[before], 0)
        happened = network.Events(sides.vectors[sides.event_video[before]], action, zero, zero)
        held = {name: lax.stop_gradient(params["net"][name]) for name in ("action", "dwell", "gap")}
        states = network.states({**params["net"], **held}, self.net, happened, key, drop)
        return Batch(states, real, candidate[:, None], rows.numbers[:, None], rows.labels[:, None], weights)

    def _step(self, params: Any, state: Any, sides: Sides, rows: Rows, key: jax.Array) -> tuple[Any, Any, jax.Array]:
        def cost(params: Any) -> jax.Array:
            batch = self._batch(params, sides, rows, key)
            return ranker.loss(params["rank"], self.shape, batch, key=key, drop=self.recipe.dropout)

        loss, slope = jax.value_and_grad(cost)(params)
        moves, state = self.optimiser.update(slope, state, params)
        return optax.apply_updates(params, moves), state, loss

    def _ask(self, params: Any, sides: Sides, rows: Rows) -> jax.Array:
        b = self._batch(params, sides, rows, None)
        return ranker.rank(params["rank"], self.shape, b.states, b.mask, b.candidates, b.counters)[:, 0]


def _decayed(params: Any) -> Any:
    """Weight decay for matrices and tables, not for biases, norms and fixed bins."""
    kept = ("bias", "edges", "calibration", "scale", "norm", "sink", "temperature")
    name = jax.tree_util.keystr
    return jax.tree_util.tree_map_with_path(lambda path, _: not any(k in name(path) for k in kept), params)


def sides(data: Data, width: int) -> tuple[Sides, Array, Array, Array]:
    """Return the tables, and of E events sorted by viewer and time: viewer, time, and where they come from."""
    c, past = data.column, data.past
    t = data.taught
    viewer = np.concatenate([past["viewer"], c["viewer"][t]])
    at = np.concatenate([past["time_ms"], c["time_ms"][t]])
    video = np.concatenate([past["video"], c["video"][t]])
    long = np.concatenate([past["long"], c["long"][t]])
    like = np.concatenate([past["like"], c["like"][t]])
    action = np.where(like > 0, ACTIONS["like"], np.where(long > 0, ACTIONS["long"], ACTIONS["view"]))
    order = np.lexsort((at, viewer))
    v = len(data.videos)
    left, strength, _ = svds(cowatch(past, v), k=min(width, v - 1), v0=np.full(v, v**-0.5))
    assert left is not None  # scipy leaves it out only when asked to
    vectors = np.zeros((v, width), np.float32)
    vectors[:, : left.shape[1]] = left * np.sqrt(strength)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    tables = Sides(jnp.asarray(vectors), jnp.asarray(video[order], jnp.int32), jnp.asarray(action[order], jnp.int32))
    return tables, viewer[order], at[order], order


def before(data: Data, viewer: Array, at: Array, events: int) -> Array:
    """Return int32[N, T]: each row's last T events before its day (asked rows: before the split), -1 = none."""
    c = data.column
    morning = (c["time_ms"] + ZONE_MS) // DAY_MS * DAY_MS - ZONE_MS
    morning[~data.taught] = c["time_ms"][data.taught].max() + 1
    span = int(max(at.max(), morning.max())) + 1
    key = viewer * span + at
    end = np.searchsorted(key, c["viewer"] * span + morning)
    start = np.searchsorted(key, c["viewer"] * span)
    place = end[:, None] - np.arange(events, 0, -1)[None, :]
    return np.where(place >= start[:, None], place, -1).astype(np.int32)


def predict(
    data: Data, recipe: Recipe, numbers: list[Array], seed: int, until_s: float, say: Say
) -> tuple[Array, dict[str, Any]]:
    """Train one network on each float32[N, F] of `numbers` until `until_s` (monotonic), at least one.

    → mean logits float64[asked, A], and how.
    """
    tables, viewer, at, _ = sides(data, recipe.width)
    history = before(data, viewer, at, max(recipe.events, 1))
    if not recipe.events:
        history[:] = -1
    labels = np.stack([data.column[head] for head in HEADS], 1).astype(np.float32)
    asked = np.flatnonzero(~data.taught)
    total, done, begun = np.zeros((len(asked), len(HEADS))), 0, time.monotonic()
    taught = np.flatnonzero(data.taught)
    model = Ranker(data, recipe, numbers[0].shape[1], len(taught))  # one compilation for all
    for k, table in enumerate(numbers):
        if done and time.monotonic() + (time.monotonic() - begun) / done > until_s:
            break
        rows = Rows(data.column["video"].astype(np.int32), table, history, labels)
        total += fit(model, tables, rows, taught, asked, seed + k)
        done += 1
        say(f"network {done} of {len(numbers)}: {time.monotonic() - begun:.0f} s")
    return total / done, {"seeds": done, "seconds": round(time.monotonic() - begun, 1), "features": numbers[0].shape[1]}


def fit(model: Ranker, tables: Sides, rows: Rows, taught: Array, asked: Array, seed: int) -> Array:
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
            params, state, _ = model.step(params, state, tables, Rows(*(x[mine] for x in rows)), step)
    out: list[Array] = []
    for i in range(0, len(asked), 1024):
        mine = asked[i : i + 1024]
        full = np.concatenate([mine, np.repeat(mine[:1], 1024 - len(mine))])  # one shape, one compilation
        out.append(np.asarray(model.ask(params, tables, Rows(*(x[full] for x in rows))), np.float64)[: len(mine)])
    return np.concatenate(out)
