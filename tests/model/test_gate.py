"""Gate and rollout: what is let out to a canary, what widens, what goes back; and that folding says the same to all."""

import numpy as np
import pytest
from town import SMALL, Town

from holdfast.core.entries import Release, Rollout
from holdfast.core.feed.ladder import Rung
from holdfast.model import full, gate, online, release
from holdfast.model.evaluate import area, ask, ask_network
from holdfast.model.examples import HEAD, Outcome, Unit
from holdfast.model.full import Full, FullModel
from holdfast.model.rollout import COUNTED, SHARES_PPM, STARVED, STARVED_US, Line, Trial, bound, in_trial

GOOD, BAD, SERVING = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture(scope="module")
def town() -> Town:
    """A town that has watched long enough for some sixty held-out slates to tell."""
    town = Town(clips=150, viewers=40)
    town.outage = True  # what there is before the first model teaches a network nothing, as in a region
    town.round(Rung.REGIONAL)
    town.outage = False
    for _ in range(9):
        town.round(Rung.LINEAR)
    town.kept = list(town.examples.emptied())
    return town


def trained(town: Town, units: list[Unit], seed: int = 1) -> FullModel:
    trainer = online.Trainer(town.catalogue, seed, SMALL)
    for unit in units:  # as a learner that keeps up: behind a backlog each showing is looked at a third as often
        trainer.offer(unit)
        while len(trainer.waiting) >= trainer.new:
            trainer.step()
    trainer.flush()
    return release.rounded(trainer.model())


def judged(town: Town, model: FullModel, *, first: bool = True) -> gate.Judgement:
    slates = [e for e in town.examples.judged if e.telling]
    rivals = {"popularity": [area(e.heat, e) for e in slates], "LINEAR": [ask(town.linear, e) for e in slates]}
    areas = ask_network(Full(model, town.catalogue, town.linear), slates) if model.finite() else []
    return gate.judge_network(model.finite(), areas, rivals, first=first)


def with_rank(model: FullModel, **changes) -> FullModel:
    return FullModel({"net": model.params["net"], "rank": {**model.params["rank"], **changes}}, SMALL)


def test_the_gate_stops_what_is_broken_shuffled_popular_or_poisoned(town: Town) -> None:
    units = town.kept
    slates = [e for e in town.examples.judged if e.telling]
    assert len(slates) > gate.EXAMPLES_MIN
    honest = trained(town, units)
    assert judged(town, honest, first=False).released

    rank = honest.params["rank"]
    nan = with_rank(honest, out=np.full_like(rank["out"], np.nan))
    assert "not numbers" in judged(town, nan).why and not judged(town, nan).released

    dice = np.random.default_rng(0)
    flipped = [Unit(u.past, u.rows, u.fixed, _labelled(u, dice.random(len(u.rows)) < 0.5), u.weights) for u in units]
    assert not judged(town, trained(town, flipped)).released

    heat = full.signals.NAMES.index("heat")
    wide = np.zeros_like(rank["wide"])
    wide[heat * SMALL.rank.bins : (heat + 1) * SMALL.rank.bins, 0] = 3.0
    popular = with_rank(honest, out=np.zeros_like(rank["out"]), wide=wide)
    assert not judged(town, popular).released

    # clicks bought for what the viewers turn away from
    bought = [Unit(u.past, u.rows, u.fixed, _labelled(u, u.labels[:, 0] < 0.5), u.weights) for u in units]
    assert not judged(town, trained(town, bought)).released


def test_an_hour_on_regional_teaches_the_network_nothing(town: Town) -> None:
    """What popularity alone chose would: `holdfast bench guard` measured what that cost."""
    town.outage = True
    town.round(Rung.REGIONAL)
    list(town.examples.emptied())  # what had not settled when it began
    town.round(Rung.REGIONAL)
    assert not list(town.examples.emptied())
    town.outage = False
    town.round(Rung.LINEAR)
    assert list(town.examples.emptied())


def _labelled(unit: Unit, long: np.ndarray) -> np.ndarray:
    labels = unit.labels.copy()
    labels[:, HEAD["long"]] = long
    return labels


