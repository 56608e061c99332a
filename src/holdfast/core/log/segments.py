"""A closed segment: an immutable file that holds a row of sealed blocks, the same bytes wherever it is made.

    file = "HFSEG1\\n" ‖ (length of message, 4 bytes big-endian ‖ sealed message)*

Whoever holds blocks first..last of an epoch makes the very same file, so its sha256 in the chain is enough to check
every holder's copy, and a newcomer can take it from anyone.
"""

from collections.abc import Iterable

from holdfast.core.errors import Broken

MAGIC = b"HFSEG1\n"


def pack(messages: Iterable[bytes]) -> bytes:
    """Return the segment file for these sealed messages, in order."""
    parts = [MAGIC]
    for message in messages:
        parts.append(len(message).to_bytes(4, "big"))
        parts.append(message)
    return b"".join(parts)


def unpack(data: bytes) -> list[bytes]:
    """Return the sealed messages of a segment file. Raises Broken if it is not one, whole."""
    if not data.startswith(MAGIC):
        raise Broken("not a segment file of version 1")
    at, size = len(MAGIC), len(data)
    out: list[bytes] = []
    while at < size:
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        if end > size or end <= at + 4:
            raise Broken(f"a segment file ends in the middle of a block, at byte {at}")
        out.append(data[at + 4 : end])
        at = end
    return out
