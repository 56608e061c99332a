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

A model knows features by name ("i:clip", "t:tides", "c:mara"), because rows differ from process to process; `Linear`
binds it to one catalogue.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import TAGS_PER_ITEM, Catalogue
from holdfast.core.errors import Broken
from holdfast.core.feed.predict import Eligible
from holdfast.core.feed.viewer import History

Array = NDArray[Any]

VERSION = 1
FEATURES_MAX = 16_384  # a blob beyond this is damaged or hostile: 512 MB
DECAY = 0.95  # weight of a video against the one watched after it; .8, .9 and 1 were measured worse (docs/feed.md)
TAG_IN = 0.5  # a video speaks half as much for each of its tags as for itself
CREATOR_IN = 0.25
TRUST_HALF = 10_000.0  # examples after which a model has half its say; KuaiRand has 70,000, an hour's demo 2,000
TAG_OUT = 0.5  # and is spoken for by its tags, each spread over the tag's videos
CREATOR_OUT = 0.25


class _Blob(msgspec.Struct, array_like=True, frozen=True):
    """The release format: float16 weights, row-major [D, D]."""

    version: int
    names: list[str]
    examples: float
    weights: bytes


class LinearModel:
    """A released model. `weights`: float32[D, D], row = feature of the history, column = feature of the next video.

    `examples`: how many it was learned from, yesterday's counting half.
    """

    def __init__(self, names: list[str], examples: float, weights: Array) -> None:
        assert weights.shape == (len(names), len(names))
        self.names = names
        self.examples = examples
        self.weights = weights

    def finite(self) -> bool:
        """Say whether every weight is a number."""
        return bool(np.isfinite(self.weights).all())


def dump(model: LinearModel) -> bytes:
    """Encode a model for release. In half precision: three digits are more than the data support."""
    with np.errstate(over="ignore"):
        weights = model.weights.astype(np.float16).tobytes()
    return msgspec.msgpack.encode(_Blob(VERSION, model.names, model.examples, weights))


