"""The playlist names every part relative to the region and rounds its target up."""

from holdfast.core.entries import Media
from holdfast.core.playlist import playlist


def test_a_playlist() -> None:
    segments = [("1" * 64, 2000), ("2" * 64, 2040), ("3" * 64, 500)]
    media = Media(init="a" * 64, segments=segments, poster="b" * 64, width=360, height=640)
    lines = playlist(media).splitlines()
    assert lines[0] == "#EXTM3U" and lines[-1] == "#EXT-X-ENDLIST"
    assert "#EXT-X-TARGETDURATION:3" in lines and f'#EXT-X-MAP:URI="../../blobs/{"a" * 64}"' in lines
    assert [x for x in lines if x.startswith("../../blobs/")] == [f"../../blobs/{sha}" for sha, _ in segments]
    assert [x for x in lines if x.startswith("#EXTINF")] == ["#EXTINF:2.000,", "#EXTINF:2.040,", "#EXTINF:0.500,"]
