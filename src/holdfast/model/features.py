"""The numbers the ranker reads of one viewer and one candidate, as of a moment: decayed counters turned into rates.

A counter fades: what happened HALF_LIFE ago counts half. Fading by forward decay (Cormode et al., ICDE 2009) adds each
event with a weight that grows with its time and divides at reading, so nothing is touched between events and the sum
does not depend on the order of arrival. A rate of few events is drawn towards the rate above it (creator and topic
towards all, a viewer with a creator towards the viewer): `rate = (count + strength · prior) / (shown + strength)`.

Everything is *as of a moment*: training reads the counters before it adds what came of the showing, so that a row never
sees its own outcome, nor serving anything that training did not have.

`FEATURES` names the columns that `counters` returns, in order. A deployment or an evaluation may append columns of its
own; the ranker's shape says how many there are.
"""

from dataclasses import dataclass

import numpy as np

DONE = ("shown", "long", "like", "share", "skip", "hide")  # columns of a tally
PRIOR = np.array([1.0, 0.3, 0.02, 0.005, 0.35, 0.002])  # rates of nobody in particular
HALF_LIFE_S = 7 * 86_400.0
STRENGTH = {"video": 20.0, "creator": 20.0, "topic": 50.0, "viewer": 5.0, "pair": 3.0}
EXPONENT_MAX = 60.0  # beyond this a tally moves its landmark: 2**60 still adds exactly enough in float64

FEATURES = (
    "video_shown", "video_long", "video_like", "video_share", "video_skip", "video_hide",  # log count, then logit rates
    "creator_shown", "creator_long", "creator_like", "creator_skip",
    "topic_shown", "topic_long", "topic_like", "topic_skip",  # mean over the candidate's tags
    "viewer_shown", "viewer_long", "viewer_like", "viewer_skip",
    "viewer_creator_shown", "viewer_creator_long",  # this viewer with this creator
    "viewer_topic_shown", "viewer_topic_long",  # this viewer with these tags
    "times_seen",  # log(1 + times this viewer was shown this video before)
    "length",  # log(1 + seconds), 0 = not known
    "age",  # log(1 + hours since publication)
    "position",  # log(1 + place in the slate); serving scores every candidate at place 0
)  # fmt: skip


class Tally:
    """Decayed counts of N things × DONE. Times in seconds, any origin; owned by one fold."""

    def __init__(self, size: int, half_life_s: float = HALF_LIFE_S) -> None:
        self.sums = np.zeros((size, len(DONE)))
        self.landmark_s = 0.0
        self.half_life_s = half_life_s

    def add(self, rows: np.ndarray, done: np.ndarray, at_s: float) -> None:
        """Count `done` float[n, 6] for `rows` int[n] (a row may stand there twice), all at one time."""
        exponent = (at_s - self.landmark_s) / self.half_life_s
        if abs(exponent) > EXPONENT_MAX:
            self.sums *= 2.0**-exponent
            self.landmark_s, exponent = at_s, 0.0
        np.add.at(self.sums, rows, done * 2.0**exponent)

    def as_of(self, rows: np.ndarray, at_s: float) -> np.ndarray:
        """Return float[n, 6]: the counts of `rows` as they stand at `at_s`."""
        return self.sums[rows] * 2.0 ** -((at_s - self.landmark_s) / self.half_life_s)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of K candidates beside counts; arrays float[K]."""

    times_seen: np.ndarray
    length_s: np.ndarray
    age_h: np.ndarray
    position: np.ndarray


def counters(
    video: np.ndarray, creator: np.ndarray, topic: np.ndarray, viewer: np.ndarray, with_creator: np.ndarray,
    with_topic: np.ndarray, facts: Facts,
) -> np.ndarray:  # fmt: skip
    """Return float32[K, F] in the order of FEATURES.

    Each of the first six is float[K, 6], decayed counts in the order of DONE: the candidate, its creator, the mean of
    its tags, the viewer (the same row K times), the viewer with the creator, the viewer with the tags (mean).
    """
    own = rates(viewer, PRIOR, STRENGTH["viewer"])
    columns = [
        _block(video, PRIOR, "video", ("long", "like", "share", "skip", "hide")),
        _block(creator, PRIOR, "creator", ("long", "like", "skip")),
        _block(topic, PRIOR, "topic", ("long", "like", "skip")),
        _block(viewer, PRIOR, "viewer", ("long", "like", "skip")),
        _block(with_creator, own, "pair", ("long",)),
        _block(with_topic, own, "pair", ("long",)),
        np.log1p(np.stack([facts.times_seen, facts.length_s, facts.age_h, facts.position], -1)),
    ]
    return np.concatenate(columns, -1).astype(np.float32)


def rates(counts: np.ndarray, prior: np.ndarray, strength: float) -> np.ndarray:
    """Return float[K, 6]: counts over showings, drawn towards `prior` by `strength` showings; 0..1."""
    return np.clip((counts + strength * prior) / (counts[..., :1] + strength), 1e-4, 1 - 1e-4)


def _block(counts: np.ndarray, prior: np.ndarray, of: str, done: tuple[str, ...]) -> np.ndarray:
    """log(1 + shown), then the logit of each rate."""
    rate = rates(counts, prior, STRENGTH[of])[..., [DONE.index(d) for d in done]]
    return np.concatenate([np.log1p(counts[..., :1]), np.log(rate / (1 - rate))], -1)
