"""The network as a predictor: never a compile in a request, candidates alone, parity with the chain, releases whole."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from town import SMALL, Town

from holdfast.core.errors import Broken
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.predict import Eligible
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.feed.viewer import history
from holdfast.core.profile import Profile
from holdfast.model import online, release, signals
from holdfast.model.begin import begin
from holdfast.model.examples import Examples
from holdfast.model.full import Full, FullModel
from holdfast.model.lessons import Lessons
from holdfast.model.sizes import HEADS


@pytest.fixture(scope="module")
def town() -> Town:
    town = Town(clips=80, viewers=8)
    for _ in range(3):
        town.round(Rung.REGIONAL)
    return town


@pytest.fixture(scope="module")
def trained(town: Town) -> online.Trainer:
    trainer = online.Trainer(town.catalogue, 1, SMALL)
    for unit in town.examples.emptied():
        trainer.offer(unit)
    trainer.flush()
    return trainer


@pytest.fixture(scope="module")
def network(town: Town, trained: online.Trainer) -> Full:
    found = Full(release.rounded(trained.model()), town.catalogue, town.linear, "sha")
    found.warm()
    return found


def pasts(town: Town, count: int) -> list:
    names = [v.name for v in town.viewers]
    profiles = [town.lessons.world.profiles[names[k % len(names)]] for k in range(count)]
    return [history(p, FeedRequest(), town.catalogue, town.now) for p in profiles]


def test_any_number_of_queries_and_candidates_goes(town: Town, network: Full) -> None:
    for count, k in ((1, 1), (3, 80), (16, 30), (21, 80), (2, 300)):
        said = network.read(pasts(town, count)).score([np.arange(k) % town.catalogue.n] * count)
        assert [s.shape for s in said] == [(k, len(HEADS))] * count
    assert network.read([history(Profile(), FeedRequest(), town.catalogue, 0)]).score([np.arange(5)])[0].shape[0] == 5
    for k in range(70):
        town.publish(f"fresh-{k}", ["theme-1"], "someone")
    said = network.read(pasts(town, 2)).score([np.arange(town.catalogue.n), np.zeros(0, np.int64)])
    assert [len(s) for s in said] == [town.catalogue.n, 0]


def test_a_candidate_is_scored_alone(town: Town, network: Full) -> None:
    reading = network.read(pasts(town, 4))
    whole = reading.score([np.arange(60)] * 4)
    for rows in (np.array([7]), np.array([59, 7, 3])):
        some = reading.score([rows] * 4)
        for b in range(4):
            np.testing.assert_allclose(some[b], whole[b][rows], atol=1e-6)
    alone = network.read(pasts(town, 4)[2:3]).score([np.arange(60)])[0]
    np.testing.assert_allclose(alone, whole[2], atol=1e-6)


def test_retrieval_is_exact_and_filters_inside(town: Town, network: Full) -> None:
    n = town.catalogue.n
    allowed = np.ones(n, bool)
    allowed[::3] = False
    barred = np.array([1, 2, 2, 4])
    ((rows, near),) = network.read(pasts(town, 1)).retrieve(10, [Eligible(allowed, barred)])
    side, user = network.index.vectors()[:n], network.read(pasts(town, 1))._users[0]
    open_ = [r for r in range(n) if allowed[r] and r not in (1, 2, 4)]
    best = sorted(open_, key=lambda r: -float(side[r] @ user))[:10]
    np.testing.assert_allclose(sorted(near.tolist()), sorted(float(side[r] @ user) for r in best), atol=1e-6)
    assert set(rows.tolist()) <= set(open_)


def test_features_served_are_features_rebuilt_from_the_chain(town: Town, network: Full) -> None:
    """Item 9: fold the chain up to the slate elsewhere; the same numbers, and scores equal to 1e-5."""
    result = town.ask(town.viewers[3].name, Rung.FULL, network, request="parity")
    assert result.rung is Rung.FULL and any(c.source == "retrieved" for c in result.chosen)
    rows = np.array([c.row for c in result.chosen])
    fixed = network.recall(result.viewer.history, rows)
    assert fixed is not None
    at = len(town.entries)
    slate = town.serve(result, "sha", fixed)

    other = Lessons("US")  # another process: the chain up to the watermark, and the released bytes
    for entry in town.entries[:at]:
        other.take(entry)
    c = other.world.catalogue
    again = Full(release.load(release.dump(network.model), size=SMALL), c, type(town.linear)(_solved(town), c))
    past = history(other.world.profiles[town.viewers[3].name], FeedRequest(), c, slate.stamp)
    there = np.array([c.items.of[item] for item in slate.items])
    assert signals.digest(past, c) == slate.history
    reading = again.read([past])
    (rebuilt,) = reading.signals([there])
    assert signals.pack(rebuilt) == slate.signals
    (said,) = reading.judge([there], [rebuilt])
    (served,) = network.read([result.viewer.history]).score([rows])
    np.testing.assert_allclose(said, served, atol=1e-5)
    weighed = [served[i, HEADS.index("long")] for i in range(len(rows))]
    long = list(full_weights()).index("long")
    np.testing.assert_allclose([c.parts[long] for c in result.chosen], weighed, atol=1e-5)


def full_weights() -> dict[str, float]:
    from holdfast.core.feed.value import WEIGHTS

    return WEIGHTS[Rung.FULL]


def _solved(town: Town):
    return town.lessons.statistics.solve()


def test_a_release_is_whole_or_the_change_from_one(town: Town, trained: online.Trainer) -> None:
    first = release.rounded(trained.model())
    whole = release.dump(first)
    assert release.base_of(whole) == ""
    loaded = release.load(whole, size=SMALL)
    for a, b in zip(jax.tree.leaves(first.params), jax.tree.leaves(loaded.params), strict=True):
        np.testing.assert_array_equal(a, b)
    net = dict(first.params["net"])
    net["item"] = np.array(net["item"])
    net["item"][[3, 9]] += 1.0
    second = FullModel({"net": net, "rank": first.params["rank"]}, SMALL, first.examples + 5)
    change = release.dump(second, ("base", first))
    assert release.base_of(change) == "base" and len(change) < len(whole) * 0.9
    moved = release.load(change, loaded, SMALL)
    np.testing.assert_array_equal(moved.params["net"]["item"], release.rounded(second).params["net"]["item"])
    with pytest.raises(Broken):
        release.load(change, size=SMALL)  # without its base
    net["user"] = np.full_like(net["user"], np.nan)
    for bad in (whole[:-3], b"", b"\xc1", release.dump(FullModel({"net": net, "rank": first.params["rank"]}, SMALL))):
        with pytest.raises(Broken):
            release.load(bad, size=SMALL)


def test_only_touched_videos_are_read_again(town: Town, network: Full) -> None:
    net = dict(network.model.params["net"])
    net["creator"] = np.array(net["creator"])
    row = int(network._buckets.all()[5, -1])
    net["creator"][row] += 0.5
    model = FullModel({"net": net, "rank": network.model.params["rank"]}, SMALL)
    follows, anew = Full(model, town.catalogue, None, like=network), Full(model, town.catalogue)
    n = town.catalogue.n
    held = np.flatnonzero(network._buckets.all()[:, -1] != row)  # which read no row that moved
    assert n / 2 < held.size < n
    network._vectors[held[0]] += 1.0
    follows.refresh()
    network._vectors[held[0]] -= 1.0
    follows._vectors[held[0]] -= 1.0  # it was copied, not made
    anew.refresh()
    np.testing.assert_allclose(follows._vectors[:n], anew._vectors[:n], atol=1e-6)
    assert not np.allclose(follows._vectors[:n], network._vectors[:n])


def test_the_probe_tells_networks_apart(town: Town, network: Full, trained: online.Trainer) -> None:
    same = Full(network.model, town.catalogue)
    other = Full(FullModel(begin(9, SMALL), SMALL), town.catalogue)
    assert abs(same.probe() - network.probe()) < 1e-6 < abs(other.probe() - network.probe())


def test_nodes_serve_and_learners_start_without_jax() -> None:
    code = (
        "import sys, holdfast.region.node, holdfast.region.learner, holdfast.cli.main, holdfast.model.release, "
        "holdfast.model.full; exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_most_histories_agree_once_folded(town: Town) -> None:
    examples = Examples(Lessons("US").world)
    assert examples.agreed == [0, 0] and town.examples.agreed[0] == town.examples.agreed[1] > 20
