"""Two learners of a jurisdiction in virtual time: one releases, the other takes over when it is gone, never both."""

from bisect import bisect_right
from dataclasses import dataclass, field

import pytest

from holdfast.model import pace
from holdfast.model.learn import SOLVE_S
from holdfast.model.pace import LATEST_S, REST_MAX_S, REST_S, StandBy
from holdfast.region.learner import CROWDED

STEP_S = 0.5


@dataclass
class Learner:
    """One that folds lessons `lag_s` late and whose solve takes `solve_s`."""

    behind: bool
    solve_s: float = 1.0
    lag_s: float = 0.0
    word_s: float = 0.0  # how much later than lessons it reads of releases: they stand in another chain
    stand_by: StandBy = field(init=False)
    learned: int = 0
    out: int = 0
    ready_s: float | None = None  # when the solve under way is done
    solving: int = 0
    rested_s: float = 0.0
    releases: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stand_by = StandBy(behind=self.behind)

    def step(self, lessons: list[tuple[float, int]], now_s: float) -> int | None:
        """Fold, release when due; return what a release learned to."""
        read = bisect_right(lessons, (now_s - self.lag_s, 10**9))
        self.learned = lessons[read - 1][1] if read else 0
        self.stand_by = self.stand_by.learn(self.learned, now_s)
        due = self.learned > self.out and now_s - self.rested_s >= pace.rest_s(self.solve_s, 0.0)
        if self.ready_s is None and due and not self.stand_by.resting(now_s):
            self.ready_s, self.solving = now_s + self.solve_s, self.learned
        if self.ready_s is None or now_s < self.ready_s:
            return None
        self.ready_s, self.rested_s = None, now_s
        if self.stand_by.resting(now_s):
            return None
        self.out = self.solving
        self.releases.append(now_s)
        return self.out


def play(first: Learner, second: Learner, lessons: list[tuple[float, int]], until_s: float, gone_s: float = 1e9):
    """Let both run; the first is gone from `gone_s` on."""
    now_s, heard = 0.0, list[tuple[float, int]]()
    while now_s < until_s:
        if now_s < gone_s and (to := first.step(lessons, now_s)) is not None:
            heard.append((now_s + second.lag_s + second.word_s, to))
        while heard and heard[0][0] <= now_s:
            second.stand_by = second.stand_by.hear(heard.pop(0)[1], now_s)
        if heard and second.word_s:
            second.stand_by = second.stand_by.reading(now_s)
        second.step(lessons, now_s)
        now_s += STEP_S


EVENING = [(float(s), s) for s in range(1, 600)]
QUIET = [(float(s), s) for s in (*range(1, 60), 400, 401, 402, *range(900, 905))]


@pytest.mark.parametrize("lessons", [EVENING, QUIET])
@pytest.mark.parametrize("solve_s", [0.5, 6.0, 17.0, CROWDED * SOLVE_S])
@pytest.mark.parametrize("lag_s", [0.0, 8.0, 100.0])
def test_while_the_first_is_at_work_the_second_never_releases(lessons, solve_s: float, lag_s: float) -> None:
    first, second = Learner(False, solve_s), Learner(True, solve_s, lag_s)
    play(first, second, lessons, 1000.0)
    assert len(first.releases) >= 3 and not second.releases


def test_a_stand_by_that_has_not_read_what_the_first_says_does_not_call_it_silent() -> None:
    first, second = Learner(False, 8.0), Learner(True, 1.0, 0.0, 200.0)
    play(first, second, EVENING, 600.0)
    assert len(first.releases) > 20 and not second.releases


def test_a_first_that_is_slower_than_the_patience_is_doubled_once_and_then_waited_for() -> None:
    first, second = Learner(False, 45.0), Learner(True, 1.0)
    play(first, second, EVENING, 600.0)
    assert len(first.releases) >= 8 and all(at < 70.0 for at in second.releases)


@pytest.mark.parametrize("gone_s", [0.0, 200.0])
def test_the_second_takes_over_from_one_that_is_gone(gone_s: float) -> None:
    first, second = Learner(False), Learner(True)
    play(first, second, EVENING, 600.0, gone_s)
    assert second.releases and gone_s + REST_S - 15 < second.releases[0] < gone_s + REST_MAX_S
    assert len(second.releases) > 20


def test_one_that_has_nobody_before_it_waits_for_nobody() -> None:
    only = Learner(False)
    play(Learner(False), only, EVENING, 20.0, 0.0)
    assert only.releases[0] < 15


def test_a_log_read_fast_is_released_sooner_but_within_its_share() -> None:
    assert pace.rest_s(0.1, 0.0) == pace.EVERY_S
    assert pace.rest_s(1.0, 0.0) == pytest.approx(9.0) and pace.rest_s(4.0, 0.5) == pytest.approx(6.0)
    assert pace.rest_s(60.0, 0.0) == pace.rest_s(60.0, 1.0) == LATEST_S < REST_S / 2
