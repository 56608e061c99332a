"""Cut sequences into windows that fill their batch: each epoch at other places, long ones and short ones apart.

A sequence of 165 items in windows of 100 would leave a third of the positions empty. So it is cut every `length`
items from a random phase, and the pieces that fit in half (a quarter) of a window go into batches that narrow, with
twice (four times) the rows: a batch always holds the same number of positions and few of them are padding. A compiled
step exists per width, so there are three.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.model.train import Window

Array = NDArray[Any]
HALVINGS = 2


def epoch(sequences: Sequence[Array], length: int, rows: int, rng: np.random.Generator) -> Iterator[Window]:
    """Yield one epoch's batches in random order: windows int32[rows·2ʰ, length/2ʰ], every next item a target once.

    `sequences`: int32[L] each. The last batch of each width is filled up with empty rows.
    """
    pieces: list[list[tuple[Array, Array]]] = [[] for _ in range(HALVINGS + 1)]
    for s in sequences:
        cut = int(rng.integers(0, length))
        edges = [0, *range(cut or length, len(s) - 1, length), len(s) - 1]
        for a, b in pairwise(edges):
            if b > a:
                narrow = next(h for h in range(HALVINGS, -1, -1) if b - a <= length >> h)
                pieces[narrow].append((s[a:b], s[a + 1 : b + 1]))
    batches: list[tuple[int, list[int]]] = []
    for h, found in enumerate(pieces):
        order = rng.permutation(len(found))
        step = rows << h
        batches += [(h, order[k : k + step].tolist()) for k in range(0, len(found), step)]
    for k in rng.permutation(len(batches)):
        h, chosen = batches[k]
        yield _batch([pieces[h][i] for i in chosen], length >> h, rows << h)


def _batch(pieces: list[tuple[Array, Array]], length: int, rows: int) -> Window:
    seen = np.zeros((rows, length), np.int32)
    target = np.full((rows, length), -1, np.int32)
    action = np.zeros((rows, length), np.int32)
    for k, (s, t) in enumerate(pieces):
        seen[k, length - len(s) :] = s
        target[k, length - len(s) :] = t
        action[k, length - len(s) :] = 1
    nothing = np.zeros_like(seen)
    return Window(seen, target, action, nothing, nothing)  # pyright: ignore[reportArgumentType]


def last(histories: Sequence[Array], length: int) -> tuple[Array, Array]:
    """Return rows and action int32[B, length] of each history's newest items."""
    found = _batch([(h[-length:], h[-length:]) for h in histories], length, len(histories))
    return np.asarray(found.rows), np.asarray(found.action)
