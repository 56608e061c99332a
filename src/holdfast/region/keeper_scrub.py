"""Scrub and mend: re-read everything at a bounded rate, replace what is damaged, and say exactly what is gone.

JetStream notices a flipped bit late or never. So every copy is read again from end to end, slowly, and so is every
blob. What is bad becomes a hole; holes are filled by carrying, because what we say we hold (`have`) stops before them.
A hole that every permitted peer has been asked about, and none holds, is lost: said once, in the region's public chain
and in every answer about heads, and then stepped over, so that what comes after it can be read.
"""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

from holdfast.adapters.log_streams import Extent
from holdfast.core.asks import Head, Ranges
from holdfast.core.chain import Verify
from holdfast.core.classes import Class
from holdfast.core.errors import Broken, Degraded, HoldfastError
from holdfast.core.log import ranges
from holdfast.core.log.continuity import Link, check_next
from holdfast.region.keeper_held import HeldEpoch
from holdfast.region.keeper_peers import Peers
from holdfast.region.keeper_recover import empty_into_pieces, examine
from holdfast.region.keeper_salvage import Salvage
from holdfast.region.keeper_store import Copy, Store

BYTE_S = 1 / 2_000_000  # pause per byte read: 2 MB/s, under 1 % of a core and of a slow disk
BLOCK_S = 1 / 250  # pause per block read: small blocks cost 0.15 ms each however short, so 4 % of a core
STEP_BYTES = 256_000
ROUND_PAUSE_S = 5.0
MEND_EVERY_S = 1.0
BLOB_PART = 1_000_000
BLOB_BYTES_MAX = 512_000_000  # no piece or part of a video is near this; a peer that names more is not believed
SETTLE_S = 3.0  # a hole younger than this is not yet called lost: carrying may be filling it


