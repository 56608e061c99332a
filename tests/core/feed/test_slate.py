"""The slate: the best in order, places for debuts, one draw with its chance; against a naive search."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from rig import Stage

from holdfast.core.feed import chance
from holdfast.core.feed.diversity import Spread
from holdfast.core.feed.slate import DRAWN_FROM, DRAWN_PLACE, POOL, Course, choose

STAGE = Stage(150, themes=7)
C = STAGE.world.catalogue


def _naive(rows, score, n, explore, drawn):
    """The same rules, looking at every candidate for every place; `drawn`: what the draw gave."""
    order = sorted(range(rows.size), key=lambda i: (-score[i], C.hashed[rows[i]]))[: n + POOL]
    unit = float(score[order[0]] - score[order[len(order) // 2]])
    spread = Spread(C, rows, order, n, unit, explore)
    out: list[int] = []
    while len(out) < n and len(out) < len(order):
        left = [i for i in order if i not in out]
        if len(out) == DRAWN_PLACE and drawn is not None:
            at = drawn
        else:
            fit = [i for i in left if spread.fits(i)]
            twinless = [i for i in left if not spread.twin(i)]
            values = [float(score[i]) - spread.cost(i) for i in fit]
            at = fit[int(np.argmax(values))] if fit else (twinless or left)[0]
        out.append(at)
        spread.take(at)
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 150), st.integers(1, 25), st.floats(0, 1), st.integers(0, 2**32))
def test_the_lazy_search_finds_what_the_naive_one_finds(k, n, explore, seed):
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(150)[:k])
    score = rng.normal(size=k).round(2)
    picks = choose(rows, score, C, Course(n, seed, explore))
    drawn = next((p.at for p in picks if p.how == "drawn"), None)
    assert [p.at for p in picks] == _naive(rows, score, n, explore, drawn)
    assert len({p.at for p in picks}) == len(picks) == min(n, k)


def test_debuts_take_their_places_in_their_order_and_give_way_when_there_are_none():
    rows = np.arange(100)
    score = np.linspace(1, 0, 100)
    picks = choose(rows, score, C, Course(10, 1, debut_places=[3, 6], debuts=[95, 97, 99]))
    assert [(i, p.at) for i, p in enumerate(picks) if p.how == "debut"] == [(3, 95), (6, 97)]
    none = choose(rows, score, C, Course(10, 1, debut_places=[3, 6]))
    assert len(none) == 10 and all(p.how != "debut" for p in none)


def test_the_draw_is_uniform_over_the_best_left_and_says_its_chance():
    rows = np.arange(150)
    score = np.linspace(1, 0, 150)
    drawn = [choose(rows, score, C, Course(10, seed))[DRAWN_PLACE] for seed in range(600)]
    assert {p.how for p in drawn} == {"drawn"} and drawn[0].propensity == pytest.approx(1 / DRAWN_FROM)
    counts = np.bincount([p.at for p in drawn], minlength=150)
    assert np.flatnonzero(counts).size >= 45 and counts.max() < 40  # 12 each expected
    assert choose(rows[:8], score[:8], C, Course(10, 1))[DRAWN_PLACE].how == "best"  # one left is no draw


def test_nothing_gives_nothing():
    assert choose(np.zeros(0, np.int64), np.zeros(0), C, Course(10, 1)) == []


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_one_draw_is_the_draw_of_an_array_of_one(draw, salt):
    assert chance.uniform_one(draw, salt) == chance.uniform(draw, np.array([salt], np.uint64))[0]


def test_a_drawn_twin_is_not_shown():
    stage = Stage(0)
    for k in range(12):
        stage.publish(f"copy-{k}", tags=["t"])
    for k in range(12):
        stage.world.catalogue.publications[k].caption = "the same"
    c = stage.world.catalogue
    picks = [choose(np.arange(12), np.linspace(1, 0, 12), c, Course(12, seed)) for seed in range(5)]
    assert all(p.how == "best" for slate in picks for p in slate)
