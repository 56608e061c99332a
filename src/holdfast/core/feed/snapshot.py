"""Snapshots: the world put into bytes and back, so that a start costs the news and not the whole history.

A fold is its entries, and its state is only the short way there: whatever a snapshot cannot say for certain, the chains
can. So a snapshot is of use only whole, and one that is not exactly of this format is not used at all.

The state is cut by class, as everything is that lies in blobs: one part with rulings, one with what people published,
and one with all that comes from behaviour. Who did what is personal, and so are the counts made of it, the interval
sets (they name devices) and the order in which items and creators were first named here, since a view can be what named
them. The other two parts therefore speak of items by name; only the personal part knows rows.

    rulings    rulings
    public     tags, publications, retractions, comment counts, other jurisdictions' totals
    personal   items and creators in row order, counters, profiles, interval sets, experiments and their tallies

`pieces` yields the state a little at a time, for an owner who must not hold up others; what can be derived (verdicts,
what is live, tag rows, hashes) is derived again by the folds' own methods.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec
import numpy as np

from holdfast.core.catalogue import Catalogue, Totals
from holdfast.core.classes import Class
from holdfast.core.entries import Experiment, Publication, Ruling
from holdfast.core.errors import Degraded
from holdfast.core.experiments import Tally
from holdfast.core.feed.debut_book import Rates
from holdfast.core.feed.world import World
from holdfast.core.merge import IntervalSet
from holdfast.core.profile import Profile

FORMAT = 4  # raise it when the pieces change, *and* when a fold makes something else of the same entries
FOLD = f"world/{FORMAT}"  # as `snapshot` entries name it
ROWS_PER_PIECE = 500  # entries or names; at about 1 µs each well below a millisecond
FACTS_PER_PIECE = 4000  # events, seen items and intervals of viewers: likewise

COUNTERS = (  # columns made of behaviour
    "likes", "views", "long_views", "warm_views", "warm_long", "warm_likes",
    "shown_views", "shown_long", "shown_likes",
    "qualified", "debut_shown", "debut_long", "debut_hidden", "awaited",
)  # fmt: skip

T = TypeVar("T")


class _Piece(msgspec.Struct, array_like=True):
    """Some of the state."""


class _Names(_Piece, tag="names"):
    of: str  # items | creators | tags
    names: list[str]


class _Rulings(_Piece, tag="rulings"):
    rows: list[Ruling]


class _Publications(_Piece, tag="publications"):
    rows: list[Publication]


class _Retractions(_Piece, tag="retractions"):
    rows: list[tuple[str, dict[str, int]]]  # item, {device: newest stamp}


class _Comments(_Piece, tag="comments"):
    rows: list[tuple[str, int]]


class _Foreign(_Piece, tag="foreign"):
    rows: list[tuple[str, str, Totals]]  # jurisdiction, item, totals


class _Totals(_Piece, tag="totals"):
    jurisdiction: str
    landmark_us: int
    newest_us: int
    entries: int
    duplicates: int


class _Column(_Piece, tag="column"):
    name: str
    data: bytes  # n numbers of the column's dtype, little-endian


class _Profiles(_Piece, tag="profiles"):
    rows: list[tuple[str, Profile]]


class _Folded(_Piece, tag="folded"):
    rows: list[tuple[str, IntervalSet]]


class _Rates(_Piece, tag="rates"):
    rows: list[tuple[int, Rates]]  # of each tenant
    await_landmark_us: int


class _Debuts(_Piece, tag="debuts"):
    rows: list[tuple[int, dict[str, int]]]  # row, {viewer: flags}


class _Used(_Piece, tag="used"):
    hour: int
    refused: int
    rows: list[tuple[str, tuple[int, int]]]  # what each viewer has used of it


class _Experiments(_Piece, tag="experiments"):
    rows: list[Experiment]


class _Tallies(_Piece, tag="tallies"):
    of: str  # name of the experiment
    rows: list[tuple[str, Tally]]


_AnyPiece = (
    _Names | _Rulings | _Publications | _Retractions | _Comments | _Foreign | _Totals | _Column | _Profiles | _Folded
    | _Experiments | _Tallies | _Rates | _Debuts | _Used
)  # fmt: skip


class _Part(msgspec.Struct, array_like=True):
    """Everything of one class."""

    format: int
    cls: Class
    pieces: list[msgspec.Raw]


_encode = msgspec.msgpack.Encoder().encode
_decode_piece: Callable[[bytes | msgspec.Raw], Any] = msgspec.msgpack.Decoder(_AnyPiece).decode


def freeze(world: World) -> dict[Class, bytes]:
    """Return the state of a world, one part per class."""
    found: dict[Class, list[bytes]] = {cls: [] for cls in Class}
    for cls, piece in pieces(world):
        found[cls].append(piece)
    return {cls: pack(cls, row) for cls, row in found.items()}


def pack(cls: Class, found: list[bytes]) -> bytes:
    """Put the pieces of one class together, in the order in which they came."""
    return _encode(_Part(FORMAT, cls, [msgspec.Raw(piece) for piece in found]))


def pieces(world: World) -> Iterator[tuple[Class, bytes]]:
    """Yield the state in pieces of about a millisecond; from the first to the last nothing may be folded into it."""
    for cls, rows in ((Class.PERSONAL, _personal), (Class.PUBLIC, _public), (Class.RULINGS, _rulings)):
        for piece in rows(world):
            yield cls, _encode(piece)


def sliced(rows: Iterable[T]) -> Iterator[list[T]]:
    """Cut rows into pieces of ROWS_PER_PIECE."""
    row: list[T] = []
    for one in rows:
        row.append(one)
        if len(row) == ROWS_PER_PIECE:
            yield row
            row = []
    if row:
        yield row


def _weighed(rows: Iterable[T], weight: Callable[[T], int]) -> Iterator[list[T]]:
    """Cut rows of very different size: a heavy viewer weighs as much as a thousand new ones."""
    row: list[T] = []
    held = 0
    for one in rows:
        row.append(one)
        held += weight(one)
        if held >= FACTS_PER_PIECE:
            yield row
            row, held = [], 0
    if row:
        yield row


def _personal(world: World) -> Iterator[_Piece]:
    c = world.catalogue
    yield _Totals(c.jurisdiction, c.landmark_us, c.newest_us, world.entries, world.duplicates)
    for names in sliced(c.items.all):
        yield _Names("items", names)
    for names in sliced(c.creators.all):
        yield _Names("creators", names)
    for name in COUNTERS:
        column = getattr(c, name)[: c.n]
        yield _Column(name, column.astype(column.dtype.newbyteorder("<")).tobytes())
    for rows in _weighed(world.profiles.items(), lambda kv: _facts(kv[1])):
        yield _Profiles(rows)
    for sets in _weighed(world.folded.items(), lambda kv: 8 + len(kv[1].starts)):
        yield _Folded(sets)
    yield _Rates(list(world.debuts.rates.items()), world.debuts.await_landmark_us)
    held = world.allowance
    yield _Used(held.hour, held.refused, [])
    for used in sliced(held.used.items()):
        yield _Used(held.hour, held.refused, used)
    for met in _weighed(world.debuts.met.items(), lambda kv: 2 + len(kv[1])):
        yield _Debuts(met)
    for defined in sliced(world.trials.defined.values()):
        yield _Experiments(defined)
    for name, tallies in world.trials.tallies.items():
        for row in sliced(tallies.items()):
            yield _Tallies(name, row)


def _facts(p: Profile) -> int:
    """How much there is to write of a profile, in units of one seen item."""
    slates = sum(10 + len(rows) for _, _, rows in p.served)
    kept = len(p.events) + len(p.aside) + len(p.likes) + len(p.follows) + len(p.told)
    return 20 + len(p.seen) + len(p.hidden) + 5 * kept + slates


def _public(world: World) -> Iterator[_Piece]:
    c, items = world.catalogue, world.catalogue.items.all
    for names in sliced(c.tags.all):
        yield _Names("tags", names)
    for retracted in sliced((items[row], by) for row, by in c.retracted.items()):
        yield _Retractions(retracted)
    for publications in sliced(p for p in c.publications if p is not None):
        yield _Publications(publications)
    counts = c.comments[: c.n]
    for comments in sliced((items[row], int(counts[row])) for row in counts.nonzero()[0].tolist()):
        yield _Comments(comments)
    for foreign in sliced((law, items[row], totals) for (law, row), totals in c.foreign.items()):
        yield _Foreign(foreign)


def _rulings(world: World) -> Iterator[_Piece]:
    for rows in sliced(r for case in world.catalogue.cases.values() for r in case.rulings.values()):
        yield _Rulings(rows)


def thaw(parts: dict[Class, bytes]) -> World:
    """Return the world whose `freeze` these parts are; all three of one moment.

    Raises Degraded if a part is absent, of another format or not a part at all: then the chains have to be folded.
    """
    found: dict[Class, list[msgspec.Raw]] = {}
    for cls in Class:
        try:
            part = msgspec.msgpack.decode(parts.get(cls, b""), type=_Part)
        except msgspec.MsgspecError as e:
            raise Degraded(f"the {cls} part of the snapshot does not read: {e}") from e
        if (part.format, part.cls) != (FORMAT, cls):
            raise Degraded(f"the snapshot is of format {part.format} ({part.cls}), not {FORMAT} ({cls})")
        found[cls] = part.pieces
    world = World()
    try:
        for cls in (Class.PERSONAL, Class.PUBLIC, Class.RULINGS):  # the personal part gives every item its row
            for raw in found[cls]:
                _put(world, _decode_piece(raw))
    except (msgspec.MsgspecError, KeyError, ValueError) as e:
        raise Degraded(f"the snapshot does not hold together: {e!r}") from e
    return world


def _put(world: World, piece: Any) -> None:
    """Put a piece back. Raises KeyError, ValueError on what cannot be."""
    c = world.catalogue
    match piece:
        case _Totals():
            c.jurisdiction, c.landmark_us, c.newest_us = piece.jurisdiction, piece.landmark_us, piece.newest_us
            world.entries, world.duplicates = piece.entries, piece.duplicates
        case _Names():
            number = {"items": c.row, "creators": c.creators.number, "tags": c.tags.number}[piece.of]
            for name in piece.names:
                number(name)
        case _Column():
            if piece.name not in COUNTERS:
                raise KeyError(piece.name)
            column = getattr(c, piece.name)[: c.n]
            column[:] = np.frombuffer(piece.data, column.dtype.newbyteorder("<"), c.n)
        case _Profiles():
            world.profiles.update(piece.rows)
            for _, profile in piece.rows:
                for event in profile.events:
                    event.dwell_ms, event.duration_ms = world.same(event.dwell_ms), world.same(event.duration_ms)
        case _Folded():
            world.folded.update(piece.rows)
        case _Rates():
            world.debuts.rates.update(piece.rows)
            world.debuts.await_landmark_us = piece.await_landmark_us
        case _Used():
            world.allowance.hour, world.allowance.refused = piece.hour, piece.refused
            world.allowance.used.update(piece.rows)
        case _Debuts():
            world.debuts.met.update(piece.rows)
        case _Experiments():
            for experiment in piece.rows:
                world.trials.define(experiment)
        case _Tallies():
            world.trials.recall(piece.of, dict(piece.rows))
        case _:
            _put_named(c, piece)


def _put_named(c: Catalogue, piece: Any) -> None:
    of = c.items.of
    match piece:
        case _Retractions():  # these come before the publications: `publish` looks at them
            c.retracted.update((of[item], by) for item, by in piece.rows)
        case _Publications():
            for publication in piece.rows:
                c.publish(publication)
        case _Comments():
            for item, count in piece.rows:
                c.comments[of[item]] = count
        case _Foreign():
            for law, item, totals in piece.rows:
                c.put_foreign(law, of[item], totals)
        case _Rulings():
            for ruling in piece.rows:
                c.rule(ruling)
        case _:
            raise ValueError(piece)
