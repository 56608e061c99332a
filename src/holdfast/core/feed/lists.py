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
    if rows.size > n:  # the warmest, in no order, with all that are as warm as the last of them
        least = np.partition(heat, rows.size - n)[rows.size - n]
        rows, heat = rows[heat >= least], heat[heat >= least]
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
    mine, creator = [t for t in c.tag_rows[row].tolist() if t >= 0], int(c.creator[row])
    found = [c.having(t) for t in mine] + [c.made_by([creator])]
    history = History(np.array([row], np.int32), np.ones(1, np.float32), ("like",))
    reading = predict.read([history]) if predict is not None and predict.parts == ("next",) else None
    if reading is not None:
        found.append(reading.retrieve(RETRIEVED, [Eligible(may, NONE)])[0][0])
    rows = np.unique(np.concatenate(found))
    rows = rows[may[rows]]
    jaccard, theirs = _jaccard(rows, mine, world), c.creator[rows] == creator
    follows: Array = np.zeros(rows.size, np.float32)
    if reading is not None and predict is not None and rows.size:
        follows = predict.trust * unit(np.maximum(reading.score([rows])[0][:, 0], 0.0))
    score = follows + TAGS_WEIGHT * jaccard + CREATOR_WEIGHT * theirs
    heat = HEAT_WEIGHT * unit(c.heat(c.newest_us)[rows])
    best = np.lexsort((c.hashed[rows], -(score + heat)))
    best = best[score[best] > 0][:n].tolist()
    return [
        Listed(
            int(rows[i]), round(float(score[i] + heat[i]), 4),
            _words(float(follows[i]), float(jaccard[i]), bool(theirs[i])),
        )
        for i in best
    ]  # fmt: skip


def _jaccard(rows: Array, tags: list[int], world: World) -> Array:
    """Return float32[K]: the Jaccard index of each row's tags with these, by number."""
    c = world.catalogue
    wanted: Array = np.zeros(len(c.tags.all) + 1, np.int32)  # the last stands for "no tag", which is −1
    wanted[tags] = 1
    theirs = c.tag_rows[rows]
    common = wanted[theirs].sum(1)
    return (common / np.maximum((theirs >= 0).sum(1) + len(tags) - common, 1)).astype(np.float32)


def _words(follows: float, jaccard: float, theirs: bool) -> str:
    if follows > TAGS_WEIGHT * jaccard:
        return "Those who liked it went on to this."
    if jaccard > 0:
        return "It is about the same, by its tags."
    return "By the same creator." if theirs else "Those who liked it went on to this."
