"""The audience's book-keeping finds what is missing, and only that."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.log.ranges import minus
from holdfast.core.merge import IntervalSet
from holdfast.drills.audience import FOLD_WAIT_S, LOST_AFTER_S, Book, _cover

numbers = st.sets(st.integers(1, 60))


def interval_set(of: set[int]) -> IntervalSet:
    out = IntervalSet()
    for n in of:
        out.add(n)
    return out


@given(numbers, numbers)
def test_minus_is_set_difference_on_interval_sets(mine: set[int], held: set[int]) -> None:
    found = {n for a, b in minus(interval_set(mine).pairs(), interval_set(held).pairs()) for n in range(a, b + 1)}
    assert found == mine - held


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 10)), max_size=20))
def test_cover_unites(pairs: list[tuple[int, int]]) -> None:
    held = IntervalSet()
    for first, size in pairs:
        _cover(held, first, first + size)
    wanted = {n for first, size in pairs for n in range(first, first + size + 1)}
    assert {n for a, b in held.pairs() for n in range(a, b + 1)} == wanted
    assert len(held) == len(wanted)


def test_a_number_is_lost_only_after_a_while_and_found_again_when_it_turns_up() -> None:
    book = Book(fresh=[(0.0, 1), (0.0, 2), (100.0, 3)])
    book.settle(100.0)
    assert [n for n in (1, 2, 3) if n in book.safe] == [1, 2], "what is fresh is not asked about"
    only_one = interval_set({1})
    assert book.audit(only_one, 100.0) == 0
    assert book.audit(only_one, 100.0 + LOST_AFTER_S) == 1
    assert book.audit(interval_set({1, 2}), 120.0) == 0
    book.settle(100.0 + FOLD_WAIT_S + 1)
    assert 3 in book.safe
