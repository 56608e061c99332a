"""Why this, in words: the sentence names what spoke most, and the parts are said as a person would say them."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from rig import S, Stage
from test_kinds import Nobody, follow, tell

from holdfast.core.feed import why
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pipeline import run
from holdfast.core.feed.shapes import FeedRequest, Why
from holdfast.core.feed.viewer import Budget, Query


class Network(Nobody):
    """A network that expects the same of everything, but that clip-7 is liked for sure."""

    parts = ("long", "like", "hide")
    trust = 1.0

    def __init__(self, row: int) -> None:
        self.row = row

    def retrieve(self, k, eligible):
        return [(np.flatnonzero(e.allowed)[:k], np.zeros(k, np.float32)) for e in eligible]

    def score(self, rows):
        return [np.stack([np.full(r.size, 0.2), np.where(r == self.row, 0.9, 0.02), np.full(r.size, 0.001)], 1)
                for r in rows]  # fmt: skip

    def because(self, history, rows):
        return [(history.rows.size - 1, 0.5 if history.rows.size else 0.0)] * rows.size


def ask(stage: Stage, rung: Rung = Rung.LINEAR, predict=None, **request) -> dict[str, Why]:
    predictors = {rung: predict} if predict else {Rung.LINEAR: Nobody()} if rung is Rung.LINEAR else {}
    budget = Budget(stage.now + S, 7, rung)
    result = run([Query("v", FeedRequest(n=30, **request))], stage.world, predictors, budget)[0]
    return {c.item: why.why(c, result, stage.world, predict or Nobody()) for c in result.chosen if c.how == "best"}


def test_each_feed_says_its_own_reason():
    stage = Stage(60)
    follow(stage, "creator-3")
    assert {w.sentence for w in ask(stage, feed="following").values()} == {"You follow its creator."}
    plain = {w.sentence for w in ask(stage, feed="plain").values()}
    assert plain == {"People here like it now; nothing about you was used to choose it."}
    topic = {w.sentence for w in ask(stage, feed="topic", topic="theme-1").values()}
    assert topic == {"It is about theme-1, and it is new here."}


def test_what_spoke_most_is_said_and_nothing_else():
    """Nobody has watched anything here, so nobody likes it now."""
    stage = Stage(60)
    assert {w.sentence for w in ask(stage).values()} == {"It is new here."}
    cold = {w.sentence for w in ask(stage, rung=Rung.REGIONAL).values()}
    assert cold == {"Nothing yet speaks for one more than for another."}
    for k in range(12):
        stage.view(f"app:fan-{k}", "clip-7")
    said = ask(stage)
    assert said["clip-7"].sentence in ("People here like it now.", "Its first viewers liked it.")
    assert {w.sentence for item, w in said.items() if item != "clip-7"} == {"It is new here."}
    assert ask(stage, rung=Rung.REGIONAL)["clip-7"].sentence == "People here like it now."


def test_what_was_asked_for_is_named():
    stage = Stage(60)
    tell(stage, "tag", "theme-2", "more")
    tell(stage, "creator", "creator-9", "more")
    said = ask(stage)
    assert said["clip-2"].sentence == "You asked for more of theme-2."
    assert said["clip-9"].sentence == "You asked for more of creator-9."
    assert said["clip-2"].features[0].name == "what you said about it" and said["clip-2"].features[0].chance is None


def test_taste_is_named():
    stage = Stage(60)
    for k in (4, 10, 16):
        stage.like("v", f"clip-{k}")
    said = ask(stage)
    mine = {said[item].sentence for item in (f"clip-{k}" for k in range(22, 60, 6)) if item in said}
    assert mine == {"You have been enjoying theme-4."}


def test_on_full_the_parts_are_chances_in_plain_words_the_heaviest_first():
    stage = Stage(60)
    stage.like("v", "clip-1")
    said = ask(stage, Rung.FULL, Network(7))["clip-7"]
    assert said.sentence == "You liked “clip-1”; that speaks most for this one."
    like, long = said.features[:2]
    assert (like.name, like.chance) == ("you like it", 0.9)
    assert (long.name, long.chance) == ("you watch it through", 0.2)
    assert any(f.name == "you hide it" and f.value < 0 for f in said.features)


def test_without_a_past_the_model_speaks_for_itself():
    stage = Stage(60)
    said = ask(stage, Rung.FULL, Network(7))["clip-7"]
    assert said.sentence == "The model expects that you like it."
