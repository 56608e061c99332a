"""A request's rules and the border between tenants, through the real fold and the whole pipeline."""

import msgspec
import numpy as np
import pytest
from rig import Stage, T, items

from holdfast.core import catalogue, tenants
from holdfast.core.feed import lists, rules
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pipeline import run
from holdfast.core.feed.rules import Rules
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.feed.viewer import Budget, Query, Trial
from holdfast.core.feed.whynot import why_not


def ask(stage: Stage, tenant: str = "", viewer: str = "v", trial: Trial | None = None, **request) -> list[str]:
    budget = Budget(stage.now + 1000, 7, Rung.REGIONAL, ())
    query = Query(viewer, FeedRequest(**request), tenant, trial or Trial())
    return items(run([query], stage.world, {}, budget)[0])


def two_tenants() -> Stage:
    stage = Stage(12)
    for tenant in ("acme", "beta"):
        for k in range(10):
            stage.publish(f"{tenant}:clip-{k}", tags=[f"theme-{k % 2}"], creator=f"{tenant}:creator-{k % 3}")
    return stage


def test_names_go_in_and_out() -> None:
    for tenant, own in [("", "clip-1"), ("acme", "clip-1"), ("a1", "A.b_c-d")]:
        full = tenants.inner(tenant, own)
        assert (tenants.tenant_of(full), tenants.outer(full)) == (tenant, own)
    for tenant, tag in [("", "jazz"), ("", "a:b"), ("", ":"), ("acme", "jazz"), ("acme", "a:b")]:
        assert tenants.tag_shown(tenants.tag_in(tenant, tag)) == tag
    assert tenants.tag_in("", "acme:jazz") != tenants.tag_in("acme", "jazz")
    assert tenants.creator_shown("acme", "acme:b:1") == "b:1" and tenants.creator_shown("", "a:b") == "a:b"


def test_a_slate_holds_one_tenant_whoever_shares_the_call() -> None:
    stage = two_tenants()
    wanted = ["", "acme", "beta", "acme", "nobody"]
    queries = [Query(f"v{i}", FeedRequest(n=50), tenant) for i, tenant in enumerate(wanted)]
    found = run(queries, stage.world, {}, Budget(stage.now, 7, Rung.REGIONAL, ("clip-1", "acme:clip-1")))
    for tenant, result in zip(wanted, found, strict=True):
        assert {tenants.tenant_of(item) for item in items(result)} == ({tenant} if tenant != "nobody" else set())
    assert [len(items(result)) for result in found] == [12, 10, 10, 10, 0]


def test_following_a_name_of_another_tenant_leads_nowhere() -> None:
    from holdfast.core.entries import Follow

    stage = two_tenants()
    stage.world.apply(Follow(**stage.id("v"), creator="acme:creator-1"))
    assert {tenants.tenant_of(item) for item in ask(stage, "beta", n=50)} == {"beta"}


def test_tags_of_two_tenants_are_two_tags() -> None:
    c = two_tenants().world.catalogue
    assert {"theme-0", "acme:theme-0", "beta:theme-0"} <= set(c.tags.of)
    assert rules.tagged(["theme-0"], c, "acme").sum() == 5 and not rules.tagged(["theme-0"], c, "nobody").any()


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        (Rules(any_tags=["a", "c"]), "013"),
        (Rules(all_tags=["a", "b"]), "1"),
        (Rules(no_tags=["b"]), "034"),
        (Rules(any_tags=["none"]), ""),
        (Rules(creators=["x"]), "02"),
        (Rules(no_creators=["x"], no_tags=["c"]), "14"),
        (Rules(after=T + 4_500), "234"),
        (Rules(before=T + 4_500), "01"),
        (Rules(max_per_creator=1, boost={"a": 1.0}), "01234"),
    ],
)
def test_what_each_rule_admits(rule: Rules, passes: str) -> None:
    stage = Stage(0)
    for k, (tags, creator) in enumerate([("a", "x"), ("ab", "y"), ("b", "x"), ("c", "y"), ("", "z")]):
        stage.publish(f"clip-{k}", tags=list(tags), creator=creator)  # published at T + 2, 4, … ms
    found = np.flatnonzero(rules.admits(rule, stage.world.catalogue, "")).tolist()
    names = [stage.world.catalogue.items.all[row][-1] for row in found]
    assert "".join(names) == passes


def test_a_boost_moves_and_a_cap_holds() -> None:
    stage = Stage(60, themes=6)

    def of_theme(found: list[str]) -> int:
        return sum(int(item.removeprefix("clip-")) % 6 == 2 for item in found)

    up, down = ({"boost": {"theme-2": weight}} for weight in (1.0, -1.0))
    plain = of_theme(ask(stage, n=10))
    assert of_theme(ask(stage, n=10, rules=Rules(**down))) < plain < of_theme(ask(stage, n=10, rules=Rules(**up)))
    c = stage.world.catalogue
    for most in (1, 2):
        capped = ask(stage, n=40, rules=Rules(max_per_creator=most))
        counts = np.bincount([c.creator[c.items.of[item]] for item in capped])
        assert counts.max() == most and len(capped) == 12 * most


