"""A town's day in numbers: everything the feed says of a fixed little world, compared with what was written down.

`story.json` was written by `python tests/core/feed/test_story.py` and read by a person; whoever changes a formula on
purpose writes it anew and reads the difference. Numbers may differ in their last digits from machine to machine.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rig import S, Stage

from holdfast.core.entries import Comment, Counts, Follow, Interest, ItemCounts, Reset, Retraction, Share, Skip
from holdfast.core.feed import debut, diversity, lists, why
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pipeline import Result
from holdfast.core.feed.predict import Eligible
from holdfast.core.feed.rules import Rules
from holdfast.core.feed.shapes import ContextEvent, FeedRequest
from holdfast.core.feed.viewer import Query
from holdfast.core.feed.whynot import why_not
from holdfast.core.feed.world import World

STORY = Path(__file__).with_name("story.json")
HOUR = 3600 * S


class Liking:
    """A model that likes by a fixed table, a different number for every item."""

    trust, parts = 0.6, ("next",)

    def __init__(self, world: World) -> None:
        self.world = world

    def read(self, histories: Any) -> "Liking":
        return self

    def _of(self, rows: Any) -> Any:
        return ((rows * 37) % 101).astype(np.float32) / 101

    def retrieve(self, k: int, eligible: list[Eligible]) -> list[tuple[Any, Any]]:
        out = []
        for one in eligible:
            open_ = one.allowed.copy()
            open_[one.barred] = False
            rows = np.flatnonzero(open_)
            best = np.argsort(-self._of(rows), kind="stable")[:k]
            out.append((rows[best], self._of(rows)[best]))
        return out

    def score(self, rows: list[Any]) -> list[Any]:
        return [self._of(r)[:, None] for r in rows]

    def because(self, history: Any, rows: Any) -> list[tuple[int, float]]:
        return [(0, 0.5) if history.rows.size else (-1, 0.0)] * len(rows)


def town() -> Stage:
    """Forty clips of five themes, a dozen viewers with tastes, two hours of watching, and news from abroad."""
    stage = Stage(40, themes=5)
    for k in range(40):  # so that no two are equally warm
        for j in range(1 + k % 7):
            stage.view(f"crowd-{k}-{j}", f"clip-{k}", 6000 if (k * 3 + j) % 4 else 900)
        stage.now += 40 * S
    for v in range(6):
        for k in range(v, 40, 6 + v):
            result = stage.ask(f"anna-{v}", at_most="REGIONAL", n=4)
            stage.served(result)
            for chosen in result.chosen[: 2 + v % 2]:
                stage.view(f"anna-{v}", chosen.item, 5000 if chosen.row % 5 == v % 5 else 700)
            if k % 4 == 0:
                stage.like(f"anna-{v}", result.chosen[0].item)
            stage.now += 61 * S
    world = stage.world
    for entry in (
        Follow(**stage.id("anna-0"), creator="creator-3"),
        Comment(**stage.id("anna-1"), item="clip-7", text="well"),
        Share(**stage.id("anna-2"), item="clip-9"),
        Skip(**stage.id("anna-0"), item="clip-11"),
        Interest(**stage.id("anna-1"), about="tag", name="theme-2", say="more"),
        Interest(**stage.id("anna-1"), about="creator", name="creator-4", say="never"),
        Reset(**stage.id("anna-4"), before=stage.now - HOUR // 2),
        Retraction(**stage.id("creator-5"), item="clip-5"),
        Counts(**stage.id("n-eu"), jurisdiction="EU", items=[
            ItemCounts("clip-2", 900, 400, 60), ItemCounts("clip-13", 500, 20, 3),
        ]),
    ):  # fmt: skip
        world.apply(entry)
    stage.hide("anna-0", "clip-12")
    stage.like("anna-2", "clip-9")
    stage.like("anna-2", "clip-9", on=False)
    stage.rule("clip-17", "limit")
    stage.rule("clip-18", "remove")
    stage.publish("new-1", tags=["theme-1"], creator="newcomer")
    stage.publish("new-2", tags=["theme-9"], creator="creator-3")
    for k in range(9):
        stage.view(f"first-{k}", "new-2", 6000 if k % 3 else 700)
    return stage


def told(stage: Stage, viewer: str, rung: Rung, **request: Any) -> dict[str, Any]:
    predict = Liking(stage.world)
    result = stage.ask(viewer, predict, rung, ("clip-1", "clip-18", "clip-3", "abroad"), **request)
    said = why.items(result, stage.world, predict if rung is Rung.LINEAR else None)
    return {
        "rung": result.rung.name, "rewatch": result.rewatch, "retrieved": result.retrieved,
        "chosen": [[c.item, c.source, c.how, float(c.score), [float(p) for p in c.parts], float(c.propensity)]
                   for c in result.chosen],
        "removed": {name: int(rows.size) for name, rows in result.removed.items()},
        "why": [[i.item, i.why.sentence, [[f.name, float(f.value)] for f in i.why.features], i.likes, i.views]
                for i in said],
        "taste": [[t.tag, float(t.weight)] for t in why.taste(result.viewer.history, stage.world.catalogue)],
        "exploring": float(diversity.exploring(result.viewer)),
    }  # fmt: skip


def story() -> dict[str, Any]:
    """Everything that is written down."""
    stage = town()
    world, c = stage.world, stage.world.catalogue
    out: dict[str, Any] = {}
    seen = [f"clip-{k}" for k in range(30)]
    context = [ContextEvent(item="clip-6", action="like", age_s=5), ContextEvent(item="clip-8", dwell_ms=6000, age_s=2)]
    for v in range(5):
        out[f"linear {v}"] = told(stage, f"anna-{v}", Rung.LINEAR, request=f"r{v}")
    out["regional"] = told(stage, "anna-1", Rung.REGIONAL, request="q")
    out["public"] = told(stage, "", Rung.LINEAR, request="p", n=6)
    out["shelf"] = told(stage, "anna-0", Rung.SHELF)
    out["with context"] = told(stage, "stranger", Rung.LINEAR, context=context, seen=seen, request="c")
    out["all seen"] = told(stage, "anna-3", Rung.LINEAR, seen=[f"clip-{k}" for k in range(40)] + ["new-1", "new-2"])
    for feed in ("following", "plain", "topic"):
        out[feed] = told(stage, "anna-0", Rung.LINEAR, feed=feed, topic="theme-1" if feed == "topic" else "")
    rules = Rules(no_tags=["theme-4"], boost={"theme-1": 2.0}, max_per_creator=1, pin=["clip-20"])
    out["rules"] = told(stage, "anna-2", Rung.LINEAR, rules=rules, n=8)
    out["trending"] = [[c.items.all[one.row], one.score] for one in lists.trending(world, "", 8)]
    out["similar"] = [[c.items.all[o.row], o.score, o.sentence]
                      for o in lists.similar(world, c.items.of["clip-6"], "", 6, Liking(world))]  # fmt: skip
    out["heat"] = [float(h) for h in c.heat(stage.now)]
    out["totals"] = [c.totals(row) for row in range(c.n)]
    plan = debut.plan(world, c.allowed(), stage.now)
    urges = [[c.items.all[r], float(u)] for r, u in zip(plan.rows, plan.urge_of(plan.rows), strict=True)]
    out["debuts"] = [float(plan.share), float(plan.level), float(plan.usual), urges]
    rows = np.arange(c.n)
    columns = ("views", "long_views", "likes", "comments", "shown_views", "shown_long", "shown_likes", "qualified",
               "debut_shown", "debut_long", "debut_hidden", "foreign_views", "foreign_long", "foreign_likes", "verdict",
               "warm_views", "warm_long", "warm_likes")  # fmt: skip
    out["columns"] = {name: getattr(c, name)[: c.n].tolist() for name in columns}
    out["profiles"] = {
        name: [len(p.seen), sorted(p.hidden), sorted(p.likes), len(p.events), len(p.aside), p.said()]
        for name, p in sorted(world.profiles.items()) if name.startswith("anna")
    }
    out["reception"] = [float(x) for x in debut.reception(rows, c, plan.usual)]
    query = Query("anna-0", FeedRequest(n=5))

    def ask(q: Query) -> Result:
        return stage.ask("anna-0", Liking(world), n=min(q.ask.n, 100))

    out["why not"] = [
        [item, w.state, w.filter, w.place, float(w.score), float(w.needed)]
        for item in ("clip-5", "clip-12", "clip-17", "clip-18", "clip-21", "clip-30", "nothing")
        for w in [why_not(item, query, world, stage.now, ask)]
    ]  # fmt: skip
    return json.loads(json.dumps(out))


def differences(mine: Any, theirs: Any, path: str = "") -> list[str]:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        keys = sorted({*mine, *theirs})
        return [d for k in keys for d in differences(mine.get(k), theirs.get(k), f"{path}/{k}")]
    if isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        return [d for k, (a, b) in enumerate(zip(mine, theirs, strict=True)) for d in differences(a, b, f"{path}/{k}")]
    numbers = isinstance(mine, float) and isinstance(theirs, int | float) and not isinstance(theirs, bool)
    same = mine == pytest.approx(theirs, abs=2e-4, rel=2e-4) if numbers else mine == theirs
    return [] if same else [f"{path}: {mine} is not {theirs}"]


def test_the_town_is_told_as_it_was_written_down() -> None:
    found = differences(story(), json.loads(STORY.read_text()))
    assert not found, "\n".join(found[:20])


if __name__ == "__main__":
    sys.stdout.write("written\n")
    STORY.write_text(json.dumps(story(), indent=0, ensure_ascii=False) + "\n")
