"""Sets of block numbers as sorted, disjoint, closed ranges: the arithmetic of what is held, missing and lost."""

from collections.abc import Iterable

from holdfast.core.asks import Ranges


def normal(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sort, drop empty ranges and join those that touch."""
    out: Ranges = []
    for a, b in sorted(ranges):
        if b < a:
            continue
        if out and a <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], b))
        else:
            out.append((a, b))
    return out


def union(x: Ranges, y: Ranges) -> Ranges:
    """All numbers in x or y."""
    return normal([*x, *y])


def minus(x: Ranges, y: Ranges) -> Ranges:
    """All numbers in x that are not in y. Both in normal form."""
    out: Ranges = []
    for a, b in x:
        for c, d in y:
            if d < a or c > b:
                continue
            if c > a:
                out.append((a, c - 1))
            a = d + 1
            if a > b:
                break
        if a <= b:
            out.append((a, b))
    return out


def both(x: Ranges, y: Ranges) -> Ranges:
    """All numbers in x and in y."""
    return minus(x, minus(x, y))


def count(x: Ranges) -> int:
    """How many numbers there are in x."""
    return sum(b - a + 1 for a, b in x)


def prefix(last: int, missing: Ranges) -> int:
    """Return the end of the unbroken part of 1..last when `missing` are absent (what is lost everywhere aside)."""
    return missing[0][0] - 1 if missing and missing[0][0] <= last else last


def step_over(n: int, lost: Ranges) -> int:
    """Return the last number that follows n without a gap except `lost` ones (n itself if n+1 is not lost)."""
    for a, b in lost:
        if a <= n + 1 <= b:
            return b
    return n


def say(x: Ranges) -> str:
    """Print ranges for people: `3–7, 9`."""
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in x)
