"""Closed pieces without the record that named them, and with a flipped bit in them."""

import asyncio
import tracemalloc
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from holdfast.core.chain import Block, digest_of, seal
from holdfast.core.classes import Class
from holdfast.core.errors import Broken
from holdfast.core.log.continuity import START, Key
from holdfast.core.log.segments import pack
from holdfast.region.keeper_files import PieceFiles
from holdfast.region.keeper_pieces import found_pieces
from holdfast.region.keeper_salvage import Salvage
from holdfast.region.keeper_store import Copy, Store
from holdfast.sim import keys
from holdfast.sim.disk import SimDisk

KEY = Key("personal/eu-west", "0123456789ab")
SIGN = keys.signer(1, "eu-west")


def row_of(last: int, epoch: str = KEY.epoch, prev: bytes = START.digest, first: int = 1) -> list[bytes]:
    rows: list[bytes] = []
    for n in range(first, last + 1):
        rows.append(seal(Block(KEY.chain, epoch, n, prev, 1000 + n, []), SIGN))
        prev = digest_of(rows[-1])
    return rows


def test_pieces_are_found_without_a_record(tmp_path: Path) -> None:
    files, rows = PieceFiles(tmp_path / "blobs"), row_of(9)

    async def write() -> None:
        await files.write(Class.PERSONAL, 1, rows[:3])
        await files.write(Class.PERSONAL, 4, rows[3:5])  # closed again into a larger one
        await files.write(Class.PERSONAL, 4, rows[3:6])
        await files.write(Class.PERSONAL, 9, rows[8:])
        await files.write(Class.PERSONAL, 7, row_of(8, first=7, prev=bytes([7] * 32)))  # of a branch: does not continue
        files.put(Class.PERSONAL, "a" * 64, b"HFSEG1\nnot what its name says")
        files.put(Class.PERSONAL, "b" * 64, b"a video")

    asyncio.run(write())
    held = found_pieces(files).chains[KEY.chain][KEY.epoch]
    assert [(p.first, p.last) for p in held.pieces] == [(1, 3), (4, 6), (9, 9)]
    assert (held.n, held.digest, held.opened) == (9, digest_of(rows[8]), 1001)
    assert not found_pieces(files).clean


def test_years_of_pieces_are_not_held_in_memory(tmp_path: Path) -> None:
    files, large = PieceFiles(tmp_path / "blobs"), bytes(1_000_000)
    for row in row_of(32):
        blob = pack([row, large])  # which is no block, and is not looked at
        files.put(Class.PERSONAL, sha256(blob).hexdigest(), blob)
    tracemalloc.start()
    held = found_pieces(files).chains[KEY.chain][KEY.epoch]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held.pieces and peak < 10_000_000, "32 MB of pieces"


def test_without_a_piece_there_is_no_row(tmp_path: Path) -> None:
    assert found_pieces(PieceFiles(tmp_path / "blobs")).chains == {}


def test_a_disk_forgets_what_was_not_settled(tmp_path: Path) -> None:
    disk = SimDisk(Random(1), strict=True)
    files = PieceFiles(tmp_path / "blobs", disk)
    piece = asyncio.run(files.write(Class.PERSONAL, 1, row_of(2)))
    disk.write(tmp_path / "loose", b"x")
    disk.power_cut()
    assert files.part(Class.PERSONAL, piece.sha, 0, 6) == (b"HFSEG1", piece.size)
    assert not disk.exists(tmp_path / "loose")


def test_one_flipped_bit_in_a_piece_costs_one_block(tmp_path: Path) -> None:
    files, rows = PieceFiles(tmp_path / "blobs"), row_of(5)
    piece = asyncio.run(files.write(Class.PERSONAL, 1, rows))
    path = files.path(Class.PERSONAL, piece.sha)
    data = bytearray(path.read_bytes())
    data[data.index(rows[2]) + 80] ^= 4
    path.write_bytes(data)
    files.condemn(path)  # as the scrubber does before it looks for the blocks
    copy = Copy(KEY, None, pieces=[piece])  # type: ignore[arg-type]  # nothing is written
    salvage = Salvage(tmp_path / "nats", None, {"eu-west": keys.verifier(1, "eu-west")}, files)  # type: ignore[arg-type]
    found = asyncio.run(salvage.find(copy, [(1, 4)], anew=False))
    assert found == {n: rows[n - 1] for n in (1, 2, 4)}


def test_a_keeper_whose_region_another_took_over_records_nothing_more(tmp_path: Path) -> None:
    disk = SimDisk(Random(1))
    first, second = (Store(None, tmp_path, lambda: 0.0, disk) for _ in range(2))  # type: ignore[arg-type]  # no streams

    async def run() -> None:
        first.claim("a")
        await first.save_held()
        second.claim("b")
        with pytest.raises(Broken, match="taken over"):
            await first.save_held()
        await second.save_held()
        held = disk.read(tmp_path / "held.json")
        first.save_held_now(clean=True)
        assert disk.read(tmp_path / "held.json") == held

    asyncio.run(run())


def test_a_full_disk_at_the_end_leaves_the_record_of_a_moment_ago(tmp_path: Path) -> None:
    disk = SimDisk(Random(1))
    store = Store(None, tmp_path, lambda: 0.0, disk)  # type: ignore[arg-type]  # no streams
    asyncio.run(store.save_held())
    held, disk.full = disk.read(tmp_path / "held.json"), True
    store.save_held_now(clean=True)
    assert disk.read(tmp_path / "held.json") == held
