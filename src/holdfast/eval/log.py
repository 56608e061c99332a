"""`holdfast eval log kuairand DIR`: how well FULL's ranker foresees what viewers do, beside what a team would try.

Trained on one side of a day, asked about the other, nothing carried across: every contender stands as it stood on the
last taught evening. Three questions. *Of two impressions, which was watched long* (AUC over all, GAUC within a viewer);
*how likely is it* (calibration); *which video of all is watched long next* (hit rate at twenty, as of each moment).

    network   the ranker's eight heads (`log_ranker`)
    trees     boosted trees over the same columns as the network
    FULL      the mean of their logits: the two err differently. The parts stand in the answer beside the whole.

Each part is a mean over SEEDS, each with its own folds of the encodings, so that the noise of the folds averages out.

A tree ensemble beside a network is old practice (He et al., ADKDD 2014). FULL as it is served has LINEAR's score among
its signals and no trees: `parts.network` is what serving could have.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.eval import baselines, columns, earlier, next_view
from holdfast.eval.areas import Areas, Asked, compared, shares
from holdfast.eval.calibration import calibration
from holdfast.eval.kuairand import Data, load
from holdfast.model.features import logit

Array = NDArray[Any]
Say = Callable[[str], None]
ACTIONS = {"long_view": "long", "like": "like"}
PARTS = ("network", "trees")
SEEDS = 3
ROUNDS = 300  # of the trees; the few columns need fewer than the baseline's


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked. `minutes` bounds the training of networks: fewer seeds when the machine is slow, at least one."""

    train_until: date | None = None
    test: Path | None = None
    seed: int = 0
    minutes: float = 15.0


def run(folder: Path, options: Options, say: Say) -> dict[str, Any]:
    """Return the figures: `{split, long_view, like, baselines, parts, hit_at_20…, calibration, trained}`.

    Raises Refused if a file is not sound (its line), or the split leaves a side empty.
    """
    begun = time.monotonic()
    data = load(folder, options.train_until, options.test)
    split = data.split
    say(f"{split['trained_on']} impressions until {split['train_until']}, {split['tested_on']} asked about")
    scores, trained = predicted(data, options, say)
    asked = ~data.taught
    table: dict[str, dict[str, Any]] = {}
    for action, of in ACTIONS.items():
        test = Asked(data.column["viewer"][asked], data.column[of][asked])
        table[action] = compared({name: Areas(test, s) for name, s in scores[action].items()}, options.seed)
    say(f"intervals: {time.monotonic() - begun:.0f} s")
    hits, viewers, weights = next_view.run(data, options.seed)
    found = shares(viewers, hits, options.seed)
    result = told(table, found)
    result["calibration"] = {
        action: calibration(scores[action]["FULL"], data.column[of][asked]) for action, of in ACTIONS.items()
    }
    seconds = round(time.monotonic() - begun, 1)
    return {**result, "hit_at_20_asked": len(viewers), "split": dict(split),
            "trained": {**trained, "retrieval": weights, "seconds_in_all": seconds}}  # fmt: skip


def predicted(data: Data, options: Options, say: Say) -> tuple[dict[str, dict[str, Array]], dict[str, Any]]:
    """Return each contender's probabilities float64[asked] per action, and how FULL was trained."""
    from holdfast.eval import log_ranker
    from holdfast.model.ranker import HEADS

    scores: dict[str, dict[str, Array]] = {action: {} for action in ACTIONS}
    until_s = time.monotonic() + 60 * options.minutes
    known = earlier.expected(data, options.seed)
    say("earlier views: learned")
    seeds = range(options.seed, options.seed + SEEDS)
    own = [columns.matrix(columns.network(data, seed, known)) for seed in seeds]
    heads, trained = log_ranker.predict(data, log_ranker.Recipe(), own, options.seed, until_s, say)
    for action, of in ACTIONS.items():
        net = heads[:, HEADS.index(of)]
        each = [logit(baselines.boosted(own[k], data, of, seed, ROUNDS)) for k, seed in enumerate(seeds)]
        trees = np.mean(each, 0)
        say(f"trees, {action}: done")
        scores[action] = {
            "FULL": _chance((net + trees) / 2), "gbdt": baselines.gbdt(data, of, options.seed),
            "logits": baselines.logits(data, of), "popular_7d": baselines.popular(data, of),
            "network": _chance(net), "trees": _chance(trees),
        }  # fmt: skip
        say(f"baselines, {action}: done")
    return scores, trained


def told(table: dict[str, dict[str, dict[str, Any]]], hits: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the figures in their places: `long_view.auc`, `baselines.gbdt.auc`, `baselines.gbdt.like.auc`, …"""
    result: dict[str, Any] = {action: table[action]["FULL"] for action in ACTIONS}
    others = {name: {**table["long_view"][name], "like": table["like"][name]} for name in table["long_view"]}
    result["parts"] = {name: others[name] for name in PARTS}
    result["baselines"] = {name: row for name, row in others.items() if name not in (*PARTS, "FULL")}
    for name, row in hits.items():
        if name != "retrieval":
            place = result["baselines"].setdefault(name, {})
            place |= {"hit_at_20": row["value"], "hit_at_20_interval": row["interval"]}
    mine = hits["retrieval"]
    result |= {"hit_at_20": mine["value"], "hit_at_20_interval": mine["interval"],
               "hit_at_20_less": mine["less"]}  # fmt: skip
    return result


def rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the table for people: contender, AUC, GAUC with intervals, FULL less it, like's AUC, hit@20."""
    found: list[tuple[str, ...]] = []
    for name, row in [("FULL", result["long_view"]), *result["parts"].items(), *result["baselines"].items()]:
        hit = result.get("hit_at_20") if name == "FULL" else row.get("hit_at_20")
        cells = ["", "", "", ""]
        if "auc" in row:
            like = result["like"] if name == "FULL" else row["like"]
            less = result["long_view"]["less"].get(name)
            apart = "" if less is None else f"{_signed(less['auc'])} {_signed(less['gauc'])}"
            areas = (_ranged(row[key], row["interval"][key]) for key in ("auc", "gauc"))
            cells = [*areas, apart, f"{like['auc']:.3f}"]
        found.append((name, *cells, "" if hit is None else f"{hit:.3f}"))
    return found


def _ranged(value: float, interval: list[float]) -> str:
    return f"{value:.4f} [{interval[0]:.4f}, {interval[1]:.4f}]"


def _signed(interval: list[float]) -> str:
    return f"[{interval[0]:+.4f}, {interval[1]:+.4f}]"


def _chance(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))
