"""`holdfast eval bandit DIR`: off-policy estimates on a real log with true propensities, and whether they hold.

The logs (Open Bandit, a shop's fashion banners) were written by one learning policy, Bernoulli Thompson sampling, whose
probabilities moved from day to day. That gives two questions:

    uniform        what would showing items at random have earned? No answer is in the file; the mean weight must be 1
    halves         the policy of the second half of the week, judged from the first half's log, against what the second
                   half truly earned, and the other way round: a check with an answer

A half's policy is how often it showed each item at each place. `covered`: zero lies in the 95 % interval of (estimate −
truth), both sides uncertain: the truth is a mean of few clicks too.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.adapters import openbandit
from holdfast.adapters.openbandit import Shown
from holdfast.model import ope

Array = NDArray[Any]
Z = 1.96


def run(folder: Path, seed: int) -> dict[str, Any]:
    """Return per campaign `{n, clicks, rate, items, uniform: {…}, halves: {second_from_first: {…}, …}}`."""
    return {name: campaign(openbandit.read(path), seed) for name, path in openbandit.campaigns(folder).items()}


def campaign(shown: Shown, seed: int) -> dict[str, Any]:
    """Return one campaign's figures."""
    places, arms = int(shown.place.max()) + 1, int(shown.item.max()) + 1
    uniform = np.full((places, arms), 1 / arms)
    middle = len(shown.item) // 2
    first, second = _part(shown, slice(0, middle)), _part(shown, slice(middle, None))
    return {
        "n": len(shown.click), "clicks": int(shown.click.sum()), "rate": float(shown.click.mean()), "items": arms,
        "uniform": judged(shown, uniform, seed),
        "halves": {
            "second_from_first": _against(first, second, (places, arms), seed),
            "first_from_second": _against(second, first, (places, arms), seed),
        },
    }  # fmt: skip


def judged(shown: Shown, target: Array, seed: int) -> dict[str, Any]:
    """Return the estimates for a policy `target` float64[places, arms] from the log of another."""
    model, expected = ope.tabular(shown.item, shown.click, shown.place, target, seed)
    chance = target[shown.place, shown.item]
    return ope.estimates(ope.Rounds(shown.click, shown.propensity, chance, model, expected), seed)


def _against(log: Shown, other: Shown, size: tuple[int, int], seed: int) -> dict[str, Any]:
    """Judge `other`'s policy from `log`, and hold it against what `other` earned."""
    count = np.bincount(other.place * size[1] + other.item, minlength=size[0] * size[1]).reshape(size)
    policy = count / np.maximum(count.sum(1, keepdims=True), 1)
    found = judged(log, policy, seed)
    truth, spread = float(other.click.mean()), float(other.click.std() / np.sqrt(len(other.click)))
    for name in ("ips", "snips", "dr"):
        row = found[name]
        error = (row["high"] - row["low"]) / (2 * Z)
        row["covered"] = bool(abs(row["value"] - truth) <= Z * float(np.hypot(error, spread)))
    return {**found, "truth": truth}


def _part(shown: Shown, rows: slice) -> Shown:
    return Shown(shown.item[rows], shown.place[rows], shown.click[rows], shown.propensity[rows])


def rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the table for people: campaign, policy, estimator, value, interval, truth, covered, effective n."""
    found: list[tuple[str, ...]] = []
    for name, c in result.items():
        found.append((name, "its own", "mean", f"{c['rate']:.4f}", "", "", "", str(c["n"])))
        for policy, row in (("uniform", c["uniform"]), *c["halves"].items()):
            for kind in ("ips", "snips", "dr"):
                e, truth = row[kind], row.get("truth")
                answer = ("", "") if truth is None else (f"{truth:.4f}", "yes" if e["covered"] else "no")
                found.append((name, policy.replace("_", " "), kind.upper(), f"{e['value']:.4f}",
                              f"{e['low']:.4f}–{e['high']:.4f}", *answer, f"{row['effective_n']:.0f}"))  # fmt: skip
    return found
