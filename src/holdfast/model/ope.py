"""Off-policy evaluation: what another policy would have earned, from a log that says how likely each choice was.

A log of one policy answers for another where each row carries its *propensity*, the probability with which the shown
item was drawn: a row counts `weight = target's probability / propensity`. Three estimates, each with its price:

    IPS     mean(weight · reward)                  unbiased; a rare draw with a large weight shakes it
    SNIPS   Σ weight · reward / Σ weight           steadier; biased by 1/n (Swaminathan and Joachims, NeurIPS 2015)
    DR      mean(q̂(target) + weight · (reward − q̂))   right if either the propensities or the reward model q̂ are
            (Dudík et al., ICML 2011)

Weights are capped at √n (truncated importance sampling, Ionides 2008), which bounds what one row can say for a bias
that vanishes; how many rows met the cap is part of the answer, as is the effective sample size (Σw)²/Σw² (Kish):
below a hundred the intervals are guesses. `mean_weight` is 1 if the propensities are true and cover the target: a
free check.

Pure: arrays in, numbers out; chance is a seed. Intervals are percentile bootstraps over rows.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.entries import SlateServed

Array = NDArray[Any]
RESAMPLES = 1000
PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Rounds:
    """N logged choices, float64[N] each.

    `reward`; `propensity` > 0 under the log's policy; `target` ≥ 0: the probability of the same choice under the policy
    asked about; `model`: q̂ of the choice made; `expected`: q̂ averaged over the target's choices (both 0: no model).
    """

    reward: Array
    propensity: Array
    target: Array
    model: Array
    expected: Array

    def __post_init__(self) -> None:
        n = len(self.reward)
        assert n and all(len(a) == n for a in (self.propensity, self.target, self.model, self.expected))
        assert (self.propensity > 0).all() and (self.target >= 0).all()


def estimates(rounds: Rounds, seed: int = 0) -> dict[str, Any]:
    """Return `{ips, snips, dr: {value, low, high}, mean_weight, effective_n, capped, n}`."""
    n = len(rounds.reward)
    raw = rounds.target / rounds.propensity
    w = np.minimum(raw, max(np.sqrt(n), 1.0))
    gain, left = w * rounds.reward, rounds.expected + w * (rounds.reward - rounds.model)
    rng = np.random.default_rng(seed)
    draws = np.empty((RESAMPLES, 3))
    for i in range(RESAMPLES):
        rows = rng.integers(0, n, n)
        draws[i] = _three(gain[rows], w[rows], left[rows])
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    value = _three(gain, w, left)
    found: dict[str, Any] = {
        name: {"value": float(value[i]), "low": float(low[i]), "high": float(high[i])}
        for i, name in enumerate(("ips", "snips", "dr"))
    }
    effective = float(w.sum() ** 2 / max((w * w).sum(), 1e-12))
    return {**found, "mean_weight": float(raw.mean()), "effective_n": effective, "capped": int((raw > w).sum()), "n": n}


def _three(gain: Array, w: Array, left: Array) -> tuple[float, float, float]:
    return float(gain.mean()), float(gain.sum() / max(w.sum(), 1e-12)), float(left.mean())


def tabular(arm: Array, reward: Array, place: Array, target: Array, seed: int = 0) -> tuple[Array, Array]:
    """Return (`model`, `expected`) float64[N] of a table q̂[place, arm], cross-fitted on two halves.

    arm, place: int64[N]; `target` float64[P, A] the probability of each arm at each place. A cell's rate is drawn to
    its arm's, an arm's to all. No row is judged by a table that it taught.
    """
    half = np.random.default_rng((seed, len(arm))).random(len(arm)) < 0.5  # a stream that the log did not use
    model, expected = np.empty(len(arm)), np.empty(len(arm))
    places, arms = target.shape
    for own in (half, ~half):
        rest = ~own
        mean = float(reward[rest].mean()) if rest.any() else 0.0
        by_arm = (np.bincount(arm[rest], reward[rest], arms) + 50 * mean) / (
            np.bincount(arm[rest], minlength=arms) + 50
        )
        cell = place[rest] * arms + arm[rest]
        q = np.bincount(cell, reward[rest], places * arms) + 50 * np.tile(by_arm, places)
        q = (q / (np.bincount(cell, minlength=places * arms) + 50)).reshape(places, arms)
        model[own] = q[place[own], arm[own]]
        expected[own] = (q * target).sum(1)[place[own]]
    return model, expected


def of_slates(
    slates: Iterable[SlateServed], reward: Mapping[tuple[str, str], float], chance: Callable[[SlateServed, str], float]
) -> Rounds | None:
    """Return the drawn places of Holdfast's own slates as rounds, None if there is none.

    A slate shows one item drawn uniformly and says with what probability (`drawn`, `propensity_ppm`). `reward` is what
    came of (slate id, item), 0 where nothing did; `chance(slate, item)` is the probability with which the policy asked
    about would have put that item there. Places chosen without chance cannot answer, so they are left out.
    """
    rows: list[tuple[float, float, float]] = []
    for slate in slates:
        if 0 <= slate.drawn < len(slate.items) and slate.propensity_ppm > 0:
            item = slate.items[slate.drawn]
            rows.append((reward.get((slate.slate, item), 0.0), slate.propensity_ppm / PPM, chance(slate, item)))
    if not rows:
        return None
    table = np.array(rows)
    return Rounds(table[:, 0], table[:, 1], table[:, 2], np.zeros(len(rows)), np.zeros(len(rows)))
