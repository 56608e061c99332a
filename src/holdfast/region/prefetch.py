"""Prefetch: every region gets the blobs of what the others publish before anybody asks for them.

The public chains say what there is. Whatever a publication names and this region lacks is fetched, newest first, since
that is what will be watched next. The region's own publications are looked at too: a region that lost its disk gets its
videos back the same way.
"""

import asyncio

import msgspec

from holdfast.adapters.blobs import BlobStore
from holdfast.adapters.log import LogClient, News
from holdfast.core import entries
from holdfast.core.classes import Class
from holdfast.core.entries import Media, Publication, Retraction
from holdfast.core.errors import Degraded
from holdfast.region.fetch import Fetcher

WORKERS = 3  # clips at a time; enough to fill a link, few enough to leave room for chains
AGAIN_S = 2.0  # after a failed fetch, doubled each time
AGAIN_S_MAX = 60.0


class Wanted(msgspec.Struct):
    """A clip whose blobs may be missing here. `wait_s`: how long to rest after the next failure."""

    item: str
    media: Media
    region: str
    wait_s: float = AGAIN_S


class Prefetch:
    """Follows the public chains of a region and fetches what it lacks. `whole` counts clips known to be here."""

    def __init__(self, log: LogClient, blobs: BlobStore, fetcher: Fetcher) -> None:
        self._log = log
        self._blobs = blobs
        self._fetcher = fetcher
        self._wanted: dict[str, Wanted] = {}  # by item; the newest last
        self._more = asyncio.Event()
        self.whole = 0

    async def run(self) -> None:
        """Follow and fetch for ever."""
        await asyncio.gather(self._follow(), *(self._fetch_all() for _ in range(WORKERS)))

    async def _follow(self) -> None:
        async for news in self._log.follow_all([Class.PUBLIC]):
            self.hear(news)

    def hear(self, news: News) -> None:
        """Note what was published or taken back."""
        for batch in news.batches:
            for block in batch.blocks:
                for raw in block.entries:
                    try:
                        entry = entries.decode(raw)
                    except entries.UNREADABLE:  # of a newer kind, or damaged where it was made: it names no clip
                        continue
                    if isinstance(entry, Publication) and entry.media:
                        self._wanted[entry.item] = Wanted(entry.item, entry.media, entry.region)
                        self._more.set()
                    elif isinstance(entry, Retraction):
                        self._wanted.pop(entry.item, None)

    async def _fetch_all(self) -> None:
        while True:
            while not self._wanted:
                self._more.clear()
                await self._more.wait()
            _, wanted = self._wanted.popitem()
            await self._fetch(wanted)

    async def _fetch(self, wanted: Wanted) -> None:
        media = wanted.media
        try:
            for sha in (media.init, media.poster, *(sha for sha, _ in media.segments)):
                if not await asyncio.to_thread(self._blobs.exists, Class.PUBLIC, sha):
                    await self._fetcher.get(Class.PUBLIC, sha, wanted.region)
        except Degraded:
            delay, wanted.wait_s = wanted.wait_s, min(2 * wanted.wait_s, AGAIN_S_MAX)
            asyncio.get_running_loop().call_later(delay, self._want_again, wanted)
        else:
            self.whole += 1

    def _want_again(self, wanted: Wanted) -> None:
        if wanted.item not in self._wanted:  # a newer publication of the item may have come meanwhile
            self._wanted[wanted.item] = wanted
            self._more.set()
