"""`holdfast eval log`: its measures against naive ones, its honesty about time, a small world it must understand."""

import csv
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest

from holdfast.adapters import kuairand
from holdfast.core.errors import Refused
from holdfast.eval import areas, columns, earlier, log, log_ranker, next_view
from holdfast.eval.areas import Areas, Asked
from holdfast.eval.calibration import calibration
from holdfast.eval.kuairand import load
from holdfast.model import features

BEGIN_MS = 1_650_816_000_000  # 25 April 2022, midnight in Beijing
DAY_MS = 86_400_000
VIEWERS, VIDEOS, DAYS = 60, 40, 4
COLUMNS = (*kuairand.NEEDED, "hourmin")


def world(folder: Path, seed: int = 0, flip_after: int = DAYS) -> Path:
    """Write a folder like KuaiRand's: half the videos are good, half the viewers patient; both show in what was done.

    From day `flip_after` on every outcome is turned round, nothing else.
    """
    rng = np.random.default_rng(seed)
    good, patient = np.arange(VIDEOS) % 2, np.arange(VIEWERS) % 2
    folder.mkdir(exist_ok=True)

    def long(viewer: int, video: int) -> int:
        return int(rng.random() < 0.15 + 0.5 * good[video] + 0.3 * patient[viewer])

    with (folder / kuairand.LOG.removesuffix(".xz")).open("w", newline="") as f:
        out: csv.DictWriter[str] = csv.DictWriter(f, COLUMNS)
        out.writeheader()
        times = np.sort(rng.integers(0, DAYS * DAY_MS, VIEWERS * 30))
        for t in times.tolist():
            viewer, video = int(rng.integers(VIEWERS)), int(rng.integers(VIDEOS))
            done = long(viewer, video)
            like = int(done and rng.random() < 0.2)
            if t // DAY_MS >= flip_after:
                done, like = 1 - done, 1 - like
            row = dict.fromkeys(COLUMNS, 0) | {
                "user_id": viewer, "video_id": video, "time_ms": BEGIN_MS + t, "is_like": like, "long_view": done,
                "play_time_ms": 20_000 if done else 800, "duration_ms": 15_000, "tab": 1,
            }  # fmt: skip
            out.writerow(row)
    with (folder / kuairand.HISTORY.removesuffix(".xz")).open("wb") as f:
        for viewer in range(VIEWERS):
            seen = [int(v) for v in rng.integers(0, VIDEOS, 12)]
            f.write(msgspec.json.encode({
                "user_id": viewer, "history_len": 12, "last_time_ms": BEGIN_MS - DAY_MS, "watch_seq": seen,
                "like_seq": [], "long_watch_seq": [v for v in seen if long(viewer, v)]}) + b"\n")  # fmt: skip
    (folder / kuairand.VIEWERS.removesuffix(".xz")).write_text(
        "user_id,user_active_degree\n" + "".join(f"{u},{'full' if u % 3 else ''}\n" for u in range(VIEWERS))
    )
    (folder / kuairand.VIDEOS.removesuffix(".xz")).write_text(
        "video_id,author_id,video_duration,tag\n" + "".join(f"{v},{v // 4},15000.0,{v % 5}\n" for v in range(VIDEOS))
    )
    return folder


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LOG", "HISTORY", "VIEWERS", "VIDEOS"):
        monkeypatch.setattr(kuairand, name, getattr(kuairand, name).removesuffix(".xz"))
    return world(tmp_path / "small")


def naive_auc(scores: np.ndarray, happened: np.ndarray) -> float:
    yes, no = scores[happened == 1], scores[happened == 0]
    return float(((yes[:, None] > no[None]) + 0.5 * (yes[:, None] == no[None])).mean())


def test_areas_are_what_counting_pairs_gives() -> None:
    rng = np.random.default_rng(0)
    viewer = rng.integers(0, 25, 300) * 7
    happened, scores = (rng.random(300) < 0.4).astype(float), rng.integers(0, 9, 300) / 9
    area = Areas(Asked(viewer, happened), scores)
    assert np.isclose(area.auc(), naive_auc(scores, happened))
    own = [
        (naive_auc(scores[m], happened[m]), m.sum())
        for v in set(viewer)
        if 0 < happened[(m := viewer == v)].sum() < m.sum()
    ]
    assert np.isclose(area.gauc(), sum(a * n for a, n in own) / sum(n for _, n in own))
    times = rng.integers(0, 3, area.viewers).astype(float)
    each = np.repeat(np.arange(300), times[np.unique(viewer, return_inverse=True)[1]].astype(int))
    assert np.isclose(area.auc(times), naive_auc(scores[each], happened[each]))


