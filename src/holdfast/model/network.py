"""The network's encoder and retrieval head: what a viewer did, read in order, becomes a vector beside the videos' own.

A video is the sum of what is known of it: two hashed buckets of its id (two, so that videos that share one differ in
the other), its tags, its creator, its length. Nothing else is needed, so a video published a second ago has a vector at
once and grows its own as its buckets learn. A viewer has no embedding at all: a viewer is what a causal transformer
makes of the last events, so an erased history leaves nothing of its own behind.

One event is the video's vector plus what was done with it (action, share watched, time since the last one). Each block
is pre-norm attention whose output is gated, as in HSTU (Zhai et al., ICML 2024), and a SwiGLU (Shazeer, 2020). Two
things are for feeds, where the newest events say most: a short causal convolution before attention (Primer, So et al.,
NeurIPS 2021) sees the order of the last four events without spending attention on it, and attention has a learned bias
per distance (T5, HSTU), so that "the last three" is one number per head and not something to infer. Distances need no
absolute positions: windows may be cut anywhere.

Retrieval is an inner product: score = user · item, both of length 1, so an index by cosine and one by inner product
find the same videos. Training multiplies the score by exp(params["temperature"]) before the softmax; ranking need not.

Pure functions over a dict of arrays: `init`, `item_vectors`, `states`, `user_vectors`, `retrieval_items`. float32 in
and out; the same code runs on a CPU or any accelerator.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from holdfast.model.sizes import CONV, EPS
from holdfast.model.sizes import NetworkShape as Shape

Array = jax.Array
Params = dict[str, Any]

TAGS = 12  # tag slots per video, as core.catalogue.TAGS_PER_ITEM
TEMPERATURE = 2.5  # log of the first softmax temperature; learned after that


class Items(NamedTuple):
    """What is known of N videos, as buckets; 0 = none."""

    ids: Array  # int32[N, 2] two hashes of the id (or one index and 0)
    tags: Array  # int32[N, K], K up to TAGS
    creator: Array  # int32[N]
    length: Array  # int32[N] bucket of the video's length


class Events(NamedTuple):
    """B histories of T events, oldest first, padded on the left."""

    vec: Array  # float32[B, T, d] item vectors, of `item_vectors`
    action: Array  # int32[B, T] what was done; 0 = padding
    dwell: Array  # int32[B, T] bucket of the share watched; 0 = not known
    gap: Array  # int32[B, T] bucket of the time since the event before; 0 = not known


def init(key: Array, shape: Shape) -> Params:
    """Return the first parameters: a dict (of lists of dicts) of float32 arrays."""
    d, keys = shape.width, iter(jax.random.split(key, 8 + 5 * shape.layers))

    def table(rows: int, scale: float) -> Array:
        return jax.random.normal(next(keys), (rows, d)) * (scale / d**0.5)

    def dense(rows: int, columns: int, scale: float = 1.0) -> Array:
        return jax.random.normal(next(keys), (rows, columns)) * (scale / rows**0.5)

    small = 0.5 / shape.layers**0.5  # the residual stream starts as the events themselves
    return {
        "item": table(shape.item_buckets, 1.0),
        "tag": table(shape.tag_buckets, 0.5),
        "creator": table(shape.creator_buckets, 0.5),
        "length": table(shape.length_buckets, 0.1),
        "action": table(shape.actions, 0.1),
        "dwell": table(shape.dwells, 0.1),
        "gap": table(shape.gaps, 0.1),
        "user": dense(d, d),
        "user_scale": jnp.ones(d),
        "temperature": jnp.asarray(TEMPERATURE),
        "blocks": [
            {
                "norm": jnp.ones(d),
                "conv": jnp.zeros((CONV, d)).at[-1].set(1.0),  # starts as "only the newest"
                "qkvu": dense(d, 4 * d),
                "bias": jnp.zeros((shape.heads, shape.length)),  # per distance, 0 = the event itself
                "out": dense(d, d, small),
                "ffn_norm": jnp.ones(d),
                "up": dense(d, 4 * d),  # gate and value, hidden 2 d
                "down": dense(2 * d, d, small),
            }
            for _ in range(shape.layers)
        ],
    }


def item_vectors(params: Params, shape: Shape, items: Items) -> Array:
    """Return float32[N, d]: the vector of each video, from its ids and from what is known of its content."""
    assert items.tags.shape[-1] <= TAGS and items.ids.shape[-1] == 2, "Items holds two ids and up to TAGS tags a video"
    ids = _some(params["item"], items.ids).sum(-2)  # [N, d]
    tags = _some(params["tag"], items.tags).sum(-2)
    tags = tags * lax.rsqrt(jnp.maximum((items.tags > 0).sum(-1, keepdims=True), 1).astype(tags.dtype))
    return ids + tags + _some(params["creator"], items.creator) + _some(params["length"], items.length)


def _some(table: Array, buckets: Array) -> Array:
    """Rows of a table; bucket 0 gives zeros."""
    return table[buckets] * (buckets > 0)[..., None]


def states(params: Params, shape: Shape, events: Events, key: Array | None = None, dropout: float = 0.0) -> Array:
    """Return float32[B, T, d]: after each event, what is known of the viewer. State t sees events 0..t only.

    T may be shorter than `shape.length`, not longer. With a `key`, a share `dropout` of inputs and of each block's
    output is dropped (training only).
    """
    t, d = events.vec.shape[-2:]
    assert t <= shape.length and d == shape.width
    keep = _Dropout(key, dropout)
    x = events.vec * d**0.5  # [B, T, d]
    x = x + (params["action"][events.action] + params["dwell"][events.dwell] + params["gap"][events.gap]) * d**0.5
    real = events.action > 0  # [B, T]
    x = keep(x * real[..., None])
    mask = jnp.tril(jnp.ones((t, t), bool)) & real[:, None, :]  # [B, T, T]
    mask = mask | jnp.eye(t, dtype=bool)  # padding sees itself: no row without a key, no NaN
    for block in params["blocks"]:
        x = x + keep(_attend(block, shape, x, mask))
        x = x + keep(_gated(block, x))
    return x


def user_vectors(params: Params, states: Array) -> Array:
    """Return float32[..., d] of length 1: the viewer's side of the retrieval score."""
    return _unit(_dense(_rms(states, params["user_scale"]), params["user"]))


