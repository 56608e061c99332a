"""The KuaiRand-Pure files as columns: impressions, each viewer's earlier views, viewers, videos; checked line by line.

Its traps, and what is done: `hourmin` and `date` are rounded up, so time is `time_ms` and a day is a day of UTC+8;
rows repeat by (viewer, video, time) and count once, the first; a duration may be 0 and people watch longer than a video
lasts (loops), which is kept; a play of 0 ms is an impression like any other. Earlier views have an order, no times.

A file that cannot be trusted is refused with its line: a missing column, a value of the wrong type, a time before the
line above, an unknown column count, no rows at all.
"""

import csv
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import msgspec
import numpy as np

from holdfast.core.errors import Refused

LOG = "log_standard_2022-04-25_to_04-30.csv.xz"
HISTORY = "user_history_2022-04-09_to_04-24.jsonl.xz"
VIDEOS = "video_features_basic_pure.csv.xz"
VIEWERS = "user_features_pure.csv.xz"
ZONE_MS = 8 * 3_600_000  # its days are days of Beijing
NEEDED = ("user_id", "video_id", "time_ms", "is_like", "is_follow", "is_comment", "is_forward", "is_hate",
          "long_view", "play_time_ms", "duration_ms", "tab")  # fmt: skip
FLAGS = ("is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view")
WHOLE_MAX = 2**53  # larger is not a time or an id of this log


class Past(msgspec.Struct):
    """A viewer's earlier views, oldest first; which of the videos were liked and watched long."""

    user_id: int
    last_time_ms: int
    watch_seq: list[int]
    like_seq: list[int]
    long_watch_seq: list[int]


@dataclass(frozen=True, slots=True)
class Log:
    """Impressions in time order. `column[name]` is int64[N] for each of NEEDED; `repeats` rows were left out."""

    column: Mapping[str, np.ndarray]
    repeats: int

    def __len__(self) -> int:
        return len(self.column["time_ms"])

    def days(self) -> np.ndarray:
        """Return int64[N]: days since 1970 in UTC+8."""
        return (self.column["time_ms"] + ZONE_MS) // 86_400_000

    def take(self, rows: np.ndarray) -> "Log":
        """Return the impressions of `rows` (a mask or places)."""
        return Log({name: values[rows] for name, values in self.column.items()}, 0)


def opened(path: Path) -> TextIO:
    """Open a text file, `.xz` or plain. Raises Refused if it is not there."""
    try:
        return lzma.open(path, "rt", newline="") if path.suffix == ".xz" else path.open(newline="")
    except OSError as e:
        raise Refused(f"{path} cannot be read: {e}", field="source", hint="DIR is kuairand-pure") from e


def _fault(path: Path, line: int, what: str, hint: str = "") -> Refused:
    return Refused(f"{path.name}, line {line}: {what}", field="source", hint=hint or "the columns are KuaiRand's")


def rows_of(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, row) of a CSV file with a heading. Raises Refused: not text, columns missing, a row cut."""
    with opened(path) as f:
        try:
            reader = csv.DictReader(f)
            missing = [name for name in needed if name not in (reader.fieldnames or [])]
            if missing:
                raise _fault(path, 1, f"no column {', '.join(f'`{m}`' for m in missing)}")
            for row in reader:
                if None in row or any(row[name] is None for name in needed):
                    raise _fault(path, reader.line_num, f"has not the {len(reader.fieldnames or [])} values of line 1")
                yield reader.line_num, row
        except (UnicodeDecodeError, lzma.LZMAError, EOFError, csv.Error) as e:
            raise Refused(f"{path.name} is damaged: {e}", field="source", hint="fetch it again") from e


def _whole(path: Path, line: int, name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise _fault(path, line, f"`{name}` is {text[:40]!r}, not a whole number") from None
    if not 0 <= value <= (1 if name in FLAGS else WHOLE_MAX):
        raise _fault(path, line, f"`{name}` is {value}: {'0 or 1' if name in FLAGS else 'out of range'}")
    return value


def _length(path: Path, line: int, name: str, text: str) -> None:
    try:
        sound = not text or 0 <= float(text) <= WHOLE_MAX
    except ValueError:
        sound = False
    if not sound:
        raise _fault(path, line, f"`{name}` is {text[:40]!r}, not a length")


def read_log(path: Path) -> Log:
    """Read impressions, each (viewer, video, time) once. Raises Refused with the line of the first fault."""
    found: list[list[int]] = []
    known: set[tuple[int, int, int]] = set()
    before = repeats = 0
    for line, row in rows_of(path, NEEDED):
        values = [_whole(path, line, name, row[name]) for name in NEEDED]
        at = values[2]
        if at < before:
            raise _fault(path, line, f"time {at} is before the line above ({before})", "sort the rows by `time_ms`")
        before = at
        key = (values[0], values[1], at)
        if key in known:
            repeats += 1
            continue
        known.add(key)
        found.append(values)
    if not found:
        raise _fault(path, 1, "no impressions follow")
    table = np.array(found, np.int64)
    return Log({name: table[:, i].copy() for i, name in enumerate(NEEDED)}, repeats)


def read_videos(folder: Path) -> dict[int, dict[str, Any]]:
    """Return `read_table` of the videos. Raises Refused also without author, tag, or a length that is none."""
    return read_table(folder / VIDEOS, "video_id", needed=("author_id", "tag"), lengths=("video_duration",))


def read_table(
    path: Path, key: str, *, needed: tuple[str, ...] = (), lengths: tuple[str, ...] = ()
) -> dict[int, dict[str, Any]]:
    """Return `{id: {column: text}}` of a feature file; `lengths` are columns of numbers from 0, or empty.

    Raises Refused: a column missing, a value that is none, an id that is no number or is there twice.
    """
    found: dict[int, dict[str, Any]] = {}
    for line, row in rows_of(path, (key, *needed, *lengths)):
        for column in lengths:
            _length(path, line, column, row[column])
        name = _whole(path, line, key, row[key])
        if name in found:
            raise _fault(path, line, f"`{key}` {name} stands in the file twice")
        found[name] = dict(row)
    if not found:
        raise _fault(path, 1, "no rows follow")
    return found


def read_pasts(path: Path) -> list[Past]:
    """Return each viewer's earlier views. Raises Refused with the line that is not one."""
    found: list[Past] = []
    known: set[int] = set()
    with opened(path) as f:
        try:
            for line, text in enumerate(f, 1):
                try:
                    past = msgspec.json.decode(text, type=Past)
                except msgspec.MsgspecError as e:
                    raise _fault(path, line, str(e)) from None
                if past.user_id in known:
                    raise _fault(path, line, f"`user_id` {past.user_id} stands in the file twice")
                known.add(past.user_id)
                found.append(past)
        except (UnicodeDecodeError, lzma.LZMAError, EOFError) as e:
            raise Refused(f"{path.name} is damaged: {e}", field="source", hint="fetch it again") from e
    if not found:
        raise _fault(path, 1, "no viewers follow")
    return found
