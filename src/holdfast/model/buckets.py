"""Buckets: what the network is told of a video, as hashes into its tables.

Names are hashed, so a video published a second ago has its place at once and no table of names travels with a model. An
id has two buckets from two hashes: videos that share one differ in the other (Svenstrup et al., "Hash Embeddings",
NeurIPS 2017). Bucket 0 means "none".

A video's length is no part of it: the ranker has it as a signal, and here it would tie all vectors to a few rows.

`Buckets` follows one catalogue: only rows that are new or were published again are read.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import TAGS_PER_ITEM, Catalogue, fnv64

Array = NDArray[Any]

COLUMNS = 2 + TAGS_PER_ITEM + 1  # two ids, tags, creator
LENGTHS = 16
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Buckets:
    """int32[n, 15] for every row of a catalogue. `items`, `tags`, `creators`: sizes of the network's tables."""

    def __init__(self, catalogue: Catalogue, items: int, tags: int, creators: int) -> None:
        self.catalogue = catalogue
        self._sizes = (items, tags, creators)
        self._table = np.zeros((256, COLUMNS), np.int32)
        self._published = np.zeros(256, np.int64)
        self._tag = np.zeros(1, np.int32)  # one longer than the tags: index −1 is "no tag"
        self._creator = np.zeros(1, np.int32)
        self._seen = (0, -1)

    def refresh(self) -> Array:
        """Follow the catalogue; return the int64 rows that changed."""
        c, n = self.catalogue, self.catalogue.n
        if self._seen == (n, c.version):
            return np.zeros(0, np.int64)
        old, self._seen = self._seen[0], (n, c.version)
        if n > len(self._table):
            size = 1 << (n - 1).bit_length()
            self._table = np.concatenate([self._table, np.zeros((size - len(self._table), COLUMNS), np.int32)])
            self._published = np.concatenate([self._published, np.zeros(size - len(self._published), np.int64)])
        self._tag = _hashed(self._tag, c.tags.all, self._sizes[1])
        self._creator = _hashed(self._creator, c.creators.all, self._sizes[2])
        again = np.flatnonzero(self._published[:old] != c.published[:old])
        rows = np.concatenate([again, np.arange(old, n)])
        self._fill(rows)
        return rows

    def copy(self) -> "Buckets":
        """Return one that follows the same catalogue from here on by itself."""
        other = Buckets(self.catalogue, *self._sizes)
        other._table, other._published = self._table.copy(), self._published.copy()
        other._tag, other._creator, other._seen = self._tag, self._creator, self._seen
        return other

    def all(self) -> Array:
        """Return int32[n, 15], as of the last `refresh`."""
        return self._table[: self._seen[0]]

    def _fill(self, rows: Array) -> None:
        c, size = self.catalogue, np.uint64(self._sizes[0] - 1)
        ids = c.hashed[rows]
        self._table[rows, 0] = 1 + (ids % size).astype(np.int32)
        self._table[rows, 1] = 1 + ((ids * _MIX >> np.uint64(20)) % size).astype(np.int32)
        self._table[rows, 2 : 2 + TAGS_PER_ITEM] = self._tag[c.tag_rows[rows]]
        self._table[rows, -1] = self._creator[c.creator[rows]]
        self._published[rows] = c.published[rows]


def length_bucket(duration_ms: int) -> int:
    """Return 1 … 15 by half powers of two of a second, 0 where the length is not known."""
    return 1 + min(LENGTHS - 2, int(2 * np.log2(1 + duration_ms / 1000))) if duration_ms > 0 else 0


def _hashed(held: Array, names: list[str], size: int) -> Array:
    """Extend buckets of names, keeping the last one, "none", at 0."""
    if len(held) == len(names) + 1:
        return held
    new = np.array([1 + fnv64(name) % (size - 1) for name in names[len(held) - 1 :]], np.int32)
    return np.concatenate([held[:-1], new, np.zeros(1, np.int32)])
