"""Uploads on disk: who writes which file, and in which order, so that any crash leaves something to go on from.

    uploads/open/<id>.json   what is being sent, and by whom        node, once
    uploads/open/<id>.data   its bytes; the size is the offset      node, appends
    uploads/open/<id>.tries  how often the transcoder began         transcoder
    uploads/open/<id>.plan   the entries to be appended, as bytes   transcoder, once
    uploads/done/<id>.json   what became of it                      transcoder, once; then the open files go

Each file has one writer, and each is whole or absent (written beside, fsynced, renamed). An upload is *receiving* while
its data is shorter than announced, *checking* or *transcoding* after that, and *done* as soon as its last file exists.
The plan is what makes a crash harmless: entries are sent again as the same bytes, with the same ids, until the log has
acknowledged them.
"""

import os
import re
from pathlib import Path
from typing import TypeVar

import msgspec

from holdfast.adapters.system import make_folder, write_whole
from holdfast.core.entries import Publication, Ruling

ID = re.compile(r"^[0-9a-f]{32}$")
ABANDONED_S = 24 * 3600.0  # an unfinished upload is kept a day: a phone without a network over night
TOLD_S = 30 * 86_400.0  # what became of an upload can be asked for as long as the door takes entries

T = TypeVar("T")


class About(msgspec.Struct, kw_only=True, frozen=True):
    """An upload as announced. `length` in bytes; `owner` may continue it, `creator` is who publishes; stamp in µs."""

    id: str
    length: int
    owner: str
    creator: str
    item: str
    caption: str
    tags: list[str]
    filename: str
    stamp: int


class Outcome(msgspec.Struct, kw_only=True, frozen=True):
    """What became of an upload; the fields of `GET /v1/uploads/{id}`."""

    state: str
    item: str = ""
    reason: str = ""
    hint: str = ""
    verdict: str = ""


class Plan(msgspec.Struct, kw_only=True, frozen=True):
    """The two facts an upload becomes, decided once."""

    publication: Publication
    ruling: Ruling


class UploadFiles:
    """The uploads of one region. All calls block and are fsynced when they return."""

    def __init__(self, root: Path) -> None:
        self.open = root / "open"
        self.done = root / "done"
        for folder in (self.open, self.done):
            make_folder(folder)

    # -- the node's side -----------------------------------------------------------------------------------------

    def begin(self, about: About) -> None:
        """Keep an announcement. A crash before the end leaves an unannounced data file, which `tidy` removes."""
        write_whole(self.data(about.id), b"")
        write_whole(self.open / f"{about.id}.json", msgspec.json.encode(about))

    def append(self, upload: str, offset: int, data: bytes) -> int:
        """Append at `offset`, which must be the end; return the new end once it is fsynced."""
        with self.data(upload).open("r+b") as file:
            assert file.seek(0, os.SEEK_END) == offset
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            return file.tell()

    def offset(self, upload: str) -> int:
        """How many bytes are fsynced."""
        with self.data(upload).open("rb") as file:
            os.fsync(file.fileno())  # after a crash the size may be ahead of the last fsync; catch up before saying it
            return file.seek(0, os.SEEK_END)

    def about(self, upload: str) -> About | None:
        """What was announced, while the upload is open."""
        return _read(self.open / f"{upload}.json", About) if ID.match(upload) else None

    def outcome(self, upload: str) -> Outcome | None:
        """What became of it, once that is known."""
        return _read(self.done / f"{upload}.json", Outcome) if ID.match(upload) else None

    def state(self, upload: str) -> Outcome | None:
        """Where an upload is, None if it is not known here."""
        about = self.about(upload)
        if outcome := self.outcome(upload):  # asked second: an upload moves from open to done, never back
            return outcome
        if about is None:
            return None
        try:
            received = self.data(upload).stat().st_size
        except FileNotFoundError:
            return self.outcome(upload)
        if received < about.length:
            return Outcome(state="receiving", item=about.item)
        return Outcome(state="transcoding" if self.tries(upload) else "checking", item=about.item)

    def open_ids(self) -> list[str]:
        """Ids of the uploads that are announced and not done, oldest first."""
        found = [(at, entry.name[:-5]) for entry in _files(self.open, ".json") if (at := _changed_s(entry)) is not None]
        return [upload for _, upload in sorted(found)]

    # -- the transcoder's side -----------------------------------------------------------------------------------

    def data(self, upload: str) -> Path:
        """The bytes of an open upload."""
        assert ID.match(upload)
        return self.open / f"{upload}.data"

    def waiting(self) -> list[About]:
        """Uploads that have arrived whole and are not done, oldest first; finishes settling what a crash left."""
        whole: list[About] = []
        for upload in self.open_ids():
            if (self.done / f"{upload}.json").exists():
                self.forget(upload)
            elif (about := self.about(upload)) and _size(self.data(upload)) >= about.length:
                whole.append(about)
        return whole

    def tries(self, upload: str) -> int:
        """How often work on it was begun."""
        return _read(self.open / f"{upload}.tries", int) or 0

    def begin_try(self, upload: str) -> int:
        """Note that work begins; return which try this is, from 1. Counted before, so that a crash counts too."""
        tries = self.tries(upload) + 1
        write_whole(self.open / f"{upload}.tries", msgspec.json.encode(tries))
        return tries

    def decoded(self, upload: str) -> None:
        """The decoder came through: what goes wrong from here on is not the file's fault."""
        write_whole(self.open / f"{upload}.tries", msgspec.json.encode(1))

    def plan(self, upload: str) -> Plan | None:
        """The entries decided for it, if they are."""
        try:
            return msgspec.msgpack.decode((self.open / f"{upload}.plan").read_bytes(), type=Plan)
        except FileNotFoundError:
            return None

    def decide(self, upload: str, plan: Plan) -> None:
        """Keep the entries before they are sent for the first time."""
        write_whole(self.open / f"{upload}.plan", msgspec.msgpack.encode(plan))

    def settle(self, upload: str, outcome: Outcome) -> None:
        """Say what became of it, then forget the rest. A crash between the two is finished by `waiting`."""
        write_whole(self.done / f"{upload}.json", msgspec.json.encode(outcome))
        self.forget(upload)

    def forget(self, upload: str) -> None:
        """Remove the open files; the announcement goes last, since it is what makes the others findable."""
        for kind in ("data", "tries", "plan", "json"):
            (self.open / f"{upload}.{kind}").unlink(missing_ok=True)

    def tidy(self, now_s: float) -> None:
        """Remove uploads abandoned for a day, and outcomes nobody asks for any more. `now_s`: seconds since 1970."""
        for entry in _files(self.open, ".data"):
            if _older(entry, now_s - ABANDONED_S):
                about = self.about(upload := entry.name[:-5])
                if about is None or _size(Path(entry.path)) < about.length:
                    self.forget(upload)
        torn = [e for e in (*_files(self.open, ".part"), *_files(self.done, ".part")) if _older(e, now_s - ABANDONED_S)]
        for entry in torn + [e for e in _files(self.done, ".json") if _older(e, now_s - TOLD_S)]:
            Path(entry.path).unlink(missing_ok=True)


def _files(folder: Path, ending: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if entry.name.endswith(ending)]


def _changed_s(entry: os.DirEntry[str]) -> float | None:
    """When a file last changed, seconds since 1970; None if the other process removed it since we looked."""
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return None


def _older(entry: os.DirEntry[str], than_s: float) -> bool:
    changed_s = _changed_s(entry)
    return changed_s is not None and changed_s < than_s


def _size(path: Path) -> int:
    """Size in bytes, −1 if the other process removed the file since we looked."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
