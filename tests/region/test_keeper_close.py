"""Closing blocks into pieces: whatever word is missed or malformed, nothing falls between stream and pieces."""

import asyncio
import hashlib
import os
import threading
import time
from pathlib import Path

import msgspec
import pytest
from keeper_world import World, view

from holdfast.core.classes import Class
from holdfast.core.log.continuity import Key, Link
from holdfast.core.log.segments import pack
from holdfast.region import keeper_held
from holdfast.region.backup import backup, restore
from holdfast.region.keeper_files import PieceFiles
from holdfast.region.keeper_held import HeldEpoch, HeldRecord
from holdfast.region.keeper_store import Store

P = Class.PERSONAL


def test_a_follower_that_missed_the_word_of_an_earlier_piece_drops_nothing_with_the_next(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US") as w:
            await w.start()
            east, west = await w.client("us-east"), w.keepers["us-west"][0]
            for k in range(1, 31):
                a = await east.append(P, [view(k)])
            key = Key(a.chain, a.epoch)
            await w.until(lambda: west.store.held(P).get(a.chain, {}).get(a.epoch) == a.n, 30, "carried")
            copy = west.store.copies[key]
            sha = hashlib.sha256(pack(await west.store.read(copy, 11, 20))).hexdigest()
            west.closer._due.put_nowait((key, 11, 20, sha))  # the word of 1..10 never came
            await w.until(lambda: copy.piece_of(15) is not None and copy.tail_first > 20, 30, "closed")
            copy.ring.clear()
            rows: list[bytes] = []
            while more := await west.store.read(copy, len(rows) + 1, copy.end.n):
                rows += more
            assert len(rows) == a.n
            await east.close()

    asyncio.run(run())


def test_an_entry_that_only_looks_like_a_segment_stops_no_chain(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US") as w:
            await w.start()
            east, west = await w.client("us-east"), w.keepers["us-west"][0]
            await east.append(P, msgspec.msgpack.encode([{"kind": "segment", "first": "not a number"}]))
            for k in range(1, 4):
                a = await east.append(P, [view(k)])
            await w.until(lambda: west.store.held(P).get(a.chain, {}).get(a.epoch) == a.n, 30, "carried past it")
            assert not west.store.copies[Key(a.chain, a.epoch)].writer.in_flight
            await east.close()

    asyncio.run(run())


def test_a_region_restored_from_its_backup_never_seals_an_acknowledged_number_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path / "home", us_east="US", us_west="US") as w:
            await w.start()
            east, west = await w.client("us-east"), w.keepers["us-west"][0]
            a = await east.append(P, [view(1)])
            await w.until(lambda: west.store.held(P).get(a.chain, {}).get(a.epoch) == a.n, 30, "carried")
            await asyncio.to_thread(backup, w.home, "us-east", tmp_path / "b")
            await w.stop_keeper("us-west")
            lost = await east.append(P, [view(2)])  # acknowledged after the backup, carried by nobody
            assert lost.epoch == a.epoch
            await w.kill_keeper("us-east")
            w.kill_nats("us-east")
            w.wipe("us-east")
            restore(w.home, "us-east", tmp_path / "b")
            w.start_nats("us-east")
            await asyncio.gather(w.start_keeper("us-east"), w.start_keeper("us-west"))
            b = await east.append(P, [view(3)])
            assert b.epoch != a.epoch, f"the client was told ({lost.epoch}, {lost.n}) of another block"
            await east.close()

    asyncio.run(run())


def test_the_record_at_the_end_wins_over_one_that_is_still_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, began = os.fsync, threading.Event()

    def slow(fd: int) -> None:
        began.set()
        time.sleep(0.05)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", slow)

    async def run() -> None:
        store = Store(None, tmp_path, time.monotonic)  # type: ignore[arg-type]  # no stream is touched
        for _ in range(3):
            began.clear()
            writing = asyncio.create_task(store.save_held())
            await asyncio.to_thread(began.wait)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            store.save_held_now(clean=True)
            await asyncio.sleep(0.2)
            record = keeper_held.load(tmp_path / "held.json")
            assert record is not None and record.clean

    asyncio.run(run())


def test_a_piece_is_durable_with_every_directory_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, synced = os.fsync, set[int]()

    def note(fd: int) -> None:
        synced.add(os.fstat(fd).st_ino)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    files = PieceFiles(tmp_path / "blobs")
    piece = files._write(P, 1, [b"one", b"two"])
    place = files.path(P, piece.sha)
    for above in (place, place.parent, place.parent.parent, files.root, tmp_path):
        assert above.stat().st_ino in synced, above


def test_both_generations_name_a_piece_before_its_blocks_leave_the_stream(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, tail_bytes=20_000, eu_west="EU") as w:
            await w.start()
            eu, keeper = await w.client("eu-west"), w.keepers["eu-west"][0]
            while True:
                a = await eu.append(P, [view(k, item="x" * 64) for k in range(1, 30)])
                copy = keeper.store.copies[Key(a.chain, a.epoch)]
                if copy.tail_first > 1:
                    break
            prev = (w.home.region("eu-west") / "held.json").with_suffix(".prev.json")
            file = msgspec.json.decode(prev.read_bytes())
            record = msgspec.convert(file["body"], HeldRecord, strict=False)
            assert record.chains[a.chain][a.epoch].pieces, "a damaged record would forget where the blocks are"
            await eu.close()

    asyncio.run(run())


def test_a_record_of_an_earlier_version_is_read() -> None:
    held = msgspec.json.decode(b'{"n": 3, "digest": "", "opened": 5}', type=HeldEpoch)
    assert not held.ended and Link(held.n, held.digest) == Link(3, b"")
