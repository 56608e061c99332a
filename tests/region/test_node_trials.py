"""What an arm makes of a request: a lower rung, factors, rules where the request brings none; nothing for strangers."""

import msgspec
import pytest

from holdfast.adapters.http.shapes_team import ArmPlan
from holdfast.core import experiments
from holdfast.core.entries import Arm, Experiment
from holdfast.core.errors import Refused
from holdfast.core.experiments import Trials
from holdfast.core.feed.rules import Rules
from holdfast.core.feed.shapes import FeedRequest
from holdfast.region.node_trials import _arm, _line, count_unread, draw

CALM = Arm(name="calm", at_most="REGIONAL", weights={"heat": 250}, rules='{"no_tags": ["loud"]}')


def trials(*names: str, arms: list[Arm] | None = None) -> Trials:
    made = Trials()
    for k, name in enumerate(names):
        made.define(Experiment(device="n", outbox=k + 1, stamp=k, name=name, arms=arms or [Arm(name="as-is"), CALM]))
    return made


def viewer_in(arm: str, name: str) -> str:
    experiment = trials(name).defined[name]
    return next(v for v in (f"acme:v{k}" for k in range(100)) if experiments.arm_of(experiment, v) == arm)


def test_an_arm_lowers_the_rung_weighs_parts_and_lays_rules() -> None:
    request = FeedRequest(n=5)
    changed, trial = draw(trials("acme:x"), request, viewer_in("calm", "acme:x"), "acme")
    assert (changed.at_most, changed.rules) == ("REGIONAL", Rules(no_tags=["loud"]))
    assert (trial.arms, trial.factors) == ({"acme:x": "calm"}, {"heat": 2.5})
    assert request == FeedRequest(n=5), "the request itself is not changed"


def test_the_first_arm_leaves_everything_as_it_is_and_is_named_all_the_same() -> None:
    request = FeedRequest(n=5)
    same, trial = draw(trials("acme:x"), request, viewer_in("as-is", "acme:x"), "acme")
    assert same == request and trial.arms == {"acme:x": "as-is"} and not trial.factors


def test_what_the_request_brings_goes_before_the_arm() -> None:
    request = FeedRequest(at_most="SHELF", rules=Rules(any_tags=["jazz"]))
    same, _ = draw(trials("acme:x"), request, viewer_in("calm", "acme:x"), "acme")
    assert (same.at_most, same.rules) == ("SHELF", Rules(any_tags=["jazz"]))


def test_only_viewers_of_the_same_tenant_are_drawn_and_only_while_it_runs() -> None:
    running = trials("acme:x", "beta:y")
    viewer = viewer_in("calm", "acme:x")
    for who, tenant in ((viewer, ""), ("", "acme"), (viewer, "gamma")):
        same, trial = draw(running, FeedRequest(), who, tenant)
        assert same == FeedRequest() and not trial.arms
    assert set(draw(running, FeedRequest(), "beta:v", "beta")[1].arms) == {"beta:y"}
    held = running.defined["acme:x"]
    running.define(msgspec.structs.replace(held, outbox=9, stamp=9, stopped=9))
    assert not draw(running, FeedRequest(), viewer, "acme")[1].arms


def test_an_experiment_with_an_arm_of_a_newer_version_draws_nobody_and_is_counted() -> None:
    as_is = Arm(name="as-is")
    for odd in (Arm(name="new", rules='{"mood": "calm"}'), Arm(name="new", rules="{"), Arm(name="new", at_most="GOOD")):
        held = trials("acme:old", "acme:x")
        held.define(msgspec.structs.replace(held.defined["acme:x"], stamp=9, arms=[as_is, odd]))
        drawn = [draw(held, FeedRequest(), f"acme:v{k}", "acme")[1].arms for k in range(30)]
        assert all(arms.keys() == {"acme:old"} for arms in drawn)  # the other goes on, this one counts nobody
        assert count_unread(held) == 1 and _line(held.defined["acme:x"]).unread == "new"
        assert _line(held.defined["acme:old"]).unread == ""


def test_rules_that_no_fold_would_read_are_refused_and_not_acknowledged() -> None:
    names = [f"{'a' * 36}{k}" for k in range(1000, 1200)]
    tags = ['"' * 39 + chr(48 + k) for k in range(20)]
    rules = Rules(creators=names, no_creators=names, any_tags=tags, all_tags=tags, no_tags=tags)
    with pytest.raises(Refused, match="characters as JSON"):
        _arm(ArmPlan(name="a", rules=rules))
