"""Children that end in odd ways are started again all the same; nothing healthy is set aside on the way."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from holdfast.adapters import natsconf, system
from holdfast.adapters.home import Home
from holdfast.core.errors import Refused
from holdfast.core.topology import Region, Topology, resolve
from holdfast.region import child as children
from holdfast.region.child import Child, Spec
from holdfast.region.control import ControlRoom
from holdfast.region.supervisor import Supervisor
from patience import comes


def one_region(**more: str) -> Topology:
    top = Topology(rtt_ms=0, regions=[Region(name="eu-west", jurisdiction="EU", **more)])
    return resolve(top, system.free_base("127.0.0.1", 60))


def test_a_report_that_is_cut_short_or_too_long_does_not_end_the_watch(tmp_path: Path) -> None:
    code = "import sys; w = sys.stdout.write; w('{' + 'x' * 2_000_000 + '\\n'); w('{\"done\": 3}\\n'); w('{\"done\":')"
    reports: list[dict[str, object]] = []

    async def story() -> None:
        spec = Spec("publish", "", lambda: [sys.executable, "-c", code], tmp_path / "log", once=False)
        child = Child(spec, lambda *_: None, lambda _name, report: reports.append(report))
        child.start()
        await comes(lambda: child.restarts >= 2)
        await child.stop()

    asyncio.run(story())
    assert reports[0] == {"done": 3}


def test_a_child_that_cannot_be_mended_is_started_again_all_the_same(tmp_path: Path) -> None:
    told: list[str] = []

    async def mend(_: Spec) -> None:
        raise Refused("cannot listen on 10.0.0.1: no such address", field="host")

    async def story() -> None:
        spec = Spec("log", "", lambda: ["false"], tmp_path / "log")
        child = Child(spec, lambda _region, text, _level: told.append(text), lambda *_: None, mend)
        child.start()
        await comes(lambda: child.restarts >= 4)
        await child.stop()

    asyncio.run(story())
    assert "log cannot be mended: cannot listen on 10.0.0.1: no such address" in told


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "RESTART_CAP_S", 0.4)  # the waits are not what is tested here


@asynccontextmanager
async def dark(folder: Path) -> AsyncIterator[tuple[Supervisor, Path]]:
    """A region whose log server has run, and has no power now; and something that lies in its store."""
    home = Home(folder)
    async with Supervisor(home, one_region(), roles=("log",)) as s:
        await s.start()
        mark = natsconf.store_dir(home, "eu-west") / "acknowledged"
        mark.write_text("kept")
        s.cut("eu-west", "refuse")
        await comes(lambda: not s.pids("eu-west")["log"])
        yield s, mark


async def attempts(s: Supervisor, count: int) -> None:
    """Give the log server power and let it try so often."""
    child = s.child("eu-west", "log")
    child.start()
    await comes(lambda: child.restarts >= count, 60)


def test_a_store_is_not_set_aside_because_the_port_is_taken(tmp_path: Path) -> None:
    async def story() -> None:
        async with dark(tmp_path) as (s, mark):
            with socket.socket() as thief:
                thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                thief.bind(("127.0.0.1", s.top.region("eu-west").nats_port))
                thief.listen()
                await attempts(s, 3)
            assert mark.read_text() == "kept"
            assert any("is taken" in e.text for e in s.events)

    asyncio.run(story())


@pytest.mark.parametrize("present", [False, True], ids=["absent", "no program of this machine"])
def test_a_store_is_not_set_aside_because_the_server_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: bool
) -> None:
    """As in the middle of an upgrade, or after one that went wrong."""
    server = tmp_path / "nats-server"
    if present:
        server.write_bytes(b"\x7fELF, or not")
        server.chmod(0o755)

    async def story() -> None:
        async with dark(tmp_path / "home") as (s, mark):
            monkeypatch.setattr(natsconf, "find_server", lambda: str(server))
            await attempts(s, 4)
            assert mark.read_text() == "kept"

    asyncio.run(story())


def test_a_server_that_never_starts_leaves_one_store_aside_and_not_one_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with dark(tmp_path) as (s, mark):
            monkeypatch.setattr(natsconf, "find_server", lambda: "false")
            await attempts(s, 6)
            (aside,) = s.home.region("eu-west").glob("nats.damaged-*")
            assert (aside / mark.name).read_text() == "kept"
            assert any("with an empty store" in e.text for e in s.events)

    asyncio.run(story())


def test_a_process_between_two_lives_does_not_come_back_in_a_dark_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_s = 3600.0  # between the lives, for as long as the test looks
    monkeypatch.setattr(children, "delay_s", lambda *_, **__: wait_s)

    async def story() -> None:
        nonlocal wait_s
        async with Supervisor(Home(tmp_path), one_region(), roles=("log",)) as s:
            await s.start()
            os.kill(s.pids("eu-west")["log"], 9)
            await comes(lambda: any("starting it again" in e.text for e in s.events))
            s.cut("eu-west", "silent")
            await comes(lambda: s.child("eu-west", "log").done, what="without power nothing waits to start")
            assert not s.pids("eu-west")["log"]
            wait_s = 0.0
            s.thaw("eu-west")
            await comes(lambda: s.pids("eu-west")["log"])

    asyncio.run(story())


def test_a_region_without_videos_is_said_to_open_not_to_have_fallen(tmp_path: Path) -> None:
    class Calls:
        rung, reason, allowed = "DEVICE", "No region answers: your device goes on with what it holds.", 0

        async def call(self, *_: object) -> dict[str, object]:
            return {"rung": self.rung, "reason": self.reason, "items": {"allowed": self.allowed}}

    async def story() -> list[str]:
        s = Supervisor(Home(tmp_path), one_region())
        s.power["eu-west"] = "on"
        s.calls = calls = Calls()  # type: ignore[assignment]  # what a node would answer
        room = ControlRoom(s)
        await room._look("eu-west", "")
        await room._look("eu-west", "")
        calls.rung, calls.reason, calls.allowed = "REGIONAL", "The model is not there yet.", 24
        await room._look("eu-west", "")
        calls.rung, calls.reason = "DEVICE", "No region answers: your device goes on with what it holds."
        await room._look("eu-west", "")
        return [e.text for e in s.events]

    assert asyncio.run(story()) == [
        "is opening: no video is approved yet",
        "is on REGIONAL: The model is not there yet.",
        "is on DEVICE: No region answers: your device goes on with what it holds.",
    ]


def test_a_log_is_cut_even_when_its_old_lines_cannot_be_kept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(system, "LOG_BYTES_MAX", 1000)
    log = tmp_path / "node.log"
    log.write_bytes(b"line\n" * 400)
    log.with_suffix(".old.log").mkdir()  # as a full disk would, it refuses to be written
    system.bound_log(log)
    assert log.read_bytes() == b""


def test_a_full_disk_is_told_in_words_once_and_so_is_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [1, 1, 10**12, 10**12]
    monkeypatch.setattr(system, "disk_free_bytes", lambda _: free.pop(0))

    async def story() -> list[str]:
        s, full = Supervisor(Home(tmp_path), one_region()), False
        while free:
            full = s.tell_of_space(full)
        return [e.text for e in s.events]

    first, second = asyncio.run(story())
    assert first.startswith("the disk is full") and second == "the disk has space again"


def test_an_incident_is_told_by_the_region_it_is_about(tmp_path: Path) -> None:
    """Every region hears of it through the public chains; three voices for one event would be two too many."""

    class Calls:
        async def call(self, *_: object) -> dict[str, object]:
            line = {"what": "damage", "text": "blocks 3–7 are lost"}
            return {"incidents": [{**line, "stamp": 1, "region": "us-east"}, {**line, "stamp": 2, "region": "eu-west"}]}

    async def story() -> list[tuple[str, str]]:
        s = Supervisor(Home(tmp_path), one_region())
        s.power["eu-west"] = "on"
        s.calls = Calls()  # type: ignore[assignment]  # what a node would answer
        await ControlRoom(s)._look("eu-west", "")
        return [(e.region, e.text) for e in s.events]

    assert asyncio.run(story()) == [("eu-west", "blocks 3–7 are lost")]
