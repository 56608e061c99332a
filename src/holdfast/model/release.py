"""Releases of the network: the bytes that travel from the learner to the nodes, whole or as what changed.

    whole    tables in half precision, everything else in single
    change   the whole it builds upon, by digest; only the table rows that differ from it, and everything else

Everything else is small (blocks, heads); the tables are most of a network and most of their rows were not touched since
the last whole release, bit for bit (`model.online`). A node that holds the whole fetches kilobytes.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import Broken
from holdfast.model import full
from holdfast.model.full import FullModel
from holdfast.model.sizes import TABLES, leaves, planted, shapes

Array = NDArray[Any]

VERSION = 1
CHANGE_MAX = 0.5  # of all table rows: beyond that a whole release costs no more


class _Table(msgspec.Struct, array_like=True, frozen=True):
    rows: bytes  # int32, little-endian; empty in a whole release: all
    values: bytes  # float16[rows, d]


class _Blob(msgspec.Struct, array_like=True, frozen=True):
    version: int
    base: str
    examples: int
    tables: dict[str, _Table]
    rest: list[bytes]  # float32 leaves, in the order of the tree


def rounded(model: FullModel) -> FullModel:
    """Return the model as it will be served: tables in half precision."""
    net = dict(model.params["net"])
    with np.errstate(over="ignore"):
        net.update({k: np.asarray(net[k]).astype(np.float16).astype(np.float32) for k in TABLES})
    return FullModel({"net": net, "rank": model.params["rank"]}, model.size, model.examples)


def dump(model: FullModel, base: tuple[str, FullModel] | None = None) -> bytes:
    """Encode a model for release: whole, or as the change from `base` (digest, and the model that it holds)."""
    tables, rest = _parts(model)
    whole = {k: _Table(b"", _half(v)) for k, v in tables.items()}
    digest = ""
    if base is not None:
        held, _ = _parts(base[1])
        moved = {k: _moved(v, held[k]) for k, v in tables.items()}
        if sum(r.size for r in moved.values()) <= CHANGE_MAX * sum(len(v) for v in tables.values()):
            digest = base[0]
            whole = {k: _Table(r.astype("<i4").tobytes(), _half(tables[k][r])) for k, r in moved.items()}
    single = [np.asarray(leaf).astype("<f4").tobytes() for leaf in leaves(rest)]
    return msgspec.msgpack.encode(_Blob(VERSION, digest, model.examples, whole, single))


def _half(values: Array) -> bytes:
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float16).tobytes()


def _moved(new: Array, old: Array) -> Array:
    """Rows of float[N, d] that differ in half precision."""
    with np.errstate(over="ignore"):
        return np.flatnonzero((np.asarray(new).astype(np.float16) != np.asarray(old).astype(np.float16)).any(1))


def base_of(data: bytes) -> str:
    """Return the digest of the whole release that this one builds upon, "" if it is one. Raises Broken."""
    return _read(data).base


def load(data: bytes, base: FullModel | None = None, size: full.Size = full.LIVE) -> FullModel:
    """Decode a release; a change needs its `base`. Raises Broken unless it is whole and every weight a number."""
    blob = _read(data)
    if bool(blob.base) != (base is not None):
        raise Broken("a change needs the release it builds upon, and a whole one none")
    tables, rest = _parts(FullModel(shapes(size), size))
    try:
        found = [np.frombuffer(raw, "<f4").reshape(shape) for raw, shape in zip(blob.rest, leaves(rest), strict=True)]
        held = _parts(base)[0] if base is not None else {}
        net = {k: _table(blob.tables[k], held.get(k), tables[k]) for k in TABLES}
    except (KeyError, ValueError, IndexError) as e:
        raise Broken(f"the network is not of this size: {e}") from e
    other = planted(rest, found)
    model = FullModel({"net": {**other["net"], **net}, "rank": other["rank"]}, size, blob.examples)
    if not model.finite() or blob.examples < 0:
        raise Broken("the network holds weights that are not numbers")
    return model


def _read(data: bytes) -> _Blob:
    try:
        blob = msgspec.msgpack.decode(data, type=_Blob)
    except msgspec.MsgspecError as e:
        raise Broken(f"the network does not decode: {e}") from e
    if blob.version != VERSION:
        raise Broken(f"a network of version {blob.version}, not {VERSION}")
    return blob


def _parts(model: FullModel) -> tuple[dict[str, Any], Any]:
    net = model.params["net"]
    rest = {"net": {k: v for k, v in net.items() if k not in TABLES}, "rank": model.params["rank"]}
    return {k: net[k] for k in TABLES}, rest


def _table(table: _Table, held: Array | None, shape: tuple[int, ...]) -> Array:
    values = np.frombuffer(table.values, np.float16).astype(np.float32)
    if held is None:
        return values.reshape(shape)
    rows = np.frombuffer(table.rows, "<i4")
    if rows.size and (rows.min() < 0 or rows.max() >= shape[0]):
        raise ValueError("a row that there is not")
    out = held.copy()
    out[rows] = values.reshape(rows.size, shape[1])
    return out
