"""Snapshots of a node: what it has folded lies in blobs, so that its next start reads the news and not the history.

Every few minutes of news, and at an orderly stop, the world is frozen between two batches, piece by piece, with
requests served in between; only folding waits. What comes out are three blobs, one per class, and beside them one small
file that says which blobs, and exactly what was folded:

    regions/NAME/snapshot.json      → blobs/<class>/<sha[:2]>/<sha>

The order of writing: blobs, then that file, then the old blobs go, then a `snapshot` entry in each own chain. A crash
after any step leaves one snapshot that is whole, and at worst blobs that nothing names.

A snapshot is a short way and never the truth. If its file is damaged, a blob does not hash to its name, the format is
another or the log does not reach as far as it claims, the node says so and folds the log from the beginning.
"""

import asyncio
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from holdfast.adapters import telemetry
from holdfast.adapters.log import LogClient
from holdfast.adapters.system import write_whole
from holdfast.core import asks
from holdfast.core.classes import Class, parse_chain
from holdfast.core.entries import AnyEntry, Incident, Policy, Release, Rollout, Snapshot, encode
from holdfast.core.errors import Degraded
from holdfast.core.feed import snapshot
from holdfast.core.feed.world import World
from holdfast.region.node_append import Appender
from holdfast.region.node_counts import NodeCounts
from holdfast.region.node_follow import Follower
from holdfast.region.node_items import NodeCatalogue
from holdfast.region.node_release import NodeReleases
from holdfast.region.node_rulings import NodeRulings
from holdfast.region.node_state import State

EVERY_S = 300.0  # what a start after a crash folds again at most, with ENTRIES_MIN: five minutes of news
ENTRIES_MIN = 5000  # fewer are folded again in a tenth of a second
SLICE_S = 0.002  # a slate waits at most this long for a snapshot, as for the fold
RETRY_S = 0.2  # between two questions to a keeper that is starting

log = telemetry.logger()


