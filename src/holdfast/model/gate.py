"""The gate: which models are let out. Refused are broken ones, and those surely worse than what they would replace.

"Surely" is a paired 95 % interval on the newest held-out slates: a candidate that merely looks worse on a handful
passes (it is fresher). Two questions are asked (`evaluate`): which of the shown was preferred, and was the next long
view among the top twenty of all. Each is blind on one side, so a candidate is refused when it is surely worse by one
and no better by the other, against the incumbent or against plain popularity. One that is surely better than the
incumbent goes out even so: what it would be refused for serves meanwhile, only older.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from holdfast.model.evaluate import Example, Judges, Log, Paired, area, ask, ask_network, ask_over_all, hit, paired
from holdfast.model.linear import Linear, LinearModel

EXAMPLES_MIN = 30  # fewer slates than these decide nothing about quality
NETWORK_ASKED = 256  # newest held-out slates that a network is asked about


@dataclass(frozen=True, slots=True)
class Judgement:
    """May the candidate go out, and why, in one line that the release carries. `figures` for the release."""

    released: bool
    why: str
    figures: dict[str, float]


def judge(model: LinearModel, candidate: Linear, incumbent: Linear | None, log: Log) -> Judgement:
    """Judge a candidate (`model`, bound as `candidate`) on held-out slates beside the incumbent and popularity."""
    if not model.finite():
        return Judgement(False, "refused: it holds weights that are not numbers", {})
    slates, questions = [e for e in log.examples if e.telling], list(log.questions)
    if len(slates) < EXAMPLES_MIN:
        return Judgement(True, f"released: {len(slates)} held-out slates tell, too few to judge", {})
    areas, hits = [ask(candidate, e) for e in slates], [ask_over_all(candidate, q) for q in questions]
    rivals: dict[str, tuple[list[float], list[float]]] = {}
    if incumbent is not None:
        rivals["incumbent"] = ([ask(incumbent, e) for e in slates], [ask_over_all(incumbent, q) for q in questions])
    rivals["popularity"] = ([area(e.heat, e) for e in slates], [hit(q.heat, q.at) for q in questions])
    better = False  # than what serves
    told: list[str] = []
    figures = {"auc": round(sum(areas) / len(areas), 4), "judged": float(len(areas))}
    for name, (their_areas, their_hits) in rivals.items():
        within, over_all = paired(areas, their_areas), paired(hits, their_hits)
        figures[f"auc_{name}"] = round(sum(their_areas) / len(their_areas), 4)
        told.append(f"against {name} AUC {_words(within)}, hit@20 {_words(over_all)}")
        if name == "incumbent":
            better = _surely_better(within, over_all) or _surely_better(over_all, within)
        if not better and (_surely_worse(within, over_all) or _surely_worse(over_all, within)):
            return Judgement(False, f"refused: {told[-1]}, on {within.n} held-out slates", figures)
    return Judgement(True, f"released: {'; '.join(told)}; on {len(areas)} held-out slates", figures)


def for_networks(judged: Iterable[Example]) -> list[Example]:
    """Return the newest held-out slates that tell, and that carry the signals they were served with."""
    return [e for e in judged if e.telling and e.fixed is not None][-NETWORK_ASKED:]


def judge_networks(
    candidate: Judges | None, incumbent: Judges | None, linear: Linear, slates: list[Example]
) -> tuple[Judgement, bool]:
    """Judge a network beside the one that serves, LINEAR and popularity, all asked about the same slates.

    `candidate`: None if it holds weights that are not numbers. Returns also whether the incumbent is surely behind
    LINEAR and should be taken back.
    """
    if candidate is None:
        return judge_network(False, [], {}, first=incumbent is None), False
    rivals = {"popularity": [area(e.heat, e) for e in slates], "LINEAR": [ask(linear, e) for e in slates]}
    if incumbent is not None:
        rivals["incumbent"] = ask_network(incumbent, slates)
    judgement = judge_network(True, ask_network(candidate, slates), rivals, first=incumbent is None)
    return judgement, incumbent is not None and surely_behind(rivals["incumbent"], rivals["LINEAR"])


def judge_network(finite: bool, areas: list[float], rivals: Mapping[str, list[float]], *, first: bool) -> Judgement:
    """Judge a network by its areas on held-out slates beside those of its rivals on the same slates.

    Stricter than for LINEAR, which stands below it and can go on: too few slates to tell is a no; so is being surely
    worse than any rival; and the `first` network must not so much as look worse than any.
    """
    if not finite:
        return Judgement(False, "refused: it holds weights that are not numbers", {})
    if len(areas) < EXAMPLES_MIN:
        return Judgement(False, f"not yet: {len(areas)} held-out slates tell, {EXAMPLES_MIN} are needed", {})
    figures = {"auc": round(sum(areas) / len(areas), 4), "judged": float(len(areas))}
    told: list[str] = []
    for name, theirs in rivals.items():
        within = paired(areas, theirs)
        figures[f"auc_{name}"] = round(sum(theirs) / len(theirs), 4)
        told.append(f"against {name} AUC {_words(within)}")
        if within.high < 0 or (first and within.mean < 0):
            return Judgement(False, f"refused: {told[-1]}, on {within.n} held-out slates", figures)
    return Judgement(True, f"to a canary: {'; '.join(told)}; on {len(areas)} held-out slates", figures)


def surely_behind(ours: list[float], theirs: list[float]) -> bool:
    """Say whether one list of figures is surely below another of the same examples."""
    return len(ours) >= EXAMPLES_MIN and paired(ours, theirs).high < 0


def _surely_worse(by_one: Paired, by_other: Paired) -> bool:
    return by_one.high < 0 and by_other.mean <= 0


def _surely_better(by_one: Paired, by_other: Paired) -> bool:
    return by_one.low > 0 and by_other.mean >= 0


def _words(p: Paired) -> str:
    return f"{p.mean:+.3f} [{p.low:+.3f}, {p.high:+.3f}]"
