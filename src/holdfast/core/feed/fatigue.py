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
from holdfast.core.feed.viewer import History

Array = NDArray[Any]

FADE_US = 4 * 3600 * 1_000_000  # half-life
FREE = 2.0  # unmoved showings that tire nobody
TIRED_BY = 8.0
HELD = 0.9  # weight in the history from which a showing held the viewer: a long view, or anything beyond
HELD_CLEARS = 2.0


def tired(rows: Array, history: History, catalogue: Catalogue, now_us: int) -> Array | None:
    """Return float32[K] in 0..1: how tired the viewer is of each row's creator or topic; None if of none."""
    if history.stamps.size != history.rows.size or history.rows.size <= FREE:
        return None
    fade = np.exp2(-np.maximum(now_us - history.stamps, 0) / FADE_US)
    moved = np.where(history.weights >= HELD, -HELD_CLEARS, 1.0) * fade
    of_topic = _level(catalogue.tag_rows[history.rows, 0], moved, catalogue.tag_rows[rows, 0])
    of_creator = _level(catalogue.creator[history.rows], moved, catalogue.creator[rows])
    level = np.maximum(of_topic, of_creator)
    return level.astype(np.float32) if level.any() else None


def _level(met: Array, moved: Array, asked: Array) -> Array:
    """Return float64[K]: the level of each `asked` number, from float[H] `moved` of the numbers met; −1 is none."""
    level = moved @ ((met[:, None] == asked) & (asked >= 0))
    return np.clip((level - FREE) / (TIRED_BY - FREE), 0.0, 1.0)
