"""`holdfast eval sequences`: every rung, and what a team would try first, on one file of sequences.

The order of work is the order of honesty. Each method is chosen (λ, fades, mix, how long) by the second-to-last item,
and only the choice that won there meets the last one, once. Before it does, it learns from the second-to-last item too,
as a system in service would have; `before_refit` says what it gives without that.

    SHELF, REGIONAL   popularity: with neither time nor place in the file, that is all these two know
    LINEAR            `closed_form`: the rung's estimator, remembering at several speeds
    FULL              `sequence_network` plus LINEAR's standardised scores at a weight chosen by the validation item
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import Refused
from holdfast.eval import attributes, closed_form, neighbours, ranking
from holdfast.eval import sequence_network as net
from holdfast.eval.closed_form import ClosedForm
from holdfast.eval.splits import Layout, Split, read

Array = NDArray[Any]
Scores = Callable[[Sequence[Array]], Array]
Say = Callable[[str], None]

RUNGS = ("FULL", "LINEAR", "REGIONAL", "SHELF")
BLOCK = 512  # viewers ranked at once: 25 MB of scores at 12,000 items
CHOOSERS = 6_000  # viewers by whose validation item a choice is made
MIXES = (
    0.0,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.8,
    1.0,
    1.3,
    1.6,
    2.0,
    4.0,
    100.0,
)  # 100: LINEAR alone, where the network has learned nothing
REFIT = 0.1  # share of FULL's time that is kept for learning the validation item


@dataclass(frozen=True, slots=True)
class Options:
    """What `holdfast eval sequences` was asked."""

    rungs: tuple[str, ...] = RUNGS
    layout: Layout = "auto"
    epochs: float = 20.0
    minutes: float = 55.0
    seed: int = 0
    attributes: Path | None = None
    checkpoint: Path | None = None


class Bench:
    """One split, and how a scorer does on it."""

    def __init__(self, split: Split, say: Say) -> None:
        self.split = split
        self.say = say
        self.choosers = np.sort(np.random.default_rng(0).permutation(len(split.sequences))[:CHOOSERS])

    def choose(self, scorer: Scores) -> float:
        """Return NDCG@10 of the choosers' validation items."""
        return float(ranking.gain(self._placed(scorer, 2, self.choosers).rank).mean())

    def judge(self, name: str, scorer: Scores, seconds: float, chosen: dict[str, Any]) -> dict[str, Any]:
        """Return a row of the table: everyone's test item ranked once."""
        placed = self._placed(scorer, 1, np.arange(len(self.split.sequences)))
        row = {**ranking.figures(placed, self.split.items), "seconds": round(seconds, 1), **chosen}
        self.say(
            f"{name}: NDCG@10 {row['ndcg_at_10']:.4f}, HR@10 {row['hr_at_10']:.4f} ({row['seconds']:g} s) {chosen}"
        )
        return row

    def mix(self, scorer: Scores, other: Scores) -> float:
        """Return the share of MIXES at which `other`, standardised, helps most on the choosers' validation items."""
        histories, target = self.split.history(2), self.split.target(2)
        gains = np.zeros(len(MIXES))
        for k in range(0, len(self.choosers), BLOCK):
            some = self.choosers[k : k + BLOCK]
            seen = [histories[u] for u in some]
            own, added = scorer(seen), standard(other(seen))
            for j, share in enumerate(MIXES):
                scores = ranking.without(own + np.float32(share) * added, seen)
                gains[j] += ranking.gain(ranking.place(scores, target[some]).rank).sum()
        return MIXES[int(gains.argmax())]

    def _placed(self, scorer: Scores, held: int, viewers: Array) -> ranking.Placed:
        histories, target = self.split.history(held), self.split.target(held)
        found: list[ranking.Placed] = []
        for k in range(0, len(viewers), BLOCK):
            some = viewers[k : k + BLOCK]
            seen = [histories[u] for u in some]
            scores = np.array(scorer(seen), np.float32)  # a copy: what was seen is struck out in it
            found.append(ranking.place(ranking.without(scores, seen), target[some]))
        return ranking.Placed(*(np.concatenate(part) for part in zip(*found, strict=True)))


