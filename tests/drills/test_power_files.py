"""What the platform writes to keep is there after a power cut, whole, even where a rename overtakes its bytes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.adapters import apikeys, log_files
from holdfast.adapters.blobs import BlobStore
from holdfast.adapters.home import Home
from holdfast.adapters.signing import load_keys, make_keys
from holdfast.adapters.system import make_durable, write_whole
from holdfast.client.journal import Journal
from holdfast.core.classes import Class
from holdfast.core.errors import HoldfastError
from holdfast.core.health.outbox import Outbox
from holdfast.core.topology import DEFAULT
from holdfast.drills.fuse import PowerDisk
from holdfast.drills.fuse_wire import cannot_mount
from holdfast.region.keeper_files import PieceFiles
from holdfast.region.keeper_held import HeldEpoch, HeldRecord, load, save
from holdfast.region.upload_files import About, Outcome, UploadFiles

pytestmark = pytest.mark.skipif(bool(cannot_mount()), reason=f"no power cut can be made here: {cannot_mount()}")
Check = Callable[[], object]
UPLOAD = "0" * 32


def whole(place: Path) -> Check:
    write_whole(place / "f", b"old")
    write_whole(place / "f", b"new")
    return lambda: (place / "f").read_bytes() == b"new"


def a_blob(place: Path) -> Check:
    sha = BlobStore(place / "blobs").put(Class.PUBLIC, b"blob")
    return lambda: BlobStore(place / "blobs").get(Class.PUBLIC, sha) == b"blob"


def an_upload(place: Path) -> Check:
    files = UploadFiles(place / "uploads")
    said = {"owner": "o", "creator": "c", "item": "i", "caption": "", "tags": [], "filename": "f"}
    files.begin(About(id=UPLOAD, length=9, stamp=1, **said))
    assert files.append(UPLOAD, 0, b"half") == 4
    return lambda: UploadFiles(place / "uploads").offset(UPLOAD) == 4


def an_outcome(place: Path) -> Check:
    files = UploadFiles(place / "uploads")
    files.settle(UPLOAD, Outcome(state="published", item="i"))
    return lambda: UploadFiles(place / "uploads").outcome(UPLOAD) == Outcome(state="published", item="i")


def the_record(place: Path) -> Check:
    for n in (1, 2):
        save(place / "held.json", HeldRecord(chains={"c": {"e": HeldEpoch(n, b"d", 0)}}))
    return lambda: (load(place / "held.json") or HeldRecord()).chains["c"]["e"].n == 2


def a_piece(place: Path) -> Check:
    files = PieceFiles(place / "blobs")
    piece = asyncio.run(files.write(Class.PUBLIC, 1, [b"one", b"two"]))
    return lambda: PieceFiles(place / "blobs").part(Class.PUBLIC, piece.sha, 0, 100)[1] == piece.size


def a_copy_of_the_log(place: Path) -> Check:
    messages = place / "nats" / "jetstream" / "HF_x" / "msgs"
    messages.mkdir(parents=True)
    (messages / "1.blk").write_bytes(b"messages")
    copy = log_files.keep_before(place / "nats")
    assert copy
    return lambda: [p.read_bytes() for _, p in log_files.message_files(copy)] == [b"messages"]


def the_keys(place: Path) -> Check:
    home = Home(place / "home")
    make_keys(home, DEFAULT)
    seed = load_keys(home, "us-east").block_seed
    return lambda: load_keys(home, "us-east").block_seed == seed


def an_api_key(place: Path) -> Check:
    home = Home(place / "home")
    key = apikeys.make(home, "team", ("items",))
    return lambda: apikeys.ApiKeys(home).find(key, 1.0).team == "team"


def the_map(place: Path) -> Check:
    Home(place / "home").save(DEFAULT)
    return lambda: Home(place / "home").load() == DEFAULT


def a_devices_key(place: Path) -> Check:
    journal = Journal(place / "outbox")
    journal.load()
    seed, _ = journal.key()
    journal.keep(1, b"entry", "personal")
    journal.sync()
    journal.close()

    def same() -> bool:
        again = Journal(place / "outbox")
        box: Outbox = again.load()
        return again.key() == (seed, True) and list(box.kept) == [1]

    return same


KEPT = [whole, a_blob, an_upload, an_outcome, the_record, a_piece, a_copy_of_the_log, the_keys, an_api_key, the_map,
        a_devices_key]  # fmt: skip


@pytest.mark.parametrize("names", ["fsynced", "eager", "strict"])
def test_what_was_written_to_be_kept_outlives_the_power(tmp_path: Path, names: str) -> None:
    async def play() -> list[str]:
        async with PowerDisk(tmp_path / "disk", names) as disk:
            checks = {}
            for keep in KEPT:
                place = disk.place / keep.__name__
                await asyncio.to_thread(place.mkdir)
                await asyncio.to_thread(make_durable, disk.place)
                checks[keep.__name__] = await asyncio.to_thread(keep, place)
            await disk.cut()
            return [name for name, check in checks.items() if not await asyncio.to_thread(kept, check)]

    assert asyncio.run(play()) == []


def kept(check: Check) -> bool:
    try:
        return bool(check())
    except (OSError, HoldfastError, LookupError):  # whatever a missing file makes of it
        return False
