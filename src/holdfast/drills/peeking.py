"""Peeking, simulated: A/A experiments looked at again and again, and stopped at the first "significant" look.

With an ordinary 95 % interval far more than one experiment in twenty then finds a difference that is not there. With
the always-valid interval of `core.experiments` at most one in twenty does, however often one looks. Viewers are made as
short video makes them: each has a taste of their own (Beta), and watches a number of videos that differs widely.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from holdfast.core.experiments import VIEWERS_MIN, radius

EFFECT = 0.05
TASTE = (2.0, 3.0)  # Beta: mean share of long views 0.4, s.d. 0.2
WATCHED_MEAN = 20.0  # videos in a window, geometric: many watch few
NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Peeking:
    """Share of experiments that ever showed a difference, by either interval."""

    always_valid: float
    naive: float
    runs: int
    looks: int


def outcomes(rng: np.random.Generator, size: int, lift: float = 0.0) -> np.ndarray[Any, Any]:
    """Return float64[size]: the long-view shares of as many viewers, their mean raised by `lift`."""
    taste = np.clip(rng.beta(*TASTE, size) + lift, 0.0, 1.0)
    watched = rng.geometric(1 / WATCHED_MEAN, size)
    return rng.binomial(watched, taste) / watched


def _found(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], looks: int) -> tuple[bool, bool]:
    """Look `looks` times at two growing arms: (did the always-valid, did the ordinary interval ever exclude 0)."""
    sums = [np.cumsum(x) for x in (a, b)]
    squares = [np.cumsum(x * x) for x in (a, b)]
    valid = naive = False
    for n in np.linspace(VIEWERS_MIN, a.size, looks).astype(int).tolist():
        means = [float(s[n - 1]) / n for s in sums]
        spread = sum((float(q[n - 1]) - n * m * m) / (n - 1) / n for q, m in zip(squares, means, strict=True))
        change = abs(means[1] - means[0])
        valid |= change > radius(spread, EFFECT)
        naive |= change > NORMAL_95 * spread**0.5
    return valid, naive


def aa(runs: int = 1000, viewers: int = 20_000, looks: int = 200, seed: int = 1) -> Peeking:
    """Run A/A experiments of `viewers` each, half of them in either arm, looked at `looks` times."""
    found = np.array([_run(seed, i, viewers, looks, 0.0) for i in range(runs)])
    return Peeking(float(found[:, 0].mean()), float(found[:, 1].mean()), runs, looks)


def power(runs: int = 200, viewers: int = 20_000, looks: int = 200, lift: float = 0.02, seed: int = 1) -> float:
    """Return the share of experiments that find a true lift."""
    return float(np.mean([_run(seed, i, viewers, looks, lift)[0] for i in range(runs)]))


def _run(seed: int, i: int, viewers: int, looks: int, lift: float) -> tuple[bool, bool]:
    rng = np.random.default_rng((seed, i))
    half = viewers // 2
    return _found(outcomes(rng, half), outcomes(rng, half, lift), looks)


def run(runs: int) -> dict[str, Any]:
    """Return the figures of `holdfast bench peeking`."""
    found = aa(runs)
    return {
        "runs": runs, "looks": found.looks, "viewers": 20_000, "false_positives": round(found.always_valid, 4),
        "false_positives_ordinary": round(found.naive, 4), "found_lift_0.02": round(power(min(runs, 200)), 3),
    }  # fmt: skip
