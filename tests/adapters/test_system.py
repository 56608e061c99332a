"""The machine: a child's first moments, and ports that nobody's outgoing connection can take."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.adapters import system
from holdfast.core.errors import Refused
from patience import until

PARENT = """
import asyncio, sys
from pathlib import Path
from holdfast.adapters import system
async def main():
    child = await system.spawn(["sleep", "60"], Path(sys.argv[1]), env={})
    print(child.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_a_child_is_nice_leads_its_group_and_writes_where_it_was_told(tmp_path: Path) -> None:
    say = "import os, sys; sys.stderr.write('err'); print(os.nice(0), os.getpgid(0) == os.getpid(), os.environ['A'])"

    async def run() -> bytes:
        child = await system.spawn([sys.executable, "-c", say], tmp_path / "a" / "log", nice=5, env={"A": "b"})
        out, _ = await child.communicate()
        return out

    assert asyncio.run(run()).split() == [str(os.nice(0) + 5).encode(), b"True", b"b"]
    assert (tmp_path / "a" / "log").read_text() == "err"


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "log")], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")  # it becomes the program in a moment
        os.kill(parent.pid, signal.SIGKILL)
        until(lambda: gone(pid), 20, "the child does not outlive its parent")


def gone(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it may go between a look and the next
        return True


def test_a_program_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no such program"):
        asyncio.run(system.spawn([str(tmp_path / "nothing")], tmp_path / "log", env={}))


def test_ports_lie_below_those_lent_to_outgoing_connections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lent = tmp_path / "range"
    monkeypatch.setattr(system, "LENT_PORTS", lent)
    lent.write_text("15000\t20000\n")
    assert all(system.free_base("127.0.0.1", 60) + 60 <= 15000 for _ in range(20))
    lent.unlink()
    assert system.free_base("127.0.0.1", 60) < 49_152