def test_a_pin_stands_first_unless_a_filter_removes_it() -> None:
    stage = Stage(30)
    wanted = Rules(pin=["clip-3", "clip-4", "clip-5", "no-such"])
    assert ask(stage, n=5, rules=wanted)[:3] == ["clip-3", "clip-4", "clip-5"]
    stage.view("v", "clip-3")
    stage.hide("v", "clip-4")
    stage.rule("clip-5", "remove")
    got = ask(stage, n=5, rules=wanted)
    assert len(got) == 5 and not {"clip-3", "clip-4", "clip-5"} & set(got)
    narrowed = ask(stage, n=5, rules=Rules(pin=["clip-6", "clip-7"], any_tags=["theme-1"]))
    assert narrowed[0] == "clip-7" and "clip-6" not in narrowed


def test_rules_are_bounded_and_read_exactly() -> None:
    for bad in ({"boost": {"a": 1.5}}, {"pin": ["a"] * 6}, {"any_tags": [""]}, {"max_per_creator": -1}, {"x": 1},
                {"pin": ["acme:a"]}):  # fmt: skip
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(bad, Rules)


def test_an_arms_factors_change_the_order() -> None:
    stage = Stage(30)
    for k in range(8):
        stage.like(f"app:fan-{k}", "clip-9")
    assert ask(stage, n=3)[0] == "clip-9"
    cold = ask(stage, n=30, trial=Trial({"x": "b"}, {"heat": 0.0}))
    assert cold.index("clip-9") > 0


def test_why_not_tells_each_case_apart() -> None:
    stage = Stage(40)
    stage.publish("acme:secret", tags=["theme-1"], creator="acme:c")
    stage.publish("waits", tags=["theme-1"], verdict="ask")
    stage.publish("few", tags=["theme-1"], verdict="limit")
    stage.publish("unruled", tags=["theme-1"], verdict="")
    stage.view("v", "clip-1")
    stage.hide("v", "clip-2")

    def said(item: str, **request) -> tuple[str, str]:
        def look(query: Query):
            return run([query], stage.world, {}, Budget(stage.now, 7, Rung.REGIONAL, ()))[0]

        answer = why_not(item, Query("v", FeedRequest(**request)), stage.world, stage.now, look)
        assert answer.sentence.endswith(".")
        return answer.state, answer.filter

    cases = {"nothing": ("unknown", ""), "clip-1": ("filtered", "seen"), "clip-2": ("filtered", "hidden")}
    cases.update(dict.fromkeys(("waits", "few", "unruled"), ("filtered", "ruled")))
    assert {item: said(item) for item in cases} == cases
    assert said("clip-3", rules=Rules(no_tags=["theme-3"])) == ("filtered", "rules")
    states = [said(f"clip-{k}", n=5)[0] for k in range(40)]
    assert states.count("offered") == 5 and states.count("ranked") == 33 and states.count("filtered") == 2


def test_similar_is_by_tags_and_creator_until_someone_watched() -> None:
    stage = two_tenants()
    c = stage.world.catalogue
    row = c.items.of["acme:clip-0"]
    found = lists.similar(stage.world, row, "acme", 50, None)
    assert row not in [line.row for line in found]
    assert {tenants.tenant_of(c.items.all[line.row]) for line in found} == {"acme"}
    first = c.items.all[found[0].row]
    assert first == "acme:clip-6", "the same tag and the same creator"
    assert [line.score for line in found] == sorted((line.score for line in found), reverse=True)


def test_trending_is_warmest_first_and_may_be_narrowed() -> None:
    stage = Stage(12, themes=3)
    for k in range(5):
        stage.like(f"app:fan-{k}", "clip-7")
    stage.like("app:fan-0", "clip-2")
    rows = [line.row for line in lists.trending(stage.world, "", 12)]
    assert [stage.world.catalogue.items.all[row] for row in rows[:2]] == ["clip-7", "clip-2"] and len(rows) == 12
    only = lists.trending(stage.world, "", 12, Rules(any_tags=["theme-2"]))
    assert stage.world.catalogue.items.all[only[0].row] == "clip-2" and len(only) == 4


def test_invented_names_of_one_tenant_leave_room_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "TENANT_UNPUBLISHED_MAX", 5)
    stage = Stage(0)
    for k in range(9):
        stage.view("acme:v", f"acme:invented-{k}")
    stage.view("beta:v", "beta:soon")
    stage.view("v", "soon")
    c = stage.world.catalogue
    assert [tenants.tenant_of(name) for name in c.items.all] == ["acme"] * 5 + ["beta", ""]
    stage.publish("acme:invented-0", tags=["a"], creator="acme:c")
    stage.view("acme:v", "acme:invented-9")
    assert c.items.of["acme:invented-9"] == 7, "a name that is published takes no room"
