"""Debuts: each new video gets its first viewers, from several regions that do not talk, and the bad ones stop."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from rig import S, Stage, T, items

from holdfast.core.entries import Hide, Publication, Ruling, SlateServed, View
from holdfast.core.feed import debut
from holdfast.core.feed.debut_book import DEBUT_VIEWS, Rate
from holdfast.core.feed.world import World

DAY = 86_400 * S


def _new(world: World, item: str = "new", stamp: int = T) -> int:
    world.apply(Ruling(device="policy", outbox=len(world.catalogue.items.all) + 1, stamp=stamp, item=item,
                       verdict="allow"))  # fmt: skip
    world.apply(Publication(device=f"dev-{item}", outbox=1, stamp=stamp, item=item, creator="app:mara", tags=["t"],
                            duration_ms=10_000))  # fmt: skip
    return world.catalogue.items.of[item]


def _view(world: World, viewer: str, stamp: int, dwell_ms: int = 10_000, item: str = "new", outbox: int = 1) -> None:
    """A view under a team's key, which counts without a slate."""
    by = {"device": f"app:{viewer}", "outbox": outbox, "stamp": stamp}
    world.apply(View(**by, item=item, dwell_ms=dwell_ms, duration_ms=10_000))


def _plan(world: World, now_us: int) -> debut.Plan:
    return debut.plan(world, world.catalogue.allowed(), now_us)


def test_an_impression_qualifies_once_per_viewer_and_never_for_the_creator_or_in_passing():
    world = World("US")
    row = _new(world)
    _view(world, "a", T + S)
    _view(world, "a", T + 2 * S, outbox=2)
    _view(world, "mara", T + S)
    _view(world, "b", T + S, dwell_ms=400)
    c = world.catalogue
    assert (c.qualified[row], c.debut_shown[row], c.debut_long[row]) == (1, 2, 1)
    world.apply(Hide(device="app:b", outbox=2, stamp=T + 3 * S, item="new"))  # acted on it: that is more than passing
    assert (c.qualified[row], c.debut_hidden[row]) == (2, 1)
    short = {"item": "new", "duration_ms": 900, "stamp": T + 4 * S, "outbox": 1}  # shorter than what qualifies
    world.apply(View(device="app:c", dwell_ms=880, **short))
    world.apply(View(device="app:d", dwell_ms=300, **short))
    assert c.qualified[row] == 3


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_count_does_not_depend_on_order_nor_on_hearing_twice(rng: random.Random):
    entries = [View(device=f"app:v{k % 30}", outbox=1 + k // 30, stamp=T + k, item="new", duration_ms=10_000,
                    dwell_ms=rng.choice([300, 3000, 10_000])) for k in range(45)]  # fmt: skip
    found: set[int] = set()
    for _ in range(3):
        world = World("US")
        row = _new(world)
        mixed = entries + rng.sample(entries, 10)
        rng.shuffle(mixed)
        for entry in mixed:
            world.apply(entry)
        found.add(int(world.catalogue.qualified[row]))
    assert len(found) == 1 and max(found) <= DEBUT_VIEWS


