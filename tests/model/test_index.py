"""Retrieval: the best there are, none that may not be, and the same after rows were touched."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.feed.predict import Eligible
from holdfast.model.index import Index, best

NONE = np.zeros(0, np.int64)


def _vectors(n: int, seed: int, width: int = 16) -> np.ndarray:
    """Clustered, as videos of a theme are."""
    dice = np.random.default_rng(seed)
    themes = dice.standard_normal((40, width))
    v = themes[dice.integers(0, 40, n)] + 0.6 * dice.standard_normal((n, width))
    return (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)


def _truth(vectors: np.ndarray, user: np.ndarray, k: int, open_: np.ndarray) -> set[int]:
    scores = np.where(open_, vectors @ user, -np.inf)
    return {int(r) for r in np.argsort(-scores, kind="stable")[:k] if open_[r]}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 40), st.integers(0, 99))
def test_best_finds_the_largest(n, k, seed):
    scores = np.random.default_rng(seed).integers(-n, n, n).astype(np.float32)  # with ties
    got = best(scores, k)
    assert got.size == len(set(got.tolist())) == min(n, k)
    assert sorted(scores[got], reverse=True) == sorted(scores, reverse=True)[:k]


@pytest.mark.parametrize("allowed_share", [1.0, 0.5, 0.01])
def test_exact_search_is_the_truth_under_every_filter(allowed_share):
    vectors, users = _vectors(3000, 1), _vectors(20, 2)
    index = Index(16)
    index.put(np.arange(3000), vectors)
    dice = np.random.default_rng(3)
    shared = dice.random(3000) < allowed_share
    eligible = [Eligible(shared, dice.integers(0, 3000, m)) for m in range(0, 400, 20)]
    eligible[7] = Eligible(dice.random(3000) < 0.02, NONE)  # a query with a rule of its own
    for user, e, (rows, scores) in zip(users, eligible, index.search(users, 50, eligible), strict=True):
        open_ = e.allowed.copy()
        open_[e.barred] = False
        assert set(rows.tolist()) == _truth(vectors, user, 50, open_)
        np.testing.assert_allclose(scores, vectors[rows] @ user, atol=1e-5)


def test_lists_lose_little_and_filters_cost_no_recall():
    vectors, users = _vectors(20_000, 4), _vectors(40, 5)
    index = Index(16, exact_max=1000)
    index.put(np.arange(20_000), vectors)
    everything = np.ones(20_000, bool)
    plain = [Eligible(everything, NONE)] * 40
    favourites = [Eligible(everything, rows) for rows, _ in index.search(users, 300, plain)]
    few = [Eligible(np.arange(20_000) % 200 == 0, NONE)] * 40
    unfiltered = index.recall(users, 100, plain)
    assert unfiltered > 0.95
    assert index.recall(users, 100, favourites) > unfiltered - 0.03  # who has seen the nearest 300
    assert index.recall(users, 100, few) == 1.0  # one in 200 is allowed: it looks until it has them
    for rows, _ in index.search(users, 100, few):
        assert rows.size == 100 and not (rows % 200).any()


@pytest.mark.parametrize("exact_max", [10_000, 500])
def test_touched_rows_answer_as_if_they_had_always_been_so(exact_max):
    old, new, users = _vectors(4000, 6), _vectors(4000, 7), _vectors(10, 8)
    index = Index(16, exact_max=exact_max)
    index.put(np.arange(3000), old[:3000])
    now = old.copy()
    for rows in (np.arange(0, 100), np.arange(2950, 3100), np.arange(3500, 3520)):  # moved, new, and with a gap before
        index.put(rows, new[rows])
        now[rows] = new[rows]
    assert index.n == 3520 and not index.known[3100:3500].any()
    np.testing.assert_array_equal(index.vectors()[index.known], now[:3520][index.known])
    some = np.array([3519, 7, 3300, 2999])
    np.testing.assert_array_equal(index.at(some), np.where(index.known[some][:, None], now[some], 0))
    before = index.copy()
    index.put(np.array([7]), -now[7:8])
    assert (before.at(np.array([7])) == now[7]).all()
    index = before
    whole = [Eligible(np.ones(4000, bool), NONE)] * 10
    found = index.search(users, 4000, whole)  # as many as there are: no list is left out
    for user, (rows, scores) in zip(users, found, strict=True):
        assert sorted(rows.tolist()) == np.flatnonzero(index.known).tolist()
        np.testing.assert_allclose(scores, now[rows] @ user, atol=1e-5)


@pytest.mark.parametrize("at", [0, 7, 30])
def test_a_copy_made_while_videos_are_published_again_holds_each_once(at):
    """A thread copies while the loop puts: here the loop has its turn just before the list `at` is copied."""
    vectors, anew = _vectors(3000, 10), _vectors(3000, 11)
    index = Index(16, exact_max=1000)
    index.put(np.arange(2000), vectors[:2000])
    lists = index._lists
    moved = np.r_[np.arange(0, 2000, 3), np.arange(2000, 2300)]

    class Turn:
        left, real = at, lists.lock

        def __enter__(self):
            self.left -= 1
            if self.left < 0:
                lists.lock = self.real
                for part in np.array_split(moved, 20):  # few at a time: a large part would make the lists anew
                    index.put(part, anew[part])

        def __exit__(self, *error):
            pass

    lists.lock = Turn()
    now = index.copy()
    assert index._lists is lists and lists.lock is Turn.real, "the loop had its turn"
    for part in np.array_split(moved, 20):  # `Full.refresh` makes anew what came or changed
        now.put(part, anew[part])
    wanted = vectors[:2300].copy()
    wanted[moved] = anew[moved]
    np.testing.assert_array_equal(now.vectors(), wanted)
    found, _ = now.search(anew[:1], 2300, [Eligible(np.ones(2300, bool), NONE)])[0]
    assert sorted(found.tolist()) == list(range(2300))


def test_an_empty_index_finds_nothing():
    assert Index(16).search(_vectors(1, 9), 10, [Eligible(np.ones(50, bool), NONE)])[0][0].size == 0
