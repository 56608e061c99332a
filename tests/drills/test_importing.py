"""Importers: what each format becomes, what is refused and on which line, and an import into a real region, resumed."""

import asyncio
import json
import lzma
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "region"))
from noderig import call, running

from holdfast.adapters import apikeys
from holdfast.client import own_name
from holdfast.core.errors import Refused
from holdfast.drills import importing
from holdfast.drills.importing_records import SPAN_MAX_US, Deed, entries, fit
from patience import until

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
DAY_US = 86_400 * 1_000_000

ITEMS = "item,creator,caption,tags,duration_ms,url\nsong-1,band,One,folk|jazz,60000,https://s.example/1\nsong-2,,Two,,,\n"
EVENTS = "viewer,item,time,kind,dwell_ms\nanna,song-1,1650000000,view,9000\nben,song-2,1650000100.5,like,\n"


def folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / name.replace("__", ".")).write_text(text)
    return tmp_path


def test_a_table_becomes_items_and_deeds(tmp_path: Path) -> None:
    load = importing.read("csv", folder(tmp_path, items__csv=ITEMS, events__csv=EVENTS))
    assert load.items[0] == {"item": "song-1", "creator": "band", "caption": "One", "tags": ["folk", "jazz"],
                             "duration_ms": 60_000, "url": "https://s.example/1"}  # fmt: skip
    assert load.deeds == [Deed(1_650_000_000_000_000, "anna", "song-1", "view", 9000, 0),
                          Deed(1_650_000_100_500_000, "ben", "song-2", "like", -1, 0)]  # fmt: skip


@pytest.mark.parametrize("time_", ["2022-04-15T05:20:00Z", "2022-04-15 05:20:00", "1650000000", "1650000000000",
                                   "1650000000000000", "1.65e9"])  # fmt: skip
def test_times_are_read_in_any_usual_spelling(tmp_path: Path, time_: str) -> None:
    path = folder(tmp_path, events__csv=f"viewer,item,time\na,b,{time_}\n") / "events.csv"
    assert importing.read("csv", path).deeds[0].stamp == 1_650_000_000_000_000


BAD = [
    ("", 1, "empty"),
    ("viewer,item\na,b\n", 1, "no column `time`"),
    ("viewer,item,time\na,b,1650000000\na,b\n", 3, "3 values"),
    ("viewer,item,time\na,b,1650000000\na,b,1,2\n", 3, "3 values"),
    ("viewer,item,time\na,b,1650000000\na,c,yesterday\n", 3, "`time`"),
    ("viewer,item,time\na,b,nan\n", 2, "`time`"),
    ("viewer,item,time\na,,1650000000\n", 2, "`item` is empty"),
    ("viewer,item,time,kind\na,b,1650000000,stare\n", 2, "`kind`"),
    ("viewer,item,time,dwell_ms\na,b,1650000000,-4\n", 2, "`dwell_ms`"),
    ("viewer,item,time\na,b,1650000000\na,c,1640000000\n", 3, "before"),
    ("viewer,item,time\na,b,1650000000\na,b,1650000000\n", 3, "twice"),
]


@pytest.mark.parametrize(("text", "line", "words"), BAD)
def test_a_fault_is_named_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = folder(tmp_path, events__csv=text) / "events.csv"
    with pytest.raises(Refused) as caught:
        importing.read("csv", path)
    assert f"events.csv, line {line}: " in str(caught.value) and words in str(caught.value)


