"""The KuaiRand-Pure log as a replay wants it: impressions in time order, each viewer's earlier views, the videos.

`adapters.kuairand` reads the files and knows their traps. The earlier views have an order but no times; they are spaced
HISTORY_STEP_MS apart, ending at the time of the last.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.adapters import kuairand

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


def item_of(video: int) -> str:
    """Name a video of the log as an item."""
    return f"kuairand-{video}"


def videos(folder: Path) -> list[dict[str, Any]]:
    """Return the videos as items for `PUT /v1/items`. Raises Refused if the file is not there or not sound."""
    items: list[dict[str, Any]] = []
    for video, row in kuairand.read_videos(folder).items():
        tags = [f"tag-{tag}" for tag in row["tag"].split(",") if tag.strip().isdigit()]
        duration = min(int(float(row["video_duration"] or 0)), DWELL_MAX_MS)
        items.append({"item": item_of(video), "creator": f"author-{row['author_id']}", "tags": tags[:12],
                      "duration_ms": duration})  # fmt: skip
    return items


def impressions(folder: Path, limit: int | None) -> list[Shown]:
    """Return the first `limit` impressions in time order, each once. Raises Refused with the line of a fault."""
    names = ("time_ms", "user_id", "video_id", "long_view", "is_like", "is_hate", "play_time_ms", "duration_ms")
    column = kuairand.read_log(folder / kuairand.LOG).column
    rows = [
        Shown(at, user, item_of(video), long == 1, like == 1, hate == 1, min(dwell, DWELL_MAX_MS),
              min(length, DWELL_MAX_MS))
        for at, user, video, long, like, hate, dwell, length in zip(*(column[n].tolist() for n in names), strict=True)
    ]  # fmt: skip
    return sorted(rows, key=lambda s: (s.time_ms, s.user, s.item, s.dwell_ms))[:limit]


def pasts(folder: Path, users: set[int]) -> Iterator[list[Shown]]:
    """Yield each viewer's earlier views, oldest first, in the order of their last time."""
    found = [past for past in kuairand.read_pasts(folder / kuairand.HISTORY) if past.user_id in users]
    for past in sorted(found, key=lambda p: p.last_time_ms):
        long, liked, n = set(past.long_watch_seq), set(past.like_seq), len(past.watch_seq)
        yield [
            Shown(past.last_time_ms - (n - 1 - i) * HISTORY_STEP_MS, past.user_id, item_of(video), video in long,
                  video in liked, False, STAYED_MS * (5 if video in long else 1), 5 * STAYED_MS)
            for i, video in enumerate(past.watch_seq)
        ]  # fmt: skip
