"""The world's folds: duplicates and order change nothing, counts are of distinct ids, the newest write holds."""

import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent / "feed"))
from rig import Stage, T

from holdfast.core import catalogue
from holdfast.core.entries import Counts, ItemCounts, Like, Publication, Retraction, Ruling, View
from holdfast.core.feed.world import World
from holdfast.core.profile import VIEW_AGAIN_US


def _entries():
    items = st.sampled_from(["a", "b", "c"])
    devices = st.sampled_from(["d1", "d2"])
    ids = {"device": devices, "outbox": st.integers(1, 30), "stamp": st.integers(T, T + 10**12)}
    return st.one_of(
        st.builds(View, **ids, item=items, dwell_ms=st.integers(0, 9000), duration_ms=st.just(6000)),
        st.builds(Like, **ids, item=items, on=st.booleans()),
        st.builds(Publication, **ids, item=items, creator=st.sampled_from(["d1", "x"]), tags=st.just(["t"])),
        st.builds(Retraction, **ids, item=items),
        st.builds(Ruling, **ids, item=items, verdict=st.sampled_from(["allow", "limit", "ask", "remove"])),
    )


def _state(world: World) -> dict:
    c, state = world.catalogue, {}
    for item, row in c.items.of.items():
        heat = c.heat(c.newest_us)[row] if c.newest_us else 0.0
        state[item] = (bool(c.live[row]), int(c.verdict[row]), *c.totals(row), round(float(heat), 9))
    return state


@settings(max_examples=60, deadline=None)
@given(st.lists(_entries(), max_size=25, unique_by=lambda e: (e.device, e.outbox)), st.integers(0, 10**6))
def test_order_and_duplicates_change_nothing(entries, seed):
    """But of a viewer's showings of an item soon after each other the one heard first warms it: here there is one."""
    met = [(e.device, e.item) for e in entries if isinstance(e, View)]
    entries = [e for e in entries if not isinstance(e, View) or met.count((e.device, e.item)) == 1]
    straight, shuffled = World("US"), World("US")
    for entry in entries:
        assert straight.apply(entry)
    again = entries * 2
    Random(seed).shuffle(again)
    for entry in again:
        shuffled.apply(entry)
    assert shuffled.duplicates == len(entries)
    assert _state(straight) == _state(shuffled)


def test_a_like_undone_elsewhere_stays_undone_when_the_old_outbox_comes_again():
    stage = Stage(1)
    like = stage.like("v", "clip-0")
    undo = stage.like("v", "clip-0", on=False)
    late = World("US")
    for entry in (undo, like, like, undo):
        late.apply(entry)
    for world in (stage.world, late):
        assert world.catalogue.totals(world.catalogue.items.of["clip-0"])[1] == 0
        assert not world.profiles["v"].liked(world.catalogue.items.of["clip-0"])


def test_foreign_totals_are_absolute_and_our_own_are_ignored():
    world = World("US")
    for stamp, n, law in ((T + 5, 70, "EU"), (T + 1, 40, "EU"), (T + 9, 999, "US")):
        counts = [ItemCounts("a", n, n, n)]
        world.apply(Counts(device="eu", outbox=stamp - T, stamp=stamp, jurisdiction=law, items=counts))
    assert world.catalogue.totals(world.catalogue.items.of["a"]) == (70, 70, 0)


def test_only_publisher_or_creator_takes_back_whatever_comes_first():
    world = World("US")
    world.apply(Retraction(device="stranger", outbox=1, stamp=T + 9, item="a"))
    world.apply(Publication(device="pub", outbox=1, stamp=T, item="a", creator="maker"))
    row = world.catalogue.items.of["a"]
    assert world.catalogue.live[row]
    world.apply(Retraction(device="maker", outbox=1, stamp=T + 1, item="a"))
    assert not world.catalogue.live[row]
    world.apply(Publication(device="pub", outbox=2, stamp=T + 2, item="a", creator="maker"))
    assert world.catalogue.live[row]


def test_heat_survives_a_landmark_months_old():
    stage = Stage(2)
    stage.view("app:a", "clip-0")
    stage.now += 400 * 86_400 * 10**6
    stage.view("app:b", "clip-1")
    heat = stage.world.catalogue.heat(stage.now)
    assert np.isfinite(heat).all() and heat[1] > 1000 * heat[0] and heat[1] == pytest.approx(1 / np.sqrt(6), rel=1e-3)


def test_one_viewers_loops_heat_once_and_a_crowd_heats_more():
    stage = Stage(3)
    for _ in range(500):
        stage.view("app:bot", "clip-0")
    for k in range(20):
        stage.view(f"app:v{k}", "clip-1")
    heat, c = stage.world.catalogue.heat(stage.now), stage.world.catalogue
    assert c.views[:2].tolist() == [500, 20] and heat[1] > 5 * heat[0]
    stage.now += VIEW_AGAIN_US
    stage.view("app:bot", "clip-0")
    assert c.warm_long[0] > 2.2


def test_columns_grow():
    stage = Stage(1000)
    assert stage.world.catalogue.n == 1000 and stage.world.catalogue.allowed().sum() == 1000


def test_invented_names_never_keep_a_publication_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone may like what does not exist, as often as they like; what is published still finds its row."""
    monkeypatch.setattr(catalogue, "UNPUBLISHED_MAX", 10)
    world = World("US")
    for i in range(50):
        world.apply(Like(device="v-1", outbox=i + 1, stamp=T, item=f"ghost-{i}"))
    assert world.catalogue.n == 10
    world.apply(Publication(device="n", outbox=1, stamp=T, item="ghost-3", creator="x"))  # a deed came before it
    world.apply(Publication(device="n", outbox=2, stamp=T, item="real", creator="x"))
    world.apply(Publication(device="n", outbox=3, stamp=T + 1, item="real", creator="x"))
    assert world.catalogue.unpublished == 9
    assert [bool(world.catalogue.live[world.catalogue.items.of[i]]) for i in ("ghost-3", "real")] == [True, True]
    assert world.catalogue.likes[world.catalogue.items.of["ghost-3"]] == 1
