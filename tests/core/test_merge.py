"""Joins commute, associate and are idempotent; interval sets agree with plain sets."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.merge import IntervalSet, Register

WRITES = st.lists(st.tuples(st.integers(0, 5), st.tuples(st.sampled_from("abc"), st.integers(1, 5))), max_size=12)


@given(WRITES, st.randoms(use_true_random=False))
def test_a_register_does_not_care_about_order_or_repetition(writes: list, random) -> None:  # type: ignore[type-arg]
    def fold(sequence: list) -> object:  # type: ignore[type-arg]
        register = Register(-1, ("", 0), None)
        for stamp, entry_id in sequence:
            register.join(stamp, entry_id, (stamp, entry_id))
        return register.value

    shuffled = writes + writes
    random.shuffle(shuffled)
    assert fold(writes) == fold(shuffled) == (max(writes) if writes else None)


@given(st.lists(st.integers(1, 40)))
def test_an_interval_set_is_a_set(numbers: list[int]) -> None:
    intervals, oracle = IntervalSet(), set[int]()
    for n in numbers:
        assert intervals.add(n) == (n not in oracle)
        oracle.add(n)
    assert len(intervals) == len(oracle)
    assert all((n in intervals) == (n in oracle) for n in range(42))
    pairs = intervals.pairs()
    assert all(a <= b for a, b in pairs)
    assert all(pairs[i][1] + 1 < pairs[i + 1][0] for i in range(len(pairs) - 1)), "touching intervals are one"