class Frozen(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which blobs are the snapshot, and exactly what they contain: `folded`, and by chain its newest block."""

    fold: str
    blobs: dict[Class, tuple[str, int]] = {}  # sha256, bytes
    folded: asks.Have
    watermark: dict[str, tuple[str, int]]
    newest: dict[str, int]


class _File(msgspec.Struct):
    sha: str
    body: msgspec.Raw


class _Blob(msgspec.Struct):
    """One class: the world's part, and what the rooms beside it noted of that class."""

    world: bytes = b""
    heard: list[AnyEntry] = []
    viewers: list[msgspec.Raw] = []  # _Viewers


_Viewers = list[tuple[str, list[str]]]


@dataclass(frozen=True, slots=True)
class Noted:
    """The rooms that hear of entries and keep something of them."""

    catalogue: NodeCatalogue
    rulings: NodeRulings
    releases: NodeReleases
    counts: NodeCounts


class NodeSnapshots:
    """Takes snapshots and takes them up again."""

    def __init__(self, state: State, appender: Appender, follower: Follower, noted: Noted) -> None:
        self._state, self._appender, self._follower, self._noted = state, appender, follower, noted
        self._path = state.folder / "snapshot.json"
        self._entries = 0  # folded when the last snapshot was taken
        self._taking = asyncio.Lock()

    # -- taking --------------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Take snapshots, for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.take()

    async def take(self) -> None:
        """Take a snapshot if enough was folded since the last. A disk or keeper that refuses is counted."""
        state = self._state
        async with self._taking:
            if not state.folding or state.world.entries - self._entries < ENTRIES_MIN:
                return
            begun_s = state.now_s()
            async with self._follower.turn:
                parts = await self._parts()
                blobs = await self._noted_now()
                frozen, entries = self._reached(), state.world.entries
            froze_s = state.now_s() - begun_s
            try:
                size = await asyncio.to_thread(self._write, frozen, parts, blobs)
            except (Degraded, OSError) as e:
                state.count("snapshot_failures")
                log.warning("a snapshot could not be written", why=str(e))
                return
            self._entries = entries
            state.count("snapshots")
            took_s = state.now_s() - begun_s
            log.info("snapshot taken", entries=entries, bytes=size, froze_s=round(froze_s, 3), took_s=round(took_s, 3))
            await self._announce(frozen)

    async def _parts(self) -> dict[Class, list[bytes]]:
        """Freeze the world, letting requests pass."""
        parts: dict[Class, list[bytes]] = {cls: [] for cls in Class}
        until = time.perf_counter() + SLICE_S
        for cls, piece in snapshot.pieces(self._state.world):
            parts[cls].append(piece)
            if time.perf_counter() > until:
                await asyncio.sleep(0)
                until = time.perf_counter() + SLICE_S
        return parts

    async def _noted_now(self) -> dict[Class, _Blob]:
        """What the rooms noted, as entries that they will hear again, each in the class it came in."""
        noted = self._noted
        personal = _Blob(heard=list(noted.releases.heard()))
        for rows in snapshot.sliced(noted.counts.viewers()):
            personal.viewers.append(msgspec.Raw(encode(rows)))
            await asyncio.sleep(0)
        return {
            Class.RULINGS: _Blob(heard=list(noted.rulings.policies.values())),
            Class.PUBLIC: _Blob(heard=list(self._state.incidents)),
            Class.PERSONAL: personal,
        }

    def _reached(self) -> Frozen:
        state = self._state
        return Frozen(
            fold=snapshot.FOLD, folded={chain: dict(epochs) for chain, epochs in state.folded.items()},
            watermark=dict(state.watermark), newest=self._follower.newest(),
        )  # fmt: skip

    def _write(self, frozen: Frozen, parts: dict[Class, list[bytes]], blobs: dict[Class, _Blob]) -> int:
        """Make it durable; return its bytes. Fills `frozen.blobs`. Raises Degraded, OSError."""
        store, before = self._state.blobs, _read(self._path)
        for cls, blob in blobs.items():
            blob.world = snapshot.pack(cls, parts[cls])
            data = encode(blob)
            frozen.blobs[cls] = (store.put(cls, data), len(data))
        body = msgspec.json.encode(frozen)
        file = _File(hashlib.sha256(body).hexdigest(), msgspec.Raw(body))
        write_whole(self._path, msgspec.json.encode(file))
        for cls, (sha, _) in before.blobs.items() if isinstance(before, Frozen) else ():
            if sha != frozen.blobs[cls][0]:
                store.delete(cls, sha)
        return sum(size for _, size in frozen.blobs.values())

    async def _announce(self, frozen: Frozen) -> None:
        """Name the blobs in our own chains, to each class only what concerns it."""
        for cls, (sha, size) in frozen.blobs.items():
            reached = {c: at for c, at in frozen.watermark.items() if parse_chain(c)[0] is cls}
            entry = Snapshot(
                **self._state.stamp(),  # type: ignore[arg-type]
                fold=frozen.fold, sha=sha, size=size, watermark=reached,
            )
            try:
                await self._appender.put(cls, encode([entry]))
            except Degraded:  # at a stop the keeper may be gone first; the file beside the blobs is what a start needs
                self._state.count("snapshots_unnamed")

    # -- taking up -----------------------------------------------------------------------------------------------

    async def recall(self, client: LogClient) -> None:
        """Put the state at the newest snapshot, before anything is followed; if it is not good, leave it empty."""
        begun_s = self._state.now_s()
        frozen = _read(self._path)
        if frozen is None:
            return
        try:
            if isinstance(frozen, str):
                raise Degraded(frozen)
            world, blobs = await asyncio.to_thread(self._load, frozen)
            await self._held(client, frozen.folded)
        except Degraded as e:
            self._state.count("snapshots_refused")
            log.warning("the snapshot is not used; the log is folded from its beginning", why=str(e))
            return
        self._take_up(frozen, world, blobs)
        self._state.count("snapshots_used")
        log.info("snapshot used", entries=world.entries, took_s=round(self._state.now_s() - begun_s, 3))

    def _load(self, frozen: Frozen) -> tuple[World, list[_Blob]]:
        """Read, check and thaw. Raises Degraded."""
        if frozen.fold != snapshot.FOLD:
            raise Degraded(f"it is a snapshot of {frozen.fold}, and this Holdfast folds {snapshot.FOLD}")
        blobs: dict[Class, _Blob] = {}
        for cls in Class:
            sha, _ = frozen.blobs.get(cls, ("", 0))
            data = self._state.blobs.get(cls, sha) if sha else None
            if data is None:
                raise Degraded(f"blob {sha[:12]} of class {cls} is damaged or not here")
            try:
                blobs[cls] = msgspec.msgpack.decode(data, type=_Blob)
            except msgspec.MsgspecError as e:
                raise Degraded(f"blob {sha[:12]} of class {cls} does not read: {e}") from e
        world = snapshot.thaw({cls: blob.world for cls, blob in blobs.items()})
        if world.catalogue.jurisdiction != self._state.here.jurisdiction:
            raise Degraded(f"it was taken under the law of {world.catalogue.jurisdiction}")
        return world, list(blobs.values())

    async def _held(self, client: LogClient, folded: asks.Have) -> None:
        """Return if the log reaches as far as was folded; wait for the keeper as long as it takes.

        Raises Degraded if it does not: other blocks may come to stand where those stood that we folded.
        """
        for cls in Class:
            while True:
                try:
                    heads = (await client.heads(cls)).chains
                    break
                except Degraded:
                    await asyncio.sleep(RETRY_S)
            last = {(chain, h.epoch): h.last for chain, row in heads.items() for h in row}
            for chain, epochs in folded.items():
                for epoch, n in epochs.items():
                    if parse_chain(chain)[0] is cls and last.get((chain, epoch), 0) < n:
                        raise Degraded(f"the log no longer holds {chain} up to block {n} of epoch {epoch}")

    def _take_up(self, frozen: Frozen, world: World, blobs: list[_Blob]) -> None:
        state, noted = self._state, self._noted
        state.world, self._entries = world, world.entries
        state.folded.update(frozen.folded)
        state.watermark.update(frozen.watermark)
        for stamp in frozen.newest.values():
            state.clock.observe(stamp, state.now_us())
        self._follower.begin(frozen.folded, frozen.newest)
        for publication in world.catalogue.publications:
            if publication is not None:
                noted.catalogue.hear(publication)
        for blob in blobs:
            for entry in blob.heard:
                match entry:
                    case Policy():
                        noted.rulings.hear(entry)
                    case Release() | Rollout():
                        noted.releases.hear(entry)
                    case Incident():
                        state.incidents.append(entry)
                    case _:
                        pass
            for rows in blob.viewers:
                noted.counts.recall(msgspec.msgpack.decode(rows, type=_Viewers))


def _read(path: Path) -> Frozen | str | None:
    """Read the file that names a snapshot: None if there is none, a sentence if it is damaged."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
        if hashlib.sha256(bytes(file.body)).hexdigest() != file.sha:
            return f"{path.name} is damaged"
        return msgspec.json.decode(file.body, type=Frozen)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, msgspec.MsgspecError) as e:
        return f"{path.name} does not read: {e}"
