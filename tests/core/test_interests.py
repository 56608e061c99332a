"""My interests: what is shown is what steers, with the videos it comes from; what was said stands first."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "feed"))
from rig import S, Stage

from holdfast.core.entries import Follow, Interest, Reset
from holdfast.core.feed.snapshot import freeze, thaw
from holdfast.core.feed.value import tastes
from holdfast.core.interests import SHOWN_MAX, SOURCES_MAX, Picture, picture
from holdfast.core.profile import TOLD_KEPT, UNDO_US, Profile


def look(stage: Stage, viewer: str = "v") -> Picture:
    return picture(stage.world.profiles.get(viewer, Profile()), stage.world.catalogue, stage.now)


def tell(stage: Stage, about: str, name: str, say: str) -> None:
    stage.world.apply(Interest(**stage.id("v"), about=about, name=name, say=say))


def test_the_weights_shown_are_those_of_the_score_and_name_their_videos():
    stage = Stage(60)
    for k in (2, 8, 14, 20):
        stage.view("v", f"clip-{k}")
    stage.like("v", "clip-8")
    stage.hide("v", "clip-3")
    stage.now += S
    found = {i.name: i for i in look(stage).tags}
    viewer = stage.ask("v").viewer
    score = tastes(viewer.history, stage.world.catalogue)
    numbers = stage.world.catalogue.tags.of
    assert {name: i.weight for name, i in found.items()} == {
        name: float(score[numbers[name]]) for name in ("theme-2", "theme-3")
    }
    assert found["theme-2"].weight > 0 > found["theme-3"].weight
    sources = found["theme-2"].sources
    assert len(sources) == SOURCES_MAX and (sources[0].row, sources[0].did) == (8, "liked")
    assert [(s.row, s.did) for s in found["theme-3"].sources] == [(3, "hid")]
    creators = {i.name: i for i in look(stage).creators}
    assert creators["creator-8"].weight > 0 and creators["creator-8"].sources[0].row == 8
    assert look(stage).acts == 5


def test_what_was_said_comes_first_and_those_followed_are_named():
    stage = Stage(60)
    stage.view("v", "clip-2")
    tell(stage, "tag", "theme-5", "never")
    tell(stage, "tag", "theme-0", "more")
    tell(stage, "creator", "creator-1", "less")
    stage.world.apply(Follow(**stage.id("v"), creator="creator-9"))
    found = look(stage)
    assert [(i.name, i.say) for i in found.tags] == [("theme-0", "more"), ("theme-5", "never"), ("theme-2", "learned")]
    assert [(i.name, i.say, i.follows) for i in found.creators] == [
        ("creator-1", "less", False), ("creator-2", "learned", False), ("creator-9", "learned", True)
    ]  # fmt: skip


def test_nobody_has_no_interests():
    found = look(Stage(5))
    assert (found.tags, found.creators, found.acts, found.undo_until) == ([], [], 0, 0)


def test_a_reset_leaves_what_was_said_and_can_be_taken_back_while_it_says_so():
    stage = Stage(60)
    for k in range(5):
        stage.view("v", f"clip-{k}")
    tell(stage, "tag", "theme-5", "more")
    before = look(stage)
    reset = Reset(**stage.id("v"), before=stage.now)
    stage.world.apply(reset)
    after = look(stage)
    assert [i.name for i in after.tags] == ["theme-5"] and not after.creators and after.acts == 0
    assert (after.forgotten_before, after.undo_until) == (reset.before, reset.stamp + UNDO_US)
    stage.now = after.undo_until + 1
    assert look(stage).undo_until == 0
    stage.now = reset.stamp + S
    stage.world.apply(Reset(**stage.id("v"), before=0))
    assert look(stage).tags == before.tags and look(stage).undo_until == 0


def test_what_is_kept_and_shown_is_bounded():
    stage = Stage(60, themes=60)
    for k in range(50):
        stage.view("v", f"clip-{k}")
    assert len(look(stage).tags) == len(look(stage).creators) == SHOWN_MAX
    for k in range(TOLD_KEPT + 20):
        tell(stage, "tag", f"word-{k}", "more")
    told = stage.world.profiles["v"].told
    assert len(told) == TOLD_KEPT and "tag:word-0" not in told and f"tag:word-{TOLD_KEPT + 19}" in told


def test_a_snapshot_keeps_what_was_said_and_what_was_forgotten():
    stage = Stage(20)
    for k in range(5):
        stage.view("v", f"clip-{k}")
    tell(stage, "creator", "creator-1", "never")
    stage.world.apply(Reset(**stage.id("v"), before=stage.now))
    stage.view("v", "clip-9")
    profile = stage.world.profiles["v"]
    assert profile.aside and profile.told and len(profile.events) == 1
    assert thaw(freeze(stage.world)).profiles["v"] == profile
