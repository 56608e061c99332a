"""Lists that no viewer is needed for: what is like an item, and what this place likes now.

*Similar* joins two witnesses: what those who liked the item went on to watch (the next-item model, as far as it is to
be trusted), and what the item says of itself (tags and creator). A new item has only the second, and has it at once.

    similarity = trust · next + ½ · tags in common (Jaccard) + ⅒ · same creator + 1/20 · heat

*Trending* is `heat`: long views and likes of this region's viewers, halved every 12 hours. Both lists hold only what is
allowed, of one tenant, and what the request's rules admit; neither reads anything about a person.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.feed.predict import Eligible, Predict
from holdfast.core.feed.rules import Rules, admits
from holdfast.core.feed.value import unit
from holdfast.core.feed.viewer import History
from holdfast.core.feed.world import World

Array = NDArray[Any]

LIST_MAX = 100  # as a slate
RETRIEVED = 200  # from the model, before the two witnesses are joined
TAGS_WEIGHT, CREATOR_WEIGHT, HEAT_WEIGHT = 0.5, 0.1, 0.05
NONE = np.zeros(0, np.int64)
_ALL = Rules()


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a list: catalogue row, score, and why in words."""

    row: int
    score: float
    sentence: str


def offered(world: World, tenant: str, rules: Rules | None) -> Array:
    """Return bool[n]: what a list of this tenant may hold under these rules."""
    c = world.catalogue
    return c.allowed() & c.of_tenant(tenant) & admits(rules or _ALL, c, tenant)


def trending(world: World, tenant: str, n: int, rules: Rules | None = None) -> list[Listed]:
    """Return up to `n` items that this place likes now, warmest first; those that nobody liked yet come last."""
    c = world.catalogue
    rows = np.flatnonzero(offered(world, tenant, rules))
    heat = c.heat(c.newest_us)[rows]
    best = np.lexsort((-c.published[rows], -heat))[:n]
    words = ("New here.", "People here like it now.")
    return [Listed(int(rows[i]), round(float(heat[i]), 4), words[int(heat[i] > 0)]) for i in best.tolist()]


def similar(
    world: World, row: int, tenant: str, n: int, predict: Predict | None, rules: Rules | None = None
) -> list[Listed]:
    """Return up to `n` items most like the one at `row`; items with nothing in common are left out."""
    c = world.catalogue
    may = offered(world, tenant, rules)
    may[row] = False
    jaccard, theirs = _in_common(world, row)
    found = [np.flatnonzero(may & (theirs | (jaccard > 0)))]
    history = History(np.array([row], np.int32), np.ones(1, np.float32), ("like",))
    reading = predict.read([history]) if predict is not None and predict.parts == ("next",) else None
    if reading is not None:
        found.append(reading.retrieve(RETRIEVED, [Eligible(may, NONE)])[0][0])
    rows = np.unique(np.concatenate(found))
    follows: Array = np.zeros(rows.size, np.float32)
    if reading is not None and predict is not None and rows.size:
        follows = predict.trust * unit(np.maximum(reading.score([rows])[0][:, 0], 0.0))
    score = follows + TAGS_WEIGHT * jaccard[rows] + CREATOR_WEIGHT * theirs[rows]
    alike = score > 0
    rows, score, follows = rows[alike], score[alike], follows[alike]
    heat = HEAT_WEIGHT * unit(c.heat(c.newest_us)[rows])
    best = np.lexsort((c.hashed[rows], -(score + heat)))[:n].tolist()
    return [
        Listed(
            int(rows[i]), round(float(score[i] + heat[i]), 4),
            _words(float(follows[i]), float(jaccard[rows[i]]), bool(theirs[rows[i]])),
        )
        for i in best
    ]  # fmt: skip


def _in_common(world: World, row: int) -> tuple[Array, Array]:
    """Return (float32[n] Jaccard index of the tags, bool[n] same creator) of every item with the one at `row`."""
    c, n = world.catalogue, world.catalogue.n
    mine = [t for t in c.tag_rows[row].tolist() if t >= 0]
    common = np.isin(c.tag_rows[:n], mine).sum(1)
    either = (c.tag_rows[:n] >= 0).sum(1) + len(mine) - common
    creator = int(c.creator[row])
    theirs = (c.creator[:n] == creator) & (creator >= 0)
    return (common / np.maximum(either, 1)).astype(np.float32), theirs


def _words(follows: float, jaccard: float, theirs: bool) -> str:
    if follows > TAGS_WEIGHT * jaccard:
        return "Those who liked it went on to this."
    if jaccard > 0:
        return "It is about the same, by its tags."
    return "By the same creator." if theirs else "Those who liked it went on to this."