def test_lenient_sorts_and_leaves_out(tmp_path: Path) -> None:
    text = "viewer,item,time\na,b,1650000009\na,c,1650000000\na,c,1650000000\na,d,never\n"
    load = importing.read("csv", folder(tmp_path, events__csv=text) / "events.csv", lenient=True)
    assert [deed.item for deed in load.deeds] == ["c", "b"] and "2 rows" in load.notes[0]


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "events.csv.xz").write_bytes(b"not xz")
    (tmp_path / "events.parquet").write_bytes(b"not parquet")
    for name in ("events.csv", "events.csv.xz", "events.parquet", "none.csv"):
        with pytest.raises(Refused):
            importing.read("parquet" if name.endswith("parquet") else "csv", tmp_path / name)
    (tmp_path / "bare").mkdir()
    for kind in ("csv", "parquet", "movielens", "gorse", "kuairand"):
        with pytest.raises(Refused):
            importing.read(kind, tmp_path / "bare")


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = {"viewer": ["anna", "ben"], "item": ["song-1", "song-2"], "time": [1_650_000_000, 1_650_000_101],
             "kind": ["view", "like"], "dwell_ms": [9000, None]}  # fmt: skip
    parquet.write_table(arrow.table(table), tmp_path / "events.parquet")
    deeds = importing.read("parquet", tmp_path / "events.parquet").deeds
    assert [(d.viewer, d.item, d.kind, d.dwell_ms) for d in deeds] == [("anna", "song-1", "view", 9000),
                                                                     ("ben", "song-2", "like", -1)]  # fmt: skip
    fine = arrow.array([1_700_000_000_000_000_001], arrow.timestamp("ns"))
    parquet.write_table(arrow.table({"viewer": ["a"], "item": ["b"], "time": fine}), tmp_path / "fine.parquet")
    with pytest.raises(Refused, match=r"fine\.parquet cannot be read"):
        importing.read("parquet", tmp_path / "fine.parquet")
    parquet.write_table(arrow.table({"viewer": ["a"], "item": ["b"]}), tmp_path / "short.parquet")
    with pytest.raises(Refused, match="no column `time`"):
        importing.read("parquet", tmp_path / "short.parquet")


GORSE_ITEMS = (
    "item_id,is_hidden,categories,time_stamp,labels,description\r\n"
    "vuejs:vue,false,web|js,2020-01-01 01:01:01.000000001 +0000 UTC,"
    '"{""genre"":[""ui"",""framework""],""v"":[0.1,0.2]}","a, b"\r\n'
    "two,false,,2021-01-01 01:01:01 +0000 UTC,a|b,\r\nthree,true,,2022-01-01 01:01:01 +0000 UTC,null,\r\n"
)
GORSE_FEEDBACK = (
    "feedback_type,user_id,item_id,time_stamp\r\nstar,bob,vuejs:vue,2022-02-24 10:00:00.5 +0000 UTC\r\n"
    "read,bob,two,0001-01-01 00:00:00 +0000 UTC\r\nfork,eve,two,2022-02-25\r\n"
)


def test_a_gorse_export_becomes_items_and_deeds(tmp_path: Path) -> None:
    path = folder(tmp_path, items__csv=GORSE_ITEMS, feedback__csv=GORSE_FEEDBACK)
    with pytest.raises(Refused, match=r"feedback.csv, line 4: .*`fork`"):
        importing.read("gorse", path)
    load = importing.read("gorse", path, types={"fork": "share"})
    vue = own_name("vuejs:vue")
    assert vue.startswith("x-") and own_name("two") == "two"
    tags = {item["item"]: item["tags"] for item in load.items}
    assert tags == {vue: ["web", "js", "ui", "framework"], "two": ["a", "b"]}
    assert [(d.viewer, d.item, d.kind) for d in load.deeds] == [("bob", vue, "like"), ("bob", "two", "view"),
                                                                ("eve", "two", "share")]  # fmt: skip
    assert load.deeds[1].stamp == load.deeds[0].stamp + 1, "what has no time follows the row above"
    assert any("hidden" in note for note in load.notes)
    with pytest.raises(Refused, match="no such kind"):
        importing.read("gorse", path, types={"fork": "eat"})


def test_movielens_in_its_layouts(tmp_path: Path) -> None:
    path = folder(tmp_path, ratings__dat="1::10::5::978300760\n1::11::4::978300761\n2::10::2::978300700\n",
                  movies__dat="10::Film (1990)::Drama|War\n11::Autre (1991)::Comedy\n")  # fmt: skip
    load = importing.read("movielens", path)
    found = [(d.viewer, d.item, d.kind) for d in load.deeds]
    assert found == [("2", "10", "view"), ("1", "10", "like"), ("1", "11", "long")]
    assert load.items[0]["tags"] == ["drama", "war"] and load.items[0]["caption"] == "Film (1990)"
    (tmp_path / "ratings.dat").write_text("1::10::5::978300760\n1::11::six::978300761\n")
    with pytest.raises(Refused, match=r"ratings.dat, line 2"):
        importing.read("movielens", path)
    (tmp_path / "s").mkdir()
    with lzma.open(tmp_path / "s" / "train_input.txt.xz", "wt") as f:
        f.write("1 2 3\n4 5\n")
    assert [d.item for d in importing.read("movielens", tmp_path / "s").deeds] == ["1", "4", "2", "5", "3"]


