"""tus 1.0, the state behind it: an upload that survives a lost line, a closed laptop, a killed node.

The client announces a length and gets an id; then it sends bytes from the offset that we say. We say an offset only
once the bytes before it are fsynced, so whatever dies, asking "how far are you?" and going on from there is always
right. An id is 128 random bits and belongs to who began it.

Who publishes: a device publishes under its public name, and the video's id is derived from that name and a `key` which
the client chooses and keeps. So nobody can publish over another's video, and a clip that is sent again elsewhere,
its region being dark, is the same video wherever it arrives (the newest stamp holds). A team's key with scope `items`
names `item` and `creator` itself, as it does in `PUT /v1/items`, but never as a person's.
"""

import asyncio
import base64
import binascii
import errno
import hashlib
import secrets
import time
import unicodedata
from pathlib import Path
from shutil import disk_usage
from weakref import WeakValueDictionary

import msgspec

from holdfast.adapters.http.ports import Caller
from holdfast.adapters.media import UPLOAD_BYTES_MAX
from holdfast.core.entries import Publication
from holdfast.core.errors import Degraded, Refused
from holdfast.core.tenants import SEPARATOR
from holdfast.region.upload_files import About, UploadFiles

OPEN_PER_OWNER_MAX = 24  # a person sends a handful at once; more is a flood
OPEN_MAX = 2_000  # all open uploads of a region
FREE_BYTES_MIN = 512 * 1024 * 1024  # disk left over for the log, which matters more than a new video
METADATA_CHARS_MAX = 8_000
SCOPE = "items"
KEY_CHARS_MAX = 64
PERSONS_ITEM, PERSON = "u-", "p-"  # how ids of people's videos, and people's public names, begin


class Uploads:
    """The uploads of one region, as its node serves them (`adapters.http.ports.Uploads`)."""

    def __init__(self, folder: Path) -> None:
        self._files = UploadFiles(folder)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def create(self, length: int, metadata: str, caller: Caller) -> str:
        """Begin an upload of `length` bytes; return its id.

        Raises Refused (`token`, `scope`, `large`, `malformed`), Degraded when the region cannot take more.
        """
        if length > UPLOAD_BYTES_MAX:
            raise Refused(
                f"This file has {length / 1e6:.0f} MB; we take up to {UPLOAD_BYTES_MAX / 1e6:.0f} MB.",
                field="Upload-Length", hint="export it at a lower quality", code="large",
            )
        if length <= 0:
            raise Refused("The file is empty.", field="Upload-Length", hint="choose another file", code="malformed")
        about = announce(secrets.token_hex(16), length, read_metadata(metadata), caller)
        await asyncio.to_thread(self._begin, about, bool(caller.team))
        return about.id

    def _begin(self, about: About, team: bool) -> None:
        ids = self._files.open_ids()
        if len(ids) >= OPEN_MAX or _free_bytes(self._files.open) < about.length + FREE_BYTES_MIN:
            raise Degraded("This region cannot take more uploads now.", retry_after_s=30.0)
        mine = 0 if team else sum(a is not None and a.owner == about.owner for a in map(self._files.about, ids))
        if mine >= OPEN_PER_OWNER_MAX:
            raise Degraded(f"You have {mine} uploads under way; wait for one to finish.", retry_after_s=10.0)
        self._files.begin(about)

    async def offset(self, upload: str, caller: Caller) -> tuple[int, int]:
        """Return (fsynced offset, length) in bytes. Raises Refused (`missing`)."""
        about = self._about(upload, caller)
        try:
            return await asyncio.to_thread(self._files.offset, upload), about.length
        except FileNotFoundError:
            return about.length, about.length  # it was done between the two looks

    async def append(self, upload: str, offset: int, data: bytes, caller: Caller) -> int:
        """Append bytes at `offset`; return the new offset once they are fsynced.

        Raises Refused (`offset` if that is not where we are, `large` if it is more than was announced, `missing`),
        Degraded on a full disk.
        """
        about = self._about(upload, caller)
        lock = self._locks.setdefault(upload, asyncio.Lock())
        async with lock:
            try:
                at = await asyncio.to_thread(self._files.offset, upload)
            except FileNotFoundError:
                at = about.length  # it was done between the two looks
            if at != offset:
                raise Refused(f"this upload is at byte {at}, not {offset}", field="Upload-Offset", code="offset",
                              hint="ask with HEAD, go on from there")
            if at + len(data) > about.length:
                raise Refused(f"{at + len(data)} bytes, but {about.length} were announced", field="Upload-Length",
                              code="large")
            try:
                return await asyncio.to_thread(self._files.append, upload, offset, data)
            except OSError as e:
                if e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                    raise Degraded("This region's disk is full.", retry_after_s=30.0) from e
                raise

    async def terminate(self, upload: str, caller: Caller) -> None:
        """Forget an upload that is still being received. Raises Refused once it has arrived whole."""
        about = self._about(upload, caller)
        state = await asyncio.to_thread(self._files.state, upload)
        if state is None or state.state != "receiving":
            raise Refused("this upload has arrived and is being worked on", field="upload", code="conflict")
        await asyncio.to_thread(self._files.forget, about.id)

    async def state(self, upload: str) -> dict[str, str]:
        """Return `{id, state, item, reason, hint, verdict}`. Raises Refused (`missing`)."""
        state = await asyncio.to_thread(self._files.state, upload)
        if state is None:
            raise _missing()
        return {"id": upload, **msgspec.structs.asdict(state)}

    def _about(self, upload: str, caller: Caller) -> About:
        about = self._files.about(upload)
        if about is None or about.owner != owner_of(caller):
            raise _missing()  # the same words for "not yours": an id tells a stranger nothing
        return about


