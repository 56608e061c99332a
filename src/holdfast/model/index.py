"""Retrieval by inner product: the k best of n video vectors for a viewer's vector, with the filters inside.

Up to EXACT_MAX videos every vector is looked at: one matrix product answers a whole batch, and at 100,000 videos of
width 64 that costs a query less than decoding its request. Beyond, videos lie in lists by their nearest of `cells`
centres, and a query looks into the nearest lists only (inverted lists over a coarse quantiser: Sivic and Zisserman,
ICCV 2003; Jégou, Douze and Schmid, TPAMI 2011). A graph (HNSW) finds a little faster but takes minutes to build where
lists take seconds, and a network that goes on learning moves every vector a little with every release
(docs/decisions/0005).

Filters cost no recall: what may not be shown is masked before the best are taken, and a query whose lists come out
short looks into more of them, in the end into all.

    exact   vectors [d + 1, n]   the last row is 0 for what may be offered, CLOSED for what may not: the mask is free
    lists   per list: vectors [m, d], rows [m]
"""

from collections.abc import Sequence
from copy import copy
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.feed.predict import Eligible

Array = NDArray[Any]
Found = tuple[Array, Array]  # int64 rows, float32 scores

EXACT_MAX = 200_000  # above it one query alone waits for more than 50 MB of memory
CLOSED = np.float32(-1e30)
BATCH = 16  # queries per product: 16 x 200,000 scores are 13 MB of scratch
TOGETHER = 32  # queries that read lists together: at a million videos 25 MB of scratch
GROUPS = 64  # scores per group in `best`
ROUNDS = 8  # of k-means; more moved recall by less than .002
SAMPLE = 64  # vectors per centre that k-means looks at
PROBES = 64  # lists looked into first; recall at 100 over a million clustered vectors: .90 at 32, .94 at 64, .97 at 128
SLICE = 16_384  # vectors assigned to centres at once
REBUILD_SHARE = 0.05  # beyond this share of touched rows, filing all anew is cheaper than moving each


def best(scores: Array, k: int) -> Array:
    """Return the places of the k largest of float32[n], in any order; fewer only if n < k.

    Exact in two passes: the k-th largest of the group maxima is a bound that at least k scores reach and few others do.
    """
    n = scores.size
    if n <= k:
        return np.arange(n)
    m = n // GROUPS
    if m <= k:
        return np.argpartition(scores, n - k)[n - k :]
    groups = scores[: m * GROUPS].reshape(GROUPS, m)  # strided: any grouping will do
    top = groups.max(0)
    bound = np.partition(top, m - k)[m - k]
    some = np.flatnonzero(top >= bound)  # the other groups have nothing near
    i, j = np.nonzero(groups[:, some] >= bound)
    rest = np.flatnonzero(scores[m * GROUPS :] >= bound) + m * GROUPS
    near = np.concatenate([i * m + some[j], rest])
    return near if near.size == k else near[np.argpartition(scores[near], near.size - k)[near.size - k :]]


