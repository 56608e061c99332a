"""The catalogue: every item as one row of numbers, so that a slate is a few vector operations.

An item gets a dense index the first time anything names it, and keeps it; columns are numpy arrays that double when
full. What must agree everywhere is joined on the entry's own stamp (publications, retractions, foreign counts) or is a
set of distinct ids (rulings, likes); what is only a feeling for *now* uses forward decay (Cormode et al. 2009): an
event at time t counts 2^((t - landmark) / half-life), so that the sum does not depend on the order of arrival and
nothing has to be aged.

This fold owns its state and changes it in place. It is handed entries that `feed.world` has already found to be new.
"""

from array import array
from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.entries import Comment, Counts, Publication, Retraction, Ruling
from holdfast.core.rulings import STRICTNESS, UNKNOWN, Case
from holdfast.core.tenants import PLATFORM, tag_in, tenant_of

Array = NDArray[Any]
Totals = tuple[int, str, int, int, int, int]  # stamp, device, outbox of who said it; views, long views, likes

ITEMS_MAX = 1_000_000  # rows a node keeps (about 250 bytes each); beyond that, partition (docs/scale)
UNPUBLISHED_MAX = ITEMS_MAX // 4  # rows of names that no publication bears; an invented name may not take them all
TENANT_UNPUBLISHED_MAX = UNPUBLISHED_MAX // 8  # of those, by one tenant: it may not take the others' room
KEPT_MAX = 64  # answers about the whole catalogue: at most 8 MB each, most 1
TAGS_PER_ITEM = 12  # entries.Publication allows no more
HEAT_HALF_LIFE_US = 12 * 3600 * 1_000_000  # "now": of 1, 2, 4, 8, 12, 24 h, 4 to 12 foresee most on KuaiRand
SHIFT_MAX = 200.0  # powers of two the landmark may lag behind; float64 holds 1023
FOREIGN_SHARE = 0.1  # what another jurisdiction's totals weigh beside a view here
LIKE_HEAT = 3.0  # a like says as much about an item as three long views
HEAT_PRIOR_VIEWS = 5.0  # so that one lucky view does not lead the list
VERDICT_UNKNOWN = -1  # a column holds STRICTNESS of the verdict, or this

_COLUMNS: dict[str, tuple[str, float]] = {
    "verdict": ("int8", VERDICT_UNKNOWN),
    "live": ("bool", 0),  # published, and not taken back
    "published": ("int64", 0),  # stamp of the publication
    "length_ms": ("int32", 0),  # how long the video is, 0 where that is not known
    "creator": ("int32", -1),
    "likes": ("int64", 0),  # distinct viewers of this jurisdiction
    "views": ("int64", 0),
    "long_views": ("int64", 0),
    "comments": ("int64", 0),
    "shown_views": ("int64", 0),  # of these: by whom it was shown to, and once in profile.VIEW_AGAIN_US each
    "shown_long": ("int64", 0),
    "shown_likes": ("int64", 0),
    "qualified": ("int16", 0),  # of a debut: distinct viewers it was shown to, and how they took it (feed.debut_book)
    "debut_shown": ("int16", 0),
    "debut_long": ("int16", 0),
    "debut_hidden": ("int16", 0),
    "awaited": ("float64", 0),  # served, not seen yet
    "ruled": ("int64", 0),  # stamp of the newest ruling
    "warm_views": ("float64", 0),
    "warm_long": ("float64", 0),
    "warm_likes": ("float64", 0),
    "foreign_views": ("int64", 0),
    "foreign_long": ("int64", 0),
    "foreign_likes": ("int64", 0),
    "tenant": ("int32", 0),  # whose item it is: 0 is the platform (core.tenants)
    "hashed": ("uint64", 0),  # a fixed hash of the id: the video's part in every draw
}


@dataclass(slots=True)
class Names:
    """Strings to dense numbers, in order of first sight."""

    of: dict[str, int] = field(default_factory=dict[str, int])
    all: list[str] = field(default_factory=list[str])

    def number(self, name: str) -> int:
        """Return the number of `name`, giving it the next one at first sight."""
        n = self.of.get(name)
        if n is None:
            n = self.of[name] = len(self.all)
            self.all.append(name)
        return n


def fnv64(text: str) -> int:
    """Hash a string to 64 bits (FNV-1a): the same in every process, unlike `hash`."""
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


