"""January: the baseline is as good as it is said to be, the books count what they say, and the sources are named."""

import asyncio
import random
import time
from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest

from holdfast.drills.january import draw, timeline
from holdfast.drills.january_app import App, Look
from holdfast.drills.january_baseline import DEFENCES, NEW_VIEWS, choose
from holdfast.drills.january_crowd import Books, Pull, Upload
from holdfast.drills.january_platforms import Baseline
from holdfast.drills.january_report import Seen, page
from holdfast.drills.january_store import Store
from holdfast.drills.january_symptoms import NEVER_S, Figures, Price, Run, figures, prices, rows
from holdfast.drills.world import Clip

WAIT_S = 60.0
PRICE = Price(storage_mb=1, cross_site_kb_per_s=1, cpu_ms_per_slate=1, ack_ms_p50=1, ack_ms_p99=1, sites=1)


def published(k: int) -> dict[str, object]:
    more = {"tags": [f"theme-{k % 3}"], "duration_ms": 6000, "at": float(k)}
    return {"key": f"p{k}", "viewer": f"c{k}", "kind": "publish", "video": f"v{k}", "more": more}


def viewed(key: str, video: str, viewer: str = "me") -> dict[str, object]:
    more = {"dwell_ms": 6000, "duration_ms": 6000}
    return {"key": key, "viewer": viewer, "kind": "view", "video": video, "more": more}


def liked(key: str, video: str, viewer: str = "me") -> dict[str, object]:
    return {"key": key, "viewer": viewer, "kind": "like", "video": video}


