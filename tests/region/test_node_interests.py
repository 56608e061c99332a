"""Feeds to choose from and interests to steer, through HTTP: in two regions of one jurisdiction, one of them lost."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from noderig import Device, Rig, call, running

from holdfast.adapters import apikeys
from patience import until

EAST, WEST = "us-east", "us-west"
THEMES = ("tides", "rain", "kelp")
ITEMS = [
    {"item": f"clip-{i}", "creator": f"maker-{i % 5}", "caption": f"Clip {i}", "tags": [THEMES[i % 3]],
     "duration_ms": 6000, "url": f"https://example.org/{i}"}
    for i in range(45)
]  # fmt: skip


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("two"), {EAST: "US", WEST: "US"}) as rig:
        house = apikeys.make(rig.home, "house", ("items",))
        rig.acme = apikeys.make(rig.home, "acme", ("items", "events", "feed"), own=True)  # type: ignore[attr-defined]
        for key in (house, rig.acme):  # type: ignore[attr-defined]
            answer = call(rig, EAST, "PUT", "/v1/items", {"items": ITEMS}, bearer=key)
            assert answer.status == 200, answer.body
        for region in (EAST, WEST):
            for who in ({}, {"bearer": rig.acme}):  # type: ignore[attr-defined]
                last = lambda r=region, w=who: call(rig, r, "GET", "/v1/items/clip-44", **w)  # noqa: E731
                until(lambda last=last: last().json.get("verdict") == "allow", 30)
        yield rig


def tags(answer: Any) -> set[str]:
    assert answer.status == 200, answer.body
    return {i["tags"][0] for i in answer.json["items"]}


def mine(device: Device, region: str) -> Any:
    return call(device.rig, region, "GET", "/v1/me/interests", bearer=device.token).json


def test_a_topic_a_plain_and_a_following_feed_say_what_they_are(rig: Rig) -> None:
    me = Device(rig, EAST, 21)
    topic = me.feed(EAST, feed="topic", topic="kelp", n=5)
    assert tags(topic) == {"kelp"} and topic.json["feed"] == "topic"
    assert topic.json["reason"].startswith("Only videos about kelp.")
    nobody = me.feed(EAST, feed="following", n=5)
    assert nobody.json["feed"] == "for_you" and "Nobody you follow" in nobody.json["reason"]
    me.send(EAST, me.event("follow", creator="maker-2"))
    until(lambda: me.feed(EAST, feed="following", n=9).json["feed"] == "following")
    followed = me.feed(EAST, feed="following", n=9).json
    assert {i["creator"] for i in followed["items"]} == {"maker-2"} and len(followed["items"]) == 9
    plain = me.feed(EAST, feed="plain", n=5).json
    assert (plain["feed"], plain["rung"], plain["taste"]) == ("plain", "REGIONAL", [])
    assert plain["reason"].startswith("Not shaped to you") and "what you have seen" in plain["reason"]
    assert me.feed(EAST, feed="topic").json["field"] == "topic", "a topic feed names its topic"
    assert me.feed(EAST, feed="best").status == 422
    anyone = call(rig, EAST, "POST", "/v1/feed", {"feed": "topic", "topic": "rain", "n": 4})
    assert tags(anyone) == {"rain"} and anyone.json["public"]


def test_topics_are_listed_each_catalogue_its_own(rig: Rig) -> None:
    listed = call(rig, EAST, "GET", "/v1/topics").json["topics"]
    assert sorted(listed, key=lambda t: t["tag"]) == [{"tag": t, "videos": 15} for t in sorted(THEMES)]
    team = call(rig, EAST, "GET", "/v1/topics", bearer=rig.acme).json["topics"]  # type: ignore[attr-defined]
    assert {t["tag"] for t in team} == set(THEMES)


def test_what_a_viewer_says_holds_in_the_other_region_after_the_first_is_lost(rig: Rig) -> None:
    me = Device(rig, EAST, 22)
    for i in (1, 4):  # rain, watched to the end
        me.send(EAST, me.event("view", item=f"clip-{i}", dwell_ms=6000, duration_ms=6000))
    until(lambda: mine(me, EAST)["acts"] == 2)
    found = mine(me, EAST)
    assert [t["name"] for t in found["tags"]] == ["rain"] and found["tags"][0]["weight"] > 0
    assert {s["item"] for s in found["tags"][0]["sources"]} == {"clip-1", "clip-4"}
    assert found["tags"][0]["sources"][0]["did"] == "watched"
    said = me.send(
        EAST, me.event("interest", about="tag", name="tides", say="never"),
        me.event("interest", about="creator", name="maker-3", say="more"),
        me.event("reset", before=time.time_ns() // 1000),
    )  # fmt: skip
    assert said.status == 200, said.body
    for region in (EAST, WEST):
        until(lambda r=region: mine(me, r)["forgotten_before"] > 0)
        now = mine(me, region)
        assert [(t["name"], t["say"]) for t in now["tags"]] == [("tides", "never")] and now["acts"] == 0
        assert now["undo_until"] > now["now"]
    rig.cut(EAST)
    try:
        context = [{"item": "clip-1", "dwell_ms": 6000, "duration_ms": 6000, "age_s": 600}]
        slate = me.feed(WEST, n=40, context=context)
        assert tags(slate) == {"rain", "kelp"} and slate.json["taste"] == [], "never, and the past is forgotten"
        assert not {"clip-1", "clip-4"} & {i["item"] for i in slate.json["items"]}, "what was seen stays seen"
        body = {"item": "clip-0", "n": 10}
        missing = call(rig, WEST, "POST", "/v1/feed/why-not", body, bearer=me.token).json
        assert (missing["state"], missing["filter"]) == ("filtered", "never") and "never to see" in missing["sentence"]
        undone = call(rig, WEST, "PUT", "/v1/me/interests", {"forget_before": 0}, bearer=me.token)
        assert undone.status == 200 and undone.json["acts"] == 2, undone.body
        assert {t["name"] for t in undone.json["tags"]} == {"tides", "rain"}
    finally:
        rig.restore(EAST)
    until(lambda: mine(me, EAST)["acts"] == 2, 60)


def test_a_team_speaks_for_its_viewers_and_in_its_own_names(rig: Rig) -> None:
    key = rig.acme  # type: ignore[attr-defined]
    tell = [{"about": "tag", "name": "kelp", "say": "never"}, {"about": "creator", "name": "maker-1", "say": "never"}]
    told = call(rig, WEST, "PUT", "/v1/me/interests", {"viewer": "anna", "tell": tell}, bearer=key)
    assert told.status == 200, told.body
    assert [(i["name"], i["say"]) for i in (*told.json["tags"], *told.json["creators"])] == [
        ("kelp", "never"), ("maker-1", "never")
    ]  # fmt: skip
    slate = call(rig, WEST, "POST", "/v1/feed", {"viewer": "anna", "n": 40}, bearer=key)
    assert tags(slate) == {"tides", "rain"} and "maker-1" not in {i["creator"] for i in slate.json["items"]}
    stamp = time.time_ns() // 1000
    event = {"kind": "interest", "viewer": "anna", "outbox": 1, "stamp": stamp, **tell[0], "say": "more"}
    assert call(rig, WEST, "POST", "/v1/events", {"entries": [event]}, bearer=key).status == 200
    get = "/v1/me/interests?viewer=anna"
    until(lambda: call(rig, WEST, "GET", get, bearer=key).json["tags"][0]["say"] == "more")
    other = Device(rig, WEST, 23)
    assert mine(other, WEST)["tags"] == [], "nobody else's"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "tell"),
        ({"tell": [{"about": "tag", "name": "", "say": "more"}]}, "name"),
        ({"tell": [{"about": "tag", "name": "x" * 61, "say": "more"}]}, "name"),
        ({"tell": [{"about": "tag", "name": "x", "say": "most"}]}, "say"),
        ({"tell": [{"about": "person", "name": "x", "say": "more"}]}, "about"),
        ({"tell": [{"about": "tag", "name": "x", "say": "more"}] * 101}, "tell"),
        ({"forget_before": -1}, "forget_before"),
        ({"viewer": "anna", "forget_before": 1}, "viewer"),
    ],
)
def test_bad_wishes_are_refused_by_field(rig: Rig, body: Any, field: str) -> None:
    me = Device(rig, WEST, 24)
    answer = call(rig, WEST, "PUT", "/v1/me/interests", body, bearer=me.token)
    assert answer.status == 422 and answer.json["field"] == field, answer.body


def test_nobody_sees_or_changes_interests_without_saying_who(rig: Rig) -> None:
    assert call(rig, WEST, "GET", "/v1/me/interests").status == 401
    assert call(rig, WEST, "PUT", "/v1/me/interests", {"forget_before": 1}).status == 401
    key = rig.acme  # type: ignore[attr-defined]
    assert call(rig, WEST, "GET", "/v1/me/interests", bearer=key).json["field"] == "viewer"
    me, bad = Device(rig, WEST, 25), {"about": "tag", "name": "rain", "say": "more", "viewer": "anna"}
    assert me.send(WEST, me.event("interest", **bad)).json["field"] == "viewer", "a device speaks for itself only"


def test_a_creator_sees_how_the_first_viewers_come(rig: Rig) -> None:
    acme = rig.acme  # type: ignore[attr-defined]
    path = "/v1/me/videos?creator=newcomer"
    new = {"item": "new", "creator": "newcomer", "caption": "First one", "tags": ["kelp"], "duration_ms": 6000}
    assert call(rig, EAST, "PUT", "/v1/items", {"items": [new]}, bearer=acme).status == 200
    (line,) = call(rig, EAST, "GET", path, bearer=acme).json["videos"]
    assert (line["item"], line["verdict"], line["debut"]["state"]) == ("new", "allow", "running")
    assert (line["debut"]["met"], line["debut"]["owed"]) == (0, 20) and line["debut"]["since"] > 0
    views = [
        {"kind": "view", "viewer": f"fan-{k}", "outbox": 1, "item": "new", "dwell_ms": 6000, "duration_ms": 6000,
         "stamp": time.time_ns() // 1000}
        for k in range(20)
    ]  # fmt: skip
    assert call(rig, EAST, "POST", "/v1/events", {"entries": views[:7]}, bearer=acme).status == 200
    debut = lambda region: call(rig, region, "GET", path, bearer=acme).json["videos"][0]["debut"]  # noqa: E731
    until(lambda: debut(EAST)["met"] == 7 and "7 of its first 20" in debut(EAST)["words"])
    until(lambda: debut(WEST)["met"] == 7, 30)  # and so does any region of the jurisdiction
    assert call(rig, EAST, "POST", "/v1/events", {"entries": views[7:]}, bearer=acme).status == 200
    until(lambda: debut(EAST)["state"] == "reached")
    ours = call(rig, EAST, "GET", "/v1/me/videos?creator=maker-1", bearer=acme).json
    assert ours["all"] == 9 and {v["item"] for v in ours["videos"]} == {f"clip-{i}" for i in range(1, 45, 5)}


def test_only_ones_own_videos_are_told(rig: Rig) -> None:
    me = Device(rig, EAST, 31)
    own = call(rig, EAST, "GET", "/v1/me/videos", bearer=me.token)
    assert (own.status, own.json["videos"], own.json["all"]) == (200, [], 0)
    assert call(rig, EAST, "GET", "/v1/me/videos?creator=maker-1", bearer=me.token).status == 422
    assert call(rig, EAST, "GET", "/v1/me/videos").status == 401
    assert call(rig, EAST, "GET", "/v1/me/videos", bearer=rig.acme).json["field"] == "creator"  # type: ignore[attr-defined]
