"""The LINEAR rung's model: what is watched long after what, in closed form.

Take a viewer's history as a vector x: for each recent video its weight (a like more than a view, a hide negative),
faded with age, spread over the video itself, its tags and its creator. Take the next video watched long as a vector y
over the same features. Ridge regression then has one answer,

    B = (Σ x xᵀ + λ I)⁻¹ Σ x yᵀ            [D, D]

and a viewer's scores are x B: the item's own part, plus shares of its tags' and its creator's. So a video nobody has
watched yet is scored by its tags, and three likes of a theme move everything of that theme at once. This is SLIT
(Choi et al., WWW 2021) with content features: no gradient, no epochs, sums that can be kept up to date entry by entry.

There is no constant term: it would teach yesterday's popularity (measured: hit@20 .131 without, .122 with), and what is
popular now stands beside the score anyway (`feed.value`).

A model knows features by name (`linear_release`), because rows differ from process to process; `Linear` binds it to one
catalogue. Over a large catalogue the spread of x B over the videos is one sparse product for the whole batch.
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from holdfast.core.catalogue import TAGS_PER_ITEM, Catalogue, Names
from holdfast.core.feed.pasts import together
from holdfast.core.feed.predict import Eligible
from holdfast.core.feed.viewer import History
from holdfast.model.index import best
from holdfast.model.linear_after import After
from holdfast.model.linear_release import Followers, LinearModel, Sparse, dump, load

Array = NDArray[Any]

__all__ = ["Features", "Followers", "Linear", "LinearModel", "Reading", "Sparse", "dump", "faded", "load"]

DECAY = 0.95  # weight of a video against the one watched after it; .8, .9 and 1 were measured worse (docs/feed.md)
TAG_IN = 0.5  # a video speaks half as much for each of its tags as for itself
CREATOR_IN = 0.25
TRUST_HALF = 10_000.0  # examples after which a model has half its say; KuaiRand has 70,000, an hour's demo 2,000
TAG_OUT = 0.5  # and is spoken for by its tags, each spread over the tag's videos
CREATOR_OUT = 0.25
BATCH = 16  # histories spread over the catalogue at once
TILE = 2048  # rows
SHUT = np.float32(-3e38)
SMALL = 5_000  # videos; a catalogue of no more is read again at every change
NEW_SHARE = 0.01  # of a larger one, so many new videos may wait for the model to read them


class Features:
    """Which model feature stands for which row of a catalogue. Unknown ones map to `absent`, one past the last."""

    def __init__(self, catalogue: Catalogue, of: dict[str, int], absent: int) -> None:
        self.catalogue = catalogue
        self.of = of
        self.absent = absent
        self.item = np.zeros(0, np.int32)
        self.tag = np.full(1, absent, np.int32)  # one longer than the tags: index −1 is "no tag"
        self.creator = np.full(1, absent, np.int32)

    def refresh(self) -> None:
        """Extend the maps to what the catalogue has learned since."""
        c = self.catalogue
        held = (self.item.size, self.tag.size - 1, self.creator.size - 1)
        if held == (len(c.items.all), len(c.tags.all), len(c.creators.all)):
            return
        self.item = self._extend(self.item, c.items, "i:")
        self.tag = np.append(self._extend(self.tag[:-1], c.tags, "t:"), np.int32(self.absent))
        self.creator = np.append(self._extend(self.creator[:-1], c.creators, "c:"), np.int32(self.absent))

    def place(self, name: str, column: int) -> None:
        """Note that the feature `name` has got a column, without building the maps anew. New names `refresh` finds."""
        c, rest = self.catalogue, name[2:]
        numbers, column_of = {"i:": (c.items, self.item), "t:": (c.tags, self.tag), "c:": (c.creators, self.creator)}[
            name[:2]
        ]
        at = numbers.of.get(rest, column_of.size)  # not known here: a name that another's sums brought along
        if at < column_of.size:
            column_of[at] = column

    def _extend(self, held: Array, names: Names, prefix: str) -> Array:
        first, size = held.size, len(names.all)
        new = np.full(size - first, self.absent, np.int32)
        if new.size < len(self.of):
            new[:] = [self.of.get(prefix + name, self.absent) for name in names.all[first:size]]
        else:  # a model has fewer features than a large catalogue has names
            for name, column in self.of.items():
                number = names.of.get(name[2:], -1) if name.startswith(prefix) else -1
                if first <= number < size:
                    new[number - first] = column
        return np.concatenate([held, new])

    def rows(self, rows: Array) -> Array:
        """Return int32[H, 14]: the features of each row: itself, its tags, its creator."""
        c = self.catalogue
        return self.of_videos(rows, c.tag_rows[rows], c.creator[rows])

    def of_videos(self, rows: Array, tags: Array, creator: Array) -> Array:
        """As `rows`, of videos with int32[H, 12] tags and int32[H] creators by number."""
        return np.concatenate([self.item[rows, None], self.tag[tags], self.creator[creator, None]], axis=1)


SPREAD_IN = np.array([1.0] + [TAG_IN] * TAGS_PER_ITEM + [CREATOR_IN], np.float32)  # [14], as Features.rows


def faded(history: History) -> Array:
    """Return float32[H]: the history's weights, each faded by DECAY per newer video."""
    return history.weights * DECAY ** np.arange(history.weights.size - 1, -1, -1, dtype=np.float32)


