"""The arms: one stream of updates, and each arm answers with what its last release carried.

    stream ──► weights, LINEAR, item counters ──┬─ online: released with every mini-batch
                                                ├─ hourly: as they stood at the last full hour of the log
                                                └─ daily:  as they stood at the last midnight (UTC+8)

So the arms are the same model on the same lessons, and differ in nothing but when these may be used. What a node folds
itself, the viewer's history and what they have seen, is of the moment in all arms. `…_weights` are arms whose weights
and LINEAR wait while the item counters do not: what is left of the difference is the learning's.

Asked of every impression: P(long), by the network (`chances`). Of every ASKED-th mini-batch's long views: is the video
among the first twenty of all that the viewer has not seen? FULL answers as it serves: the nearest by the network's
retrieval and the warmest, ordered by the table of `core.feed.value`; LINEAR as the gate asks it.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed import value
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.predict import Eligible
from holdfast.core.feed.sources import MODEL, RANKED, TRENDING
from holdfast.core.feed.viewer import History
from holdfast.model import evaluate, full, signals
from holdfast.model.buckets import Buckets
from holdfast.model.forward import Encoder, Scorer
from holdfast.model.linear import Linear
from holdfast.model.sizes import HEADS, FullModel, Params, Size

Array = NDArray[Any]

GROUP = 16  # impressions of a mini-batch: answered together, then learned from
COUNTERS = ("warm_views", "warm_long", "warm_likes", "shown_views")  # what a release carries of items
# arm → (whose weights and LINEAR, whose counters)
ARMS = {
    "online": ("online", "online"), "hourly": ("hourly", "hourly"), "daily": ("daily", "daily"),
    "hourly_weights": ("hourly", "online"), "daily_weights": ("daily", "online"),
}  # fmt: skip
CADENCES = ("online", "hourly", "daily")


def as_of_now(catalogue: Catalogue) -> Catalogue:
    """Return the catalogue with its item counters as they stand; names and publications are shared."""
    held = copy.copy(catalogue)
    for name in COUNTERS:
        setattr(held, name, getattr(catalogue, name).copy())
    return held


@dataclass(frozen=True, slots=True)
class Ask:
    """One impression about to happen: the history before it, its row, and what the viewer has seen (int64[M])."""

    history: History
    row: int
    seen: Array


@dataclass(slots=True)
class Released:
    """What one cadence answers with. `bound` and `parts` are made when a question first needs them."""

    params: Params
    linear: Linear
    counters: Catalogue
    bound: full.Full | None = None
    parts: tuple[Encoder, Scorer] | None = None

    def forward(self, size: Size) -> tuple[Encoder, Scorer]:
        """Return the network's two halves, made at the first question."""
        if self.parts is None:
            self.parts = Encoder(self.params["net"], size.net), Scorer(self.params["rank"], size.rank)
        return self.parts


class Said(NamedTuple):
    """An arm's answers to B asks: P(long) float64[B]; and to those in question float64[Q] hits: of FULL, of its
    retrieval alone, of LINEAR."""

    long: Array
    hits: Array
    retrieved: Array
    linear: Array


