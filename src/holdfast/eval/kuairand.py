"""KuaiRand as an evaluation wants it: what was known before the split, what came after, names as places in tables.

    past (9–24 April, in order, no times) ─┐
    log up to `train_until`  ──────────────┴─► taught            log after it, or another file ──► asked

Nothing after the split reaches a number: rates, encodings, bins and weights are those of the last taught evening, as a
model retrained each night would have them. A day is a day of UTC+8 by `time_ms`.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.adapters import kuairand
from holdfast.adapters.kuairand import Log, Past
from holdfast.core.errors import Refused
from holdfast.core.feed.actions import is_glance
from holdfast.model.features import within_length

Array = NDArray[Any]
EPOCH = date(1970, 1, 1)
TEST_DAYS = 2  # the last two days of DIR are asked where nothing else is said


@dataclass(frozen=True, slots=True)
class Data:
    """Impressions (N rows, taught before asked), the past (M events, each viewer's oldest first), and two tables.

    `viewer`, `video` int64 are places in `viewers` float64[U, ·] and `videos` float64[V, ·], whose columns are named;
    NaN where a column is empty or the viewer or video is in no table. `author`, `tag` int64[V].
    """

    column: Mapping[str, Array]  # of N: viewer, video, time_ms, tab, length_ms, long, like, share, …, stay (0..1)
    taught: Array  # bool[N]
    past: Mapping[str, Array]  # of M: viewer, video, long, like
    viewers: Array
    videos: Array
    names: tuple[tuple[str, ...], tuple[str, ...]]
    author: Array
    tag: Array
    split: Mapping[str, Any]


def load(folder: Path, train_until: date | None, test: Path | None) -> Data:
    """Read DIR and split it. Raises Refused: a file that is not sound (with its line), or a side of the split empty."""
    log = kuairand.read_log(folder / kuairand.LOG)
    pasts = kuairand.read_pasts(folder / kuairand.HISTORY)
    tables = (kuairand.read_table(folder / kuairand.VIEWERS, "user_id"),
              kuairand.read_videos(folder))  # fmt: skip
    last = EPOCH + timedelta(days=int(log.days()[-1]))
    until = train_until or (last if test else last - timedelta(days=TEST_DAYS))
    before = log.days() <= (until - EPOCH).days
    after = kuairand.read_log(test) if test else log
    asked = after.take(after.days() > (until - EPOCH).days)
    taught = log.take(before)
    if not len(taught) or not len(asked):
        side = "to learn from" if not len(taught) else "to be asked"
        first = EPOCH + timedelta(days=int(log.days()[0]))
        raise Refused(f"nothing {side}: the split is after {until}, the log goes from {first} to {last}",
                      field="train_until", hint="choose a day inside the log, or a --test file after it")  # fmt: skip
    split = _split(taught, asked, until, log.repeats + (after.repeats if test else 0))
    return _data(taught, asked, pasts, tables, split)


def _split(taught: Log, asked: Log, until: date, repeats: int) -> dict[str, Any]:
    digest = hashlib.sha256()
    for side in (taught, asked):
        for name in ("user_id", "video_id", "time_ms"):
            digest.update(np.ascontiguousarray(side.column[name], "<i8").tobytes())
        digest.update(b"|")
    days = [str(EPOCH + timedelta(days=int(d))) for d in (asked.days()[0], asked.days()[-1])]
    return {"train_until": str(until), "test_from": days[0], "test_until": days[1], "trained_on": len(taught),
            "tested_on": len(asked), "repeats_left_out": repeats, "digest": digest.hexdigest()}  # fmt: skip


def _data(
    taught: Log, asked: Log, pasts: list[Past], tables: tuple[dict[int, dict[str, Any]], ...], split: dict[str, Any]
) -> Data:
    raw = {name: np.concatenate([taught.column[name], asked.column[name]]) for name in kuairand.NEEDED}
    past = _past(pasts)
    places = []
    for key, table in (("user_id", tables[0]), ("video_id", tables[1])):
        mine = past["viewer" if key == "user_id" else "video"]
        known = np.unique(np.concatenate([raw[key], mine, np.array(sorted(table), np.int64)]))
        places.append((known, _table(known, table, key)))
    viewers, videos = places[0], places[1]
    text: Callable[[str], Array] = lambda name: np.unique(  # noqa: E731
        [tables[1].get(int(i), {}).get(name, "") for i in videos[0]], return_inverse=True
    )[1]
    for name, known in (("viewer", viewers[0]), ("video", videos[0])):
        past[name] = np.searchsorted(known, past[name])
    side = np.arange(len(taught) + len(asked)) < len(taught)
    return Data(_columns(raw, side, viewers[0], videos[0]), side, past, viewers[1][1], videos[1][1],
                (viewers[1][0], videos[1][0]), text("author_id"), text("tag"), split)  # fmt: skip


def _columns(raw: dict[str, Array], side: Array, viewers: Array, videos: Array) -> dict[str, Array]:
    dwell, length = raw["play_time_ms"], raw["duration_ms"]
    glance = [is_glance(int(d), int(n)) for d, n in zip(dwell, length, strict=True)]
    stay = np.empty(len(dwell))
    for mine in (side, ~side):  # a quantile among its own side: the test tells the taught nothing
        stay[mine] = within_length(dwell[mine], length[mine])
    return {
        "viewer": np.searchsorted(viewers, raw["user_id"]), "video": np.searchsorted(videos, raw["video_id"]),
        "time_ms": raw["time_ms"], "tab": raw["tab"], "length_ms": length, "dwell_ms": dwell,
        "stay": stay, "skip": np.array(glance, np.float64),
        **{name: raw[column].astype(np.float64) for name, column in (
            ("long", "long_view"), ("like", "is_like"), ("share", "is_forward"), ("follow", "is_follow"),
            ("comment", "is_comment"), ("hide", "is_hate"))},
    }  # fmt: skip


def _past(pasts: list[Past]) -> dict[str, Array]:
    """Flatten the earlier views: their order is known, their times are not."""
    rows: list[tuple[int, int, bool, bool]] = []
    for p in pasts:
        long, liked = set(p.long_watch_seq), set(p.like_seq)
        rows += [(p.user_id, video, video in long, video in liked) for video in p.watch_seq]
    table = np.array(rows, np.int64)
    names = ("viewer", "video", "long", "like")
    return {n: table[:, i].astype(np.float64 if n in ("long", "like") else np.int64) for i, n in enumerate(names)}


def _table(known: Array, table: dict[int, dict[str, Any]], key: str) -> tuple[tuple[str, ...], Array]:
    """Columns as numbers; one that holds words becomes the place of each word in their order, NaN where empty."""
    names = tuple(name for name in next(iter(table.values())) if name != key)
    columns: list[Array] = []
    for name in names:
        texts = [table.get(int(i), {}).get(name) or "" for i in known]
        try:
            columns.append(np.array([float(t) if t else np.nan for t in texts]))
        except ValueError:
            words, place = np.unique(texts, return_inverse=True)
            columns.append(np.where(np.array(texts) == "", np.nan, place.astype(np.float64)))
            assert len(words)
    return names, np.column_stack(columns)
