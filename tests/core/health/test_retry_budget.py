"""Extra attempts stay within a share of what is asked, and the moves of a lost region are paid for before any hedge."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.health.budget import KEPT, SAVED_FIRST, SAVED_MAX, SHARE, Budget


@given(st.lists(st.sampled_from(["ask", "hedge", "retry"]), max_size=800))
def test_never_more_than_its_share_beyond_what_was_saved(acts: list[str]) -> None:
    budget = Budget()
    for act in acts:
        budget.earn() if act == "ask" else budget.hedge() if act == "hedge" else budget.retry()
        assert 0.0 <= budget.saved <= SAVED_MAX
    assert budget.extra <= SAVED_FIRST + SHARE * budget.asked + 1e-6
    assert budget.asked == acts.count("ask")


def test_hedges_leave_what_a_move_needs() -> None:
    budget = Budget()
    for _ in range(1000):
        budget.earn()
        budget.hedge()
    assert [budget.retry() for _ in range(int(KEPT))] == [True] * int(KEPT)
