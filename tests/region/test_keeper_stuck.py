"""A log server that stores nothing although its disk would: the keeper notices, and who runs it starts it anew."""

import asyncio
import errno
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.adapters import system
from holdfast.adapters.home import Home
from holdfast.adapters.log_streams import Published, Streams
from holdfast.core.log.continuity import Key, Link
from holdfast.core.topology import Region, Topology, resolve
from holdfast.region import keeper
from holdfast.region.keeper import Keeper
from holdfast.region.keeper_parts import Parts
from holdfast.region.keeper_write import Writer
from holdfast.region.supervisor import Supervisor
from patience import comes

ONE = Topology(regions=[Region(name="us-east", jurisdiction="US")], rtt_ms=0.0)


class Deaf(Streams):
    """Streams that answer what they hold, and store nothing while `full`."""

    def __init__(self) -> None:
        self.full, self.last = True, 0

    async def publish(self, key: Key, n: int, message: bytes, msg_id: str, after: str = "") -> Published:
        if self.full:
            return Published(False, "silence")
        self.last, self.kept = n, message
        return Published(True)

    async def extent(self, key: Key):
        return SimpleNamespace(last=self.last)

    async def read(self, key: Key, first: int, last: int, max_bytes: int = 0) -> list[tuple[int, bytes]]:
        return [(self.last, self.kept)]


def test_a_writer_counts_in_a_row_what_is_not_stored() -> None:
    async def run() -> None:
        streams, kept = Deaf(), []
        writer = Writer(streams, Key("personal/us-east", "e"), lambda link, message: kept.append(link.n))
        done = writer.put(Link(1, b"d" * 32), b"block")
        await comes(lambda: writer.refused >= 3)
        streams.full = False
        await done
        assert kept == [1] and writer.refused == 0

    asyncio.run(run())


def test_the_keeper_speaks_up_once_the_disk_is_well_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "STUCK_LOOK_S", 0.01)
    monkeypatch.setattr(keeper, "STUCK_AGAIN_S", 3600.0)
    looks: list[bool] = []

    class Disk:
        full = True

        def write(self, path: Path, data: bytes) -> None:
            looks.append(threading.current_thread() is threading.main_thread())
            if self.full:
                raise OSError(errno.ENOSPC, "no space")

    async def run() -> None:
        home = Home(tmp_path)
        home.save(resolve(ONE))
        told: list[bool] = []
        disk, copy = Disk(), SimpleNamespace(writer=SimpleNamespace(refused=keeper.STUCK_REFUSALS - 1))
        parts = Parts(None, None, {}, disk, stuck=lambda: told.append(disk.full))  # type: ignore[arg-type]
        k = Keeper("us-east", home, parts=parts)
        k.store = SimpleNamespace(copies={"c": copy})  # type: ignore[assignment]
        watching = asyncio.create_task(k._watch_log())
        await asyncio.sleep(0.1)
        assert not looks, "a single refusal is nothing"
        copy.writer.refused += 1
        await comes(lambda: len(looks) >= 3)
        assert not told, "the disk is full: a new start would change nothing"
        disk.full = False
        await comes(lambda: told == [False])
        watching.cancel()
        assert not any(looks), "a disk that hangs holds up nothing else"

    asyncio.run(run())


def test_who_runs_the_log_server_starts_it_anew(tmp_path: Path) -> None:
    async def run() -> None:
        top = resolve(ONE, system.free_base("127.0.0.1", 60))
        async with Supervisor(Home(tmp_path), top, roles=("log",)) as s:
            await s.start()
            before = s.pids("us-east")["log"]
            assert before
            s._report("keeper", {"stuck": "log", "region": "nowhere"})
            s._report("keeper", {"stuck": "log", "region": "us-east"})
            await comes(lambda: s.pids("us-east")["log"] not in (0, before))
            assert "keeper" not in s.reports and any("started anew" in e.text for e in s.events)

    asyncio.run(run())