class Linear:
    """A model bound to one catalogue: what the pipeline calls `Predict`."""

    parts: tuple[str, ...] = ("next",)

    def __init__(self, model: LinearModel, catalogue: Catalogue, release: str = "") -> None:
        self.release = release
        self.trust = model.examples / (model.examples + TRUST_HALF)
        self.catalogue = catalogue
        of = {name: i for i, name in enumerate(model.names)}
        d = self._d = len(of)
        if isinstance(model.weights, Sparse):
            self._sparse: Sparse | None = model.weights
            self._dense: Array = np.zeros((0, 0), np.float32)
        else:
            self._sparse = None
            self._dense = np.zeros((d + 1, d + 1), np.float32)  # the last row and column stand for "unknown": zero
            self._dense[:d, :d] = model.weights
        self.features = Features(catalogue, of, d)
        self._after = After(model.followers, catalogue)
        self._readings: deque[Reading] = deque(maxlen=2)  # of the calls under way
        self._seen = (-1, -1)  # the catalogue's size and version when it was read as a whole
        self._known = (-1, -1)  # and when its names were
        self._place: Array = np.full(d + 1, -1, np.int32)  # scratch: all −1 between two uses
        self._spread = sparse.csr_array((0, d + 1), dtype=np.float32)
        self._tag_share = np.zeros(1, np.float32)
        self._creator_share = np.zeros(1, np.float32)
        self._per_tag = np.zeros(0, np.float32)

    def read(self, histories: Sequence[History]) -> "Reading":
        """Take in the histories of one call."""
        self.refresh()
        reading = Reading(self, histories)
        self._readings.append(reading)
        return reading

    def again(self, history: History, rows: Array) -> Array | None:
        """Return float32[K]: the scores of rows for a history of one of the last calls; None if it is of none."""
        for reading in reversed(self._readings):
            for i, past in enumerate(reading.histories):
                if past is history:
                    return reading.score_one(i, rows)
        return None

    def scores(self, histories: Sequence[History]) -> Array:
        """Return float32[B, n]: how likely each catalogue row is watched long next."""
        reading = self.read(histories)
        return np.stack([reading.all_rows(i) for i in range(len(histories))])

    def because(self, history: History, rows: Array) -> list[tuple[int, float]]:
        """Return for each of int64[R] rows which event speaks most for it, and how much; (−1, 0) without any."""
        said = self.contributions(history, rows)
        if not said.size:
            return [(-1, 0.0)] * rows.size
        most = said.argmax(0)
        return list(zip(most.tolist(), said[most, np.arange(rows.size)].tolist(), strict=True))

    def contributions(self, history: History, rows: Array) -> Array:
        """Return float32[H, R]: what each event of a history adds to the score of each of int64[R] rows."""
        self.refresh()
        ins, outs = self.features.rows(history.rows), self.features.rows(rows)  # [H, 14], [R, 14]
        asked, at = np.unique(ins, return_inverse=True)
        near, place = np.unique(outs, return_inverse=True)
        toward: Array = np.zeros((near.size, rows.size), np.float32)
        np.add.at(toward, (place.reshape(outs.shape), np.arange(rows.size)[:, None]), self.shares(rows))
        toward[near == self._d] = 0.0
        said: Array = np.zeros((asked.size, rows.size), np.float32)
        some = asked[asked < self._d]  # ascending: the unknown is the last
        said[: some.size] = self._weights(some, near) @ toward
        speaks = np.einsum("hfr,f->hr", said[at.reshape(ins.shape)], SPREAD_IN)
        return (speaks + self._after.toward(history.rows, rows)) * faded(history)[:, None]

    def _weights(self, some: Array, near: Array) -> Array:
        """Return float32[len(some), len(near)]: the weights between features; both ascending."""
        if self._sparse is None:
            return self._dense[np.ix_(some, near)]
        place = self._place
        place[near] = np.arange(near.size)
        at = place[self._sparse.columns[some]]
        i, j = np.nonzero(at >= 0)
        place[near] = -1
        weights: Array = np.zeros((some.size, near.size), np.float32)
        weights[i, at[i, j]] = self._sparse.values[some][i, j]
        return weights

    def outputs(self, histories: Sequence[History]) -> Array:
        """x B of each history, float32[B, D+1]; only the rows of B where x is not zero are read."""
        past = together(histories)
        at = self.features.rows(past.rows)  # [N, 14]
        event, slot = np.nonzero(at < self._d)
        faded_ = past.weights * np.float32(DECAY) ** past.age.astype(np.float32)
        values = (faded_[event] * SPREAD_IN[slot]).astype(np.float64)
        places, shape = (past.whose[event], at[event, slot]), (len(histories), self._d + 1)
        x: Any = sparse.coo_array((values, places), shape=shape).tocsr().astype(np.float32)
        if self._sparse is None:
            return x @ self._dense
        kept = self._sparse
        ends = x.indptr.tolist()
        said = [
            np.bincount(kept.columns[at].ravel(), (v[:, None] * kept.values[at]).ravel(), self._d + 1)
            for at, v in ((x.indices[i:j], x.data[i:j]) for i, j in pairwise(ends))
        ]
        return np.stack(said).astype(np.float32)

    def shares(self, rows: Array) -> Array:
        """Return float32[K, 14]: how much of each feature's score (as Features.rows) goes to each row."""
        c = self.catalogue
        return self._shares(self._per_tag[rows], c.tag_rows[rows], c.creator[rows])

    def _shares(self, per_tag: Array, tags: Array, creator: Array) -> Array:
        own = np.ones((per_tag.size, 1), np.float32)
        return np.concatenate(
            [own, self._tag_share[tags] * per_tag[:, None], self._creator_share[creator][:, None]], axis=1
        )

    def after(self, history: History) -> tuple[Array, Array]:
        """Return int64[M] rows, each once, ascending, and float32[M]: what co-watch adds to their scores."""
        return self._after.of(history.rows, faded(history))

    def spread(self, outputs: Array) -> Array:
        """Spread feature scores float32[B, D+1] over the catalogue: float32[B, n]."""
        if len(outputs) == 1:
            return (self._spread @ outputs[0])[None]
        by_row = self._spread @ np.ascontiguousarray(outputs.T)  # [n, B]
        scores = np.empty((len(outputs), len(by_row)), np.float32)
        for at in range(0, len(by_row), TILE):  # turned in pieces that stay in the cache
            scores[:, at : at + TILE] = by_row[at : at + TILE].T
        return scores

    def refresh(self) -> None:
        """Follow the catalogue: the maps, and over how many live videos each tag and creator spreads.

        A large catalogue that changes a little is not read again at once: what is new waits to be retrieved. The first
        time a thread may do it while the loop folds: what is read of the catalogue is copied before the names are, so
        there is a name for each number.
        """
        c, n = self.catalogue, self.catalogue.n
        if (n, c.version) == self._known:
            return
        self._known = (n, c.version)
        size, version = self._seen
        if n > SMALL and n - size <= NEW_SHARE * n and c.version - version <= 3 * NEW_SHARE * n:
            self.features.refresh()
            self._extend()
            return
        self._seen = (n, c.version)
        live, tags, creator = c.live[:n].copy(), c.tag_rows[:n].copy(), c.creator[:n].copy()
        self.features.refresh()
        self._after.refresh(n)
        self._per_tag = (1.0 / np.maximum((tags >= 0).sum(1), 1)).astype(np.float32)
        self._tag_share = _share(tags[live].ravel(), self.features.tag.size - 1, TAG_OUT)
        self._creator_share = _share(creator[live], self.features.creator.size - 1, CREATOR_OUT)
        at = self.features.of_videos(np.arange(n), tags, creator)  # [n, 14]
        known = at < self._d
        ends = np.concatenate([[0], np.cumsum(known.sum(1))])
        shares = self._shares(self._per_tag, tags, creator)[known]
        self._spread = sparse.csr_array((shares, at[known], ends), shape=(n, self._d + 1))

    def _extend(self) -> None:
        """Make room for what is new: its own score counts at once, its new tags and creators from the next reading."""
        c, n = self.catalogue, self.catalogue.n
        new = (c.tag_rows[self._per_tag.size : n] >= 0).sum(1)
        self._per_tag = np.concatenate([self._per_tag, (1.0 / np.maximum(new, 1)).astype(np.float32)])
        self._tag_share = _room(self._tag_share, len(c.tags.all) + 1)
        self._creator_share = _room(self._creator_share, len(c.creators.all) + 1)

    @property
    def n(self) -> int:
        """Rows that were there when the catalogue was last read."""
        return max(self._seen[0], 0)


