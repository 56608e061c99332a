"""One real region behind its HTTP face: identity, items, feed, events, rulings, bad input."""

import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from noderig import Device, Rig, call, running

from holdfast.adapters import apikeys
from holdfast.adapters.http.wire import MSGPACK
from patience import until

EAST = "us-east"
ITEMS = [
    {"item": f"clip-{i}", "creator": f"maker-{i % 5}", "caption": f"Clip {i}", "tags": [("tides", "rain")[i % 2]],
     "duration_ms": 6000, "url": f"https://example.org/{i}"}
    for i in range(30)
]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("one"), {EAST: "US"}) as rig:
        yield rig


@pytest.fixture(scope="module")
def key(rig: Rig) -> str:
    return apikeys.make(rig.home, "acme", ("items", "events", "feed", "rulings"))


@pytest.fixture(scope="module")
def shop(rig: Rig, key: str) -> list[str]:
    """Thirty items, published and ruled."""
    answer = call(rig, EAST, "PUT", "/v1/items", {"items": ITEMS}, bearer=key)
    assert answer.status == 200 and answer.json["acked"] == 30, answer.body
    assert {line["verdict"] for line in answer.json["items"]} == {"allow"}
    until(lambda: call(rig, EAST, "GET", "/v1/status").json["items"]["allowed"] >= 30)
    return [item["item"] for item in ITEMS]


def refused(rig: Rig) -> int:
    return call(rig, EAST, "GET", "/v1/status").json["counters"]["refused"]


def test_a_device_enrols_and_its_alias_stays(rig: Rig) -> None:
    a, b = Device(rig, EAST, 7), Device(rig, EAST, 7)
    assert a.alias == b.alias and a.alias.startswith("v-")
    assert Device(rig, EAST, 8).alias != a.alias


def test_a_proof_by_another_key_is_refused(rig: Rig) -> None:
    device, other = Device(rig, EAST, 7), Device(rig, EAST, 9)
    from holdfast.adapters.signing import b64, device_message

    stamp_s = int(time.time())
    body = {"key": b64(device.signer.public), "jurisdiction": "US", "stamp_s": stamp_s,
            "proof": b64(other.signer.sign(device_message("US", stamp_s)))}
    answer = call(rig, EAST, "POST", "/v1/devices", body)
    assert (answer.status, answer.json["error"], answer.json["field"]) == (401, "token", "proof")
    old = stamp_s - 4000
    body = {**body, "stamp_s": old, "proof": b64(device.signer.sign(device_message("US", old)))}
    assert call(rig, EAST, "POST", "/v1/devices", body).json["field"] == "stamp_s"


def test_events_are_acknowledged_folded_and_held(rig: Rig, shop: list[str]) -> None:
    device = Device(rig, EAST, 10)
    before = call(rig, EAST, "GET", f"/v1/items/{shop[0]}").json
    answer = device.send(
        EAST, device.event("view", item=shop[0], dwell_ms=6000, duration_ms=6000), device.event("like", item=shop[0])
    )
    taken = answer.json
    assert answer.status == 200 and taken["chain"] == f"personal/{EAST}" and taken["acked"] == 2
    assert taken["strongest"] == "local"  # one region, no other failure domain
    after = until(lambda: (p := call(rig, EAST, "GET", f"/v1/items/{shop[0]}").json)["likes"] > before["likes"] and p)
    assert after["views"] == before["views"] + 1
    held = call(rig, EAST, "GET", "/v1/held", bearer=device.token).json
    assert held == {"device": device.alias, "intervals": [[1, 2]]}


def test_a_batch_sent_twice_counts_once(rig: Rig, shop: list[str]) -> None:
    device = Device(rig, EAST, 11)
    batch = [device.event("like", item=shop[1]), device.event("view", item=shop[1], dwell_ms=100)]
    assert device.send(EAST, *batch).status == device.send(EAST, *batch).status == 200
    until(lambda: call(rig, EAST, "GET", f"/v1/items/{shop[1]}").json["likes"] == 1)
    device.send(EAST, device.event("view", item=shop[2], dwell_ms=1))
    until(lambda: call(rig, EAST, "GET", "/v1/held", bearer=device.token).json["intervals"] == [[1, 3]])
    page = call(rig, EAST, "GET", f"/v1/items/{shop[1]}").json
    assert (page["likes"], page["views"]) == (1, 1)


