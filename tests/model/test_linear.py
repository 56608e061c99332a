"""The linear model: a known answer, exactness, bounds, and nothing that is not a number gets through."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "core" / "feed"))
from rig import Stage, items

from holdfast.core.allowance import SHOWINGS_MAX
from holdfast.core.catalogue import fnv64
from holdfast.core.entries import Reset, Ruling, SlateServed, View
from holdfast.core.errors import Broken
from holdfast.core.feed.shapes import ContextEvent, FeedRequest
from holdfast.core.feed.viewer import History, history
from holdfast.core.profile import Profile
from holdfast.model import evaluate, gate, learn
from holdfast.model.evaluate import HOLD_OUT, Example, Log, Question, area, hit, paired
from holdfast.model.learn import OUTCOME, Statistics
from holdfast.model.lessons import Lessons
from holdfast.model.linear import Features, Linear, LinearModel, dump, load


def _past(stage: Stage, *names: str, action: str = "view") -> History:
    context = [ContextEvent(item=n, action=action, dwell_ms=6000, duration_ms=6000) for n in names]
    return history(Profile(), FeedRequest(context=context), stage.world.catalogue, stage.now)


def _taught(stage: Stage, pairs: list[tuple[str, str]], times: int = 60) -> Statistics:
    s = Statistics(stage.world.catalogue)
    of = stage.world.catalogue.items.of
    for k in range(times):
        for before, after in pairs:
            s.learn(_past(stage, before), of[after], stage.now + k, outcome=OUTCOME["long"])
    return s


def test_what_follows_what_is_learned_and_explained():
    stage = Stage(12)
    pairs = [("clip-0", "clip-7"), ("clip-7", "clip-1"), ("clip-1", "clip-8"), ("clip-8", "clip-0")]
    model = Linear(_taught(stage, pairs).solve(), stage.world.catalogue)
    of = stage.world.catalogue.items.of
    for before, after in pairs:
        assert int(np.argmax(model.scores([_past(stage, before)])[0])) == of[after]
    past = _past(stage, "clip-3", "clip-1", "clip-0")
    assert model.because(past, np.array([of["clip-8"]]))[0][0] == 1  # the second of the three


def test_a_model_of_few_features_finds_its_videos_in_a_large_catalogue():
    stage = Stage(40)
    c = stage.world.catalogue
    few = {"i:clip-7": 0, "i:clip-39": 1, f"t:{c.tags.all[0]}": 2, f"c:{c.creators.all[3]}": 3, "i:nobody's": 4}
    features = Features(c, few, 5)
    features.refresh()
    for names, column_of, prefix in ((c.items, features.item, "i:"), (c.tags, features.tag[:-1], "t:"),
                                     (c.creators, features.creator[:-1], "c:")):  # fmt: skip
        assert column_of.tolist() == [few.get(prefix + name, 5) for name in names.all]
    assert sorted({*features.item.tolist(), *features.tag.tolist(), *features.creator.tolist()}) == [0, 1, 2, 3, 5]


def test_because_adds_up_to_the_score():
    stage = Stage(12)
    model = Linear(_taught(stage, [("clip-0", "clip-7"), ("clip-1", "clip-6")]).solve(), stage.world.catalogue)
    past = _past(stage, "clip-1", "clip-0", "clip-4")
    np.testing.assert_allclose(model.contributions(past, np.arange(12)).sum(0), model.scores([past])[0], atol=1e-6)


def test_a_video_nobody_watched_is_scored_by_its_tags():
    stage = Stage(12)
    model = Linear(_taught(stage, [("clip-0", "clip-6"), ("clip-1", "clip-7")]).solve(), stage.world.catalogue)
    stage.publish("new", tags=["theme-0"], creator="someone")
    stage.publish("other", tags=["theme-4"], creator="someone-else")
    of = stage.world.catalogue.items.of
    scores = model.scores([_past(stage, "clip-0")])[0]
    assert scores[of["new"]] > scores[of["other"]]


def test_order_of_examples_changes_no_bit():
    stage = Stage(30)
    of = stage.world.catalogue.items.of
    examples = [(_past(stage, f"clip-{k % 30}", f"clip-{k * 7 % 30}"), of[f"clip-{k * 11 % 30}"]) for k in range(80)]
    a, b = Statistics(stage.world.catalogue), Statistics(stage.world.catalogue)
    for s in (a, b):  # columns are given in order of need; give both the same
        for _, row in examples:
            s.learn(examples[0][0], row, stage.now, outcome=0)
    for s, order in ((a, examples), (b, examples[::-1])):
        for past, row in order:
            s.learn(past, row, stage.now, outcome=OUTCOME["long"])
    assert a.names == b.names and all((x == y).all() and x.any() for x, y in zip(a.whole(), b.whole(), strict=True))
    assert dump(a.solve()) == dump(b.solve())


def _sums(s: Statistics) -> dict[tuple[str, str, str], int]:
    """All sums by name: columns are given in order of need."""
    xx, xy = s.whole()
    gram = {("x x", *sorted((s.names[i], s.names[j]))): int(xx[i, j]) for i in range(len(xx)) for j in range(i + 1)}
    return gram | {("x y", a, b): int(xy[i, j]) for i, a in enumerate(s.names) for j, b in enumerate(s.names)}


def test_yesterday_counts_half():
    stage = Stage(6)
    day = learn.HALF_LIFE_US
    for later in (day, learn.EPOCH_US + day):  # within an epoch, and across its end
        s = _taught(stage, [("clip-0", "clip-1"), ("clip-1", "clip-0")], times=8)
        old = [_sums(s)["x y", "i:clip-0", "i:clip-1"] / (learn.EXAMPLE_UNIT * s.rise)]
        s.learn(_past(stage, "clip-2"), 3, stage.now + later, outcome=0)
        old.append(_sums(s)["x y", "i:clip-0", "i:clip-1"] / (learn.EXAMPLE_UNIT * s.rise))
        assert old[1] == pytest.approx(old[0] * 2.0 ** (-later / day), rel=1e-3) and old[1] > 0


def test_parts_learned_apart_add_up_bit_for_bit():
    stage = Stage(30)
    of = stage.world.catalogue.items.of
    dice, begins = np.random.default_rng(3), stage.now - stage.now % learn.EPOCH_US + 1
    examples = [
        (_past(stage, *(f"clip-{k}" for k in dice.choice(30, 4, replace=False))), int(dice.integers(30)),
         begins + int(dice.integers(3 * learn.HALF_LIFE_US)), "hide" if k % 7 == 0 else "long")
        for k in range(120)
    ]  # fmt: skip

    def learned(part: list, into: Statistics | None = None) -> Statistics:
        s = into or Statistics(stage.world.catalogue)
        if into is None:  # a feature has sums from when it has a column: give all theirs first
            for name in of:
                s.learn(_past(stage, "clip-0"), of[name], begins, outcome=0, share=1 / 16)
        for past, row, stamp, outcome in part:
            s.learn(past, row, stamp, outcome=OUTCOME[outcome])
        return s

    whole, nothing = learned(examples), learned([])
    base, once = _sums(nothing), _sums(whole)
    parts = [learned(examples[k::3]) for k in range(3)]
    for order in ((0, 1, 2), (2, 0, 1)):
        total = learned([])
        for k in order:
            total.add(parts[k])
        assert _sums(total) == {key: once[key] + 3 * base[key] for key in once}
        assert total.weight == whole.weight + 3 * nothing.weight
    nested = learned([])  # (a + (b + c)) as ((a + b) + c)
    tail = learned(examples[1::3])
    tail.add(parts[2])
    nested.add(parts[0])
    nested.add(tail)
    assert _sums(nested) == _sums(total)
    cow = [
        {(int(r), int(t)): int(n) for r, row in enumerate(x.cowatch.targets)
         for t, n in zip(row, x.cowatch.counts[r], strict=True) if t >= 0}
        for x in (whole, total)
    ]  # fmt: skip
    assert cow[0] == cow[1] and sum(cow[0].values()) > 0


def test_what_another_learned_of_names_not_known_here_is_kept_under_them():
    here, there = Stage(6), Stage(6)
    there.publish("late", tags=["new-tag"], creator="new-creator")  # here it comes later
    mine = _taught(here, [("clip-0", "clip-1")], times=4)
    theirs = _taught(there, [("clip-2", "clip-3"), ("clip-3", "late")], times=4)
    mine.add(theirs)
    assert {"i:late", "t:new-tag", "c:new-creator"} <= set(mine.names)
    once, both = _sums(theirs), _sums(mine)
    assert both["x y", "i:clip-3", "i:late"] == once["x y", "i:clip-3", "i:late"] > 0
    here.publish("late", tags=["new-tag"], creator="new-creator")
    of = here.world.catalogue.items.of
    mine.learn(_past(here, "late"), of["clip-4"], here.now, outcome=OUTCOME["long"])
    after = _sums(mine)
    assert after["x y", "i:late", "i:clip-4"] > both.get(("x y", "i:late", "i:clip-4"), 0)


def test_columns_are_bounded_and_the_least_active_make_room(monkeypatch):
    monkeypatch.setitem(learn.COLUMNS_MAX, "i:", 20)
    stage = Stage(60)
    s = _taught(stage, [(f"clip-{k}", f"clip-{k + 1}") for k in range(59)], times=1)
    for _ in range(5):
        s.learn(_past(stage, "clip-57"), 58, stage.now, outcome=OUTCOME["long"])
    assert sum(n.startswith("i:") for n in s.names) <= 20 and "i:clip-58" in s.names
    assert s.of == {n: i for i, n in enumerate(s.names)}
    model = Linear(s.solve(), stage.world.catalogue)
    assert int(np.argmax(model.scores([_past(stage, "clip-57")])[0])) == 58


def test_a_release_survives_the_blob_and_damage_is_refused():
    stage = Stage(12)
    model = _taught(stage, [("clip-0", "clip-7")]).solve()
    data = dump(model)
    again = load(data)
    assert again.names == model.names and np.allclose(again.weights, model.weights, atol=1e-3)
    twice = LinearModel(["i:a", "i:a"], 1.0, np.zeros((2, 2)))
    bad = LinearModel(model.names, 1.0, np.full_like(model.weights, np.nan))
    for broken in (data[:-2], b"", b"\xc1" + data, dump(bad), dump(twice)):
        with pytest.raises(Broken):
            load(broken)


def test_serving_and_learning_see_the_same_history():
    stage = Stage(20)
    for k in range(9):
        stage.view("v", f"clip-{k}", dwell_ms=6000 if k % 2 else 500)
    device = [ContextEvent(item=f"clip-{k}", dwell_ms=6000 if k % 2 else 500, duration_ms=6000) for k in range(9)]
    served = history(Profile(), FeedRequest(context=device), stage.world.catalogue, stage.now)
    learned = history(stage.world.profiles["v"], FeedRequest(), stage.world.catalogue, stage.now)
    assert (served.rows == learned.rows).all() and (served.weights == learned.weights).all()


def test_the_gate_refuses_what_is_broken_or_surely_worse():
    stage = Stage(24, themes=4)
    c = stage.world.catalogue
    good = _taught(stage, [(f"clip-{k}", f"clip-{k + 4}") for k in range(20)]).solve()
    good.examples = 1e6
    worse = LinearModel(good.names, 1e6, -good.weights)
    nan = LinearModel(good.names, 1e6, good.weights * np.nan)
    rows = np.arange(24)
    told = [
        Example(_past(stage, f"clip-{k}"), rows, rows == k + 4, (rows * 7 % 24).astype(np.float32))
        for k in range(20) for _ in range(3)
    ]  # fmt: skip
    log, few = Log(), Log()
    log.examples.extend(told)
    few.examples.extend(told[:10])
    for k in range(20):
        log.questions.append(Question(_past(stage, f"clip-{k}"), rows, (rows * 7 % 24).astype(np.float32), k + 4))
    bound = {name: Linear(m, c) for name, m in {"good": good, "worse": worse}.items()}
    assert gate.judge(good, bound["good"], None, log).released
    assert not gate.judge(worse, bound["worse"], bound["good"], log).released
    assert "popularity" in gate.judge(worse, bound["worse"], None, log).why
    assert not gate.judge(nan, bound["good"], None, few).released
    assert gate.judge(worse, bound["worse"], bound["good"], few).released  # too few to tell


def test_what_is_behind_popularity_goes_out_if_it_takes_the_place_of_something_worse():
    """Else a model that popularity has overtaken would keep every newer one from its place."""
    stage = Stage(24, themes=4)
    c = stage.world.catalogue
    good = _taught(stage, [(f"clip-{k}", f"clip-{k + 4}") for k in range(20)]).solve()
    good.examples = 1e6
    dice, rows, log = np.random.default_rng(5), np.arange(24), Log()
    half = good.weights * np.where(dice.random(len(good.names)) < 0.5, 1, -1)
    candidate, worse = LinearModel(good.names, 1e6, half), LinearModel(good.names, 1e6, -good.weights)
    for k in [*range(20)] * 3:
        past, heat = _past(stage, f"clip-{k}"), (rows == k + 4).astype(np.float32)  # popularity knows it all
        log.examples.append(Example(past, rows, rows == k + 4, heat))
        log.put(Question(past, rows, heat, k + 4))
    mine, theirs = Linear(candidate, c), Linear(worse, c)
    assert "popularity" in gate.judge(candidate, mine, None, log).why
    assert not gate.judge(candidate, mine, None, log).released
    assert not gate.judge(candidate, mine, Linear(good, c), log).released
    assert gate.judge(candidate, mine, theirs, log).released


def test_figures_are_what_they_say():
    example = Example(History(np.zeros(0, np.int32), np.zeros(0, np.float32), ()), np.arange(4),
                      np.array([True, False, False, True]), np.zeros(4))  # fmt: skip
    assert area(np.array([3.0, 2.0, 1.0, 0.0]), example) == 0.5
    assert area(np.zeros(4), example) == 0.5 and area(np.array([9.0, 1, 1, 8]), example) == 1.0
    scores = np.arange(100.0)
    assert hit(scores, 80) == 1.0 and hit(scores, 79) == 0.0 and hit(np.zeros(40), 3) == 0.5
    worse = paired([0.0, 0, 1, 0] * 50, [1.0, 1, 1, 0] * 50)
    assert worse.high < 0 and worse.mean == pytest.approx(-0.5)


def test_questions_are_bounded_by_number_and_by_what_they_hold():
    few, many = Log(), Log()
    for k in range(evaluate.ASKED + 5):
        few.put(Question(History(np.zeros(0), np.zeros(0), ()), np.arange(30), np.zeros(30), k % 30))
        many.put(Question(History(np.zeros(0), np.zeros(0), ()), np.broadcast_to(0, 300_000), np.zeros(1), k))
    assert len(few.questions) == evaluate.ASKED and few.full
    assert len(many.questions) == evaluate.ASKED_LEAST + 1 and many.questions[-1].at == evaluate.ASKED + 4


def test_duplicates_late_entries_and_held_out_slates_do_not_teach():
    lessons = Lessons("US")
    stage = Stage(40)
    for item in stage.world.catalogue.publications:
        assert item is not None
        lessons.take(item)
    views = [View(device="app:v", outbox=k + 1, stamp=stage.now + k, item=f"clip-{k}", dwell_ms=6000, duration_ms=6000,
                  slate=f"s{k // 5}") for k in range(40)]  # fmt: skip
    for view in views:
        lessons.take(view)
    learned, aside = lessons.statistics.examples, sum(e.rows.size for e in lessons.log.examples)
    assert learned > 20 and learned + aside >= 34
    for view in views:
        lessons.take(view)
    late = View(device="app:v", outbox=99, stamp=views[3].stamp, item="clip-3", dwell_ms=6000, duration_ms=6000)
    lessons.take(late)
    assert lessons.statistics.examples == learned and lessons.world.duplicates == 40


@pytest.mark.parametrize("held", [False, True])
def test_a_script_neither_teaches_nor_judges_more_than_a_person_could(held: bool):
    """The slate that a view names decides whether it is held out, and a script may name any."""
    lessons, stage = Lessons("US"), Stage(SHOWINGS_MAX + 60)
    for k, item in enumerate(stage.world.catalogue.publications):
        assert item is not None
        lessons.take(item)
        lessons.take(Ruling(device="desk", outbox=k, stamp=stage.now, item=item.item, verdict="allow"))
    slate = next(f"s{k}" for k in range(99) if (fnv64(f"app:bot/s{k}") % HOLD_OUT == 0) == held)
    for k in range(SHOWINGS_MAX + 60):
        lessons.take(View(device="app:bot", outbox=k + 1, stamp=stage.now + k, item=f"clip-{k}", dwell_ms=6000,
                          duration_ms=6000, slate=slate))  # fmt: skip
    showings = lessons.statistics.examples + sum(e.rows.size for e in lessons.log.examples)
    assert SHOWINGS_MAX - 20 <= showings <= SHOWINGS_MAX and bool(lessons.log.questions) == held


def test_what_no_slate_showed_is_no_lesson_and_no_question():
    """A script says that it watched, and names slates of its own making; then it watches what it was shown."""
    lessons, stage = Lessons("US"), Stage(60)
    for k, item in enumerate(stage.world.catalogue.publications):
        assert item is not None
        lessons.take(item)
        lessons.take(Ruling(device="desk", outbox=k, stamp=stage.now, item=item.item, verdict="allow"))
    lessons.take(SlateServed(device="node", outbox=1, stamp=stage.now, viewer="v", slate="real", rung="FULL",
                             items=[f"clip-{k}" for k in range(40, 60)]))  # fmt: skip
    learned: list[int] = []
    for k in range(60):
        lessons.take(View(device="v", outbox=k + 1, stamp=stage.now + k, item=f"clip-{k}", dwell_ms=6000,
                          duration_ms=6000, slate=f"s{k // 5}"))  # fmt: skip
        learned.append(lessons.statistics.examples + len(lessons.log.questions))
    assert learned[39] == 0 and learned[59] > 10


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_held_out_slate_that_was_forgotten_is_no_question(forgotten: bool):
    lessons, stage = Lessons("US"), Stage(12)
    for item in stage.world.catalogue.publications:
        assert item is not None
        lessons.take(item)
    held, other = (
        next(f"s{k}" for k in range(99) if (fnv64(f"app:v/s{k}") % HOLD_OUT == 0) == h) for h in (True, False)
    )  # fmt: skip
    views = [View(device="app:v", outbox=k + 1, stamp=stage.now + k, item=f"clip-{k}", dwell_ms=6000, duration_ms=6000,
                  slate=held if 2 <= k < 6 else other) for k in range(12)]  # fmt: skip
    for view in views[:6]:
        lessons.take(view)
    if forgotten:
        lessons.take(Reset(device="app:v", outbox=99, stamp=stage.now + 6, before=stage.now + 6))
    for view in views[6:]:
        lessons.take(view)
    assert [e.rows.size for e in lessons.log.examples] == ([] if forgotten else [4])


def test_likes_of_a_theme_turn_the_next_slate():
    stage = Stage(120, themes=12)
    model = Linear(Statistics(stage.world.catalogue).solve(), stage.world.catalogue)
    three = [f"clip-{k}" for k in (3, 15, 27)]
    watched = [ContextEvent(item=i, dwell_ms=3000, duration_ms=6000) for i in three]
    liked = watched + [ContextEvent(item=i, action="like") for i in three]

    def share(context: list[ContextEvent]) -> int:
        got = items(stage.ask(predict=model, n=10, request="r", context=context))
        return sum(int(i.split("-")[1]) % 12 == 3 for i in got)

    assert share(liked) >= share(watched) + 3
