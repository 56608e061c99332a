"""What calls share is kept for a moment; what is ruled away is gone at once all the same."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from rig import Stage, items

from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pipeline import Result, run
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.feed.sources import STOCK_AGE_US, Stocks
from holdfast.core.feed.viewer import Budget, Query


def _ask(stage: Stage, stocks: Stocks, now_us: int, n: int = 20) -> Result:
    budget = Budget(now_us, 7, Rung.REGIONAL)
    return run([Query("v", FeedRequest(n=n, request="r"))], stage.world, {}, budget, stocks)[0]


def test_a_ruling_and_a_publication_take_effect_at_once():
    stage, stocks = Stage(12), Stocks()
    now = stage.now + 1000
    assert "clip-3" in items(_ask(stage, stocks, now))
    stage.rule("clip-3", "remove")
    stage.publish("new", tags=["theme-1"])
    got = items(_ask(stage, stocks, now))
    assert "clip-3" not in got and "new" in got


def test_a_stock_serves_for_a_moment_and_gives_what_a_fresh_one_gives():
    stage, stocks = Stage(40), Stocks()
    now = stage.now + 1000
    first = stocks.of(stage.world, Budget(now, 7, Rung.REGIONAL), "")
    assert items(_ask(stage, stocks, now)) == items(_ask(stage, Stocks(), now))
    assert stocks.of(stage.world, Budget(now + STOCK_AGE_US - 1, 7, Rung.REGIONAL), "") is first
    for viewer in range(9):
        stage.view(f"app:fan-{viewer}", "clip-7")
    later = now + STOCK_AGE_US
    warm = stocks.of(stage.world, Budget(later, 7, Rung.REGIONAL), "")
    assert warm is not first and int(warm.heat.argmax()) == stage.world.catalogue.items.of["clip-7"]
    assert not warm.marks.any()
    without = Budget(later, 7, Rung.REGIONAL, without=frozenset({"debut"}))
    assert not stocks.of(stage.world, without, "").debuts.rows.size
