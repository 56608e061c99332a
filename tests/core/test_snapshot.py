"""Snapshots of the world: thawed and folded on, it is the world that was never frozen; and each class stays apart."""

import dataclasses
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent / "feed"))
from rig import Stage, T, items

from holdfast.core.catalogue import Catalogue
from holdfast.core.classes import Class
from holdfast.core.entries import (
    Comment,
    Counts,
    Follow,
    Hide,
    ItemCounts,
    Like,
    Publication,
    Retraction,
    Ruling,
    Share,
    Skip,
    SlateServed,
    View,
)
from holdfast.core.errors import Degraded
from holdfast.core.feed import snapshot
from holdfast.core.feed.snapshot import freeze, thaw
from holdfast.core.feed.world import World

DAY_US = 86_400 * 10**6
NOT_STATE = {"_takes", "_capacity", "version", "_allowed", "made", "tagged", "_lengths"}  # how it works


def dump(thing, n=None):
    """Everything an object knows, as plain values, whatever its fields are called: a field added later is in it."""
    if isinstance(thing, np.ndarray):
        return (str(thing.dtype), thing[:n].tolist())
    if isinstance(thing, (World, Catalogue)):
        rows = thing.n if isinstance(thing, Catalogue) else None
        return {k: dump(v, rows) for k, v in vars(thing).items() if k not in NOT_STATE}
    if isinstance(thing, msgspec.Struct):
        return msgspec.to_builtins(thing)
    if dataclasses.is_dataclass(thing):
        return {f.name: dump(getattr(thing, f.name)) for f in dataclasses.fields(thing)}
    if isinstance(thing, dict):
        return [(dump(k), dump(v)) for k, v in thing.items()]  # with its order
    if isinstance(thing, (list, tuple)):
        return [dump(x) for x in thing]
    if isinstance(thing, set):
        return sorted(thing)
    return thing


def _entries():
    item = st.sampled_from(["a", "b", "c", "d"])
    ids = {"device": st.sampled_from(["d1", "d2", "d3"]), "outbox": st.integers(1, 40),
           "stamp": st.integers(T, T + 200 * DAY_US)}  # fmt: skip
    counts = st.builds(ItemCounts, item=item, views=st.integers(0, 99), long_views=st.integers(0, 9),
                       likes=st.integers(0, 9))  # fmt: skip
    named = st.lists(st.tuples(st.sampled_from(["d1", "d2"]), st.integers(1, 40)), max_size=2)
    return st.one_of(
        st.builds(View, **ids, item=item, dwell_ms=st.integers(0, 9000), duration_ms=st.just(6000)),
        st.builds(Like, **ids, item=item, on=st.booleans()),
        st.builds(Skip, **ids, item=item),
        st.builds(Hide, **ids, item=item),
        st.builds(Share, **ids, item=item),
        st.builds(Follow, **ids, creator=st.sampled_from(["d1", "x", "y"]), on=st.booleans()),
        st.builds(SlateServed, **ids, viewer=st.sampled_from(["d1", "d2"]), slate=st.sampled_from(["s", "t"]),
                  rung=st.just("LINEAR"), items=st.lists(item, max_size=3)),
        st.builds(Comment, **ids, item=item, text=st.just("!")),
        st.builds(Publication, **ids, item=item, creator=st.sampled_from(["d1", "x"]),
                  tags=st.lists(st.sampled_from(["t", "u", "v"]), max_size=3)),
        st.builds(Retraction, **ids, item=item),
        st.builds(Ruling, **ids, item=item, supersedes=named,
                  verdict=st.sampled_from(["allow", "limit", "ask", "remove"])),
        st.builds(Counts, **ids, jurisdiction=st.sampled_from(["EU", "US"]), items=st.lists(counts, max_size=3)),
    )  # fmt: skip


HISTORIES = st.lists(_entries(), max_size=60)  # ids repeat: duplicates fall on both sides of the cut


def fold(entries, world=None):
    world = world or World("US")
    for entry in entries:
        world.apply(entry)
    return world


@settings(max_examples=200, deadline=None)
@given(HISTORIES, st.integers(0, 60))
def test_a_thawed_world_goes_on_as_if_never_frozen(entries, cut):
    whole = fold(entries)
    thawed = thaw(freeze(fold(entries[:cut])))
    assert dump(thawed) == dump(fold(entries[:cut]))
    assert thawed.catalogue.made == fold(entries[:cut]).catalogue.made  # in whatever order the creators came
    assert thawed.catalogue.tagged == fold(entries[:cut]).catalogue.tagged  # and the tags
    fold(entries[cut:], thawed)
    assert dump(thawed) == dump(whole)


@settings(max_examples=60, deadline=None)
@given(HISTORIES)
def test_what_was_folded_before_the_snapshot_changes_nothing_after_it(entries):
    world = fold(entries)
    thawed = thaw(freeze(world))
    assert not any(thawed.apply(entry) for entry in entries)
    thawed.duplicates = world.duplicates
    assert dump(thawed) == dump(world)


def _busy() -> Stage:
    stage = Stage(n=700)  # more than a piece, and more rows than the columns begin with
    for v in range(40):
        for k in range(0, 700, 9):
            stage.view(f"viewer-{v}", f"clip-{k}", 6000 if k % 2 else 800)
        stage.like(f"viewer-{v}", f"clip-{v}")
        stage.hide(f"viewer-{v}", f"clip-{v + 1}")
    return stage


def test_a_thawed_world_gives_the_same_slates():
    stage = _busy()
    asked = [(f"viewer-{v}", f"r{v}") for v in (0, 7, 39)] + [("stranger", "r")]
    before = [items(stage.ask(v, request=r)) for v, r in asked]
    stage.world = thaw(freeze(stage.world))
    assert [items(stage.ask(v, request=r)) for v, r in asked] == before
    assert all(before)


def test_freezing_is_in_many_small_pieces():
    sizes = [len(piece) for _, piece in snapshot.pieces(_busy().world)]
    assert len(sizes) > 10 and max(sizes) < 200_000


def test_the_parts_of_rulings_and_publications_name_no_viewer():
    stage = _busy()
    stage.view("viewer-1", "an-item-only-viewed")
    parts = freeze(stage.world)
    for cls in (Class.RULINGS, Class.PUBLIC):
        assert b"viewer-" not in parts[cls] and b"only-viewed" not in parts[cls]
    assert b"clip-3" in parts[Class.RULINGS] and b"clip-3" in parts[Class.PUBLIC]
    assert b"viewer-1" in parts[Class.PERSONAL] and b"only-viewed" in parts[Class.PERSONAL]


def test_another_format_is_refused(monkeypatch):
    world = _busy().world
    now = freeze(world)
    monkeypatch.setattr(snapshot, "FORMAT", snapshot.FORMAT + 1)
    with pytest.raises(Degraded, match="format"):
        thaw(now)
    assert dump(thaw(freeze(world))) == dump(world)


@pytest.mark.parametrize("cls", list(Class))
def test_a_part_that_is_absent_cut_short_or_misplaced_is_refused(cls):
    parts = freeze(_busy().world)
    other = next(c for c in Class if c is not cls)
    for bad in (b"", parts[cls][:-1], parts[cls][: len(parts[cls]) // 2], b"\x93\x01\x02\x03", parts[other]):
        with pytest.raises(Degraded):
            thaw({**parts, cls: bad})
    with pytest.raises(Degraded):
        thaw({c: part for c, part in parts.items() if c is not cls})


def test_an_empty_world_is_a_snapshot_too():
    assert dump(thaw(freeze(World("EU")))) == dump(World("EU"))