def owner_of(caller: Caller) -> str:
    """Who may continue an upload."""
    return f"team:{caller.team}" if caller.team else caller.alias


def announce(upload: str, length: int, said: dict[str, str], caller: Caller) -> About:
    """Decide what an upload will be published as. Raises Refused (`token`, `scope`, `malformed`)."""
    key = said.get("key") or upload
    if len(key) > KEY_CHARS_MAX:
        raise Refused(f"`key` has {len(key)} characters, at most {KEY_CHARS_MAX}", field="key", code="malformed")
    if caller.team:
        caller.need(SCOPE)
        if caller.tenant:  # its parts and playlist would have to be fetched by players, which hold no key
            raise Refused("videos are uploaded to the platform's own catalogue", field="Authorization", code="scope",
                          hint="put items with the `url` where your app plays them, or make a key with --platform")
        creator = said.get("creator") or caller.team
        refuse_persons(said.get("item", ""), creator)
        item = said.get("item") or item_of(caller.team, key)
    else:
        caller.need_device()
        creator = caller.public_name or caller.alias
        item = item_of(creator, key)
    about = About(
        id=upload, length=length, owner=owner_of(caller), creator=creator, item=item,
        caption=" ".join(said.get("caption", "").split()), tags=tags_of(said.get("tags", "")),
        filename=said.get("filename", "")[:200], stamp=time.time_ns() // 1000,
    )
    try:  # what does not fit a Publication is refused now, not after the bytes are sent
        msgspec.convert({
            "kind": "publication", "device": "check", "outbox": 1, "stamp": 0, "item": about.item,
            "creator": about.creator, "caption": about.caption, "tags": about.tags,
        }, Publication)
    except msgspec.ValidationError as e:
        field = str(e).rpartition("$.")[2].rstrip("`").partition("[")[0]
        raise Refused(f"Upload-Metadata: {e}", field=field, code="malformed") from e
    return about


def item_of(publisher: str, key: str) -> str:
    """Name the video that a publisher sends under a key: the same at every region, and nobody else's."""
    return PERSONS_ITEM + hashlib.sha256(f"{publisher}\n{key}".encode()).hexdigest()[:20]


def refuse_persons(item: str, creator: str) -> None:
    """Raise Refused if a key of the platform gives its item a name that belongs to people, or to a tenant."""
    if item.startswith(PERSONS_ITEM):
        raise Refused(f"`{item}` would be a person's video", field="item", code="conflict",
                      hint=f"begin it otherwise than `{PERSONS_ITEM}`")
    if creator.startswith(PERSON):
        raise Refused(f"`{creator}` would be a person", field="creator", code="conflict",
                      hint=f"begin it otherwise than `{PERSON}`")
    if SEPARATOR in creator:
        raise Refused(f"`{creator}` would be a tenant's", field="creator", code="conflict", hint="leave the colon out")


def tags_of(text: str) -> list[str]:
    """Read tags separated by commas: lower case, without `#`, each once."""
    tags = [unicodedata.normalize("NFC", t).strip().lstrip("#").lower() for t in text.split(",")]
    return list(dict.fromkeys(t for t in tags if t))


def read_metadata(header: str) -> dict[str, str]:
    """Read tus `Upload-Metadata`: `key base64(value),key base64(value)`. Raises Refused (`malformed`)."""
    said: dict[str, str] = {}
    try:
        if len(header) > METADATA_CHARS_MAX:
            raise ValueError(f"{len(header)} characters, at most {METADATA_CHARS_MAX}")
        for pair in filter(None, (p.strip() for p in header.split(","))):
            key, _, value = pair.partition(" ")
            if key in said:
                raise ValueError(f"`{key}` is given twice")
            said[key] = base64.b64decode(value, validate=True).decode()
    except (ValueError, binascii.Error) as e:
        raise Refused(f"Upload-Metadata does not read: {e}", field="Upload-Metadata", code="malformed") from e
    return said


def _missing() -> Refused:
    return Refused("there is no such upload here", field="upload", code="missing", hint="begin it again")


def _free_bytes(folder: Path) -> int:
    return disk_usage(folder).free