class Index:
    """Vectors by catalogue row. Owns its state: `put` between two searches, or build another in a thread and swap."""

    def __init__(self, width: int, exact_max: int = EXACT_MAX) -> None:
        self.width = width
        self.exact_max = exact_max
        self.known = np.zeros(0, bool)  # rows that have a vector
        self._exact: _Exact = _Exact(width)
        self._lists: _Lists | None = None

    @property
    def n(self) -> int:
        """One more than the largest row put."""
        return self.known.size

    def put(self, rows: Array, vectors: Array) -> None:
        """Set the float32[M, d] vectors of int64[M] rows, each row once: new ones or in place of the old."""
        assert vectors.shape == (rows.size, self.width)
        if not rows.size:
            return
        n = max(self.n, int(rows.max()) + 1)
        self.known = np.concatenate([self.known, np.zeros(n - self.n, bool)])
        self.known[rows] = True
        if self._lists is None and n <= self.exact_max:
            self._exact.put(rows, vectors, n)
            return
        if self._lists is not None and rows.size < REBUILD_SHARE * n:
            self._lists.put(rows, vectors, n)
            return
        everything = self.vectors(n)
        everything[rows] = vectors
        self._exact = _Exact(self.width)
        self._lists = _Lists(everything, np.flatnonzero(self.known))

    def vectors(self, n: int | None = None) -> Array:
        """Return a copy of all vectors, float32[n, d]; zeros for rows without one."""
        held = np.zeros((self.n if n is None else n, self.width), np.float32)
        if self._lists is not None:
            self._lists.copy_to(held)
        else:
            have = min(self._exact.n, held.shape[0])
            held[:have] = self._exact.matrix[:-1, :have].T
        return held

    def at(self, rows: Array) -> Array:
        """Return float32[K, d]: the vectors of int64[K] rows; zeros for rows without one."""
        if self._lists is not None:
            return self._lists.at(rows, self.width)
        held: Array = np.zeros((rows.size, self.width), np.float32)
        here = rows < self._exact.n
        held[here] = self._exact.matrix[:-1, rows[here]].T
        return held

    def copy(self) -> "Index":
        """Return an index of its own that holds the same."""
        other = Index(self.width, self.exact_max)
        other.known, other._exact = self.known.copy(), self._exact.copy()
        other._lists = self._lists.copy() if self._lists is not None else None
        return other

    def search(self, users: Array, k: int, eligible: Sequence[Eligible]) -> list[Found]:
        """Return per float32[B, d] user the k best eligible rows that have a vector, in any order, with scores."""
        allowed = {id(e.allowed): self._open(e.allowed) for e in eligible}
        held = self._exact if self._lists is None else self._lists
        found: dict[int, Found] = {}
        for shared, mask in allowed.items():
            mine = [i for i, e in enumerate(eligible) if id(e.allowed) == shared]
            barred = [eligible[i].barred for i in mine]
            found.update(zip(mine, held.search(users[mine], k, mask, barred), strict=True))
        return [found[i] for i in range(len(eligible))]

    def _open(self, allowed: Array) -> Array:
        """bool[n]: allowed, and with a vector."""
        n = min(self.n, allowed.size)
        open_ = np.zeros(self.n, bool)
        np.logical_and(self.known[:n], allowed[:n], out=open_[:n])
        return open_

    def recall(self, users: Array, k: int, eligible: Sequence[Eligible]) -> float:
        """Return the mean share of the true k best that `search` finds for these users: looks at every vector."""
        shares: list[float] = []
        vectors = self.vectors()
        for (rows, _), user, e in zip(self.search(users, k, eligible), users, eligible, strict=True):
            open_ = self._open(e.allowed)
            open_[e.barred[e.barred < self.n]] = False
            at = np.flatnonzero(open_)
            true = at[best(vectors[at] @ user, k)]
            shares.append(float(np.isin(true, rows).mean()) if true.size else 1.0)
        return float(np.mean(shares))


