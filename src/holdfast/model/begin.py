"""The parameters that the live network's learning begins with."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from holdfast.core.catalogue import TAGS_PER_ITEM
from holdfast.model import network, ranker, signals
from holdfast.model.sizes import LIVE, Params, Size

# Slopes of the ranker's linear path at the start, per unit of a signal: a network that has seen nothing yet orders like
# LINEAR does (core.feed.value), and unlearns what does not hold.
PRIOR = {"long": {"linear": 1.5, "taste": 1.0, "heat": 0.2, "long_rate": 1.0}, "skip": {"linear": -1.5, "taste": -1.0}}


def begin(seed: int, size: Size = LIVE) -> Params:
    """Return the parameters that learning begins with."""
    one, two = jax.random.split(jax.random.key(seed))
    rank, bins = _init_rank(two, size.rank), size.rank.bins
    wide = np.zeros((signals.WIDTH * bins, len(ranker.HEADS)), np.float32)
    for head, slopes in PRIOR.items():
        for name, slope in slopes.items():
            f = signals.NAMES.index(name)
            _, low, high = signals.TABLE[f]  # a bin's part runs from 0 to 1 over its width
            wide[f * bins : (f + 1) * bins, ranker.HEADS.index(head)] = slope * (high - low) / bins
    rank = {**rank, "edges": jnp.asarray(signals.edges(bins)), "wide": jnp.asarray(wide)}
    return {"net": _init_net(one, size.net), "rank": rank}


_init_net = jax.jit(network.init, static_argnums=1)  # op by op it would compile thirty little functions
_init_rank = jax.jit(ranker.init, static_argnums=1)


def items_of(buckets: Any) -> network.Items:
    """Cut int32[…, 15] of `Buckets` into the network's columns."""
    last = 2 + TAGS_PER_ITEM
    creator = buckets[..., last]
    return network.Items(buckets[..., :2], buckets[..., 2:last], creator, creator * 0)
