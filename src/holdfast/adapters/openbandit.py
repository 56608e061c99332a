"""The Open Bandit logs as columns: which item was shown where, with what probability, and whether it was clicked.

One folder per campaign (`men`, `women`) with `<campaign>.csv.xz` or `.csv`; Saito et al., NeurIPS 2021 (Datasets and
Benchmarks). A file that cannot be trusted is refused with its line: a missing column, a wrong type, a propensity
outside (0, 1], a time before the line above.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.adapters.kuairand import rows_of
from holdfast.core.errors import Refused

Array = NDArray[Any]
NEEDED = ("timestamp", "item_id", "position", "click", "propensity_score")
ITEMS_MAX = 10_000
PLACES_MAX = 100


@dataclass(frozen=True, slots=True)
class Shown:
    """N impressions in time order: `item` and `place` int64 from 0, `click` and `propensity` float64."""

    item: Array
    place: Array
    click: Array
    propensity: Array


def campaigns(folder: Path) -> dict[str, Path]:
    """Return each campaign's file. Raises Refused if there is none."""
    found = {p.parent.name: p for p in sorted(folder.glob("*/*.csv*")) if p.name.split(".")[0] == p.parent.name}
    if not found:
        raise Refused(f"{folder} holds no campaign", field="source", hint="a folder of `men/men.csv.xz` and the like")
    return found


def read(path: Path) -> Shown:
    """Read one campaign's log. Raises Refused with the line of the first fault."""
    rows: list[tuple[int, int, int, float]] = []
    before = ""
    for line, row in rows_of(path, NEEDED):
        try:
            values = int(row["item_id"]), int(row["position"]) - 1, int(row["click"]), float(row["propensity_score"])
        except ValueError as e:
            raise _fault(path, line, str(e)) from None
        item, place, click, propensity = values
        if not (0 <= item < ITEMS_MAX and 0 <= place < PLACES_MAX and click in (0, 1) and 0 < propensity <= 1):
            raise _fault(path, line, f"out of range: item {item}, position {place + 1}, click {click}, "
                                     f"propensity {propensity}")  # fmt: skip
        if row["timestamp"] < before:
            raise _fault(path, line, f"time {row['timestamp']} is before the line above")
        before = row["timestamp"]
        rows.append(values)
    if not rows:
        raise _fault(path, 1, "no impressions follow")
    table = np.array(rows, np.float64)
    return Shown(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2], table[:, 3])


def _fault(path: Path, line: int, what: str) -> Refused:
    return Refused(f"{path.name}, line {line}: {what}", field="source", hint="the columns are Open Bandit's")
