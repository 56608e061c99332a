"""Closed pieces found again without the record that named them: each carries its chain, epoch and numbers inside.

A keeper's record is small and kept twice, but it is one file in one folder; the pieces may be years of a chain, and for
the personal chains of a jurisdiction's only region there is no peer to ask. So where no record can be read, every blob
is looked at. Found by simulation: two flipped bits, one in each generation, cost all closed blocks.
"""

from dataclasses import dataclass

from holdfast.core.chain import digest_of, unseal
from holdfast.core.classes import Class
from holdfast.core.errors import Broken
from holdfast.core.log.continuity import Key
from holdfast.core.log.segments import MAGIC, unpack
from holdfast.region.keeper_files import PieceFiles
from holdfast.region.keeper_held import HeldEpoch, HeldRecord, Piece


@dataclass(frozen=True, slots=True)
class _Found:
    """A piece and what its neighbours must fit: not its blocks, for all pieces together may be larger than memory."""

    piece: Piece
    prev: bytes  # what its first block names as the digest before it
    end: bytes  # the digest of its last
    opened: int


def found_pieces(files: PieceFiles) -> HeldRecord:
    """Read every piece on disk; return the record that they amount to. For a thread: it reads all of them."""
    found: dict[Key, list[_Found]] = {}
    for cls in Class:
        for path in files.names(cls):
            if len(path.name) == 64 and files.part(cls, path.name, 0, len(MAGIC))[0] == MAGIC:
                try:
                    rows = unpack(data := files.checked(cls, path.name))
                    first = unseal(rows[0])
                except (Broken, IndexError):
                    continue
                piece = Piece(first.n, first.n + len(rows) - 1, path.name, len(data))
                one = _Found(piece, first.prev, digest_of(rows[-1]), first.hlc)
                found.setdefault(Key(first.chain, first.epoch), []).append(one)
    record = HeldRecord()
    for key, pieces in found.items():
        record.chains.setdefault(key.chain, {})[key.epoch] = _row(pieces)
    return record


def _row(found: list[_Found]) -> HeldEpoch:
    """Lay pieces in a row: of those that overlap the largest, and none that does not continue the one before it.

    A smaller piece may have been closed again into a larger one; the piece of a branch names the epoch that it left.
    """
    kept: list[_Found] = []
    for one in sorted(found, key=lambda f: (f.piece.first - f.piece.last, f.piece.first, f.piece.sha)):
        if all(one.piece.last < other.piece.first or one.piece.first > other.piece.last for other in kept):
            kept.append(one)
    kept.sort(key=lambda f: f.piece.first)
    row = kept[:1]
    for one in kept[1:]:
        before = row[-1]
        if one.piece.first > before.piece.last + 1 or one.prev == before.end:
            row.append(one)
    last = row[-1]
    return HeldEpoch(n=last.piece.last, digest=last.end, opened=row[0].opened, pieces=[one.piece for one in row])