@pytest.mark.parametrize(("kind", "name", "items", "events"), [("movielens", "movielens-100k", 1682, 100_000)])
def test_the_real_set(kind: str, name: str, items: int, events: int) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not beside the checkout")
    load = importing.read(kind, DATA / name)
    assert (len(load.items), len(load.deeds)) == (items, events)
    assert {"drama", "comedy"} <= {tag for item in load.items for tag in item["tags"]}


def test_times_are_moved_only_as_far_as_they_must_be() -> None:
    now = 1_800_000_000_000_000
    lately = [Deed(now - 10 * DAY_US, "a", "i", "view"), Deed(now - DAY_US, "a", "i", "view")]
    move, words = fit(lately, now)
    assert words == "" and move(lately[0].stamp) == lately[0].stamp
    old = [Deed(now - 900 * DAY_US, "a", "i", "view"), Deed(now - 890 * DAY_US, "a", "i", "view")]
    move, words = fit(old, now)
    assert "30 days" in words and move(old[1].stamp) - move(old[0].stamp) == 10 * DAY_US
    long = [Deed(0, "a", "i", "view"), Deed(500 * DAY_US, "a", "i", "view"), Deed(1000 * DAY_US, "a", "i", "view")]
    move, words = fit(long, now)
    first, middle, last = (move(d.stamp) for d in long)
    assert last - first == SPAN_MAX_US and middle - first == last - middle and now - DAY_US < last < now
    assert "squeezed" in words


def test_a_like_is_also_a_showing() -> None:
    assert [e["kind"] for e in entries(Deed(0, "a", "i", "like"), 7, 9)] == ["view", "like"]
    numbers = [(e["outbox"], e["stamp"]) for e in entries(Deed(0, "a", "i", "like"), 7, 9)]
    assert numbers == [(7, 9), (8, 9)]
    view = entries(Deed(0, "a", "i", "view", 0, 6000), 1, 1)[0]
    assert (view["dwell_ms"], view["duration_ms"]) == (0, 6000), "a play of no length stays one"


def test_an_import_that_was_stopped_goes_on_and_counts_nothing_twice(tmp_path: Path) -> None:
    n = 2500
    rows = [f"viewer-{k % 50},item-{k % 40},{1_650_000_000 + k},{'like' if k % 5 == 0 else 'long'}" for k in range(n)]
    text = "viewer,item,time,kind\n" + "\n".join(rows) + "\n"
    load = importing.read("csv", folder(tmp_path, events__csv=text) / "events.csv")
    note = tmp_path / "note.json"

    class Stopped(Exception):
        pass

    def stop(what: str, done: int, of: int) -> None:
        if what == "events" and done > 700:
            raise Stopped

    with running(tmp_path / "home", {"us-east": "US"}) as rig:
        key = apikeys.make(rig.home, "shop", ("items", "events", "feed"), own=True)
        url = rig.top.region("us-east").url
        until(lambda: call(rig, "us-east", "GET", "/v1/trending", bearer=key).status == 200)
        with pytest.raises(Stopped):
            asyncio.run(importing.run(load, [url], key, note, stop))
        half = note.read_text()
        result = asyncio.run(importing.run(load, [url], key, note, lambda *_: None))
        assert 0 < result["sent"] < n + n // 5 and result["verdicts"] == {"allow": 40}
        note.write_text(half)  # as if the note of the second run were lost: all of that is sent again
        asyncio.run(importing.run(load, [url], key, note, lambda *_: None))

        def seen() -> tuple[int, int]:
            found = [call(rig, "us-east", "GET", f"/v1/items/item-{i}", bearer=key).json for i in range(40)]
            return sum(p["views"] for p in found), sum(p["likes"] for p in found)

        until(lambda: seen()[0] >= n)
        time.sleep(1.0)
        pairs = {(k % 50, k % 40) for k in range(0, n, 5)}
        assert seen() == (n, len(pairs))
        with pytest.raises(Refused):
            asyncio.run(importing.run(load, [url], "hfk_00000000_00", tmp_path / "other.json", lambda *_: None))


def command(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "holdfast.cli.main", "import", *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=200, cwd=cwd, check=False)


