"""What the earlier views expect of an impression: boosted trees over all of them, each view as of its own moment.

A log of a few days teaches little about whom a long or a sad video holds: a viewer has three impressions in it. The
earlier views say less of each view (no tab, no hour, no dwell) and there are fifteen times as many. So trees learn from
them first, and what they expect of an impression is one number among the columns of the ranker (stacking; Wolpert
1992). Of all that was tried on the folds this helped most: AUC +.002, and the many columns of viewers and videos, which
the log is too short for, are no longer needed beside it.

A view is told what its viewer had done *before* it, never after (ordered target statistics; Prokhorenkova et al.,
NeurIPS 2018): a rate out of fold falls within a viewer exactly where the label rises, and a model believes that.
Rates of videos are of other viewers. Impressions are told of the whole past. No outcome of the log is read.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.eval.kuairand import Data
from holdfast.model.features import logit

Array = NDArray[Any]

OF_VIDEO, OF_TAG, OF_VIEWER = 20.0, 50.0, 5.0  # strengths of priors, in views
BANDS_MS = (7_000, 18_000, 40_000, 90_000)  # of video length
FADES = (0.85, 0.5)  # of a viewer's newest views, per view
VIEWER_FOLDS = 10
LEAST = 5  # views of a viewer before the first that teaches
ROWS_MAX = 350_000  # views taught: half of them; more were not tried


def expected(data: Data, seed: int) -> Array:
    """Return float64[N]: the log-odds of a long view of each impression, as the earlier views have it."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    table, long, views = _table(data, seed)
    some = np.flatnonzero(views[: len(long)] >= LEAST)
    some = np.random.default_rng(seed).permutation(some)[:ROWS_MAX]
    if not 0 < long[some].sum() < len(some):
        return np.zeros(len(data.taught))  # a past that tells nothing
    model = HistGradientBoostingClassifier(
        learning_rate=0.05, max_leaf_nodes=31, max_iter=300, l2_regularization=1.0, min_samples_leaf=200,
        early_stopping=False, random_state=seed,  # type: ignore[arg-type]
    )  # fmt: skip
    model.fit(table[some], long[some])
    return logit(model.predict_proba(table[len(long) :])[:, 1])


def _table(data: Data, seed: int) -> tuple[Array, Array, Array]:
    """Return float32[M + N, F] of views and impressions, float64[M] which views were long, and [M + N] views before."""
    past, c = data.past, data.column
    m = len(past["viewer"])
    viewer, video = np.r_[past["viewer"], c["viewer"]], np.r_[past["video"], c["video"]]
    fold = np.random.default_rng(seed).integers(0, VIEWER_FOLDS, len(data.viewers))[viewer]
    fold[m:] = VIEWER_FOLDS
    of_videos = [_of_videos(data, fold[:m] != k) for k in range(VIEWER_FOLDS + 1)]
    rate, like, author, tag, shown = np.stack(of_videos)[fold, :, video].T
    beyond = np.zeros(m + len(c["viewer"]))
    beyond[:m] = past["long"] - rate[:m]
    views = np.zeros(len(beyond))
    views[:m] = 1.0
    length = np.digitize(np.nan_to_num(data.videos[:, data.names[1].index("video_duration")]), BANDS_MS)
    found = [logit(rate), logit(like), logit(author), logit(tag), np.log1p(shown)]
    kinds = ((np.zeros(len(data.videos), np.int64), OF_VIEWER), (length, 5.0), (data.tag, 3.0), (data.author, 1.0),
             (np.arange(len(data.videos)), 1.0))  # fmt: skip
    for kind, strength in kinds:
        key = viewer * (int(kind.max()) + 1) + kind[video]
        n = before(key, views)
        found += [before(key, beyond) / (n + strength), n]
    n = before(viewer, views)
    found += [before(viewer, np.r_[past["like"], 0 * c["like"]]) / (n + OF_VIEWER)]
    found += [(before(viewer, rate * views) + 2 * float(past["long"].mean())) / (n + 2)]  # what the viewer was shown
    found += [_faded(viewer, beyond, m, fade) for fade in FADES]
    found += [*data.viewers[viewer].T, *data.videos[video].T]
    return np.column_stack(found).astype(np.float32), past["long"], n


def _of_videos(data: Data, rows: Array) -> Array:
    """Return float64[5, V] of the views `rows` (bool[M]): rate of long, of like, of the author, of the tag; views."""
    past, v = data.past, len(data.videos)
    video, mean = past["video"][rows], float(past["long"][rows].mean())
    n, long = np.bincount(video, minlength=v), np.bincount(video, past["long"][rows], v)
    liked = np.bincount(video, past["like"][rows], v)

    def pooled(kind: Array, strength: float) -> Array:
        return ((np.bincount(kind, long) + strength * mean) / (np.bincount(kind, n) + strength))[kind]

    tag = pooled(data.tag, OF_TAG)
    rate = (long + OF_VIDEO * tag) / (n + OF_VIDEO)
    like = (liked + OF_VIDEO * float(past["like"][rows].mean())) / (n + OF_VIDEO)
    return np.stack([rate, like, pooled(data.author, OF_VIDEO), tag, n.astype(np.float64)])


def before(key: Array, value: Array) -> Array:
    """Return float64[N]: of each row the sum of `value` over the rows above it with the same key."""
    order = np.argsort(key, kind="stable")
    k, v = key[order], value[order].astype(np.float64)
    start = np.r_[True, k[1:] != k[:-1]]
    total = np.cumsum(v) - v
    found = np.empty(len(k))
    found[order] = total - total[np.flatnonzero(start)[np.cumsum(start) - 1]]
    return found


def _faded(viewer: Array, value: Array, m: int, fade: float) -> Array:
    """Return [M + N]: the mean of each viewer's values so far, the newest weighing most; rows from `m` on add none."""
    order = np.argsort(viewer[:m], kind="stable")
    mine = viewer[:m][order]
    place = np.empty(m, np.int64)
    place[order] = np.arange(m) - np.searchsorted(mine, mine)
    total, weight = np.zeros(int(viewer.max()) + 1), np.zeros(int(viewer.max()) + 1)
    found = np.empty(len(viewer))
    by_place = np.argsort(place, kind="stable")
    for rows in np.split(by_place, np.flatnonzero(np.diff(place[by_place])) + 1):  # at most 50: one view of each viewer
        u = viewer[rows]
        found[rows] = total[u] / (weight[u] + 3)
        total[u] = fade * total[u] + value[rows]
        weight[u] = fade * weight[u] + 1
    found[m:] = total[viewer[m:]] / (weight[viewer[m:]] + 3)
    return found
