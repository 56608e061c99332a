"""When an epoch may go on: a model of disks and peers shows that it never splits a chain."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.asks import Head
from holdfast.core.log.epochs import Mine, may_continue, newest

D = {n: bytes([n]) * 32 for n in range(40)}
MINE = Mine("e1", 10, D[10], [], [], {n: D[n] for n in range(1, 10)}, clean=True)


def head(last: int, epoch: str = "e1", digest: bytes | None = None) -> Head:
    return Head(epoch, 1, last, D[last] if digest is None else digest, 0)


def test_alone_only_an_orderly_stop_proves_the_end() -> None:
    assert may_continue(MINE, set(), {})
    assert not may_continue(replace(MINE, clean=False), set(), {})


def test_every_permitted_peer_must_have_answered() -> None:
    assert may_continue(replace(MINE, clean=False), {"a", "b"}, {"a": [head(10)], "b": []})
    assert not may_continue(MINE, {"a", "b"}, {"a": [head(10)]})


def test_a_peer_that_holds_more_or_other_blocks_forbids_it() -> None:
    assert not may_continue(MINE, {"a"}, {"a": [head(11)]})
    assert not may_continue(MINE, {"a"}, {"a": [head(10, digest=D[11])]})
    assert not may_continue(MINE, {"a"}, {"a": [head(4, digest=D[5])]}), "an older block of theirs is another one"
    assert not may_continue(MINE, {"a"}, {"a": [head(10), head(12, epoch="e1-abc")]}), "a branch of it exists"
    assert may_continue(MINE, {"a"}, {"a": [head(4), head(30, epoch="e0")]})


def test_a_damaged_end_forbids_it_and_nothing_held_is_nothing_to_continue() -> None:
    assert not may_continue(replace(MINE, missing=[(9, 10)]), set(), {})
    assert not may_continue(replace(MINE, lost=[(10, 10)]), set(), {})
    assert may_continue(replace(MINE, lost=[(3, 4)]), set(), {})
    assert not may_continue(None, set(), {})
    assert not may_continue(replace(MINE, digest=b""), set(), {})


@given(st.integers(1, 20), st.integers(0, 20), st.lists(st.integers(0, 20), max_size=3), st.booleans())
def test_a_number_that_someone_holds_is_never_sealed_again(
    wrote: int, gone: int, carried: list[int], silent: bool
) -> None:
    """We sealed 1..wrote, the disk lost `gone` from the end, peers carried some: continuing must not reuse a number."""
    left = max(wrote - gone, 0)
    held = {f"p{i}": min(n, wrote) for i, n in enumerate(carried)}
    answers = {p: [head(n)] if n else [] for p, n in held.items()}
    if silent and answers:
        answers.popitem()
    mine = Mine("e1", left, D[left], [], [], {n: D[n] for n in range(1, left)}, clean=gone == 0)
    if may_continue(mine if left else None, set(held), answers):
        assert all(n <= left for n in held.values())


def test_the_newest_epoch_is_the_one_opened_last() -> None:
    assert newest([(5, "a", 3), (9, "b", 1), (11, "b-dead", 4), (12, "c", 0)]) == "b"
    assert newest([]) is None
