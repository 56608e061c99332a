"""The keeper's own memory of how far it holds every chain, so that a loss can be named.

JetStream can lose the end of a stream without a word. A record kept apart from its files, fsynced several times a
second, is what turns "everything looks fine" into "blocks 41–57 of personal/eu-west are gone". Two generations are
kept; each line of defence is a checksum, and a record that fails it is as if absent (then peers and streams say what
there is, but a silent truncation can no longer be named).
"""

import asyncio
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from holdfast.adapters.disk import DISK, Disk
from holdfast.core.asks import Ranges
from holdfast.core.errors import Degraded

VERSION = 1


class Piece(msgspec.Struct, array_like=True, frozen=True):
    """Blocks first..last of an epoch in one segment file, named by its sha256."""

    first: int
    last: int
    sha: str
    size: int


class HeldEpoch(msgspec.Struct):
    """How far one epoch is held: last block and its digest, its closed pieces, its holes."""

    n: int
    digest: bytes
    opened: int
    pieces: list[Piece] = []
    missing: Ranges = []
    lost: Ranges = []
    ended: bool = False  # never to be continued


class HeldRecord(msgspec.Struct):
    """Everything: chain → epoch → how far. `clean`: written at an orderly stop, so nothing can lie beyond it."""

    version: int = VERSION
    clean: bool = False
    chains: dict[str, dict[str, HeldEpoch]] = {}


class _File(msgspec.Struct):
    sha: str
    body: msgspec.Raw


def load(path: Path, disk: Disk = DISK) -> HeldRecord | None:
    """Read the newest good generation; None if there is none."""
    for candidate in (path, path.with_suffix(".prev.json")):
        try:
            file = msgspec.json.decode(disk.read(candidate), type=_File)
            if hashlib.sha256(bytes(file.body)).hexdigest() == file.sha:
                return msgspec.json.decode(file.body, type=HeldRecord)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return None


def save(path: Path, record: HeldRecord, disk: Disk = DISK) -> None:
    """Write a generation and fsync it; a crash at any point leaves one good generation behind."""
    body = msgspec.json.encode(record)
    data = msgspec.json.encode(_File(sha=hashlib.sha256(body).hexdigest(), body=msgspec.Raw(body)))
    part = path.with_suffix(".part")
    disk.write(part, data)
    if disk.exists(path):
        disk.rename(path, path.with_suffix(".prev.json"))  # a crash here: the previous generation is found
    disk.rename(part, path)
    disk.settle(path.parent)


async def save_later(
    path: Path, record: HeldRecord, lock: threading.Lock, disk: Disk = DISK, check: Callable[[], None] = lambda: None
) -> None:
    """`save` beside the event loop, under `lock`, after `check`. Raises Degraded if the disk refuses."""

    def locked() -> None:
        with lock:
            check()
            save(path, record, disk)

    try:
        await asyncio.to_thread(locked)
    except OSError as e:
        raise Degraded(f"{path} cannot be written: {e}") from e
