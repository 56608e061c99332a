"""Backup of a region while it runs, and its restoration into an empty directory.

A backup is a region's directory in its quietest form: every chain closed into segment files, the keeper's record of
them, and the blobs, each file with its sha256 in `manifest.json`. So restoring is checking and copying; the keeper then
starts from the files as it would after any loss, asks its peers for what came later, and writes on in a new epoch:
what was acknowledged after the backup has numbers too, and a client must never take another block for the one it was
told of. Chains are immutable, so reading them one after the other is consistent: a block is in whole, or it came later.

    TO/manifest.json  held.json  blobs/<class>/<sha[:2]>/<sha>
"""

import asyncio
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec

import holdfast
from holdfast.adapters import system
from holdfast.adapters.home import Home
from holdfast.adapters.log import LogClient
from holdfast.core.asks import Head
from holdfast.core.classes import Class
from holdfast.core.errors import Broken, Degraded, Refused
from holdfast.core.log import ranges
from holdfast.region import keeper_held
from holdfast.region.keeper_files import PieceFiles
from holdfast.region.keeper_held import HeldEpoch, HeldRecord, Piece

VERSION = 1
PIECE_BYTES = 16_000_000  # how much of a chain is held in memory while it is read
CONNECT_S = 5.0
COPY_BYTES = 1_000_000


class Manifest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a backup holds. `files`: path → sha256; `chains`: chain → epoch → last block; `taken`: µs since 1970."""

    version: int = VERSION
    holdfast: str
    region: str
    jurisdiction: str
    taken: int
    chains: dict[str, dict[str, int]]
    files: dict[str, str]


def backup(home: Home, region: str, to: Path) -> dict[str, Any]:
    """Write a backup of `region` to the directory `to`, which must be new or empty; → its figures.

    Raises Refused if the directory is in use, Degraded if the region does not run.
    """
    place = home.load().region(region)
    system.usable_directory(to)
    if any(to.iterdir()):
        raise Refused(f"{to} is not empty", field="to", hint="name a new directory")
    begun_s = time.monotonic()
    record = asyncio.run(_chains(home, region, to))
    keeper_held.save(to / "held.json", record)
    copied = _copy_blobs(home.region(region) / "blobs", to / "blobs")
    files = {str(p.relative_to(to)): _sha(p) for p in sorted(to.rglob("*")) if p.is_file()}
    chains = {chain: {epoch: held.n for epoch, held in epochs.items()} for chain, epochs in record.chains.items()}
    manifest = Manifest(
        holdfast=holdfast.__version__, region=region, jurisdiction=place.jurisdiction,
        taken=time.time_ns() // 1000, chains=chains, files=files,
    )  # fmt: skip
    _write(to / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    size = sum(p.stat().st_size for p in to.rglob("*") if p.is_file())
    blocks = sum(n for epochs in chains.values() for n in epochs.values())
    return {"region": region, "to": str(to), "blocks": blocks, "blobs": copied, "files": len(files), "bytes": size,
            "took_s": round(time.monotonic() - begun_s, 2)}  # fmt: skip


async def _chains(home: Home, region: str, to: Path) -> HeldRecord:
    """Close every chain the region holds into segment files below `to`."""
    try:
        async with asyncio.timeout(CONNECT_S):
            client = await LogClient.open(home, region, role="backup")
    except TimeoutError as e:
        raise Degraded(f"{region} does not run; a backup is taken from a running region") from e
    files = PieceFiles(to / "blobs")
    closed = keeper_held.load(home.region(region) / "held.json") or HeldRecord()
    record = HeldRecord()
    try:
        for cls in Class:
            for chain, heads in (await client.heads(cls)).chains.items():
                for head in heads:
                    known = closed.chains.get(chain, {}).get(head.epoch)
                    pieces = list(known.pieces) if known else []
                    held = await _epoch(client, files, cls, chain, head, pieces)
                    record.chains.setdefault(chain, {})[head.epoch] = held
    finally:
        await client.close()
    return record


async def _epoch(
    client: LogClient, files: PieceFiles, cls: Class, chain: str, head: Head, pieces: list[Piece]
) -> HeldEpoch:
    """Read what is not in closed pieces yet (those are blobs, copied as they are) into new ones."""
    closed = ranges.normal([*head.missing, *head.lost, *((p.first, p.last) for p in pieces)])
    for first, last in ranges.minus([(head.first, head.last)], closed):
        at, row = first, list[bytes]()
        while at <= last:
            runs = (await client.range(cls, chain, head.epoch, at, last)).runs
            got = [m for run in runs if run.first == at for m in run.messages]
            if not got:
                raise Broken(f"{chain} epoch {head.epoch} stops at block {at - 1} of {head.last}")
            row += got
            at += len(got)
            if sum(map(len, row)) > PIECE_BYTES or at > last:
                pieces.append(await files.write(cls, at - len(row), row))
                row = []
    return HeldEpoch(
        n=head.last, digest=head.digest, opened=head.opened, pieces=sorted(pieces, key=lambda p: p.first),
        missing=head.missing, lost=head.lost, ended=True,
    )  # fmt: skip


def _copy_blobs(source: Path, to: Path) -> int:
    """Copy blobs that are whole; a damaged one is left out, as if absent (peers hold it). Return how many."""
    copied = 0
    for path in source.glob("*/??/*"):
        if len(path.name) != 64 or _sha(path) != path.name:
            continue
        target = to / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        copied += 1
    return copied


def restore(home: Home, region: str, source: Path) -> dict[str, Any]:
    """Put the backup at `source` into the empty directory of a stopped region; → its figures. Raises Refused."""
    place = home.load().region(region)
    try:
        manifest = msgspec.json.decode((source / "manifest.json").read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as e:
        raise Refused(f"{source} is not a backup: {e}", field="source") from e
    if manifest.version != VERSION:
        raise Refused(f"the backup has format {manifest.version}, this Holdfast reads {VERSION}", field="source")
    if manifest.jurisdiction != place.jurisdiction:
        raise Refused(
            f"the backup is of jurisdiction {manifest.jurisdiction}, {region} is under {place.jurisdiction}",
            field="region", hint="personal data stays in its jurisdiction",
        )  # fmt: skip
    if not system.port_is_free(place.host, place.http_port):
        raise Refused(f"{region} is running", field="region", hint="stop `holdfast up` first")
    target = home.region(region)
    if target.exists() and any(p.name != "logs" for p in target.iterdir()):
        raise Refused(f"{target} is not empty", field="region", hint="move it away first; nothing is overwritten")
    for name, sha in manifest.files.items():
        if not (source / name).resolve().is_relative_to(source.resolve()):
            raise Refused(f"the backup names a file outside itself: {name}", field="source")
        if not (source / name).is_file() or _sha(source / name) != sha:
            raise Refused(f"the backup is damaged: {name}", field="source", hint="take another copy of it")
    for name in sorted(manifest.files, key=lambda n: n == "held.json"):  # the record last: it vouches for the rest
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        _write(target / name, (source / name).read_bytes())
    blocks = sum(n for epochs in manifest.chains.values() for n in epochs.values())
    return {"region": region, "from": str(source), "blocks": blocks, "files": len(manifest.files),
            "next": "holdfast up"}  # fmt: skip


def _sha(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as f:
        while part := f.read(COPY_BYTES):
            digest.update(part)
    return digest.hexdigest()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
