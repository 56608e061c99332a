"""One region on core 0, and a load generator on another that costs little: what the benches of a region share."""

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters import system
from holdfast.adapters.home import Home
from holdfast.adapters.signing import make_keys
from holdfast.core.errors import Degraded
from holdfast.core.topology import Region, Topology, resolve
from holdfast.region.roles import ENV, command, role_named

NAME = "bench"
READY_S = 60.0
STOP_S = 10.0
TICKS = os.sysconf("SC_CLK_TCK")
MSGPACK = "application/msgpack"
JSON = "application/json"


class Http:
    """A keep-alive connection that speaks just enough HTTP/1.1, so that the generator costs little."""

    def __init__(self, host: str, port: int) -> None:
        self._at = (host, port)

    async def open(self) -> None:
        """Connect. Raises OSError."""
        self._in, self._out = await asyncio.open_connection(*self._at)

    async def call(
        self, method: str, path: str, body: bytes, token: str = "", kind: str = MSGPACK, urgency: int = 3
    ) -> tuple[int, bytes]:
        """Send one request, return (status, body). `urgency` as in RFC 9218: 3 is usual, 7 the least."""
        auth = f"authorization: Bearer {token}\r\n" if token else ""
        wish = f"priority: u={urgency}\r\n" if urgency != 3 else ""
        head = f"{method} {path} HTTP/1.1\r\nhost: bench\r\n{auth}{wish}content-type: {kind}\r\n"
        self._out.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await self._in.readuntil(b"\r\n\r\n")
        length = 0
        for line in answer.split(b"\r\n"):
            if line[:15].lower() == b"content-length:":
                length = int(line[15:])
        return int(answer[9:12]), await self._in.readexactly(length)

    def close(self) -> None:
        """Hang up."""
        self._out.close()


@dataclass(slots=True)
class Running:
    """A region under way. `children`: its processes by role."""

    home: Home
    top: Topology
    children: dict[str, subprocess.Popen[bytes]]

    async def connect(self) -> Http:
        """Return a new connection to the node."""
        http = Http(self.top.regions[0].host, self.top.regions[0].http_port)
        await http.open()
        return http

    def check(self) -> None:
        """Raise Degraded if a process has ended, with the end of its log."""
        for role, child in self.children.items():
            if child.poll() is not None:
                said = (self.home.region(NAME) / "logs" / f"{role}.log").read_text()[-1500:]
                raise Degraded(f"the {role} has ended ({child.returncode}): {said}")

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds that each role has used. Raises Degraded if one has ended."""
        self.check()
        used: dict[str, float] = {}
        for role, child in self.children.items():
            fields = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
            used[role] = (int(fields[11]) + int(fields[12])) / TICKS
        return used

    def rss_mb(self) -> dict[str, float]:
        """Resident memory of each role, MB. Raises Degraded if one has ended."""
        self.check()
        held: dict[str, float] = {}
        for role, child in self.children.items():
            lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
            held[role] = round(next(int(x.split()[1]) for x in lines if x.startswith("VmRSS:")) * 1024 / 1e6, 1)
        return held


async def status(http: Http) -> dict[str, Any]:
    """Return `GET /v1/status`. Raises Degraded."""
    code, body = await http.call("GET", "/v1/status", b"")
    if code != 200:
        raise Degraded(f"the node does not tell its status: {code}")
    return msgspec.msgpack.decode(body)


@asynccontextmanager
async def region(roles: Sequence[str]) -> AsyncIterator[Running]:
    """Run the roles of a region in a folder of its own, all on core 0; stop them and remove it afterwards.

    Raises Degraded if it does not start.
    """
    root = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    top = resolve(
        Topology(regions=[Region(name=NAME, jurisdiction="US")], rtt_ms=0.0),
        system.free_base("127.0.0.1", 60),
    )
    home = Home(root)
    home.save(top)
    make_keys(home, top)
    running = Running(home, top, {})
    try:
        for role in roles:
            running.children[role] = _start(role, home, top)
        await _ready(running)
        yield running
    finally:
        for child in reversed(list(running.children.values())):
            child.terminate()
        for child in running.children.values():
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(root, ignore_errors=True)


def _start(role: str, home: Home, top: Topology) -> subprocess.Popen[bytes]:
    path = home.region(NAME) / "logs"
    path.mkdir(parents=True, exist_ok=True)
    row = role_named(role)

    def place() -> None:
        os.sched_setaffinity(0, {0})
        os.nice(row.nice)

    with (path / f"{role}.log").open("ab") as log:
        return subprocess.Popen(
            command(row, NAME, home, top), stdout=log, stderr=log, env=os.environ | ENV, process_group=0,
            preexec_fn=place,  # noqa: PLW1509
        )  # fmt: skip


async def _ready(running: Running) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            http = await running.connect()
            chains = (await status(http))["chains"]
            http.close()
            if chains:
                return
        except (OSError, EOFError, Degraded):
            pass
        await asyncio.sleep(0.1)
    raise Degraded("the region did not start in time")
