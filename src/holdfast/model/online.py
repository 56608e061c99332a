"""Learning while serving: small steps on what has just settled, mixed with what settled before.

One step takes a few fresh examples and fills up with some drawn from the newest PAST: the fresh ones make a
release current, the old ones keep a small audience's evening from erasing its afternoon. The loss is the ranker's,
over all heads, plus the retrieval head's: after each event of a history, which video was watched long next, against
negatives drawn uniformly from the catalogue (all of it while it is small). Their scores are corrected for how few they
are of all (Bengio and Senécal, 2008), so both sizes estimate the same softmax.

Embedding tables learn by row-wise AdaGrad (as in DLRM, Naumov et al., 2019): a row that no example touched has a
gradient of zero and keeps its very bits, so a release can say which rows it touched. All else learns by Adam.

A step is a function of the state and the examples in their order; chance is a hash of (seed, step). So a learner that
was killed and goes on from `dump` takes the steps that it would have taken, bit for bit on one device. On several, the
batch is cut over the axis "data" of a mesh and XLA adds up the gradients.
"""

import zlib
from collections import deque
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.errors import Broken
from holdfast.model import begin as first
from holdfast.model import full, network, ranker, signals
from holdfast.model.buckets import COLUMNS, Buckets
from holdfast.model.examples import SHOWN_MAX, Unit
from holdfast.model.sizes import TABLES

Array = NDArray[Any]
Params = dict[str, Any]

BATCH = 32  # examples per step
NEW = 8  # of them fresh, the others old: a small audience's every showing is looked at some four times
NEW_BEHIND = 24  # fresh ones while more than BEHIND wait
BEHIND = 48
PAST = 4096  # old examples to draw from; about 15 kB each with their histories at most
NEGATIVES = 256
RETRIEVAL = 0.3  # of the retrieval loss beside the ranker's
PAIRS = 0.3  # of the ranker's order term
RATE, TABLE_RATE = 2e-3, 0.05
VERSION = 1


class Cut(NamedTuple):
    """What is cut over devices: B examples. `rows`: catalogue rows, to tell a negative that is the target."""

    past: Any  # int32[B, T, 15] buckets of the history
    rows: Any  # int32[B, T]
    action: Any  # int32[B, T], 0 = padding
    dwell: Any
    gap: Any
    want: Any  # float32[B, T] weight of this event as the answer to the one before: 1 where watched long
    shown: Any  # int32[B, K, 15]
    shown_rows: Any  # int32[B, K]
    numbers: Any  # float32[B, K, F]
    labels: Any  # float32[B, K, A]
    weights: Any  # float32[B, K, A]


class Drawn(NamedTuple):
    """What every device has: N negatives, −1 in `rows` where there are fewer, and log(catalogue / N)."""

    buckets: Any  # int32[N, 15]
    rows: Any  # int32[N]
    scale: Any  # float32[]


class Run(NamedTuple):
    """All that learning is, between two steps."""

    params: Params
    squares: Params  # float32[rows] per table: sums of mean squared gradients
    adam: Any
    step: Any  # int32[]


_ADAM = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(RATE, b2=0.99))


def _split(params: Params) -> tuple[Params, Params]:
    """Split into the tables and all else."""
    net = params["net"]
    rest = {"net": {k: v for k, v in net.items() if k not in TABLES}, "rank": params["rank"]}
    return {k: net[k] for k in TABLES}, rest


def _join(tables: Params, rest: Params) -> Params:
    return {"net": {**rest["net"], **tables}, "rank": rest["rank"]}


def begin(seed: int, size: full.Size) -> Run:
    """Return a run before its first step."""
    params = first.begin(seed, size)
    tables, rest = _split(params)
    squares = {k: jnp.zeros(v.shape[0]) for k, v in tables.items()}
    return Run(params, squares, _ADAM.init(rest), jnp.zeros((), jnp.int32))


def loss(params: Params, size: full.Size, cut: Cut, drawn: Drawn) -> Any:
    """Return the loss of a batch, float32[]."""
    net, shape = params["net"], size.net
    past = network.item_vectors(net, shape, first.items_of(cut.past))  # [B, T, d]
    shown = network.item_vectors(net, shape, first.items_of(cut.shown))  # [B, K, d]
    states = network.states(net, shape, network.Events(past, cut.action, cut.dwell, cut.gap))
    batch = ranker.Batch(states, cut.action > 0, shown, cut.numbers, cut.labels, cut.weights)
    users = network.user_vectors(net, states) * jnp.exp(net["temperature"])  # [B, T, d]
    others = network.retrieval_items(net, network.item_vectors(net, shape, first.items_of(drawn.buckets)))  # [N, d]
    past, shown = (network.retrieval_items(net, v) for v in (past, shown))
    inside = _next(
        users[:, :-1], past[:, 1:], cut.rows[:, 1:], cut.want[:, 1:] * (cut.action[:, :-1] > 0), others, drawn
    )
    last = jnp.broadcast_to(users[:, -1:], shown.shape)
    after = _next(last, shown, cut.shown_rows, cut.labels[..., 0] * cut.weights[..., 0], others, drawn)
    return ranker.loss(params["rank"], size.rank, batch, PAIRS) + RETRIEVAL * (inside + after)