class _Exact:
    """All vectors as the columns of one matrix: a batch of queries is one product."""

    def __init__(self, width: int) -> None:
        self.n = 0
        self.matrix = np.zeros((width + 1, 0), np.float32)

    def put(self, rows: Array, vectors: Array, n: int) -> None:
        if n > self.matrix.shape[1]:
            grown = np.zeros((self.matrix.shape[0], max(256, n + n // 8)), np.float32)
            grown[:, : self.n] = self.matrix[:, : self.n]
            self.matrix = grown
        self.matrix[:-1, rows] = vectors.T
        self.n = n

    def copy(self) -> "_Exact":
        other = copy(self)
        other.matrix = self.matrix.copy()
        return other

    def search(self, users: Array, k: int, open_: Array, barred: Sequence[Array]) -> list[Found]:
        n = self.n
        self.matrix[-1, :n] = np.where(open_, np.float32(0), CLOSED)
        found: list[Found] = []
        for at in range(0, len(users), BATCH):
            some = users[at : at + BATCH]
            asked = np.concatenate([some, np.ones((len(some), 1), np.float32)], axis=1, dtype=np.float32)
            for scores, less in zip(asked @ self.matrix[:, :n], barred[at : at + BATCH], strict=True):
                scores[less[less < n]] = CLOSED
                rows = best(scores, k)
                rows = rows[scores[rows] > CLOSED / 2]
                found.append((rows, scores[rows]))
        return found


class _Lists:
    """Vectors by their nearest centre. `where`: int64[n, 2], list and place of each row, −1 for none."""

    def __init__(self, vectors: Array, rows: Array) -> None:
        self.centres = _centres(vectors[rows])
        self.where = np.full((len(vectors), 2), -1, np.int64)
        cell = _nearest(vectors[rows], self.centres)
        order = np.argsort(cell, kind="stable")
        ends = np.cumsum(np.bincount(cell, minlength=len(self.centres)))
        self.rows = [rows[part] for part in np.split(order, ends[:-1])]
        self.vectors = [vectors[part] for part in self.rows]
        self.size = np.diff(ends, prepend=0)
        self.lock = Lock()  # held while a list changes or is copied: no longer than one row or one list takes
        for i, part in enumerate(self.rows):
            self.where[part, 0], self.where[part, 1] = i, np.arange(part.size)

    def put(self, rows: Array, vectors: Array, n: int) -> None:
        if n > len(self.where):
            self.where = np.concatenate([self.where, np.full((n - len(self.where), 2), -1, np.int64)])
        for row, vector, cell in zip(rows.tolist(), vectors, _nearest(vectors, self.centres).tolist(), strict=True):
            old, place = self.where[row].tolist()
            if old == cell:
                self.vectors[cell][place] = vector
                continue
            with self.lock:
                if old >= 0:
                    self._take_out(old, place)
                self._add(cell, row, vector)

    def _take_out(self, cell: int, place: int) -> None:
        """The last of the list moves into the gap."""
        last = int(self.size[cell]) - 1
        moved = int(self.rows[cell][last])
        self.rows[cell][place], self.vectors[cell][place] = moved, self.vectors[cell][last]
        self.where[moved, 1] = place
        self.size[cell] = last

    def _add(self, cell: int, row: int, vector: Array) -> None:
        place = int(self.size[cell])
        if place == self.rows[cell].size:
            room = max(4, place // 4)
            self.rows[cell] = np.concatenate([self.rows[cell], np.zeros(room, np.int64)])
            self.vectors[cell] = np.concatenate([self.vectors[cell], np.zeros((room, vector.size), np.float32)])
        self.rows[cell][place], self.vectors[cell][place] = row, vector
        self.where[row] = cell, place
        self.size[cell] = place + 1

    def at(self, rows: Array, width: int) -> Array:
        held: Array = np.zeros((rows.size, width), np.float32)
        for i, row in enumerate(rows.tolist()):
            cell, place = self.where[row].tolist() if row < len(self.where) else (-1, -1)
            if cell >= 0:
                held[i] = self.vectors[cell][place]
        return held

    def copy(self) -> "_Lists":
        """Return lists of its own. A thread may ask while the loop puts: each row is then once in them or not at all,
        and what was put meanwhile may have an old vector."""
        other = copy(self)
        other.size = self.size.copy()  # first: what is added meanwhile stands beyond it
        held = [self._copied(i) for i in range(len(self.rows))]
        other.rows, other.vectors = [rows for rows, _ in held], [vectors for _, vectors in held]
        other.lock, other.where = Lock(), np.full_like(self.where, -1)
        for i, (rows, size) in enumerate(zip(other.rows, other.size.tolist(), strict=True)):
            other.where[rows[:size], 0], other.where[rows[:size], 1] = i, np.arange(size)
        for i, (rows, size) in enumerate(zip(other.rows, other.size.tolist(), strict=True)):
            here = (other.where[rows[:size], 0] == i) & (other.where[rows[:size], 1] == np.arange(size))
            if not here.all():  # a row that moved meanwhile: it counts where it was found last
                other.rows[i], other.vectors[i] = rows[:size][here], other.vectors[i][:size][here]
                other.size[i] = here.sum()
                other.where[other.rows[i], 1] = np.arange(other.rows[i].size)
        return other

    def _copied(self, i: int) -> tuple[Array, Array]:
        """A list's rows and their vectors, of one moment."""
        with self.lock:
            return self.rows[i].copy(), self.vectors[i].copy()

    def copy_to(self, held: Array) -> None:
        for rows, vectors, size in zip(self.rows, self.vectors, self.size.tolist(), strict=True):
            held[rows[:size]] = vectors[:size]

    def search(self, users: Array, k: int, open_: Array, barred: Sequence[Array]) -> list[Found]:
        found: list[Found] = []
        for at in range(0, len(users), TOGETHER):
            some = users[at : at + TOGETHER]
            near = np.argsort(-(some @ self.centres.T), axis=1)
            looked = self._look(some, near[:, :PROBES])
            for user, order, seen, less in zip(some, near, looked, barred[at : at + TOGETHER], strict=True):
                found.append(self._best(user, k, open_, less, order, seen))
        return found

    def _best(self, user: Array, k: int, open_: Array, barred: Array, near: Array, seen: Found) -> Found:
        """The k best of what was `seen`; of more lists, in the order of `near`, if that leaves too few."""
        shut = barred[barred < open_.size]
        shut = shut[open_[shut]]  # closed for this query, and open again for the next: no look at every row
        open_[shut] = False
        probes = PROBES
        while True:
            rows, scores = seen
            keep = open_[rows]
            if int(keep.sum()) >= k or probes >= near.size:
                break
            probes *= 4
            seen = self._look(user[None], near[None, :probes])[0]
        open_[shut] = True
        rows, scores = rows[keep], scores[keep]
        at = best(scores, k)
        return rows[at], scores[at]

    def _look(self, users: Array, cells: Array) -> list[Found]:
        """Score the lists int64[B, P] of each user. List by list, so that one read from memory serves all who ask."""
        sizes = self.size[cells]
        rows = [np.empty(many, np.int64) for many in sizes.sum(1).tolist()]
        scores = [np.empty(found.size, np.float32) for found in rows]
        filled = [0] * len(rows)
        order = np.argsort(cells, axis=None, kind="stable")
        whose, lists = (order // cells.shape[1]).tolist(), cells.ravel()[order].tolist()
        for i, cell, m in zip(whose, lists, sizes.ravel()[order].tolist(), strict=True):
            part = slice(filled[i], filled[i] + m)
            rows[i][part] = self.rows[cell][:m]
            np.dot(self.vectors[cell][:m], users[i], out=scores[i][part])
            filled[i] += m
        return list(zip(rows, scores, strict=True))


def _centres(vectors: Array) -> Array:
    """Return float32[C, d] centres of length 1: spherical k-means on an even sample. The same vectors give the same."""
    count = 1 << max(4, round(np.log2(max(1, len(vectors)) ** 0.5)))  # √n, which balances centres and list lengths
    sample = vectors[np.linspace(0, len(vectors) - 1, min(len(vectors), SAMPLE * count)).astype(np.int64)]
    centres = sample[np.linspace(0, len(sample) - 1, count).astype(np.int64)].copy()
    for _ in range(ROUNDS):
        cell = _nearest(sample, centres)
        sizes = np.bincount(cell, minlength=count)
        some = np.flatnonzero(sizes)
        starts = np.concatenate([[0], np.cumsum(sizes[some])[:-1]])
        sums = np.add.reduceat(sample[np.argsort(cell, kind="stable")], starts, axis=0)
        centres[some] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centres


def _nearest(vectors: Array, centres: Array) -> Array:
    """Return int64[M]: the centre of largest inner product of each vector."""
    cells = [(vectors[i : i + SLICE] @ centres.T).argmax(1) for i in range(0, len(vectors), SLICE)]
    return np.concatenate(cells) if cells else np.zeros(0, np.int64)
