"""The ranker: for one candidate and one viewer, the probability of each thing the viewer may do. Candidates never meet.

A feed asks one question of a few hundred candidates: what would this viewer do with it? Answering them in one call is
cheap, but if candidates could see each other a score would depend on company and order, could not be cached, and could
not be checked. So each candidate alone looks at the viewer (target attention over the states of the sequence network;
Zhou et al., "Deep Interest Network", KDD 2018), and nothing is shared across K: adding, removing or permuting other
candidates leaves a score where it was, up to the rounding of the matrix product.

Beside the viewer's states stand numbers: decayed counters and rates (`model/signals.py` names them). A number is
spread over its quantile bins (piecewise linear encoding; Gorishniy et al., "On Embeddings for Numerical Features",
NeurIPS 2022), so that the first layer can bend at every bin: that lets a network keep up with trees on a table. The
trunk is a small MLP that stands in for several: `members` share its weights and differ by scales and biases
(BatchEnsemble, Wen et al., ICLR 2020; for tables TabM, Gorishniy et al., ICLR 2025), each learns by its own loss, and
their probabilities are averaged. A linear path from the encoded numbers to the logits (wide & deep; Cheng et al.,
2016) starts the network as a logistic regression.

    states [B,T,d] ─► keys, values ─┐
    candidates [B,K,d] ─► query ────┴► seen [B,K,d] ─┐
    counters [B,K,F] ─► bins [B,K,F·Q] ──────────────┴► MLP × members ─► mean probability ─► calibrated logits [B,K,A]
                                       └── linear ──────────┘

Losses (`loss`): cross-entropy per head, each with its own weight; `stay` has a soft label, the quantile of the dwell
among videos of like length, which takes length out of dwell (as in Zhan et al., "Deconfounding Duration Bias", KDD
2022); and a within-viewer softmax, which orders what one viewer saw without spoiling the calibration of the first term
(joint ranking and calibration; Sheng et al., KDD 2023).

Pure functions over a dict of arrays: `init`, `rank`, `loss`, `with_bins`, `calibrated`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from holdfast.model.sizes import EPS, HEADS
from holdfast.model.sizes import RankerShape as Shape

Array = jax.Array
Params = dict[str, Any]

BASE_RATES = (0.3, 0.5, 0.02, 0.005, 0.005, 0.01, 0.3, 0.002)  # where the logits start


class Batch(NamedTuple):
    """B viewers with K shown videos each, and what was done. `weights` 0: not known, or padding."""

    states: Array  # float32[B, T, d]
    mask: Array  # bool[B, T] True: an event
    candidates: Array  # float32[B, K, d]
    counters: Array  # float32[B, K, F]
    labels: Array  # float32[B, K, A] 0..1
    weights: Array  # float32[B, K, A]


def init(key: Array, shape: Shape) -> Params:
    """Return the first parameters. Every head starts at its base rate: the last layer is zero."""
    d, h, m, a = shape.width, shape.hidden, shape.members, len(HEADS)
    inner = shape.features * shape.bins + 3 * d
    keys = iter(jax.random.split(key, 8))

    def dense(rows: int, columns: int) -> Array:
        return jax.random.normal(next(keys), (rows, columns)) / rows**0.5

    rates = jnp.asarray(BASE_RATES)
    return {
        "edges": jnp.tile(jnp.linspace(-2.0, 2.0, shape.bins + 1), (shape.features, 1)),  # fixed: see with_bins
        "query": dense(d, d),
        "key": dense(d, d),
        "value": dense(d, d),
        "sink": jnp.zeros(shape.heads),  # logit of looking at nothing; a viewer without events looks only there
        "scale": 1.0 + 0.5 * jax.random.normal(next(keys), (m, inner)),  # how the members differ
        "in": dense(inner, h),
        "in_bias": 0.1 * jax.random.normal(next(keys), (m, h)),
        "mid": dense(h, h),
        "mid_scale": jnp.ones((m, h)),
        "mid_bias": jnp.zeros((m, h)),
        "out": jnp.zeros((m, h, a)),
        "wide": jnp.zeros((shape.features * shape.bins, a)),
        "bias": jnp.log(rates / (1 - rates)),
        "calibration": jnp.stack([jnp.ones(a), jnp.zeros(a)]),  # logit ← scale · logit + shift
    }


def rank(params: Params, shape: Shape, states: Array, mask: Array, candidates: Array, counters: Array) -> Array:
    """Return calibrated logits float32[B, K, A], one per head of HEADS: sigmoid gives P(action).

    states [B,T,d], mask bool[B,T], candidates [B,K,d] (item vectors), counters [B,K,F] (in the order it was trained
    on).
    """
    each = jax.nn.sigmoid(_members(params, shape, states, mask, candidates, counters)).mean(0)  # [B, K, A]
    each = jnp.clip(each, EPS, 1 - EPS)
    scale, shift = params["calibration"]
    return scale * jnp.log(each / (1 - each)) + shift


def loss(
    params: Params, shape: Shape, batch: Batch, pairs: float = 0.0, key: Array | None = None, drop: float = 0.0
) -> Array:
    """Return the training loss: mean over members of the weighted cross-entropy, plus `pairs` × the order of `long`.

    With a `key`, a share `drop` of the hidden units is dropped.
    """
    logits = _members(params, shape, batch.states, batch.mask, batch.candidates, batch.counters, key, drop)
    each = jnp.maximum(logits, 0) - logits * batch.labels + jnp.log1p(jnp.exp(-jnp.abs(logits)))  # [M, B, K, A]
    total = (each * batch.weights).sum() / (shape.members * jnp.maximum(batch.weights[..., 0].sum(), 1.0))
    if pairs:
        total = total + pairs * _order(logits[..., 0], batch.labels[..., 0], batch.weights[..., 0])
    return total


def _order(logits: Array, labels: Array, weights: Array) -> Array:
    """Cross-entropy of "which of what I saw did I watch long": logits [M,B,K], over viewers with both kinds."""
    shown = weights > 0
    logp = jax.nn.log_softmax(jnp.where(shown, logits, -1e9), axis=-1)
    positives = labels * shown
    n = positives.sum(-1)  # [B]
    both = (n > 0) & (n < shown.sum(-1))
    each = -(logp * positives).sum(-1) / jnp.maximum(n, 1.0)  # [M, B]
    return (each * both).sum() / (logits.shape[0] * jnp.maximum(both.sum(), 1))


def encode(edges: Array, counters: Array) -> Array:
    """Piecewise linear encoding: counters [..., F], edges [F, Q+1] rising → [..., F·Q], each a share of a bin."""
    low, high = edges[:, :-1], edges[:, 1:]  # [F, Q]
    part = (counters[..., None] - low) / jnp.maximum(high - low, EPS)
    part = jnp.clip(part, 0.0, 1.0)
    return part.reshape(*counters.shape[:-1], -1)


def with_bins(params: Params, shape: Shape, sample: np.ndarray) -> Params:
    """Return `params` with bin edges at the quantiles of `sample` float[N, F]. Done once, before training."""
    edges = np.quantile(sample, np.linspace(0, 1, shape.bins + 1), axis=0).T  # [F, Q+1]
    return {**params, "edges": jnp.asarray(edges, jnp.float32)}


def calibrated(params: Params, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Params:
    """Return `params` with each head's logits scaled and shifted to fit labels that training did not see (Platt, 1999).

    logits (of `rank`), labels, weights: float[N, A]. A head with fewer than 20 actions moves only its shift.
    """
    old = np.asarray(params["calibration"], np.float64)
    fitted = old.copy()
    for a in range(len(HEADS)):
        x, y, w = logits[:, a].astype(np.float64), labels[:, a].astype(np.float64), weights[:, a].astype(np.float64)
        if (w * y).sum() < 1 or (w * (1 - y)).sum() < 1:
            continue
        scale, shift = _platt(x, y, w, scaled=bool((w * y).sum() >= 20))
        fitted[0, a], fitted[1, a] = scale * old[0, a], scale * old[1, a] + shift
    return {**params, "calibration": jnp.asarray(fitted, jnp.float32)}


def _platt(x: np.ndarray, y: np.ndarray, w: np.ndarray, *, scaled: bool) -> tuple[float, float]:
    """Logistic regression of one input, weak prior at (1, 0): Newton's method, halving steps that do not help."""

    def cost(at: np.ndarray) -> float:
        z = at[0] * x + at[1]
        return float((w * (np.logaddexp(0, z) - y * z)).sum() + ((at - [1.0, 0.0]) ** 2).sum() / 2)

    at = np.array([1.0, 0.0])
    for _ in range(40):
        p = 1 / (1 + np.exp(-np.clip(at[0] * x + at[1], -30, 30)))
        g, h = w * (p - y), w * p * (1 - p)
        slope = np.array([(g * x).sum(), g.sum()]) + (at - [1.0, 0.0])
        curve = np.array([[(h * x * x).sum() + 1, (h * x).sum()], [(h * x).sum(), h.sum() + 1]])
        if not scaled:
            slope[0], curve[0, 1], curve[1, 0] = 0.0, 0.0, 0.0
        move = np.linalg.solve(curve, slope)
        while cost(at - move) > cost(at) and np.abs(move).max() > 1e-9:
            move = move / 2
        at = at - move
    return float(at[0]), float(at[1])


