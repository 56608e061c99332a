"""Chance as an argument: every draw is a hash of (seed, request, video), so that a slate can be replayed exactly.

The mixer is splitmix64 (Steele, Lea, Flood 2014), applied to whole columns at once.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import fnv64

Array = NDArray[Any]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_WORD = 2**64 - 1


def mix(values: Array) -> Array:
    """Return uint64 values scrambled by splitmix64."""
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64) + _GAMMA
        z = (z ^ (z >> np.uint64(30))) * _M1
        z = (z ^ (z >> np.uint64(27))) * _M2
        return z ^ (z >> np.uint64(31))


def key(seed: int, *parts: str) -> int:
    """Return the 64-bit hash of a seed and some names: which draw this is."""
    return fnv64("\x1f".join((str(seed), *parts)))


def uniform(draw: int, hashes: Array) -> Array:
    """Return float64 in (0, 1), one per hash, for the draw named by `draw`."""
    z = mix(hashes ^ mix(np.array([draw], np.uint64))[0])
    return ((z >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def uniform_one(draw: int, salt: int) -> float:
    """Return `uniform` of one hash, without the price of an array."""
    return ((_mixed(salt ^ _mixed(draw)) >> 11) + 0.5) / 2.0**53


def pick(draw: int, n: int) -> int:
    """Return a number in 0..n-1."""
    return int(uniform_one(draw, 0) * n)


def _mixed(z: int) -> int:
    z = (z + int(_GAMMA)) & _WORD
    z = ((z ^ (z >> 30)) * int(_M1)) & _WORD
    z = ((z ^ (z >> 27)) * int(_M2)) & _WORD
    return z ^ (z >> 31)
