"""FULL on plain sequences: the node's network trained until the time is up, and judged by what it has not seen.

The network is `model.network`, the step `model.train`; here are only windows, the clock and the checkpoint. Progress of
a run is the larger of its share of epochs and its share of minutes, and sets the rate, so that a slow machine gets a
shorter run that still ends at a low rate. Everything a run is (weights, their mean, the optimiser's state, where it
stands) goes into one file; the batches are a function of (seed, epoch), so a killed run goes on where it was.
"""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import Refused
from holdfast.eval import ranking, windows
from holdfast.eval.splits import Split
from holdfast.model import network, train
from holdfast.model.network import Events, Items, Params, Shape
from holdfast.model.train import Recipe, Run

Array = NDArray[Any]
Say = Callable[[str], None]
PROBE = 1000  # viewers whose validation item is ranked while training
PROBES = 20  # how often in a run
SCORED = 256  # viewers scored at once
SAVE_S = 60.0
LONG = 30  # items of the median sequence, above which a data set counts as long


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to train, and with what."""

    epochs: float = 20.0
    minutes: float = 55.0
    seed: int = 0
    rows: int = 32  # windows of full length in a batch
    peak: float = 2e-3
    recipe: Recipe = field(default_factory=Recipe)
    checkpoint: Path | None = None


@dataclass(slots=True)
class Trained:
    """A run that ended: the mean weights, what they score on the probe, and what it cost."""

    params: Params
    shape: Shape
    items: Items
    seconds: float
    epochs: float
    probe: list[tuple[float, float]]  # (epoch, NDCG@10 of the validation items of PROBE viewers)


def recipe_for(split: Split, tags: Array | None) -> tuple[Shape, Plan]:
    """Return sizes and training for a data set, by how much there is of each viewer: the median sequence's length.

    Long sequences teach order and bear a larger step; short ones are soon learned by heart, so much is dropped out.
    """
    median = float(np.median([len(s) for s in split.sequences]))
    attributes = 0 if tags is None else int(tags.max())
    if median >= LONG:
        return shape_for(split.items, attributes, 64, 64, 2), Plan(rows=48, peak=3e-3)
    return shape_for(split.items, attributes, 32, 64, 2), Plan(
        rows=32, peak=2e-3, recipe=Recipe(decay=0.1, dropout=0.5)
    )


def shape_for(items: int, attributes: int, length: int, width: int, layers: int) -> Shape:
    """Return the network's sizes: one bucket per item, one per attribute."""
    return Shape(
        width=width, layers=layers, heads=2, length=length, item_buckets=items + 1, tag_buckets=attributes + 1,
        creator_buckets=1, length_buckets=1, actions=2, dwells=1, gaps=1,
    )  # fmt: skip


def items_of(count: int, tags: Array | None) -> Items:
    """Return N videos known by their index, and by tags int32[N, K] (0 = none) if there are any."""
    ids = np.stack([np.arange(1, count + 1), np.zeros(count)], 1).astype(np.int32)
    slots = np.zeros((count, 1), np.int32) if tags is None else tags.astype(np.int32)
    zero = jnp.zeros(count, jnp.int32)
    return Items(jnp.asarray(ids), jnp.asarray(slots), zero, zero)


def fit(
    split: Split, shape: Shape, items: Items, plan: Plan, say: Say, start: Params | None = None, held: int = 2
) -> Trained:
    """Train on every sequence less its last `held` items. Raises Refused for a checkpoint of another run."""
    sequences = [s for s in split.history(held) if len(s) > 1]
    run = train.begin(start or network.init(jax.random.key(plan.seed), shape), plan.recipe)
    place = _Place(0, 0, 0.0, [])
    mark = _mark(split, shape, plan, held)
    if plan.checkpoint and plan.checkpoint.exists():
        run, place = _load(plan.checkpoint, run, mark)
        say(f"goes on from {plan.checkpoint}: epoch {place.epoch}, {place.seconds:.0f} s")
    step = train.stepper(shape, items, plan.recipe, plan.seed, train.mesh())
    probe = _Probe(split, shape, items)
    began, saved, told = time.monotonic() - place.seconds, time.monotonic(), time.monotonic()
    values: list[Any] = []
    due = (
        len(place.probe) / PROBES if held == 2 else math.inf
    )  # with the validation item learned, only the test is left
    progress = done = 0.0
    while progress < 1:
        batches = list(
            windows.epoch(sequences, shape.length, plan.rows, np.random.default_rng([plan.seed, place.epoch]))
        )
        for batch in batches[place.batch :]:
            done = place.epoch + place.batch / len(batches)
            place.seconds = time.monotonic() - began
            progress = max(done / plan.epochs, place.seconds / (60 * plan.minutes))
            if progress >= 1:
                break
            run, value = step(run, batch, train.cosine(progress, plan.peak))
            values = [*values[-200:], value]
            place.batch += 1
            if progress >= due:
                due = progress + 1 / PROBES
                place.probe.append((round(done, 2), probe(run.mean)))
                say(f"epoch {done:5.1f}  {place.seconds:5.0f} s  loss {float(np.mean(values)):.3f}  "
                    f"NDCG@10 of {PROBE} validation items {place.probe[-1][1]:.4f}")  # fmt: skip
            if plan.checkpoint and time.monotonic() - saved > SAVE_S:
                _save(plan.checkpoint, run, place, mark)
                saved = time.monotonic()
            if time.monotonic() - told > 30:
                told = time.monotonic()
                say(f"epoch {done:5.1f} of {plan.epochs:g}  {place.seconds:5.0f} s  loss {float(np.mean(values)):.3f}")
        else:
            place.epoch, place.batch = place.epoch + 1, 0
    if plan.checkpoint:
        _save(plan.checkpoint, run, place, mark)
    return Trained(run.mean, shape, items, place.seconds, done, place.probe)


