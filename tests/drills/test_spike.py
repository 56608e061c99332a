"""The spike drill's book-keeping: what counts as answered in time, as normal again, and as a promise broken."""

import pytest

from holdfast.drills.spike import Verdict, normal_s
from holdfast.drills.spike_load import PATIENCE_S, Asked

WELL = {
    "capacity_per_s": 100.0, "capacity_before_per_s": 100.0, "capacity_after_per_s": 100.0, "spike_feed_ok": 1.0,
    "spike_write_ok": 0.999, "spike_low_ok": 0.1, "spike_low_per_s": 250.0, "spike_feed_p99_ms": 90.0,
    "calm_feed_p99_ms": 30.0, "spike_normal_s": 1.0, "overload_offered_per_s": 400.0, "overload_goodput_per_s": 95.0,
    "goodput": 0.95, "overload_write_ok": 0.9, "overload_normal_s": 2.0, "retry_amplification": 1.05, "refused": {},
    "limit": 20, "late_ms_p99": 3.0,
}  # fmt: skip


def test_an_answer_counts_if_it_came_and_came_in_time() -> None:
    assert Asked("feed", 0.0, PATIENCE_S, 200).well
    assert not Asked("feed", 0.0, PATIENCE_S + 0.01, 200).well
    assert not Asked("feed", 0.0, 0.1, 503).well and not Asked("feed", 0.0, 0.1, 0).well


def test_normal_is_when_the_last_late_answer_of_people_has_come() -> None:
    book = [
        Asked("feed", 9.0, 5.0, 200),  # due before the end: it does not count
        Asked("feed", 10.5, 0.2, 200), Asked("low", 14.0, 1.0, 503), Asked("write", 12.0, 0.5, 503),
        Asked("feed", 11.0, 0.6, 200), Asked("feed", 13.0, 0.05, 200),
    ]  # fmt: skip
    assert normal_s(book, 10.0, 20.0) == pytest.approx(2.5)
    assert normal_s(book, 10.0, 400.0) == pytest.approx(2.5), "a failure is one, however slow the usual is"
    assert normal_s(book[:2], 10.0, 20.0) == 0.0


@pytest.mark.parametrize(("figure", "value", "broken"), [
    ("spike_feed_ok", 0.998, "feeds in the spike"), ("spike_write_ok", 0.99, "writes in the spike"),
    ("goodput", 0.89, "goodput"), ("spike_normal_s", 10.1, "normal after the spike"),
    ("overload_normal_s", 11.0, "normal after the overload"), ("retry_amplification", 1.2, "retries"),
    ("late_ms_p99", 500.0, "the generator was late: this is no verdict"),
])  # fmt: skip
def test_each_promise_is_judged(figure: str, value: float, broken: str) -> None:
    assert Verdict(**WELL).broken() == []
    assert Verdict(**{**WELL, figure: value}).broken() == [broken]