class Catalogue:
    """All items a region knows. `n` rows are in use; read a column as `catalogue.views[: catalogue.n]`."""

    verdict: Array
    live: Array
    published: Array
    length_ms: Array
    creator: Array
    likes: Array
    views: Array
    long_views: Array
    comments: Array
    shown_views: Array
    shown_long: Array
    shown_likes: Array
    qualified: Array
    debut_shown: Array
    debut_long: Array
    debut_hidden: Array
    awaited: Array
    ruled: Array
    warm_views: Array
    warm_long: Array
    warm_likes: Array
    foreign_views: Array
    foreign_long: Array
    foreign_likes: Array
    tenant: Array
    hashed: Array

    def __init__(self, jurisdiction: str = "") -> None:
        self.jurisdiction = jurisdiction
        self.items = Names()
        self.tags = Names()
        self.creators = Names()
        self.tenants = Names({PLATFORM: 0}, [PLATFORM])
        self.publications: list[Publication | None] = []
        self.unpublished = 0  # rows that only deeds or rulings named so far
        self.unpublished_of: dict[int, int] = {}  # … by tenant
        self._kept: dict[bytes, Array] = {}
        self._kept_of = -1  # the version they were made of
        self.cases: dict[int, Case] = {}
        self.landmark_us = 0
        self.newest_us = 0
        self.version = 0  # changes when an item appears, is ruled, published or taken back
        self.made: dict[int, list[int]] = {}  # creator -> rows, ascending
        self.tagged: dict[int, array[int]] = {}  # tag -> rows, ascending
        self._allowed: tuple[int, Array] = (-1, np.zeros(0, bool))  # as of which version
        self.retracted: dict[int, dict[str, int]] = {}  # item -> device -> newest stamp
        self.foreign: dict[tuple[str, int], Totals] = {}  # (jurisdiction, item) -> newest totals heard
        self._capacity = 256
        for name, (dtype, empty) in _COLUMNS.items():
            setattr(self, name, np.full(self._capacity, empty, dtype))
        self.tag_rows: Array = np.full((self._capacity, TAGS_PER_ITEM), -1, np.int32)  # [items, 12], -1 padded

    @property
    def n(self) -> int:
        """Number of rows in use."""
        return len(self.items.all)

    def row(self, item: str) -> int:
        """Return the row of an item, making one at first sight; -1 when the catalogue is full."""
        row = self.items.of.get(item)
        if row is None:
            row = self._new_row(item)
        return row

    def deed_row(self, item: str) -> int:
        """Return the row of an item that somebody did something to; −1 when too many such names are unpublished here,
        or of one tenant.

        A deed may arrive before the publication it is about, so its name gets a row; but anyone may invent names.
        """
        row = self.items.of.get(item)
        if row is None:
            tenant = self.tenants.of.get(tenant_of(item), -1)
            theirs = self.unpublished_of.get(tenant, 0) if tenant > 0 else 0
            room = self.unpublished < UNPUBLISHED_MAX and theirs < TENANT_UNPUBLISHED_MAX
            row = self._new_row(item) if room else -1
        return row

    def _new_row(self, item: str) -> int:
        if self.n >= ITEMS_MAX:
            return -1
        if self.n == self._capacity:
            self._grow()
        row = self.items.number(item)
        self.publications.append(None)
        self.unpublished += 1
        self.hashed[row] = fnv64(item)
        tenant = self.tenant[row] = self.tenants.number(tenant_of(item))
        self.unpublished_of[tenant] = self.unpublished_of.get(tenant, 0) + 1
        self.version += 1
        return row

    def _grow(self) -> None:
        old, self._capacity = self._capacity, self._capacity * 2
        for name, (dtype, empty) in _COLUMNS.items():
            column = np.full(self._capacity, empty, dtype)
            column[:old] = getattr(self, name)
            setattr(self, name, column)
        rows = np.full((self._capacity, TAGS_PER_ITEM), -1, np.int32)
        rows[:old] = self.tag_rows
        self.tag_rows = rows

    # -- what people publish, and what is ruled ------------------------------------------------------------------

    def publish(self, entry: Publication) -> None:
        """Take a publication; the newest (stamp, id) of one item holds."""
        row = self.row(entry.item)
        if row < 0:
            return
        held = self.publications[row]
        if held is not None and (held.stamp, held.device, held.outbox) >= (entry.stamp, entry.device, entry.outbox):
            return
        if held is None:
            self.unpublished -= 1
            self.unpublished_of[int(self.tenant[row])] -= 1
        self.publications[row] = entry
        self.published[row] = entry.stamp
        self.length_ms[row] = entry.duration_ms
        creator = self.creators.number(entry.creator)
        if self.creator[row] != creator:
            if held is not None:
                self._unmade(row)
            insort(self.made.setdefault(creator, []), row)
            self.creator[row] = creator
        self._tag(row, [self.tags.number(tag_in(tenant_of(entry.item), tag)) for tag in dict.fromkeys(entry.tags)])
        self._set_live(row)

    def _tag(self, row: int, tags: list[int]) -> None:
        before = {int(t) for t in self.tag_rows[row] if t >= 0}
        self.tag_rows[row] = -1
        self.tag_rows[row, : len(tags)] = tags
        for tag in before.difference(tags):
            self.tagged[tag].remove(row)
            if not self.tagged[tag]:
                del self.tagged[tag]
        for tag in set(tags) - before:
            insort(self.tagged.setdefault(tag, array("i")), row)

    def _unmade(self, row: int) -> None:
        """The row is to be another creator's."""
        creator = int(self.creator[row])
        self.made[creator].remove(row)
        if not self.made[creator]:
            del self.made[creator]

    def retract(self, entry: Retraction) -> None:
        """Take a publication back. Only its publisher or creator can, whatever arrives first."""
        row = self.row(entry.item)
        if row < 0:
            return
        by = self.retracted.setdefault(row, {})
        by[entry.device] = max(by.get(entry.device, 0), entry.stamp)
        self._set_live(row)

    def _set_live(self, row: int) -> None:
        held = self.publications[row]
        by = self.retracted.get(row, {})
        self.live[row] = held is not None and all(by.get(d, -1) < held.stamp for d in (held.device, held.creator))
        self.version += 1

    def rule(self, entry: Ruling) -> None:
        """Take a ruling; the verdict is a function of the set of rulings heard."""
        row = self.row(entry.item)
        if row < 0:
            return
        case = self.cases.setdefault(row, Case())
        case.add(entry)
        verdict = case.verdict()
        self.ruled[row] = max(int(self.ruled[row]), entry.stamp)
        self.verdict[row] = VERDICT_UNKNOWN if verdict == UNKNOWN else STRICTNESS[verdict]
        self.version += 1

    # -- what people do ------------------------------------------------------------------------------------------

    def view(self, row: int, stamp: int, *, long: bool) -> None:
        """Count one playing, long or not, made at `stamp`: what people are told. What is liked now, `shown` counts."""
        self.newest_us = max(self.newest_us, stamp)
        self.views[row] += 1
        self.long_views[row] += long

    def shown(self, row: int, stamp: int, *, long: bool) -> None:
        """Count one showing, made at `stamp`, in all that ranks and that other jurisdictions hear of.

        Only by a viewer whom a slate showed it to, and whom it has not counted lately (`feed.world`): else whoever
        plays one video over and over, or is paid to, would decide alone what is liked now (decision 0007).
        """
        g = self._now_weight(stamp)
        self.shown_views[row] += 1
        self.warm_views[row] += g
        if long:
            self.shown_long[row] += 1
            self.warm_long[row] += g

    def like(self, row: int, change: int) -> None:
        """Count a like that came (+1) or went (-1): what people are told."""
        self.likes[row] += change

    def like_shown(self, row: int, stamp: int, change: int) -> None:
        """Count a like made at `stamp`, by a viewer as in `shown`, that came (+1) or went (-1)."""
        self.shown_likes[row] += change
        self.warm_likes[row] += change * self._now_weight(stamp)

    def comment(self, entry: Comment) -> None:
        """Count a comment."""
        row = self.deed_row(entry.item)
        if row >= 0:
            self.comments[row] += 1

    def count(self, entry: Counts) -> None:
        """Take another jurisdiction's totals: absolute, the newest stamp holds per item."""
        if entry.jurisdiction == self.jurisdiction:
            return  # its own viewers are counted here, one by one
        for c in entry.items:
            row = self.deed_row(c.item)
            if row >= 0:
                new = (entry.stamp, entry.device, entry.outbox, c.views, c.long_views, c.likes)
                self.put_foreign(entry.jurisdiction, row, new)

    def put_foreign(self, jurisdiction: str, row: int, new: Totals) -> None:
        """Take one item's totals of another jurisdiction, if they are newer than those held."""
        old = self.foreign.get((jurisdiction, row), (-1, "", 0, 0, 0, 0))
        if new[:3] <= old[:3]:
            return
        self.foreign[(jurisdiction, row)] = new
        self.foreign_views[row] += new[3] - old[3]
        self.foreign_long[row] += new[4] - old[4]
        self.foreign_likes[row] += new[5] - old[5]

    def _now_weight(self, stamp: int) -> float:
        if not self.landmark_us:
            self.landmark_us = stamp
        self.newest_us = max(self.newest_us, stamp)
        power = (stamp - self.landmark_us) / HEAT_HALF_LIFE_US
        if power > SHIFT_MAX:  # move the landmark before the sums overflow
            factor = 2.0**-power
            for column in (self.warm_views, self.warm_long, self.warm_likes):
                column *= factor
            self.landmark_us, power = stamp, 0.0
        return 2.0 ** max(power, -SHIFT_MAX)

    # -- what readers ask ----------------------------------------------------------------------------------------

    def allowed(self) -> Array:
        """Return bool[n]: published, and ruled `allow` by a ruling this region holds. Unknown is no. To read only."""
        version, allowed = self._allowed
        if version != self.version:
            n = self.n
            allowed = self.live[:n] & (self.verdict[:n] == STRICTNESS["allow"])
            allowed.flags.writeable = False
            self._allowed = (self.version, allowed)
        return allowed

    def made_by(self, creators: Iterable[int]) -> Array:
        """Return int64: the rows published by any of these creators, ascending."""
        return np.sort(np.array([row for creator in creators for row in self.made.get(creator, ())], np.int64))

    def having(self, tag: int) -> Array:
        """Return int64 rows published with a tag, by its number: what a scan of `tag_rows` finds, ascending."""
        return np.array(self.tagged.get(tag, ()), np.int64)

    def kept(self, key: bytes, make: Callable[[], Array]) -> Array:
        """Return what `make` makes of this version of the catalogue; the newest KEPT_MAX answers are kept for it."""
        if self._kept_of != self.version:
            self._kept.clear()
            self._kept_of = self.version
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= KEPT_MAX:
                del self._kept[next(iter(self._kept))]
            found = self._kept[key] = make()
        return found

    def of_tenant(self, tenant: str) -> Array:
        """Return bool[n]: items of this tenant; none for a tenant that nothing here belongs to."""
        return self.tenant[: self.n] == self.tenants.of.get(tenant, -1)

    def heat(self, now_us: int, rows: slice = slice(None)) -> Array:
        """Return float64[n], or of some rows: what this place likes now. Long views and likes in units of their noise.

        Dividing by the root of the views keeps the rich from getting richer by mere exposure, and the lucky from
        leading after one showing. The feed takes the newest view for "now" (`newest_us`): a quiet night cools nothing.
        """
        at = slice(*rows.indices(self.n))
        fade = 2.0 ** max(-1000.0, (self.landmark_us - now_us) / HEAT_HALF_LIFE_US)
        liked = (self.warm_long[at] + LIKE_HEAT * self.warm_likes[at]) * fade
        liked += FOREIGN_SHARE * (self.foreign_long[at] + LIKE_HEAT * self.foreign_likes[at])
        views = self.warm_views[at] * fade + FOREIGN_SHARE * self.foreign_views[at]
        return liked / np.sqrt(views + HEAT_PRIOR_VIEWS)

    def totals(self, row: int) -> tuple[int, int, int]:
        """Return (views, likes, comments) of an item over all jurisdictions heard of."""
        return (
            int(self.views[row] + self.foreign_views[row]),
            int(self.likes[row] + self.foreign_likes[row]),
            int(self.comments[row]),
        )

    def tag_names(self, row: int) -> list[str]:
        """Return the tags of an item, as they are numbered here: with their tenant (`core.tenants.tag_in`)."""
        return [self.tags.all[t] for t in self.tag_rows[row].tolist() if t >= 0]
