"""What the pipeline asks of a model. Small, so that a closed form and a network answer to the same questions.

Histories of one call are read once (`read`); the reading is then asked twice: which of all videos (`retrieve`), and
what it says of candidates, its own and those of other sources (`score`). Filters are applied *inside* retrieval: a
model that found its best k and had them filtered afterwards would come back short for exactly the viewers who watch
most. No array of [queries, n] leaves a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.viewer import History

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Eligible:
    """What one query may be offered: rows of bool[n] `allowed`, less the int64[M] rows `barred` (some may come twice).

    Most queries of a call share one `allowed` (the very same array), so a model may work per array, not per query.
    """

    allowed: Array
    barred: Array


class Reading(Protocol):
    """What a model makes of the B histories of one call."""

    def retrieve(self, k: int, eligible: Sequence[Eligible]) -> list[tuple[Array, Array]]:
        """Return per history (int64[≤k] eligible rows, float32[≤k] retrieval scores), in any order.

        At most k, and fewer only when fewer are eligible (an approximate index says what it misses as its recall).
        """
        ...

    def score(self, rows: Sequence[Array]) -> list[Array]:
        """Return per history float32[K, parts]: what the model says of int64[K] rows; a column per name in `parts`.

        A candidate's numbers do not depend on which others stand beside it.
        """
        ...


class Predict(Protocol):
    """A released model, bound to one catalogue. Pure: the same histories give the same numbers."""

    trust: float  # in 0..1, how much it has learned; weighs the part `next`
    parts: tuple[str, ...]  # names of the columns of `score`; each has its weight in `value.WEIGHTS`

    def read(self, histories: Sequence[History]) -> Reading:
        """Take in the histories of one call."""
        ...

    def because(self, history: History, rows: Array) -> list[tuple[int, float]]:
        """Return for each of int64[R] rows (index into the history, contribution) of what speaks most for it.

        (−1, 0) where nothing does, for lack of a history.
        """
        ...


Predictors = Mapping[Rung, Predict]  # what each rung above REGIONAL has at hand; one that is absent cannot be stood on
