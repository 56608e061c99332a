"""Signals: the numbers that stand beside a viewer's sequence when the network ranks, as of the moment of a slate.

They are read from what the folds hold anyway (counters of a video, the viewer's own history), so a node that serves and
a learner that folds the chain to the same watermark compute the same ones; there is no second store to keep in step.
They are rounded to fixed point *before* they are used, and the slate's entry carries them exactly: what is trained on
is what was served.

LINEAR's score is one of them. It follows what was watched minutes ago in closed form, so the network starts no worse
than LINEAR and learns when to believe it.

`TABLE` names the columns in order, with the range over which the ranker's bins are spread.
"""

import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import HEAT_HALF_LIFE_US, Catalogue
from holdfast.core.feed import value
from holdfast.core.feed.pasts import Met, Pasts, together
from holdfast.core.feed.viewer import History

Array = NDArray[Any]

TABLE: tuple[tuple[str, float, float], ...] = (
    ("linear", -1.0, 2.0),  # asinh(1000 × LINEAR's score) / 4: scores are of the order of 1/n
    ("taste", -1.0, 1.0),  # how the viewer received the video's tags (core.feed.value)
    ("creator_taste", -1.0, 1.0),  # the same of its creator
    ("heat", 0.0, 3.0),  # asinh of what this place likes now
    ("long_rate", 0.0, 1.0),  # of the video, faded, drawn towards PRIOR_LONG
    ("like_rate", 0.0, 0.3),
    ("views", 0.0, 10.0),  # log(1 + showings)
    ("age", 0.0, 8.0),  # log(1 + hours since publication)
    ("length", 0.0, 5.0),  # log(1 + seconds)
    ("tag_met", 0.0, 3.0),  # log(1 + videos of its tags in the history, their mean)
    ("creator_met", 0.0, 3.0),
    ("viewer_long", 0.0, 1.0),  # share of the history watched long or more
    ("viewer_hides", 0.0, 0.3),
    ("viewer_events", 0.0, 4.0),  # log(1 + videos in the history)
    ("position", 0.0, 5.0),  # log(1 + place), in training only: every candidate is scored as if it stood first
)
NAMES = tuple(name for name, _, _ in TABLE)
WIDTH = len(TABLE)
UNIT = 1000  # fixed point; int16 holds ±32.7
LINEAR_UNIT = 1000.0
PRIOR_LONG, PRIOR_LIKE = 0.3, 0.02
PRIOR_VIEWS = 5.0

# actions as numbers, for the network's embedding; 0 is padding
ACTIONS = {"glance": 1, "view": 2, "long": 3, "like": 4, "share": 5, "comment": 6, "skip": 7, "hide": 8}
_CODE = defaultdict(int, ACTIONS)  # 0: an act that is none of these is read as a view, whatever its weight
DWELLS = 16  # buckets of the share watched: 0 not known, 1 a play of zero length, then eighths; above 1 the loops
GAPS = 32  # buckets of the time since the act before: half powers of two of a second


def signals(history: History, rows: Array, linear: Array, catalogue: Catalogue) -> Array:
    """Return int16[K, F] in fixed point for int64[K] rows. `linear`: float32[K] scores of LINEAR, 0 without one."""
    return each([history], [rows], [linear], catalogue)[0]


def each(
    histories: Sequence[History], rows: Sequence[Array], linear: Sequence[Array], catalogue: Catalogue
) -> list[Array]:
    """Return `signals` of one or more viewers, made at once: a video's own numbers are the same whoever may get it."""
    c, now_us = catalogue, catalogue.newest_us
    counts = [r.size for r in rows]
    at = np.concatenate(rows)
    whose = np.repeat(np.arange(len(rows)), counts)
    tags, creator = c.tag_rows[at], c.creator[at]
    some = np.maximum((tags >= 0).sum(1), 1)
    fade = 2.0 ** max(-1000.0, (c.landmark_us - now_us) / HEAT_HALF_LIFE_US)
    warm_long, warm_likes = c.warm_long[at], c.warm_likes[at]
    views = c.warm_views[at] * fade + PRIOR_VIEWS
    heat = (warm_long + 3.0 * warm_likes) * fade / np.sqrt(views)
    past = together(histories)
    makers = Met(past.whose, c.creator[past.rows], len(c.creators.all))
    by, often = makers.find(whose, creator), makers.sums()
    kinds = np.where(tags >= 0, tags, len(c.tags.all))  # the last entry is "none"
    table = np.zeros((at.size, WIDTH))
    table[:, 0] = np.arcsinh(LINEAR_UNIT * np.concatenate(linear)) / 4
    table[:, 3] = np.arcsinh(np.maximum(heat, 0.0))
    table[:, 4] = (warm_long * fade + PRIOR_LONG * PRIOR_VIEWS) / views
    table[:, 5] = (np.maximum(warm_likes, 0.0) * fade + PRIOR_LIKE * PRIOR_VIEWS) / views
    table[:, 6] = np.log1p(c.shown_views[at] + c.foreign_views[at])
    table[:, 7] = np.log1p(np.maximum(now_us - c.published[at], 0) / 3.6e9)
    table[:, 8] = np.log1p(c.length_ms[at] / 1000)
    table[:, 1] = value.tastes_of(past, c)[whose[:, None], kinds].sum(1) / some
    table[:, 2] = (makers.sums(past.weights - value.NEUTRAL) / (often + value.TASTE_PRIOR))[by]
    table[:, 9] = np.log1p(_tags_met(past, c)[whose[:, None], kinds].sum(1) / some)
    table[:, 10] = np.log1p(often[by])
    table[:, 11:14] = np.array([_manner(history) for history in histories]).reshape(-1, 3)[whose]
    table *= UNIT
    fixed = np.clip(np.rint(table, out=table), -32_000, 32_000, out=table).astype(np.int16)
    return np.split(fixed, np.cumsum(counts)[:-1])


