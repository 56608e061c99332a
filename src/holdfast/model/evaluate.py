"""How good a model is on what it has not seen, beside what is popular.

One slate in HOLD_OUT is never learned from. Two questions are put to it. *Within the slate*: of a video watched long
and one not, which did the score prefer (area under the curve)? Both were shown, so it does not matter who chose what to
show. *Over the whole catalogue*: was the next long view among the top 20 (hit rate, never over sampled negatives)? That
is what people compare, but it flatters whatever filled the slates: after a day of REGIONAL, popularity looks
unbeatable. So neither question decides alone (`gate`).

Candidate, incumbent and popularity are asked about the same slates, so differences are paired and small ones tell.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed import value
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.viewer import History
from holdfast.model import signals
from holdfast.model.linear import Linear

Array = NDArray[Any]

AT = 20
HOLD_OUT = 8
ASKED = 192  # questions over all; each keeps the rows that were open, 8 bytes an item
ASKED_ROWS = 4_000_000  # of all questions together, or judging takes longer than solving; no fewer than ASKED_LEAST
ASKED_LEAST = 32
LOGGED = 512  # slates; they tell areas apart that differ by about 0.03
Z = 1.96  # two-sided 95 %


@dataclass(frozen=True, slots=True)
class Example:
    """A held-out slate: the history before it; per video shown: int64[K] row, bool[K] watched long, float32[K] heat.

    `fixed`: int16[K, F] signals as the slate's entry carries them (`model.signals`), where one knows them.
    """

    history: History
    rows: Array
    long: Array
    heat: Array
    fixed: Array | None = None

    @property
    def telling(self) -> bool:
        """Some were watched long and some were not."""
        return bool(self.long.any() and not self.long.all())


@dataclass(frozen=True, slots=True)
class Question:
    """A held-out next long view: the history before it, all int32[M] rows that could be shown with their heat, and
    at which of them the answer stands."""

    history: History
    rows: Array
    heat: Array
    at: int


def area(score: Array, example: Example) -> float:
    """Return how often float[K] scores put a video watched long above one that was not; ties count half."""
    ahead = score[example.long][:, None] - score[~example.long][None, :]
    return float(((ahead > 0) + 0.5 * (ahead == 0)).mean())


def scored(model: Linear, history: History, rows: Array, heat: Array, catalogue: Catalogue) -> Array:
    """Return float32[K]: the score that the LINEAR rung gives these rows with this model."""
    taste = value.taste_of(rows, value.tastes(history, catalogue), catalogue)
    few = rows.size < catalogue.n // 16  # else reading all rows at once is quicker
    linear = model.read([history]).score([rows])[0][:, 0] if few else model.scores([history])[0][rows]
    columns = {"next": linear, "taste": taste, "heat": heat}
    return value.score(value.parts(Rung.LINEAR, columns, rows.size, model.trust), Rung.LINEAR)


def ask(model: Linear, example: Example) -> float:
    """Return the area of the model on one held-out slate."""
    return area(scored(model, example.history, example.rows, example.heat, model.catalogue), example)


def ask_over_all(model: Linear, question: Question) -> float:
    """Return the hit of the model on one question over the whole catalogue."""
    return hit(scored(model, question.history, question.rows, question.heat, model.catalogue), question.at)


class Judges(Protocol):
    """What can be asked of a network beside `Predict`: its word on showings with the signals they were served by."""

    parts: tuple[str, ...]

    def judged(self, examples: Sequence[Example]) -> list[Array]:
        """Return per example float32[K, A]: P(action) of each video shown, in the order of `parts`."""
        ...


def ask_network(network: Judges, examples: Sequence[Example]) -> list[float]:
    """Return the area of the score that the FULL rung gives with this network, per held-out slate."""
    areas: list[float] = []
    for example, said in zip(examples, network.judged(examples), strict=True):
        columns = dict(zip(network.parts, said.T, strict=True))
        columns["heat"] = example.heat
        columns["taste"] = _signal(example, "taste")
        areas.append(area(value.score(value.parts(Rung.FULL, columns, example.rows.size), Rung.FULL), example))
    return areas


def _signal(example: Example, name: str) -> Array:
    assert example.fixed is not None
    return signals.floats(example.fixed)[:, signals.NAMES.index(name)]


def hit(score: Array, at: int) -> float:
    """Return how much of candidate `at` lies in the top AT of float[K]: 1, 0, or a share when it ties over the edge."""
    above, level = int((score > score[at]).sum()), int((score == score[at]).sum())
    return min(1.0, max(0.0, (AT - above) / level))


@dataclass(frozen=True, slots=True)
class Paired:
    """The mean of paired differences and its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


def paired(a: list[float], b: list[float]) -> Paired:
    """Compare two lists of figures for the same examples: a − b. Normal interval; −1..1 below two examples."""
    n = len(a)
    if n < 2:
        return Paired(0.0, -1.0, 1.0, n)
    d = np.array(a) - np.array(b)
    mean, half = float(d.mean()), Z * float(d.std(ddof=1)) / sqrt(n)
    return Paired(mean, mean - half, mean + half, n)


class Log:
    """The newest held-out slates, and progressive hit rates of the model then serving and of popularity."""

    def __init__(self) -> None:
        self.examples: deque[Example] = deque(maxlen=LOGGED)
        self.questions: deque[Question] = deque(maxlen=ASKED)
        self.model_hits: deque[float] = deque(maxlen=LOGGED)
        self.popular_hits: deque[float] = deque(maxlen=LOGGED)

    @property
    def full(self) -> bool:
        """Say whether a new question would drop an old one."""
        rows = sum(q.rows.size for q in self.questions)
        return len(self.questions) == ASKED or (len(self.questions) > ASKED_LEAST and rows > ASKED_ROWS)

    def put(self, question: Question) -> None:
        """Keep a question, as the newest."""
        if self.full:
            self.questions.popleft()
        self.questions.append(question)

    def figures(self) -> dict[str, float]:
        """Return the progressive hit rates so far: {} before the first model."""
        if not self.model_hits:
            return {}
        return {
            "hit_rate_at_20": round(float(np.mean(self.model_hits)), 4),
            "popular_hit_rate_at_20": round(float(np.mean(self.popular_hits)), 4),
            "asked": float(len(self.model_hits)),
        }
