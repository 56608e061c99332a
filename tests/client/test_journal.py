"""The outbox file: what was kept is there after a crash at any byte, and no number is given twice."""

from pathlib import Path

import pytest

from holdfast.client import journal as module
from holdfast.client.journal import Journal
from holdfast.core.errors import Refused
from holdfast.core.health.outbox import Outbox


def filled(path: Path, count: int) -> tuple[Journal, Outbox]:
    journal = Journal(path)
    box = journal.load()
    for n in range(1, count + 1):
        journal.keep(n, b"entry %d" % n, "public" if n % 2 else "personal")
        box.put(n, b"entry %d" % n)
    return journal, box


def test_what_was_kept_comes_back_in_order_with_its_class(tmp_path: Path) -> None:
    filled(tmp_path / "o", 5)[0].close()
    box = Journal(tmp_path / "o").load()
    assert [(k.number, k.raw, k.cls) for k in box.kept.values()][:2] == [
        (1, b"entry 1", "public"), (2, b"entry 2", "personal"),
    ]  # fmt: skip
    assert box.next_number() == 6


def test_dropped_entries_stay_dropped_and_their_numbers_used(tmp_path: Path) -> None:
    journal, box = filled(tmp_path / "o", 3)
    journal.drop([1, 2, 3], box)
    journal.close()
    box = Journal(tmp_path / "o").load()
    assert not box.kept and box.next_number() == 4


def test_a_crash_at_any_byte_keeps_every_whole_record(tmp_path: Path) -> None:
    ends: list[int] = []
    journal = Journal(tmp_path / "o")
    for n in (1, 2, 3):
        journal.keep(n, b"entry", "personal")
        journal.sync()
        ends.append((tmp_path / "o").stat().st_size)
    data = (tmp_path / "o").read_bytes()
    for cut in range(len(data) + 1):
        path = tmp_path / "cut"
        path.write_bytes(data[:cut])
        journal = Journal(path)
        box = journal.load()
        assert list(box.kept) == [1, 2, 3][: len(box.kept)]
        assert len(box.kept) == sum(cut >= end for end in ends)
        journal.keep(box.next_number(), b"after", "personal")
        journal.close()
        assert Journal(path).load().kept[len(box.kept) + 1].raw == b"after", "what follows a torn record is readable"


def test_the_file_is_rewritten_when_most_of_it_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REWRITE_BYTES", 2000)
    journal, box = filled(tmp_path / "o", 200)
    for n in range(1, 200):
        del box.kept[n]
        journal.drop([n], box)
    journal.close()
    assert (tmp_path / "o").stat().st_size < 2500
    box = Journal(tmp_path / "o").load()
    assert list(box.kept) == [200] and box.next_number() == 201


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused):
        Journal(tmp_path / "file" / "outbox")


def test_a_damaged_record_takes_no_other_with_it_and_its_number_is_not_given_again(tmp_path: Path) -> None:
    filled(tmp_path / "o", 3)[0].close()
    data = bytearray((tmp_path / "o").read_bytes())
    data[len(data) // 2 - 8] = 0xC1  # a byte that msgpack never uses, in the second record
    (tmp_path / "o").write_bytes(data)
    box = Journal(tmp_path / "o").load()
    assert list(box.kept) == [1, 3] and box.next_number() > 1_000_000


def test_the_key_stays_with_the_numbers_that_were_given_under_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "o")
    seed, known = journal.key()
    assert not known and len(seed) == module.KEY_BYTES
    journal.close()
    assert Journal(tmp_path / "o").key() == (seed, True)
    assert (tmp_path / "o.key").stat().st_mode & 0o077 == 0


def test_two_clients_do_not_number_from_one_file(tmp_path: Path) -> None:
    first = Journal(tmp_path / "o")
    with pytest.raises(Refused):
        Journal(tmp_path / "o")
    first.close()
    Journal(tmp_path / "o").close()