@dataclass(slots=True)
class Arms:
    """All arms over one catalogue. `release` gives a cadence something new; `answer` asks every arm."""

    catalogue: Catalogue
    size: Size
    of: dict[str, Released] = field(default_factory=dict[str, Released])
    _buckets: Buckets | None = None

    def release(self, cadence: str, params: Params, linear: Linear) -> None:
        """Let a cadence use what was learned up to now."""
        held = self.of.get(cadence)
        self.of[cadence] = Released(params, linear, as_of_now(self.catalogue), held.bound if held else None)

    def signals(self, cadence: str, counters: Sequence[str], history: History, rows: Array) -> list[Array]:
        """Return int16[K, F] of int64[K] rows by one cadence's LINEAR, with the counters of each cadence named."""
        linear = self.of[cadence].linear.read([history]).score([rows])[0][:, 0]
        return [signals.signals(history, rows, linear, self.of[name].counters) for name in counters]

    def answer(self, asks: Sequence[Ask], questions: Sequence[int]) -> dict[str, Said]:
        """Return what every arm says; `questions`: the places in `asks` to be asked over all videos."""
        found: dict[str, Said] = {}
        past = full.windows([a.history for a in asks], len(asks), self.size.net.length)
        asked = [asks[i] for i in questions]
        for cadence in CADENCES:
            arms = [arm for arm, (weights, _) in ARMS.items() if weights == cadence]
            counters = [ARMS[arm][1] for arm in arms]
            long = self._long(cadence, counters, asks, past)
            hits, retrieved = self._hits(cadence, counters, asked)
            for k, arm in enumerate(arms):
                linear = np.array([self.linear_hit(cadence, counters[k], ask) for ask in asked])
                found[arm] = Said(long[:, k], hits[:, k], retrieved, linear)
        return found

    def _long(self, cadence: str, counters: Sequence[str], asks: Sequence[Ask], past: tuple[Array, Any]) -> Array:
        """float64[B, K]: P(long) by one cadence's weights, with each of K counters. `past`: `full.windows` of them."""
        (rows, acts), table, k = past, self._table(), len(counters)
        encoder, scorer = self.of[cadence].forward(self.size)
        shown = np.array([a.row for a in asks])
        known, at = np.unique(np.concatenate([rows.ravel(), shown]), return_inverse=True)
        vectors = encoder.videos(table[known])[0][at]
        mask = acts[0] > 0
        states, _ = encoder.states(vectors[: rows.size].reshape(*rows.shape, -1) * mask[..., None], *acts)
        fixed = [self.signals(cadence, counters, a.history, np.array([a.row])) for a in asks]
        numbers = signals.floats(np.concatenate([one for each in fixed for one in each]))
        candidates = np.repeat(vectors[rows.size :], k, axis=0)
        said = scorer.chances(states, mask, candidates, numbers, [k] * len(asks))
        return said[:, HEADS.index("long")].astype(np.float64).reshape(-1, k)

    def _table(self) -> Array:
        if self._buckets is None:
            net = self.size.net
            self._buckets = Buckets(self.catalogue, net.item_buckets, net.tag_buckets, net.creator_buckets)
        self._buckets.refresh()
        return self._buckets.all()

    def network(self, cadence: str) -> full.Full:
        """Return the network of a cadence bound to the catalogue, with its videos' vectors read."""
        held = self.of[cadence]
        if held.bound is None or held.bound.model.params is not held.params:
            model = FullModel(held.params, self.size)
            held.bound = full.Full(model, self.catalogue, held.linear, like=held.bound)
        return held.bound

    def _hits(self, cadence: str, counters: Sequence[str], asks: Sequence[Ask]) -> tuple[Array, Array]:
        """Whether the video stands among FULL's first twenty with each of K counters, float64[Q, K], and among the
        first twenty of the network's retrieval, float64[Q]."""
        out, retrieved = np.zeros((len(asks), len(counters))), np.zeros(len(asks))
        if not asks:
            return out, retrieved
        reading = self.network(cadence).read([a.history for a in asks])
        allowed = self.catalogue.allowed()
        near = reading.retrieve(RANKED[MODEL], [Eligible(allowed, a.seen) for a in asks])
        for q, (ask, (rows, scores)) in enumerate(zip(asks, near, strict=True)):
            at = np.flatnonzero(rows == ask.row)
            retrieved[q] = evaluate.hit(scores, int(at[0])) if at.size else 0.0
        for k, name in enumerate(counters):
            of = self.of[name].counters
            heat = of.heat(of.newest_us)
            rows = [np.union1d(r, _warmest(heat, allowed, a.seen)) for (r, _), a in zip(near, asks, strict=True)]
            fixed = [self.signals(cadence, [name], a.history, r)[0] for a, r in zip(asks, rows, strict=True)]
            said = reading.judge(rows, fixed)
            for q, ask in enumerate(asks):
                out[q, k] = hit_of(ask, rows[q], said[q], fixed[q], heat)
        return out, retrieved

    def linear_hit(self, cadence: str, counters: str, ask: Ask) -> float:
        """Return whether LINEAR puts the video among its first twenty of all that are open."""
        of, free = self.of[counters].counters, self.catalogue.allowed().copy()
        free[ask.seen] = False
        rows = np.flatnonzero(free)
        heat = of.heat(of.newest_us)[rows].astype(np.float32)
        score = evaluate.scored(self.of[cadence].linear, ask.history, rows, heat, of)
        return evaluate.hit(score, int(np.searchsorted(rows, ask.row)))

    def network_hits(self, asks: Sequence[Ask]) -> tuple[Array, Array]:
        """Return float64[Q] hits of FULL, and of its retrieval alone, as of the newest release."""
        hits, retrieved = self._hits("online", ["online"], asks)
        return hits[:, 0], retrieved


def _warmest(heat: Array, allowed: Array, seen: Array) -> Array:
    """Return the RANKED[TRENDING] warmest allowed rows that were not seen."""
    open_heat = np.where(allowed, heat, -1.0)
    open_heat[seen] = -1.0
    some = np.argpartition(-open_heat, min(RANKED[TRENDING], open_heat.size - 1))[: RANKED[TRENDING]]
    return some[open_heat[some] >= 0]


def hit_of(ask: Ask, rows: Array, said: Array, fixed: Array, heat: Array) -> float:
    """Return FULL's hit: P(action) float32[K, A] of ascending rows, weighed by the published table as the gate does."""
    at = int(np.searchsorted(rows, ask.row))
    if at == rows.size or rows[at] != ask.row:
        return 0.0
    columns: dict[str, Array] = dict(zip(HEADS, said.T, strict=True))
    columns["heat"] = heat[rows]
    columns["taste"] = signals.floats(fixed)[:, signals.NAMES.index("taste")]
    return evaluate.hit(value.score(value.parts(Rung.FULL, columns, rows.size), Rung.FULL), at)
