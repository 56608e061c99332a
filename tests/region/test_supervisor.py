"""Real log servers under the supervisor: kept alive, frozen, killed and brought back; none outlives its parent."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from holdfast.adapters import system
from holdfast.adapters.home import Home
from holdfast.core.errors import Refused
from holdfast.core.topology import Region, Topology, resolve
from holdfast.region.supervisor import Supervisor, ports
from patience import SLOW, comes, until

TOP = Topology(rtt_ms=0, regions=[Region(name="us-east", jurisdiction="US"), Region(name="us-west", jurisdiction="US")])


def topology() -> Topology:
    return resolve(TOP, system.free_base("127.0.0.1", 60))


def state_of(pid: int) -> str:
    """One letter: R or S runs, T is stopped, empty is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0].replace("Z", "")
    except FileNotFoundError:
        return ""


def test_a_log_server_is_kept_alive_frozen_and_brought_back(tmp_path: Path) -> None:
    async def story() -> list[int]:
        top = topology()
        seen: list[int] = []
        async with Supervisor(Home(tmp_path), top, roles=("log",)) as s:
            s.check()
            await s.start()
            first = s.pids("us-east")["log"]
            assert s.power == {"us-east": "on", "us-west": "on"}
            os.kill(first, signal.SIGKILL)
            await comes(lambda: s.pids("us-east")["log"] not in (0, first))
            assert any("SIGKILL" in e.text for e in s.events)
            assert await system.listening("127.0.0.1", top.region("us-east").nats_port, 10 * SLOW)

            frozen = s.pids("us-east")["log"]
            s.cut("us-east", "silent")
            await comes(lambda: state_of(frozen) == "T")
            assert s.power["us-east"] == "off" and state_of(s.pids("us-west")["log"]) in "RS"
            await s.restore("us-east")
            await comes(lambda: s.power["us-east"] == "on")
            assert state_of(frozen) == "" and s.pids("us-east")["log"] not in (0, frozen)

            s.cut("us-west", "refuse")
            await comes(lambda: s.pids("us-west")["log"] == 0)
            await asyncio.sleep(1.0)  # longer than the first restarts wait: power stays off
            assert s.pids("us-west")["log"] == 0
            seen += [s.pids("us-east")["log"]]
            with pytest.raises(Refused):
                s.cut("mars")
        return seen

    for pid in asyncio.run(story()):
        assert state_of(pid) == ""


def test_links_between_regions_take_their_time(tmp_path: Path) -> None:
    """A log server greets whoever connects: through a link the greeting comes a round trip later."""

    async def greeting_s(port: int) -> float:
        begun_s = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await asyncio.wait_for(reader.readline(), 5 * SLOW)).startswith(b"INFO ")
        writer.close()
        return time.monotonic() - begun_s

    async def story() -> None:
        slow = msgspec.structs.replace(TOP, rtt_ms=120.0)
        top = resolve(slow, system.free_base("127.0.0.1", 60))
        async with Supervisor(Home(tmp_path), top, roles=("log",)) as s:
            await s.start()
            link = top.links["us-west>us-east"]
            assert await system.listening("127.0.0.1", link, 10 * SLOW)
            assert await greeting_s(link) >= 0.12
            near = top.region("us-east").nats_port
            assert any([await greeting_s(near) < 0.12 for _ in range(20)]), "without a link it comes at once"

    asyncio.run(story())


def test_a_busy_port_and_an_unusable_directory_are_refused_in_plain_words(tmp_path: Path) -> None:
    top = topology()
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="cannot be used") as refusal:
        Supervisor(Home(tmp_path / "file" / "in"), top, roles=("log",)).check()
    assert refusal.value.hint
    with socket.socket() as s:
        s.bind(("127.0.0.1", ports(top)[2][2]))
        s.listen()
        with pytest.raises(Refused, match="is in use") as refusal:
            Supervisor(Home(tmp_path), top, roles=("log",)).check()
        assert "--port" in refusal.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_no_child_outlives_a_supervisor_killed_with_9(tmp_path: Path) -> None:
    script = f"""
import asyncio
from pathlib import Path
from holdfast.adapters.home import Home
from holdfast.core.topology import Topology
import msgspec
from holdfast.region.supervisor import Supervisor
top = msgspec.json.decode({msgspec.json.encode(topology())!r}, type=Topology)
async def main():
    async with Supervisor(Home(Path({str(tmp_path)!r})), top, roles=("log",)) as s:
        await s.start()
        print(*s.pids("us-east").values(), *s.pids("us-west").values(), flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pids = [int(p) for p in parent.stdout.readline().split()]
        assert len(pids) == 2 and all(state_of(p) for p in pids)
        parent.kill()
    until(lambda: not any(state_of(p) for p in pids), 10, "no log server outlives its supervisor")


def test_a_log_file_is_bounded_under_its_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "LOG_BYTES_MAX", 1000)
    log = tmp_path / "node.log"
    with log.open("ab") as f:
        for n in range(200):
            f.write(b"line %d\n" % n)
        f.flush()
        system.bound_log(log)
        f.write(b"after\n")
        f.flush()
    assert log.read_bytes() == b"after\n"
    assert log.with_suffix(".old.log").read_bytes().endswith(b"line 199\n")
    assert len(log.with_suffix(".old.log").read_bytes()) <= 500
