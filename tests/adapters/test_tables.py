"""Tables: writing twice changes nothing, the watermark moves with the rows, damage means folding anew."""

from pathlib import Path

import pytest

from holdfast.adapters.tables import Tables
from holdfast.core.entries import Comment, Publication, Retraction, Ruling, View
from holdfast.core.errors import Degraded


def entries() -> list:
    return [
        Publication(device="a", outbox=1, stamp=10, item="i", creator="a", caption="old", tags=["x"]),
        Publication(device="a", outbox=2, stamp=20, item="i", creator="a", caption="new"),
        Ruling(device="n", outbox=1, stamp=21, item="i", verdict="allow", supersedes=[("n", 9)]),
        Comment(device="p", outbox=1, stamp=30, item="i", text="first"),
        Comment(device="q", outbox=1, stamp=31, item="i", text="second"),
        Comment(device="q", outbox=2, stamp=32, item="j", text="elsewhere"),
        Retraction(device="a", outbox=3, stamp=40, item="k"),
        View(device="v", outbox=1, stamp=41, item="i", dwell_ms=1),  # makes no row
    ]


def dump(tables: Tables) -> list:
    with tables._engine.connect() as db:
        names = ("items", "rulings", "comments", "retractions", "watermark")
        return [sorted(map(tuple, db.exec_driver_sql(f"select * from {n}"))) for n in names]


def test_rows_in_any_order_and_twice_are_the_same(tmp_path: Path) -> None:
    one, two = Tables(tmp_path / "one.sqlite"), Tables(tmp_path / "two.sqlite")
    one.write(entries(), {"public/r": {"e": 3}})
    two.write(entries()[::-1], {"public/r": {"e": 3}})
    two.write(entries(), {"public/r": {"e": 2}})  # an older watermark does not move it back
    assert dump(one) == dump(two)
    assert dump(one)[0][0][4] == "new" and one.watermark() == {"public/r": {"e": 3}}


def test_comments_come_newest_first_and_bounded(tmp_path: Path) -> None:
    tables = Tables(tmp_path / "t.sqlite")
    tables.write(entries(), {})
    assert [row[3] for row in tables.comments("i")] == ["second", "first"]
    assert [row[3] for row in tables.comments("i", 1)] == ["second"]
    assert tables.comments("nothing") == []


def test_tables_survive_and_damage_is_folded_anew(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    tables = Tables(path)
    tables.write(entries(), {"public/r": {"e": 3}})
    tables.close()
    again = Tables(path)
    assert again.watermark() == {"public/r": {"e": 3}} and len(again.comments("i")) == 2
    again.close()
    path.write_bytes(b"not a database at all" * 1000)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    fresh = Tables(path)
    assert fresh.watermark() == {} and fresh.comments("i") == []


def test_a_folder_that_cannot_be_written_is_said_and_nothing_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "t.sqlite").mkdir()
    with pytest.raises(Degraded):
        Tables(tmp_path / "t.sqlite")
    assert (tmp_path / "t.sqlite").is_dir()


def test_another_version_is_folded_anew(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    tables = Tables(path)
    tables.write(entries(), {"public/r": {"e": 3}})
    with tables._engine.begin() as db:
        db.exec_driver_sql("update meta set value = '0'")
    tables.close()
    assert Tables(path).watermark() == {}
