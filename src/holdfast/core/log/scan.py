"""Finding sealed blocks in bytes whose shape is not ours to know: the files of a log server that lost its way.

    … anything …‖ VERSION ‖ signature ‖ 0x96 chain epoch n prev hlc entries ‖ … anything …

A block begins with its chain and epoch, which are known, and carries its own lengths, so it can be cut out of any
file in which it lies in one piece. Nothing is believed that stands around it, and what looks like a beginning may be a
viewer's text: whoever cuts a block out verifies its signature. So it makes no difference what format the server gives
its files, as long as it stores messages as they came.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from holdfast.core.chain import BLOCK_BYTES_MAX, SIGNATURE_SIZE, VERSION, Verify
from holdfast.core.errors import Broken
from holdfast.core.log.continuity import Key, Link, check_next, epoch_of

HEAD = 1 + SIGNATURE_SIZE  # what stands before the array
ARRAY_OF_6 = b"\x96"
MESSAGE_BYTES_MAX = HEAD + BLOCK_BYTES_MAX + 100_000  # a sealer may pass the bound by one entry and the array's head
WASTED_MAX = 2_000_000  # steps, half a second, after what only looks like blocks; then on to where it must have ended

_encode = msgspec.msgpack.Encoder().encode


class Place(NamedTuple):
    """Where a block may begin: the number that it claims, and the offset of its message."""

    n: int
    at: int


def places(data: bytes, key: Key) -> list[Place]:
    """Return every place in `data` that looks like the beginning of a sealed message of this epoch, in order."""
    mark = ARRAY_OF_6 + _encode(key.chain) + _encode(epoch_of(key))
    out: list[Place] = []
    found = data.find(mark)
    while found >= 0:
        n = _number(data, found + len(mark))
        if n and found >= HEAD and data[found - HEAD] == VERSION:
            out.append(Place(n, found - HEAD))
        found = data.find(mark, found + 1)
    return out


def genuine(data: bytes, key: Key, verify: Verify) -> Iterator[tuple[int, bytes]]:
    """Yield (number, message) of every block in `data` that its origin signed, in the order of the file.

    What lies inside a genuine block is a viewer's text, and passed over. Inside a damaged one it cannot be told from
    a block, and is tried; but a viewer may have filled it with beginnings, so that has a bound.
    """
    passed = beyond = wasted = 0
    for n, at in places(data, key):
        if at < passed:
            continue
        end, steps = _end(data, at + HEAD, min(len(data), at + MESSAGE_BYTES_MAX))
        try:
            check_next(key, Link(n - 1, b""), data[at:end], verify)
        except Broken:
            beyond = beyond if wasted else end or at + MESSAGE_BYTES_MAX
            wasted += steps
            if wasted > WASTED_MAX:
                passed, wasted = beyond, 0
            continue
        passed, wasted = end, 0
        yield n, data[at:end]


def _number(data: bytes, at: int) -> int:
    """Read a msgpack unsigned integer; 0 if there is none."""
    first = data[at] if at < len(data) else 0
    if first < 0x80:
        return first
    size = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(first, 0)
    return int.from_bytes(data[at + 1 : at + 1 + size], "big")


# For the bytes 0xc0–0xdf of msgpack: (bytes of a length field, bytes besides, items per unit of the length; 0: bytes).
_WIDE: tuple[tuple[int, int, int] | None, ...] = (
    (0, 0, 0), None, (0, 0, 0), (0, 0, 0),  # nil, never used, false, true
    (1, 0, 0), (2, 0, 0), (4, 0, 0), (1, 1, 0), (2, 1, 0), (4, 1, 0),  # bin, ext
    (0, 4, 0), (0, 8, 0), (0, 1, 0), (0, 2, 0), (0, 4, 0), (0, 8, 0),  # float, uint
    (0, 1, 0), (0, 2, 0), (0, 4, 0), (0, 8, 0), (0, 2, 0), (0, 3, 0), (0, 5, 0), (0, 9, 0), (0, 17, 0),  # int, fixext
    (1, 0, 0), (2, 0, 0), (4, 0, 0), (2, 0, 1), (4, 0, 1), (2, 0, 2), (4, 0, 2),  # str, array, map
)  # fmt: skip


def _end(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """Return where the msgpack value at offset `at` ends (0: it is none, or passes `stop`), and the steps taken."""
    left, steps = 1, 0
    while left:
        if at >= stop:
            return 0, steps
        first = data[at]
        at, left, steps = at + 1, left - 1, steps + 1
        if first < 0x80 or first >= 0xE0:  # small integers
            continue
        if first < 0x90:
            left += 2 * (first & 0x0F)
        elif first < 0xA0:
            left += first & 0x0F
        elif first < 0xC0:
            at += first & 0x1F
        else:
            wide = _WIDE[first - 0xC0]
            if wide is None:
                return 0, steps
            size, besides, items = wide
            length = int.from_bytes(data[at : at + size], "big")
            at += size + besides + (0 if items else length)
            left += items * length
    return (at if at <= stop else 0), steps
