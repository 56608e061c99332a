"""The FULL rung's model, bound to one catalogue: what the pipeline calls `Predict`, made of the network and the ranker.

    history ─► encoder ─► states [T,d] ─► user vector · video vectors ─► retrieve
                             └──────────► ranker (candidates alone, with their signals) ─► P(action) per candidate

Serving never compiles. XLA compiles a function once per shape, so there are only a few shapes: queries are padded to
one of GROUPS, candidates to CHUNK, videos to one of SWEEPS, and `warm` runs each of them once, in a thread, before the
model serves. Parameters are arguments of the compiled functions, so the next release of the same sizes needs none.

Video vectors are kept per catalogue row and follow it: a published video is read at once, and a new release that says
which table rows it touched has only the videos of those rows read again.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import TAGS_PER_ITEM, Catalogue
from holdfast.core.feed.predict import Eligible, Predict
from holdfast.core.feed.viewer import History
from holdfast.model import network, ranker, signals
from holdfast.model.buckets import COLUMNS, LENGTHS, Buckets
from holdfast.model.evaluate import Example
from holdfast.model.index import Index

Array = NDArray[Any]
Params = dict[str, Any]  # {"net": network's, "rank": ranker's}

GROUPS = (1, 4, 16)  # queries per compiled call; more go in turns
CHUNK = 256  # candidates per compiled call and query
SWEEPS = (64, 4096)  # videos whose vectors are made per compiled call
BINS = 8


class Size(NamedTuple):
    """The sizes of a live model."""

    net: network.Shape
    rank: ranker.Shape


LIVE = Size(  # small enough that one core answers with it while it serves everything else
    network.Shape(
        width=48, layers=2, heads=2, length=50, item_buckets=16_384, tag_buckets=1024, creator_buckets=4096,
        length_buckets=LENGTHS, actions=16, dwells=signals.DWELLS, gaps=signals.GAPS,
    ),
    ranker.Shape(width=48, features=signals.WIDTH, bins=BINS, heads=2, hidden=32, members=2),
)  # fmt: skip


@dataclass(slots=True)
class FullModel:
    """A released network. `examples`: videos shown that it was trained on."""

    params: Params
    size: Size
    examples: int = 0

    def finite(self) -> bool:
        """Say whether every weight is a number."""
        return all(bool(np.isfinite(np.asarray(leaf)).all()) for leaf in jax.tree.leaves(self.params))


# Slopes of the ranker's linear path at the start, per unit of a signal: a network that has seen nothing yet orders like
# LINEAR does (core.feed.value), and unlearns what does not hold.
PRIOR = {"long": {"linear": 1.5, "taste": 1.0, "heat": 0.2, "long_rate": 1.0}, "skip": {"linear": -1.5, "taste": -1.0}}


def begin(seed: int, size: Size = LIVE) -> Params:
    """Return the parameters that learning begins with."""
    one, two = jax.random.split(jax.random.key(seed))
    rank, bins = _init_rank(two, size.rank), size.rank.bins
    wide = np.zeros((signals.WIDTH * bins, len(ranker.HEADS)), np.float32)
    for head, slopes in PRIOR.items():
        for name, slope in slopes.items():
            f = signals.NAMES.index(name)
            _, low, high = signals.TABLE[f]  # a bin's part runs from 0 to 1 over its width
            wide[f * bins : (f + 1) * bins, ranker.HEADS.index(head)] = slope * (high - low) / bins
    rank = {**rank, "edges": jnp.asarray(signals.edges(bins)), "wide": jnp.asarray(wide)}
    return {"net": _init_net(one, size.net), "rank": rank}


_init_net = jax.jit(network.init, static_argnums=1)  # op by op it would compile thirty little functions
_init_rank = jax.jit(ranker.init, static_argnums=1)


def items_of(buckets: Any) -> network.Items:
    """Cut int32[…, 15] of `Buckets` into the network's columns."""
    last = 2 + TAGS_PER_ITEM
    creator = buckets[..., last]
    return network.Items(buckets[..., :2], buckets[..., 2:last], creator, creator * 0)