def test_a_paired_difference_tells_what_two_intervals_cannot() -> None:
    rng = np.random.default_rng(1)
    viewer, happened = np.repeat(np.arange(200), 5), (rng.random(1000) < 0.4).astype(float)
    worse = happened + rng.normal(0, 2.0, 1000)
    better = worse + 0.15 * (happened - 0.5)
    test = Asked(viewer, happened)
    found = areas.compared({"better": Areas(test, better), "worse": Areas(test, worse)})
    assert found["better"]["interval"]["auc"][0] < found["worse"]["auc"]
    assert found["better"]["less"]["worse"]["auc"][0] > 0 > found["worse"]["less"]["better"]["auc"][1]


def test_calibration_knows_an_honest_guess_from_a_boast() -> None:
    rng = np.random.default_rng(2)
    p = rng.random(20_000)
    happened = (rng.random(20_000) < p).astype(float)
    honest, boast = calibration(p, happened), calibration(np.clip(p * 1.3, 0, 1), happened)
    assert honest["ece"] < 0.02 < 0.08 < boast["ece"]
    assert sum(row["n"] for row in honest["reliability"]) == 20_000 and len(honest["reliability"]) == 10
    assert calibration(np.full(10, 0.5), happened[:10])["reliability"][0]["n"] == 10


def test_an_encoding_never_saw_its_own_row() -> None:
    rng = np.random.default_rng(3)
    key, value = rng.integers(0, 6, 200), rng.random(200)
    taught, folds = np.arange(200) < 150, rng.integers(0, features.FOLDS, 200)
    found = features.out_of_fold(key, value, taught, folds)
    for row in (0, 7, 149):
        other = value.copy()
        other[row] += 5
        again = features.out_of_fold(key, other, taught, folds)
        # the prior is the mean of all, and moves every row by the same small step; the row's own rate must not jump
        assert abs(again[row] - found[row]) < 0.1 < abs(again[150:] - found[150:]).max()
    late = value.copy()
    late[150:] = 9
    assert np.array_equal(features.out_of_fold(key, late, taught, folds), found), "asked rows teach nothing"


def test_stay_is_a_quantile_among_equals_in_length() -> None:
    dwell = np.array([10, 20, 30, 30, 500, 900, 0, 0])
    length = np.array([5_000, 5_000, 5_000, 5_000, 100_000, 100_000, 100_000, 100_000])
    assert np.allclose(features.within_length(dwell, length), [0.125, 0.375, 0.75, 0.75, 0.625, 0.875, 0.25, 0.25])


def test_nothing_after_the_split_reaches_a_number(small: Path) -> None:
    """The same world with every outcome after the split turned round gives the same columns, histories and weights."""
    data = load(small, date(2022, 4, 27), None)
    world(small, flip_after=3)
    turned = load(small, date(2022, 4, 27), None)
    late = ~data.taught
    assert (data.column["long"][late] != turned.column["long"][late]).all()
    one, two = (columns.network(d, 0, earlier.expected(d, 0)) for d in (data, turned))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert np.array_equal(log_ranker.vectors(data, 8), log_ranker.vectors(turned, 8))


def test_a_row_is_told_of_what_came_before_it_only(small: Path) -> None:
    """`before` and `lately` against counting; a view's own outcome, and those after it, leave its numbers alone."""
    rng = np.random.default_rng(4)
    key, value = rng.integers(0, 5, 80), rng.random(80)
    assert np.allclose(earlier.before(key, value), [value[:i][key[:i] == key[i]].sum() for i in range(80)])
    data = load(small, date(2022, 4, 27), None)
    c, day = data.column, (data.column["time_ms"] + kuairand.ZONE_MS) // DAY_MS
    mean, n = columns.lately(data, c["long"])
    for row in (0, 500, 1000, len(day) - 1):
        mine = data.taught & (c["viewer"] == c["viewer"][row]) & ((day < day[row]) | ~data.taught[row])
        assert n[row] == mine.sum() and np.isclose(mean[row], c["long"][mine].sum() / (n[row] + columns.OF_DAYS))
    table, long, views = earlier._table(data, 0)
    late = np.flatnonzero(views[: len(long)] == 8)[0]  # the ninth view of a viewer
    data.past["long"][late] = 1 - long[late]
    again, _, _ = earlier._table(data, 0)
    apart = np.abs(np.nan_to_num(table) - np.nan_to_num(again)).max(1)  # the mean of all views moves a little
    assert apart[late - 8 : late + 1].max() < 5e-3 < 0.05 < apart[late + 1]


def test_a_small_world_is_understood(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "SEEDS", 1)
    monkeypatch.setattr(areas, "RESAMPLES", 50)
    recipe = log_ranker.Recipe(width=8, bins=4, hidden=16, members=2, epochs=5, rows=64, rate=5e-3)
    monkeypatch.setattr(log_ranker, "Recipe", lambda: recipe)
    result = log.run(small, log.Options(date(2022, 4, 27)), lambda _: None)
    assert result["split"]["trained_on"] + result["split"]["tested_on"] == VIEWERS * 30
    assert result["long_view"]["auc"] > 0.7 and result["parts"]["network"]["auc"] > 0.7
    assert result["long_view"]["gauc"] > 0.65
    low, high = result["long_view"]["interval"]["auc"]
    assert low < result["long_view"]["auc"] < high
    assert 0 <= result["like"]["auc"] <= 1 and result["calibration"]["long_view"]["ece"] < 0.2
    assert {"gbdt", "logits", "popular_7d", "popular_24h"} == set(result["baselines"])
    assert result["baselines"]["gbdt"]["auc"] > 0.65 and "auc" in result["baselines"]["logits"]["like"]
    assert 0 <= result["hit_at_20"] <= 1 and log.rows(result)
    assert msgspec.json.encode(result)


