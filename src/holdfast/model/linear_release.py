"""A release of the linear rung: names, weights, and what goes out of it and comes back.

A model knows features by name ("i:clip", "t:tides", "c:mara"), because rows differ from process to process. A small one
is released whole; of a large one each feature keeps its strongest weights, and the videos that have none there bring
their followers along (`cowatch`).
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import Broken

Array = NDArray[Any]

VERSION = 2
FEATURES_MAX = 16_384  # a blob beyond this is damaged or hostile: 512 MB
FOLLOWERS_MAX = 20_000_000


@dataclass(frozen=True, slots=True)
class Sparse:
    """A weight matrix by rows: int32[D, K] columns, float32[D, K] values, the K strongest of each row."""

    columns: Array
    values: Array

    @staticmethod
    def strongest(weights: Array, k: int) -> "Sparse":
        """Keep the k largest magnitudes of each row of float32[D, D]."""
        k = min(k, weights.shape[1])
        columns = np.empty((len(weights), k), np.int32)
        values = np.empty((len(weights), k), np.float32)
        for i, row in enumerate(weights):
            columns[i] = np.argpartition(-np.abs(row), k - 1)[:k]
            values[i] = row[columns[i]]
        return Sparse(columns, values)


@dataclass(frozen=True, slots=True)
class Followers:
    """What is watched after what, by video: int32[P] sources and targets (places in `videos`), float32[P] shares."""

    videos: list[str] = field(default_factory=list[str])
    sources: Array = field(default_factory=lambda: np.zeros(0, np.int32))
    targets: Array = field(default_factory=lambda: np.zeros(0, np.int32))
    shares: Array = field(default_factory=lambda: np.zeros(0, np.float32))

    @staticmethod
    def of_rows(names: list[str], sources: Array, targets: Array, shares: Array) -> "Followers":
        """Name the rows; pairs come out ordered by source."""
        rows, at = np.unique(np.concatenate([sources, targets]), return_inverse=True)
        split = np.split(at.astype(np.int32), [sources.size])
        order = np.argsort(split[0], kind="stable")
        return Followers([names[row] for row in rows.tolist()], split[0][order], split[1][order], shares[order])


class _Blob(msgspec.Struct, array_like=True, frozen=True):
    """The release format: float16 weights, row-major [D, K]; int32 columns, none if K = D and they are in order."""

    version: int
    names: list[str]
    examples: float
    weights: bytes
    columns: bytes
    videos: list[str]
    sources: bytes
    targets: bytes
    shares: bytes


class LinearModel:
    """A released model. `weights`: float32[D, D], row = feature of the history, column = feature of the next video.

    `examples`: how many it was learned from, yesterday's counting half.
    """

    def __init__(
        self, names: list[str], examples: float, weights: "Array | Sparse", followers: Followers | None = None
    ) -> None:
        assert isinstance(weights, Sparse) or weights.shape == (len(names), len(names))
        self.names = names
        self.examples = examples
        self.weights = weights
        self.followers = followers or Followers()

    @property
    def values(self) -> Array:
        """The weights that are kept."""
        return self.weights.values if isinstance(self.weights, Sparse) else self.weights

    def finite(self) -> bool:
        """Say whether every weight is a number."""
        return bool(np.isfinite(self.values).all() and np.isfinite(self.followers.shares).all())


def dump(model: LinearModel) -> bytes:
    """Encode a model for release. In half precision: three digits are more than the data support."""
    f = model.followers
    with np.errstate(over="ignore"):
        weights, shares = model.values.astype(np.float16).tobytes(), f.shares.astype(np.float16).tobytes()
    columns = model.weights.columns.tobytes() if isinstance(model.weights, Sparse) else b""
    return msgspec.msgpack.encode(_Blob(
        VERSION, model.names, model.examples, weights, columns,
        f.videos, f.sources.tobytes(), f.targets.tobytes(), shares,
    ))  # fmt: skip


def load(data: bytes) -> LinearModel:
    """Decode a released model. Raises Broken unless it is whole and every weight a finite number."""
    try:
        blob = msgspec.msgpack.decode(data, type=_Blob)
    except msgspec.MsgspecError as e:
        raise Broken(f"the model does not decode: {e}") from e
    d = len(blob.names)
    if blob.version != VERSION or d > FEATURES_MAX or len(set(blob.names)) != d:
        raise Broken(f"not a version {VERSION} model of {d} features")
    try:
        model = LinearModel(blob.names, blob.examples, _weights(blob, d), _followers(blob))
    except ValueError as e:
        raise Broken(f"the model does not hold together: {e}") from e
    if not model.finite() or not 0 <= blob.examples < np.inf:
        raise Broken("the model holds weights that are not numbers")
    return model


def _weights(blob: _Blob, d: int) -> "Array | Sparse":
    """Raises ValueError."""
    values = np.frombuffer(blob.weights, np.float16).astype(np.float32)
    if not blob.columns:
        return values.reshape(d, d)
    columns = np.frombuffer(blob.columns, np.int32).reshape(d, -1)
    if columns.min(initial=0) < 0 or columns.max(initial=0) >= d:
        raise ValueError("a weight of a feature that is not there")
    return Sparse(columns, values.reshape(columns.shape))


def _followers(blob: _Blob) -> Followers:
    """Raises ValueError."""
    sources, targets = np.frombuffer(blob.sources, np.int32), np.frombuffer(blob.targets, np.int32)
    shares = np.frombuffer(blob.shares, np.float16).astype(np.float32)
    if not sources.size == targets.size == shares.size or sources.size > FOLLOWERS_MAX:
        raise ValueError("lists of followers of different length")
    both = np.concatenate([sources, targets])
    if both.min(initial=0) < 0 or both.max(initial=-1) >= len(blob.videos) or (np.diff(sources) < 0).any():
        raise ValueError("a follower that is not there")
    return Followers(blob.videos, sources, targets, shares)
