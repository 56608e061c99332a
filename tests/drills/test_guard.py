"""The guard bench on a hamlet: bad networks stay out, a farm's loops warm once, and an outage is one."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "model"))
from town import SMALL

from holdfast.core.entries import Rollout, SlateServed
from holdfast.core.feed.ladder import Rung
from holdfast.drills import guard
from holdfast.drills.bad_networks import bad
from holdfast.drills.guard import Guarded, change, made_by
from holdfast.drills.hour import BEGIN_US
from holdfast.model.gate import EXAMPLES_MIN


@pytest.fixture(scope="module")
def hour() -> Guarded:
    """A hamlet that has watched until its network can be judged."""
    hour = Guarded(0, 60, SMALL, clips=120, panel=20)
    hour.at(BEGIN_US, "study")
    while len(hour.school.held_out()) < EXAMPLES_MIN:
        hour.passes(240)
        assert hour.school.now_us < BEGIN_US + 7200 * 10**6
    return hour


def test_bad_networks_do_not_pass_and_one_let_past_the_gate_is_under_trial_by_an_entry(hour: Guarded) -> None:
    school = hour.school
    made = bad(school.trainer, list(school.taught)[-600:])
    assert not any(school.judge(model).released for model in made.values())
    school.end_trial("makes room")
    sha = school.begin_trial(made["opposite"])
    assert school.rollouts[-1].verdict == "canary" and school.line.trial == sha
    heard: list[str] = []
    take = school.world._takes[SlateServed]
    school.world._takes[SlateServed] = lambda e: (heard.append(e.release), take(e))
    names = [f"viewer-{k}" for k in range(400)]
    trying = [n for n in names if school.line.chosen(n) == sha]
    assert 15 < len(trying) < 100, "a canary is a share of viewers: an eighth"
    asked = max((seat.memory.request(5, "x", school.now_us) for seat in hour.seats), key=lambda r: len(r.context))
    for name in (trying[0], next(n for n in names if n not in trying)):
        school.serve("here", name, asked)
    assert heard[0] == sha != heard[1], "and no network beside it serves them all"
    assert all(isinstance(step, Rollout) for step in school.rollouts)
    school.end_trial("the test is over")


def test_an_outage_serves_regional_and_a_farms_loops_warm_once(hour: Guarded) -> None:
    school = hour.school
    hour.away_us = school.now_us
    was = hour.ask_panel(school.standing())
    school.rung = Rung.REGIONAL
    first = hour.seats[0]
    assert school.serve("here", first.viewer.name, first.memory.request(5, "x", school.now_us)).rung is Rung.REGIONAL
    school.rung = Rung.FULL
    hour.hire()
    hour.passes(300)
    assert hour.ask_panel(school.standing()).keys() == was.keys() and len(was) == 20
    claimed = hour.claimed["likes"]  # one with each showing that the crude accounts claim of their own
    assert hour.claimed["hours"] >= claimed > 3 * guard.TWINS * len(hour.crude)
    farm = [school.world.catalogue.items.of[made.item] for made in hour.pairs if made_by(made.item) == "farm"]
    c = school.world.catalogue
    once = c.views[farm].sum() - claimed + guard.TWINS * len(hour.crude)
    assert c.warm_views[farm].sum() <= 1.2 * once  # a warm one counts somewhat more as time passes


def test_the_network_alone_is_asked_beside_the_same_linear(hour: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """LINEAR learns in the hour too, and its score is one of the network's signals."""
    monkeypatch.setattr(guard, "HOUR_S", 400)  # longer than LEARN_EVERY_S
    asked, ask = [], hour.ask_panel
    monkeypatch.setattr(hour, "ask_panel", lambda network: (asked.append(network.predict.linear), ask(network))[1])
    guard.hour_of(hour, Rung.FULL, lambda _: None)
    before, now, then = asked
    assert now is then is not before


def test_a_share_over_nothing_is_no_figure() -> None:
    shown = np.array([[3.0, 1.0, 10.0]] * 20)
    assert guard._ratio(shown)["ratio"] == 3.0 and guard._ratio(shown)["interval"] == [3.0, 3.0]
    shown[:, 1] = 0.0
    assert guard._ratio(shown)["ratio"] is None and guard._ratio(shown)["interval"] == [None, None]


def test_a_change_is_told_with_its_interval_and_what_lies_beyond_the_margin_is() -> None:
    before = [0.4 + 0.001 * (k % 7) for k in range(300)]
    same = change(before, before)
    assert (same["change"], same["within_margin"]) == (0.0, True)
    for factor in (0.95, 1.05):
        moved = change(before, [x * factor for x in before])
        assert moved["change"] == pytest.approx(factor - 1, abs=1e-3) and not moved["within_margin"]
    assert guard.MARGIN < 0.05
