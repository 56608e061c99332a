"""Teams behind one real region: what is one's own stays one's own; rules, lists, reasons and experiments by API."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from noderig import Answer, Device, Rig, call, running

from holdfast.adapters import apikeys
from holdfast.client import Place, Team
from holdfast.core.feed.shapes import SlateItem
from patience import until

EAST = "us-east"
ALL = ("items", "events", "feed", "rulings", "experiments")
TAGS = ("folk", "jazz", "rock")
ROOM = 200  # items that a team may have here


def songs(mark: str, n: int = 18) -> list[dict[str, Any]]:
    return [
        {"item": f"song-{i}", "creator": f"band-{i % 4}", "caption": f"{mark} {i}", "tags": [TAGS[i % 3]],
         "duration_ms": 6000, "url": f"https://{mark}.example/{i}"}
        for i in range(n)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("teams")


@pytest.fixture(scope="module")
def rig(folder: Path) -> Iterator[Rig]:
    with running(folder, {EAST: "US"}, tenant_items=ROOM) as rig:
        yield rig


@pytest.fixture(scope="module")
def keys(rig: Rig) -> dict[str, str]:
    """Three keys: two teams of their own, and one that publishes for the platform; each has put its songs."""
    made = {team: apikeys.make(rig.home, team, ALL, own=True) for team in ("acme", "beta")}
    made["house"] = apikeys.make(rig.home, "house", ALL)
    for team, key in made.items():
        until(lambda key=key: call(rig, EAST, "GET", "/v1/trending", bearer=key).status == 200)
        answer = call(rig, EAST, "PUT", "/v1/items", {"items": songs(team)}, bearer=key)
        assert answer.status == 200 and answer.json["acked"] == 18, answer.body
        assert answer.json["items"][0]["item"] == "song-0"
    return made


def feed(rig: Rig, key: str, viewer: str = "", **ask: Any) -> dict[str, Any]:
    answer = call(rig, EAST, "POST", "/v1/feed", {"n": 50, **({"viewer": viewer} if viewer else {}), **ask}, bearer=key)
    assert answer.status == 200, answer.body
    return answer.json


def tell(rig: Rig, key: str, *entries: dict[str, Any]) -> Answer:
    stamp = time.time_ns() // 1000
    return call(rig, EAST, "POST", "/v1/events",
                {"entries": [{"stamp": stamp, **entry} for entry in entries]}, bearer=key)  # fmt: skip


def marks(items: list[dict[str, Any]]) -> set[str]:
    return {item["caption"].split()[0] for item in items}


def test_each_sees_its_own_catalogue_and_no_other(rig: Rig, keys: dict[str, str]) -> None:
    for team, key in keys.items():
        slate = feed(rig, key, "anna")
        assert marks(slate["items"]) == {team} and len(slate["items"]) == 18
        assert all(":" not in item["item"] + item["creator"] for item in slate["items"])
        for path in ("/v1/trending?n=50", "/v1/items/song-1/similar?n=50"):
            assert marks(call(rig, EAST, "GET", path, bearer=key).json["items"]) == {team}
        assert call(rig, EAST, "GET", "/v1/items/song-1", bearer=key).json["caption"] == f"{team} 1"
    device = Device(rig, EAST, 3)
    public = [call(rig, EAST, "POST", "/v1/feed", {"n": 50}).json, device.feed(EAST, n=50).json,
              call(rig, EAST, "GET", "/v1/trending?n=50").json]  # fmt: skip
    assert [marks(answer["items"]) for answer in public] == [{"house"}] * 3
    status = call(rig, EAST, "GET", "/v1/status").json["items"]
    assert (status["known"], status["allowed"]) == (18, 18)
    shelf = until(lambda: (a := call(rig, EAST, "GET", "/v1/shelf")).status == 200 and a.json["shelf"])
    assert "house" in shelf and "acme" not in shelf and "beta" not in shelf


def test_nobody_reaches_across_by_name(rig: Rig, keys: dict[str, str]) -> None:
    item, stamp = "acme:song-0", time.time_ns() // 1000
    before = call(rig, EAST, "GET", "/v1/items/song-0", bearer=keys["acme"]).json
    for bearer in (keys["beta"], keys["house"], Device(rig, EAST, 4).token, ""):
        for path in (f"/v1/items/{item}", f"/v1/items/{item}/comments", f"/v1/items/{item}/similar"):
            assert call(rig, EAST, "GET", path, bearer=bearer).status == 404, path
    for key in (keys["beta"], keys["house"]):
        put = call(rig, EAST, "PUT", "/v1/items", {"items": [{"item": item}]}, bearer=key)
        view = tell(rig, key, {"kind": "view", "viewer": "x", "outbox": 1, "item": item, "dwell_ms": 1})
        assert (put.status, view.status) == (422, 422)
    maker = {"items": [{"item": "mine", "creator": "acme:band-1"}]}
    refused = call(rig, EAST, "PUT", "/v1/items", maker, bearer=keys["house"])
    assert (refused.status, refused.json["field"]) == (409, "creator")
    for key in (keys["beta"], keys["house"]):
        answer = call(rig, EAST, "POST", "/v1/feed", {"viewer": "x", "seen": [item]}, bearer=key)
        assert (answer.status, answer.json["field"]) == (422, "seen")
    beta = {"entries": [{"kind": "like", "viewer": "x", "outbox": 2, "stamp": stamp, "item": "song-0"}]}
    assert call(rig, EAST, "POST", "/v1/events", beta, bearer=keys["beta"]).status == 200  # its own of that name
    until(lambda: call(rig, EAST, "GET", "/v1/items/song-0", bearer=keys["beta"]).json["likes"] == 1)
    assert call(rig, EAST, "GET", "/v1/items/song-0", bearer=keys["acme"]).json == before
    ruling = {"item": "song-17", "verdict": "remove", "reasons": ["ours"], "supersedes_all": True}
    assert call(rig, EAST, "POST", "/v1/rulings", ruling, bearer=keys["beta"]).status == 200
    verdicts = {team: call(rig, EAST, "GET", "/v1/items/song-17", bearer=key).json["verdict"]
                for team, key in keys.items()}  # fmt: skip
    assert verdicts == {"acme": "allow", "beta": "remove", "house": "allow"}
    assert call(rig, EAST, "POST", "/v1/rulings", {**ruling, "item": item}, bearer=keys["beta"]).status == 404
    begun = call(rig, EAST, "POST", "/v1/uploads", b"", bearer=keys["acme"],
                 headers={"Upload-Length": "9", "Tus-Resumable": "1.0.0"})  # fmt: skip
    assert (begun.status, begun.json["error"]) == (403, "scope")


def test_the_platforms_moderators_rule_on_a_tenants_item_in_full(rig: Rig, keys: dict[str, str]) -> None:
    ruling = {"item": "acme:song-16", "verdict": "remove", "reasons": ["a court asked"]}
    assert call(rig, EAST, "POST", "/v1/rulings", ruling, bearer=keys["house"]).json == {"acked": 1}
    assert call(rig, EAST, "GET", "/v1/items/song-16", bearer=keys["acme"]).json["verdict"] == "remove"
    assert call(rig, EAST, "GET", "/v1/items/song-16", bearer=keys["house"]).json["verdict"] == "allow"


def test_rules_narrow_pin_and_bend_one_request(rig: Rig, keys: dict[str, str]) -> None:
    key = keys["acme"]
    jazz = feed(rig, key, "r1", rules={"any_tags": ["jazz"]})["items"]
    assert {item["item"] for item in jazz} - {"song-16"} == {f"song-{i}" for i in (1, 4, 7, 10, 13)}
    one = feed(rig, key, "r2", rules={"no_tags": ["jazz"], "max_per_creator": 1})["items"]
    assert len(one) == len({item["creator"] for item in one}) == 4 and not any("jazz" in item["tags"] for item in one)
    pinned = feed(rig, key, "r3", n=5, rules={"pin": ["song-9", "song-4"]})["items"]
    assert [item["item"] for item in pinned[:2]] == ["song-9", "song-4"] and len(pinned) == 5
    assert pinned[0]["why"]["sentence"] == "Pinned here by the app."
    nothing = call(rig, EAST, "POST", "/v1/feed", {"viewer": "r4", "rules": {"any_tags": ["polka"]}}, bearer=key)
    assert (nothing.status, nothing.json["field"], nothing.json["hint"]) == (422, "rules", "loosen the rules")
    wrong = call(rig, EAST, "POST", "/v1/feed", {"viewer": "r4", "rules": {"boost": {"jazz": 7}}}, bearer=key)
    assert wrong.status == 422


def test_a_team_has_room_for_so_many_items(rig: Rig, keys: dict[str, str]) -> None:
    more = {"items": [{"item": f"more-{i}"} for i in range(ROOM)]}
    full = call(rig, EAST, "PUT", "/v1/items", more, bearer=keys["beta"])
    assert (full.status, full.json["error"], full.json["index"]) == (409, "quota", ROOM - 18), full.body
    assert "tenant_items" in full.json["hint"]
    assert call(rig, EAST, "GET", "/v1/items/more-0", bearer=keys["beta"]).status == 404  # whole or not at all
    again = call(rig, EAST, "PUT", "/v1/items", {"items": songs("beta")}, bearer=keys["beta"])
    assert again.json["acked"] == 0


def test_requests_that_come_at_once_share_that_room(rig: Rig) -> None:
    key = apikeys.make(rig.home, "gamma", ALL, own=True)
    until(lambda: call(rig, EAST, "GET", "/v1/trending", bearer=key).status == 200)
    batches = [{"items": [{"item": f"at-once-{k}-{i}"} for i in range(ROOM // 4)]} for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda batch: call(rig, EAST, "PUT", "/v1/items", batch, bearer=key), batches))
    assert sorted(a.status for a in answers) == [200] * 4 + [409] * 4
    taken = next(batch for batch, answer in zip(batches, answers, strict=True) if answer.status == 200)
    assert call(rig, EAST, "PUT", "/v1/items", taken, bearer=key).status == 200, "what is there already needs no room"


def test_a_key_of_the_platform_does_not_look_after_persons_videos(rig: Rig, keys: dict[str, str]) -> None:
    path = "/v1/me/videos?creator="
    assert call(rig, EAST, "GET", path + "band-1", bearer=keys["house"]).json["all"] == 5
    refused = call(rig, EAST, "GET", path + "p-0123456789abcdef", bearer=keys["house"])
    assert (refused.status, refused.json["error"]) == (403, "scope")
    assert call(rig, EAST, "GET", path + "p-0123456789abcdef", bearer=keys["acme"]).json["all"] == 0  # a name like any
    assert call(rig, EAST, "GET", path + "acme:band-1", bearer=keys["house"]).json["all"] == 0
    assert call(rig, EAST, "GET", path + "acme:band-1", bearer=keys["beta"]).json["all"] == 0


def test_why_not_names_the_filter_or_the_place(rig: Rig, keys: dict[str, str]) -> None:
    key = keys["acme"]

    def why_not(item: str, **ask: Any) -> dict[str, Any]:
        body = {"viewer": "w", "item": item, **ask}
        return call(rig, EAST, "POST", "/v1/feed/why-not", body, bearer=key).json

    assert why_not("song-99")["state"] == "unknown"
    view = {"kind": "view", "viewer": "w", "outbox": 1, "item": "song-2", "dwell_ms": 6000, "duration_ms": 6000}
    assert tell(rig, key, view, {"kind": "hide", "viewer": "w", "outbox": 2, "item": "song-3"}).status == 200
    until(lambda: why_not("song-2")["filter"] == "seen")
    assert why_not("song-3")["filter"] == "hidden"
    assert why_not("song-5", exclude=["song-5"])["filter"] == "excluded"
    assert why_not("song-5", rules={"any_tags": ["folk"]})["filter"] == "rules"
    assert why_not("song-16")["filter"] == "ruled"
    said = [why_not(f"song-{i}", n=3) for i in range(4, 16)]
    offered = [line["place"] for line in said if line["state"] == "offered"]
    ranked = [line["place"] for line in said if line["state"] == "ranked"]
    assert sorted(offered) and max(offered) <= 3 < min(ranked) and all(line["sentence"] for line in said)
    assert call(rig, EAST, "POST", "/v1/feed/why-not", {"item": "song-1"}, bearer=key).json["field"] == "viewer"


def test_similar_items_share_their_tags_before_anyone_watched(rig: Rig, keys: dict[str, str]) -> None:
    items = call(rig, EAST, "GET", "/v1/items/song-4/similar?n=4", bearer=keys["acme"]).json["items"]
    assert len(items) == 4 and all(item["why"]["sentence"] for item in items)
    assert {item["tags"][0] for item in items} == {"jazz"} and "song-4" not in {item["item"] for item in items}
    only = call(rig, EAST, "GET", "/v1/items/song-4/similar?n=50&tag=folk", bearer=keys["acme"]).json["items"]
    assert {item["tags"][0] for item in only} == {"folk"} and {item["creator"] for item in only} == {"band-0"}


def test_trending_is_what_was_liked(rig: Rig, keys: dict[str, str]) -> None:
    likes = [{"kind": "like", "viewer": f"t{i}", "outbox": 1, "item": "song-11"} for i in range(5)]
    assert tell(rig, keys["house"], *likes).status == 200
    until(lambda: call(rig, EAST, "GET", "/v1/trending?n=1").json["items"][0]["item"] == "song-11")


def test_an_experiment_from_start_to_results(rig: Rig, keys: dict[str, str]) -> None:
    key = keys["acme"]
    plan = {"arms": [{"name": "as-is"}, {"name": "folk", "rules": {"any_tags": ["folk"]}}], "window_s": 3600}
    begun = call(rig, EAST, "PUT", "/v1/experiments/only-folk", plan, bearer=key)
    assert begun.status == 200 and begun.json["arms"][1]["rules"] == {"any_tags": ["folk"]}, begun.body
    assert call(rig, EAST, "PUT", "/v1/experiments/only-folk", plan, bearer=key).json["error"] == "conflict"
    assert call(rig, EAST, "GET", "/v1/experiments", bearer=keys["beta"]).json["experiments"] == []
    only: dict[bool, int] = {True: 0, False: 0}
    for i in range(12):
        tags = {item["tags"][0] for item in feed(rig, key, f"e{i}")["items"]}
        only[tags == {"folk"}] += 1
    assert min(only.values()) >= 1, only  # 12 viewers in one arm: one time in 2,000, and always the same viewers
    results = until(lambda: (r := counted(rig, key))["arms"][0]["waiting"] + r["arms"][1]["waiting"] == 12 and r)
    assert results["viewers_min"] == 50 and results["arms"][1].get("low") is None
    assert call(rig, EAST, "POST", "/v1/experiments/only-folk/stop", bearer=key).json["stopped"] > 0
    tags = [{item["tags"][0] for item in feed(rig, key, f"e{i}", n=12)["items"]} for i in range(12)]
    assert {"folk"} not in tags
    bad = {**plan, "arms": [{"name": "a"}, {"name": "b", "weights": {"magic": 2}}]}
    assert call(rig, EAST, "PUT", "/v1/experiments/x", bad, bearer=key).json["field"] == "weights"


def test_why_not_knows_the_viewers_arm(rig: Rig, keys: dict[str, str]) -> None:
    key = keys["beta"]
    plan = {"arms": [{"name": "as-is"}, {"name": "no-jazz", "rules": {"no_tags": ["jazz"]}}], "window_s": 3600}
    assert call(rig, EAST, "PUT", "/v1/experiments/quiet", plan, bearer=key).status == 200

    def said(viewer: str) -> str:
        ask = {"viewer": viewer, "item": "song-1", "n": 50}
        answer = call(rig, EAST, "POST", "/v1/feed/why-not", ask, bearer=key)
        assert answer.status == 200, answer.body
        return answer.json["filter"] or answer.json["state"]

    for viewer in (f"arm-{k}" for k in range(12)):  # what it says is what the feed does
        shown = "song-1" in {item["item"] for item in feed(rig, key, viewer)["items"]}
        assert (said(viewer) == "rules") is not shown
    assert {said(f"new-{k}") for k in range(12)} == {"offered", "rules"}
    assert call(rig, EAST, "POST", "/v1/experiments/quiet/stop", {}, bearer=key).status == 200


def test_the_sdk_reads_lists_and_reasons(rig: Rig, keys: dict[str, str]) -> None:
    async def story() -> None:
        region = rig.top.region(EAST)
        async with Team([Place(EAST, "US", region.url)], "US", keys["beta"]) as team:
            alike = await team.similar("song-4", 3, tags=["jazz", "folk"])
            assert len(alike) == 3 and marks_of(alike) == {"beta"} and {i.tags[0] for i in alike} <= {"jazz", "folk"}
            assert marks_of(await team.trending(50)) == {"beta"}
            assert (await team.why_not("zoe", "song-5", n=3, exclude=["song-5"]))["filter"] == "excluded"
            arms = [{"name": "a"}, {"name": "b", "at_most": "REGIONAL"}]
            assert (await team.start_experiment("sdk", arms, window_s=60))["arms"][1]["at_most"] == "REGIONAL"
            assert [arm["viewers"] for arm in (await team.experiment_results("sdk"))["arms"]] == [0, 0]
            assert (await team.stop_experiment("sdk"))["stopped"] > 0

    asyncio.run(story())


def marks_of(items: list[SlateItem]) -> set[str]:
    return {item.caption.split()[0] for item in items}


def test_the_command_line_begins_reads_and_ends_an_experiment(rig: Rig, keys: dict[str, str]) -> None:
    def holdfast(*words: str) -> Any:
        at = ["--dir", str(rig.home.root), "--json"]
        command = [sys.executable, "-m", "holdfast.cli.main", "experiment", *words, *at]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=200).stdout)

    plan = '[{"name": "as-is"}, {"name": "warm", "weights": {"heat": 2.0}, "share": 3}]'
    assert holdfast("start", "warmer", plan, "--window-s", "60")["arms"][1]["weights"] == {"heat": 2.0}
    assert [e["name"] for e in holdfast("list")["experiments"]] == ["warmer"], "the platform's own"
    assert [arm["arm"] for arm in holdfast("results", "warmer")["arms"]] == ["as-is", "warm"]
    assert holdfast("stop", "warmer")["stopped"] > 0
    names = [e["name"] for e in holdfast("list", "--key", keys["acme"])["experiments"]]
    assert "warmer" not in names


def counted(rig: Rig, key: str) -> dict[str, Any]:
    return call(rig, EAST, "GET", "/v1/experiments/only-folk/results", bearer=key).json


@pytest.mark.parametrize(("path", "method"), [("/v1/events", "POST"), ("/v1/items", "PUT"), ("/v1/feed", "POST")])
def test_the_key_is_checked_before_the_body_is_read(rig: Rig, path: str, method: str) -> None:
    """The body never comes, and the answer comes all the same."""
    wrong = apikeys.make(rig.home, "narrow", ("rulings",), own=True) if path == "/v1/feed" else "hfk_00000000_00"
    if path == "/v1/feed":
        until(lambda: call(rig, EAST, "GET", "/v1/trending", bearer=wrong).json["error"] == "scope")
    with socket.create_connection(("127.0.0.1", rig.top.region(EAST).http_port), timeout=60) as line:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {wrong}\r\nContent-Length: 900\r\n\r\n"
        line.sendall(head.encode())
        assert line.recv(12) in (b"HTTP/1.1 401", b"HTTP/1.1 403")


def test_a_body_that_says_it_is_too_large_is_not_waited_for(rig: Rig, keys: dict[str, str]) -> None:
    with socket.create_connection(("127.0.0.1", rig.top.region(EAST).http_port), timeout=60) as line:
        head = f"Host: x\r\nAuthorization: Bearer {keys['acme']}\r\nContent-Length: 2000000\r\n\r\n"
        line.sendall(f"POST /v1/feed HTTP/1.1\r\n{head}".encode())
        assert line.recv(12) == b"HTTP/1.1 413"


def test_a_node_without_its_log_answers_each_from_its_own_shelf(rig: Rig, folder: Path, keys: dict[str, str]) -> None:
    """Last in this module: it stops the region and starts a node alone."""
    path = rig.home.region(EAST) / "shelf.json"
    until(lambda: path.exists() and all(f"{team} 5" in path.read_text() for team in keys))
    rig.stop()
    with running(folder, {EAST: "US"}, ("node",)) as alone:
        for team, key in keys.items():
            slate = feed(alone, key, "cold")
            assert slate["rung"] == "SHELF" and marks(slate["items"]) == {team}, slate
            assert all(":" not in item["item"] + item["creator"] for item in slate["items"])
        public = call(alone, EAST, "POST", "/v1/feed", {"n": 50}).json
        assert public["rung"] == "SHELF" and marks(public["items"]) == {"house"}
        shelf = call(alone, EAST, "GET", "/v1/shelf").json["shelf"]
        assert "house" in shelf and "acme" not in shelf