def run(path: Path, options: Options, say: Say) -> dict[str, Any]:
    """Evaluate. Keys: split {…}, baselines {popularity, item_knn, item_knn_recency, ease}, rungs {FULL, …}, seconds."""
    unknown = set(options.rungs) - set(RUNGS)
    if unknown:
        raise Refused(f"no rung {', '.join(sorted(unknown))} here", field="rungs", hint=f"any of {', '.join(RUNGS)}")
    began = time.monotonic()
    split = read(path, options.layout)
    tags = attributes.read(options.attributes, split.names) if options.attributes else None
    bench = Bench(split, say)
    events = sum(len(s) for s in split.sequences)
    say(f"{len(split.sequences)} viewers, {split.items} items, {events} events ({split.layout}), {split.digest[:12]}")
    baselines = _baselines(bench)
    rungs: dict[str, Any] = {name: baselines["popularity"] for name in ("SHELF", "REGIONAL") if name in options.rungs}
    if {"LINEAR", "FULL"} & set(options.rungs):
        first, second, seconds = _linear(bench)
        chosen = {"fades": list(first.fades), "ridge": first.ridge, "alpha": first.alpha}
        rungs["LINEAR"] = bench.judge("LINEAR", second.scores, seconds, chosen)
        if "FULL" in options.rungs:
            rungs["FULL"] = _full(bench, tags, (first, second), options)
    return {
        "split": {
            "digest": split.digest, "layout": split.layout, "viewers": len(split.sequences), "items": split.items,
            "events": events, "held_out": "last item of each sequence; chosen by the one before it",
        },
        "baselines": baselines,
        "rungs": rungs,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def _best(bench: Bench, candidates: Sequence[tuple[dict[str, Any], Scores]]) -> dict[str, Any]:
    """Return the choice that wins on the validation item."""
    return max(((bench.choose(scorer), -k, chosen) for k, (chosen, scorer) in enumerate(candidates)))[2]


def _baselines(bench: Bench) -> dict[str, Any]:
    split, n = bench.split, bench.split.items
    began = time.monotonic()
    rows = {"popularity": bench.judge("popularity", neighbours.popularity(split.history(1), n), 0.0, {})}
    train, final = neighbours.together(split.train(), n), neighbours.together(split.history(1), n)
    counted = time.monotonic() - began
    began = time.monotonic()
    rows["item_knn"] = bench.judge(
        "item-kNN", neighbours.item_knn(final), counted, {"neighbours": neighbours.NEIGHBOURS}
    )
    fade = _best(bench, [({"recency": r}, neighbours.item_knn(train, r)) for r in neighbours.RECENCIES])
    rows["item_knn_recency"] = bench.judge(
        "item-kNN with recency", neighbours.item_knn(final, fade["recency"]), counted + time.monotonic() - began, fade
    )
    began = time.monotonic()
    ridge = _best(bench, [({"ridge": r}, neighbours.ease(train, r)) for r in neighbours.RIDGES])
    ease = neighbours.ease(final, ridge["ridge"])
    rows["ease"] = bench.judge("EASE", ease, counted + time.monotonic() - began, ridge)
    return rows


def _linear(bench: Bench) -> tuple[ClosedForm, ClosedForm, float]:
    """Return LINEAR chosen on the validation item, the same learned again with that item, and the seconds."""
    began = time.monotonic()
    best: tuple[float, ClosedForm] | None = None
    n = bench.split.items
    for fades in closed_form.FADES:
        if len(fades) * n > closed_form.COLUMNS_MAX:
            continue
        found = closed_form.sums(bench.split.train(), fades, n)
        for ridge in closed_form.RIDGES:
            solved = closed_form.solve(found, ridge, 0.0)
            for alpha in closed_form.ALPHAS:
                model = solved.with_alpha(alpha)
                value = bench.choose(model.scores)
                if best is None or value > best[0]:
                    best = (value, model)
        bench.say(f"LINEAR with fades {fades}: best validation NDCG@10 so far {best[0] if best else 0:.4f}")
    if best is None:
        raise Refused(f"{n} items are too many for the closed form", field="file",
                      hint=f"keep the {closed_form.COLUMNS_MAX} most active, or --rungs REGIONAL")  # fmt: skip
    first = best[1]
    fitting = time.monotonic()
    second = closed_form.solve(closed_form.sums(bench.split.history(1), first.fades, n), first.ridge, first.alpha)
    bench.say(f"LINEAR learned again with the validation item in {time.monotonic() - fitting:.0f} s")
    return first, second, time.monotonic() - began


def _full(bench: Bench, tags: Array | None, linear: tuple[ClosedForm, ClosedForm], options: Options) -> dict[str, Any]:
    split = bench.split
    shape, plan = net.recipe_for(split, tags)
    plan = replace(plan, epochs=options.epochs, minutes=options.minutes * (1 - REFIT), seed=options.seed,
                   checkpoint=options.checkpoint)  # fmt: skip
    items = net.items_of(split.items, tags)
    trained = net.fit(split, shape, items, plan, bench.say)
    scorer = net.Scorer(shape, items)

    def mixed(params: Any, model: ClosedForm, share: float) -> Scores:
        return lambda seen: scorer(params, seen) + share * standard(model.scores(seen))

    mix = {"mix": bench.mix(lambda seen: scorer(trained.params, seen), linear[0].scores)}
    alone = bench.judge("network alone", mixed(trained.params, linear[0], 0.0), trained.seconds, {})
    before = bench.judge("FULL before refit", mixed(trained.params, linear[0], mix["mix"]), trained.seconds, mix)
    again = replace(
        plan, epochs=options.epochs * REFIT, minutes=options.minutes * REFIT, peak=plan.peak * REFIT,
        checkpoint=options.checkpoint and options.checkpoint.with_name(options.checkpoint.name + ".refit"),
    )  # fmt: skip
    final = net.fit(split, shape, items, again, bench.say, start=trained.params, held=1)
    seconds = trained.seconds + final.seconds
    row = bench.judge("FULL", mixed(final.params, linear[1], mix["mix"]), seconds, mix)
    keep = ("hr_at_10", "ndcg_at_10", "ndcg_at_10_low", "ndcg_at_10_high")
    return {
        **row, "epochs": round(trained.epochs + final.epochs, 1), "width": shape.width, "layers": shape.layers,
        "length": shape.length, "validation_curve": trained.probe,
        "before_refit": {k: before[k] for k in keep}, "network_alone": {k: alone[k] for k in keep},
    }  # fmt: skip


def standard(scores: Array) -> Array:
    """Return each row less its mean, over its deviation: scores of two models on one scale."""
    return (scores - scores.mean(1, keepdims=True)) / (scores.std(1, keepdims=True) + 1e-9)
