"""The disk that forgets: what was fsynced is there after a cut, byte for byte, and nothing else is."""

import asyncio
import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.drills.fuse import PowerDisk
from holdfast.drills.fuse_disk import PAGE, ROOT, Cut, Disk
from holdfast.drills.fuse_wire import cannot_mount

FILE = 0o100644
mounts = pytest.mark.skipif(bool(cannot_mount()), reason=f"no disk that forgets can be mounted here: {cannot_mount()}")


def content(disk: Disk, name: str) -> bytes:
    inode = disk.find(ROOT, name)
    return disk.read(inode.ino, 0, inode.size)


def test_exactly_what_was_fsynced_is_there(tmp_path: Path) -> None:
    """Random writes, truncations and fsyncs, against the plainest oracle: two copies of every file."""
    for seed in range(12):
        dice = random.Random(seed)
        disk = Disk(tmp_path / str(seed))
        now: dict[str, bytearray] = {}
        kept: dict[str, bytes] = {}
        for _ in range(150):
            name = f"f{dice.randrange(4)}"
            if name not in now:
                disk.make(ROOT, name, FILE)
                now[name] = bytearray()
            ino = disk.find(ROOT, name).ino
            act = dice.choice(["write", "write", "append", "truncate", "sync", "cut"])
            if act in ("write", "append"):
                at = len(now[name]) if act == "append" else dice.randrange(len(now[name]) + 100)
                data = dice.randbytes(dice.randrange(1, 3 * PAGE))
                disk.write(ino, at, data)
                now[name].extend(bytes(max(0, at - len(now[name]))))
                now[name][at : at + len(data)] = data
            elif act == "truncate":
                size = dice.randrange(len(now[name]) + 200)
                disk.truncate(ino, size)
                now[name] = now[name][:size] + bytes(max(0, size - len(now[name])))
            elif act == "sync":
                disk.sync(ino)
                kept[name] = bytes(now[name])
            elif dice.random() < 0.3:
                disk.cut()
                now = {name: bytearray(data) for name, data in kept.items()}
            assert {name: content(disk, name) for name in now} == now, f"seed {seed}"
            assert set(disk.inodes[ROOT].entries) == set(now)


@pytest.mark.parametrize("names", ["strict", "fsynced", "eager"])
def test_names_come_and_go_in_any_order(tmp_path: Path, names: str) -> None:
    """Random changes of one folder. In strict mode the oracle is what was listed at its last fsync."""
    for seed in range(20):
        dice = random.Random(seed)
        disk = Disk(tmp_path / str(seed), names)
        kept: dict[str, int] = {}
        for _ in range(200):
            entries = disk.inodes[ROOT].entries
            name, other = f"f{dice.randrange(4)}", f"f{dice.randrange(4)}"
            act = dice.choice(["make", "make", "rename", "rename", "unlink", "sync", "folder", "cut"])
            if act == "make" and name not in entries:
                written(disk, name, name.encode(), sync=dice.random() < 0.5)
            elif act == "rename" and name in entries:
                disk.rename((ROOT, name), (ROOT, other))
            elif act == "unlink" and name in entries:
                disk.unlink(ROOT, name)
            elif act == "sync" and name in entries:
                disk.sync(entries[name])
            elif act == "folder":
                disk.sync(ROOT)
                kept = dict(entries)
            elif act == "cut" and dice.random() < 0.3:
                before = dict(entries)
                disk.cut()
                after = disk.inodes[ROOT].entries
                assert after == (before if names == "eager" else kept if names == "strict" else after), f"seed {seed}"
                kept = dict(after)
            for held in (disk.inodes[ROOT].entries, disk.inodes[ROOT].kept):
                assert set(held.values()) <= set(disk.inodes), f"seed {seed}: a name of nothing"
            for ino in disk.inodes[ROOT].entries.values():
                assert disk.read(ino, 0, 9) in (b"", *(f"f{k}".encode() for k in range(4)))


def written(disk: Disk, name: str, data: bytes, *, folder: int = ROOT, sync: bool = True) -> int:
    ino = disk.make(folder, name, FILE).ino
    disk.write(ino, 0, data)
    if sync:
        disk.sync(ino)
    return ino


def test_a_rename_that_no_fsync_followed_did_not_happen(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "d")
    written(disk, "held", b"old")
    disk.sync(ROOT)
    new = written(disk, "part", b"new")
    disk.rename((ROOT, "part"), (ROOT, "held"))
    assert content(disk, "held") == b"new"
    cut = disk.cut()
    assert content(disk, "held") == b"old" and content(disk, "part") == b"new"
    assert (cut.names_gone, cut.names_back) == (1, 2)
    disk.rename((ROOT, "part"), (ROOT, "held"))
    disk.sync(new)  # the file that bears the name, as ext4 keeps it
    assert len(list((tmp_path / "d" / "durable").iterdir())) == 1  # the old one's bytes are nobody's now
    disk.cut()
    assert content(disk, "held") == b"new" and set(disk.inodes[ROOT].entries) == {"held"}


def test_a_rename_between_folders_happens_at_both_ends_or_at_neither(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "d")
    folders = [disk.make(ROOT, name, 0o040755).ino for name in ("from", "to")]
    disk.sync(ROOT)
    written(disk, "x", b"x", folder=folders[0])
    disk.rename((folders[0], "x"), (folders[1], "y"))
    disk.sync(folders[1])
    disk.cut()
    assert [set(disk.inodes[f].entries) for f in folders] == [set(), {"y"}]


