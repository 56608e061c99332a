"""Recall is measured over a release's own vectors: 1 where every vector is looked at, less where lists are."""

import numpy as np

from holdfast.drills import bench_recall
from holdfast.drills.bench_town import Town
from holdfast.model import full, index, signals, sizes

SMALL = sizes.Size(
    sizes.NetworkShape(width=8, layers=1, heads=2, length=8, item_buckets=64, tag_buckets=32, creator_buckets=32,
                       dwells=signals.DWELLS, gaps=signals.GAPS),
    sizes.RankerShape(width=8, features=signals.WIDTH, bins=2, heads=2, hidden=4, members=1),
)  # fmt: skip


def test_recall_over_the_vectors_of_a_release(monkeypatch) -> None:
    dice = np.random.default_rng(0)
    tree = sizes.shapes(SMALL)
    params = sizes.planted(tree, [dice.standard_normal(s).astype(np.float32) for s in sizes.leaves(tree)])
    model, town = full.FullModel(params, SMALL), Town(3000, 20)
    assert bench_recall.catalogue(town, "bench").n == 3000
    assert bench_recall.measure(model, town, "bench") == {"recall_at_100": 1.0}
    monkeypatch.setattr(full, "Index", lambda width: index.Index(width, exact_max=100))
    monkeypatch.setattr(index, "PROBES", 1)
    assert bench_recall.measure(model, town, "bench")["recall_at_100"] < 0.999


