"""Co-watch: counts are exact while there is room, bounded when not; it speaks where the closed form cannot."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "core" / "feed"))
from rig import Stage

from holdfast.core.feed.predict import Eligible
from holdfast.core.feed.shapes import ContextEvent, FeedRequest
from holdfast.core.feed.viewer import History, history
from holdfast.core.profile import Profile
from holdfast.model import cowatch, learn, linear, solve
from holdfast.model.cowatch import Cowatch
from holdfast.model.learn import OUTCOME, Statistics
from holdfast.model.linear import Linear, dump, load


def _held(c: Cowatch, row: int) -> dict[int, int]:
    return {int(t): int(n) for t, n in zip(c.targets[row], c.counts[row], strict=True) if t >= 0}


def test_counts_are_exact_while_there_is_room():
    c, dice, true = Cowatch(), np.random.default_rng(1), {}
    for _ in range(2000):
        source, target = int(dice.integers(40)), 100 + int(dice.integers(20))
        weight = int(dice.integers(1, 9))
        c.learn(np.array([source, source + 50]), target, weight)
        true[source, target] = true.get((source, target), 0) + weight
    for source in range(40):
        assert _held(c, source) == {t: n for (s, t), n in true.items() if s == source} == _held(c, source + 50)
        assert c.totals[source] == sum(_held(c, source).values())


def test_a_full_list_never_counts_too_little_and_keeps_the_strongest():
    c, dice = Cowatch(), np.random.default_rng(2)
    targets = np.minimum(dice.zipf(1.3, 20_000), 5000)
    for t in targets.tolist():
        c.learn(np.array([0]), t, 1)
    held, true = _held(c, 0), dict(zip(*np.unique(targets, return_counts=True), strict=True))
    assert len(held) == cowatch.KEPT
    least = min(held.values())
    for target, count in held.items():
        assert true[target] <= count <= true[target] + least
    assert {1, 2, 3, 4, 5} <= set(held)
    assert sum(held.values()) == 20_000  # what leaves hands its count on


def _past(stage: Stage, *names: str) -> History:
    context = [ContextEvent(item=n, action="view", dwell_ms=6000, duration_ms=6000) for n in names]
    return history(Profile(), FeedRequest(context=context), stage.world.catalogue, stage.now)


@pytest.fixture
def few(monkeypatch):
    """Room for 8 videos in the closed form, 40 in the catalogue."""
    monkeypatch.setitem(learn.COLUMNS_MAX, "i:", 8)
    stage = Stage(40, themes=1)
    s = Statistics(stage.world.catalogue)
    of = stage.world.catalogue.items.of
    for _ in range(30):
        for k in range(0, 40, 2):
            s.learn(_past(stage, f"clip-{k}"), of[f"clip-{k + 1}"], stage.now, outcome=OUTCOME["long"])
    return stage, load(dump(s.solve()))


def test_videos_beyond_the_closed_form_follow_by_cowatch(few):
    stage, model = few
    of = stage.world.catalogue.items.of
    bound = Linear(model, stage.world.catalogue)
    assert sum(name.startswith("i:") for name in model.names) <= 8
    allowed, none = np.ones(40, bool), np.zeros(0, np.int64)
    hits = 0
    for k in range(0, 40, 2):
        past, after = _past(stage, f"clip-{k}"), of[f"clip-{k + 1}"]
        reading = bound.read([past])
        (rows, scores), = reading.retrieve(3, [Eligible(allowed, np.array([of[f"clip-{k}"]]))])  # fmt: skip
        hits += int(rows[np.argmax(scores)]) == after
        every = np.arange(40)
        np.testing.assert_allclose(reading.score([every])[0][:, 0], bound.scores([past])[0], atol=1e-6)
        said = bound.contributions(past, every)
        np.testing.assert_allclose(said.sum(0), bound.scores([past])[0], atol=1e-6)
    assert hits >= 19
    assert bound.read([_past(stage)]).retrieve(3, [Eligible(allowed, none)])[0][0].size == 3


def test_a_solve_of_few_videos_leaves_the_others_to_cowatch():
    stage = Stage(40, themes=1)
    s = Statistics(stage.world.catalogue)
    of = stage.world.catalogue.items.of
    for times in (3, 3):
        for k in range(0, 40, 2):
            for _ in range(times + (k < 8)):
                s.learn(_past(stage, f"clip-{k}"), of[f"clip-{k + 1}"], stage.now, outcome=OUTCOME["long"])
    model = s.solve(videos=4)
    assert sorted(n for n in model.names if n.startswith("i:")) == ["i:clip-1", "i:clip-3", "i:clip-5", "i:clip-7"]
    bound = Linear(model, stage.world.catalogue)
    assert int(np.argmax(bound.scores([_past(stage, "clip-20")])[0])) == of["clip-21"]


def test_what_is_new_in_a_large_catalogue_is_scored_at_once_and_found_soon(monkeypatch):
    monkeypatch.setattr(linear, "SMALL", 10)
    monkeypatch.setattr(linear, "NEW_SHARE", 0.1)
    stage = Stage(40)
    s = Statistics(stage.world.catalogue)
    of = stage.world.catalogue.items.of
    for _ in range(9):
        s.learn(_past(stage, "clip-6"), of["clip-12"], stage.now, outcome=OUTCOME["long"])
        s.learn(_past(stage, "clip-12"), of["clip-6"], stage.now, outcome=OUTCOME["long"])
    bound = Linear(s.solve(), stage.world.catalogue)
    past, none = _past(stage, "clip-6"), np.zeros(0, np.int64)
    bound.read([past])
    for k in range(6):
        stage.publish(f"new-{k}", tags=["theme-0", f"fresh-{k}"], creator=f"newcomer-{k}")
        n = stage.world.catalogue.n
        new, other = of[f"new-{k}"], of["clip-1"]
        reading = bound.read([_past(stage, "clip-6", f"new-{k}")])
        scores = reading.score([np.array([new, other])])[0][:, 0]
        assert scores[0] > scores[1]
        assert bound.because(past, np.array([new]))[0][1] > 0
    rows = reading.retrieve(n, [Eligible(np.ones(n, bool), none)])[0][0]
    assert of["new-0"] in rows  # six of forty were too many to wait


def test_a_large_model_keeps_its_strongest_weights(monkeypatch):
    stage = Stage(60)
    s = Statistics(stage.world.catalogue)
    of = stage.world.catalogue.items.of
    for k in range(240):
        s.learn(_past(stage, f"clip-{k % 60}"), of[f"clip-{(k + 1) % 60}"], stage.now, outcome=OUTCOME["long"])
    whole = Linear(s.solve(), stage.world.catalogue)
    monkeypatch.setattr(solve, "DENSE_MAX", 10)
    past = _past(stage, "clip-3", "clip-17")
    exact = whole.scores([past])[0]
    for kept, close in ((1000, 1e-3), (40, 0.05)):
        monkeypatch.setattr(solve, "KEPT", kept)
        bound = Linear(load(dump(s.solve())), stage.world.catalogue)
        assert np.abs(bound.scores([past])[0] - exact).max() <= close * np.abs(exact).max()
        asked = np.array([of["clip-18"]])
        assert bound.because(past, asked)[0][0] == whole.because(past, asked)[0][0] == 1
