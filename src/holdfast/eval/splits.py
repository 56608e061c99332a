"""Read sequences and hold the end of each out: the last item is the test, the one before it chooses, the rest teaches.

Three layouts are read, plain or `.xz`, fields apart by blanks, commas or tabs:

    sequences   12 7 901 33            a line is one viewer's items, oldest first
    named       1  12 7 901 33         the same behind the viewer's name; taken when line n begins with n, for every n
    pairs       mara,12                a line is one (viewer, item[, time]), each viewer's in order; a heading may lead

Items are numbered by first appearance, so the numbers do not depend on how they are spelled. What cannot be judged is
refused with its line, not dropped: an evaluation that silently leaves lines out is of another data set.
"""

import hashlib
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import Refused

Array = NDArray[Any]
Layout = Literal["auto", "sequences", "named", "pairs"]
SHORTEST = 3  # one item to learn from, one to choose by, one to test by
LINES_MAX = 50_000_000  # beyond this a file needs a streaming reader
_FIELD = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class Split:
    """U viewers' sequences over N items, numbered 0..N−1. `sequences[u]`: int32[L_u], the last two held out."""

    names: list[str]
    sequences: list[Array]
    layout: str
    digest: str  # sha256 of the numbered sequences: two tables with one digest are of one split

    @property
    def items(self) -> int:
        """Return N."""
        return len(self.names)

    def train(self) -> list[Array]:
        """Return each sequence without its last two."""
        return [s[:-2] for s in self.sequences]

    def history(self, held: int) -> list[Array]:
        """Return what a viewer had done before the held-out item: 2 for the validation item, 1 for the test item."""
        return [s[:-held] for s in self.sequences]

    def target(self, held: int) -> Array:
        """Return int32[U]: the held-out item; 2 the validation item, 1 the test item."""
        return np.array([s[-held] for s in self.sequences], np.int32)


def read(path: Path, layout: Layout = "auto") -> Split:
    """Read a file into a Split. Raises Refused, with the line, for what cannot be judged."""
    rows = list(_rows(path))
    if not rows:
        raise Refused(f"{path} is empty", field="file", hint="one sequence a line, or viewer,item pairs in order")
    found = _layout(rows) if layout == "auto" else layout
    if found == "pairs":
        raw = _pairs(rows)
    else:
        skip = 1 if found == "named" else 0
        raw = [(line, fields[skip:]) for line, fields in rows]
    _same_type(raw)
    names, sequences = _numbered(raw)
    digest = hashlib.sha256(b"\n".join(s.astype("<i4").tobytes() for s in sequences)).hexdigest()
    return Split(names, sequences, found, digest)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each line that is not blank, with its number."""
    try:
        with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as text:
            for number, line in enumerate(text, 1):
                if number > LINES_MAX:
                    raise Refused(f"{path} has more than {LINES_MAX} lines", field="file")
                if line := line.strip():
                    yield number, _FIELD.split(line)
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as e:
        raise Refused(f"{path} cannot be read as text: {e}", field="file", hint="plain UTF-8, or .xz of it") from e
    except OSError as e:
        raise Refused(f"cannot open {path}: {e.strerror}", field="file") from e


def _layout(rows: list[tuple[int, list[str]]]) -> str:
    head = rows[:2]
    if len(rows) > 1 and all(len(fields) == 2 for _, fields in head):
        return "pairs"
    if _is_heading(rows[0][1]):
        return "pairs"
    named = all(fields[0] == str(n) for n, (_, fields) in enumerate(rows, 1))
    return "named" if named and len(rows) > 1 else "sequences"


def _is_heading(fields: list[str]) -> bool:
    return len(fields) in (2, 3) and fields[0].lower().strip('"') in {
        "user",
        "user_id",
        "userid",
        "viewer",
        "viewer_id",
    }


def _pairs(rows: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Gather (viewer, item[, time]) lines into one sequence per viewer, at the line where the viewer first stands."""
    start = 1 if _is_heading(rows[0][1]) else 0
    width = len(rows[0][1])
    if width not in (2, 3):
        raise Refused(
            f"line {rows[0][0]}: a pair has two columns (viewer, item) or a time as the third, not {width}",
            field="file", hint="--layout sequences reads one sequence a line",
        )  # fmt: skip
    of: dict[str, tuple[int, list[str]]] = {}
    newest: dict[str, float] = {}
    for line, fields in rows[start:]:
        if len(fields) != width:
            raise Refused(
                f"line {line}: {len(fields)} columns where the lines before have {width}",
                field="file", hint="each line is viewer,item; --layout sequences reads one sequence a line",
            )  # fmt: skip
        if width == 3:
            at = _time(line, fields[2])
            if at < newest.get(fields[0], at):
                raise Refused(
                    f"line {line}: earlier than the line before it of viewer {fields[0]}",
                    field="file", hint="sort by viewer and time; the order decides what is held out",
                )  # fmt: skip
            newest[fields[0]] = at
        of.setdefault(fields[0], (line, []))[1].append(fields[1])
    if not of:
        raise Refused("the file has a heading and nothing below it", field="file")
    return list(of.values())


def _time(line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Refused(f"line {line}: {text!r} is not a time in seconds", field="file") from None


def _same_type(raw: list[tuple[int, list[str]]]) -> None:
    """Items are all numbers or all names: a word among numbers is a column out of place or a damaged line."""
    if not raw[0][1] or not raw[0][1][0].isdigit():
        return
    for line, items in raw:
        for item in items:
            if not item.isdigit():
                raise Refused(
                    f"line {line}: {item!r} is not a number, as the items before it are",
                    field="file", hint="items are all numbers or all names",
                )  # fmt: skip


def _numbered(raw: list[tuple[int, list[str]]]) -> tuple[list[str], list[Array]]:
    of: dict[str, int] = {}
    sequences: list[Array] = []
    for line, items in raw:
        if len(items) < SHORTEST:
            raise Refused(
                f"line {line}: a sequence of {len(items)}; the shortest that can be split has {SHORTEST}",
                field="file", hint="leave such viewers out: one item teaches, one chooses, one tests",
            )  # fmt: skip
        if len(set(items)) != len(items):
            twice = next(item for k, item in enumerate(items) if item in items[:k])
            raise Refused(
                f"line {line}: item {twice} stands twice in one sequence",
                field="file", hint="seen items are not ranked, so an item may stand once; keep its first",
            )  # fmt: skip
        sequences.append(np.array([of.setdefault(item, len(of)) for item in items], np.int32))
    return list(of), sequences