class Scrubber:
    """Looks after all copies and blobs of a region."""

    def __init__(self, store: Store, peers: Peers, verifiers: dict[str, Verify], salvage: Salvage) -> None:
        self._store = store
        self._peers = peers
        self._salvage = salvage
        self._verifiers = verifiers
        self.on_incident: Callable[[str, str], None] = lambda _what, _text: None
        self.rounds = 0

    # -- reading ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Scrub for ever."""
        while True:
            aside, sound = self._salvage.aside(), True
            for copy in list(self._store.copies.values()):
                is_sound = await self._sound(copy)
                if is_sound is False:
                    self._store.suspects.add(copy.key)
                sound = sound and is_sound is True
            copies = self._store.copies.values()
            if sound and not self._store.suspects and not any(c.missing for c in copies):
                await self._salvage.put_away(aside)  # the log server began anew under us, and nothing is wanting
            await self._blobs()
            self.rounds += 1
            await asyncio.sleep(ROUND_PAUSE_S)

    async def _sound(self, copy: Copy) -> bool | None:
        """Read a copy's stream end to end without stopping its writing; say whether the row is unbroken.

        None: the log server is away, and nothing is known.
        """
        link, end = Link(copy.tail_first - 1, b""), copy.end.n
        while link.n < end and link.n + 1 >= copy.tail_first:
            try:
                rows = await self._store.streams.read(copy.key, link.n + 1, end, STEP_BYTES)
                for _, message in rows:
                    _, link = check_next(copy.key, link, message, None)
            except Broken:
                return copy.tail_first > link.n + 1  # the tail was cut meanwhile: not damage
            except HoldfastError:
                return None
            if not rows:
                return copy.tail_first > link.n + 1
            await asyncio.sleep(max(sum(len(m) for _, m in rows) * BYTE_S, len(rows) * BLOCK_S))
        return True

    async def _blobs(self) -> None:
        """Check every blob against its name; fetch from a peer what is damaged."""
        for cls in Class:
            for path in await asyncio.to_thread(self._store.files.names, cls):
                if len(path.name) == 64:
                    size, sound = await asyncio.to_thread(self._store.files.look_at, path)
                    if not sound:
                        await self._mend_blob(cls, path)
                    await asyncio.sleep(size * BYTE_S)

    async def _mend_blob(self, cls: Class, path: Path) -> None:
        data = await self._fetch(cls, path.name)
        if data is not None:
            try:
                await asyncio.to_thread(self._store.files.put, cls, path.name, data)
            except OSError:
                return None  # a full disk: the next round tries again
            self._store.files.forget()
            return self.on_incident("mended", f"file {path.name[:12]} of class {cls} was damaged and is mended")
        self._store.files.condemn(path)
        for copy in self._store.of_class(cls):
            if any(p.sha == path.name for p in copy.pieces):
                self._store.files.forget()
                self._store.suspects.add(copy.key)
                return None  # its blocks become a hole and may come back one by one
        return self.on_incident("lost", f"file {path.name} of class {cls} is damaged and no peer holds it")

    async def _fetch(self, cls: Class, sha: str) -> bytes | None:
        for peer in sorted(self._peers.of(cls)):
            parts: list[bytes] = []
            try:
                while True:
                    part = await self._peers.client(peer).blob(cls, sha, sum(map(len, parts)), BLOB_PART)
                    parts.append(part.data)
                    if not 0 <= part.total <= BLOB_BYTES_MAX or not part.data or sum(map(len, parts)) >= part.total:
                        break
            except HoldfastError:
                continue
            data = b"".join(parts)
            if hashlib.sha256(data).hexdigest() == sha:
                return data
        return None

    # -- mending ---------------------------------------------------------------------------------------------------

    async def mend(self, say: Callable[[str], None]) -> None:
        """Turn suspects into holes and holes that nobody can fill into losses, for ever."""
        seen: dict[tuple[str, str], float] = {}
        while True:
            for key in sorted(self._store.suspects):
                self._store.suspects.discard(key)
                try:
                    if key in self._store.copies:
                        await self._rebuild(self._store.copies[key])
                except HoldfastError as e:
                    say(f"{key.chain} {key.epoch} could not be rebuilt yet: {e}")
                    self._store.suspects.add(key)
            now = self._store.now_s()
            for copy in list(self._store.copies.values()):
                if not copy.missing:
                    seen.pop(copy.key, None)
                elif now - seen.setdefault(copy.key, now) >= SETTLE_S or not self._peers.of(copy.cls):
                    try:
                        await self._give_up_lost(copy)
                    except Degraded as e:  # a full disk: what cannot be recorded is not said either
                        say(f"what is lost of {copy.key.chain} {copy.key.epoch} could not be recorded yet: {e}")
            await asyncio.sleep(MEND_EVERY_S)

    async def _rebuild(self, copy: Copy) -> None:
        """Examine a suspect thoroughly, its writing held up meanwhile; if it is damaged, begin its stream anew."""
        async with copy.lock, copy.shape:
            await copy.writer.drain()
            self._store.files.forget()
            extent: Extent | None = await self._store.streams.extent(copy.key)
            now = HeldEpoch(copy.end.n, copy.end.digest, copy.opened, copy.pieces, copy.missing, copy.lost)
            bad = await examine(self._store, copy, extent, now, self._verifiers[copy.origin])
            fresh = ranges.minus(bad, copy.missing)
            anew = bool(fresh) or extent is None
            rows = await self._salvage.find(copy, bad, anew=anew)
            if anew:
                await empty_into_pieces(self._store, copy, bad, extent is not None)
                say = f"{copy.key.chain}, epoch {copy.key.epoch}: blocks {ranges.say(fresh)} are damaged here"
                self.on_incident("damage", say)
        await self._salvage.put_back(copy, rows)

    async def _give_up_lost(self, copy: Copy) -> None:
        """Declare lost what every permitted peer was asked for and none holds."""
        asked = self._peers.of(copy.cls)
        answers = await self._peers.heads(copy.cls, copy.key.chain)
        if asked - answers.keys():
            return  # someone who may hold it has not spoken
        nowhere = unheld(copy.missing, copy.key.epoch, answers)
        if nowhere:
            async with copy.lock:
                nowhere = ranges.both(nowhere, copy.missing)  # what was filled while we asked is not lost
                before = copy.lost, copy.missing
                copy.lost = ranges.union(copy.lost, nowhere)
                copy.missing = ranges.minus(copy.missing, nowhere)
                if not nowhere:
                    return
                try:
                    await self._store.save_held()
                except Degraded:
                    copy.lost, copy.missing = before
                    raise
            self._store.changed(copy.cls)
            say = f"{copy.key.chain}, epoch {copy.key.epoch}: blocks {ranges.say(nowhere)} are lost, nobody holds them"
            self.on_incident("lost", say)


def unheld(missing: Ranges, epoch: str, answers: dict[str, list[Head]]) -> Ranges:
    """Return the part of `missing` that no answering peer holds."""
    for heads in answers.values():
        for head in heads:
            if head.epoch == epoch:
                held = ranges.minus([(head.first, head.last)], ranges.union(head.missing, head.lost))
                missing = ranges.minus(missing, held)
    return missing
