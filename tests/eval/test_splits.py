"""Reading sequences: the layouts, and every mistake refused with its line."""

import lzma
from pathlib import Path

import pytest

from holdfast.core.errors import Refused
from holdfast.eval.splits import Layout, read


def write(tmp_path: Path, text: str, name: str = "data.txt") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_sequences_hold_out_the_last_two(tmp_path: Path) -> None:
    split = read(write(tmp_path, "12 7 901 33\n7 33 12 5\n\n"))
    assert split.layout == "sequences" and split.items == 5
    assert [[split.names[i] for i in s] for s in split.train()] == [["12", "7"], ["7", "33"]]
    assert [split.names[i] for i in split.target(2)] == ["901", "12"]
    assert [split.names[i] for i in split.target(1)] == ["33", "5"]
    assert [split.names[i] for i in split.history(1)[0]] == ["12", "7", "901"]


def test_the_layouts_say_the_same(tmp_path: Path) -> None:
    plain = read(write(tmp_path, "12 7 901 33\n7 33 12 5\n"))
    named = read(write(tmp_path, "1 12 7 901 33\n2 7 33 12 5\n"))
    pairs = "viewer,item\na,12\na,7\na,901\na,33\nb,7\nb,33\nb,12\nb,5\n"
    timed = "user item time\na 12 1\na 7 2\nb 7 1\na 901 3\na 33 3\nb 33 2\nb 12 3\nb 5 4\n"
    packed = tmp_path / "data.txt.xz"
    packed.write_bytes(lzma.compress(b"12 7 901 33\n7 33 12 5\n"))
    assert named.layout == "named"
    assert {read(write(tmp_path, pairs)).digest, read(packed).digest, named.digest} == {plain.digest}
    assert read(write(tmp_path, timed)).items == 5


@pytest.mark.parametrize(
    ("text", "layout", "says"),
    [
        ("", "auto", "is empty"),
        ("\n \n", "auto", "is empty"),
        ("1 2 3\n4 x 6\n", "auto", "line 2: 'x' is not a number"),
        ("1 2 3\n\n4\n5 6 7\n", "auto", "line 3: a sequence of 1"),
        ("1 2 3\n4 5 4\n", "auto", "line 2: item 4 stands twice"),
        ("a,1\na,2\na\na,3\n", "auto", "line 3: 1 columns"),
        ("viewer,item\n", "auto", "nothing below it"),
        ("a,1,5\na,2,4\na,3,6\n", "pairs", "line 2: earlier"),
        ("a,1,x\na,2,4\n", "pairs", "line 1: 'x' is not a time"),
        ("a,1\na,2\na,3\nb,1\n", "auto", "line 4: a sequence of 1"),
        ("1 2 3 4\n", "pairs", "line 1: a pair has two columns"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_its_line(tmp_path: Path, text: str, layout: Layout, says: str) -> None:
    with pytest.raises(Refused, match=says):
        read(write(tmp_path, text), layout)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xz").write_bytes(b"not xz")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00 1 2")
    for name in ("a.xz", "b.txt", "missing.txt"):
        with pytest.raises(Refused):
            read(tmp_path / name)