def _members(
    params: Params, shape: Shape, states: Array, mask: Array, candidates: Array, counters: Array,
    key: Array | None = None, drop: float = 0.0,
) -> Array:  # fmt: skip
    """Logits of each member, [M, B, K, A], before calibration."""
    bins = encode(lax.stop_gradient(params["edges"]), counters)  # [B, K, F·Q]
    seen = _look(params, shape, states, mask, candidates)  # [B, K, d]
    both = jnp.concatenate([bins, candidates, seen, candidates * seen], -1)  # [B, K, I]
    each = both[None] * params["scale"][:, None, None]  # [M, B, K, I]
    x = _dense(each, params["in"]) + params["in_bias"][:, None, None]
    x = _drop(jax.nn.silu(x), key, drop)
    y = _dense(x * params["mid_scale"][:, None, None], params["mid"]) + params["mid_bias"][:, None, None]
    x = x + _drop(jax.nn.silu(y), None if key is None else jax.random.fold_in(key, 1), drop)
    flat = x.reshape(x.shape[0], -1, x.shape[-1])  # [M, B·K, H]
    deep = jnp.einsum("mnh,mha->mna", flat, params["out"]).reshape(*x.shape[:-1], -1)
    return deep + _dense(bins, params["wide"]) + params["bias"]


