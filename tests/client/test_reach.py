"""The staggered race, with regions played by plain functions: who is asked when, and who wins."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from holdfast.adapters.aio.calls import Busy, Calls, Unreachable
from holdfast.client.reach import Reach
from holdfast.core.errors import Degraded, Refused
from holdfast.core.health.budget import KEPT, SAVED_FIRST
from holdfast.core.health.detector import DEAF_MAX_S, PATIENCE_MAX_S, PATIENCE_MIN_S
from holdfast.core.health.router import Place, Router
from patience import SLOW, until

A, B = Place("us-east", "US", "http://a"), Place("us-west", "US", "http://b")


Shots = dict[str, Callable[[], Awaitable[str]]]


def race(answers: Shots, *, hedge: int = 0, deadline_s: float = 3.0, saved: float = SAVED_FIRST):
    """Return (answer, who was asked in order, who was suspected, seconds it took)."""

    async def run():
        asked: list[str] = []
        suspected: list[str] = []
        reach = Reach(Router("US", [A, B]), Calls(), suspected.append)
        reach.router.budget.saved = saved

        async def shot(place: Place) -> str:
            asked.append(place.name)
            return await answers[place.name]()

        begun_s = time.monotonic()
        try:
            _, answer = await reach.race(shot, [A, B], deadline_s, hedge=hedge)
        except (Degraded, Refused) as e:
            answer = e
        return answer, asked, suspected, time.monotonic() - begun_s

    return asyncio.run(run())


async def quick() -> str:
    return "well"


async def slow() -> str:
    await asyncio.sleep(0.2)
    return "late"


async def silent() -> str:
    await asyncio.sleep(60)
    return "never"


async def gone() -> str:
    raise Unreachable("connection refused")


async def refuses() -> str:
    raise Refused("the request is wrong", field="n")


def test_a_region_that_is_well_is_the_only_one_asked() -> None:
    assert race({"us-east": quick, "us-west": quick})[:3] == ("well", ["us-east"], [])


def test_silence_starts_the_next_within_patience() -> None:
    answer, asked, suspected, took_s = race({"us-east": silent, "us-west": quick}, deadline_s=60.0)
    assert (answer, asked, suspected) == ("well", ["us-east", "us-west"], ["us-east"])
    assert took_s < PATIENCE_MAX_S + 2.0 or until(  # once is enough: a busy machine may look late
        lambda: race({"us-east": silent, "us-west": quick}, deadline_s=60.0)[3] < PATIENCE_MAX_S + 2.0
    )


def test_a_refused_connection_starts_the_next_at_once() -> None:
    answer, _, suspected, took_s = race({"us-east": gone, "us-west": quick})
    assert (answer, suspected) == ("well", ["us-east"])
    assert took_s < PATIENCE_MIN_S or until(lambda: race({"us-east": gone, "us-west": quick})[3] < PATIENCE_MIN_S)


def test_a_slow_region_is_hedged_within_the_budget_only() -> None:
    assert race({"us-east": silent, "us-west": quick}, hedge=2, saved=KEPT + 1.0)[:3] == (
        "well", ["us-east", "us-west"], []
    )  # fmt: skip
    assert race({"us-east": slow, "us-west": quick}, hedge=2, saved=KEPT)[:3] == ("late", ["us-east"], [])


async def busy() -> str:
    raise Degraded("not now", retry_after_s=2.5)


def test_without_budget_one_region_is_all_that_is_asked() -> None:
    answer, asked, suspected, _ = race({"us-east": gone, "us-west": quick}, saved=0.0)
    assert isinstance(answer, Degraded) and (asked, suspected) == (["us-east"], ["us-east"])
    answer, asked, _, took_s = race({"us-east": silent, "us-west": quick}, saved=0.5, deadline_s=1.2)
    assert isinstance(answer, Degraded) and asked == ["us-east"] and took_s >= 1.2


def test_a_busy_region_rests_and_a_degraded_one_does_not() -> None:
    async def busy_once() -> str:
        raise Busy("too much to do", retry_after_s=3.0)

    async def run(shot: Callable[[], Awaitable[str]]) -> list[str]:
        reach = Reach(Router("US", [A, B]), Calls())
        with suppress(Degraded):
            await reach.race(lambda place: shot(), [A], 1.0)
        return [p.name for p in reach.router.candidates(time.monotonic())]

    assert asyncio.run(run(busy_once)) == ["us-west"]
    assert asyncio.run(run(busy)) == ["us-east", "us-west"], "what it cannot give, it may still give to others"


def test_what_a_busy_region_asks_for_is_handed_on() -> None:
    answer, asked, suspected, _ = race({"us-east": busy, "us-west": gone})
    assert isinstance(answer, Degraded) and answer.retry_after_s == 2.5 and asked == ["us-east", "us-west"]
    assert suspected == ["us-west"], "a region that says `not now` is there"
    answer = race({"us-east": gone, "us-west": gone})[0]
    assert isinstance(answer, Degraded) and answer.retry_after_s == 0.0


def test_a_refusal_is_the_callers_and_asks_nobody_else() -> None:
    answer, asked, suspected, _ = race({"us-east": refuses, "us-west": quick})
    assert isinstance(answer, Refused) and asked == ["us-east"] and suspected == []


def test_when_all_fail_or_the_deadline_passes_it_is_degraded() -> None:
    assert isinstance(race({"us-east": gone, "us-west": gone})[0], Degraded)
    answer, _, suspected, took_s = race({"us-east": silent, "us-west": silent}, deadline_s=3.0)  # a pause is no flaw
    assert isinstance(answer, Degraded) and took_s < 5.0 * SLOW and suspected == ["us-east", "us-west"]


def test_a_bug_is_not_mistaken_for_trouble() -> None:
    async def bug() -> str:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        race({"us-east": bug, "us-west": quick})


def test_a_region_that_answers_others_is_slow_not_gone() -> None:
    """One call hangs while the region answers others, and nobody else answers it: nobody is accused."""

    async def run() -> list[str]:
        suspected: list[str] = []
        reach = Reach(Router("US", [A, B]), Calls(), suspected.append)

        async def chatter() -> None:
            while True:
                await reach.race(lambda p: quick(), [A], 1.0)
                await asyncio.sleep(0.1)

        talking = asyncio.create_task(chatter())
        with pytest.raises(Degraded):
            await reach.race(lambda p: silent(), [A], 2 * PATIENCE_MAX_S)
        talking.cancel()
        return suspected

    assert asyncio.run(run()) == []


def test_one_that_could_not_listen_does_not_accuse() -> None:
    """The answer is there after 0.4 s, but our own loop sleeps: that silence is ours."""

    async def run() -> list[str]:
        suspected: list[str] = []
        reach = Reach(Router("US", [A]), Calls(), suspected.append)

        async def shot(place: Place) -> str:
            await asyncio.sleep(0.2)
            time.sleep(PATIENCE_MIN_S)  # noqa: ASYNC251  the whole process is busy
            await asyncio.sleep(0.1)
            return "well"

        await reach.race(shot, [A], 4.0)
        return suspected

    assert asyncio.run(run()) == []


def test_a_deaf_observer_still_leaves_in_time() -> None:
    vantage = Router("US", [A]).vantages["us-east"]
    silence_s = PATIENCE_MAX_S + DEAF_MAX_S
    assert vantage.silence_s(0.0, silence_s, deaf_s=60.0) >= vantage.patience_s(), "in time, come what may"


def gray(first: Callable[[], Awaitable[str]], second: Callable[[], Awaitable[str]], *, foreign: bool = False):
    """Race two regions while the first one answers health checks; return (winner, who was suspected, owed answers)."""

    async def run():
        suspected: list[str] = []
        other = Place("eu-west", "EU", "http://c") if foreign else B
        reach = Reach(Router("US", [A, other]), Calls(), suspected.append)
        reach.router.budget.saved = KEPT + 2.0

        async def health() -> None:
            while True:
                reach.router.vantages["us-east"].good(0.01, time.monotonic())
                await asyncio.sleep(0.02)

        checks = asyncio.create_task(health())
        try:
            place, _ = await reach.race(lambda p: first() if p is A else second(), [A, other], 60.0, hedge=2)
            await asyncio.gather(*reach._late)
            return place.name, suspected, reach.router.vantages["us-east"].owed
        finally:
            checks.cancel()
            await reach.aclose()

    return asyncio.run(run())


def test_health_checks_do_not_excuse_what_another_region_answers() -> None:
    winner, suspected, owed = gray(silent, quick)
    assert (winner, suspected) == ("us-west", ["us-east"]) and owed > 0


def test_a_loser_that_answers_a_little_later_is_not_accused() -> None:
    assert gray(slow, quick)[1:] == ([], 0)


def test_a_foreign_region_is_asked_less_and_proves_nothing() -> None:
    assert gray(silent, quick, foreign=True) == ("eu-west", [], 0)


def test_who_is_heard_out_is_let_go_at_the_end() -> None:
    async def run() -> int:
        reach = Reach(Router("US", [A, B]), Calls())
        reach.router.budget.saved = KEPT + 2.0
        await reach.race(lambda p: silent() if p is A else quick(), [A, B], 60.0, hedge=2)
        assert len(reach._late) == 1
        await reach.aclose()
        return sum(not t.done() for t in asyncio.all_tasks()) - 1

    assert asyncio.run(run()) == 0
