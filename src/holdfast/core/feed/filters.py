"""Filters: what may not be shown to this viewer now, each by name, so that "why not" has an answer.

Every filter says what "no answer" means; for safety it means no: a video this region holds no ruling for is removed.
The last two are soft. When nothing would be left, first what was served a moment ago may be offered again, then,
honestly marked, what was seen.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.feed.sources import FOLLOWING, Candidates
from holdfast.core.feed.viewer import Viewer
from holdfast.core.feed.world import World
from holdfast.core.rulings import STRICTNESS

Array = NDArray[Any]
Filter = Callable[[Candidates, Viewer, World], Array]


def ruled(c: Candidates, viewer: Viewer, world: World) -> Array:
    """Not live, not ruled, or ruled away. `limit` passes only to followers; `age` never (no age is known yet)."""
    verdict = world.catalogue.verdict[c.rows]
    allow = verdict == STRICTNESS["allow"]
    limit = (verdict == STRICTNESS["limit"]) & (c.source == FOLLOWING)
    return ~(world.catalogue.live[c.rows] & (allow | limit))


def own(c: Candidates, viewer: Viewer, world: World) -> Array:
    """Published by the viewer."""
    number = world.catalogue.creators.of.get(viewer.query.viewer, -2)
    return world.catalogue.creator[c.rows] == number


def hidden(c: Candidates, viewer: Viewer, world: World) -> Array:
    """The viewer said "not interested"."""
    return _in(c.rows, viewer.profile.hidden, world)


def excluded(c: Candidates, viewer: Viewer, world: World) -> Array:
    """The device holds it in its buffer."""
    return _in(c.rows, viewer.excluded, world)


def seen(c: Candidates, viewer: Viewer, world: World) -> Array:
    """Seen, by the region's record or by the device's."""
    return _in(c.rows, viewer.seen, world)


def in_hand(c: Candidates, viewer: Viewer, world: World) -> Array:
    """Served to this viewer a moment ago."""
    return _in(c.rows, viewer.in_hand, world)


def _in(rows: Array, members: "set[int] | dict[int, int]", world: World) -> Array:
    if not members:
        return np.zeros(rows.size, bool)
    mask = np.zeros(world.catalogue.n, bool)
    mask[np.fromiter(members, np.int64, len(members))] = True
    return mask[rows]


# name, filter; the order is the order of blame: a video removed by two filters is put down to the first
TABLE: tuple[tuple[str, Filter], ...] = (
    ("ruled", ruled),
    ("own", own),
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


def sift(c: Candidates, viewer: Viewer, world: World) -> tuple[Array, dict[str, Array], bool]:
    """Return (bool[K] kept, removed rows by filter, rewatch): with as few filters relaxed as leave anything."""
    masks = [(name, check(c, viewer, world)) for name, check in TABLE]
    kept = np.zeros(c.rows.size, bool)
    removed: dict[str, Array] = {}
    for relaxed in RELAXED:
        kept[:] = True
        removed = {}
        for name, mask in masks:
            if name not in relaxed:
                removed[name] = c.rows[mask & kept]
                kept &= ~mask
        if kept.any():
            return kept, removed, "seen" in relaxed
    return kept, removed, False
