"""Fatigue: seen a lot of one thing lately, and stayed with none of it. A small negative part of the score.

`taste` says how a viewer received a topic, on average; fatigue says how *often* it was put before them since they last
cared. It grows with each showing of a creator or a topic that did not hold them, a showing that did clears it, and it
halves every FADE_US, so that it carries across sessions and is gone in a day. It is bounded: from TIRED_BY unmoved
showings on it is 1, and never more, so that it nudges and does not ban. With no past on record nobody is tired.

    tired = min(1, max(0, Σ fade · (+1 unmoved, −2 held) − FREE) / (TIRED_BY − FREE))     larger of creator and topic

The videos are those of the viewer's history: what the region has on record and what the device brought along.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed.pasts import Met, Pasts

Array = NDArray[Any]

FADE_US = 4 * 3600 * 1_000_000  # half-life
FREE = 2.0  # unmoved showings that tire nobody
TIRED_BY = 8.0
HELD = 0.9  # weight in the history from which a showing held the viewer: a long view, or anything beyond
HELD_CLEARS = 2.0


def tired(rows: Array, whose: Array, past: Pasts, catalogue: Catalogue, now_us: int) -> Array:
    """Return float32[K] in 0..1: how tired of each row's creator or topic the viewer is whose candidate it is."""
    fade = np.exp2(-np.maximum(now_us - past.stamps, 0) / FADE_US) * past.timed
    moved = np.where(past.weights >= HELD, -HELD_CLEARS, 1.0) * fade
    topic, creator = catalogue.tag_rows[:, 0], catalogue.creator
    of_topic = _level(Met(past.whose, topic[past.rows], len(catalogue.tags.all)), moved, whose, topic[rows])
    of_creator = _level(Met(past.whose, creator[past.rows], len(catalogue.creators.all)), moved, whose, creator[rows])
    return np.maximum(of_topic, of_creator).astype(np.float32)


def _level(met: Met, moved: Array, whose: Array, asked: Array) -> Array:
    """Return float64[K]: the level of each `asked` number, from float[N] `moved` of the numbers met."""
    level = np.clip((met.sums(moved) - FREE) / (TIRED_BY - FREE), 0.0, 1.0)
    few = level[:-1] > 0  # most tire nobody
    met.only(few)
    return np.append(level[:-1][few], 0.0)[met.find(whose, asked)]
