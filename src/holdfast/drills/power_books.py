"""What regions promised besides entries, written down from outside: how far uploads came, which clips are published.

After a power cut the books are held against what the regions then have: `missing` counts what was acknowledged and is
not there.
"""

import asyncio
import hashlib
import os
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from holdfast.adapters.aio.calls import Calls
from holdfast.adapters.aio.tus import Tus
from holdfast.core.errors import Degraded, Refused
from holdfast.drills.load import at_work

UPLOAD_BYTES, PIECE_BYTES, PIECE_EVERY_S = 4_000_000, 50_000, 0.1
READ_S = 10.0
BLOB = re.compile(r"/blobs/([0-9a-f]{64})")


class QuietCalls(Calls):
    """Calls of clients that may be kept from sending entries: else their outboxes would mend what we came to count."""

    quiet = False

    async def call(self, method: str, url: str, body: object = None, *, bearer: str = "", answer: Any = dict) -> Any:
        """As `Calls.call`. Raises Degraded for entries while `quiet`."""
        if self.quiet and method == "POST" and url.endswith("/v1/events"):
            raise Degraded("the drill counts first")
        return await super().call(method, url, body, bearer=bearer, answer=answer)


class UploadBook:
    """Uploads that are always under way, one at each of `urls`, and how far each was acknowledged."""

    def __init__(self, urls: Sequence[str], tus: Tus) -> None:
        self.reached: dict[tuple[str, str], int] = {}  # (url, upload) -> bytes acknowledged
        self._urls, self._tus = urls, tus

    async def _send(self, url: str) -> None:
        """Send one file after the other; each stops short of its end, so that its offset can be asked for."""
        while True:
            with suppress(Degraded, Refused):
                upload = await self._tus.begin(url, UPLOAD_BYTES, {"filename": "long.mp4"})
                at = self.reached[url, upload] = 0
                while at + PIECE_BYTES < UPLOAD_BYTES:
                    at = await self._tus.append(url, upload, os.urandom(PIECE_BYTES), at)
                    self.reached[url, upload] = at
                    await asyncio.sleep(PIECE_EVERY_S)
            await asyncio.sleep(PIECE_EVERY_S)

    def sending(self) -> AbstractAsyncContextManager[None]:
        """Send for the length of the block."""
        return at_work(self._send(url) for url in self._urls)

    async def missing(self) -> int:
        """Bytes that were acknowledged and are not there; an announcement that is gone counts one more."""
        lost = 0
        for (url, upload), reached in self.reached.items():
            try:
                lost += max(0, reached - await self._tus.offset(url, upload))
            except Refused:
                lost += reached + 1
        return lost


async def clips_missing(urls: Sequence[str], items: Sequence[str]) -> int:
    """Count the clips that some region does not serve whole: playlist, and every blob it names, with its sha256."""
    found = await asyncio.gather(*(asyncio.to_thread(_whole, url, item) for url in urls for item in items))
    return len(found) - sum(found)


def _whole(url: str, item: str) -> bool:
    """Whether a region serves every byte of a clip."""
    try:
        shas = set(BLOB.findall(_read(f"{url}/v1/items/{item}/index.m3u8").decode()))
        return bool(shas) and all(hashlib.sha256(_read(f"{url}/v1/blobs/{sha}")).hexdigest() == sha for sha in shas)
    except (urllib.error.URLError, OSError, UnicodeDecodeError):
        return False


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=READ_S) as answered:
        return answered.read()