@partial(jax.jit, static_argnums=0)
def _sweep(shape: network.Shape, net: Params, buckets: Any) -> tuple[Any, Any]:
    """int32[M, 15] → float32[M, d] video vectors and float32[M, d] their retrieval side."""
    vectors = network.item_vectors(net, shape, items_of(buckets))
    return vectors, network.retrieval_items(net, vectors)


@partial(jax.jit, static_argnums=0)
def _encode(shape: network.Shape, net: Params, vec: Any, action: Any, dwell: Any, gap: Any) -> tuple[Any, Any]:
    """Histories [B, T] → states float32[B, T, d], user vectors float32[B, d]."""
    states = network.states(net, shape, network.Events(vec, action, dwell, gap))
    return states, network.user_vectors(net, states[:, -1])


@partial(jax.jit, static_argnums=0)
def _rank(shape: ranker.Shape, rank: Params, states: Any, mask: Any, candidates: Any, numbers: Any) -> Any:
    """States [B, T, d], candidates [B, K, d], signals [B, K, F] → probabilities float32[B, K, A]."""
    return jax.nn.sigmoid(ranker.rank(rank, shape, states, mask, candidates, numbers))


def compiled() -> int:
    """How many shapes have been compiled in this process: must not grow while serving."""
    return sum(f._cache_size() for f in (_sweep, _encode, _rank))  # type: ignore[attr-defined]


