"""Examples: what a slate and what was done with it become, and what does not teach."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from town import Town

from holdfast.core.allowance import HOUR_US, SHOWINGS_MAX, Allowance
from holdfast.core.entries import Follow, Like, Skip, SlateServed, View
from holdfast.core.feed.ladder import Rung
from holdfast.model import examples, signals
from holdfast.model.examples import HEAD, JUDGED_US, LATE_US, SETTLE_US, Stay


@pytest.fixture
def town() -> Town:
    return Town(clips=60, viewers=6)


def served(town: Town, viewer: str = "v", held: bool = False):
    """A slate of eight, of a viewer and request such that it is held out or not."""
    for k in range(200):
        result = town.ask(viewer, Rung.REGIONAL, request=f"r{k}-{town.now}")
        if (examples.fnv64(f"{viewer}/{result.viewer.slate}") % examples.HOLD_OUT == 0) is held:
            return town.serve(result)
    raise AssertionError("no such slate")


def view(town: Town, slate, at: int, dwell_ms: int = 6000, viewer: str = "v") -> View:
    entry = View(**town.id(viewer), item=slate.items[at], dwell_ms=dwell_ms, duration_ms=6000, slate=slate.slate)
    town.take(entry)
    return entry


def pass_time(town: Town, us: int = SETTLE_US) -> None:
    town.now += us
    town.publish(f"later-{town.now}", ["theme-0"], "c")


def test_a_showing_settles_and_is_one_example(town: Town) -> None:
    slate = served(town)
    view(town, slate, 2)
    town.take(Like(**town.id("v"), item=slate.items[2]))
    assert not list(town.examples.emptied())
    pass_time(town)
    (unit,) = town.examples.emptied()
    labels = unit.labels[0]
    assert labels[HEAD["long"]] == labels[HEAD["like"]] == 1 and labels[HEAD["skip"]] == labels[HEAD["share"]] == 0
    assert unit.weights[0, HEAD["comment"]] == 0 < unit.weights[0, HEAD["long"]]
    assert signals.floats(unit.fixed)[0, -1] == pytest.approx(np.log(3), abs=1e-3)  # it stood third
    before = signals.unpack(slate.signals, 8)
    assert before is not None and (unit.fixed[0, :-1] == before[2, :-1]).all()


def test_a_slate_heard_again_is_the_same_slate(town: Town) -> None:
    """A request repeated, at this region or another, makes a second entry of the same slate."""
    slate = served(town)
    view(town, slate, 2)
    town.take(msgspec.structs.replace(slate, **town.id("node")))
    pass_time(town)
    (unit,) = town.examples.emptied()
    assert len(unit.rows) == 1


def test_a_late_act_corrects_alone_and_only_within_the_window(town: Town) -> None:
    slate = served(town)
    view(town, slate, 0)
    view(town, slate, 1)
    pass_time(town)
    assert sum(len(u.rows) for u in town.examples.emptied()) == 2
    town.take(Like(**town.id("v"), item=slate.items[0]))
    town.take(Like(**town.id("v"), item=slate.items[0]))  # said twice, taught once
    (late,) = town.examples.emptied()
    assert late.labels[0].sum() == 1 and late.labels[0, HEAD["like"]] == 1
    assert (late.weights[0] > 0).sum() == 1
    pass_time(town, LATE_US + 1)
    served(town, "other")
    town.take(Like(**town.id("v"), item=slate.items[1]))
    assert not list(town.examples.emptied())


def test_loops_zero_plays_skips_follows_and_repeats(town: Town) -> None:
    slate = served(town)
    view(town, slate, 0, 14_000)
    view(town, slate, 1, 0)
    view(town, slate, 2, 500)
    view(town, slate, 2, 6000)  # again: the longest counts, once
    view(town, slate, 3, 3000)
    town.take(Skip(**town.id("v"), item=slate.items[3], slate=slate.slate))
    row = town.catalogue.items.of[slate.items[0]]
    creator = town.catalogue.creators.all[town.catalogue.creator[row]]
    view(town, slate, 4, 3000)
    town.take(Follow(**town.id("v"), creator=creator))
    pass_time(town)
    rows, labels, weights = {}, {}, {}
    for unit in town.examples.emptied():
        for i, r in enumerate(unit.rows.tolist()):
            name = town.catalogue.items.all[r]
            rows[name], labels[name], weights[name] = i, unit.labels[i], unit.weights[i]
    a, b, c, d, _ = slate.items[:5]
    assert len(rows) == 5
    assert labels[a][HEAD["long"]] == labels[c][HEAD["long"]] == 1 and labels[a][HEAD["follow"]] == 1
    assert labels[b][HEAD["skip"]] == labels[d][HEAD["skip"]] == 1 and labels[b][HEAD["long"]] == 0
    assert weights[b][0] == pytest.approx(weights[c][0] * examples.ZERO_SHARE)
    assert labels[a][HEAD["stay"]] > labels[d][HEAD["stay"]] > labels[b][HEAD["stay"]]


def test_what_does_not_teach(town: Town) -> None:
    slate = served(town)
    entry = view(town, slate, 0)
    town.examples.take(entry)  # folded before
    view(town, slate, 1, viewer="stranger")  # of somebody else's slate
    town.take(View(**town.id("v"), item=slate.items[2], dwell_ms=6000, slate="no-such-slate"))
    town.take(View(**town.id("v"), item="clip-not-in-the-slate", dwell_ms=6000, slate=slate.slate))
    pass_time(town)
    assert [len(u.rows) for u in town.examples.emptied()] == [1]


def test_a_held_out_slate_is_judged_by_and_never_trained_on(town: Town) -> None:
    slate = served(town, held=True)
    view(town, slate, 0)
    view(town, slate, 1, 300)
    pass_time(town, LATE_US + 1)
    served(town, "other")
    assert not list(town.examples.emptied())
    (example,) = town.examples.judged
    assert example.long.tolist() == [True, False] and example.telling and example.fixed is not None


def test_a_held_out_slate_is_a_question_soon_after_its_last_view_and_only_once(town: Town) -> None:
    """A viewer who does not come back is told apart too: the first release waits for such questions."""
    slate = served(town, held=True)
    view(town, slate, 0)
    pass_time(town, JUDGED_US - 1_000_000)
    view(town, slate, 1, 300)
    pass_time(town, 2_000_000)
    assert not town.examples.judged, "the viewer is still watching"
    pass_time(town, JUDGED_US)
    view(town, slate, 2)
    pass_time(town, LATE_US + 1)
    served(town, "other")
    (example,) = town.examples.judged
    assert example.long.tolist() == [True, False] and not list(town.examples.emptied())


def test_what_was_shown_is_told_at_once_and_each_showing_once(town: Town) -> None:
    slate = served(town)
    view(town, slate, 0)
    view(town, slate, 0, 12_000)
    view(town, slate, 1, 300)
    assert [o.long for o in town.examples.outcomes] == [True, False] and not town.examples.units
    pass_time(town)
    assert len(town.examples.outcomes) == 2 and sum(len(u.rows) for u in town.examples.emptied()) == 2


def test_a_scripts_clicks_stop_counting(town: Town) -> None:
    clicks = 0
    while clicks < SHOWINGS_MAX + 140:
        slate = served(town, "bot")
        for at in range(len(slate.items)):
            view(town, slate, at, viewer="bot")
            clicks += 1
    pass_time(town)
    assert sum(len(u.rows) for u in town.examples.emptied()) <= SHOWINGS_MAX
    assert 0 < sum(o.viewer == "bot" for o in town.examples.outcomes) <= SHOWINGS_MAX
    judged = len(town.examples.judged)
    town.take(Like(**town.id("bot"), item=slate.items[0]))  # late, and of a showing that taught nothing
    pass_time(town, LATE_US + 1)
    served(town, "other")
    assert not list(town.examples.emptied()) and len(town.examples.judged) == judged


@pytest.mark.parametrize("feed", ["", "following", "topic", "plain"])
def test_a_slate_that_the_viewer_filled_teaches_nothing(town: Town, monkeypatch: pytest.MonkeyPatch, feed: str) -> None:
    take = town.take
    monkeypatch.setattr(
        town, "take", lambda e: take(msgspec.structs.replace(e, feed=feed) if isinstance(e, SlateServed) else e)
    )
    view(town, served(town), 0)
    pass_time(town)
    assert len(list(town.examples.emptied())) == (feed == "")


def test_nobody_watches_more_than_an_hour_in_an_hour() -> None:
    allowance = Allowance()
    assert sum(allowance.grants("bot", 3_600_000, 0) for _ in range(50)) == 6 and allowance.refused == 44
    assert all(allowance.grants("v", 10_000, 0) for _ in range(SHOWINGS_MAX)) and not allowance.grants("v", 1, 0)
    assert allowance.spent("bot") and allowance.spent("v") and not allowance.spent("w")
    assert allowance.grants("bot", 0, HOUR_US) and not allowance.spent("bot")


def test_a_lower_rungs_slate_weighs_less_and_an_outages_nothing(town: Town) -> None:
    town.outage = True
    found = {}
    for rung in (Rung.REGIONAL, Rung.LINEAR, Rung.FULL):
        for k in range(200):
            result = town.ask("w", rung, request=f"{rung}{k}")
            if examples.fnv64(f"w/{result.viewer.slate}") % examples.HOLD_OUT:
                break
        view(town, town.serve(replace(result, rung=rung)), 0, viewer="w")
        pass_time(town)
        found[rung] = [float(unit.weights[0, 0]) for unit in town.examples.emptied()]
    assert found[Rung.REGIONAL] == [] and 0 < found[Rung.LINEAR][0] < found[Rung.FULL][0]


def test_the_history_here_is_the_one_that_was_served(town: Town) -> None:
    for _ in range(3):
        town.round(Rung.REGIONAL)
    assert town.examples.agreed[0] == town.examples.agreed[1] == 18


def test_stay_is_a_quantile_among_videos_of_like_length() -> None:
    stay = Stay()
    for k in range(400):
        stay.quantile(1000 + 20 * (k % 200), 6000)
        stay.quantile(10_000 + 200 * (k % 200), 60_000)
    assert stay.quantile(3000, 6000) == pytest.approx(0.5, abs=0.15)
    assert stay.quantile(30_000, 60_000) == pytest.approx(0.5, abs=0.15)
    assert stay.quantile(4900, 6000) > 0.8 > 0.2 > stay.quantile(1000, 6000)
