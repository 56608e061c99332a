"""Value: one published table turns what is known of a candidate into one score.

    score = Σ weight · part

On LINEAR and below every part lies in −1..1, scaled within the query. On FULL and STALE the model's parts are
probabilities of what the viewer will do, and enter as they are.

`next` is the model: what those who watched this went on to watch. `taste` is the viewer alone: how they received the
candidate's tags so far, hides with a large negative weight. It needs no one else's data, so it turns at once and holds
for a viewer unlike all others. `heat` breaks ties among strangers' favourites and carries viewers nobody knows yet.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed.actions import WEIGHT, WEIGHT_UNIT
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pasts import Pasts, together
from holdfast.core.feed.viewer import History

Array = NDArray[Any]

_NETWORK = {
    "long": 1.0, "like": 1.0, "share": 1.0, "follow": 1.0, "comment": 0.5, "skip": -0.3, "hide": -8.0,
    "taste": 0.05, "heat": 0.05, "followed": 0.1, "told": 0.3,
    "fresh": 0.02, "first": 0.05, "tired": -0.05,
}  # fmt: skip
WEIGHTS: dict[Rung, dict[str, float]] = {
    Rung.FULL: _NETWORK,
    Rung.STALE: _NETWORK,
    Rung.LINEAR: {
        "next": 1.0,
        "taste": 0.25,
        "heat": 0.2,
        "followed": 0.3,
        "told": 0.4,
        "fresh": 0.05,
        "first": 0.2,
        "tired": -0.15,
    },
    Rung.REGIONAL: {"heat": 1.0, "told": 0.4},
}
SCALED = frozenset({"next", "taste", "heat"})  # scaled so that the largest magnitude within the query is 1
NEUTRAL = WEIGHT["view"] / WEIGHT_UNIT  # stayed a while: speaks neither for nor against
TASTE_FADE = 0.98  # per newer video: tastes last longer than the thread of one session
YOUNG = 1.5  # how much more a taste weighs beside a model that has learned nothing yet; KuaiRand is past that
TASTE_PRIOR = 2.0  # videos of a tag before its record counts in full measure


def tastes(history: History, catalogue: Catalogue) -> Array:
    """Return float32[tags + 1]: how the viewer received each tag, 0 for unknown; the last entry is "no tag"."""
    return tastes_of(together([history]), catalogue)[0]


def tastes_of(past: Pasts, catalogue: Catalogue) -> Array:
    """Return `tastes` of each viewer, float32[B, tags + 1]."""
    tags = catalogue.tag_rows[past.rows]  # [N, 12]
    shape = len(past.counts), len(catalogue.tags.all) + 1
    fade = np.float32(TASTE_FADE) ** past.age.astype(np.float32)
    event, slot = np.nonzero(tags >= 0)
    at = past.whose[event] * shape[1] + tags[event, slot]
    met = np.bincount(at, fade[event], shape[0] * shape[1])
    liked = np.bincount(at, (fade * (past.weights - NEUTRAL))[event], met.size)
    taste = (liked / (met + TASTE_PRIOR)).astype(np.float32).reshape(shape)
    taste[:, -1] = 0.0
    return taste


def taste_of(rows: Array, taste: Array, catalogue: Catalogue, whose: Array | int = 0) -> Array:
    """Return float32[K]: the mean taste over each row's tags, by float32[B, tags + 1] tastes of `whose`, int64[K]."""
    tags = catalogue.tag_rows[rows]
    at = np.multiply(whose, taste.shape[-1])[..., None] + tags + taste.shape[-1] * (tags < 0)  # −1 is the last entry
    return taste.ravel()[at].sum(1) / np.maximum((tags >= 0).sum(1), 1)


def parts(rung: Rung, columns: Mapping[str, Array], counts: int | Sequence[int], trust: float = 1.0) -> Array:
    """Return float32[K, P], a column per row of WEIGHTS[rung], from float[K] columns by name; an absent one is 0.

    `counts`: how many rows are of each query, one after the other. `trust` in 0..1 is how much the model of `next` has
    learned: a young one must not outshout the viewer's own record, which weighs up to 1 + YOUNG times as much then.
    """
    many = np.atleast_1d(np.array(counts, np.int64))
    table = np.zeros((int(many.sum()), len(WEIGHTS[rung])), np.float32)
    for i, name in enumerate(WEIGHTS[rung]):
        column = columns.get(name)
        if column is not None:
            table[:, i] = _units(column, many) if name in SCALED else column
            if name == "next":
                table[:, i] *= trust
            elif name == "taste":
                table[:, i] *= 1.0 + YOUNG * (1.0 - trust)
    return table


def weighed(parts: Array, rung: Rung, factors: Mapping[str, float]) -> Array:
    """Return the parts times an experiment's factors, by name of part; 1 for those it does not name."""
    return parts * np.array([factors.get(name, 1.0) for name in WEIGHTS[rung]], np.float32)


def score(parts: Array, rung: Rung) -> Array:
    """Return float32[K] scores."""
    return parts @ np.array(tuple(WEIGHTS[rung].values()), np.float32)


def _units(values: Array, counts: Array) -> Array:
    """Scale the values of each query so that its largest magnitude is 1."""
    some = counts[counts > 0]
    if not some.size:
        return values
    top = np.maximum.reduceat(np.abs(values), np.cumsum(some) - some)
    return values / np.repeat(np.where(top > 0, top, 1), some)


def unit(values: Array) -> Array:
    """Scale values so that the largest magnitude is 1."""
    top = float(np.abs(values).max(initial=0.0))
    return values / top if top > 0 else values
