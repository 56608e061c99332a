"""The closed form against the sums written out, and what it knows of an order nobody told it."""

from itertools import pairwise

import numpy as np
import pytest

from holdfast.eval import closed_form, neighbours

ITEMS = 12


def some_sequences(count: int = 9) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.permutation(ITEMS)[: rng.integers(3, ITEMS)].astype(np.int32) for _ in range(count)]


def written_out(sequences: list[np.ndarray], fades: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    within, across = np.zeros((len(fades) * ITEMS,) * 2), np.zeros((len(fades) * ITEMS, ITEMS))
    for s in sequences:
        x = np.zeros((len(fades), ITEMS))
        for now, after in pairwise(s):
            x *= np.array(fades)[:, None]
            x[:, now] += 1
            within += np.outer(x.ravel(), x.ravel())
            across[:, after] += x.ravel()
    return within, across


@pytest.mark.parametrize("fades", [(0.8,), (0.4, 0.9), (0.2, 0.7, 0.95)])
def test_sums_are_those_of_every_moment(fades: tuple[float, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_form, "FAINT", 1e-9)  # the whole past, as written out
    found = closed_form.sums(some_sequences(), fades, ITEMS)
    within, across = written_out(some_sequences(), fades)
    np.testing.assert_allclose(found.within, within, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.across, across, rtol=1e-4, atol=1e-5)


def test_the_newest_state_is_the_last_of_all_states() -> None:
    sequences, fades = some_sequences(), (0.4, 0.9)
    last = np.cumsum([len(s) for s in sequences]) - 1
    every = np.hstack([closed_form.faded(sequences, f, ITEMS).toarray()[last] for f in fades])
    np.testing.assert_allclose(closed_form.newest(sequences, fades, ITEMS).toarray(), every, atol=1e-6)


def test_it_learns_a_ring() -> None:
    ring = [np.roll(np.arange(ITEMS, dtype=np.int32), -k)[:8] for k in range(ITEMS)] * 5
    model = closed_form.solve(closed_form.sums(ring, (0.2, 0.8), ITEMS), 0.01, 0.0)
    scores = model.scores([np.array([3, 4, 5], np.int32), np.array([11, 0], np.int32)])
    assert scores.argmax(1).tolist() == [6, 1]


@pytest.mark.parametrize("sparse", [0.0, 1.1])
def test_both_ways_to_solve_agree(sparse: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_form, "SPARSE", sparse)
    found = closed_form.sums(some_sequences(), (0.4, 0.9), ITEMS)
    ridge = 0.5 * np.diag(found.within).mean()
    exact = np.linalg.solve(found.within + ridge * np.eye(2 * ITEMS), found.across)
    np.testing.assert_allclose(closed_form.solve(found, 0.5, 0.0).weights, exact, atol=1e-4)


def test_ease_is_the_constrained_ridge() -> None:
    """Each column of EASE is the ridge regression of that item on all others (Steck 2019, eq. 4)."""
    sequences = some_sequences(40)
    x = neighbours.taken(sequences, ITEMS).toarray().astype(float)
    ridge = 2.0 * x.sum(0).mean()
    scores = neighbours.ease(neighbours.together(sequences, ITEMS), 2.0)(sequences)
    for j in range(ITEMS):
        others = np.delete(np.arange(ITEMS), j)
        w = np.linalg.solve(x[:, others].T @ x[:, others] + ridge * np.eye(ITEMS - 1), x[:, others].T @ x[:, j])
        np.testing.assert_allclose(scores[:, j], x[:, others] @ w, atol=1e-3)


def test_neighbours_are_the_similar() -> None:
    pairs = [np.array([0, 1], np.int32)] * 4 + [np.array([2, 3], np.int32)] * 4
    scores = neighbours.item_knn(neighbours.together(pairs, 4))([np.array([0], np.int32), np.array([3], np.int32)])
    assert scores.argmax(1).tolist() == [1, 2] and scores[0, 2] == scores[1, 0] == 0