def test_the_share_is_what_is_owed_over_what_is_seen_and_never_beyond_its_bound():
    world = World("US")
    _new(world)
    assert _plan(world, T + S).share == debut.SHARE_MAX  # nothing is known of how much is seen
    for k in range(6000):  # 10 a second for ten minutes
        _view(world, f"old{k}", T - 600 * S + k * S // 10, item="elsewhere")
    plan = _plan(world, T + S)
    assert plan.share == pytest.approx(DEBUT_VIEWS / 240 / 10, rel=0.1)
    for k in range(300):
        _new(world, f"n{k}")
    assert _plan(world, T + S).share == debut.SHARE_MAX


def test_places_follow_the_share_and_stay_within_it():
    for share, n in ((0.05, 10), (0.2, 10), (0.13, 8), (0.2, 3), (0.1, 1)):
        counts = [len(debut.places(share, n, draw)) for draw in range(1500)]
        assert np.mean(counts) == pytest.approx(share * n, abs=0.05)
        assert max(counts) <= int(np.ceil(debut.SHARE_MAX * n))
    assert debut.places(1.0, 10, 5) == [3, 6]  # whatever a plan says


def test_what_is_served_is_awaited_until_seen_or_long_ago():
    world = World("US")
    row = _new(world)
    rows = np.array([row])
    for k in range(4):
        world.apply(SlateServed(device="node", outbox=k + 1, stamp=T + S, viewer=f"app:v{k}", slate=f"s{k}",
                                rung="LINEAR", items=["new"]))  # fmt: skip
    assert world.debuts.awaited(world.catalogue, rows, T + S)[0] == pytest.approx(4)
    _view(world, "v0", T + 30 * S)
    _view(world, "v0", T + 31 * S, outbox=2)  # seen again: it was awaited once
    assert world.debuts.awaited(world.catalogue, rows, T + S)[0] == pytest.approx(3)
    assert world.debuts.awaited(world.catalogue, rows, T + 1200 * S)[0] < 0.01
    before = _plan(world, T + 32 * S)
    for k in range(10, 13):
        world.apply(SlateServed(device="node", outbox=k, stamp=T + 32 * S, viewer=f"w{k}", slate=f"w{k}",
                                rung="LINEAR", items=["new"]))  # fmt: skip
    assert before.rows.tolist() == [row] and not _plan(world, T + 32 * S).rows.size  # enough are under way


@given(st.lists(st.integers(0, DEBUT_VIEWS), min_size=1, max_size=40), st.floats(0.1, 900))
def test_n_shrinks_evenly_to_what_fits(met: list[int], capacity: float):
    level = debut.affordable(np.array(met, np.float64), capacity)
    spent = sum(max(0.0, level - m) for m in met)
    assert 0 <= level <= DEBUT_VIEWS
    if level < DEBUT_VIEWS:
        assert spent == pytest.approx(capacity, rel=1e-6)
    else:
        assert sum(DEBUT_VIEWS - m for m in met) <= capacity + 1e-6


def test_the_creator_is_told_when_n_shrinks():
    world = World("US")
    for k in range(8640):  # one impression in ten seconds: 1,728 a day may go to debuts
        _view(world, f"old{k}", T - DAY + k * 10 * S, item="elsewhere")
    rows = [_new(world, f"n{k}") for k in range(200)]
    plan = _plan(world, T + S)
    assert plan.level == pytest.approx(1728 / 200, rel=0.15)
    told = debut.progress(world, rows[0], plan, T + S)
    assert (told.state, told.met, told.owed) == ("running", 0, int(plan.level)) and "not 20" in told.words


def test_a_bad_one_stops_early_a_good_one_does_not_and_the_creator_is_told():
    world = World("US")
    good, bad = _new(world, "good"), _new(world, "bad")
    for k in range(12):
        _view(world, f"v{k}", T + k, item="good", dwell_ms=10_000 if k % 3 == 0 else 2000)
        _view(world, f"v{k}", T + k, item="bad", dwell_ms=1500, outbox=2)
        if k % 4 == 0:
            world.apply(Hide(device=f"app:v{k}", outbox=3, stamp=T + k, item="bad"))
    plan = _plan(world, T + S)
    assert plan.rows.tolist() == [good]
    assert debut.progress(world, bad, plan, T + S).state == "stopped"
    assert debut.progress(world, good, plan, T + S).state == "running"


def test_nobody_is_judged_on_a_few_and_the_posterior_is_the_beta_one():
    world = World("US")
    row = _new(world)
    for k in range(5):
        _view(world, f"v{k}", T + k, dwell_ms=1500)
        world.apply(Hide(device=f"app:v{k}", outbox=2, stamp=T + k, item="new"))
    assert _plan(world, T + S).rows.tolist() == [row]
    draws = np.random.default_rng(0).beta(1 + 2, 1 + 11, 200_000)
    said = debut.surely_below(0.2, np.array([2]), np.array([11]))[0]
    assert said == pytest.approx(float((draws < 0.2).mean()), abs=0.005)


def test_of_many_asked_together_each_has_its_own_posterior():
    good, bad = (grid.ravel() for grid in np.meshgrid(np.arange(4), np.array([0, 3, 17])))
    said = debut.surely_below(0.2, good, bad)
    alone = [debut.surely_below(0.2, good[i : i + 1], bad[i : i + 1])[0] for i in range(good.size)]
    assert said.tolist() == alone and len(set(alone)) == good.size
    assert debut.surely_below(0.2, good[:0], bad[:0]).size == 0


def test_a_rate_is_unbiased_from_its_first_minutes_and_does_not_overflow():
    rate = Rate(300 * S)
    for k in range(600):
        rate.add(T + k * S // 5)
    assert rate.per_s(T + 120 * S) == pytest.approx(5.0, rel=0.15)
    rate.add(T + 400 * DAY)
    rate.add(T)
    assert np.isfinite(rate.warm) and 0 < rate.per_s(T + 400 * DAY) < 1


def test_the_hold_out_arm_and_the_public_get_no_debut_places():
    stage = Stage(40)
    arm = next(f"viewer-{k}" for k in range(1000) if debut.held_out(f"viewer-{k}"))
    other = next(f"viewer-{k}" for k in range(1000) if not debut.held_out(f"viewer-{k}"))
    assert not any(c.how == "debut" for k in range(20) for c in stage.ask(viewer=arm, request=str(k)).chosen)
    assert not any(c.how == "debut" for k in range(20) for c in stage.ask(viewer="", request=str(k)).chosen)
    assert any(c.how == "debut" for k in range(20) for c in stage.ask(viewer=other, request=str(k)).chosen)


def test_a_removed_debut_is_not_offered_and_one_of_yesterday_is_over():
    stage = Stage(20)
    stage.publish("gone", tags=["theme-0"])
    stage.rule("gone", "remove")
    world, row = stage.world, stage.world.catalogue.items.of["gone"]
    plan = _plan(world, stage.now)
    assert row not in plan.rows and plan.rows.size == 20
    assert debut.progress(world, row, plan, stage.now).state == "waiting"
    assert not _plan(world, stage.now + DAY).rows.size
    assert debut.progress(world, 0, plan, stage.now + DAY).state == "over"


def test_two_regions_that_hear_each_other_late_give_each_debut_its_viewers_and_not_many_more():
    """The plan alone, with the crudest of audiences: one showing a second in each region, 30 s apart."""
    worlds, late = [World("US"), World("US")], []
    row, _ = (_new(world) for world in worlds)
    shown = 0
    for k in range(1200):  # the place is alive before the debut
        for world in worlds:
            _view(world, f"old{k}", T - (1200 - k) * S, item="elsewhere")
            _view(world, f"old{k}", T - (1200 - k) * S, item="elsewhere", outbox=2)
    for second in range(600):
        now = T + second * S
        for due, at, viewer in [x for x in late if x[0] == second]:
            _view(worlds[at], viewer, now - 30 * S)
            del due
        for at, world in enumerate(worlds):
            plan = _plan(world, now)
            viewer = f"{at}-{second}"
            if plan.rows.size and np.random.default_rng([at, second]).random() < plan.share:
                shown += 1
                _view(world, viewer, now)
                late.append((second + 30, 1 - at, viewer))
            _view(world, viewer, now, item="elsewhere", outbox=2)
    assert all(world.catalogue.qualified[row] == DEBUT_VIEWS for world in worlds)
    assert shown <= DEBUT_VIEWS * 1.25


def test_slates_hold_debuts_within_the_bound():
    stage = Stage(200)
    slates = [stage.ask(viewer=f"v{k}", n=10, request=str(k)) for k in range(60)]
    held = [[c.how for c in s.chosen].count("debut") for s in slates]
    assert max(held) <= 2 and np.mean(held) > 1
    assert all(len(set(items(s))) == 10 for s in slates)
