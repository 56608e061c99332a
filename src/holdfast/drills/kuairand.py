"""The KuaiRand-Pure log as it lies on disk: impressions in time order, each viewer's earlier views, the videos.

Its traps: `hourmin` is rounded, so time is `time_ms`; rows repeat by (viewer, video, time) and count once; a duration
may be 0, and people watch longer than a video lasts (loops). The earlier views have an order but no times; they are
spaced HISTORY_STEP_MS apart, ending at the time of the last.
"""

import csv
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from holdfast.core.errors import Refused

LOG = "log_standard_2022-04-25_to_04-30.csv.xz"
HISTORY = "user_history_2022-04-09_to_04-24.jsonl.xz"
VIDEOS = "video_features_basic_pure.csv.xz"
HISTORY_STEP_MS = 60_000
DWELL_MAX_MS = 3_600_000
STAYED_MS = 5_000  # an earlier view that was not long: how long is not known


@dataclass(frozen=True, slots=True)
class Shown:
    """One impression. Times and dwell in milliseconds; `long` is the log's own verdict."""

    time_ms: int
    user: int
    item: str
    long: bool
    like: bool
    hate: bool
    dwell_ms: int
    duration_ms: int


class _Past(msgspec.Struct):
    user_id: int
    last_time_ms: int
    watch_seq: list[int]
    like_seq: list[int]
    long_watch_seq: list[int]


def item_of(video: int) -> str:
    """Name a video of the log as an item."""
    return f"kuairand-{video}"


def _open(folder: Path, name: str) -> Any:
    try:
        return lzma.open(folder / name, "rt", newline="")
    except OSError as e:
        raise Refused(f"{folder / name} cannot be read: {e}", field="source", hint="DIR is kuairand-pure") from e


def videos(folder: Path) -> list[dict[str, Any]]:
    """Return the videos as items for `PUT /v1/items`. Raises Refused if the file is not there."""
    items: list[dict[str, Any]] = []
    with _open(folder, VIDEOS) as f:
        for row in csv.DictReader(f):
            tags = [f"tag-{tag}" for tag in row["tag"].split(",") if tag.strip().isdigit()]
            duration = min(int(float(row["video_duration"] or 0)), DWELL_MAX_MS)
            items.append({"item": item_of(int(row["video_id"])), "creator": f"author-{row['author_id']}",
                          "tags": tags[:12], "duration_ms": duration})  # fmt: skip
    return items


def impressions(folder: Path, limit: int | None) -> list[Shown]:
    """Return the first `limit` impressions in time order, each once."""
    with _open(folder, LOG) as f:
        rows = {
            Shown(
                int(r["time_ms"]), int(r["user_id"]), item_of(int(r["video_id"])), r["long_view"] == "1",
                r["is_like"] == "1", r["is_hate"] == "1", min(int(r["play_time_ms"]), DWELL_MAX_MS),
                min(int(r["duration_ms"]), DWELL_MAX_MS),
            )
            for r in csv.DictReader(f)
        }
    return sorted(rows, key=lambda s: (s.time_ms, s.user, s.item, s.dwell_ms))[:limit]


def pasts(folder: Path, users: set[int]) -> Iterator[list[Shown]]:
    """Yield each viewer's earlier views, oldest first, in the order of their last time."""
    with _open(folder, HISTORY) as f:
        found = [past for line in f if (past := msgspec.json.decode(line, type=_Past)).user_id in users]
    for past in sorted(found, key=lambda p: p.last_time_ms):
        long, liked, n = set(past.long_watch_seq), set(past.like_seq), len(past.watch_seq)
        yield [
            Shown(past.last_time_ms - (n - 1 - i) * HISTORY_STEP_MS, past.user_id, item_of(video), video in long,
                  video in liked, False, STAYED_MS * (5 if video in long else 1), 5 * STAYED_MS)
            for i, video in enumerate(past.watch_seq)
        ]  # fmt: skip