def test_data_that_changed_since_is_sent_or_refused_and_never_lost(tmp_path: Path) -> None:
    path = folder(tmp_path, items__csv="item,caption\nsong-1,One\nsong-2,Two\n", events__csv=EVENTS)
    events, note = path / "events.csv", tmp_path / "note.json"
    with running(tmp_path / "home", {"us-east": "US"}) as rig:
        key = apikeys.make(rig.home, "shop", ("items", "events", "feed"), own=True)
        until(lambda: call(rig, "us-east", "GET", "/v1/trending", bearer=key).status == 200)

        def bring() -> subprocess.CompletedProcess[str]:
            words = ("csv", str(path), "--key", key, "--dir", str(rig.home.root), "--note", str(note), "--json")
            return command(tmp_path, *words)

        def song(n: int) -> dict[str, Any]:
            return call(rig, "us-east", "GET", f"/v1/items/song-{n}", bearer=key).json

        first = bring()
        assert first.returncode == 0 and json.loads(first.stdout)["sent"] == 3, first.stderr
        (path / "items.csv").write_text("item,caption\nsong-1,Une\nsong-2,Two\n")
        assert json.loads(bring().stdout)["sent"] == 0
        until(lambda: (song(1)["caption"], song(1)["views"], song(2)["views"]) == ("Une", 1, 1))

        head, *lines = EVENTS.splitlines()
        events.write_text("\n".join([head, "cleo,song-1,1640000000,long,", *lines]) + "\n")
        before = note.read_text()
        refused = bring()
        assert refused.returncode == 2 and "no longer begins with the 2 events" in refused.stderr, refused.stderr
        assert "a file of its own" in refused.stderr and note.read_text() == before
        events.write_text(EVENTS.replace("9000", "100"))
        assert bring().returncode == 2, "a row was edited"

        state = json.loads(before)  # stopped while the second row was on its way
        note.write_text(json.dumps({**state, "deeds": 1}))
        events.write_text("\n".join([head, lines[0], "cleo,song-1,1650000050,long,", lines[1]]) + "\n")
        assert bring().returncode == 2, "its number may be used"
        events.write_text(EVENTS + "cleo,song-1,1650000200,long,\n")
        assert json.loads(bring().stdout)["sent"] == 3
        until(lambda: (song(1)["views"], song(2)["views"]) == (2, 1))


def test_the_command_line_says_what_is_wrong_and_what_would_come(tmp_path: Path) -> None:
    def holdfast(*words: str) -> subprocess.CompletedProcess[str]:
        return command(tmp_path, *words)

    path = folder(tmp_path, events__csv=EVENTS) / "events.csv"
    told = holdfast("csv", str(path), "--dry-run", "--json")
    assert told.returncode == 0 and json.loads(told.stdout)["events"] == 2
    keyless = holdfast("csv", str(path))
    assert keyless.returncode == 2 and "hint: holdfast keys api make" in keyless.stderr
    (tmp_path / "bad.csv").write_text("viewer,item,time\na,b,never\n")
    bad = holdfast("csv", str(tmp_path / "bad.csv"), "--dry-run")
    assert bad.returncode == 2 and "bad.csv, line 2: " in bad.stderr and bad.stdout == ""
    homeless = holdfast("csv", str(path), "--key", "hfk_00000000_00")
    assert homeless.returncode == 2 and "--dir DIR" in homeless.stderr and "--url URL" in homeless.stderr
    nowhere = holdfast("csv", str(path), "--key", "hfk_00000000_00", "--url", "http://127.0.0.1:9")
    assert nowhere.returncode == 4 and "" not in nowhere.stderr.splitlines(), nowhere.stderr
    (tmp_path / "events.csv").write_text("viewer,item,time\nanna,song-1,1650000000\n")
    assert "1 item is named by events only: it comes" in holdfast("csv", str(path), "--dry-run").stdout
    now = int(time.time())
    (tmp_path / "events.csv").write_text(f"viewer,item,time\nanna,song-1,{now - 60}\n")
    (tmp_path / "items.csv").write_text("item\nsong-1\n")
    plain = holdfast("csv", str(tmp_path), "--dry-run")
    assert plain.returncode == 0 and "notes" not in plain.stdout


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"items": 3}', '{"begun_us": "yesterday"}', '{"begun_us": 1, "verdicts": 5}']
)
def test_a_note_that_is_none_is_refused_and_not_half_believed(tmp_path: Path, text: str) -> None:
    note = tmp_path / "note.json"
    note.write_text(text)
    with pytest.raises(Refused, match="does not read"):
        importing._resume(note)