def test_too_few_slates_are_a_no_and_the_first_must_not_look_worse() -> None:
    same = [0.5] * 40
    assert not gate.judge_network(True, same[:10], {}, first=False).released
    assert gate.judge_network(True, same, {"LINEAR": same}, first=True).released
    dice = np.random.default_rng(1)
    ours = (0.6 + 0.2 * dice.standard_normal(60)).tolist()
    theirs = [x + 0.01 + 0.1 * d for x, d in zip(ours, dice.standard_normal(60), strict=True)]
    assert gate.judge_network(True, ours, {"LINEAR": theirs}, first=False).released
    assert not gate.judge_network(True, ours, {"LINEAR": theirs}, first=True).released
    assert gate.surely_behind([0.4] * 40, [0.4 + 0.01 * (k % 3 + 1) for k in range(40)])
    assert not gate.surely_behind(ours, theirs)


# -- the rollout ---------------------------------------------------------------------------------------------------


def step(sha: str, verdict: str, stamp: int, share_ppm: int = 0, figures: dict[str, float] | None = None) -> Rollout:
    return Rollout(device="learner", outbox=stamp, stamp=stamp, rung="FULL", sha=sha, verdict=verdict,
                   share_ppm=share_ppm, figures=figures or {})  # fmt: skip


def made(sha: str, stamp: int) -> Release:
    return Release(device="learner", outbox=stamp, stamp=stamp, rung="FULL", sha=sha, size=1, learned_to=1, examples=1)


def line(*entries) -> Line:
    found = Line()
    for entry in entries:
        found.hear(entry)
    return found


def test_a_canary_serves_its_share_and_what_goes_back_leaves_the_one_before() -> None:
    viewers = [f"v{k}" for k in range(2000)]
    at = line(made(SERVING, 1), step(SERVING, "serve", 2, 1_000_000), made(BAD, 3), step(BAD, "canary", 4, 125_000))
    share = sum(at.chosen(v) == BAD for v in viewers) / len(viewers)
    assert share == pytest.approx(0.125, abs=0.03)
    narrow = {v for v in viewers if at.chosen(v) == BAD}
    at.hear(step(BAD, "widen", 5, 500_000))
    assert narrow < {v for v in viewers if at.chosen(v) == BAD}
    at.hear(step(BAD, "rollback", 6))
    assert {at.chosen(v) for v in viewers} == {SERVING} and at.trial == ""
    at.hear(step(GOOD, "canary", 7, 125_000))
    at.hear(step(GOOD, "serve", 8, 1_000_000))
    assert {at.chosen(v) for v in viewers} == {GOOD}
    at.hear(step(GOOD, "rollback", 9))
    assert {at.chosen(v) for v in viewers} == {SERVING}
    at.hear(step(SERVING, "rollback", 10))
    assert at.chosen("v1") == ""  # none left: LINEAR serves
    assert not at.hear(step(BAD, "serve", 3, 1_000_000))  # older than what was decided since


def test_failed_trials_do_not_push_out_what_serves() -> None:
    at = line(made(GOOD, 1), step(GOOD, "serve", 2, 1_000_000), made(SERVING, 3), step(SERVING, "serve", 4, 1_000_000))
    for k in range(20):
        bad = f"{k:064x}"
        at.hear(made(bad, 10 + 3 * k))
        at.hear(step(bad, "canary", 11 + 3 * k, 125_000))
        at.hear(step(bad, "rollback", 12 + 3 * k))
    again = line(*at.steps, *at.releases.values())  # as a snapshot hears it
    assert (again.serving, again.before, again.since, again.trial) == (SERVING, [GOOD], at.since, "")
    assert again.releases.keys() == at.releases.keys() == {SERVING, GOOD}


def test_a_trial_that_nobody_is_shown_ends() -> None:
    dice = np.random.default_rng(4)
    at = line(made(SERVING, 1), step(SERVING, "serve", 2, 1_000_000), step(GOOD, "canary", 10, SHARES_PPM[0]))
    trial = Trial()
    trial.see(outcomes(5000, 0.4, SERVING, 11, dice))
    assert trial.step(at).verdict == ""  # begun this moment: no node has loaded it yet
    trial.see(outcomes(STARVED - 1, 0.4, SERVING, 11 + STARVED_US, dice))
    assert trial.step(at).verdict == ""
    trial.see(outcomes(1, 0.4, SERVING, 11 + STARVED_US, dice))
    assert trial.step(at).verdict == "rollback"


