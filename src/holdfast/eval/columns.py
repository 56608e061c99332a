"""The numbers that contenders of `eval log` are given, one row per impression, all as of the last taught evening.

`trees` are the columns of the gradient-boosted baseline: encodings of viewer, video, author, tag and tab out of fold,
rates of the past, every column of the two tables, length and hour. `network` adds what counters hold beside: the
past and the log pooled into one rate per video and one per viewer, what else was done (stay, skip, like), and how the
viewer met videos of this length, tag and author before.

Where rates of the past and the log are pooled, weights (PAST, NEW) say how much an event of each is worth; they, and
the strengths, were chosen on 27 and 28 April, never on what is reported.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.eval.kuairand import Data
from holdfast.model.features import FOLDS, logit, met, out_of_fold, rates

Array = NDArray[Any]

PAST, NEW = 0.5, 1.2  # weight of an earlier view and of an impression of the log in a pooled rate
OF_VIEWER, OF_VIDEO, OF_TAG, OF_TABLE = 5.0, 10.0, 50.0, 20.0  # strengths of priors, in events
BANDS_MS = (7_000, 18_000, 40_000, 90_000)  # of video length
HOUR_MS, ZONE_H = 3_600_000, 8
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


def network(data: Data, seed: int) -> dict[str, Array]:
    """Return the ranker's columns, each float64[N] and finite: those of `trees` for `long`, and its counters."""
    c, fold = data.column, folds(data, seed)
    video, viewer, tag = c["video"], c["viewer"], data.tag[c["video"]]
    found = trees(data, "long", seed)
    for done in ("stay", "skip", "like"):
        found[f"viewer {done}"] = out_of_fold(viewer, c[done], data.taught, fold, OF_VIEWER)
        found[f"video {done}"] = out_of_fold(video, c[done], data.taught, fold)
        found[f"tag {done}"] = out_of_fold(tag, c[done], data.taught, fold)
    found |= _pooled(data, fold) | _met(data)
    found |= {f"tab {tab}": (c["tab"] == tab).astype(np.float64) for tab in TABS}
    return {name: np.nan_to_num(values, nan=-1.0) for name, values in found.items()}


def matrix(columns: dict[str, Array]) -> Array:
    """Return float32[N, F]."""
    return np.column_stack(list(columns.values())).astype(np.float32)


def _pooled(data: Data, fold: Array) -> dict[str, Array]:
    """One rate per video and one per viewer out of the past and the log; rows of a fold never saw their own."""
    c, past = data.column, data.past
    v, u = len(data.videos), len(data.viewers)
    long, shown = np.bincount(past["video"], past["long"], v), np.bincount(past["video"], minlength=v)
    mean = float(past["long"].mean())
    tags = (np.bincount(data.tag, long) + OF_TAG * mean) / (np.bincount(data.tag, shown) + OF_TAG)
    earlier = rates(past["video"], past["long"], v, OF_TABLE, mean)
    over = np.bincount(past["viewer"], past["long"] - earlier[past["video"]], u)  # beyond what the videos are due
    views = np.bincount(past["viewer"], minlength=u)

    def tables(rows: Array) -> tuple[Array, Array]:
        video, viewer, y = c["video"][rows], c["viewer"][rows], c["long"][rows]
        n = PAST * shown + NEW * np.bincount(video, minlength=v)
        rate = (PAST * long + NEW * np.bincount(video, y, v) + OF_VIDEO * tags[data.tag]) / (n + OF_VIDEO)
        beyond = y - earlier[video] - float((y - earlier[video]).mean())
        n = views + NEW * np.bincount(viewer, minlength=u)
        return logit(rate), (over + NEW * np.bincount(viewer, beyond, u)) / (n + OF_VIEWER)

    of_video, of_viewer = tables(data.taught)
    found = {"video pooled": of_video[c["video"]], "viewer pooled": of_viewer[c["viewer"]]}
    for k in range(FOLDS):
        own = data.taught & (fold == k)
        of_video, of_viewer = tables(data.taught & (fold != k))
        found["video pooled"][own] = of_video[c["video"][own]]
        found["viewer pooled"][own] = of_viewer[c["viewer"][own]]
    return found


def _met(data: Data) -> dict[str, Array]:
    """How this viewer received videos of this length, tag and author in the past, beyond what the videos are due."""
    c, past = data.column, data.past
    earlier = rates(past["video"], past["long"], len(data.videos), OF_TABLE, float(past["long"].mean()))
    beyond = past["long"] - earlier[past["video"]]
    length = data.videos[:, data.names[1].index("video_duration")]
    found: dict[str, Array] = {}
    kinds = (("length", np.digitize(np.nan_to_num(length), BANDS_MS), 5.0), ("tag", data.tag, 3.0),
             ("author", data.author, 1.0))  # fmt: skip
    for name, kind, strength in kinds:
        size = int(kind.max()) + 1
        key, asked = past["viewer"] * size + kind[past["video"]], c["viewer"] * size + kind[c["video"]]
        found[f"viewer with {name}"], found[f"viewer with {name}, n"] = met(key, beyond, asked, strength)
    newest = past["back"] <= 10
    found["viewer's last ten"], _ = met(past["viewer"][newest], beyond[newest], c["viewer"], 3.0)
    return found
