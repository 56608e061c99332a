"""The network's answers in NumPy: what a node computes, from the parameters that the learner trains in JAX.

`network` and `ranker` say what the model is, and are what is trained. Serving asks for the same numbers in another
manner: a few hundred rows at a time, of a count that differs with every request, on one thread of a CPU. There BLAS
with the fixed parts of each product folded into the weights once per release is faster than a compiled function that
must pad to its shape (docs/performance.md), needs no compiling, and spares a node the memory of a compiler
(docs/decisions/0006). Both give the same to 1e-5 (tests/model/test_forward.py), and a node checks it for each release.

What is folded: the norms' scales into the matrix that follows, the members' scales and the wide path into one matrix
over the bins, the root of the width into keys and queries.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import TAGS_PER_ITEM
from holdfast.model.sizes import CONV, EPS, NetworkShape, Params, RankerShape

Array = NDArray[Any]

ROWS = 512  # candidates per turn of the trunk: what it needs then stays in the cache of a core
CALM = 60.0  # attention logits that cannot be larger need no shift before exp in float32


class Encoder:
    """Histories and videos → vectors, as `network` defines them."""

    def __init__(self, params: Params, shape: NetworkShape) -> None:
        held = _floats(params)
        self.shape = shape
        self._tables = [held[name] for name in ("item", "tag", "creator")]
        for table in self._tables:
            table[0] = 0.0  # bucket 0 is "none"
        self._acts = [held[name] * np.float32(shape.width**0.5) for name in ("action", "dwell", "gap")]
        self._user = held["user_scale"][:, None] * held["user"]
        t = shape.length
        distance = np.clip(np.arange(t)[:, None] - np.arange(t)[None, :], 0, None)
        past = np.tril(np.ones((t, t), bool))
        self._blocks = [self._block(block, distance, past) for block in held["blocks"]]

    def _block(self, block: Params, distance: Array, past: Array) -> dict[str, Array]:
        d, heads = self.shape.width, self.shape.heads
        qkvu = block["qkvu"].copy()
        qkvu[:, :d] *= (d // heads) ** -0.5
        return {
            "conv": block["conv"] * block["norm"], "qkvu": qkvu, "out": block["out"],
            "bias": np.where(past, block["bias"][:, distance], np.float32(-1e9)),
            "up": block["ffn_norm"][:, None] * block["up"], "down": block["down"],
        }  # fmt: skip

    def videos(self, buckets: Array) -> tuple[Array, Array]:
        """int32[M, 15] of `Buckets` → float32[M, d] video vectors and float32[M, d] their retrieval side."""
        item, tag, creator = self._tables
        last = 2 + TAGS_PER_ITEM
        tags = buckets[:, 2:last]
        many = np.maximum((tags > 0).sum(1, keepdims=True), 1).astype(np.float32)
        found = item[buckets[:, 0]] + item[buckets[:, 1]] + creator[buckets[:, last]]
        for k in range(TAGS_PER_ITEM):
            some = tags[:, k]
            if not some.any():
                continue
            found += tag[some] / np.sqrt(many)
        return found, unit(found)

    def states(self, vec: Array, action: Array, dwell: Array, gap: Array) -> tuple[Array, Array]:
        """Histories [B, T] (0 in `action`: padding) → states float32[B, T, d], user vectors float32[B, d]."""
        b, t, d = vec.shape
        real = action > 0
        whole = bool(real.all())
        x = vec * np.float32(d**0.5)
        for table, column in zip(self._acts, (action, dwell, gap), strict=True):
            x += table[column]
        if not whole:
            x *= real[..., None]
        x = x.reshape(-1, d)
        shut = None if whole else np.where(real[:, None, None, :] | np.eye(t, dtype=bool), np.float32(0), -1e9)
        for block in self._blocks:
            x += self._attend(block, x, b, t, shut)
            y = _rms(x) @ block["up"]
            x += (_silu(y[:, : 2 * d]) * y[:, 2 * d :]) @ block["down"]
        states = x.reshape(b, t, d)
        return states, unit(_rms(states[:, -1]) @ self._user)

    def _attend(self, block: dict[str, Array], x: Array, b: int, t: int, shut: Array | None) -> Array:
        d, h = self.shape.width, self.shape.heads
        e, conv = d // h, block["conv"]
        plain = _rms(x).reshape(b, t, d)
        mixed = plain * conv[-1]
        for i in range(1, CONV):
            mixed[:, i:] += plain[:, : t - i] * conv[CONV - 1 - i]
        qkvu = mixed.reshape(-1, d) @ block["qkvu"]
        q, k, v = (qkvu[:, i * d : (i + 1) * d].reshape(b, t, h, e).transpose(0, 2, 1, 3) for i in range(3))
        weights = np.matmul(q, k.transpose(0, 1, 3, 2))  # [B, h, T, T]
        weights += block["bias"][:, :t, :t]
        if shut is not None:
            weights += shut
        weights -= weights.max(-1, keepdims=True)
        np.exp(weights, out=weights)
        seen = np.matmul(weights, v)
        seen /= weights.sum(-1)[..., None]
        return (seen.transpose(0, 2, 1, 3).reshape(-1, d) * _silu(qkvu[:, 3 * d :])) @ block["out"]


class Scorer:
    """Candidates of several viewers → probabilities, as `ranker` defines them."""

    def __init__(self, params: Params, shape: RankerShape) -> None:
        held = _floats(params)
        self.shape, d, m = shape, shape.width, shape.members
        low, high = held["edges"][:, :-1], held["edges"][:, 1:]
        steep = 1.0 / np.maximum(high - low, np.float32(EPS))  # [F, Q]
        self._steep = (np.eye(shape.features, dtype=np.float32)[:, :, None] * steep).reshape(shape.features, -1)
        self._from = (low * steep).ravel()
        spread = np.concatenate([held["scale"][k][:, None] * held["in"] for k in range(m)], axis=1)  # [I, M·H]
        binned = shape.features * shape.bins
        self._bins = np.concatenate([spread[:binned], held["wide"]], axis=1)
        self._rest = np.ascontiguousarray(spread[binned:])
        self._in_bias = held["in_bias"].ravel()
        self._mid = [held["mid_scale"][k][:, None] * held["mid"] for k in range(m)]
        self._mid_bias, self._out, self._bias = held["mid_bias"], held["out"], held["bias"]
        self._query = held["query"] * np.float32(d**0.5)
        self._look = np.concatenate([held["key"], held["value"]], axis=1)
        self._sink = held["sink"]
        self._calibration = held["calibration"]

    def chances(self, states: Array, mask: Array, candidates: Array, numbers: Array, counts: list[int]) -> Array:
        """Return float32[N, A]: P(action) of each candidate.

        states [B, T, d], mask bool[B, T]; candidates [N, d] and numbers [N, F] of one viewer after the other,
        `counts` of each.
        """
        out = np.empty((len(candidates), self._bias.size), np.float32)
        seen = self._seen(states, mask, candidates, counts)
        with np.errstate(over="ignore"):  # exp(−x) of a hopeless x: 1 / inf is the 0 that is meant
            for at in range(0, len(candidates), ROWS):
                part = slice(at, at + ROWS)
                out[part] = self._trunk(candidates[part], seen[part], numbers[part])
        return out

    def _seen(self, states: Array, mask: Array, candidates: Array, counts: list[int]) -> Array:
        """Target attention: what each candidate finds in its viewer's states, float32[N, d]."""
        b, t, d = states.shape
        h = self.shape.heads
        e = d // h
        q = unit(candidates) @ self._query
        kv = unit(states.reshape(-1, d)) @ self._look
        keys = kv[:, :d].reshape(b, t, h, e).transpose(0, 2, 3, 1)
        values = np.ones((b, h, t, e + 1), np.float32)  # the last column adds up the weights in the same product
        values[..., :e] = kv[:, d:].reshape(b, t, h, e).transpose(0, 2, 1, 3)
        calm = _longest(q) * _longest(kv[:, :d]) < CALM and float(np.abs(self._sink).max()) < CALM
        seen = np.empty((len(candidates), d), np.float32)
        at = 0
        for i, k in enumerate(counts):
            logits = np.matmul(q[at : at + k].reshape(k, h, e).transpose(1, 0, 2), keys[i])  # [h, K, T]
            if not mask[i].all():
                logits[..., ~mask[i]] = -1e9
            sink = self._sink[:, None]
            if not calm:
                top = np.maximum(logits.max(-1), sink)
                logits -= top[..., None]
                sink = sink - top
            np.exp(logits, out=logits)
            found = np.matmul(logits, values[i])  # [h, K, e + 1]
            share = found[..., :e] / (found[..., e:] + np.exp(sink)[..., None])
            seen[at : at + k] = share.transpose(1, 0, 2).reshape(k, d)
            at += k
        return seen

    def _trunk(self, candidates: Array, seen: Array, numbers: Array) -> Array:
        m, h = self.shape.members, self.shape.hidden
        bins = numbers @ self._steep  # a product spreads them faster than broadcasting does
        bins -= self._from
        np.clip(bins, 0.0, 1.0, out=bins)
        y = bins @ self._bins
        x = np.concatenate([candidates, seen, candidates * seen], axis=1) @ self._rest
        x += y[:, : m * h]
        x += self._in_bias
        x = _silu(x)
        wide = y[:, m * h :] + self._bias
        chance: Array = np.zeros_like(wide)
        for k in range(m):
            mine = x[:, k * h : (k + 1) * h]
            logits = (mine + _silu(mine @ self._mid[k] + self._mid_bias[k])) @ self._out[k]
            chance += _sigmoid(logits + wide)
        chance = np.clip(chance / np.float32(m), np.float32(EPS), np.float32(1 - EPS))
        scale, shift = self._calibration
        return _sigmoid(scale * np.log(chance / (1 - chance)) + shift)


def _floats(params: Any) -> Any:
    """Return a tree of float32 copies."""
    if isinstance(params, dict):
        return {key: _floats(value) for key, value in params.items()}
    return [_floats(p) for p in params] if isinstance(params, list) else np.array(params, np.float32)


def _rms(x: Array) -> Array:
    return x / np.sqrt(np.einsum("...i,...i->...", x, x)[..., None] / np.float32(x.shape[-1]) + np.float32(EPS))


def unit(x: Array) -> Array:
    """Return each row of float32[…, d] with length 1."""
    return x / np.sqrt(np.einsum("...i,...i->...", x, x)[..., None] + np.float32(EPS))


def _longest(x: Array) -> float:
    """The largest length of a row."""
    return float(np.einsum("ni,ni->n", x, x).max(initial=0.0)) ** 0.5


def _silu(x: Array) -> Array:
    return x * _sigmoid(x)


def _sigmoid(x: Array) -> Array:
    down = np.exp(-x)
    down += np.float32(1.0)
    return np.reciprocal(down, out=down)