def test_shares_nest() -> None:
    for k in range(300):
        was = False
        for share in SHARES_PPM:
            now = in_trial(GOOD, f"v{k}", share)
            assert now or not was
            was = now
        assert was


def outcomes(count: int, rate: float, release: str, stamp: int, dice) -> list[Outcome]:
    return [Outcome(stamp, f"v{k}", release, bool(dice.random() < rate), 0.4) for k in range(count)]


def test_a_trial_widens_by_what_is_counted_and_not_before() -> None:
    dice = np.random.default_rng(3)
    at = line(made(SERVING, 1), step(SERVING, "serve", 2, 1_000_000), step(GOOD, "canary", 10, SHARES_PPM[0]))
    trial = Trial()
    trial.see(outcomes(COUNTED - 1, 0.45, GOOD, 11, dice) + outcomes(300, 0.4, SERVING, 11, dice))
    assert trial.step(at).verdict == ""
    trial.see(outcomes(COUNTED, 0.45, GOOD, 12, dice))
    first = trial.step(at)
    assert (first.verdict, first.share_ppm) == ("widen", SHARES_PPM[1])
    at.hear(step(GOOD, "widen", 20, SHARES_PPM[1], first.figures))
    assert trial.step(at).verdict == ""  # nothing counted at this share yet
    trial.see(outcomes(COUNTED, 0.45, GOOD, 21, dice))
    assert trial.step(at).verdict == "serve"


def test_a_successor_goes_on_from_a_learner_whose_clock_ran_ahead() -> None:
    dice, ahead = np.random.default_rng(3), 3_600_000_000
    at = line(made(SERVING, 1), step(SERVING, "serve", 2, 1_000_000), made(GOOD, ahead),
              step(GOOD, "canary", ahead + 1, SHARES_PPM[0]))  # fmt: skip
    trial = Trial()
    trial.see(outcomes(COUNTED, 0.45, GOOD, 11, dice) + outcomes(300, 0.4, SERVING, 11, dice))  # by viewers' clocks
    found = trial.step(at)
    assert found.verdict == "widen"
    assert at.hear(step(GOOD, found.verdict, at.since + 1, found.share_ppm, found.figures))
    trial.see(outcomes(COUNTED, 0.45, GOOD, 12, dice))
    assert trial.step(at).verdict == "serve" and at.hear(step(GOOD, "serve", at.since + 1, 1_000_000))
    at.hear(made(BAD, 13))
    at.hear(step(GOOD, "rollback", at.since + 1))
    assert at.hear(step(BAD, "canary", at.since + 1, SHARES_PPM[0]))
    assert BAD in at.releases and at.trial == BAD, "a release by a clock behind is not forgotten before its canary"


@pytest.mark.parametrize("rate", [0.05, 0.25])
def test_a_worse_trial_never_leaves_its_canary(rate: float) -> None:
    """Shows the trial one showing after the other, with looks in between, as the learner does."""
    gone, widened = 0, 0
    for world in range(30):
        dice = np.random.default_rng(world)
        at = line(made(SERVING, 1), step(SERVING, "serve", 2, 1_000_000), step(BAD, "canary", 10, SHARES_PPM[0]))
        trial = Trial()
        for _ in range(60):
            trial.see(outcomes(5, rate, BAD, 11, dice) + outcomes(35, 0.42, SERVING, 11, dice))
            said = trial.step(at).verdict
            if said:
                gone += said == "rollback"
                widened += said != "rollback"
                break
    assert gone + widened == 30
    assert widened <= (0 if rate < 0.1 else 2)


def test_the_bound_holds_at_every_look() -> None:
    crossed = 0
    for world in range(200):
        values = np.random.default_rng(world).choice([-0.5, 0.5], 1000)
        means = np.abs(np.cumsum(values)) / np.arange(1, 1001)
        crossed += bool((means[9:] > [bound(n) for n in range(10, 1001)]).any())
    assert crossed <= 10  # 5 % of 200
    assert bound(0) == 1.0 > bound(100) > bound(1000)
