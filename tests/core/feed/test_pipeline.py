"""The pipeline: what may never be shown, no repeats, never empty, the same answer for the same question."""

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from rig import Stage, items

from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.shapes import ContextEvent, FeedRequest
from holdfast.core.feed.viewer import history


def test_unknown_unruled_and_removed_are_not_shown():
    stage = Stage(6)
    stage.publish("unruled", tags=["theme-0"], verdict="")
    for verdict in ("limit", "age", "ask", "remove"):
        stage.publish(f"ruled-{verdict}", tags=["theme-0"], verdict=verdict)
    stage.rule("never-published")
    assert set(items(stage.ask(n=50))) == {f"clip-{k}" for k in range(6)}


def test_a_removal_takes_effect_and_only_a_ruling_that_names_it_undoes_it():
    stage = Stage(6)
    removal = stage.rule("clip-0", "remove")
    stage.rule("clip-0", "allow")
    assert "clip-0" not in items(stage.ask(n=50))
    stage.rule("clip-0", "allow", supersedes=[(removal.device, removal.outbox)])
    assert "clip-0" in items(stage.ask(n=50))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 20), st.data())
def test_no_repeats_until_everything_was_seen_then_rewatch_longest_unseen_first(n, size, data):
    stage = Stage(n)
    shown: list[str] = []
    for turn in range(n + 2):
        carried = data.draw(st.booleans())  # the region heard of it, or only the device knows
        seen = shown if carried else []
        result = stage.ask(n=size, request=str(turn), seen=seen)
        assert items(result)
        if result.rewatch:
            break
        assert not set(items(result)) & set(shown)
        for item in items(result):
            shown.append(item)
            stage.view("v", item)
    assert result.rewatch and set(shown) == {f"clip-{k}" for k in range(n)}
    assert items(result) == shown[:size]


def test_seen_by_the_device_alone_is_seen():
    stage = Stage(30)
    seen = [f"clip-{k}" for k in range(25)]
    context = [ContextEvent(item="clip-25")]
    result = stage.ask(n=30, seen=seen, context=context)
    assert set(items(result)) == {f"clip-{k}" for k in range(26, 30)} and not result.rewatch
    assert result.removed["seen"].size == 26


def test_what_was_just_served_waits_its_turn_and_a_retry_gets_the_same_slate():
    stage = Stage(40)
    first = stage.ask(n=10, request="a")
    stage.served(first)
    assert not set(items(stage.ask(n=10, request="b"))) & set(items(first))
    assert items(stage.ask(n=10, request="a")) == items(first)
    only = Stage(10)
    only.served(only.ask(n=10, request="a"))
    again = only.ask(n=10, request="b")
    assert len(items(again)) == 10 and not again.rewatch


def test_hidden_excluded_and_own_are_not_offered():
    stage = Stage(12)
    stage.hide("v", "clip-1")
    stage.publish("mine", tags=["theme-0"], creator="v")
    got = items(stage.ask(n=50, exclude=["clip-2"]))
    assert not {"clip-1", "clip-2", "mine"} & set(got) and len(got) == 10


def test_a_device_that_holds_everything_is_answered_with_the_same_again():
    stage = Stage(6)
    stage.hide("v", "clip-1")
    result = stage.ask(exclude=[f"clip-{k}" for k in range(6)])
    assert set(items(result)) == {"clip-0", "clip-2", "clip-3", "clip-4", "clip-5"} and result.rewatch
    assert result.rung is not Rung.DEVICE


def test_an_empty_catalogue_falls_to_the_shelf_then_to_the_device():
    stage = Stage(0)
    shelf = stage.ask(shelf=["s1", "s2", "s3"], seen=["s2"])
    assert shelf.rung is Rung.SHELF and items(shelf) == ["s1", "s3"]
    nothing = stage.ask()
    assert nothing.rung is Rung.DEVICE and not nothing.chosen
    assert nothing.breaches == ["REGIONAL: empty", "SHELF: empty"]


def test_the_shelf_obeys_rulings_heard_since():
    stage = Stage(3)
    stage.rule("clip-1", "remove")
    result = stage.ask(shelf=["clip-0", "clip-1", "clip-2"], at_most="SHELF")
    assert items(result) == ["clip-0", "clip-2"]


@pytest.mark.parametrize("rung", ["REGIONAL", "SHELF"])
def test_at_most_lowers_the_top(rung):
    assert Stage(20).ask(at_most=rung, shelf=["clip-1"]).rung.name == rung


def test_the_public_feed_uses_nothing_personal():
    stage = Stage(40)
    for k in range(20):
        stage.view("v", f"clip-{k}")
    result = stage.ask(viewer="", n=40)
    assert result.rung is Rung.REGIONAL and len(items(result)) == 40 and not result.viewer.history.rows.size


def test_the_same_world_and_request_give_the_same_slate_and_the_draw_is_logged():
    stage = Stage(60)
    a, b = stage.ask(n=20, request="x"), stage.ask(n=20, request="x")
    assert items(a) == items(b) and a.drawn == 7
    assert a.chosen[7].propensity == pytest.approx(1 / 50)
    assert items(stage.ask(n=20, request="y")) != items(a)


def test_no_creator_twice_nearby_and_topics_mixed():
    stage = Stage(60)
    for k in range(0, 60, 6):  # everyone loves theme 0
        for viewer in range(5):
            stage.view(f"app:fan-{viewer}", f"clip-{k}")
    c = stage.world.catalogue
    rows = [x.row for x in stage.ask(n=10).chosen if x.how == "best"]
    topics = [int(c.tag_rows[row, 0]) for row in rows]
    assert all(topics[i : i + 3] != [topics[i]] * 3 for i in range(len(topics)))
    assert topics.count(topics[0]) <= 6


def test_new_videos_get_their_place():
    stage = Stage(60)
    for k in range(60):
        for viewer in range(25):
            stage.view(f"app:fan-{viewer}", f"clip-{k}")
    stage.now += 3600 * 10**6  # a quiet hour later, so that one debut is a large part of what is seen
    stage.publish("newcomer", tags=["theme-3"])
    assert items(stage.ask(n=10))[3] == "newcomer"


def test_who_likes_a_video_and_swipes_on_at_once_likes_it():
    stage = Stage(12)
    liked = stage.like("v", "clip-1")
    stage.view("v", "clip-1", dwell_ms=400)
    stage.view("v", "clip-2", dwell_ms=400)
    past = history(stage.world.profiles["v"], FeedRequest(), stage.world.catalogue, stage.now)
    assert past.actions == ("like", "view") and past.weights[0] > 0 > past.weights[1]
    assert past.stamps[0] > liked.stamp
    stage.hide("v", "clip-1")  # a word after it still counts
    past = history(stage.world.profiles["v"], FeedRequest(), stage.world.catalogue, stage.now)
    assert past.actions[-1] == "hide" and past.weights[-1] < 0