def test_the_database_counts_once_what_is_sent_twice(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.sqlite")
    store.take([published(1), viewed("1", "v1"), liked("2", "v1")])
    assert store.take([viewed("1", "v1"), liked("2", "v1"), liked("3", "v1")]) == 1  # the third is a like again
    assert store.counts(["v1"]) == {"v1": [1, 1]}
    tastes, seen = store.person("me")
    assert seen == {"v1"} and tastes["theme-1"] > 2.0


def test_a_failed_batch_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.sqlite")
    with pytest.raises(KeyError):
        store.take([published(1), {"key": "x", "viewer": "me", "kind": "view", "video": "v1"}])
    assert store.last() == 0 and store.candidates() == []
    assert store.take([published(1)]) == 1


def test_the_copy_that_follows_is_the_same(tmp_path: Path) -> None:
    first, copy, dice = Store(tmp_path / "a.sqlite"), Store(tmp_path / "b.sqlite"), random.Random(1)
    first.take([published(k) for k in range(9)])
    for k in range(60):
        say = dice.choice([viewed, liked])
        first.take([say(f"k{k}", f"v{dice.randrange(9)}", f"u{dice.randrange(3)}")])
        if k % 7 == 0:
            copy.take(first.changes(copy.last()))
    copy.take(first.changes(copy.last()))
    every = [f"v{k}" for k in range(9)]
    assert copy.counts(every) == first.counts(every)
    assert copy.person("u1")[1] == first.person("u1")[1] and copy.last() == first.last()


def test_the_teams_ranker_is_personal_keeps_a_place_for_the_new_and_repeats_only_when_nothing_is_left() -> None:
    rows = [{"video": f"v{k}", "tags": [f"theme-{k % 3}"], "views": 100, "likes": 5, "published": float(k)}
            for k in range(30)]  # fmt: skip
    rows.append({"video": "new", "tags": ["theme-0"], "views": NEW_VIEWS - 1, "likes": 0, "published": 99.0})
    got = choose(rows, {"theme-1": 5.0, "theme-0": -5.0}, {"v1"}, 5)
    assert [r["tags"] for r in got[:4]] == [["theme-1"]] * 4 and got[4]["video"] == "new"
    assert "v1" not in [r["video"] for r in got]
    assert len(choose(rows, {}, {r["video"] for r in rows}, 5)) == 5


def pull(at_s: float, **other: object) -> Pull:
    what = {"took_s": 0.1, "kind": "personal", "fresh": True, "said": "", "videos": 8, "repeats": 0, "counts_wrong": 0}
    return Pull(at_s=at_s, **{**what, **other})  # type: ignore[arg-type]


def test_symptoms_are_counted_while_power_was_away() -> None:
    books = Books()
    books.pulls = [pull(k) for k in range(100)]  # cut at 100, back at 160
    books.pulls += [pull(100 + k, kind="generic", fresh=False, repeats=8 if k < 15 else 2) for k in range(30)]
    books.pulls += [pull(130 + k, kind="none", fresh=False, videos=0) for k in range(30)]
    books.pulls += [pull(170 + k) for k in range(30)]
    books.uploads = {
        "soon": Upload("soon", 101.0, 105.0, 110.0), "late": Upload("late", 102.0, 165.0, 170.0),
        "never": Upload("never", 103.0), "before": Upload("before", 50.0),
    }  # fmt: skip
    run = Run(cut_s=100, back_s=160, end_s=200, status_s=NEVER_S, lost=1, acknowledged=9, lost_with_disks=2,
              deep_before=10, deep_after=25, price=PRICE)  # fmt: skip
    f = figures(books, run)
    assert (f.frozen, f.stale, f.generic) == (45 / 60, 1.0, 1.0)
    assert f.repeats == (15 * 8 + 15 * 2) / 240
    assert (f.uploads_late, f.uploads, f.unseen, f.unseen_of) == (2, 3, 2, 3)
    assert (f.served_again_s, f.recovered_s, f.deep) == (70.0, 70.0, 2.5)


def test_a_row_is_judged_by_holdfasts_own_figure() -> None:
    good = Figures(
        frozen=0, stale=0, repeats=0, generic=0, wait_s=1, uploads=9, uploads_late=0, unseen=0, unseen_of=9,
        counts_wrong=0, status_s=3, served_again_s=1, recovered_s=2, lost=0, acknowledged=9, lost_with_disks=0,
        deep=1.1,
    )  # fmt: skip
    bad = Figures(
        frozen=0.1, stale=0.1, repeats=0.1, generic=0.1, wait_s=3, uploads=9, uploads_late=1, unseen=1, unseen_of=9,
        counts_wrong=0.1, status_s=NEVER_S, served_again_s=70, recovered_s=70, lost=1, acknowledged=9,
        lost_with_disks=0, deep=9,
    )  # fmt: skip
    assert len(rows(bad, good)) >= 8
    assert all(row.holdfast_ok for row in rows(bad, good))
    assert not any(row.holdfast_ok for row in rows(good, bad))


def test_every_line_of_the_outage_names_its_source_and_every_defence_is_told() -> None:
    moments = timeline()
    assert len(moments) >= 8 and all(m.source and m.when and m.what for m in moments)
    assert sum(bool(m.drill) for m in moments) >= 5
    told = (Path(__file__).parents[2] / "docs" / "january.md").read_text()
    assert [name for name, _ in DEFENCES if f"| {name} |" not in told] == []


def test_the_page_needs_nothing_else_and_shows_every_row() -> None:
    books = Books(pulls=[pull(k) for k in range(100, 200)], uploads={"a": Upload("a", 101.0, 105.0, 110.0)})
    run = Run(cut_s=120, back_s=160, end_s=200, status_s=1, lost=0, acknowledged=9, lost_with_disks=0, deep_before=1,
              deep_after=1, price=PRICE)  # fmt: skip
    seen = [Seen(name, books, run, [121.0, 150.0]) for name in ("baseline", "Holdfast")]
    table, price = rows(figures(books, run), figures(books, run)), prices(PRICE, PRICE)
    html = page(1, seen, table, price, timeline())
    assert all(escape(s.name.removeprefix("price: ")) in html for s in [*table, *price])
    assert all(escape(m.source) in html for m in timeline()) and all(escape(what) in html for _, what in DEFENCES)
    assert html.count("<svg") >= 6 and "http:" not in html and "https:" not in html and "<script" not in html


async def until(happens: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + WAIT_S
    while not happens():
        assert time.monotonic() < end_s, f"never: {what}"
        await asyncio.sleep(0.1)


async def pulled(app: App, kind: str) -> Look:
    """Pull until an answer is of this kind: the app's own patience is a second, which a busy machine may exceed."""
    end_s = time.monotonic() + WAIT_S
    while (look := await app.slate()).kind != kind:
        assert time.monotonic() < end_s, f"never {kind}"
    return look


def test_the_baseline_serves_falls_back_and_loses_nothing(tmp_path: Path) -> None:
    async def play() -> None:
        platform = Baseline()
        videos = [Clip(f"v{k}", (f"theme-{k % 3}",), 6000, f"c{k}") for k in range(60)]
        try:
            app, other = await platform.open(tmp_path, videos, 2)
            look = await pulled(app, "personal")
            for shown in look.shown:
                app.view(shown, 6000)
                app.like(shown)
            await until(lambda: len(app.acked) == 16, "every view and like is acknowledged")
            uploading = asyncio.create_task(other.publish(Clip("mine", ("theme-1",), 2000, "me"), draw(1)))
            await asyncio.sleep(0)
            await platform.cut()
            out = await pulled(app, "generic")
            assert not out.fresh and out.said and out.shown
            assert not {s.clip.item for s in out.shown} & {s.clip.item for s in look.shown}
            app.view(out.shown[0], 6000)
            assert len(app.acked) == 16
            await platform.restore()
            await until(lambda: len(app.acked) == 17, "what waited in the app is taken")
            assert await asyncio.wait_for(uploading, 2 * WAIT_S)
            assert await platform.acknowledged() == (17, 0)
        finally:
            await platform.aclose()

    asyncio.run(play())
