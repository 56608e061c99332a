"""Closed pieces found again without the record that named them: each carries its chain, epoch and numbers inside.

A keeper's record is small and kept twice, but it is one file in one folder; the pieces may be years of a chain, and for
the personal chains of a jurisdiction's only region there is no peer to ask. So where no record can be read, every blob
is looked at. Found by simulation: two flipped bits, one in each generation, cost all closed blocks.
"""

from holdfast.core.chain import digest_of, unseal
from holdfast.core.classes import Class
from holdfast.core.errors import Broken
from holdfast.core.log.continuity import Key
from holdfast.core.log.segments import MAGIC, unpack
from holdfast.region.keeper_files import PieceFiles
from holdfast.region.keeper_held import HeldEpoch, HeldRecord, Piece


def found_pieces(files: PieceFiles) -> HeldRecord:
    """Read every piece on disk; return the record that they amount to. For a thread: it reads all of them."""
    found: dict[Key, list[tuple[Piece, list[bytes]]]] = {}
    for cls in Class:
        for path in files.names(cls):
            if len(path.name) == 64 and files.part(cls, path.name, 0, len(MAGIC))[0] == MAGIC:
                try:
                    rows = unpack(data := files.checked(cls, path.name))
                    first = unseal(rows[0])
                except (Broken, IndexError):
                    continue
                piece = Piece(first.n, first.n + len(rows) - 1, path.name, len(data))
                found.setdefault(Key(first.chain, first.epoch), []).append((piece, rows))
    record = HeldRecord()
    for key, pieces in found.items():
        record.chains.setdefault(key.chain, {})[key.epoch] = _row(pieces)
    return record


def _row(found: list[tuple[Piece, list[bytes]]]) -> HeldEpoch:
    """Lay pieces in a row: of those that overlap the largest, and none that does not continue the one before it.

    A smaller piece may have been closed again into a larger one; the piece of a branch names the epoch that it left.
    """
    kept: list[tuple[Piece, list[bytes]]] = []
    for piece, rows in sorted(found, key=lambda f: (f[0].first - f[0].last, f[0].first, f[0].sha)):
        if all(piece.last < other.first or piece.first > other.last for other, _ in kept):
            kept.append((piece, rows))
    kept.sort(key=lambda f: f[0].first)
    row = kept[:1]
    for piece, rows in kept[1:]:
        before, theirs = row[-1]
        if piece.first > before.last + 1 or unseal(rows[0]).prev == digest_of(theirs[-1]):
            row.append((piece, rows))
    last, rows = row[-1]
    opened = unseal(row[0][1][0]).hlc
    return HeldEpoch(n=last.last, digest=digest_of(rows[-1]), opened=opened, pieces=[piece for piece, _ in row])
