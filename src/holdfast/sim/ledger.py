"""What an observer who sees everything knows: every block ever stored, who holds it now, and what clients were told.

Nothing of a region's own account is believed here. A block is *held* if its bytes lie undamaged on a region's disk: in
a message file, in a copy of one, or in a closed piece.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.core.chain import Block, digest_of, unseal
from holdfast.core.entries import UNREADABLE, Entry, decode
from holdfast.core.errors import Broken
from holdfast.core.log.scan import HEAD
from holdfast.core.log.segments import MAGIC, unpack
from holdfast.region.keeper_files import DAMAGED

if TYPE_CHECKING:
    from holdfast.sim.site import Site

Id = tuple[str, int]  # device, outbox number
Digest = bytes


@dataclass(slots=True)
class Sealed:
    """A block as the observer knows it."""

    block: Block
    message: bytes
    entries: list[Entry]


@dataclass(slots=True)
class Told:
    """What a client was told of one entry."""

    local: set[str] = field(default_factory=set[str])  # regions that acknowledged it
    safe: bool = False
    lost_by: set[str] = field(default_factory=set[str])  # regions whose copy of it was destroyed
    excused: str = ""  # why it may be absent


@dataclass(slots=True)
class Ledger:
    """`blocks` by digest; `homes`: in which blocks an entry lies; `told` by entry."""

    jurisdictions: dict[str, str]
    blocks: dict[Digest, Sealed] = field(default_factory=dict[Digest, Sealed])
    homes: dict[Id, set[Digest]] = field(default_factory=dict[Id, set[Digest]])
    told: dict[Id, Told] = field(default_factory=dict[Id, Told])
    breaches: list[str] = field(default_factory=list[str])
    said_anew: set[str] = field(default_factory=set[str])  # devices of which an entry exists with two contents
    _said: dict[Id, bytes] = field(default_factory=dict[Id, bytes])
    _ends: dict[tuple[str, str], tuple[int, Digest]] = field(default_factory=dict[tuple[str, str], tuple[int, Digest]])
    _messages: dict[bytes, Digest] = field(default_factory=dict[bytes, Digest])
    _fresh: set[Id] = field(default_factory=set[Id])  # called safe since the last look

    def called_safe(self, entry: Id) -> None:
        """A client was told that it may let go of an entry."""
        self.told.setdefault(entry, Told()).safe = True
        self._fresh.add(entry)

    def look(self, sites: "Iterable[Site]") -> None:
        """What was just called safe lies on some disk. Call it before a disk loses anything, and now and then.

        Where *local* is the strongest state there is, a client lets go after a while, whatever became of it.
        """
        if not self._fresh:
            return
        held = set[Digest]().union(*(self.held_by(site) for site in sites))
        for entry in sorted(self._fresh):
            homes = self.homes.get(entry, set[Digest]())
            twice = len(self.told[entry].lost_by) > 1  # told from before the second loss
            if homes.isdisjoint(held) and not twice and not (homes and all(map(self._alone, homes))):
                self.breaches.append(f"entry {entry} was called safe, and nobody holds it")
        self._fresh.clear()

    def stored(self, region: str, row: bytes) -> None:
        """A log server stored a message."""
        digest = digest_of(row)
        if digest not in self.blocks:
            block = unseal(row)
            found: list[Entry] = []
            readable: list[bytes] = []
            for raw in block.entries:
                try:
                    found.append(decode(raw))
                    readable.append(bytes(raw))
                except UNREADABLE:
                    continue
            self.blocks[digest] = Sealed(block, row, found)
            self._messages[row] = digest
            for e, raw in zip(found, readable, strict=True):
                if self._said.setdefault((e.device.removeprefix("p-"), e.outbox), raw) != raw:
                    self.said_anew.add(e.device.removeprefix("p-"))
                self.homes.setdefault((e.device.removeprefix("p-"), e.outbox), set()).add(digest)
        self._continues(region, digest)
        cls, origin = self.blocks[digest].block.chain.split("/")
        if cls == "personal" and self.jurisdictions.get(origin) != self.jurisdictions[region]:
            self.breaches.append(f"a block of {cls}/{origin} was stored in {region}")

    def _continues(self, region: str, digest: Digest) -> None:
        """What an origin's own log server stores follows what it stored before."""
        b = self.blocks[digest].block
        if b.chain.split("/")[1] == region:
            end = self._ends.get((b.chain, b.epoch))
            if end is not None and end[0] == b.n - 1 and end[1] != b.prev:
                self.breaches.append(f"block {b.n} of {b.chain} was stored behind a block that it does not follow")
            self._ends[b.chain, b.epoch] = (b.n, digest)

    def held_by(self, site: "Site", *, aside: bool = True) -> set[Digest]:
        """The blocks whose bytes lie undamaged on a region's disk."""
        out: set[Digest] = set()
        for stream in site.server.streams.all.values():
            out.update(self._whole(row) for row in stream.disk.values())
        for path, data in site.disk.kept.items():
            out.update(map(self._whole, _in_piece(path, data)))
        if aside:
            out.update(self._aside(site))
        out.discard(b"")
        return out

    def _whole(self, row: bytes) -> Digest:
        """The digest of a message that is what its origin sealed, signature and all; b"" for another."""
        return self._messages.get(row, b"")

    def _alone(self, digest: Digest) -> bool:
        """Whether a block is personal, and its jurisdiction has no second region."""
        cls, origin = self.blocks[digest].block.chain.split("/")
        return cls == "personal" and list(self.jurisdictions.values()).count(self.jurisdictions[origin]) == 1

    def _aside(self, site: "Site") -> Iterable[Digest]:
        for files in site.aside.copies.values():
            for parts in files.values():
                for data in parts.values():
                    for row in data.split(b"\x16head")[1:]:
                        message = row.lstrip(b"0123456789")
                        if len(message) > 70:
                            yield self._whole(message)

    def holds(self, entry: Id, held: set[Digest]) -> bool:
        """Whether an entry lies in any of these blocks."""
        return not held.isdisjoint(self.homes.get(entry, ()))

    def destroyed(self, site: "Site", before: set[Digest], others: dict[str, set[Digest]]) -> None:
        """A region's disk lost something: `before` is what it held; judge what was promised of it.

        *Safe* must survive the loss of any one region; *local* survives everything but the loss of its own disk.
        """
        now = self.held_by(site)
        gone = before - now
        touched = {(e.device.removeprefix("p-"), e.outbox) for digest in gone for e in self.blocks[digest].entries}
        for entry in sorted(touched):
            if self.holds(entry, now):
                continue
            told = self.told.setdefault(entry, Told())  # its acknowledgement may still be under way
            told.lost_by.add(site.region)
            if any(self.holds(entry, held) for held in others.values()) or told.excused:
                continue
            if told.safe and len(told.lost_by) < 2 and not all(map(self._alone, self.homes[entry])):
                self.breaches.append(f"entry {entry} was called safe, and only {site.region} held it")
            told.excused = f"{', '.join(sorted(told.lost_by))} lost it"


def _in_piece(path: Path, data: bytes) -> list[bytes]:
    if len(path.name.removesuffix(DAMAGED)) == 64 and data.startswith(MAGIC):
        with suppress(Broken):
            return [row for row in unpack(data) if len(row) > HEAD]
    return []
