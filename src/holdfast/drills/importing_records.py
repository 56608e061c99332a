"""What an importer reads, whatever the format: items, deeds in time order, and notes on what was done to them.

Two things of a foreign data set cannot pass as they are. *Names*: an item's or viewer's name may hold only what fits
in a path, so another one becomes `x-` and 20 hex digits of its sha256 (`holdfast.client.own_name` says the same, so
that an app can go on using its own names). *Times*: the door refuses what is over 30 days old, so a log that is older
is shifted as a whole, and one that is longer is squeezed evenly; order and proportion stay, dates do not, and the
result says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from holdfast.client.names import own_name
from holdfast.core.errors import Refused

SPAN_MAX_US = 25 * 86_400 * 1_000_000  # of the door's 30 days: a resumed import has five left
BEFORE_NOW_US = 60 * 1_000_000  # the newest deed of a shifted log is this old
WHOLE_MS = 30_000  # length taken for an item of unknown length
STAYED_MS = 5_000  # of that: watched for a while, liking unknown
KINDS = ("view", "long", "like", "share", "skip", "hide")


class Deed(NamedTuple):
    """One act. `stamp`: µs since 1970; `kind` one of KINDS (`long`: watched to its end).

    Of a showing: `dwell_ms` −1 and `duration_ms` 0 are not known.
    """

    stamp: int
    viewer: str
    item: str
    kind: str
    dwell_ms: int = -1
    duration_ms: int = 0


@dataclass(slots=True)
class Load:
    """All of a data set. `items` as `PUT /v1/items` takes them; `deeds` oldest first."""

    items: list[dict[str, Any]]
    deeds: list[Deed]
    notes: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Fit:
    """How times are moved: stamp → (stamp − first) · scale + begin, all in µs."""

    first: int
    begin: int
    scale: float

    def __call__(self, stamp: int) -> int:
        return self.begin + round((stamp - self.first) * self.scale)


def counted(n: int, one: str, many: str) -> str:
    """`1 item is` or `2 items are`."""
    return f"{n} {one if n == 1 else many}"


def fault(name: str, line: int, what: str, hint: str = "") -> Refused:
    """The refusal of a data set, naming file and line."""
    return Refused(f"{name}, line {line}: {what}", field="path", hint=hint)


def fit(deeds: list[Deed], now_us: int) -> tuple[Fit, str]:
    """Return how to move the times of deeds (oldest first) so that the door takes them, and that in words."""
    if not deeds:
        return Fit(0, 0, 1.0), ""
    first, last = deeds[0].stamp, deeds[-1].stamp
    span = last - first
    if last <= now_us and first >= now_us - SPAN_MAX_US:
        return Fit(0, 0, 1.0), ""
    scale = min(1.0, SPAN_MAX_US / span) if span else 1.0
    begin = now_us - BEFORE_NOW_US - round(span * scale)
    words = f"times are moved by {(begin - first) / 86_400e6:+.1f} days: the door takes 30 days"
    if scale < 1.0:
        words += f", and {span / 86_400e6:.0f} days are squeezed into {SPAN_MAX_US / 86_400e6:.0f}"
    return Fit(first, begin, scale), words


def finish(items: Iterable[dict[str, Any]], deeds: list[Deed], notes: list[str], source: str) -> Load:
    """Give everything names that may be used, add items that only deeds name, and check that something is there.

    Raises Refused on an empty data set, or two names that become one.
    """
    renamed: dict[str, str] = {}
    taken: dict[str, str] = {}

    def named(text: str) -> str:
        new = renamed.get(text)
        if new is None:
            new = renamed[text] = own_name(text)
            if taken.setdefault(new, text) != text:
                raise Refused(f"`{text}` and `{taken[new]}` would both be `{new}`", field="path", hint="rename one")
        return new

    listed = [{**item, "item": named(str(item["item"]))} for item in items]
    known = {item["item"] for item in listed}
    moved = [deed._replace(item=named(deed.item)) for deed in deeds]
    absent = dict.fromkeys(deed.item for deed in moved if deed.item not in known)
    listed += [{"item": item} for item in absent]
    if not listed:
        raise Refused(f"{source} holds no items and no events", field="path", hint="is it the right file?")
    viewers = {viewer: own_name(viewer, 40) for viewer in {deed.viewer for deed in moved}}
    moved = [deed._replace(viewer=viewers[deed.viewer]) for deed in moved]
    changed = sum(new != text for text, new in renamed.items())
    if changed:
        told = counted(changed, "item name holds", "item names hold")
        notes.append(f"{told} other than letters, digits, `_.-`: each is now x- and a hash")
    if strange := sum(new != text for text, new in viewers.items()):
        notes.append(counted(strange, "viewer name likewise", "viewer names likewise"))
    if absent:
        notes.append(counted(len(absent), "item is named by events only: it comes without caption and tags",
                             "items are named by events only: they come without caption and tags"))  # fmt: skip
    moved.sort(key=lambda deed: deed.stamp)
    return Load(listed, moved, notes)


def entries(deed: Deed, outbox: int, stamp: int) -> list[dict[str, Any]]:
    """Return the events of a deed, numbered from `outbox`; a like is also a showing watched to its end."""
    said = {"viewer": deed.viewer, "item": deed.item}
    duration = deed.duration_ms or WHOLE_MS
    views = {"view": STAYED_MS, "long": duration, "like": duration}
    out: list[dict[str, Any]] = []
    if deed.kind in views:
        out.append({"kind": "view", **said, "duration_ms": duration,
                    "dwell_ms": deed.dwell_ms if deed.dwell_ms >= 0 else views[deed.kind]})  # fmt: skip
    if deed.kind != "view" and deed.kind != "long":
        out.append({"kind": deed.kind, **said})
    return [{**entry, "outbox": outbox + i, "stamp": stamp} for i, entry in enumerate(out)]
