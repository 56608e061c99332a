"""Full ranking: ties count against the target, seen items do not compete, intervals hold the mean."""

import numpy as np

from holdfast.eval import ranking


def test_rank_counts_ties_against_the_target() -> None:
    scores = np.array([[3, 2, 2, 1], [0, 0, 0, 0], [np.nan, 5, 1, 0]], np.float32)
    assert ranking.place(scores, np.array([1, 2, 0])).rank.tolist() == [3, 4, 4]


def test_seen_items_do_not_compete() -> None:
    scores = np.array([[9, 8, 7, 6]], np.float32)
    placed = ranking.place(ranking.without(scores, [np.array([0, 1])]), np.array([3]))
    assert placed.rank.tolist() == [2]


def test_figures_against_a_plain_count() -> None:
    rng = np.random.default_rng(3)
    scores, target = rng.random((200, 30)).astype(np.float32), rng.integers(0, 30, 200)
    placed = ranking.place(scores, target)
    found = ranking.figures(placed, 30)
    ranks = [sorted(row, reverse=True).index(row[t]) + 1 for row, t in zip(scores.tolist(), target, strict=True)]
    assert found["hr_at_10"] == round(sum(r <= 10 for r in ranks) / 200, 4)
    assert found["ndcg_at_10"] == round(sum(1 / np.log2(r + 1) for r in ranks if r <= 10) / 200, 4)
    assert found["ndcg_at_10_low"] < found["ndcg_at_10"] < found["ndcg_at_10_high"]
    assert found["coverage_at_10"] == 1.0
