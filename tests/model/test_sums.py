"""Exact sums in 32 bits and a remainder: against plain integers, and the packed solve against a plain one."""

import numpy as np
import pytest

from holdfast.core.errors import Broken
from holdfast.model import solve
from holdfast.model.sums import CORNER, SQUARE, Layout, Sums

D = 23


def _filled(layout: Layout, rounds: int, bits: int) -> tuple[Sums, np.ndarray]:
    """Sums and the plain int64[D, D] that they should be."""
    dice, sums, plain = np.random.default_rng(1), Sums(layout), np.zeros((D, D), np.int64)
    for d in (5, 12, D):
        sums.reach(d)
        for _ in range(rounds):
            at = np.flatnonzero(dice.random(d) < 0.5)
            i, j = (k.ravel() for k in np.meshgrid(at, at, indexing="ij"))
            some = (i >= j) | (layout is SQUARE)
            i, j = i[some], j[some]
            values = dice.integers(-(2**bits), 2**bits, i.size)
            sums.add(i, j, values)
            plain[i, j] += values
    return sums, plain


def _read(sums: Sums, d: int) -> np.ndarray:
    i, j = (k.ravel() for k in np.indices((d, d)))
    some = (i >= j) | (sums.layout is SQUARE)
    out = np.zeros((d, d), np.int64)
    out[i[some], j[some]] = sums.read(i[some], j[some])
    return out


@pytest.mark.parametrize("layout", [CORNER, SQUARE])
@pytest.mark.parametrize("bits", [10, 31, 40])
def test_they_are_the_integers_that_were_added(layout: Layout, bits: int) -> None:
    sums, plain = _filled(layout, 30, bits)
    assert (_read(sums, D) == plain).all() and plain.any()
    assert (sums.large()[0].size > 0) is (bits > 10)
    sums.shift(4)
    assert (_read(sums, D) == plain >> 4).all()
    kept = np.array([0, 1, 4, 9, 10, 20, 22])
    sums.keep(kept, D)
    assert (_read(sums, kept.size) == (plain >> 4)[np.ix_(kept, kept)]).all()
    assert not _read(sums, D)[kept.size :].any()


def test_a_place_knows_its_pair() -> None:
    for layout, pairs in ((CORNER, 3000 * 3001 // 2), (SQUARE, 3000 * 3000)):
        at = np.arange(pairs, dtype=np.int64)
        i, j = layout.pair(at)
        assert (layout.place(i, j) == at).all() and i.max() == j.max() == 2999


@pytest.mark.parametrize("d", [1, 6, 7, 20, 21])
@pytest.mark.parametrize("bits", [20, 36])
def test_the_packed_solve_is_the_plain_one(d: int, bits: int) -> None:
    dice = np.random.default_rng(d)
    x = dice.integers(-40, 40, (200, D))
    whole, after = (x.T @ x) << (bits - 20), dice.integers(-(2**bits), 2**bits, (D, D))
    gram, following = Sums(CORNER), Sums(SQUARE)
    gram.reach(D)
    following.reach(D)
    i, j = np.tril_indices(D)
    gram.add(i, j, whole[i, j])
    i, j = (k.ravel() for k in np.indices((D, D)))
    following.add(i, j, after[i, j])
    at = np.sort(dice.choice(D, d, replace=False)).astype(np.int64)
    unit = float(2**bits)
    names = [f"i:{k}" for k in at.tolist()]
    a, b = solve.left(gram, at, unit, 0.5), solve.right(following, at, unit)
    model = solve.System(names, 1.0, a, b, solve.Followers()).solve()
    plain = np.linalg.solve(whole[np.ix_(at, at)] / unit + 0.5 * np.eye(d), after[np.ix_(at, at)] / unit)
    np.testing.assert_allclose(model.weights, plain, rtol=2e-4, atol=2e-4 * np.abs(plain).max())


def test_what_cannot_be_solved_is_a_release_that_does_not_come_and_no_end_of_the_learner() -> None:
    """Anything but an error of ours would end the process, which would read everything again and meet it again."""
    gram, following = Sums(CORNER), Sums(SQUARE)
    gram.reach(2)
    following.reach(2)
    gram.add(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([1, 3, 1]))  # what rounding may leave
    at = np.arange(2)
    with pytest.raises(Broken):
        solve.System(["i:0", "i:1"], 1.0, solve.left(gram, at, 1.0, 0.5), solve.right(following, at, 1.0),
                     solve.Followers()).solve()  # fmt: skip
