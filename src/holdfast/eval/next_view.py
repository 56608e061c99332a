"""Which video is watched long next, of all there are: hit rate at twenty, as of each moment.

Before each long view of the test every contender orders all videos, less those the viewer was shown before; a hit is
when the next long view is among the first twenty. Only then is it told (predict, then learn): the counters of all
contenders go on through the test, as a feed's do; weights stay those of the split.

    popular_24h, popular_7d    long views of the last day, or week, of the log's time
    retrieval                  softmax over all videos of a weighted sum of what a node holds: what was watched long
                               and shown lately (faded at three speeds), what was watched before, the video's own long
                               rate, and what those who watched the viewer's last videos long also watched long

The weights are fitted by maximum likelihood to QUESTIONS long views of the last taught days (conditional logit,
McFadden 1974). The log shows what its own recommender chose to show, so what was popular there is hard to beat, and
beating it says only so much.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix

from holdfast.eval.kuairand import Data
from holdfast.model.features import logit, rates

Array = NDArray[Any]

AT = 20
QUESTIONS = 800  # 170 MB of terms
HALF_LIVES_H = (6.0, 24.0, 96.0)
WINDOW = 10  # long views apart, at most, to count as watched together
LAST = 10  # long views of the viewer that co-watch starts from
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TERMS = (*(f"long_{h:.0f}h" for h in HALF_LIVES_H), "shown_24h", "before", "rate", "cowatch")
NEWTON = 15
RIDGE = 1.0


def cowatch(past: dict[str, Array] | Any, videos: int) -> csr_matrix:
    """Return [V, V]: how often one viewer watched both long within WINDOW, over the root of each one's views."""
    long = past["long"] > 0
    viewer, video = past["viewer"][long], past["video"][long]
    rows: list[Array] = []
    columns: list[Array] = []
    for apart in range(1, WINDOW + 1):
        same = viewer[apart:] == viewer[:-apart]
        rows += [video[apart:][same], video[:-apart][same]]
        columns += [video[:-apart][same], video[apart:][same]]
    r, c = np.concatenate(rows), np.concatenate(columns)
    n = np.sqrt(np.bincount(video, minlength=videos) + 10.0)
    return csr_matrix(coo_matrix((1 / (n[r] * n[c]), (r, c)), shape=(videos, videos)))


@dataclass(slots=True)
class Moment:
    """What is known now. Times in ms of the log."""

    data: Data
    together: csr_matrix
    lately: Array  # float64[len(HALF_LIVES_H) + 1, V], as of `at_ms`
    steady: Array  # float64[2, V]: terms that do not move
    at_ms: int = 0
    seen: dict[int, set[int]] = field(default_factory=dict[int, set[int]])
    last: dict[int, deque[int]] = field(default_factory=dict[int, deque[int]])
    window: dict[str, tuple[deque[tuple[int, int]], Array]] = field(default_factory=dict)  # type: ignore[type-arg]

    def terms(self, viewer: int, at_ms: int) -> Array:
        """Return float32[V, TERMS] as of `at_ms`."""
        fade = _fades(at_ms - self.at_ms)
        moving = np.log(self.lately * fade[:, None] + 0.02)
        score = np.zeros(self.steady.shape[1])
        for k, video in enumerate(reversed(self.last.get(viewer, ()))):
            at = slice(self.together.indptr[video], self.together.indptr[video + 1])
            score[self.together.indices[at]] += 0.9**k * self.together.data[at]
        return np.concatenate([moving, self.steady, np.log(score + 1e-4)[None]]).T.astype(np.float32)

    def popular(self, name: str, at_ms: int, span_ms: int) -> Array:
        """Return float64[V]: long views of the last `span_ms`."""
        events, counts = self.window[name]
        while events and events[0][0] < at_ms - span_ms:
            counts[events.popleft()[1]] -= 1
        return counts

    def open(self, viewer: int) -> Array:
        """Return bool[V]: what the viewer was not shown."""
        mask = np.ones(self.steady.shape[1], bool)
        mask[list(self.seen.get(viewer, ()))] = False
        return mask

    def learn(self, viewer: int, video: int, long: bool, at_ms: int) -> None:
        """Hear of one impression."""
        self.lately *= _fades(at_ms - self.at_ms)[:, None]
        self.at_ms = at_ms
        self.lately[-1, video] += 1
        self.seen.setdefault(viewer, set()).add(video)
        if long:
            self.lately[:-1, video] += 1
            self.last.setdefault(viewer, deque(maxlen=LAST)).append(video)
            for events, counts in self.window.values():
                events.append((at_ms, video))
                counts[video] += 1