def _next(users: Any, targets: Any, rows: Any, weight: Any, others: Any, drawn: Drawn) -> Any:
    """Softmax loss of users [B,M,d] for targets [B,M,d] of int32[B,M] rows against negatives [N,d], by weight [B,M]."""
    hit = (users * targets).sum(-1)  # [B, M]
    miss = users @ others.T + drawn.scale  # [B, M, N]
    same = (drawn.rows == rows[..., None]) | (drawn.rows < 0)
    miss = jnp.where(same, -1e9, miss)
    each = jnp.logaddexp(hit, jax.nn.logsumexp(miss, -1)) - hit
    return (each * weight).sum() / jnp.maximum(weight.sum(), 1.0)


def _step(size: full.Size, run: Run, cut: Cut, drawn: Drawn) -> tuple[Run, Any]:
    value, grads = jax.value_and_grad(loss)(run.params, size, cut, drawn)
    tables, rest = _split(run.params)
    slopes, others = _split(grads)
    updates, adam = _ADAM.update(others, run.adam, rest)
    squares = {k: run.squares[k] + (slopes[k] ** 2).mean(-1) for k in TABLES}
    tables = {
        k: v - TABLE_RATE * slopes[k] / (jnp.sqrt(squares[k]) + 1e-6)[:, None] for k, v in tables.items()
    }  # fmt: skip
    return Run(_join(tables, _moved(rest, updates)), squares, adam, run.step + 1), value


def _moved(rest: Params, updates: Any) -> Params:
    return jax.tree.map(lambda p, u: p + u, rest, updates)


@cache
def stepper(size: full.Size, mesh: Mesh | None = None) -> Any:
    """Return the compiled step: (run, cut, drawn) → (run, loss). A mesh has a number of devices that divides BATCH."""

    def step(run: Run, cut: Cut, drawn: Drawn) -> tuple[Run, Any]:
        return _step(size, run, cut, drawn)

    if mesh is None:
        return jax.jit(step)
    same, parted = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    return jax.jit(step, in_shardings=(same, parted, same), out_shardings=(same, same))


def prepare() -> None:
    """Compile the step of the live size, so that it lies in JAX's cache for whoever trains."""
    Trainer(Catalogue()).warm()