class Reading:
    """What a model makes of the histories of one call."""

    def __init__(self, model: Linear, histories: Sequence[History]) -> None:
        self._model, self.histories = model, histories
        self._outputs: Array = model.outputs(histories)  # [B, D+1]
        self._after = [model.after(h) for h in histories]

    def all_rows(self, i: int) -> Array:
        """Return float32[n]: the score of every row for history i."""
        scores = self._model.spread(self._outputs[i : i + 1])[0]
        self._add(scores, i)
        return scores

    def retrieve(self, k: int, eligible: Sequence[Eligible]) -> list[tuple[Array, Array]]:
        """Return the k best eligible rows of each history with their scores."""
        found: list[tuple[Array, Array]] = []
        n = self._model.n
        shut = {id(e.allowed): np.flatnonzero(~e.allowed[:n]) for e in eligible}
        for at in range(0, len(eligible), BATCH):
            for i, scores in enumerate(self._model.spread(self._outputs[at : at + BATCH]), at):
                one = eligible[i]
                self._add(scores, i)
                scores[shut[id(one.allowed)]] = SHUT
                scores[one.barred[one.barred < n]] = SHUT
                rows = best(scores, k)
                rows = rows[scores[rows] > SHUT]
                found.append((rows, scores[rows]))
        return found

    def score(self, rows: Sequence[Array]) -> list[Array]:
        """Return per history float32[K, 1]."""
        counts = [at.size for at in rows]
        whose = np.repeat(np.arange(len(counts)), counts)
        said = np.split(self._closed(whose, np.concatenate(rows)), np.cumsum(counts)[:-1])
        return [self._then(i, at, scores)[:, None] for i, (at, scores) in enumerate(zip(rows, said, strict=True))]

    def score_one(self, i: int, rows: Array) -> Array:
        """Return float32[K]: the scores of rows for history i."""
        return self._then(i, rows, self._closed(i, rows))

    def _closed(self, whose: Array | int, rows: Array) -> Array:
        """What the closed form says: float32[K] of rows for the history of each."""
        model, width = self._model, self._outputs.shape[1]
        at = np.multiply(whose, width)[..., None] + model.features.rows(rows)
        return np.einsum("kf,kf->k", self._outputs.ravel()[at], model.shares(rows))

    def _then(self, i: int, rows: Array, scores: Array) -> Array:
        """Add what followed the videos of history i."""
        after, shares = self._after[i]
        if after.size:
            place = np.minimum(np.searchsorted(after, rows), after.size - 1)
            scores += np.where(after[place] == rows, shares[place], np.float32(0))
        return scores

    def _add(self, scores: Array, i: int) -> None:
        rows, shares = self._after[i]
        scores[rows] += shares


def _room(shares: Array, size: int) -> Array:
    """Lengthen with zeros; the last, "none", is 0 anyway."""
    return np.concatenate([shares, np.zeros(size - shares.size, np.float32)])


def _share(numbers: Array, size: int, weight: float) -> Array:
    """Return float32[size+1]: `weight` over how many live videos carry each number; the last, "none", gets 0."""
    counts = np.bincount(numbers[numbers >= 0], minlength=size)[:size]
    return np.append(weight / np.maximum(counts, 1), 0.0).astype(np.float32)
