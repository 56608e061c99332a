"""What is counted over all viewers of a call at once is what would be counted of each alone."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from rig import Stage

from holdfast.core.feed import value
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pasts import Met, together
from holdfast.core.feed.viewer import History

STAGE = Stage(60, themes=6)
C = STAGE.world.catalogue
SIZES = (7, 0, 50, 1)


def _histories() -> list[History]:
    dice = np.random.default_rng(1)
    return [
        History(
            dice.integers(0, C.n, k).astype(np.int32), dice.normal(size=k).astype(np.float32), ("view",) * k,
            stamps=np.arange(k),
        )
        for k in SIZES
    ]  # fmt: skip


def test_sums_by_viewer_and_number_are_those_of_a_dictionary():
    dice = np.random.default_rng(2)
    whose, numbers, weights = dice.integers(0, 5, 200), dice.integers(-1, 9, 200), dice.normal(size=200)
    met = Met(whose, numbers, 9)
    often, sums = met.sums(), met.sums(weights)
    naive: dict[tuple[int, int], tuple[int, float]] = {}
    for viewer, number, weight in zip(whose.tolist(), numbers.tolist(), weights.tolist(), strict=True):
        if number >= 0:
            held = naive.get((viewer, number), (0, 0.0))
            naive[viewer, number] = held[0] + 1, held[1] + weight
    asked = [(viewer, number) for viewer in range(6) for number in range(-1, 10)]
    at = met.find(*(np.array(column) for column in zip(*asked, strict=True)))
    for place, key in zip(at.tolist(), asked, strict=True):
        count, total = naive.get(key, (0, 0.0))
        assert often[place] == count and abs(sums[place] - total) < 1e-9


def test_whoever_met_nothing_is_found_nothing():
    none = np.zeros(0, np.int64)
    met = Met(none, none, 3)
    assert met.sums()[met.find(np.array([0, 1]), np.array([-1, 2]))].tolist() == [0, 0]


def test_histories_end_to_end_keep_their_order_and_their_age():
    past = together(_histories())
    assert past.counts == list(SIZES)
    assert past.age.tolist() == [age for k in SIZES for age in range(k - 1, -1, -1)]
    assert past.timed.all() and (past.shares == -1).all(), "a share that is not known is told apart from none"


def test_tastes_of_all_are_the_tastes_of_each():
    histories = _histories()
    together_, rows = value.tastes_of(together(histories), C), np.arange(0, C.n, 3)
    assert np.abs(together_).max() > 0
    for i, history in enumerate(histories):
        alone = value.tastes(history, C)
        assert (together_[i] == alone).all()
        of_all = value.taste_of(rows, together_, C, np.full(rows.size, i))
        assert (of_all == value.taste_of(rows, alone, C)).all()


def test_parts_are_scaled_within_each_query():
    dice = np.random.default_rng(3)
    counts = [4, 0, 9, 1]
    columns = {name: dice.normal(size=sum(counts)) for name in ("next", "taste", "heat", "fresh")}
    columns["heat"][13:] = 0.0  # a query in which nothing is warm
    whole = np.split(value.parts(Rung.LINEAR, columns, counts, 0.3), np.cumsum(counts)[:-1])
    for i, end in enumerate(np.cumsum(counts).tolist()):
        mine = {name: column[end - counts[i] : end] for name, column in columns.items()}
        assert (whole[i] == value.parts(Rung.LINEAR, mine, counts[i], 0.3)).all()
        assert not counts[i] or np.abs(whole[i]).max() > 0.2
