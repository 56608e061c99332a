"""`holdfast bench learn`'s clocks: a learner that stalls must not look quick."""

import time

from holdfast.core.entries import Release
from holdfast.drills import bench_learn
from holdfast.drills.bench_learn import Books, quantile


def release(learned_to: int) -> Release:
    return Release(device="l", outbox=1, stamp=1, rung="FULL", sha="a" * 64, size=1, learned_to=learned_to, examples=1)


def test_what_waits_for_a_release_that_does_not_come_counts() -> None:
    end = time.monotonic()
    acked = [(end - 60 + k, k) for k in range(60)]  # one a second
    assert bench_learn._waits(Books(acked=acked), "FULL", end - 60)[0] >= 60  # no release at all
    stalled = Books(acked=acked, heard=[(end - 47.5, release(10))])  # the first eleven learned, and then nothing
    waits = bench_learn._waits(stalled, "FULL", end - 60)
    assert sum(w < 13 for w in waits) == 11 and len(waits) > 40
    median = quantile(waits, 0.5)
    assert median is not None and median > 20
    quick = Books(acked=acked, heard=[(end - 60 + k + 5, release(k)) for k in range(55)])
    assert max(bench_learn._waits(quick, "FULL", end - 60)) < 6  # the newest may yet be learned in time


def test_nothing_measured_is_no_figure() -> None:
    assert quantile([], 0.99) is None and quantile([3.0, 1.0, 2.0], 0.5) == 2.0
