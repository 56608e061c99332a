"""The numbers that contenders of `eval log` are given, one row per impression, all as of the last taught evening.

`trees` are the columns of the gradient-boosted baseline: encodings of viewer, video, author, tag and tab out of fold,
rates of the past, every column of the two tables, length and hour. `network` are the ranker's, and fewer: the rates of
the video, the past and the log pooled; what the earlier views expect (`earlier`), which knows the tables' columns; and
of the viewer what the log's earlier *days* said. An encoding out of fold will not do for a viewer of three impressions:
where one of them was long, the other two were less often so, and a model learns that the wrong way round.

Where rates of the past and the log are pooled, weights (PAST, NEW) say how much an event of each is worth; they, and
the strengths, were chosen on 27 and 28 April, never on what is reported.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.adapters.kuairand import ZONE_MS
from holdfast.eval.kuairand import Data
from holdfast.model.features import FOLDS, logit, out_of_fold, rates

Array = NDArray[Any]

PAST, NEW = 0.5, 1.2  # weight of an earlier view and of an impression of the log in a pooled rate
OF_VIEWER, OF_VIDEO, OF_TAG, OF_TABLE = 5.0, 10.0, 50.0, 20.0  # strengths of priors, in events
OF_DAYS = 4.0
HOUR_MS, DAY_MS, ZONE_H = 3_600_000, 86_400_000, 8
TABS = (0, 1, 2, 4, 6)  # of the app, the five with more than a thousand impressions


def folds(data: Data, seed: int) -> Array:
    """Return int[N]: the fold of each impression."""
    return np.random.default_rng(seed).integers(0, FOLDS, len(data.taught))


def trees(data: Data, of: str, seed: int) -> dict[str, Array]:
    """Return the baseline's columns for the action `of` (`long`, `like`), each float64[N]."""
    c, past, fold = data.column, data.past, folds(data, seed)
    video, viewer = c["video"], c["viewer"]
    keys = {"viewer": viewer, "video": video, "author": data.author[video], "tag": data.tag[video], "tab": c["tab"]}
    found = {f"{name} {of}": out_of_fold(key, c[of], data.taught, fold, OF_VIEWER if name == "viewer" else OF_VIDEO)
             for name, key in keys.items()}  # fmt: skip
    for name, key, size, strength in (("viewer", viewer, len(data.viewers), OF_VIEWER),
                                      ("video", video, len(data.videos), OF_TABLE)):  # fmt: skip
        for done in ("long", "like"):
            earlier = rates(past[name], past[done], size, strength if done == "long" else OF_TABLE, past[done].mean())
            found[f"{name} {done} before"] = earlier[key]
        found[f"{name} views before"] = np.bincount(past[name], minlength=size)[key].astype(np.float64)
    found |= {"tab": c["tab"].astype(np.float64), "length": c["length_ms"].astype(np.float64),
              "hour": ((c["time_ms"] // HOUR_MS + ZONE_H) % 24).astype(np.float64)}  # fmt: skip
    found |= {f"viewer's {name}": data.viewers[viewer, i] for i, name in enumerate(data.names[0])}
    found |= {f"video's {name}": data.videos[video, i] for i, name in enumerate(data.names[1])}
    return found


KEPT = ("tab", "length", "hour", "tab long", "video long", "video long before", "viewer long before",
        "viewer views before", "video like before", "viewer like before")  # fmt: skip


def network(data: Data, seed: int, expected: Array) -> dict[str, Array]:
    """Return the ranker's columns, each float64[N] and finite; `expected` float64[N] is of `earlier.expected`."""
    c, fold = data.column, folds(data, seed)
    base = trees(data, "long", seed)
    found = {name: base[name] for name in KEPT} | {"expected": expected}
    for done in ("stay", "skip", "like"):
        found[f"video {done}"] = out_of_fold(c["video"], c[done], data.taught, fold)
    found["video pooled"] = _pooled(data, fold)
    found["viewer lately"], found["viewer lately, n"] = lately(data, c["long"] - base["tab long"])
    found |= {f"tab {tab}": (c["tab"] == tab).astype(np.float64) for tab in TABS}
    return {name: np.nan_to_num(values, nan=-1.0) for name, values in found.items()}


def lately(data: Data, value: Array) -> tuple[Array, Array]:
    """Return, of each row's viewer on the taught days before the row's own, the mean of `value` drawn to 0, and events.

    Asked rows see all taught days and none of theirs.
    """
    c, u = data.column, len(data.viewers)
    day = (c["time_ms"] + ZONE_MS) // DAY_MS
    day = np.where(data.taught, day, day[data.taught].max() + 1)
    mean, n = np.zeros(len(day)), np.zeros(len(day))
    for morning in np.unique(day):
        known, mine = data.taught & (day < morning), day == morning
        count = np.bincount(c["viewer"][known], minlength=u)
        total = np.bincount(c["viewer"][known], value[known], u)
        mean[mine], n[mine] = (total / (count + OF_DAYS))[c["viewer"][mine]], count[c["viewer"][mine]]
    return mean, n


def matrix(columns: dict[str, Array]) -> Array:
    """Return float32[N, F]."""
    return np.column_stack(list(columns.values())).astype(np.float32)


def _pooled(data: Data, fold: Array) -> Array:
    """The log-odds of each video out of the past and the log, drawn to its tag; rows of a fold never saw their own."""
    c, past, v = data.column, data.past, len(data.videos)
    long, shown = np.bincount(past["video"], past["long"], v), np.bincount(past["video"], minlength=v)
    tags = (np.bincount(data.tag, long) + OF_TAG * float(past["long"].mean())) / (np.bincount(data.tag, shown) + OF_TAG)

    def table(rows: Array) -> Array:
        video = c["video"][rows]
        n = PAST * shown + NEW * np.bincount(video, minlength=v)
        return logit((PAST * long + NEW * np.bincount(video, c["long"][rows], v) + OF_VIDEO * tags[data.tag])
                     / (n + OF_VIDEO))  # fmt: skip

    found = table(data.taught)[c["video"]]
    for k in range(FOLDS):
        own = data.taught & (fold == k)
        found[own] = table(data.taught & (fold != k))[c["video"][own]]
    return found
