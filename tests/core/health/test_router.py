"""The router keeps the fence, leaves at once, returns after calm, and keeps within its hedging budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import Refused
from holdfast.core.health.detector import REST_MAX_S
from holdfast.core.health.router import CALM_S, Place, Router

EAST, WEST, EU = (
    Place("us-east", "US", "http://a"), Place("us-west", "US", "http://b"), Place("eu-west", "EU", "http://c"),
)  # fmt: skip


def names(places: list[Place]) -> list[str]:
    return [p.name for p in places]


@given(st.lists(st.tuples(st.sampled_from(["us-east", "us-west", "eu-west"]), st.booleans()), max_size=40))
def test_a_foreign_region_is_never_a_candidate(history: list[tuple[str, bool]]) -> None:
    router = Router("US", [EU, EAST, WEST])
    for i, (name, good) in enumerate(history):
        vantage = router.vantages[name]
        vantage.good(0.01, float(i)) if good else vantage.bad(float(i))
        router.settle(float(i))
        assert {p.jurisdiction for p in router.candidates(float(i))} <= {"US"}
        assert router.active in ("us-east", "us-west")


def test_it_leaves_at_once_and_returns_only_after_calm() -> None:
    router = Router("US", [EAST, WEST, EU])
    router.vantages["us-east"].bad(10.0)
    assert router.settle(10.0) and router.active == "us-west"
    router.vantages["us-east"].good(0.01, 12.0)
    assert not router.settle(12.0 + CALM_S - 0.1) and router.active == "us-west"
    assert router.settle(12.0 + CALM_S) and router.active == "us-east"


def test_with_no_other_choice_a_region_just_back_is_taken() -> None:
    router = Router("EU", [EAST, WEST, EU])
    router.vantages["eu-west"].bad(10.0)
    assert router.candidates(10.0) == [] and names(router.foreign()) == ["us-east", "us-west"]
    router.vantages["eu-west"].good(0.01, 11.0)
    assert names(router.candidates(11.0)) == ["eu-west"]


def test_a_region_that_asks_to_be_left_alone_is() -> None:
    router = Router("US", [EAST, WEST, EU])
    router.vantages["us-east"].rest(2.0, 10.0)
    assert names(router.candidates(11.9)) == ["us-west"] and names(router.candidates(12.0)) == ["us-east", "us-west"]
    assert not router.settle(11.0), "a moment's rest is no move"
    router.vantages["us-west"].rest(1e9, 10.0)
    assert router.candidates(11.0) == [], "asking all the same would only add to it"
    assert names(router.candidates(10.0 + REST_MAX_S)) == ["us-east", "us-west"], "no region sends people away for good"


def test_an_unknown_jurisdiction_is_refused() -> None:
    with pytest.raises(Refused):
        Router("JP", [EAST, WEST])


def test_a_region_that_answers_some_is_better_than_none() -> None:
    router = Router("US", [EAST, WEST, EU])
    router.vantages["us-east"].beaten(10.0)
    assert router.settle(10.0) and names(router.candidates(10.0)) == ["us-west"]
    router.vantages["us-west"].bad(11.0)
    assert names(router.candidates(11.0)) == ["us-east"]
    router.vantages["us-east"].owed = 0  # dark, not gray
    assert router.candidates(11.0) == []
