"""The slate: from scored candidates to an order a person wants to swipe through.

Take the best, unless it follows its own like: no creator twice within CREATOR_GAP, no topic (first tag) more than
TOPIC_RUN in a row or beyond TOPIC_SHARE of the slate. The rules bend before the slate comes out short. Two places are
not for the best: one for a new video owed its first impressions (a Thompson draw), one drawn from a known
distribution and logged with its probability, so that what is shown can be told from what is liked.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed import chance

Array = NDArray[Any]

CREATOR_GAP = 2
TOPIC_RUN = 2
TOPIC_SHARE = 0.6
DEBUT_PLACE = 3  # the fourth place of every ten
DRAWN_PLACE = 7
DRAWN_FROM = 50  # the draw is uniform over this many of the best left: propensity 1/50
POOL = 100  # best candidates looked at beyond the slate's size; the rules bend rather than look further


@dataclass(frozen=True, slots=True)
class Pick:
    """One place of a slate. `at`: index among the candidates; `how`: "best", "debut" or "drawn"."""

    at: int
    how: str
    propensity: float = 1.0


def choose(rows: Array, score: Array, owed: Array, n: int, catalogue: Catalogue, draw: int) -> list[Pick]:
    """Order up to `n` of K candidates: int64[K] rows, float[K] scores, bool[K] owed first impressions."""
    size = min(rows.size, n + POOL)
    pool = np.argpartition(-score, size - 1)[:size] if size < rows.size else np.arange(rows.size)
    order = pool[np.lexsort((catalogue.hashed[rows[pool]], -score[pool]))].tolist()
    spacing = _Spacing(catalogue, rows, n)
    debut = _debut_order(rows, owed, catalogue, draw)
    picks: list[Pick] = []
    taken: set[int] = set()
    while len(picks) < n and len(taken) < rows.size:
        left = [i for i in order if i not in taken]
        pick = None
        if len(picks) % 10 == DEBUT_PLACE:
            fresh = [i for i in debut if i not in taken]
            pick = Pick(fresh[0], "debut") if fresh else None
        elif len(picks) == DRAWN_PLACE and len(left) > 1:
            m = min(DRAWN_FROM, len(left))
            pick = Pick(left[chance.pick(draw, m)], "drawn", 1.0 / m)
        if pick is None:
            if not left:
                break
            pick = Pick(next((i for i in left if spacing.fits(i)), left[0]), "best")
        taken.add(pick.at)
        spacing.take(pick.at)
        picks.append(pick)
    return picks


class _Spacing:
    """Remembers what the slate holds so far, and says whether a candidate may follow."""

    def __init__(self, catalogue: Catalogue, rows: Array, n: int) -> None:
        self.creators = catalogue.creator[rows]
        self.topics = catalogue.tag_rows[rows, 0]
        self.topic_max = max(TOPIC_RUN, int(TOPIC_SHARE * n))
        self.creator_tail: list[int] = []
        self.topic_tail: list[int] = []

    def fits(self, i: int) -> bool:
        if int(self.creators[i]) in self.creator_tail[-CREATOR_GAP:]:
            return False
        topic = int(self.topics[i])
        if topic < 0:
            return True
        run = self.topic_tail[-TOPIC_RUN:]
        return not (run == [topic] * TOPIC_RUN or self.topic_tail.count(topic) >= self.topic_max)

    def take(self, i: int) -> None:
        self.creator_tail.append(int(self.creators[i]))
        self.topic_tail.append(int(self.topics[i]))


def _debut_order(rows: Array, owed: Array, catalogue: Catalogue, draw: int) -> list[int]:
    """Order the debut candidates by a draw from what is known of each: Beta(1 + long, 1 + other) by its moments."""
    new = np.flatnonzero(owed)
    if not new.size:
        return []
    at = rows[new]
    a = 1.0 + catalogue.long_views[at]
    b = 1.0 + np.maximum(catalogue.views[at] - catalogue.long_views[at], 0)
    mean = a / (a + b)
    spread = np.sqrt(mean * (1 - mean) / (a + b + 1))
    u = chance.uniform(draw, catalogue.hashed[at])
    return new[np.argsort(-(mean + spread * 0.55 * np.log(u / (1 - u))))].tolist()  # 0.55: logistic to unit variance