def retrieval_items(params: Params, item_vectors: Array) -> Array:
    """Return float32[N, d] of length 1: the videos' side of the retrieval score. Needs no parameters today."""
    return _unit(item_vectors)


class _Dropout:
    """Draws a fresh mask per call; does nothing without a key."""

    def __init__(self, key: Array | None, share: float) -> None:
        self.key = key
        self.share = share

    def __call__(self, x: Array) -> Array:
        if self.key is None or self.share <= 0:
            return x
        self.key, mine = jax.random.split(self.key)
        return x * jax.random.bernoulli(mine, 1 - self.share, x.shape) / (1 - self.share)


def _attend(block: Params, shape: Shape, x: Array, mask: Array) -> Array:
    """Gated causal attention: x [B, T, d], mask [B, T, T] → [B, T, d]."""
    b, t, d = x.shape
    h, e = shape.heads, d // shape.heads
    mixed = _recent(_rms(x, block["norm"]), block["conv"])
    q, k, v, u = jnp.split(_dense(mixed, block["qkvu"]), 4, axis=-1)  # each [B, T, d]
    q, k, v = (a.reshape(b, t, h, e) for a in (q, k, v))
    distance = jnp.clip(jnp.arange(t)[:, None] - jnp.arange(t)[None, :], 0)  # [T, T]
    logits = jnp.einsum("bthe,bshe->bhts", q, k) * e**-0.5 + block["bias"][:, distance]
    weights = jax.nn.softmax(jnp.where(mask[:, None], logits, -1e9), axis=-1)  # [B, h, T, T]
    seen = jnp.einsum("bhts,bshe->bthe", weights, v).reshape(b, t, d)
    return _dense(seen * jax.nn.silu(u), block["out"])


def _recent(x: Array, conv: Array) -> Array:
    """Causal convolution per channel: x [B, T, d], conv [CONV, d], its last row for the newest."""
    t = x.shape[1]
    padded = jnp.pad(x, ((0, 0), (CONV - 1, 0), (0, 0)))
    return sum((padded[:, i : i + t] * conv[i] for i in range(CONV)), jnp.zeros_like(x))


def _gated(block: Params, x: Array) -> Array:
    gate, value = jnp.split(_dense(_rms(x, block["ffn_norm"]), block["up"]), 2, axis=-1)  # each [B, T, 2 d]
    return _dense(jax.nn.silu(gate) * value, block["down"])


def _dense(x: Array, weights: Array) -> Array:
    """x @ weights, as one flat product: the gradient of a batched one is four times slower on a CPU (measured)."""
    return (x.reshape(-1, x.shape[-1]) @ weights).reshape(*x.shape[:-1], -1)


def _rms(x: Array, scale: Array) -> Array:
    return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + EPS) * scale


def _unit(x: Array) -> Array:
    return x * lax.rsqrt(jnp.sum(x * x, -1, keepdims=True) + EPS)
