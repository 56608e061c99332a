"""Windows: every next item is a target once an epoch, nothing crosses viewers, padding is on the left."""

import numpy as np

from holdfast.eval import windows


def test_an_epoch_asks_for_every_next_item_once() -> None:
    lengths = [2, 3, 7, 8, 9, 16, 17, 40, 1]
    sequences = [np.arange(n, dtype=np.int32) + 100 * u for u, n in enumerate(lengths)]
    asked: list[tuple[int, int]] = []
    widths: set[int] = set()
    for window in windows.epoch(sequences, 8, 3, np.random.default_rng(0)):
        rows, target, action = np.asarray(window.rows), np.asarray(window.target), np.asarray(window.action)
        assert rows.size == 24 and rows.shape == target.shape
        widths.add(rows.shape[1])
        assert ((target >= 0) == (action > 0)).all()
        assert (np.diff(action, axis=1) >= 0).all(), "padding stands on the left"
        asked += list(zip(rows[action > 0].tolist(), target[action > 0].tolist(), strict=True))
    assert sorted(asked) == [(i, i + 1) for s in sequences for i in s[:-1].tolist()]
    assert widths == {8, 4, 2}


def test_epochs_are_cut_elsewhere_and_seeded() -> None:
    sequences = [np.arange(50, dtype=np.int32)]

    def first(seed: int) -> list[list[int]]:
        return [np.asarray(w.rows).tolist() for w in windows.epoch(sequences, 8, 2, np.random.default_rng(seed))]

    assert first(1) == first(1) != first(2)


def test_the_newest_items_are_kept() -> None:
    rows, action = windows.last([np.arange(9, dtype=np.int32), np.arange(2, dtype=np.int32)], 4)
    assert rows.tolist() == [[5, 6, 7, 8], [0, 0, 0, 1]] and action.tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]
