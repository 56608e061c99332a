"""The cost table: what a call cannot afford is dropped before it, the least missed first."""

import pytest

from holdfast.core.feed.budget import plan

CALL_US = 200_000.0


def test_what_is_least_missed_goes_first_and_no_more_than_must():
    dropped = [plan(budget, 10, 100_000) for budget in range(60_000, 0, -500)]
    order = [names for at, names in enumerate(dropped) if not at or names != dropped[at - 1]]
    said = [set(), {"why"}, {"why", "debut"}, {"why", "debut", "network"}, {"why", "debut", "network", "next"}]
    assert [set(names) for names in order] == said


@pytest.mark.parametrize("items", [1_000, 100_000, 1_000_000])
def test_a_batch_that_gathers_keeps_its_network_whatever_the_catalogue_holds(items):
    assert "network" not in plan(CALL_US, 32, items)


def test_where_no_network_can_be_kept_a_million_videos_cost_linear_its_scores():
    assert plan(CALL_US / 4, 16, 1_000_000) == {"why", "debut", "network", "next"}
    assert "next" not in plan(CALL_US / 4, 16, 100_000)