def test_the_next_view_is_told_only_after_it_was_asked_for(small: Path) -> None:
    data = load(small, date(2022, 4, 27), None)
    hits, viewers, weights = next_view.run(data, 0)
    assert len(viewers) == len(hits["retrieval"]) == int(data.column["long"][~data.taught].sum())
    assert set(weights) == set(next_view.TERMS)
    seen = {(u, v) for u, v in zip(data.past["viewer"], data.past["video"], strict=True)}
    again = 0
    asked = np.flatnonzero(~data.taught & (data.column["long"] > 0)).tolist()
    for row in range(len(data.taught)):
        key = (data.column["viewer"][row], data.column["video"][row])
        if row in asked and key in seen:
            assert hits["retrieval"][asked.index(row)] == 0, "what was shown before is not offered"
            again += 1
        seen.add(key)
    assert again and hits["retrieval"].mean() > 0.05


@pytest.mark.parametrize(
    ("change", "line", "what"),
    [
        (lambda rows: [r[:-2] for r in rows], 1, "tab"),
        (lambda rows: [*rows[:4], rows[4][:-3], *rows[5:]], 5, "values of line 1"),
        (lambda rows: [*rows[:3], ["x", *rows[3][1:]], *rows[4:]], 4, "not a whole number"),
        (lambda rows: [*rows[:2], [*rows[2][:3], "2", *rows[2][4:]], *rows[3:]], 3, "0 or 1"),
        (lambda rows: [*rows[:2], rows[9], *rows[2:]], 4, "before the line above"),
        (lambda rows: rows[:1], 1, "no impressions"),
    ],
    ids=["column missing", "row cut", "wrong type", "out of range", "unsorted", "empty"],
)  # fmt: skip
def test_a_bad_log_is_refused_with_its_line(small: Path, change, line: int, what: str) -> None:  # type: ignore[no-untyped-def]
    path = small / kuairand.LOG
    with path.open(newline="") as f:
        rows = list(csv.reader(f))
    with path.open("w", newline="") as f:
        csv.writer(f).writerows(change(rows))
    with pytest.raises(Refused, match=rf"line {line}: .*{what}"):
        kuairand.read_log(path)


def test_repeats_count_once_and_bad_tables_are_refused(small: Path) -> None:
    path = small / kuairand.LOG
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], lines[2], *lines[3:]]))
    read = kuairand.read_log(path)
    assert read.repeats == 1 and len(read) == VIEWERS * 30
    with (small / kuairand.VIDEOS).open("a") as f:
        f.write("3,1,1.0,2\n")
    with pytest.raises(Refused, match=f"line {VIDEOS + 2}: .*twice"):
        kuairand.read_table(small / kuairand.VIDEOS, "video_id")
    for length in ("long", "nan", "-1", "1e99"):
        with (small / kuairand.VIDEOS).open("w") as f:
            f.write(f"video_id,author_id,video_duration,tag\n3,1,,2\n4,1,{length},2\n")
        with pytest.raises(Refused, match=r"line 3: .*not a length"):
            load(small, None, None)
    (small / kuairand.VIDEOS).write_text("video_id,author_id,tag\n3,1,2\n")
    with pytest.raises(Refused, match=r"line 1: .*video_duration"):
        load(small, None, None)
    with (small / kuairand.HISTORY).open("a") as f:
        f.write('{"user_id": 1}\n')
    with pytest.raises(Refused, match=f"line {VIEWERS + 1}"):
        kuairand.read_pasts(small / kuairand.HISTORY)
    (small / "text.csv.xz").write_bytes(b"not xz at all")
    with pytest.raises(Refused, match="damaged"):
        kuairand.read_log(small / "text.csv.xz")


def test_a_later_week_is_asked_from_its_own_file(small: Path) -> None:
    later = world(small.parent / "later", seed=5) / kuairand.LOG
    data = load(small, date(2022, 4, 26), later)
    assert data.split["train_until"] == "2022-04-26" and data.split["test_from"] == "2022-04-27"
    assert data.split["digest"] != load(small, date(2022, 4, 26), None).split["digest"]
    with pytest.raises(Refused, match="nothing to be asked"):
        load(small, None, small / kuairand.LOG)
    with pytest.raises(Refused, match="nothing to learn from"):
        load(small, date(2022, 4, 1), None)
