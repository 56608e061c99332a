"""The HLS media playlist of a clip: fMP4, every part named by its sha256, addresses relative to the region.

RFC 8216. A player that loses a region asks another for the same relative address and gets the same bytes.
"""

import math

from holdfast.core.entries import Media


def playlist(media: Media) -> str:
    """Return the playlist, to be served at `/v1/items/<item>/index.m3u8`."""
    longest_s = max(ms for _, ms in media.segments) / 1000
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{math.ceil(longest_s)}",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-MAP:URI="../../blobs/{media.init}"',
    ]
    for sha, ms in media.segments:
        lines += [f"#EXTINF:{ms / 1000:.3f},", f"../../blobs/{sha}"]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])
