"""Bodies in: what msgspec says becomes a refusal that names field and index; events become entries byte for byte."""

import json

import msgspec
import pytest

from holdfast.adapters.http import routes_people
from holdfast.adapters.http import shapes as s
from holdfast.adapters.http.routes_items import part_of
from holdfast.adapters.http.wire import JSON, MSGPACK, Body, Misfit, fault_of
from holdfast.core import entries as e
from holdfast.core.errors import Broken, Degraded, Refused
from holdfast.core.feed.shapes import FeedRequest

EVENTS = Body(s.Events)
FIELDS = {"outbox": 3, "stamp": 5, "item": "clip-1"}
KINDS: list[tuple[type, dict]] = [
    (e.View, {**FIELDS, "dwell_ms": 10, "duration_ms": 20, "slate": "s", "pos": 2}),
    (e.Like, FIELDS), (e.Like, {**FIELDS, "on": False}), (e.Skip, FIELDS), (e.Hide, {**FIELDS, "slate": "x"}),
    (e.Share, FIELDS), (e.Comment, {**FIELDS, "text": "hello"}),
    (e.Follow, {"outbox": 3, "stamp": 5, "creator": "maker"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields"), KINDS)
def test_an_event_with_its_device_filled_in_is_the_entry(kind: type, fields: dict) -> None:
    tag = kind.__struct_config__.tag
    body = msgspec.json.encode({"entries": [{"kind": tag, **fields}]})
    (event,) = EVENTS.decode(body, JSON).entries
    event.device = "v-1"
    assert e.encode(event) == e.encode(kind(device="v-1", **fields))
    assert e.decode(e.encode(event)) == kind(device="v-1", **fields)


def test_every_kind_of_behaviour_can_be_sent() -> None:
    sent = {t.__struct_config__.tag for t in s.Event.__args__}
    assert sent == {"view", "like", "skip", "hide", "follow", "share", "comment", "interest", "reset"}


@pytest.mark.parametrize("spelling", [JSON, MSGPACK])
def test_the_first_bad_entry_is_named(spelling: str) -> None:
    batch = {"entries": [{"kind": "like", **FIELDS}, {"kind": "like", **FIELDS, "on": "yes"}]}
    encode = msgspec.json.encode if spelling == JSON else msgspec.msgpack.encode
    with pytest.raises(Misfit) as caught:
        EVENTS.decode(encode(batch), spelling)
    assert (caught.value.field, caught.value.index) == ("on", 1) and "`on`" in str(caught.value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_named_though_it_is_bad_json(number: float) -> None:
    text = json.dumps({"entries": [{"kind": "view", **FIELDS, "dwell_ms": number}]})
    with pytest.raises(Misfit) as caught:
        EVENTS.decode(text.encode(), JSON)
    assert (caught.value.field, caught.value.index) == ("dwell_ms", 0)


@pytest.mark.parametrize(
    ("body", "spelling"),
    [
        (b'{"entries": [{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}", JSON),
        (b"\x81\xa7entries\x91\x81\xa1a" + b"\x91" * 100_000 + b"\xc0", MSGPACK),
    ],
)
def test_a_body_nested_too_deeply_is_malformed(body: bytes, spelling: str) -> None:
    with pytest.raises(Refused) as caught:
        EVENTS.decode(body, spelling)
    assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        (s.Items, {"items": [{"item": "song-1", "creator": ""}]}, "creator"),
        (s.Items, {"items": [{"item": "song-1", "creator": "band\n"}]}, "creator"),
        (FeedRequest, {"viewer": "anna of <acme>"}, "viewer"),
        (FeedRequest, {"viewer": "a" * 64}, "viewer"),
    ],
)
def test_a_name_that_no_entry_could_bear_is_refused_at_the_door(kind: type, body: dict, field: str) -> None:
    """Otherwise the region would acknowledge an entry that every follower then sets aside."""
    with pytest.raises(Misfit) as caught:
        Body(kind).decode(msgspec.json.encode(body), JSON)
    assert caught.value.field == field


@pytest.mark.parametrize("spelling", [JSON, MSGPACK])
def test_an_event_that_lacks_a_field_is_told_all_that_it_needs(spelling: str) -> None:
    encode = msgspec.msgpack.encode if spelling == MSGPACK else msgspec.json.encode
    with pytest.raises(Misfit) as caught:
        routes_people.EVENTS.decode(encode({"entries": [{"kind": "view", "item": "a", "dwell_ms": 9}]}), spelling)
    assert caught.value.field == "outbox" and all(f"`{name}`" in caught.value.hint for name in ("outbox", "stamp"))
    with pytest.raises(Misfit) as caught:
        routes_people.EVENTS.decode(encode({"entries": [{"kind": "view", "item": "a", "dwell_ms": -9}]}), spelling)
    assert caught.value.field == "dwell_ms" and not caught.value.hint


def test_text_that_is_not_json_is_malformed() -> None:
    with pytest.raises(Refused) as caught:
        EVENTS.decode(b'{"entries": [', JSON)
    assert caught.value.code == "malformed" and fault_of(caught.value)[0] == 400


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused("x"), 422), (Refused("x", code="jurisdiction"), 403), (Refused("x", code="token"), 401),
        (Refused("x", code="missing"), 404), (Degraded("x"), 503), (Broken("secret path"), 500), (ValueError("x"), 500),
    ],
)  # fmt: skip
def test_errors_have_one_shape(error: Exception, status: int) -> None:
    got, fault = fault_of(error)
    assert got == status and fault.message and "secret" not in fault.message


@pytest.mark.parametrize(
    ("wanted", "status", "body"),
    [
        ("", 200, b"0123456789"), ("bytes=2-4", 206, b"234"), ("bytes=7-", 206, b"789"), ("bytes=-3", 206, b"789"),
        ("bytes=0-99", 206, b"0123456789"), ("bytes=10-", 416, b""), ("bytes=5-2", 416, b""),
        ("bytes=0-1,4-5", 200, b"0123456789"), ("lines=1-2", 200, b"0123456789"), ("bytes=-0", 416, b""),
        ("bytes=" + "9" * 5000 + "-", 200, b"0123456789"),
    ],
)  # fmt: skip
def test_ranges(wanted: str, status: int, body: bytes) -> None:
    answer = part_of(b"0123456789", "video/mp4", "a" * 64, wanted)
    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers["etag"] == '"' + "a" * 64 + '"'


@pytest.mark.parametrize("url", ["javascript:alert(1)", "javascript://%0aalert(1)", "data:text/html,x", "https://x/ y"])
def test_an_items_address_is_one_that_a_page_may_link_to(url: str) -> None:
    with pytest.raises(Misfit) as caught:
        Body(s.Items).decode(msgspec.json.encode({"items": [{"item": "a", "url": url}]}), JSON)
    assert caught.value.field == "url"