def test_a_slate_explains_itself_and_does_not_repeat(rig: Rig, shop: list[str]) -> None:
    device = Device(rig, EAST, 12)
    first = device.feed(EAST, n=10, request="r1").json
    assert first["rung"] == "REGIONAL" and first["region"] == EAST and "LINEAR" in first["lacks"]
    ids = [item["item"] for item in first["items"]]
    assert len(set(ids)) == 10 and all(item["why"]["sentence"] for item in first["items"])
    second = device.feed(EAST, n=10, request="r2", seen=ids).json
    assert not set(ids) & {item["item"] for item in second["items"]}
    assert device.feed(EAST, n=10, request="r1").json["slate"] == first["slate"]


def test_the_slate_is_an_entry_that_the_server_remembers(rig: Rig, shop: list[str]) -> None:
    device = Device(rig, EAST, 13)
    ids = {item["item"] for item in device.feed(EAST, n=10).json["items"]}
    why_not = {"item": min(ids), "n": 10}  # asks without being an exposure itself
    until(lambda: call(rig, EAST, "POST", "/v1/feed/why-not", why_not, bearer=device.token).json["filter"] == "in_hand")
    again = {item["item"] for item in device.feed(EAST, n=10).json["items"]}
    assert ids and again and not ids & again


def test_without_a_token_the_feed_is_public(rig: Rig, shop: list[str]) -> None:
    slate = call(rig, EAST, "POST", "/v1/feed", {"n": 30}).json
    assert slate["public"] and len(slate["items"]) == 30 and slate["taste"] == []


def test_msgpack_in_msgpack_out(rig: Rig, shop: list[str]) -> None:
    device = Device(rig, EAST, 14)
    body = msgspec.msgpack.encode({"entries": [device.event("view", item=shop[3], dwell_ms=5)]})
    answer = call(rig, EAST, "POST", "/v1/events", body, bearer=device.token, headers={"Content-Type": MSGPACK})
    assert answer.status == 200 and msgspec.msgpack.decode(answer.body)["acked"] == 1
    body = msgspec.msgpack.encode({"entries": [device.event("view", item=shop[3], dwell_ms=math.nan)]})
    answer = call(rig, EAST, "POST", "/v1/events", body, bearer=device.token, headers={"Content-Type": MSGPACK})
    fault = msgspec.msgpack.decode(answer.body)
    assert answer.status == 422 and fault["field"] == "dwell_ms" and fault["index"] == 0


GOOD = {"kind": "view", "item": "clip-0", "dwell_ms": 5}


