"""The FULL rung's model, bound to one catalogue: what the pipeline calls `Predict`, made of the network and the ranker.

    history ─► encoder ─► states [T,d] ─► user vector · video vectors ─► retrieve
                             └──────────► ranker (candidates alone, with their signals) ─► P(action) per candidate

Nothing here is compiled, and nothing imports JAX: `forward` computes in NumPy what `network` and `ranker` define and
the learner trains. Any number of queries and candidates goes, without padding.

Video vectors are kept per catalogue row and follow it: a published video is read at once, and a new release that says
which table rows it touched has only the videos of those rows read again.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import TAGS_PER_ITEM, Catalogue
from holdfast.core.feed.pasts import together
from holdfast.core.feed.predict import Eligible, Predict
from holdfast.core.feed.viewer import History
from holdfast.model import signals
from holdfast.model.buckets import COLUMNS, Buckets
from holdfast.model.evaluate import Example
from holdfast.model.forward import Encoder, Scorer, unit
from holdfast.model.index import Index
from holdfast.model.sizes import HEADS, LIVE, TABLES, FullModel, Params, Size

Array = NDArray[Any]

__all__ = ["LIVE", "Full", "FullModel", "Reading", "Size", "windows"]

SWEEP = 4096  # videos whose vectors are made at once
PROBED = 64, 256  # videos and candidates of the fixed question


class Full:
    """A network bound to one catalogue. `linear`: the LINEAR model whose score is one of the signals, or None.

    Owns its video vectors. One thread at a time: it is bound and warmed in a thread of its own, and then belongs to
    the loop's.
    """

    trust = 1.0
    parts: tuple[str, ...] = HEADS

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
        self._encoder, self._scorer = Encoder(model.params["net"], net), Scorer(model.params["rank"], model.size.rank)
        self._readings: deque[Reading] = deque(maxlen=4)  # of the call that is under way
        self._vectors, self.index = np.zeros((0, net.width), np.float32), Index(net.width)
        self._like: Full | None = None
        self._stale = np.zeros(0, np.int64)
        if like is not None and like.size == model.size and like.catalogue is catalogue:
            self._buckets, self._like = like._buckets.copy(), like
        else:
            self._buckets = Buckets(catalogue, net.item_buckets, net.tag_buckets, net.creator_buckets)
            self._stale = self._buckets.refresh()

    def warm(self) -> None:
        """Make the videos' vectors. Reads nothing of the catalogue, so that a thread may do it while the loop folds.

        Vectors are copied from the one in use while the loop may be writing to them, but only those of videos that came
        or changed since the buckets were copied; `refresh` makes these anew.
        """
        like, self._like = self._like, None
        if like is not None:
            self._vectors, self.index = like._vectors.copy(), like.index.copy()
            self._stale = _touched(like.model.params["net"], self.model.params["net"], self._buckets.all())
        self._make(self._stale)
        self._stale = np.zeros(0, np.int64)

    def refresh(self) -> None:
        """Follow the catalogue: make vectors for the videos that are new or were published again."""
        if self._like is not None or self._stale.size:
            self.warm()
        self._make(self._buckets.refresh())

    def _make(self, rows: Array) -> None:
        table = self._buckets.all()
        n = len(table)
        if n > len(self._vectors):
            room = np.zeros((max(n + n // 2, 256) - len(self._vectors), self.size.net.width), np.float32)
            self._vectors = np.concatenate([self._vectors, room])
        for at in range(0, rows.size, SWEEP):
            some = rows[at : at + SWEEP]
            self._vectors[some], sides = self._encoder.videos(table[some])
            self.index.put(some, sides)

    def read(self, histories: Sequence[History]) -> "Reading":
        """Take in the histories of one call."""
        self.refresh()
        net = self.size.net
        rows, acts = windows(histories, len(histories), net.length)
        vec = self._vectors[rows] if len(self._vectors) else np.zeros((*rows.shape, net.width), np.float32)
        mask = acts[0] > 0
        states, users = self._encoder.states(vec * mask[..., None], *acts)
        reading = Reading(self, histories, states, users, mask)
        self._readings.append(reading)
        return reading

    def probe(self) -> float:
        """Answer a fixed question: the mean P(long) of made-up videos for a made-up viewer. Equal wherever it runs."""
        net, (videos, k) = self.size.net, PROBED
        table = (np.arange(videos * COLUMNS, dtype=np.int32) * 7).reshape(videos, COLUMNS)
        vectors, _ = self._encoder.videos(1 + table % (min(net.item_buckets, net.tag_buckets, net.creator_buckets) - 1))
        steps = np.arange(net.length, dtype=np.int32)
        acts = (a[None].astype(np.int32) for a in (1 + steps % 8, steps % net.dwells, steps % net.gaps))
        states, _ = self._encoder.states(vectors[steps % videos][None], *acts)
        chunk = np.resize(vectors, (k, net.width)).astype(np.float32)
        numbers = np.linspace(-1, 3, k * signals.WIDTH, dtype=np.float32).reshape(k, signals.WIDTH)
        return float(self._scorer.chances(states, np.ones((1, net.length), bool), chunk, numbers, [k])[:, 0].mean())

    def recall_of(self, histories: Sequence[History], k: int, eligible: Sequence[Eligible]) -> float:
        """Return the mean share of the true k best that retrieval finds for these histories."""
        return self.index.recall(self.read(histories)._users, k, eligible)

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

    def because(self, history: History, rows: Array) -> list[tuple[int, float]]:
        """Return for each row the event nearest to it, by the viewer's liking, and how near; (−1, 0) without any."""
        self.refresh()
        if not history.rows.size:
            return [(-1, 0.0)] * rows.size
        past, asked = unit(self._vectors[history.rows]), unit(self._vectors[rows])
        near = past @ asked.T * np.maximum(history.weights, 0.0)[:, None]  # [H, R]
        most = near.argmax(0)
        return list(zip(most.tolist(), near[most, np.arange(rows.size)].tolist(), strict=True))


def _touched(old: Params, new: Params, table: Array) -> Array:
    """Return the int64 rows of int32[n, 15] `table` that read a row which differs between two releases' tables."""
    moved = [np.any(np.asarray(old[name]) != np.asarray(new[name]), axis=1) for name in TABLES]
    last = 2 + TAGS_PER_ITEM
    item, tag, creator = moved
    read: Any = item[table[:, :2]].any(1) | tag[table[:, 2:last]].any(1) | creator[table[:, last]]
    return np.flatnonzero(read)


def windows(histories: Sequence[History], size: int, length: int) -> tuple[Array, tuple[Array, Array, Array]]:
    """Return int32[size, T] rows and (action, dwell, gap), the newest events last, padded on the left and below."""
    rows = np.zeros((size, length), np.int32)
    acts = tuple(np.zeros((size, length), np.int32) for _ in range(3))
    if histories:
        past = together(histories)
        age = past.age
        kept = np.flatnonzero(age < length)
        at = past.whose[kept], length - 1 - age[kept]
        rows[at] = past.rows[kept]
        for table, column in zip(acts, signals.acts(past), strict=True):
            table[at] = column[kept]
    return rows, (acts[0], acts[1], acts[2])


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
        return signals.each(self._histories, rows, [s[:, 0] for s in linear], c)

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
        counts = [r.size for r in rows]
        candidates = self._full._vectors[np.concatenate(rows)]
        numbers = signals.floats(np.concatenate(fixed))
        said = self._full._scorer.chances(self._states, self._mask, candidates, numbers, counts)
        return np.split(said, np.cumsum(counts)[:-1])
