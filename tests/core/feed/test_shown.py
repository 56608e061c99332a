"""What ranks counts only what a slate showed: in any order of arrival, and whatever a script says."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from rig import S, Stage, T

from holdfast.core.allowance import HOUR_US, LENGTH_MAX_MS, WATCHED_MAX_MS
from holdfast.core.entries import Entry, Hide, Like, Publication, Ruling, Share, SlateServed, View
from holdfast.core.feed import debut
from holdfast.core.feed.snapshot import freeze, thaw
from holdfast.core.feed.world import World
from holdfast.core.profile import SERVED_KEPT, SHOWN_FOR_US, VIEW_AGAIN_US

RANKS = ("shown_views", "shown_long", "shown_likes", "qualified", "debut_shown", "debut_long", "debut_hidden")
WARM = ("warm_views", "warm_long", "warm_likes")


def _slate(viewer: str, items: list[str], stamp: int, outbox: int, feed: str = "", slate: str = "") -> SlateServed:
    return SlateServed(device="node", outbox=outbox, stamp=stamp, viewer=viewer, slate=slate or f"s{outbox}",
                       rung="LINEAR", items=items, feed=feed)  # fmt: skip


def _counts(world: World, item: str) -> dict[str, int]:
    row = world.catalogue.items.of[item]
    return {name: int(getattr(world.catalogue, name)[row]) for name in RANKS}


def _acts(viewer: str, item: str, stamp: int, slate: str = "") -> list[Entry]:
    return [
        View(device=viewer, outbox=1, stamp=stamp, item=item, dwell_ms=6000, duration_ms=6000, slate=slate),
        Like(device=viewer, outbox=2, stamp=stamp + 1, item=item),
        Share(device=viewer, outbox=3, stamp=stamp + 2, item=item),
        Hide(device=viewer, outbox=4, stamp=stamp + 3, item=item),
    ]


COUNTED = dict.fromkeys(RANKS, 1)
NOTHING = dict.fromkeys(RANKS, 0)


@pytest.mark.parametrize(
    ("viewer", "slate", "counts"),
    [
        ("v", _slate("v", ["clip-1", "clip-0"], T, 1), COUNTED),
        ("v", _slate("v", ["clip-0"], T, 1, feed="plain"), COUNTED),
        ("app:v", None, COUNTED),  # under a team's key
        ("v", None, NOTHING),
        ("v", _slate("w", ["clip-0"], T, 1, slate="named"), NOTHING),  # another's slate, named as one's own
        ("v", _slate("v", ["clip-1"], T, 1, slate="named"), NOTHING),  # one's own, which did not hold it
        ("v", _slate("v", ["clip-0"], T, 1, feed="following"), NOTHING),  # the viewer chose what it holds
        ("v", _slate("v", ["clip-0"], T, 1, feed="topic"), NOTHING),
        ("v", _slate("v", ["clip-0"], T - SHOWN_FOR_US - 3600 * S, 1), NOTHING),
    ],
)
def test_what_no_slate_showed_is_remembered_and_told_to_people_but_does_not_rank(
    viewer: str, slate: SlateServed | None, counts: dict[str, int]
) -> None:
    world = Stage(2).world
    for entry in ([slate] if slate else []) + _acts(viewer, "clip-0", T + 60 * S, slate="named"):
        world.apply(entry)
    assert _counts(world, "clip-0") == counts
    row = world.catalogue.items.of["clip-0"]
    assert world.catalogue.totals(row)[:2] == (1, 1)
    assert row in world.profiles[viewer].seen and world.profiles[viewer].liked(row)
    assert bool(world.catalogue.heat(world.catalogue.newest_us)[row] > 0) is (counts == COUNTED)
    assert world.was_shown(viewer, row, T + 60 * S) is (counts == COUNTED)


def _evening(rng: random.Random) -> list[Entry]:
    """Five viewers, four videos: slates, some of them of what is not watched, and acts, some of what was not shown."""
    entries: list[Entry] = []
    for k in range(5):
        viewer, mine = f"v{k}", rng.sample(["a", "b", "c", "d"], 3)
        entries += [_slate(viewer, mine[:2], T + 10 * S, 1 + 2 * k), _slate(viewer, mine[1:], T + 40 * S, 2 + 2 * k)]
        for outbox in range(1, 13):
            item, stamp = rng.choice(["a", "b", "c", "d"]), T + (20 + 10 * outbox) * S
            by = {"device": viewer, "outbox": outbox, "stamp": stamp, "item": item}
            entries.append(rng.choice([
                View(**by, dwell_ms=6000, duration_ms=6000), View(**by, dwell_ms=300, duration_ms=6000), Hide(**by),
                Like(**by),
            ]))  # fmt: skip
    return entries


@pytest.mark.parametrize("seed", range(8))
def test_what_counts_does_not_depend_on_the_order_in_which_slates_and_acts_arrive(seed: int) -> None:
    """Of one viewer's playings of one video the first heard of counts: so here all of them are long, or none is."""
    rng = random.Random(seed)
    base = _evening(rng)
    first: dict[tuple[str, str], int] = {}
    for e in base:
        if isinstance(e, View):
            e.dwell_ms = first.setdefault((e.device, e.item), e.dwell_ms)
    found = []
    for _ in range(4):
        world = World("US")
        for k, item in enumerate("abcd"):
            world.apply(Ruling(device="policy", outbox=k + 1, stamp=T, item=item, verdict="allow"))
            world.apply(Publication(device=f"dev-{item}", outbox=1, stamp=T, item=item, creator="x", tags=["t"],
                                    duration_ms=6000))  # fmt: skip
        for entry in base + rng.sample(base, 10):
            world.apply(entry)
        c = world.catalogue
        found.append([_counts(world, item) for item in "abcd"])
        likes = [sum(p.liked(c.items.of[item]) for p in world.profiles.values()) for item in "abcd"]
        assert [int(c.likes[c.items.of[item]]) for item in "abcd"] == likes
        for name, of in zip(WARM, ("shown_views", "shown_long", "shown_likes"), strict=True):
            assert getattr(c, name)[: c.n] == pytest.approx(getattr(c, of)[: c.n], rel=0.01, abs=0.01)
        rng.shuffle(base)
    assert found == [found[0]] * 4