@dataclass(slots=True)
class _Place:
    """Where a run stands."""

    epoch: int
    batch: int
    seconds: float
    probe: list[tuple[float, float]]


class Scorer:
    """Scores of histories by a network: float32[B, N], the temperature in."""

    def __init__(self, shape: Shape, items: Items) -> None:
        self.shape = shape

        def scores(params: Params, rows: Any, action: Any) -> Any:
            vectors = network.item_vectors(params, shape, items)
            nothing = jnp.zeros_like(action)
            out = network.states(params, shape, Events(vectors[rows], action, nothing, nothing))[:, -1]
            users = network.user_vectors(params, out) * jnp.exp(params["temperature"])
            return users @ network.retrieval_items(params, vectors).T

        self._call = jax.jit(scores)

    def __call__(self, params: Params, histories: Sequence[Array]) -> Array:
        """Score up to any number of histories, SCORED at a time."""
        out: list[Array] = []
        for k in range(0, len(histories), SCORED):
            some = list(histories[k : k + SCORED])
            rows, action = windows.last([*some, *[np.zeros(0, np.int32)] * (SCORED - len(some))], self.shape.length)
            out.append(np.asarray(self._call(params, rows, action))[: len(some)])
        return np.concatenate(out)


class _Probe:
    def __init__(self, split: Split, shape: Shape, items: Items) -> None:
        chosen = np.random.default_rng(0).permutation(len(split.sequences))[:PROBE]
        self.histories = [split.history(2)[u] for u in chosen]
        self.target = split.target(2)[chosen]
        self.scorer = Scorer(shape, items)

    def __call__(self, params: Params) -> float:
        scores = ranking.without(np.array(self.scorer(params, self.histories)), self.histories)
        return round(float(ranking.gain(ranking.place(scores, self.target).rank).mean()), 4)


def _mark(split: Split, shape: Shape, plan: Plan, held: int) -> str:
    """Return what must be equal for a checkpoint to be of this run."""
    how = {"seed": plan.seed, "rows": plan.rows, "peak": plan.peak, **asdict(plan.recipe)}
    return json.dumps({"split": split.digest, "held": held, "shape": asdict(shape), "how": how}, sort_keys=True)


def _save(path: Path, run: Run, place: _Place, mark: str) -> None:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(run)]
    new = path.with_name(path.name + ".new")
    with new.open("wb") as f:
        named: dict[str, Any] = {str(i): leaf for i, leaf in enumerate(leaves)}
        np.savez(f, mark=np.array(mark), place=np.array(json.dumps(asdict(place))), **named)
        f.flush()
        os.fsync(f.fileno())
    new.replace(path)


def _load(path: Path, like: Run, mark: str) -> tuple[Run, _Place]:
    try:
        with np.load(path) as found:
            if str(found["mark"]) != mark:
                raise Refused(f"{path} is the checkpoint of another run", field="checkpoint",
                              hint="same file, seed and sizes go on; give another name to begin anew")  # fmt: skip
            place = _Place(**json.loads(str(found["place"])))
            leaves, tree = jax.tree.flatten(like)
            new = [jnp.asarray(found[str(i)]) for i in range(len(leaves))]
    except (OSError, ValueError, KeyError) as e:
        raise Refused(
            f"{path} is no checkpoint: {e}", field="checkpoint", hint="give another name to begin anew"
        ) from e
    place.probe = [(a, b) for a, b in place.probe]
    return jax.tree.unflatten(tree, new), place