def _look(params: Params, shape: Shape, states: Array, mask: Array, candidates: Array) -> Array:
    """Target attention: what each candidate finds in the viewer's states, [B, K, d]."""
    b, t, d = states.shape
    h, e = shape.heads, d // shape.heads
    q = _dense(_unit(candidates), params["query"]).reshape(b, -1, h, e)
    k = _dense(_unit(states), params["key"]).reshape(b, t, h, e)
    v = _dense(_unit(states), params["value"]).reshape(b, t, h, e)
    logits = jnp.where(mask[:, None, None], jnp.einsum("bkhe,bthe->bhkt", q, k) * d**0.5, -1e9)
    sink = jnp.broadcast_to(params["sink"][None, :, None, None], (*logits.shape[:-1], 1))
    weights = jax.nn.softmax(jnp.concatenate([logits, sink], -1), -1)[..., :-1]  # what the sink takes is lost
    return jnp.einsum("bhkt,bthe->bkhe", weights, v).reshape(b, -1, d)


def _dense(x: Array, weights: Array) -> Array:
    """x [..., I] @ [I, O] as one flat product: the gradient of a batched one is several times slower on a CPU."""
    return (x.reshape(-1, x.shape[-1]) @ weights).reshape(*x.shape[:-1], -1)


def _unit(x: Array) -> Array:
    return x * lax.rsqrt(jnp.sum(x * x, -1, keepdims=True) + EPS)


def _drop(x: Array, key: Array | None, share: float) -> Array:
    if key is None or share <= 0:
        return x
    return x * jax.random.bernoulli(key, 1 - share, x.shape) / (1 - share)
