"""Ranges against sets of numbers."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.log import ranges

numbers = st.sets(st.integers(1, 60))


def packed(x: set[int]) -> list[tuple[int, int]]:
    return ranges.normal((n, n) for n in x)


def spread(x: list[tuple[int, int]]) -> set[int]:
    return {n for a, b in x for n in range(a, b + 1)}


@given(numbers, numbers)
def test_ranges_do_what_sets_do(x: set[int], y: set[int]) -> None:
    assert spread(packed(x)) == x
    assert ranges.count(packed(x)) == len(x)
    for mine, theirs in (
        (ranges.union(packed(x), packed(y)), x | y),
        (ranges.minus(packed(x), packed(y)), x - y),
        (ranges.both(packed(x), packed(y)), x & y),
    ):
        assert spread(mine) == theirs
        assert mine == packed(theirs), "one spelling per set"


@given(numbers, st.integers(0, 60))
def test_prefix_and_step_over(x: set[int], last: int) -> None:
    end = ranges.prefix(last, packed(x))
    assert all(n not in x for n in range(1, end + 1))
    assert end == last or end + 1 in x
    over = ranges.step_over(last, packed(x))
    assert all(n in x for n in range(last + 1, over + 1))
    assert over + 1 not in x


def test_ranges_are_said_plainly() -> None:
    assert ranges.say([(3, 7), (9, 9)]) == "3–7, 9"
