"""`holdfast eval online`: its time is honest, its arms differ only in when, and where tastes turn round it shows."""

import csv
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from holdfast.adapters import kuairand
from holdfast.core.errors import Refused
from holdfast.eval import online, online_plot, online_told
from holdfast.eval.online_arms import ARMS, CADENCES, Ask
from holdfast.eval.online_figures import Tally
from holdfast.eval.online_popular import DAY_US, Popular
from holdfast.eval.online_stream import Impression, Stream, newcomer
from holdfast.model import full, signals
from holdfast.model.linear import Linear
from holdfast.model.sizes import LIVE, NetworkShape, RankerShape, Size

BEGIN_MS = 1_650_816_000_000  # 25 April 2022, midnight in Beijing
DAY_MS = 86_400_000
VIEWERS, VIDEOS, DAYS, SHOWN = 60, 120, 4, 1_600
TINY = Size(
    NetworkShape(width=16, layers=1, heads=2, length=8, item_buckets=256, tag_buckets=64, creator_buckets=64,
                 actions=16, dwells=LIVE.net.dwells, gaps=LIVE.net.gaps),
    RankerShape(width=16, features=signals.WIDTH, bins=4, heads=2, hidden=8, members=1),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log like KuaiRand's in which odd videos are watched long, and from the third midnight on the even ones."""
    for name in ("LOG", "HISTORY", "VIEWERS", "VIDEOS"):
        monkeypatch.setattr(kuairand, name, getattr(kuairand, name).removesuffix(".xz"))
    rng = np.random.default_rng(0)
    with (tmp_path / kuairand.LOG).open("w", newline="") as f:
        out = csv.DictWriter(f, list[str](kuairand.NEEDED))
        out.writeheader()
        for t in np.sort(rng.integers(0, DAYS * DAY_MS, SHOWN)).tolist():
            viewer, video = int(rng.integers(VIEWERS)), int(rng.integers(VIDEOS))
            good = video % 2 == (1 if t < 2 * DAY_MS else 0)
            long = int(rng.random() < (0.85 if good else 0.1))
            out.writerow(dict.fromkeys(kuairand.NEEDED, 0) | {
                "user_id": viewer, "video_id": video, "time_ms": BEGIN_MS + t, "long_view": long,
                "is_like": long * int(rng.random() < 0.1), "play_time_ms": 20_000 if long else 800,
                "duration_ms": 15_000, "tab": 1})  # fmt: skip
    with (tmp_path / kuairand.HISTORY).open("wb") as f:
        for viewer in range(VIEWERS):
            seen = rng.permutation(VIDEOS)[:12].tolist()
            f.write(msgspec.json.encode({
                "user_id": viewer, "last_time_ms": BEGIN_MS - DAY_MS, "watch_seq": seen, "like_seq": [],
                "long_watch_seq": [v for v in seen if v % 2]}) + b"\n")  # fmt: skip
    (tmp_path / kuairand.VIDEOS).write_text(
        "video_id,author_id,video_duration,tag\n" + "".join(f"{v},{v // 4},15000.0,{v % 5}\n" for v in range(VIDEOS))
    )
    return tmp_path


def first_of(stream: Stream, *, new: bool = False) -> Impression:
    return next(s for s in stream.impressions() if newcomer(s.viewer) == new)


def test_an_outcome_is_told_when_the_dwell_is_over(folder: Path) -> None:
    stream = Stream(folder, None)
    shown = next(s for s in stream.impressions() if s.long and not newcomer(s.viewer))
    fixed = np.zeros((1, signals.WIDTH), np.int16)
    stream.serve(shown, fixed)
    stream.advance(shown.at_us + 19_999_999)
    assert stream.history(shown).rows.size == 0 and stream.catalogue.views[shown.row] == 0
    stream.advance(shown.at_us + 20_000_000)
    assert stream.history(shown).rows.tolist() == [shown.row] == stream.seen(shown).tolist()
    assert stream.catalogue.views[shown.row] == 1
    assert stream.popular.hit(shown.row, np.zeros(0, np.int64), stream.catalogue.allowed(), shown.at_us) == 1.0


def test_a_slate_joins_with_its_outcome_and_teaches_the_signals_it_was_served_with(folder: Path) -> None:
    stream = Stream(folder, None)
    fixed = np.full((1, signals.WIDTH), 321, np.int16)
    for shown in list(stream.impressions())[:40]:
        stream.advance(shown.at_us)
        stream.serve(shown, None if newcomer(shown.viewer) else fixed)
    units = list(stream.examples.emptied())
    assert 15 < len(units) < 40  # one slate in eight is held out, newcomers' have none
    assert all((u.fixed[0, :-1] == 321).all() for u in units)
    assert {float(u.labels[0, 0]) for u in units} == {0.0, 1.0}


def test_newcomers_are_told_to_nobody(folder: Path) -> None:
    stream = Stream(folder, None)
    told = stream.past()
    new = {u for u in range(VIEWERS) if newcomer(u)}
    assert 0 < len(new) < VIEWERS / 4 and told == 12 * VIEWERS
    assert not new & {int(name) for name in stream.lessons.world.profiles if name.isdigit()}
    assert stream.catalogue.views.sum() == 12 * (VIEWERS - len(new))
    shown = first_of(stream, new=True)
    known = stream.newest(shown, 3)
    assert known is not None and known.rows.size == 3 and stream.newest(shown, 13) is None
    events = stream.private[shown.viewer].events
    for row in (events[0].row, events[-1].row):  # the oldest too
        assert stream.met(replace(shown, row=row))
    stranger = next(k for k in range(VIDEOS) if k not in {event.row for event in events})
    assert not stream.met(replace(shown, row=stranger))
    everything = stream.newest(shown, 12)
    assert everything is not None and everything.rows[-3:].tolist() == known.rows.tolist()


def asked(stream: Stream, count: int) -> list[Ask]:
    some = [s for s in stream.impressions() if not newcomer(s.viewer)][:count]
    return [Ask(stream.history(s), s.row, np.zeros(0, np.int64)) for s in some]


def test_arms_differ_in_nothing_but_when(folder: Path) -> None:
    stream = Stream(folder, None)
    stream.past()
    replay = online.Replay(stream, 0, 0, TINY)
    arms, asks = replay.arms, asked(stream, 12)
    first = arms.answer(asks, range(12))
    assert set(first) == set(ARMS)
    for said in first.values():  # all released the same at the beginning
        assert all(np.array_equal(a, b) for a, b in zip(said, first["online"], strict=True))
    bound = full.Full(full.FullModel(replay.trainer.run.params, TINY), stream.catalogue)
    reading = bound.read([a.history for a in asks])
    rows = [np.array([a.row]) for a in asks]
    fixed = [arms.signals("online", ["online"], a.history, r)[0] for a, r in zip(asks, rows, strict=True)]
    assert np.allclose(first["online"].long, [p[0, 0] for p in reading.judge(rows, fixed)], atol=1e-6)

    for shown in [s for s in stream.impressions() if not newcomer(s.viewer)][:200]:
        stream.advance(shown.at_us)
        stream.serve(shown, np.zeros((1, signals.WIDTH), np.int16))
    replay._learn()
    arms.release("online", replay.trainer.run.params, Linear(stream.lessons.statistics.solve(), stream.catalogue))
    then = arms.answer(asks, range(12))
    for arm in ("hourly", "daily"):  # folded on, learned on, and none of it used
        assert all(np.array_equal(a, b) for a, b in zip(then[arm], first[arm], strict=True))
    assert not np.array_equal(then["daily_weights"].long, first["daily_weights"].long)  # its counters are of now
    assert not np.array_equal(then["online"].long, then["daily_weights"].long)  # its weights are not
    arms.release("daily", replay.trainer.run.params, arms.of["online"].linear)
    assert np.array_equal(arms.answer(asks, range(12))["daily"].long, then["online"].long)


def test_where_tastes_turn_round_learning_online_wins(folder: Path) -> None:
    stream = Stream(folder, None)
    stream.past()
    replay = online.Replay(stream, 0, online._day(BEGIN_MS * 1000) + 2, TINY)
    replay.run(lambda _: None)
    result = replay.tally.figures(0)
    assert result["asked"] == sum(
        s.at_us >= (BEGIN_MS + 2 * DAY_MS) * 1000 and not newcomer(s.viewer) for s in stream.impressions()
    )
    less = result["less"]["daily"]
    assert less["log_loss"]["interval"][1] < 0 < less["auc"]["interval"][0]
    assert less["hit_at_20"]["value"] == pytest.approx(
        result["arms"]["online"]["hit_at_20"] - result["arms"]["daily"]["hit_at_20"], abs=1e-4
    )
    turned, after = result["days"]
    assert turned["daily"]["auc"] + 0.1 < turned["online"]["auc"]  # all day long it believes what was
    assert after["daily"]["auc"] > turned["daily"]["auc"] + 0.2
    assert set(result["arms"]) == set(ARMS) and set(CADENCES) <= set(ARMS)
    assert online_told.tables({**result, "from": "a", "until": "b"})[0][2]


def test_popular_counts_a_day_and_no_longer() -> None:
    popular, free, none = Popular(), np.ones(50, bool), np.zeros(0, np.int64)
    for row in range(25):
        popular.learn(row, row)
    assert popular.hit(3, none, free, 100) == 20 / 25  # 25 tie for 20 places
    assert popular.hit(3, np.arange(10, 15), free, 100) == 1.0
    popular.learn(40, DAY_US)
    assert popular.hit(40, none, free, DAY_US + 30) == 1.0
    assert popular.hit(3, none, free, DAY_US + 30) == pytest.approx(19 / 49)


def test_figures_of_answers_that_are_known() -> None:
    tally, long = Tally(), [True, False] * 8
    batch = [Impression(i, BEGIN_MS * 1000 + i, i % 4, 0, one) for i, one in enumerate(long)]
    right = np.where(long, 0.8, 0.2)

    def said(p: np.ndarray, hit: float) -> Any:
        return type("Said", (), {"long": p, **dict.fromkeys(("hits", "retrieved", "linear"), np.array([hit, 1.0]))})

    tally.take(batch, [0, 2], {"online": said(right, 1.0), "daily": said(1 - right, 0.0)}, [0.0, 0.5])
    tally.meet(0, 7, {"LINEAR": 1.0, "popular_24h": 0.5})
    result = tally.figures(0)
    assert result["arms"]["online"]["auc"] == 1.0 and result["arms"]["daily"]["auc"] == 0.0
    assert result["arms"]["online"]["log_loss"] == pytest.approx(-np.log(0.8), abs=1e-4)
    assert result["less"]["daily"]["hit_at_20"]["value"] == 0.5 and result["popular_24h"]["hit_at_20"] == 0.25
    assert result["new_viewers"]["0"]["LINEAR"]["less_popular"] == [0.5, 0.5]


def test_what_cannot_be_counted_is_refused(folder: Path) -> None:
    for options, field in (
        (online.Options(since=date(2022, 4, 25)), "from"), (online.Options(since=date(2022, 5, 1)), "from"),
        (online.Options(limit=0), "limit"), (online.Options(limit=10), "from"),
    ):  # fmt: skip
        with pytest.raises(Refused) as refused:
            online.run(folder, options, lambda _: None)
        assert refused.value.field == field


def test_where_no_question_was_asked_it_is_refused_and_not_told_in_nans(folder: Path, monkeypatch) -> None:
    silent = SimpleNamespace(run=lambda say: None, tally=Tally())  # a replay whose counted span is too short
    monkeypatch.setattr(online, "Replay", lambda *options: silent)
    with pytest.raises(Refused) as refused:
        online.run(folder, online.Options(), lambda _: None)
    assert refused.value.field == "limit"


def test_the_curve_is_drawn_with_every_line_named(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    measures = {name: 0.5 for name, _ in online_plot.PANELS}
    curve = [
        {"from": f"2022-04-26 {h}:00", **{arm: {k: v + i / 50 for k, v in measures.items()}
                                          for i, arm in enumerate(online_plot.STYLES)}} for h in ("00", "12")
    ]  # fmt: skip
    file = tmp_path / "curve.svg"
    online_plot.draw({"curve": curve}, file)
    first = file.read_bytes()
    online_plot.draw({"curve": curve}, file)
    assert file.read_bytes() == first and len(first) < 150_000
    with pytest.raises(Refused):
        online_plot.checked(tmp_path / "curve.pdf")
