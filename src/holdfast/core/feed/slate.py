"""The slate: from scored candidates to an order a person wants to swipe through.

Take the best, less what its likeness to the slate so far costs (`diversity`). The rules bend before the slate comes out
short. Some places are not for the best: those that go to new videos owed their first impressions (`debut`), and one
drawn from a known distribution and logged with its probability, so that what is shown can be told from what is liked.

Likeness only ever costs, so the search for the next best may stop at the first candidate whose own score is below the
best found so far (a lazy greedy search, Minoux 1978): mostly a handful are looked at, whatever the pool holds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed import chance
from holdfast.core.feed.diversity import Spread

Array = NDArray[Any]

DRAWN_PLACE = 7  # the eighth
DRAWN_FROM = 50  # the draw is uniform over this many of the best left: propensity 1/50
POOL = 100  # best candidates looked at beyond the slate's size; the rules bend rather than look further
DEBUTS_LOOKED = 40  # debuts that may be passed over because they do not fit


@dataclass(frozen=True, slots=True)
class Pick:
    """One place of a slate. `at`: index among the candidates; `how`: "best", "debut" or "drawn"."""

    at: int
    how: str
    propensity: float = 1.0


@dataclass(slots=True)
class Course:
    """What a slate is to be: `n` places; the draw it makes; which places go to debuts, and these, best first.

    `explore` in 0..1: how little is known of the viewer.
    """

    n: int
    draw: int
    explore: float = 0.0
    debut_places: list[int] = field(default_factory=list[int])
    debuts: list[int] = field(default_factory=list[int])


def choose(rows: Array, score: Array, catalogue: Catalogue, course: Course) -> list[Pick]:
    """Order up to `course.n` of K candidates: int64[K] rows, float[K] scores."""
    n = course.n
    size = min(rows.size, n + POOL)
    if not size:
        return []
    pool = np.argpartition(-score, size - 1)[:size] if size < rows.size else np.arange(rows.size)
    order: list[int] = pool[np.lexsort((catalogue.hashed[rows[pool]], -score[pool]))].tolist()
    value = dict(zip(order, score[order].tolist(), strict=True))
    debuts = course.debuts[:DEBUTS_LOOKED]
    unit = value[order[0]] - value[order[len(order) // 2]]
    spread = Spread(catalogue, rows, list(dict.fromkeys(order + debuts)), n, unit, course.explore)
    picks: list[Pick] = []
    taken: set[int] = set()
    while len(picks) < n:
        pick = None
        if len(picks) in course.debut_places:
            at = _first(debuts, taken, spread)
            pick = None if at is None else Pick(at, "debut")
        elif len(picks) == DRAWN_PLACE:
            pick = _drawn(order, taken, spread, course.draw)
        if pick is None:
            at = _best(order, value, taken, spread)
            if at is None:
                break
            pick = Pick(at, "best")
        taken.add(pick.at)
        spread.take(pick.at)
        picks.append(pick)
    return picks


def _best(order: list[int], value: dict[int, float], taken: set[int], spread: Spread) -> int | None:
    """Return the candidate with the most value less its cost; one that does not fit only if none does."""
    best, most = None, -np.inf
    for i in order:
        if best is not None and value[i] <= most:
            break
        if i in taken or not spread.fits(i):
            continue
        left = value[i] - spread.cost(i)
        if left > most:
            best, most = i, left
    if best is not None:
        return best
    left = [i for i in order if i not in taken]
    return next((i for i in left if not spread.twin(i)), left[0] if left else None)


def _first(debuts: Iterable[int], taken: set[int], spread: Spread) -> int | None:
    return next((i for i in debuts if i not in taken and spread.fits(i)), None)


def _drawn(order: list[int], taken: set[int], spread: Spread, draw: int) -> Pick | None:
    """Draw one of the best that are left; the rules of spacing would make the chances unequal, so they rest.

    A twin is not shown even so: then nothing was drawn, and every other one still had the chance it is logged with.
    """
    left = [i for i in order if i not in taken][:DRAWN_FROM]
    if len(left) < 2:
        return None
    at = left[chance.pick(draw, len(left))]
    return None if spread.twin(at) else Pick(at, "drawn", 1.0 / len(left))