def test_a_like_that_counted_is_taken_back_when_its_slate_is_long_forgotten_and_none_is_gained_by_it() -> None:
    stage = Stage(1)
    world, row = stage.world, stage.world.catalogue.items.of["clip-0"]
    world.apply(_slate("v", ["clip-0"], stage.now, 1))
    stage.like("v", "clip-0")
    assert world.catalogue.warm_likes[row] == pytest.approx(1.0, rel=1e-3)
    for k in range(SERVED_KEPT):
        world.apply(_slate("v", [], stage.now + k, 2 + k))
    for on in (False, True, False, True):
        stage.like("v", "clip-0", on=on)
    assert world.catalogue.warm_likes[row] == pytest.approx(0.0, abs=1e-9) and world.catalogue.likes[row] == 1


def test_what_was_shown_stays_shown_and_loops_count_once_in_a_while() -> None:
    stage = Stage(1)
    world, row = stage.world, stage.world.catalogue.items.of["clip-0"]
    world.apply(_slate("v", ["clip-0"], stage.now, 1))
    for _ in range(50):
        stage.view("v", "clip-0")
    assert (world.catalogue.views[row], world.catalogue.shown_views[row]) == (50, 1)
    stage.now += 3 * SHOWN_FOR_US
    stage.view("v", "clip-0")
    assert world.catalogue.shown_views[row] == 2
    stage.now += VIEW_AGAIN_US // 2
    stage.view("v", "clip-0")
    assert world.catalogue.shown_views[row] == 2


def test_hides_of_those_who_were_never_shown_it_stop_no_debut() -> None:
    stage = Stage(1)
    world, row = stage.world, stage.world.catalogue.items.of["clip-0"]
    for k in range(12):
        stage.view(f"crude-{k}", "clip-0", dwell_ms=1500)
        stage.hide(f"crude-{k}", "clip-0")
    now = debut.plan(world, world.catalogue.allowed(), stage.now)
    assert now.rows.tolist() == [row] and debut.progress(world, row, now, stage.now).state == "running"
    for k in range(12):
        world.apply(_slate(f"crude-{k}", ["clip-0"], stage.now, 1 + k))  # they were, as it turns out
    assert debut.progress(world, row, now, stage.now).state == "stopped"


def test_what_a_person_cannot_have_done_within_an_hour_does_not_rank_though_it_was_shown() -> None:
    world, k = Stage(40).world, 0
    hour = T - T % HOUR_US + HOUR_US  # it begins
    c, rows = world.catalogue, slice(0, 40)

    def claims(viewer: str, first: int, last: int, dwell_ms: int, at: int) -> None:
        nonlocal k
        for n in range(first, last):
            k += 2
            by = {"device": viewer, "item": f"clip-{n}", "stamp": at + n}
            world.apply(_slate(viewer, [f"clip-{n}"], at + n, k))
            world.apply(View(**by, outbox=k, dwell_ms=dwell_ms, duration_ms=6000))
            world.apply(Like(**by, outbox=k + 1))

    claims("crude", 0, 30, 3_600_000, hour)
    counted = c.shown_views[rows].sum()
    assert counted == WATCHED_MAX_MS // LENGTH_MAX_MS and c.shown_likes[rows].sum() <= counted + 1
    assert c.views[rows].sum() == 30 and c.qualified[rows].sum() <= counted + 1
    claims("v", 0, 30, 6000, hour)
    claims("app:v", 0, 30, 3_600_000, hour)  # a team's word
    assert c.shown_views[rows].sum() == counted + 60
    thawn = thaw(freeze(world))
    for each in (world, thawn):  # the hour goes on, also after a start
        assert each.allowance.spent("crude")
    claims("crude", 30, 33, 6000, hour + HOUR_US)  # and ends
    assert c.shown_views[rows].sum() == counted + 63