def load(data: bytes) -> LinearModel:
    """Decode a released model. Raises Broken unless it is whole and every weight a finite number."""
    try:
        blob = msgspec.msgpack.decode(data, type=_Blob)
    except msgspec.MsgspecError as e:
        raise Broken(f"the model does not decode: {e}") from e
    d = len(blob.names)
    if blob.version != VERSION or d > FEATURES_MAX or len(blob.weights) != 2 * d * d or len(set(blob.names)) != d:
        raise Broken(f"not a version {VERSION} model of {d} features ({len(blob.weights)} bytes of weights)")
    weights = np.frombuffer(blob.weights, np.float16).reshape(d, d).astype(np.float32)
    model = LinearModel(blob.names, blob.examples, weights)
    if not model.finite() or not 0 <= blob.examples < np.inf:
        raise Broken("the model holds weights that are not numbers")
    return model


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
        self.item = self._extend(self.item, c.items.all, "i:")
        self.tag = np.append(self._extend(self.tag[:-1], c.tags.all, "t:"), np.int32(self.absent))
        self.creator = np.append(self._extend(self.creator[:-1], c.creators.all, "c:"), np.int32(self.absent))

    def place(self, name: str, column: int) -> None:
        """Note that the feature `name` has got a column, without building the maps anew."""
        c, rest = self.catalogue, name[2:]
        numbers, column_of = {"i:": (c.items, self.item), "t:": (c.tags, self.tag), "c:": (c.creators, self.creator)}[
            name[:2]
        ]
        column_of[numbers.of[rest]] = column

    def _extend(self, held: Array, names: list[str], prefix: str) -> Array:
        if held.size == len(names):
            return held
        new = [self.of.get(prefix + name, self.absent) for name in names[held.size :]]
        return np.concatenate([held, np.array(new, np.int32)])

    def rows(self, rows: Array) -> Array:
        """Return int32[H, 14]: the features of each row: itself, its tags, its creator."""
        c = self.catalogue
        return np.concatenate(
            [self.item[rows, None], self.tag[c.tag_rows[rows]], self.creator[c.creator[rows], None]], axis=1
        )


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
        d = len(of)
        self.weights = np.zeros((d + 1, d + 1), np.float32)  # the last row and column stand for "unknown": zero
        self.weights[:d, :d] = model.weights
        self.features = Features(catalogue, of, d)
        self._seen = (-1, -1)
        self._width = 1
        self._tag_share = np.zeros(1, np.float32)
        self._creator_share = np.zeros(1, np.float32)
        self._per_tag = np.zeros(0, np.float32)

    def read(self, histories: Sequence[History]) -> "Reading":
        """Take in the histories of one call."""
        return Reading(self.scores(histories))

    def scores(self, histories: Sequence[History]) -> Array:
        """Return float32[B, n]: how likely each catalogue row is watched long next. 0.3 ms each at n = 6k, D = 3k."""
        self._refresh()
        return np.stack([self._items(self._outputs(h)) for h in histories])

    def because(self, history: History, row: int) -> list[tuple[int, float]]:
        """Return (index into the history, contribution to the row's score), strongest first."""
        self._refresh()
        at = np.array([row])
        outs = self.features.rows(at)[0]
        shares = np.concatenate([[1.0], self._tag_share[self.catalogue.tag_rows[row]] * self._per_tag[row],
                                 self._creator_share[self.catalogue.creator[at]]]).astype(np.float32)
        toward = self.weights[:, outs] @ shares  # [D+1]
        speaks = (toward[self.features.rows(history.rows)] * SPREAD_IN).sum(1) * faded(history)
        return [(int(i), float(speaks[i])) for i in np.argsort(-speaks)]

    def _outputs(self, history: History) -> Array:
        """x B of one history, float32[D+1]; only the rows of x that are not zero are read."""
        d = self.weights.shape[0]
        if history.rows.size == 0:
            return self.weights[d - 1]
        values = faded(history)[:, None] * SPREAD_IN
        x = np.bincount(self.features.rows(history.rows).ravel(), values.ravel(), minlength=d).astype(np.float32)
        x[d - 1] = 0.0
        some = np.flatnonzero(x)
        return x[some] @ self.weights[some]

    def _items(self, y: Array) -> Array:
        """Spread feature scores float32[D+1] over the catalogue: float32[n]."""
        c, n = self.catalogue, self.catalogue.n
        tag = y[self.features.tag] * self._tag_share
        creator = y[self.features.creator] * self._creator_share
        score = y[self.features.item[:n]] + creator[c.creator[:n]]
        return score + tag[c.tag_rows[:n, : self._width]].sum(1) * self._per_tag[:n]

    def _refresh(self) -> None:
        """Follow the catalogue: the maps, and over how many live videos each tag and creator spreads."""
        c, n = self.catalogue, self.catalogue.n
        if self._seen == (n, c.version):
            return
        self._seen = (n, c.version)
        self.features.refresh()
        live = c.live[:n]
        tags = c.tag_rows[:n]
        per_item = (tags >= 0).sum(1)
        self._width = int(per_item.max(initial=1)) or 1
        self._per_tag = (1.0 / np.maximum(per_item, 1)).astype(np.float32)
        self._tag_share = _share(tags[live].ravel(), len(c.tags.all), TAG_OUT)
        self._creator_share = _share(c.creator[:n][live], len(c.creators.all), CREATOR_OUT)


class Reading:
    """The scores of the histories of one call: float32[B, n]."""

    def __init__(self, scores: Array) -> None:
        self._scores = scores

    def retrieve(self, k: int, eligible: Sequence[Eligible]) -> list[tuple[Array, Array]]:
        """Return the k best eligible rows of each history with their scores."""
        found: list[tuple[Array, Array]] = []
        for scores, one in zip(self._scores, eligible, strict=True):
            masked = np.where(one.allowed, scores, -np.inf)
            masked[one.barred] = -np.inf
            rows = np.argpartition(-masked, k - 1)[:k] if k < masked.size else np.arange(masked.size)
            rows = rows[np.isfinite(masked[rows])]
            found.append((rows, scores[rows]))
        return found

    def score(self, rows: Sequence[Array]) -> list[Array]:
        """Return per history float32[K, 1]."""
        return [scores[at][:, None] for scores, at in zip(self._scores, rows, strict=True)]


def _share(numbers: Array, size: int, weight: float) -> Array:
    """Return float32[size+1]: `weight` over how many live videos carry each number; the last, "none", gets 0."""
    counts = np.bincount(numbers[numbers >= 0], minlength=size)[:size]
    return np.append(weight / np.maximum(counts, 1), 0.0).astype(np.float32)