def _manner(history: History) -> tuple[float, float, float]:
    """The share of a history watched long or more, the share hidden, and log(1 + its videos)."""
    h = history.rows.size
    if not h:
        return PRIOR_LONG, 0.0, 0.0
    return float((history.weights >= 1.0).mean()), float((history.weights < -1.0).mean()), float(np.log1p(h))


def placed(fixed: Array) -> Array:
    """Return int16[K, F] of a slate in its order, with each one's place filled in: as training reads it."""
    out = fixed.copy()
    out[:, -1] = np.rint(np.log1p(np.arange(len(fixed))) * UNIT)
    return out


def floats(fixed: Array) -> Array:
    """Return float32[…, F] as the ranker reads them."""
    return fixed.astype(np.float32) / np.float32(UNIT)


def pack(fixed: Array) -> bytes:
    """Return the bytes that a slate's entry carries of int16[K, F]."""
    return fixed.astype("<i2").tobytes()


def unpack(data: bytes, count: int) -> Array | None:
    """Return int16[count, F] of a slate's entry; None if it carries none, or of another table."""
    if len(data) != 2 * count * WIDTH:
        return None
    return np.frombuffer(data, "<i2").reshape(count, WIDTH).astype(np.int16)


def edges(bins: int) -> Array:
    """Return float32[F, bins + 1]: the ranker's bins, spread evenly over each signal's range."""
    return np.stack([np.linspace(low, high, bins + 1) for _, low, high in TABLE]).astype(np.float32)


def _tags_met(past: Pasts, c: Catalogue) -> Array:
    """How often each viewer met each tag, int64[B, tags + 1]; the last entry is "none"."""
    tags, shape = c.tag_rows[past.rows], (len(past.counts), len(c.tags.all) + 1)
    event, slot = np.nonzero(tags >= 0)
    at = past.whose[event] * shape[1] + tags[event, slot]
    return np.bincount(at, minlength=shape[0] * shape[1]).reshape(shape)


def acts(past: Pasts) -> tuple[Array, Array, Array]:
    """Return (action, dwell, gap) of each event, int32[N] each, as the network's buckets."""
    action = np.array([*map(_CODE.__getitem__, past.actions)], np.int32)
    viewed = action == ACTIONS["view"]
    action[viewed & (past.weights >= 1.0)] = ACTIONS["long"]
    action[viewed & (past.weights < 0)] = ACTIONS["glance"]
    action[action == 0] = ACTIONS["view"]
    eighths = 2 + np.clip((past.shares * 8).astype(np.int32), 0, DWELLS - 3)
    dwell = np.where(past.shares < 0, 0, np.where(past.shares == 0, 1, eighths)).astype(np.int32)
    seconds = np.maximum(np.diff(past.stamps, prepend=0), 0) / 1e6
    gap = 1 + np.clip((2 * np.log2(1 + seconds)).astype(np.int32), 0, GAPS - 2)
    first = np.diff(past.whose, prepend=-1) > 0
    gap[first | ~past.timed] = 0
    return action, dwell, gap


def digest(history: History, catalogue: Catalogue) -> int:
    """Return a digest of what the network reads of a history, 1 … 2³²: equal where serving and learning agree."""
    return digests([history], catalogue)[0]


def digests(histories: Sequence[History], catalogue: Catalogue) -> list[int]:
    """Return the `digest` of each history."""
    past = together(histories)
    read, codes = catalogue.hashed[past.rows], np.stack(acts(past)).astype("<i4")
    ends = np.cumsum(past.counts).tolist()
    return [
        zlib.crc32(read[end - k : end].tobytes() + codes[:, end - k : end].tobytes()) + 1
        for k, end in zip(past.counts, ends, strict=True)
    ]
