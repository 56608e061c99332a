"""Prefetch hears of clips whatever else stands in the chain before them."""

from typing import cast

import msgspec

from holdfast.adapters.blobs import BlobStore
from holdfast.adapters.log import Batch, LogClient, News
from holdfast.core.chain import Block
from holdfast.core.classes import Class
from holdfast.core.entries import Media, Publication, encode
from holdfast.region.fetch import Fetcher
from holdfast.region.prefetch import Prefetch

SHA = "a" * 64


def test_an_entry_that_cannot_be_read_is_stepped_over() -> None:
    """Such an entry stays in the chain for ever: a reader that ends at it would end at every start."""
    media = Media(init=SHA, segments=[(SHA, 1000)], poster=SHA, width=360, height=640)
    ids = {"device": "n", "stamp": 1, "creator": "x"}
    bad = encode(Publication(outbox=1, item="a clip", **ids))
    good = encode(Publication(outbox=2, item="clip", media=media, **ids))
    block = Block("public/us-east", "e1", 1, b"", 1, [msgspec.Raw(b) for b in (bad, b"\xc1", good)])
    prefetch = Prefetch(cast(LogClient, None), cast(BlobStore, None), cast(Fetcher, None))
    prefetch.hear(News(Class.PUBLIC, [Batch("public/us-east", "e1", 1, [block], [])], {}, {}))
    assert list(prefetch._wanted) == ["clip"]
