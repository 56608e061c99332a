"""The whole evaluation on a small world with a known answer; a killed run goes on and ends where it would have."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from holdfast.core.errors import Refused
from holdfast.eval import sequence_network as net
from holdfast.eval import sequences, windows
from holdfast.eval.splits import Split, read

ITEMS = 24


def ring(path: Path, viewers: int = 48) -> Path:
    """Everyone walks round a ring from a place of one's own: the next item is known, its popularity says nothing."""
    rng = np.random.default_rng(2)
    lines = []
    for _ in range(viewers):
        start = int(rng.integers(ITEMS))
        lines.append(" ".join(str((start + k) % ITEMS) for k in range(int(rng.integers(6, 14)))))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return read(ring(tmp_path_factory.mktemp("ring") / "ring.txt"), "sequences")


@pytest.fixture(autouse=True)
def one_width(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One compiled step in place of three, and compiled once for all runs of it."""
    monkeypatch.setattr(windows, "HALVINGS", 0)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.getbasetemp() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def plan(**changes: object) -> net.Plan:
    return replace(net.Plan(epochs=2.0, minutes=1e6, rows=8), **changes)


def small(split: Split, tags: object) -> tuple[net.Shape, net.Plan]:
    return net.shape_for(split.items, 0, 8, 16, 1), net.Plan(rows=16, peak=2e-2)


def test_every_rung_on_a_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net, "recipe_for", small)
    said: list[str] = []
    options = sequences.Options(layout="sequences", epochs=30.0, minutes=1e6)
    found = sequences.run(ring(tmp_path / "ring.txt"), options, said.append)
    assert set(found["rungs"]) == {"FULL", "LINEAR", "REGIONAL", "SHELF"}
    assert set(found["baselines"]) == {"popularity", "item_knn", "item_knn_recency", "ease"}
    assert found["split"]["viewers"] == 48 and len(found["split"]["digest"]) == 64
    assert found["rungs"]["LINEAR"]["ndcg_at_10"] > 0.9 > 0.6 > found["baselines"]["popularity"]["ndcg_at_10"]
    full = found["rungs"]["FULL"]
    assert full["ndcg_at_10"] > 0.9 and full["network_alone"]["ndcg_at_10"] > 0.8
    assert any("epoch" in line for line in said), "says how far it is"


def test_a_killed_run_goes_on_and_ends_the_same(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape, items = net.shape_for(split.items, 0, 8, 16, 1), net.items_of(split.items, None)
    monkeypatch.setattr(net, "SAVE_S", 0.0)  # after every step
    straight = net.fit(split, shape, items, plan(), lambda _: None)
    kept = tmp_path / "run.npz"

    class Killed(Exception):
        pass

    real, steps = net.train.cosine, []

    def die_at_fourth(progress: float, peak: float) -> float:
        steps.append(progress)
        if len(steps) == 4:
            raise Killed
        return real(progress, peak)

    with monkeypatch.context() as patched:
        patched.setattr(net.train, "cosine", die_at_fourth)
        with pytest.raises(Killed):
            net.fit(split, shape, items, plan(checkpoint=kept), lambda _: None)
    again = net.fit(split, shape, items, plan(checkpoint=kept), lambda _: None)
    for a, b in zip(jax.tree.leaves(straight.params), jax.tree.leaves(again.params), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(Refused, match="another run"):
        net.fit(split, shape, items, plan(checkpoint=kept, seed=1), lambda _: None)
    kept.write_bytes(b"damaged")
    with pytest.raises(Refused, match="no checkpoint"):
        net.fit(split, shape, items, plan(checkpoint=kept), lambda _: None)


def test_attributes_are_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "tags.json"
    path.write_text('{"5": [70, 80], "7": [80]}')
    assert sequences.attributes.read(path, ["7", "6", "5"]).tolist() == [[1, 0], [0, 0], [2, 1]]
    for bad in ("[1]", "{", '{"9": [1]}', '{"5": 3}'):
        path.write_text(bad)
        with pytest.raises(Refused):
            sequences.attributes.read(path, ["7", "6", "5"])


def test_an_unknown_rung_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="BEST"):
        sequences.run(ring(tmp_path / "ring.txt"), sequences.Options(rungs=("BEST",)), lambda _: None)