NEEDS = [("fsynced", {"a": b"bytes"}), ("strict", {}), ("eager", {"a": b"bytes", "b": b""})]


@pytest.mark.parametrize(("names", "left"), NEEDS)
def test_what_a_name_needs(tmp_path: Path, names: str, left: dict[str, bytes]) -> None:
    disk = Disk(tmp_path / "d", names)
    written(disk, "a", b"bytes")
    written(disk, "b", b"never fsynced", sync=False)
    disk.cut()
    assert {name: content(disk, name) for name in disk.inodes[ROOT].entries} == left


def test_a_new_file_keeps_the_folders_above_it_too_but_not_in_strict_mode(tmp_path: Path) -> None:
    for names, kept in (("fsynced", True), ("strict", False)):
        disk = Disk(tmp_path / names, names)
        outer = disk.make(ROOT, "outer", 0o040755).ino
        inner = disk.make(outer, "inner", 0o040755).ino
        written(disk, "x", b"x", folder=inner)
        disk.sync(inner)
        disk.cut()
        assert ("outer" in disk.inodes[ROOT].entries) == kept


def test_what_was_removed_comes_back_unless_its_folder_was_fsynced(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "d")
    folder = disk.make(ROOT, "folder", 0o040755).ino
    written(disk, "x", b"x", folder=folder)
    disk.unlink(folder, "x")
    disk.unlink(ROOT, "folder")
    disk.cut()
    assert content_of(disk, "folder", "x") == b"x"
    disk.rename((folder, "x"), (ROOT, "x"))
    disk.unlink(ROOT, "folder")
    disk.sync(ROOT)
    disk.sync(disk.find(ROOT, "x").ino)
    disk.unlink(ROOT, "x")
    disk.sync(ROOT)
    disk.cut()
    assert not disk.inodes[ROOT].entries and set(disk.inodes) == {ROOT}
    assert not list((tmp_path / "d" / "durable").iterdir())


def content_of(disk: Disk, folder: str, name: str) -> bytes:
    inode = disk.find(disk.find(ROOT, folder).ino, name)
    return disk.read(inode.ino, 0, inode.size)


def test_torn_writes_leave_a_prefix_of_pages(tmp_path: Path) -> None:
    whole = os.urandom(20 * PAGE)
    sizes: set[int] = set()
    for seed in range(12):
        disk = Disk(tmp_path / str(seed))
        disk.unlink(ROOT, disk.path(disk.inodes[written(disk, "gone", b"x")]))  # durable, and no more in use
        ino = written(disk, "log", b"")
        disk.write(ino, 0, whole)
        cut = disk.cut(torn=seed)
        left = content(disk, "log")
        assert left == whole[: len(left)] and len(left) == cut.torn_pages * PAGE
        sizes.add(len(left))
    assert len(sizes) > 4


def on_a_mount(place: Path, before: Callable[[], None]) -> Cut:
    async def play() -> Cut:
        async with PowerDisk(place) as disk:
            await asyncio.to_thread(before)
            cut = await disk.cut()
            await asyncio.to_thread(after)
        return cut

    def after() -> None:
        found.update({str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()})

    found.clear()
    cut = asyncio.run(play())
    assert not os.path.ismount(place)
    return cut


found: dict[str, bytes] = {}


@mounts
def test_programs_write_through_the_kernel_and_lose_what_they_did_not_fsync(tmp_path: Path) -> None:
    place = tmp_path / "disk"

    def before() -> None:
        (place / "a" / "b").mkdir(parents=True)
        with (place / "a" / "b" / "half").open("wb") as f:
            f.write(b"fsynced")
            f.flush()
            os.fsync(f.fileno())
            f.write(b" and not")
        (place / "never").write_bytes(b"never")
        fd = os.open(place / "each", os.O_CREAT | os.O_WRONLY | os.O_SYNC)
        os.write(fd, b"each write is an fsync")
        os.close(fd)
        (place / "each").rename(place / "moved")
        os.sync()  # reaches disks, not this one: a program that relies on it is found out
        assert sorted(p.name for p in place.iterdir()) == ["a", "moved", "never"]

    cut = on_a_mount(place, before)
    assert found == {"a/b/half": b"fsynced", "each": b"each write is an fsync"}
    assert cut.lost_bytes == len(b" and not") and cut.names_gone == 2 and cut.worst == {"a/b/half": 8}


@mounts
def test_sqlite_keeps_what_it_promised_and_no_more(tmp_path: Path) -> None:
    place = tmp_path / "disk"

    def before() -> None:
        db = sqlite3.connect(place / "t.sqlite", isolation_level=None)
        db.execute("pragma journal_mode=WAL")
        db.execute("pragma synchronous=FULL")
        db.execute("create table t (x)")
        for k in range(20):
            db.execute("insert into t values (?)", (k,))
        db.execute("pragma synchronous=NORMAL")
        for k in range(30):
            db.execute("insert into t values (?)", (k,))
        assert db.execute("select count(*) from t").fetchone() == (50,)
        os.close(os.open(place / "t.sqlite-shm", os.O_RDONLY))  # the shared memory map lies there too

    on_a_mount(place, before)
    for name in ("t.sqlite", "t.sqlite-wal"):
        (tmp_path / name).write_bytes(found[name])
    db = sqlite3.connect(tmp_path / "t.sqlite")
    assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    assert db.execute("select count(*) from t").fetchone() == (20,)
    db.close()
