"""Filters: what may not be shown to this viewer now, each by name, so that "why not" has an answer.

There are two kinds. A *mask* says of every row whether it may be offered at all; a *list* names the rows that one
viewer may not have. Both are handed to the sources, which look past them: filtering never leaves a source short.

Every filter says what "no answer" means; for safety it means no: a video this region holds no ruling for is removed.
The last three lists are soft. When nothing would be left, first what was served a moment ago may be offered again,
then, honestly marked, what was seen.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.feed import kinds, rules, wishes
from holdfast.core.feed.viewer import Viewer
from holdfast.core.feed.world import World

Array = NDArray[Any]
Mask = Callable[[Viewer, World], Array | None]
Rows = Callable[[Viewer, World], Array]
NONE = np.zeros(0, np.int64)


def own(viewer: Viewer, world: World) -> Array:
    """Published by the viewer."""
    number = world.catalogue.creators.of.get(viewer.query.viewer)
    return NONE if number is None else world.catalogue.made_by((number,))


def hidden(viewer: Viewer, world: World) -> Array:
    """The viewer said "not interested"."""
    del world
    return _rows(viewer.profile.hidden)


def excluded(viewer: Viewer, world: World) -> Array:
    """The device holds it in its buffer."""
    del world
    return _rows(viewer.excluded)


def seen(viewer: Viewer, world: World) -> Array:
    """Seen, by the region's record or by the device's."""
    del world
    return viewer.seen.rows()


def in_hand(viewer: Viewer, world: World) -> Array:
    """Served to this viewer a moment ago."""
    del world
    return _rows(viewer.in_hand)


def _rows(members: set[int]) -> Array:
    return np.fromiter(members, np.int64, len(members)) if members else NONE


# name, filter → bool[n] of what passes, or None when this query does not ask for it. `ruled` (not live, not ruled here
# or ruled away) comes before these, as `Stock.allowed`: it is the same for all.
MASKS: tuple[tuple[str, Mask], ...] = (("rules", rules.mask), ("feed", kinds.mask))
# name, filter → int64 rows to remove; the order is the order of blame: a video removed by two is put down to the first
LISTS: tuple[tuple[str, Rows], ...] = (
    ("own", own),
    ("never", wishes.never),
    ("hidden", hidden),
    ("excluded", excluded),
    ("seen", seen),
    ("in_hand", in_hand),
)
RELAXED: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({"in_hand"}),
    frozenset({"in_hand", "seen"}),
    # a device that holds all there is gets the same again: without an answer it would take the region for dark
    frozenset({"in_hand", "seen", "excluded"}),
)


def masks(viewer: Viewer, world: World, allowed: Array) -> tuple[Array, dict[str, Array]]:
    """Return (bool[n] what this query may be offered, removed rows by filter); `allowed` itself if nothing is asked."""
    removed: dict[str, Array] = {}
    for name, check in MASKS:
        passes = check(viewer, world)
        if passes is not None:
            removed[name] = np.flatnonzero(allowed & ~passes)
            allowed = allowed & passes
    return allowed, removed


def lists(viewer: Viewer, world: World) -> dict[str, Array]:
    """Return the rows that each list names, allowed or not."""
    return {name: rows(viewer, world) for name, rows in LISTS}


def barred(lists: dict[str, Array], relaxed: frozenset[str]) -> Array:
    """Return int64[M]: all rows of the lists that are not relaxed; a row may come twice."""
    return np.concatenate([rows for name, rows in lists.items() if name not in relaxed])


def blame(lists: dict[str, Array], relaxed: frozenset[str], allowed: Array, marks: Array) -> dict[str, Array]:
    """Return the allowed rows that each list removed, each once. `marks`: bool[n], all False, and so given back."""
    removed: dict[str, Array] = {}
    for name, rows in lists.items():
        if name not in relaxed:
            mine = rows[allowed[rows] & ~marks[rows]] if rows.size else rows
            marks[mine] = True
            removed[name] = mine
    for rows in removed.values():
        marks[rows] = False
    return removed
