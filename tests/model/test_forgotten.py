"""What a viewer had forgotten teaches nothing any more: neither the next-item sums nor the network's examples."""

import sys
from pathlib import Path

from town import Town

sys.path.insert(0, str(Path(__file__).parents[1] / "core" / "feed"))
from test_examples import pass_time, served, town, view  # noqa: F401 - the fixture and its acts

from holdfast.core.entries import Publication, Reset, Ruling, View
from holdfast.model.lessons import Lessons

T = 1_700_000_000_000_000


def reset(town: Town, before: int) -> None:  # noqa: F811
    town.take(Reset(**town.id("v"), before=before))


def test_a_showing_that_was_forgotten_before_it_settled_is_no_example(town: Town) -> None:  # noqa: F811
    view(town, served(town), 2)
    reset(town, town.now)
    pass_time(town)
    assert not list(town.examples.emptied())
    after = served(town)
    view(town, after, 1)
    pass_time(town)
    (unit,) = town.examples.emptied()
    assert unit.past.rows.size == 0, "and its past holds nothing from before"


def test_what_an_outbox_brings_late_from_before_a_reset_is_no_lesson() -> None:
    counts: list[int] = []
    for before in (0, T + 15):
        lessons = Lessons("US")
        for k in range(4):
            lessons.take(Publication(device="p", outbox=k + 1, stamp=T, item=f"i{k}", creator="c", tags=["t"]))
            lessons.take(Ruling(device="r", outbox=k + 1, stamp=T, item=f"i{k}", verdict="allow"))
        entries = [View(device="app:v", outbox=k + 1, stamp=T + 10 + k, item=f"i{k}", dwell_ms=6000, duration_ms=6000)
                   for k in range(4)]  # fmt: skip
        lessons.take(entries[0])
        if before:
            lessons.take(Reset(device="app:v", outbox=9, stamp=T + 20, before=before))
        for entry in entries[1:]:
            lessons.take(entry)
        counts.append(lessons.statistics.examples)
    assert counts[0] > 0 == counts[1], counts
