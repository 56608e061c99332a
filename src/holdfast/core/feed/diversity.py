"""Diversity: what may stand beside what, and how broadly a stranger's tastes are tried.

Three rules are hard while anything else is left: no twin of what the slate holds already, no creator twice within
CREATOR_GAP, no topic (first tag) more than TOPIC_RUN in a row or beyond TOPIC_SHARE of the slate. One is soft: a topic
or creator that the slate holds already costs a little score for each time, so that of two nearly equal ones the other
comes first. This is maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998) with topic and creator as the
measure of likeness; a determinant over tag vectors asks for a matrix per slate and was not worth its time here.

For a viewer nobody knows the soft rule is strong: the first slate is what is popular in *each* topic, because it is
asked to find out. It weakens with every video they stay with, and is gone after about three.

*Twins* are the same media (every segment, by digest: clips may share a first frame, even a poster, and differ) or the
same caption by the same creator. Pictures that merely look alike are not compared yet: that takes a hash of frames.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed.viewer import Viewer

Array = NDArray[Any]

CREATOR_GAP = 2
TOPIC_RUN = 2
TOPIC_SHARE = 0.6
TOPIC_COST = 0.03  # of the pool's spread of scores, for each time the slate holds the topic already
CREATOR_COST = 0.1
EXPLORE_COST = 1.0  # the same for a topic, for a viewer nobody knows
EXPLORED = 3.0  # long views after which a viewer is known (a like counts two: `actions.WEIGHT`)


def exploring(viewer: Viewer) -> float:
    """Return 1 for a viewer nobody knows, falling to 0 with what they stayed with or liked. Who told us is known."""
    if viewer.wishes is not None:
        return 0.0
    return max(0.0, 1.0 - float(np.maximum(viewer.history.weights, 0.0).sum()) / EXPLORED)


def twins(catalogue: Catalogue, row: int) -> tuple[object, ...]:
    """Return the marks a video shares with its twins."""
    p = catalogue.publications[row]
    if p is None:
        return ()
    said = ((p.creator, " ".join(p.caption.casefold().split())),) if p.caption and not p.caption.isspace() else ()
    return (*said, tuple(sha for sha, _ in p.media.segments)) if p.media else said


class Spread:
    """Remembers what a slate holds so far, and says whether a candidate may follow and what its likeness costs.

    `look`: the candidates that come into question, as indices into int64[K] `rows`; `unit`: the scale of their scores.
    """

    def __init__(self, catalogue: Catalogue, rows: Array, look: list[int], n: int, unit: float, explore: float) -> None:
        self._catalogue, self._rows = catalogue, rows
        at = rows[look]
        self.creator = dict(zip(look, catalogue.creator[at].tolist(), strict=True))
        self.topic = dict(zip(look, catalogue.tag_rows[at, 0].tolist(), strict=True))
        self.topic_max = max(TOPIC_RUN, int(TOPIC_SHARE * n))
        self.topic_cost = unit * (TOPIC_COST + EXPLORE_COST * explore)
        self.creator_cost = unit * CREATOR_COST
        self.creators: list[int] = []
        self.topics: list[int] = []
        self._topic_times: dict[int, int] = {}
        self._creator_times: dict[int, int] = {}
        self._marks: set[object] = set()
        self._media = False  # whether the slate holds one that has media

    def fits(self, i: int) -> bool:
        """Say whether candidate `i` may come next."""
        if self.creator[i] in self.creators[-CREATOR_GAP:]:
            return False
        topic = self.topic[i]
        if topic >= 0:
            if self._topic_times.get(topic, 0) >= self.topic_max:
                return False
            if self.topics[-TOPIC_RUN:] == [topic] * TOPIC_RUN:
                return False
        return not self.twin(i)

    def twin(self, i: int) -> bool:
        """Say whether the slate holds a twin of candidate `i`."""
        if self.creator[i] not in self._creator_times and not self._media:
            return False  # the same words are a twin's only if its creator said them
        return not self._marks.isdisjoint(twins(self._catalogue, int(self._rows[i])))

    def cost(self, i: int) -> float:
        """Return what likeness to the slate so far costs candidate `i`."""
        alike = self._topic_times.get(self.topic[i], 0) * self.topic_cost
        return alike + self._creator_times.get(self.creator[i], 0) * self.creator_cost

    def take(self, i: int) -> None:
        """Candidate `i` comes next."""
        creator, topic = self.creator[i], self.topic[i]
        self.creators.append(creator)
        self.topics.append(topic)
        self._creator_times[creator] = self._creator_times.get(creator, 0) + 1
        if topic >= 0:
            self._topic_times[topic] = self._topic_times.get(topic, 0) + 1
        row = int(self._rows[i])
        self._marks.update(twins(self._catalogue, row))
        p = self._catalogue.publications[row]
        self._media = self._media or (p is not None and p.media is not None)
