"""Sources: where candidates come from. Each one offers its best, and says so.

A source takes enough that no filter can empty it: CANDIDATES plus as many as this viewer's filters can remove. Then
whatever remains unseen in the catalogue is found, and "you have seen everything" is a fact, not an accident.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.viewer import Budget, Viewer
from holdfast.core.feed.world import World
from holdfast.core.rulings import STRICTNESS

Array = NDArray[Any]

CANDIDATES = 200  # per source, beyond what the filters can take away
DEBUT_VIEWS = 20  # N: qualified impressions a new video is owed
DEBUT_AGE_US = 24 * 3600 * 1_000_000  # T: within a day
AGE_MAX_US = 365 * 86_400 * 1_000_000  # older videos are reached by link, not by the feed

FOLLOWING, LINEAR, TRENDING, DEBUT = range(4)  # a video found twice is put down to the first
NAMES = ("following", "linear", "trending", "debut")


@dataclass(frozen=True, slots=True)
class Stock:
    """What all queries of one call share. bool[n] masks and float64[n] columns over catalogue rows."""

    allowed: Array  # ruled `allow` here, live, not too old
    rows: Array  # int64: the rows of `allowed`
    heat: Array
    debut: Array  # owed their first impressions


@dataclass(slots=True)
class Candidates:
    """int64[K] rows, each once; int8[K] the source that found each; float32[K] next-item scores (0 below LINEAR)."""

    rows: Array
    source: Array
    linear: Array
    retrieved: dict[str, int]


def stock(world: World, budget: Budget) -> Stock:
    """Read from the world what every query of a call needs."""
    c = world.catalogue
    n = c.n
    age = budget.now_us - c.published[:n]
    allowed = c.allowed() & (age < AGE_MAX_US)
    debut = allowed & (c.views[:n] < DEBUT_VIEWS) & (age < DEBUT_AGE_US)
    if "debut" in budget.without:
        debut[:] = False
    return Stock(allowed, np.flatnonzero(allowed), c.heat(c.newest_us), debut)


def retrieve(viewer: Viewer, rung: Rung, stock: Stock, linear: Array | None, world: World) -> Candidates:
    """Ask every source of this rung. `linear`: float32[n] next-item scores of this viewer, or None."""
    k = CANDIDATES + len(viewer.seen) + len(viewer.excluded) + len(viewer.in_hand) + len(viewer.profile.hidden)
    found: list[tuple[int, Array]] = []
    personal = rung <= Rung.LINEAR and not viewer.public
    if personal and viewer.profile.follows:
        found.append((FOLLOWING, following(viewer, world)[-k:]))
    if personal and linear is not None:
        found.append((LINEAR, _top(stock.rows, linear, k)))
    found.append((TRENDING, _top(stock.rows, stock.heat, k)))
    found.append((DEBUT, np.flatnonzero(stock.debut)[-k:]))
    rows, first = np.unique(np.concatenate([r for _, r in found]), return_index=True)
    source = np.concatenate([np.full(r.size, s, np.int8) for s, r in found])[first]
    scores = linear[rows] if linear is not None and personal else np.zeros(rows.size, np.float32)
    return Candidates(rows, source, scores, {NAMES[s]: int(r.size) for s, r in found})


def everything(stock: Stock) -> Candidates:
    """Return the whole allowed catalogue: for the viewer who has seen all of it."""
    rows = stock.rows
    return Candidates(rows, np.full(rows.size, TRENDING, np.int8), np.zeros(rows.size, np.float32), {})


def following(viewer: Viewer, world: World) -> Array:
    """Return the rows by creators the viewer follows, `limit` among them: a limit binds recommending to strangers."""
    c = world.catalogue
    n = c.n
    shown = c.live[:n] & (c.verdict[:n] >= 0) & (c.verdict[:n] <= STRICTNESS["limit"])
    return np.flatnonzero(shown & np.isin(c.creator[:n], viewer.profile.followed()))


def _top(rows: Array, score: Array, k: int) -> Array:
    if rows.size <= k:
        return rows
    values = score[rows]
    return rows[np.argpartition(values, rows.size - k)[rows.size - k :]]
