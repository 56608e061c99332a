"""The outbox on the device's own disk, so that closing the app loses nothing that was said.

A file of msgpack records, appended: `[number, raw, class]` keeps an entry, `[number, nil]` drops it. It is synced once
per batch, before the batch is sent: what a region may have heard, we remember having said, so a number is never given
to two entries. A record cut short by a crash was never sent; it is dropped on reading. A damaged record is skipped,
and numbering goes on from the clock, beyond any that it may have held. The file is rewritten when most of it is dropped
entries. One process owns it (`.lock`), and the device's key lies beside it (`.key`): numbers are a key's.
"""

import fcntl
import os
import secrets
import time
from pathlib import Path

import msgspec

from holdfast.adapters.system import make_durable, write_whole
from holdfast.core.errors import Refused
from holdfast.core.health.outbox import Kept, Outbox

KEY_BYTES = 32  # an Ed25519 seed
REWRITE_BYTES = 1_000_000  # about 5,000 views; below this the file is small whatever it holds


class _Record(msgspec.Struct, array_like=True):
    number: int
    raw: bytes | None
    cls: str = "personal"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Record).decode
_FRAME = 4  # each record is preceded by its length, big-endian


def _framed(number: int, raw: bytes | None, cls: str = "personal") -> bytes:
    record = _encode(_Record(number, raw, cls))
    return len(record).to_bytes(_FRAME, "big") + record


class Journal:
    """An append-only file behind an outbox. Raises Refused if the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._dirty = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = path.with_name(f"{path.name}.lock").open("ab")
            self._file = path.open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise Refused(f"the outbox {path} is in use", field="outbox", hint="one client per outbox file") from e
        except OSError as e:
            raise Refused(f"the outbox {path} cannot be written: {e.strerror}", field="outbox") from e

    def load(self) -> Outbox:
        """Read the outbox back: what was kept and not dropped, in order."""
        box, data, at, whole = Outbox(), self.path.read_bytes(), 0, 0
        while at + _FRAME <= len(data):
            size = int.from_bytes(data[at : at + _FRAME], "big")
            try:
                record = _decode(data[at + _FRAME : at + _FRAME + size])
            except msgspec.MsgspecError:
                if at + _FRAME + size > len(data):
                    break  # cut short by a crash: never synced, so never sent
                box.last = max(box.last, time.time_ns() // 1000)  # whatever number stood here is not given again
                at = whole = at + _FRAME + size
                continue
            at = whole = at + _FRAME + size
            box.last = max(box.last, record.number)
            if record.raw is None:
                box.kept.pop(record.number, None)
            else:
                box.kept[record.number] = Kept(record.number, record.raw, record.cls)
        self._file.truncate(whole)
        return box

    def key(self) -> tuple[bytes, bool]:
        """Return (seed of the device's key, whether it was there before); a new one is on disk when this returns."""
        path = self.path.with_name(f"{self.path.name}.key")
        try:
            seed = path.read_bytes()
        except FileNotFoundError:
            seed = b""
        if len(seed) == KEY_BYTES:
            return seed, True
        seed = secrets.token_bytes(KEY_BYTES)
        write_whole(path, seed, 0o600)
        return seed, False

    def keep(self, number: int, raw: bytes, cls: str) -> None:
        self._file.write(_framed(number, raw, cls))
        self._dirty = True

    def drop(self, numbers: list[int], box: Outbox) -> None:
        """Forget entries that were let go or refused; `box` is what remains."""
        for number in numbers:
            self._file.write(_framed(number, None))
        self._dirty = self._dirty or bool(numbers)
        if self._file.tell() > REWRITE_BYTES and len(box.kept) < 1000:
            self._rewrite(box)

    def _rewrite(self, box: Outbox) -> None:
        part = self.path.with_suffix(".part")
        with part.open("wb") as f:
            f.write(_framed(box.last, None))  # so that numbers go on from here even when nothing is kept
            for kept in box.kept.values():
                f.write(_framed(kept.number, kept.raw, kept.cls))
            f.flush()
            os.fsync(f.fileno())
        part.replace(self.path)
        make_durable(self.path.parent)
        self._file.close()
        self._file = self.path.open("ab")

    def sync(self) -> None:
        """Return once everything kept so far is on disk."""
        if self._dirty:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._dirty = False

    def close(self) -> None:
        self.sync()
        self._file.close()
        self._lock.close()
