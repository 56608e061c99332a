"""Rules a team lays over one request: which items come into question at all, and small nudges to their order.

Four kinds, and each bounded, so that a rule steers the feed and does not replace it:

    which     any_tags all_tags no_tags creators no_creators after before   a mask, inside retrieval: no recall is lost
    how many  max_per_creator                                               the best of each creator go on
    boost     {tag: −1…1}                                                   added to the score; 1 is what the strongest
                                                                            next-item of a LINEAR slate weighs
    pin       ≤ 5 items                                                     first places, if no filter removes them

Rules never loosen a filter: a pinned item that the viewer has seen, hidden or may not be shown stays out, and "why not"
names the filter. A rule that leaves nothing gives an empty slate (503), which says so.
"""

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.entries import OwnId, Stamp, Tag, Viewer
from holdfast.core.tenants import inner, tag_in

if TYPE_CHECKING:
    from holdfast.core.feed.viewer import Viewer as Asking
    from holdfast.core.feed.world import World

Array = NDArray[Any]
TAGS_MAX = 20
CREATORS_MAX = 200
PINS_MAX = 5  # half of a slate of ten: the rest is still a feed
BOOST_MAX = 1.0

Tags = Annotated[list[Tag], Meta(max_length=TAGS_MAX)]
Creators = Annotated[list[Viewer], Meta(max_length=CREATORS_MAX)]
_encode = msgspec.msgpack.Encoder().encode
Boost = Annotated[float, Meta(ge=-BOOST_MAX, le=BOOST_MAX)]


class Rules(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request's rules, in the team's own names. `after` ≤ published < `before`, µs since 1970; 0: no bound."""

    any_tags: Tags = []
    all_tags: Tags = []
    no_tags: Tags = []
    creators: Creators = []
    no_creators: Creators = []
    after: Stamp = 0
    before: Stamp = 0
    max_per_creator: Annotated[int, Meta(ge=0, le=100)] = 0
    boost: Annotated[dict[Tag, Boost], Meta(max_length=TAGS_MAX)] = {}
    pin: Annotated[list[OwnId], Meta(max_length=PINS_MAX)] = []


def admits(rules: Rules, catalogue: Catalogue, tenant: str) -> Array:
    """Return bool[n]: which rows these rules let come into question. Shared: not to be changed.

    A team lays the same rules over every request, so the answer is kept until the catalogue changes.
    """
    key = b"rules\0" + tenant.encode() + b"\0" + _encode(rules)
    return catalogue.kept(key, lambda: _admits(rules, catalogue, tenant))


def _admits(rules: Rules, catalogue: Catalogue, tenant: str) -> Array:
    c, n = catalogue, catalogue.n
    asks: list[Array] = []
    if rules.any_tags:
        asks.append(tagged(rules.any_tags, c, tenant))
    asks += [tagged([tag], c, tenant) for tag in rules.all_tags]
    if rules.no_tags:
        asks.append(~tagged(rules.no_tags, c, tenant))
    if rules.creators:
        asks.append(np.isin(c.creator[:n], _creators(rules.creators, c, tenant)))
    if rules.no_creators:
        asks.append(~np.isin(c.creator[:n], _creators(rules.no_creators, c, tenant)))
    if rules.after:
        asks.append(c.published[:n] >= rules.after)
    if rules.before:
        asks.append(c.published[:n] < rules.before)
    passes: Array = np.full(n, True)
    for ask in asks:
        np.logical_and(passes, ask, out=passes)
    return passes


def tagged(tags: list[str], catalogue: Catalogue, tenant: str) -> Array:
    """Return bool[n]: rows with at least one of these tags."""
    numbers = [n for n in (catalogue.tags.of.get(tag_in(tenant, tag), -1) for tag in tags) if n >= 0]
    passes: Array = np.zeros(catalogue.n, bool)
    for number in numbers:
        passes[catalogue.having(number)] = True
    return passes


def _creators(names: list[str], catalogue: Catalogue, tenant: str) -> list[int]:
    return [n for n in (catalogue.creators.of.get(inner(tenant, name), -1) for name in names) if n >= 0]


def mask(viewer: "Asking", world: "World") -> Array | None:
    """Kept out by the request's own rules."""  # None: it brings none that narrows
    rules = viewer.query.ask.rules
    if rules is None or not narrows(rules):
        return None
    return admits(rules, world.catalogue, viewer.query.tenant)


def narrows(rules: Rules) -> bool:
    """Say whether any rule keeps items out."""
    return bool(
        rules.any_tags or rules.all_tags or rules.no_tags or rules.creators or rules.no_creators
        or rules.after or rules.before
    )  # fmt: skip


def nudged(rules: Rules, rows: Array, score: Array, catalogue: Catalogue, tenant: str) -> Array:
    """Return float32[K] scores with the boosts of each row's tags added; several add up within ±BOOST_MAX."""
    if not rules.boost:
        return score
    added = np.zeros(rows.size, np.float32)
    tags = catalogue.tag_rows[rows]
    for tag, weight in rules.boost.items():
        number = catalogue.tags.of.get(tag_in(tenant, tag), -2)
        added += np.float32(weight) * (tags == number).any(1)
    return (score + np.clip(added, -BOOST_MAX, BOOST_MAX)).astype(np.float32)


def capped(rules: Rules, rows: Array, score: Array, catalogue: Catalogue) -> Array:
    """Return int64 indices of the candidates that go on: of each creator the `max_per_creator` best."""
    if not rules.max_per_creator or not rows.size:
        return np.arange(rows.size)
    creators = catalogue.creator[rows]
    order = np.lexsort((catalogue.hashed[rows], -score, creators))
    first = np.concatenate([[True], creators[order][1:] != creators[order][:-1]])
    start = np.maximum.accumulate(np.where(first, np.arange(order.size), 0))
    return np.sort(order[np.arange(order.size) - start < rules.max_per_creator])


def pinned(rules: Rules, eligible: Array, catalogue: Catalogue, tenant: str) -> list[int]:
    """Return the rows to put first, in the rules' order. `eligible`: bool[n] what no filter removes."""
    rows = [catalogue.items.of.get(inner(tenant, item), -1) for item in rules.pin]
    return [row for row in dict.fromkeys(rows) if row >= 0 and eligible[row]]
