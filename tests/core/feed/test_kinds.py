"""The feeds a viewer can choose, and what a viewer says of tags and creators: each does what its words say."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from rig import S, Stage, items

from holdfast.core.entries import Follow, Interest, Reset
from holdfast.core.feed import kinds
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.shapes import ContextEvent, FeedRequest
from holdfast.core.feed.viewer import History

RUNGS = [Rung.LINEAR, Rung.REGIONAL]


class Nobody:
    """A model that knows nothing: lets a slate stand on LINEAR, so that what is personal shows."""

    trust = 0.0
    parts = ("next",)

    def read(self, histories):
        self.histories: list[History] = list(histories)
        return self

    def retrieve(self, k, eligible):
        return [(np.flatnonzero(e.allowed)[:0], np.zeros(0, np.float32)) for e in eligible]

    def score(self, rows):
        return [np.zeros((r.size, 1), np.float32) for r in rows]

    def because(self, history, rows):
        return [(-1, 0.0)] * rows.size


def ask(stage: Stage, rung: Rung = Rung.LINEAR, viewer: str = "v", **request):
    return stage.ask(viewer, Nobody() if rung is Rung.LINEAR else None, rung, **request)


def follow(stage: Stage, creator: str, viewer: str = "v") -> None:
    stage.world.apply(Follow(**stage.id(viewer), creator=creator))


def tell(stage: Stage, about: str, name: str, say: str, viewer: str = "v") -> None:
    stage.world.apply(Interest(**stage.id(viewer), about=about, name=name, say=say))


def of(stage: Stage, result, what: str) -> list[str]:
    c = stage.world.catalogue
    publications = [c.publications[c.items.of[i]] for i in items(result)]
    return [p.tags[0] if what == "tag" else p.creator for p in publications if p]


@pytest.mark.parametrize("rung", RUNGS)
def test_following_holds_only_those_followed_newest_first(rung):
    stage = Stage(60)
    follow(stage, "creator-3")
    stage.publish("limited", tags=["theme-0"], creator="creator-3", verdict="limit")
    result = ask(stage, rung, n=10, feed="following")
    assert set(of(stage, result, "creator")) == {"creator-3"} and result.viewer.asked.kind.name == "following"
    published = [stage.world.catalogue.published[c.row] for c in result.chosen]
    assert published == sorted(published, reverse=True)
    assert items(result)[0] == "limited", "a limit binds recommending to strangers only"


def test_what_another_feed_served_a_moment_ago_is_no_longer_in_hand():
    stage = Stage(20)
    follow(stage, "creator-3")
    first = ask(stage, n=20)
    stage.served(first)
    assert ask(stage, n=5, feed="following", request="2").chosen, "turning to another feed drops what was in hand"
    stage.served(ask(stage, n=1, feed="following", request="3"))
    second = ask(stage, n=1, feed="following", request="4")
    assert items(second) != items(ask(stage, n=1, feed="following", request="3")), "within one feed it is"


@pytest.mark.parametrize("rung", RUNGS)
def test_a_topic_holds_only_its_tag(rung):
    stage = Stage(60)
    result = ask(stage, rung, n=8, feed="topic", topic="theme-2")
    assert of(stage, result, "tag") == ["theme-2"] * 8
    for item in items(result):
        stage.view("v", item)
    again = ask(stage, rung, n=8, feed="topic", topic="theme-2", request="2")
    assert of(stage, again, "tag") == ["theme-2"] * 2 and not again.rewatch, "two of ten are left"
    for item in items(again):
        stage.view("v", item)
    done = ask(stage, rung, n=8, feed="topic", topic="theme-2", request="3")
    assert done.rewatch and of(stage, done, "tag") == ["theme-2"] * 8, "all of the topic was seen: longest unseen first"


@pytest.mark.parametrize("request_", [{"feed": "following"}, {"feed": "topic", "topic": "no such thing"}])
def test_a_feed_with_nothing_to_offer_is_for_you_and_says_so(request_):
    stage = Stage(20)
    result = ask(stage, n=5, **request_)
    assert len(result.chosen) == 5
    assert result.viewer.asked.kind.name == "for_you" and "so this is For You" in result.viewer.asked.words


def test_plain_uses_nothing_of_the_viewer_but_what_was_seen():
    """Two viewers with opposite pasts and the same seen list get the same videos, whatever the rung above could do."""
    stage = Stage(60)
    seen = [f"clip-{k}" for k in range(12)]
    for k, item in enumerate(seen):
        stage.view("fan", item, 6000 if k % 6 == 1 else 300)
        stage.view("foe", item, 300 if k % 6 == 1 else 6000)
    stage.like("fan", "clip-1")
    follow(stage, "creator-7", "fan")
    tell(stage, "tag", "theme-1", "more", "fan")
    model = Nobody()
    by = {v: stage.ask(v, model, n=48, feed="plain", context=[ContextEvent(item="clip-1")]) for v in ("fan", "foe")}
    assert all(r.rung is Rung.REGIONAL and not r.viewer.history.rows.size for r in by.values())
    assert not set(items(by["fan"])) & set(seen), "no repeats"
    scores = [{c.item: c.score for c in r.chosen} for r in by.values()]
    assert scores[0] == scores[1]
    assert not by["fan"].viewer.profile.events and not by["fan"].viewer.profile.follows
    for_you = {v: {c.item: c.score for c in ask(stage, viewer=v, n=48).chosen} for v in ("fan", "foe")}
    assert for_you["fan"] != for_you["foe"], "else this test would show nothing"


@pytest.mark.parametrize("feed", ["for_you", "plain"])
@pytest.mark.parametrize("rung", [*RUNGS, Rung.SHELF])
def test_never_is_never(rung, feed):
    stage = Stage(40, themes=4)
    tell(stage, "tag", "theme-1", "never")
    tell(stage, "creator", "creator-2", "never")
    follow(stage, "creator-2")
    shelf = [f"clip-{k}" for k in range(40)]
    result = ask(stage, rung, n=40, feed=feed, shelf=shelf)
    assert result.chosen and "theme-1" not in of(stage, result, "tag")
    assert "creator-2" not in of(stage, result, "creator")
    for item in items(result):
        stage.view("v", item)
    again = ask(stage, rung, n=40, feed=feed, shelf=shelf, request="2")
    assert again.rewatch and "theme-1" not in of(stage, again, "tag"), "not even when nothing else is left"
    tell(stage, "tag", "theme-1", "learned")
    assert "theme-1" in of(stage, ask(stage, rung, n=40, feed=feed, shelf=shelf, request="3"), "tag")


@pytest.mark.parametrize("rung", RUNGS)
def test_more_and_less_turn_the_next_slate(rung):
    stage = Stage(90, themes=9)
    share = lambda r: of(stage, r, "tag").count("theme-4")  # noqa: E731
    before = share(ask(stage, rung, n=10, request="1"))
    tell(stage, "tag", "theme-4", "more")
    after = ask(stage, rung, n=10, request="1")
    assert share(after) >= before + 3
    tell(stage, "tag", "theme-4", "less")
    assert share(ask(stage, rung, n=10, request="1")) <= 1
    assert share(ask(stage, rung, n=90, request="1")) > 0, "less is not never"


def test_what_was_said_first_is_overruled_in_any_order():
    entries = []
    stage = Stage(1)
    for say in ("more", "never", "less"):
        entries.append(Interest(**stage.id("v"), about="tag", name="theme-0", say=say))
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        world = Stage(1).world
        for k in order:
            world.apply(entries[k])
        assert world.profiles["v"].said() == {"tag:theme-0": "less"}


def test_a_reset_forgets_the_past_for_choosing_and_nothing_repeats():
    stage = Stage(60)
    for k in range(0, 30, 6):
        stage.view("v", f"clip-{k}")
        stage.like("v", f"clip-{k}")
    context = [ContextEvent(item="clip-0", dwell_ms=6000, duration_ms=6000, age_s=60.0)]
    assert ask(stage, n=10).viewer.history.rows.size == 5
    stage.now += 10 * S
    stage.world.apply(Reset(**stage.id("v"), before=stage.now))
    result = ask(stage, n=55, context=context)
    assert not result.viewer.history.rows.size, "nor what a device that has not heard of it brings along"
    assert not {f"clip-{k}" for k in range(0, 30, 6)} & set(items(result)), "what was seen stays seen"
    assert ask(stage, n=1).viewer.profile.liked(0)
    stage.view("v", "clip-50")
    assert ask(stage, n=10).viewer.history.rows.tolist() == [50]


def test_a_reset_is_taken_back_for_ten_minutes_and_no_longer():
    for later_s, back in ((60, 6), (700, 1)):
        stage = Stage(60)
        for k in range(5):
            stage.view("v", f"clip-{k}")
        stage.world.apply(Reset(**stage.id("v"), before=stage.now))
        stage.now += later_s * S
        stage.view("v", "clip-9")
        stage.world.apply(Reset(**stage.id("v"), before=0))
        assert len(stage.world.profiles["v"].events) == back


def test_a_reset_holds_for_what_arrives_late_and_in_any_order():
    stage, twin = Stage(20), Stage(20)
    views = [stage.view("v", f"clip-{k}") for k in range(6)]
    reset = Reset(**stage.id("v"), before=views[3].stamp)
    stage.world.apply(reset)
    twin.world.apply(reset)
    for view in reversed(views):
        twin.world.apply(view)
    assert twin.world.profiles["v"] == stage.world.profiles["v"]
    assert [e.row for e in stage.world.profiles["v"].events] == [4, 5]


def test_the_future_cannot_be_forgotten():
    stage = Stage(20)
    stage.world.apply(Reset(**stage.id("v"), before=stage.now + 10**12))
    stage.view("v", "clip-1")
    assert len(stage.world.profiles["v"].events) == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sets(st.sampled_from("abcd"))), max_size=30))
def test_the_index_of_tags_finds_what_a_scan_finds(publications):
    stage = Stage(0)
    for k, tags in publications:
        stage.publish(f"clip-{k}", tags=sorted(tags))
    c = stage.world.catalogue
    for tag in range(len(c.tags.all)):
        assert c.having(tag).tolist() == np.flatnonzero((c.tag_rows[: c.n] == tag).any(1)).tolist()


def test_following_a_name_with_a_colon_does_not_tell_whether_a_tenant_has_such_a_creator():
    stage = Stage(3)
    stage.publish("acme:song", tags=[], creator="acme:bob")
    for viewer, creator in (("v", "acme:bob"), ("w", "acme:nobody")):
        stage.world.apply(Follow(**stage.id(viewer), creator=creator))
        asked = kinds.settle(FeedRequest(feed="following"), stage.world.profiles[viewer], stage.world.catalogue, "")
        assert asked.kind.name == "for_you"
    assert kinds.followed(stage.world.profiles["v"], stage.world.catalogue, "acme").sum() == 1