class Trainer:
    """A run with its examples. `offer` them in order; `step` takes some of them, `flush` all that wait."""

    def __init__(self, catalogue: Catalogue, seed: int = 0, size: full.Size = full.LIVE, mesh: Mesh | None = None):
        self.catalogue = catalogue
        self.size = size
        self.seed = seed
        self.run = begin(seed, size)
        self.trained = 0  # showings
        self.loss = 0.0  # of the last step
        self.waiting: deque[Unit] = deque()
        self._parts: dict[int, Unit] = {}  # of those that wait, by their history's id: the newest
        self._past: deque[Unit] = deque(maxlen=PAST)
        self._stepper = stepper(size, mesh)
        net = size.net
        self._buckets = Buckets(catalogue, net.item_buckets, net.tag_buckets, net.creator_buckets)

    def warm(self) -> None:
        """Compile the step. Reads nothing of the catalogue, so that a thread may do it while the loop folds."""
        b, t, k, d = BATCH, self.size.net.length, SHOWN_MAX, len(ranker.HEADS)
        past = np.zeros((b, t), np.int32)
        cut = Cut(
            np.zeros((b, t, COLUMNS), np.int32), past, past, past, past, np.zeros((b, t), np.float32),
            np.zeros((b, k, COLUMNS), np.int32), np.zeros((b, k), np.int32),
            np.zeros((b, k, signals.WIDTH), np.float32), *(np.zeros((b, k, d), np.float32) for _ in range(2)),
        )  # fmt: skip
        none = np.full(NEGATIVES, -1, np.int32)
        drawn = Drawn(np.zeros((NEGATIVES, COLUMNS), np.int32), none, np.float32(0))
        jax.block_until_ready(self._stepper(self.run, cut, drawn))

    def offer(self, unit: Unit, *, known: bool = False) -> None:
        """Take an example to train on; `known`: it was trained on before the checkpoint and is only remembered.

        What settles of a slate while an earlier part of it still waits joins that part: reading the history is most of
        a step, and they have the same.
        """
        self._past.append(unit)  # in the order of the chain, whatever is joined: a restart draws the same
        if known:
            return
        part = self._parts.get(id(unit.past))  # no history of one that waits is freed, so no id is taken twice
        if part is not None and len(part.rows) + len(unit.rows) <= SHOWN_MAX:
            part.join(unit)
            return
        part = self._parts[id(unit.past)] = replace(unit)
        self.waiting.append(part)

    @property
    def new(self) -> int:
        """How many fresh examples the next step takes."""
        return NEW if len(self.waiting) <= BEHIND else NEW_BEHIND

    def step(self) -> None:
        """Train on the oldest waiting examples, NEW of them if so many wait, and on old ones."""
        fresh = [self.waiting.popleft() for _ in range(min(self.new, len(self.waiting)))]
        for unit in fresh:
            if self._parts.get(id(unit.past)) is unit:
                del self._parts[id(unit.past)]
        dice = np.random.default_rng((self.seed, int(self.run.step)))
        old = dice.integers(0, len(self._past), BATCH - len(fresh)).tolist() if self._past else []
        cut = self._cut(fresh + [self._past[i] for i in old])
        self.run, value = self._stepper(self.run, cut, self._draw(dice))
        self.loss = float(value)
        self.trained += sum(len(u.rows) for u in fresh)

    def flush(self) -> None:
        """Train on all that waits."""
        while self.waiting:
            self.step()

    def model(self) -> full.FullModel:
        """Return the model as it stands, for release."""
        return full.FullModel(jax.tree.map(np.asarray, self.run.params), self.size, self.trained)

    def adopt(self, model: full.FullModel) -> None:
        """Go on from a released network, with an optimiser that begins anew."""
        fresh = begin(self.seed, self.size)
        self.run = fresh._replace(params=jax.tree.map(jnp.asarray, model.params))
        self.trained = model.examples

    def dump(self) -> bytes:
        """Return the run as bytes: parameters, optimiser, step. The examples are the chain's, and folded anew."""
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(self.run)]
        body = msgspec.msgpack.encode((self.trained, [(str(x.dtype), list(x.shape), x.tobytes()) for x in leaves]))
        return msgspec.msgpack.encode((VERSION, zlib.crc32(body), body))

    def load(self, data: bytes) -> None:
        """Go on from `dump`. Raises Broken when the bytes are not of a run of this size."""
        leaves, tree = jax.tree.flatten(self.run)
        try:
            version, crc, body = msgspec.msgpack.decode(data, type=tuple[int, int, bytes])
            if version != VERSION or zlib.crc32(body) != crc:
                raise Broken("the learner's checkpoint is damaged, or of another version")
            trained, rows = msgspec.msgpack.decode(body, type=tuple[int, list[tuple[str, list[int], bytes]]])
            found = [np.frombuffer(raw, dtype).reshape(shape) for dtype, shape, raw in rows]
        except (msgspec.MsgspecError, TypeError, ValueError) as e:
            raise Broken(f"the learner's checkpoint does not read: {e}") from e
        fits = len(found) == len(leaves) and all(a.shape == b.shape for a, b in zip(found, leaves, strict=True))
        if not fits:
            raise Broken("the learner's checkpoint is of another network")
        self.run = jax.tree.unflatten(tree, [jnp.asarray(x) for x in found])
        self.trained = trained

    def _cut(self, units: list[Unit]) -> Cut:
        self._buckets.refresh()
        table, length = self._buckets.all(), self.size.net.length
        rows, acts = full.windows([u.past for u in units], BATCH, length)
        want = np.zeros((BATCH, length), np.float32)
        shown = np.zeros((BATCH, SHOWN_MAX), np.int32)
        numbers = np.zeros((BATCH, SHOWN_MAX, signals.WIDTH), np.float32)
        labels, weights = (np.zeros((BATCH, SHOWN_MAX, len(ranker.HEADS)), np.float32) for _ in range(2))
        for b, unit in enumerate(units):
            h, k = min(unit.past.rows.size, length), len(unit.rows)
            if h:
                want[b, -h:] = unit.past.weights[-h:] >= 1.0
            shown[b, :k], labels[b, :k], weights[b, :k] = unit.rows, unit.labels, unit.weights
            numbers[b, :k] = signals.floats(unit.fixed)
        there = (weights[..., :1] > 0) | (labels[..., :1] > 0)
        return Cut(
            table[rows] * (acts[0] > 0)[..., None],
            rows,
            *acts,
            want,
            table[shown] * there,
            shown,
            numbers,
            labels,
            weights,
        )

    def _draw(self, dice: np.random.Generator) -> Drawn:
        n = self.catalogue.n
        live = np.flatnonzero(self.catalogue.live[:n])
        live = live if live.size else np.arange(n)
        rows = live if live.size <= NEGATIVES else live[dice.integers(0, live.size, NEGATIVES)]
        padded = np.full(NEGATIVES, -1, np.int32)
        padded[: rows.size] = rows
        scale = np.float32(max(0.0, np.log(max(live.size, 1) / NEGATIVES)))
        return Drawn(self._buckets.all()[np.maximum(padded, 0)], padded, scale)
