"""The sizes of the live network, and a released one as plain arrays: all that serving must know, without JAX.

Training (`network`, `ranker`, `online`) and serving (`forward`, `full`) share these. A model's parameters are a tree:
dicts, lists of dicts, arrays. `leaves` lists them in the order in which JAX does (dicts by key), so that a release
written by one is read by the other.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from holdfast.model import signals
from holdfast.model.buckets import LENGTHS

Params = dict[str, Any]

HEADS = ("long", "stay", "like", "share", "follow", "comment", "skip", "hide")  # A = 8; `stay` is a quantile, 0..1
TABLES = ("item", "tag", "creator")  # of which most rows stay as they are from release to release
CONV = 4  # events seen by the short convolution, the newest included
EPS = 1e-6
BINS = 8


@dataclass(frozen=True)
class NetworkShape:
    """Sizes of the network. `length`: events of history, T; buckets count from 0, and bucket 0 means "none"."""

    width: int = 64
    layers: int = 2
    heads: int = 2
    length: int = 50
    item_buckets: int = 8192
    tag_buckets: int = 1024
    creator_buckets: int = 2048
    length_buckets: int = 16
    actions: int = 16
    dwells: int = 16
    gaps: int = 32

    def __post_init__(self) -> None:
        assert self.width % self.heads == 0
        assert min(self.width, self.layers, self.heads, self.length) > 0


@dataclass(frozen=True)
class RankerShape:
    """Sizes. `width`: of states and candidates, d; `features`: F; `bins`: Q per feature; `members`: M in one trunk."""

    width: int = 64
    features: int = 32
    bins: int = 8
    heads: int = 2
    hidden: int = 64
    members: int = 4

    def __post_init__(self) -> None:
        assert self.width % self.heads == 0
        assert min(self.width, self.features, self.bins, self.heads, self.hidden, self.members) > 0


class Size(NamedTuple):
    """The sizes of a live model."""

    net: NetworkShape
    rank: RankerShape


LIVE = Size(  # small enough that one core answers with it while it serves everything else
    NetworkShape(
        width=48, layers=2, heads=2, length=50, item_buckets=16_384, tag_buckets=1024, creator_buckets=4096,
        length_buckets=LENGTHS, actions=16, dwells=signals.DWELLS, gaps=signals.GAPS,
    ),
    RankerShape(width=48, features=signals.WIDTH, bins=BINS, heads=2, hidden=32, members=2),
)  # fmt: skip


@dataclass(slots=True)
class FullModel:
    """A released network. `examples`: videos shown that it was trained on."""

    params: Params
    size: Size
    examples: int = 0

    def finite(self) -> bool:
        """Say whether every weight is a number."""
        return all(bool(np.isfinite(np.asarray(leaf)).all()) for leaf in leaves(self.params))


def shapes(size: Size) -> Params:
    """Return the tree of a model's parameters with the shape of each in its place: what `network.init` makes."""
    n, r, a = size.net, size.rank, len(HEADS)
    d, inner = n.width, r.features * r.bins + 3 * r.width
    block = {
        "norm": (d,), "conv": (CONV, d), "qkvu": (d, 4 * d), "bias": (n.heads, n.length), "out": (d, d),
        "ffn_norm": (d,), "up": (d, 4 * d), "down": (2 * d, d),
    }  # fmt: skip
    net = {
        "item": (n.item_buckets, d), "tag": (n.tag_buckets, d), "creator": (n.creator_buckets, d),
        "length": (n.length_buckets, d), "action": (n.actions, d), "dwell": (n.dwells, d), "gap": (n.gaps, d),
        "user": (d, d), "user_scale": (d,), "temperature": (), "blocks": [block] * n.layers,
    }  # fmt: skip
    rank = {
        "edges": (r.features, r.bins + 1), "query": (r.width, r.width), "key": (r.width, r.width),
        "value": (r.width, r.width), "sink": (r.heads,), "scale": (r.members, inner), "in": (inner, r.hidden),
        "in_bias": (r.members, r.hidden), "mid": (r.hidden, r.hidden), "mid_scale": (r.members, r.hidden),
        "mid_bias": (r.members, r.hidden), "out": (r.members, r.hidden, a), "wide": (r.features * r.bins, a),
        "bias": (a,), "calibration": (2, a),
    }  # fmt: skip
    return {"net": net, "rank": rank}


def leaves(tree: Any) -> list[Any]:
    """Return the leaves of a tree of dicts and lists: dicts by key, lists in order."""
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in leaves(tree[key])]
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, list) else [tree]


def planted(tree: Any, found: list[Any]) -> Any:
    """Return the tree with its leaves replaced by those found, which are used up from the front."""
    if isinstance(tree, dict):
        return {key: planted(tree[key], found) for key in sorted(tree)}
    return [planted(part, found) for part in tree] if isinstance(tree, list) else found.pop(0)
