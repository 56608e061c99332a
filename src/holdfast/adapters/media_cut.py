"""Cutting a fragmented MP4 into the parts that HLS names: an init segment and media segments.

A muxer told to begin a fragment at every key frame writes boxes in this order, each `size(4) type(4) payload`:

    ftyp moov | moof mdat | moof mdat | …
    init      | segment 0 | segment 1 | …

So cutting is reading sizes. Writing the parts ourselves, rather than through a playlist muxer, keeps them in memory, to
be named by their sha256, and leaves no temporary playlist to trust.
"""

from collections.abc import Iterator

from holdfast.core.errors import Broken

INIT_BOXES = (b"ftyp", b"moov")
SEGMENT_BOXES = (b"moof", b"mdat")


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, whole box) of each top-level box. Raises Broken if the sizes do not add up."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:  # a 64-bit size follows the type
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8 or at + size > len(data):
            raise Broken(f"an MP4 box at byte {at} claims {size} bytes of {len(data) - at}")
        yield data[at + 4 : at + 8], data[at : at + size]
        at += size


def cut(data: bytes) -> tuple[bytes, list[bytes]]:
    """Split a fragmented MP4 into (init segment, media segments). Raises Broken on a file that is not one."""
    init = b""
    segments: list[bytes] = []
    for kind, box in boxes(data):
        if kind in INIT_BOXES:
            init += box
        elif kind == b"moof":
            segments.append(box)
        elif kind == b"mdat" and segments:
            segments[-1] += box
    if not init or not segments:
        raise Broken("the muxer wrote no fragments")
    return init, segments


def codecs_of(init: bytes) -> str:
    """Read the RFC 6381 codec string out of an init segment, for example `avc1.4d401e,mp4a.40.2`."""
    at = init.find(b"avcC")
    if at < 0:
        raise Broken("the init segment holds no H.264 track")
    profile, compatibility, level = init[at + 5 : at + 8]
    video = f"avc1.{profile:02x}{compatibility:02x}{level:02x}"
    return video + ",mp4a.40.2" if b"mp4a" in init else video