@pytest.mark.parametrize(
    ("wrong", "field", "status"),
    [
        ({"dwell_ms": "long"}, "dwell_ms", 422),  # wrong type
        ({"dwell_ms": -1}, "dwell_ms", 422),
        ({"dwell_ms": 10**9}, "dwell_ms", 422),
        ({"dwell_ms": 1.5}, "dwell_ms", 422),
        ({"dwell_ms": math.nan}, "dwell_ms", 422),  # json.dumps writes NaN
        ({"dwell_ms": math.inf}, "dwell_ms", 422),
        ({"kind": "teleport"}, "kind", 422),
        ({"colour": "red"}, "colour", 422),  # unknown field
        ({"item": ""}, "item", 422),
        ({"item": "a" * 65}, "item", 422),
        ({"outbox": 0}, "outbox", 422),
        ({"outbox": 2**60}, "outbox", 422),
        ({"stamp": (time.time_ns() // 1000) + 3600 * 10**6}, "stamp", 422),  # future
        ({"stamp": (time.time_ns() // 1000) - 31 * 86400 * 10**6}, "stamp", 422),  # too old
        ({"viewer": "anna"}, "viewer", 422),  # not with a token
        ({"device": "someone-else"}, "device", 422),
    ],
)
def test_a_bad_entry_is_named_and_nothing_of_the_batch_is_taken(
    rig: Rig, shop: list[str], wrong: dict, field: str, status: int
) -> None:
    device = Device(rig, EAST, 500 + sum(str(wrong).encode()))
    before = refused(rig)
    good = device.event(**GOOD)
    answer = device.send(EAST, good, {**device.event(**GOOD), **wrong})
    fault = answer.json
    assert (answer.status, fault["field"], fault["index"]) == (status, field, 1), fault
    assert fault["message"] and refused(rig) == before + 1
    device.outbox = 0
    assert device.send(EAST, device.event("skip", item="clip-0")).status == 200  # number 1 is still free
    until(lambda: call(rig, EAST, "GET", "/v1/held", bearer=device.token).json["intervals"] == [[1, 1]])


def test_a_body_that_is_not_a_batch(rig: Rig) -> None:
    device = Device(rig, EAST, 15)
    for body, status, field in [
        (b"{", 400, "body"), (b"\xff\xfe", 400, "body"), (b"[]", 422, ""), (b'{"entries": []}', 422, "entries"),
        (b'{"entries": 3}', 422, "entries"), (b"{}", 422, "entries"), (b"[" * 100_000, 422, ""),
    ]:
        answer = call(rig, EAST, "POST", "/v1/events", body, bearer=device.token)
        assert (answer.status, answer.json.get("field", "")) == (status, field), (body[:20], answer.body)
    many = {"entries": [device.event("skip", item="x") for _ in range(1001)]}
    assert call(rig, EAST, "POST", "/v1/events", many, bearer=device.token).json["field"] == "entries"


def test_an_oversized_body_is_refused(rig: Rig) -> None:
    device = Device(rig, EAST, 15)
    answer = call(rig, EAST, "POST", "/v1/events", b" " * 20_000_000, bearer=device.token)
    assert answer.status == 413


def test_tokens_and_keys_that_do_not_hold(rig: Rig, key: str) -> None:
    device = Device(rig, EAST, 16)
    for bearer, code in [("", "key"), ("nonsense", "token"), (device.token[:-6] + "AAAAAA", "token"),
                         ("hfk_00000000_00", "key"), (key + "0", "key")]:
        answer = call(rig, EAST, "POST", "/v1/events", {"entries": [device.event(**GOOD)]}, bearer=bearer)
        assert (answer.status, answer.json["error"]) == (401, code), (bearer, answer.body)


def test_an_api_key_is_bound_to_its_scopes_and_ends_when_revoked(rig: Rig, shop: list[str]) -> None:
    narrow = apikeys.make(rig.home, "narrow", ("feed",))
    ask = {"viewer": "anna", "n": 3}  # nodes look at the file once a second
    slate = until(lambda: (a := call(rig, EAST, "POST", "/v1/feed", ask, bearer=narrow)).status == 200 and a)
    assert not slate.json["public"]
    assert call(rig, EAST, "POST", "/v1/feed", {"n": 3}, bearer=narrow).json["field"] == "viewer"
    answer = call(rig, EAST, "PUT", "/v1/items", {"items": ITEMS[:1]}, bearer=narrow)
    assert (answer.status, answer.json["error"]) == (403, "scope")
    apikeys.revoke(rig.home, narrow.split("_")[1])
    until(lambda: call(rig, EAST, "POST", "/v1/feed", {"viewer": "anna"}, bearer=narrow).status == 401)


def test_a_team_sends_events_for_its_viewers(rig: Rig, shop: list[str], key: str) -> None:
    stamp = time.time_ns() // 1000
    entries = [{"kind": "like", "viewer": v, "outbox": 1, "stamp": stamp, "item": shop[20]} for v in ("anna", "ben")]
    answer = call(rig, EAST, "POST", "/v1/events", {"entries": entries}, bearer=key)
    assert answer.status == 200, answer.body
    until(lambda: call(rig, EAST, "GET", f"/v1/items/{shop[20]}").json["likes"] == 2)
    slate = call(rig, EAST, "POST", "/v1/feed", {"viewer": "anna", "n": 5}, bearer=key).json
    assert {t["tag"] for t in slate["taste"]} == {"tides"}
    del entries[1]["viewer"]
    fault = call(rig, EAST, "POST", "/v1/events", {"entries": entries}, bearer=key).json
    assert (fault["field"], fault["index"]) == ("viewer", 1)


def test_items_put_twice_are_known_and_a_watched_word_is_ruled(rig: Rig, shop: list[str], key: str) -> None:
    assert call(rig, EAST, "PUT", "/v1/items", {"items": ITEMS[:3]}, bearer=key).json["acked"] == 0
    bad = {"item": "spam-1", "caption": "Free iPhone here", "tags": []}
    line = call(rig, EAST, "PUT", "/v1/items", {"items": [bad]}, bearer=key).json["items"][0]
    assert line["verdict"] == "remove" and line["reasons"]
    page = call(rig, EAST, "GET", "/v1/items/spam-1").json  # who wrote it reads it
    assert page["verdict"] == "remove" and page["caption"] == ""  # what may not be shown is not shown here either
    mended = {**bad, "caption": "My phone"}  # the team mends the caption: policy replaces its own ruling
    assert call(rig, EAST, "PUT", "/v1/items", {"items": [mended]}, bearer=key).json["items"][0]["verdict"] == "allow"
    wrong = {"items": [ITEMS[0], {**ITEMS[1], "tags": [""]}]}
    fault = call(rig, EAST, "PUT", "/v1/items", wrong, bearer=key).json
    assert fault["index"] == 1 and fault["field"] == "tags"


def test_a_person_removes_and_brings_back(rig: Rig, shop: list[str], key: str) -> None:
    item = shop[25]
    body = {"item": item, "verdict": "remove", "reasons": ["not ours"]}
    assert call(rig, EAST, "POST", "/v1/rulings", body, bearer=key).json == {"acked": 1}
    until(lambda: call(rig, EAST, "GET", f"/v1/items/{item}").json["verdict"] == "remove")
    assert item not in [i["item"] for i in call(rig, EAST, "POST", "/v1/feed", {"n": 100}).json["items"]]
    assert call(rig, EAST, "GET", f"/v1/items/{item}/comments").status == 404
    mild = {"item": item, "verdict": "allow", "reasons": ["it is"]}
    call(rig, EAST, "POST", "/v1/rulings", mild, bearer=key)  # milder, superseding nothing: the strictest stands
    until(lambda: len(call(rig, EAST, "GET", f"/v1/rulings?item={item}").json["rulings"]) == 3)
    assert call(rig, EAST, "GET", f"/v1/rulings?item={item}").json["verdict"] == "remove"
    call(rig, EAST, "POST", "/v1/rulings", {**mild, "supersedes_all": True}, bearer=key)
    until(lambda: call(rig, EAST, "GET", f"/v1/items/{item}").json["verdict"] == "allow")
    lines = call(rig, EAST, "GET", f"/v1/rulings?item={item}").json["rulings"]
    assert [line["stands"] for line in lines] == [False, False, False, True]
    assert call(rig, EAST, "POST", "/v1/rulings", {**body, "item": "nothing"}, bearer=key).status == 404
    assert call(rig, EAST, "POST", "/v1/rulings", body, bearer=Device(rig, EAST, 17).token).status == 401


def test_the_queue_holds_what_asks_for_a_person(rig: Rig, key: str) -> None:
    item = {"item": "hard-1", "caption": "A weapon in a museum"}
    assert call(rig, EAST, "PUT", "/v1/items", {"items": [item]}, bearer=key).json["items"][0]["verdict"] == "ask"
    lines = until(lambda: call(rig, EAST, "GET", "/v1/queue", bearer=key).json["items"])
    assert [(line["item"], bool(line["reasons"])) for line in lines] == [("hard-1", True)]
    decision = {"item": "hard-1", "verdict": "allow", "supersedes_all": True}
    call(rig, EAST, "POST", "/v1/rulings", decision, bearer=key)
    until(lambda: call(rig, EAST, "GET", "/v1/queue", bearer=key).json["items"] == [])


def test_comments_are_public_under_a_public_name(rig: Rig, shop: list[str]) -> None:
    device = Device(rig, EAST, 18)
    answer = device.send(
        EAST, device.event("like", item=shop[5]), device.event("comment", item=shop[5], text="Lovely"),
        device.event("comment", item=shop[5], text="Really"),
    )
    taken = answer.json
    assert taken["chain"] == f"personal/{EAST}" and [spot["chain"] for spot in taken["also"]] == [f"public/{EAST}"]
    path = f"/v1/items/{shop[5]}/comments"
    lines = until(lambda: len(c := call(rig, EAST, "GET", path).json["comments"]) == 2 and c)
    assert [line["text"] for line in lines] == ["Really", "Lovely"]
    assert lines[0]["author"].startswith("p-") and lines[0]["author"] != device.alias
    held = until(lambda: call(rig, EAST, "GET", "/v1/held", bearer=device.token).json["intervals"])
    assert held == [[1, 3]]
    fault = device.send(EAST, device.event("skip", item="x"), device.event("comment", item="x", text="free iphone"))
    assert fault.status == 422 and (fault.json["field"], fault.json["index"]) == ("text", 1)


def test_the_shelf_is_signed_and_status_is_whole(rig: Rig, shop: list[str]) -> None:
    from holdfast.adapters.signing import Verifier, load_public, unb64

    shelf = until(lambda: (a := call(rig, EAST, "GET", "/v1/shelf")).status == 200 and a.json)
    public = Verifier(unb64(load_public(rig.home).token[EAST]))
    assert public.verify(unb64(shelf["signature"]), shelf["shelf"].encode())
    assert not public.verify(unb64(shelf["signature"]), shelf["shelf"].encode() + b" ")
    assert json.loads(shelf["shelf"])["items"]
    status = call(rig, EAST, "GET", "/v1/status").json
    assert status["rung"] == "REGIONAL" and status["counters"]["empty"] == 0 and status["viewers"] > 0
    assert call(rig, EAST, "GET", "/v1/safe").json["held"][f"personal/{EAST}"]


def test_the_api_describes_itself(rig: Rig) -> None:
    spec = call(rig, EAST, "GET", "/schema/openapi.json").json
    wanted = {"/v1/region", "/v1/devices", "/v1/feed", "/v1/events", "/v1/items", "/v1/items/{item}", "/v1/safe",
              "/v1/items/{item}/comments", "/v1/items/{item}/index.m3u8", "/v1/blobs/{sha}", "/v1/uploads",
              "/v1/uploads/{upload}", "/v1/shelf", "/v1/status", "/v1/held", "/v1/rulings", "/v1/queue"}
    assert wanted <= set(spec["paths"])
    body = spec["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert "entries" in spec["components"]["schemas"][body.rsplit("/", 1)[1]]["properties"]
    assert b"/v1/events" in call(rig, EAST, "GET", "/schema").body


def test_paths_and_methods_that_do_not_exist(rig: Rig) -> None:
    missing = call(rig, EAST, "GET", "/v1/nothing")
    assert (missing.status, missing.json["error"]) == (404, "missing")
    assert call(rig, EAST, "DELETE", "/v1/feed").status == 405
    assert call(rig, EAST, "GET", "/v1/blobs/" + "0" * 64).status == 404
    assert call(rig, EAST, "GET", "/v1/blobs/" + urllib.parse.quote("../../keys", safe="")).status == 404


@pytest.mark.parametrize(
    ("path", "method", "sent"),
    [("/v1/feed", "POST", "authorization,content-type"), ("/v1/blobs/" + "0" * 64, "GET", "range"),
     ("/v1/uploads", "POST", "authorization,tus-resumable,upload-length,upload-metadata"),
     ("/v1/uploads/" + "0" * 32, "PATCH", "authorization,content-type,tus-resumable,upload-offset")],
)  # fmt: skip
def test_a_page_of_another_origin_may_call(rig: Rig, path: str, method: str, sent: str) -> None:
    asked = {"Origin": "https://x.example", "Access-Control-Request-Method": method,
             "Access-Control-Request-Headers": sent}
    answer = call(rig, EAST, "OPTIONS", path, headers=asked)
    assert answer.status in (200, 204) and answer.headers["access-control-allow-origin"] == "*"
    allowed = {h.strip().lower() for h in answer.headers["access-control-allow-headers"].split(",")}
    assert set(sent.split(",")) <= allowed, allowed  # a `*` would not cover Authorization
    methods = answer.headers["access-control-allow-methods"]
    assert method in methods or "*" in methods
    plain = call(rig, EAST, "GET", "/v1/region", headers={"Origin": "https://x.example"})
    assert plain.headers["access-control-allow-origin"] == "*"
    assert "upload-offset" in plain.headers["access-control-expose-headers"].lower()


def test_the_example_of_a_teams_own_app_works(rig: Rig, key: str) -> None:
    example = Path(__file__).parents[2] / "examples" / "own_app.py"
    command = [sys.executable, str(example), f"http://127.0.0.1:{rig.top.region(EAST).http_port}", key]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert lines["items"] == "40" and lines["events"] == "5" and len(lines["next"].split()) == 5


def test_the_web_app_is_served_where_it_is_built(rig: Rig) -> None:
    home = call(rig, EAST, "GET", "/")
    assert home.status == 200
    if b"<html" in home.body.lower():
        assert home.headers["cache-control"] == "no-cache"
        asset = re.search(rb'src="\.?(/assets/[^"]+)"', home.body)
        assert asset is not None
        answer = call(rig, EAST, "GET", asset[1].decode())
        assert answer.status == 200 and "immutable" in answer.headers["cache-control"]
    else:
        assert b"make web" in home.body


def test_a_keeper_that_hangs_costs_an_error_and_no_entry(rig: Rig, shop: list[str]) -> None:
    assert rig.supervisor is not None
    keeper = rig.supervisor.pids(EAST)["keeper"]
    device = Device(rig, EAST, 70)
    like = device.event("like", item=shop[28])
    os.kill(keeper, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = device.send(EAST, like)
        assert (answer.status, answer.json["error"]) == (503, "degraded") and time.monotonic() - began < 60
        slate = device.feed(EAST, n=5)  # the feed does not need the log
        assert slate.status == 200 and len(slate.json["items"]) == 5
    finally:
        os.kill(keeper, signal.SIGCONT)
    assert device.send(EAST, like).status == 200  # perhaps it was kept the first time, too: ids make that harmless
    device.send(EAST, device.event("skip", item=shop[28]))  # once this is folded, so is all that came before
    until(lambda: call(rig, EAST, "GET", "/v1/held", bearer=device.token).json["intervals"] == [[1, 2]])
    assert call(rig, EAST, "GET", f"/v1/items/{shop[28]}").json["likes"] == 1
    counters = call(rig, EAST, "GET", "/v1/status").json["counters"]
    assert counters["failed"] >= 1 and counters["refused_door"] >= 1


def test_an_answer_in_msgpack_may_be_asked_for(rig: Rig) -> None:
    answer = call(rig, EAST, "GET", "/v1/region", headers={"Accept": MSGPACK})
    assert msgspec.msgpack.decode(answer.body)["region"] == EAST


def test_a_path_that_no_file_can_have_is_absent(rig: Rig) -> None:
    for path in ("/%00", "/assets/%00"):
        assert call(rig, EAST, "GET", path).status == 404


def test_whoever_hangs_up_in_the_middle_of_a_body_is_no_fault_of_the_region(rig: Rig) -> None:
    before = call(rig, EAST, "GET", "/v1/status").json["counters"]
    with socket.create_connection(("127.0.0.1", rig.top.region(EAST).http_port)) as line:
        line.sendall(b"POST /v1/feed HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    until(lambda: refused(rig) > before["refused"])
    assert call(rig, EAST, "GET", "/v1/status").json["counters"]["failed"] == before["failed"]
