"""Suspicion grows with silence, and patience is its inverse within bounds."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.health.backoff import delay_s
from holdfast.core.health.detector import (
    OWED,
    OWED_MAX,
    PATIENCE_MAX_S,
    PATIENCE_MIN_S,
    PHI_SUSPECT,
    RELAPSE_S,
    Vantage,
)

times = st.floats(0.001, 2.0)


@given(st.lists(times, max_size=50), times, times)
def test_phi_never_falls_with_silence(answers: list[float], a: float, b: float) -> None:
    vantage = Vantage()
    for i, took in enumerate(answers):
        vantage.good(took, float(i))
    assert vantage.phi(min(a, b)) <= vantage.phi(max(a, b)) + 1e-9


@given(st.lists(times, max_size=50))
def test_patience_is_bounded_and_reaches_the_threshold(answers: list[float]) -> None:
    vantage = Vantage()
    for i, took in enumerate(answers):
        vantage.good(took, float(i))
    patience = vantage.patience_s()
    assert PATIENCE_MIN_S <= patience <= PATIENCE_MAX_S
    if patience < PATIENCE_MAX_S:  # not cut short by the person who waits
        assert vantage.phi(patience) >= PHI_SUSPECT - 0.01


def test_a_quick_region_is_suspected_sooner_than_a_slow_one() -> None:
    quick, slow = Vantage(), Vantage()
    for i in range(100):
        quick.good(0.01, i)
        slow.good(0.25 + 0.05 * (i % 2), i)
    assert quick.patience_s() < slow.patience_s()


def test_only_the_first_bad_call_is_news() -> None:
    vantage = Vantage()
    assert vantage.bad(1.0)
    assert not vantage.bad(2.0)
    vantage.good(0.1, 3.0)
    assert (vantage.suspected, vantage.good_since_s) == (False, 3.0)
    assert vantage.bad(4.0)


@given(st.integers(0, 2000), st.floats(0, 0.999))
def test_backoff_stays_under_its_cap(attempt: int, chance: float) -> None:
    assert 0.0 <= delay_s(attempt, chance, first_s=0.1, cap_s=5.0) < 5.0


def test_backoff_doubles_its_ceiling() -> None:
    assert [delay_s(n, 0.5, first_s=0.2, cap_s=1.0) for n in range(4)] == [0.1, 0.2, 0.4, 0.5]


def test_what_is_beaten_owes_answers_of_the_kind_it_left_out() -> None:
    v = Vantage()
    v.good(0.05, 1.0)
    assert v.beaten(10.0) and v.suspected and v.owed == OWED
    v.good(0.5, 10.2)  # asked before it was beaten: proves nothing
    assert v.owed == OWED
    v.good(0.05, 11.0)
    v.bad(12.0)  # one in ten comes by luck
    assert v.owed == OWED
    for k in range(OWED):
        assert v.suspected
        v.good(0.05, 13.0 + k)
    assert not v.suspected and v.owed == 0 and v.good_since_s == 13.0 + OWED - 1


def test_who_relapses_owes_twice_as_many_and_time_forgives() -> None:
    v = Vantage()
    owed, now_s = [], 0.0
    for pause_s in (1.0, 1.0, 1.0, RELAPSE_S + 1.0):
        v.beaten(now_s)
        owed.append(v.owed)
        v.beaten(now_s)  # another call of the same moment doubles nothing
        assert v.owed == owed[-1]
        while v.suspected:
            now_s += 1.0
            v.good(0.05, now_s)
        now_s += pause_s
    v.beaten(now_s)
    assert [*owed, v.owed] == [OWED, 2 * OWED, 4 * OWED, OWED_MAX, OWED]
