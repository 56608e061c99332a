"""The door: what is malformed, oversized, non-finite, unknown or out of time is refused, and the message names it."""

import math

import msgspec
import pytest

from holdfast.core import entries as e
from holdfast.core.classes import CLASS_OF_KIND, Class, class_of
from holdfast.core.errors import Refused

VIEW = {"kind": "view", "device": "v-1", "outbox": 1, "stamp": 1, "item": "a", "dwell_ms": 5}


def test_encode_and_decode_are_inverse() -> None:
    view = e.View(device="v-1", outbox=7, stamp=9, item="clip-1", dwell_ms=1200, duration_ms=6000)
    assert e.decode(e.encode(view)) == view


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"kind": "nonsense"}, "kind"),
        ({"dwell_ms": -1}, "dwell_ms"),
        ({"dwell_ms": math.nan}, "dwell_ms"),
        ({"dwell_ms": math.inf}, "dwell_ms"),
        ({"dwell_ms": "5"}, "dwell_ms"),
        ({"item": "../../etc"}, "item"),
        ({"item": "x" * 65}, "item"),
        ({"item": "a\n"}, "item"),
        ({"device": "v-1\n"}, "device"),
        ({"device": ""}, "device"),
        ({"outbox": 0}, "outbox"),
        ({"stamp": 2**60}, "stamp"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_the_door_refuses_and_names_the_field(change: dict[str, object], named: str) -> None:
    with pytest.raises(msgspec.MsgspecError) as caught:
        e.decode(msgspec.msgpack.encode({**VIEW, **change}))
    assert named in str(caught.value) or named == "kind"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x81\xa4kind\xa4news",
        b"\x81\xa4kind\xa4v\xff\xfew",
        b"\x82\xa1a" + b"\x91" * 100_000 + b"\xc0\xa4kind\xa4view",
    ],
)
def test_what_cannot_be_read_can_be_stepped_over(raw: bytes) -> None:
    """A peer's chain may hold anything: whoever follows it must go on behind it."""
    with pytest.raises(e.UNREADABLE):
        e.decode(raw)


def test_time_at_the_door() -> None:
    now = 1_800_000_000_000_000
    e.check_stamp(now + 1_000_000, now)
    e.check_stamp(now - e.AGE_MAX_US, now)
    with pytest.raises(Refused):
        e.check_stamp(now + 1_000_001, now)
    with pytest.raises(Refused):
        e.check_stamp(now - e.AGE_MAX_US - 1, now)


def test_what_is_not_listed_is_personal() -> None:
    kinds = {t.__struct_config__.tag for t in e.AnyEntry.__args__}
    assert set(CLASS_OF_KIND) | {"segment", "snapshot"} == kinds
    assert class_of("something new") is Class.PERSONAL