def _fades(span_ms: int) -> Array:
    return 0.5 ** (span_ms / HOUR_MS / np.array([*HALF_LIVES_H, 24.0]))


def begin(data: Data) -> Moment:
    """Return what is known before the log begins: the past alone."""
    past, v = data.past, len(data.videos)
    shown = np.bincount(past["video"], minlength=v)
    rate = rates(past["video"], past["long"], v, 20.0, float(past["long"].mean()))
    steady = np.stack([np.log1p(shown), logit(rate)])
    began_ms = int(data.column["time_ms"][0])
    moment = Moment(data, cowatch(past, v), np.zeros((len(HALF_LIVES_H) + 1, v)), steady, began_ms)
    for viewer, video, long in zip(past["viewer"].tolist(), past["video"].tolist(), past["long"].tolist(), strict=True):
        moment.seen.setdefault(viewer, set()).add(video)
        if long:
            moment.last.setdefault(viewer, deque(maxlen=LAST)).append(video)
    moment.window = {name: (deque(), np.zeros(v)) for name in ("popular_24h", "popular_7d")}
    return moment


def run(data: Data, seed: int) -> tuple[dict[str, Array], Array, dict[str, float]]:
    """Return each contender's hits float64[Q], the viewers int64[Q] they are of, and the weights of the retrieval."""
    c = data.column
    moment = begin(data)
    long = c["long"] > 0
    taught = np.flatnonzero(data.taught & long)
    late = taught[len(taught) // 2 :]  # the counters have filled by then
    some = set(np.random.default_rng(seed).permutation(late)[:QUESTIONS].tolist())
    kept: list[tuple[Array, int]] = []
    hits: dict[str, list[float]] = {name: [] for name in ("retrieval", "popular_24h", "popular_7d")}
    viewers: list[int] = []
    weights = np.zeros(len(TERMS))
    columns = (c["viewer"].tolist(), c["video"].tolist(), long.tolist(), c["time_ms"].tolist(), data.taught.tolist())
    for row, (viewer, video, liked, at_ms, learned) in enumerate(zip(*columns, strict=True)):
        if not learned and kept:
            weights = _fitted(kept)
            kept = []
        if row in some and video not in moment.seen.get(viewer, ()):
            kept.append(_question(moment, viewer, video, at_ms))
        if not learned and liked:
            mask = moment.open(viewer)
            viewers.append(viewer)
            hits["retrieval"].append(_hit(moment.terms(viewer, at_ms) @ weights, mask, video))
            for name, span in (("popular_24h", DAY_MS), ("popular_7d", 7 * DAY_MS)):
                hits[name].append(_hit(moment.popular(name, at_ms, span), mask, video))
        moment.learn(viewer, video, liked, at_ms)
    found = {name: np.array(values) for name, values in hits.items()}
    return found, np.array(viewers), dict(zip(TERMS, weights.round(3).tolist(), strict=True))


def _question(moment: Moment, viewer: int, video: int, at_ms: int) -> tuple[Array, int]:
    """Terms of what is open to the viewer, [n, TERMS], and at which of them the answer stands."""
    mask = moment.open(viewer)
    return moment.terms(viewer, at_ms)[mask], int(mask[:video].sum())


def _fitted(questions: list[tuple[Array, int]]) -> Array:
    """Newton's method for the conditional logit, with a weak ridge."""
    w = np.zeros(len(TERMS))
    for _ in range(NEWTON):
        slope, curve = -RIDGE * w, RIDGE * np.eye(len(w))
        for terms, answer in questions:
            z = terms @ w
            p = np.exp(z - z.max())
            p = p / p.sum()
            mean = p @ terms
            slope += terms[answer] - mean
            curve += (terms * p[:, None]).T @ terms - np.outer(mean, mean)
        step = np.linalg.solve(curve, slope)
        w = w + step / max(1.0, float(np.abs(step).max()))
    return w


def _hit(scores: Array, mask: Array, video: int) -> float:
    """1 if `video` is among the AT best of what is open; ties over the edge count in part, a seen video not at all."""
    if not mask[video]:
        return 0.0
    open_scores = scores[mask]
    above = int((open_scores > scores[video]).sum())
    same = int((open_scores == scores[video]).sum())
    return float(np.clip((AT - above) / same, 0.0, 1.0))