class Full:
    """A network bound to one catalogue. `linear`: the LINEAR model whose score is one of the signals, or None.

    Owns its video vectors. One thread at a time: it is bound and warmed in a thread of its own, and then belongs to
    the loop's.
    """

    trust = 1.0
    parts: tuple[str, ...] = ranker.HEADS

    def __init__(
        self, model: FullModel, catalogue: Catalogue, linear: Predict | None = None, release: str = "",
        like: "Full | None" = None,
    ) -> None:  # fmt: skip
        """Bind a model. `like`: the one now in use, whose videos need no reading again unless their rows changed."""
        self.model = model
        self.size = model.size
        self.catalogue = catalogue
        self.linear = linear
        self.release = release
        net = model.size.net
        self._params: Params = jax.tree.map(jnp.asarray, model.params)
        self._readings: deque[Reading] = deque(maxlen=4)  # of the call that is under way
        if like is not None and like.size == model.size and like.catalogue is catalogue:
            self._buckets = like._buckets.copy()
            self._vectors, self.index = like._vectors.copy(), like.index.copy()
            self._stale = _touched(like.model.params["net"], model.params["net"], self._buckets.all())
        else:
            self._buckets = Buckets(catalogue, net.item_buckets, net.tag_buckets, net.creator_buckets)
            self._vectors = np.zeros((0, net.width), np.float32)
            self.index = Index(net.width)
            self._stale = self._buckets.refresh()

    def warm(self) -> None:
        """Compile every shape that serving uses, and make the videos' vectors. Seconds the first time in a process.

        Reads nothing of the catalogue, so that a thread may do it while the loop goes on folding.
        """
        net, none = self.size.net, np.zeros((0,), np.int32)
        for sweep in SWEEPS:
            self._swept(np.zeros((sweep, COLUMNS), np.int32))
        empty = History(none, np.zeros(0, np.float32), ())
        for group in GROUPS:
            states, _, mask = self._encoded([empty] * group)
            chunk = np.zeros((group, CHUNK, net.width), np.float32)
            self._ranked(states, mask, chunk, np.zeros((group, CHUNK, signals.WIDTH), np.float32))
        self._make(self._stale)
        self._stale = none

    def refresh(self) -> None:
        """Follow the catalogue: make vectors for the videos that are new or were published again."""
        rows = self._buckets.refresh()
        if self._stale.size:
            rows, self._stale = np.union1d(rows, self._stale), rows[:0]
        self._make(rows)

    def _make(self, rows: Array) -> None:
        table = self._buckets.all()
        n = len(table)
        if n > len(self._vectors):
            room = np.zeros((max(n + n // 2, 256) - len(self._vectors), self.size.net.width), np.float32)
            self._vectors = np.concatenate([self._vectors, room])
        sweep = next((s for s in SWEEPS if s >= rows.size), SWEEPS[-1])
        for at in range(0, rows.size, sweep):
            some = rows[at : at + sweep]
            self._vectors[some], sides = self._swept(_padded(table[some], sweep), some.size)
            self.index.put(some, sides)

    def _swept(self, buckets: Array, count: int | None = None) -> tuple[Array, Array]:
        vectors, sides = _sweep(self.size.net, self._params["net"], buckets)
        return np.asarray(vectors)[:count], np.asarray(sides)[:count]

    def read(self, histories: Sequence[History]) -> "Reading":
        """Take in the histories of one call."""
        self.refresh()
        parts = [self._encoded(histories[at : at + GROUPS[-1]]) for at in range(0, len(histories), GROUPS[-1])]
        states, users, mask = (np.concatenate([p[i] for p in parts]) for i in range(3))
        reading = Reading(self, histories, states, users, mask)
        self._readings.append(reading)
        return reading

    def probe(self) -> float:
        """Answer a fixed question: the mean P(long) of made-up videos for a made-up viewer. Equal wherever it runs."""
        net = self.size.net
        table = (np.arange(SWEEPS[0] * COLUMNS, dtype=np.int32) * 7).reshape(SWEEPS[0], COLUMNS)
        vectors, _ = self._swept(1 + table % (min(net.item_buckets, net.tag_buckets, net.creator_buckets) - 1))
        steps = np.arange(net.length, dtype=np.int32)
        acts = (1 + steps % 8, steps % net.dwells, steps % net.gaps)
        states, _ = _encode(
            net, self._params["net"], vectors[steps % len(vectors)][None], *(a[None].astype(np.int32) for a in acts)
        )
        chunk = np.resize(vectors, (1, CHUNK, net.width)).astype(np.float32)
        numbers = np.linspace(-1, 3, CHUNK * signals.WIDTH, dtype=np.float32).reshape(1, CHUNK, signals.WIDTH)
        return float(self._ranked(np.asarray(states), np.ones((1, net.length), bool), chunk, numbers)[..., 0].mean())

    def recall(self, history: History, rows: Array) -> Array | None:
        """Return int16[K, F]: the signals that `rows` were just scored by for this history; None if they were not."""
        for reading in reversed(self._readings):
            fixed = reading.recall(history, rows)
            if fixed is not None:
                return fixed
        return None

    def judged(self, examples: Sequence[Example]) -> list[Array]:
        """Return per held-out slate float32[K, A]: P(action), by the signals it was served with."""
        fixed = [e.fixed for e in examples if e.fixed is not None]
        assert len(fixed) == len(examples)
        return self.read([e.history for e in examples]).judge([e.rows for e in examples], fixed) if examples else []

    def because(self, history: History, row: int) -> list[tuple[int, float]]:
        """Return (index into the history, how near that video is to `row`, by the viewer's liking), nearest first."""
        self.refresh()
        near = (self.index.at(history.rows) @ self.index.at(np.array([row]))[0]) * np.maximum(history.weights, 0.0)
        return [(int(i), float(near[i])) for i in np.argsort(-near)]

    def _encoded(self, histories: Sequence[History]) -> tuple[Array, Array, Array]:
        """Return states float32[B, T, d], users float32[B, d], mask bool[B, T] of at most GROUPS[-1] histories."""
        net, b = self.size.net, len(histories)
        size = next(g for g in GROUPS if g >= b)
        rows, acts = windows(histories, size, net.length)
        vec = self._vectors[rows] if len(self._vectors) else np.zeros((*rows.shape, net.width), np.float32)
        states, users = _encode(net, self._params["net"], vec * (acts[0] > 0)[..., None], *acts)
        return np.asarray(states)[:b], np.asarray(users)[:b], acts[0][:b] > 0

    def _ranked(self, states: Array, mask: Array, candidates: Array, numbers: Array) -> Array:
        return np.asarray(_rank(self.size.rank, self._params["rank"], states, mask, candidates, numbers))


def _touched(old: Params, new: Params, table: Array) -> Array:
    """Return the int64 rows of int32[n, 15] `table` that read a row which differs between two releases' tables."""
    moved = [np.any(np.asarray(old[name]) != np.asarray(new[name]), axis=1) for name in ("item", "tag", "creator")]
    last = 2 + TAGS_PER_ITEM
    item, tag, creator = moved
    read: Any = item[table[:, :2]].any(1) | tag[table[:, 2:last]].any(1) | creator[table[:, last]]
    return np.flatnonzero(read)


def windows(histories: Sequence[History], size: int, length: int) -> tuple[Array, tuple[Array, Array, Array]]:
    """Return int32[size, T] rows and (action, dwell, gap), the newest events last, padded on the left and below."""
    rows = np.zeros((size, length), np.int32)
    acts = tuple(np.zeros((size, length), np.int32) for _ in range(3))
    for b, history in enumerate(histories):
        h = min(history.rows.size, length)
        if h:
            rows[b, -h:] = history.rows[-h:]
            for table, column in zip(acts, signals.acts(history), strict=True):
                table[b, -h:] = column[-h:]
    return rows, (acts[0], acts[1], acts[2])


def _padded(table: Array, size: int) -> Array:
    if len(table) == size:
        return table
    return np.concatenate([table, np.zeros((size - len(table), *table.shape[1:]), table.dtype)])


class Reading:
    """The histories of one call, encoded: states float32[B, T, d], user vectors float32[B, d]."""

    def __init__(self, full: Full, histories: Sequence[History], states: Array, users: Array, mask: Array) -> None:
        self._full, self._histories = full, histories
        self._states, self._users, self._mask = states, users, mask
        self._linear = full.linear.read(histories) if full.linear is not None else None
        self._said: list[tuple[Array, Array]] = []

    def retrieve(self, k: int, eligible: Sequence[Eligible]) -> list[tuple[Array, Array]]:
        """Return the k nearest eligible rows of each history with their inner products."""
        return self._full.index.search(self._users, k, eligible)

    def signals(self, rows: Sequence[Array]) -> list[Array]:
        """Return per history int16[K, F], the numbers beside the sequence, as a slate's entry carries them."""
        c = self._full.catalogue
        linear = self._linear.score(rows) if self._linear is not None else [np.zeros((r.size, 1)) for r in rows]
        return [signals.signals(h, r, s[:, 0], c) for h, r, s in zip(self._histories, rows, linear, strict=True)]

    def score(self, rows: Sequence[Array]) -> list[Array]:
        """Return per history float32[K, A]: P(action) of each row, in the order of HEADS."""
        fixed = self.signals(rows)
        self._said = list(zip(rows, fixed, strict=True))
        return self.judge(rows, fixed)

    def recall(self, history: History, rows: Array) -> Array | None:
        """Return int16[K, F] of rows that `score` was asked about for this very history."""
        for (asked, fixed), past in zip(self._said, self._histories, strict=False):
            if past is history and asked.size:
                order = np.argsort(asked, kind="stable")
                at = order[np.minimum(np.searchsorted(asked, rows, sorter=order), asked.size - 1)]
                return fixed[at] if (asked[at] == rows).all() else None
        return None

    def judge(self, rows: Sequence[Array], fixed: Sequence[Array]) -> list[Array]:
        """As `score`, with given signals: what a slate's entry says was served."""
        out = [np.zeros((r.size, len(ranker.HEADS)), np.float32) for r in rows]
        cuts = [(i, at) for i, r in enumerate(rows) for at in range(0, r.size, CHUNK)]
        for turn in range(0, len(cuts), GROUPS[-1]):
            self._judge(cuts[turn : turn + GROUPS[-1]], rows, fixed, out)
        return out

    def _judge(
        self, cuts: Sequence[tuple[int, int]], rows: Sequence[Array], fixed: Sequence[Array], out: list[Array]
    ) -> None:
        size = next(g for g in GROUPS if g >= len(cuts))
        at = [i for i, _ in cuts]
        candidates = np.zeros((size, CHUNK, self._full.size.net.width), np.float32)
        numbers = np.zeros((size, CHUNK, signals.WIDTH), np.float32)
        for b, (i, first) in enumerate(cuts):
            some = rows[i][first : first + CHUNK]
            candidates[b, : some.size] = self._full._vectors[some]
            numbers[b, : some.size] = signals.floats(fixed[i][first : first + CHUNK])
        states, mask = _padded(self._states[at], size), _padded(self._mask[at], size)
        said = self._full._ranked(states, mask, candidates, numbers)
        for b, (i, first) in enumerate(cuts):
            count = min(CHUNK, rows[i].size - first)
            out[i][first : first + count] = said[b, :count]
