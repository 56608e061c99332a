"""Real regions for the node's tests: log server, keeper and node as processes on free loopback ports, and a caller.

The supervisor's loop runs in a thread of its own, so that the tests can be plain functions with plain HTTP calls.
"""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.adapters import system
from holdfast.adapters.home import Home
from holdfast.adapters.signing import Signer, b64, device_message
from holdfast.core.topology import Region, Topology, resolve
from holdfast.region.supervisor import Supervisor

PROCESSES = ("log", "keeper", "node")


def topology(regions: dict[str, str], rtt_ms: float = 0.0, **settings: Any) -> Topology:
    """Resolve a topology of `{name: jurisdiction}` on free ports."""
    rows = [Region(name=name, jurisdiction=law) for name, law in regions.items()]
    return resolve(Topology(regions=rows, rtt_ms=rtt_ms, **settings), port=system.free_base("127.0.0.1", 60))


class Rig:
    """Running regions. `run` executes a coroutine of the supervisor in its loop."""

    def __init__(self, home: Home, top: Topology, roles: tuple[str, ...] = PROCESSES) -> None:
        self.home, self.top, self.roles = home, top, roles
        self.loop = asyncio.new_event_loop()
        self.supervisor: Supervisor | None = None
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Any, timeout_s: float = 180) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    def start(self) -> None:
        async def begin() -> Supervisor:
            supervisor = Supervisor(self.home, self.top, roles=self.roles)
            self.supervisor = supervisor
            await supervisor.start()
            return supervisor

        self.run(begin())

    def cut(self, region: str, mode: str = "silent") -> None:
        async def work() -> None:
            assert self.supervisor is not None
            self.supervisor.cut(region, mode)

        self.run(work())

    def restore(self, region: str) -> None:
        assert self.supervisor is not None
        self.run(self.supervisor.restore(region))
        self.run(self.supervisor.ready())

    def stop(self) -> None:
        if self.loop.is_closed():
            return
        if self.supervisor is not None:
            self.run(self.supervisor.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@contextmanager
def running(
    folder: Path, regions: dict[str, str], roles: tuple[str, ...] = PROCESSES, **settings: Any
) -> Iterator[Rig]:
    """Run regions for as long as the block lasts; a folder that holds an installation goes on with its ports."""
    home = Home(folder)
    rig = Rig(home, home.load() if home.topology_file.exists() else topology(regions, **settings), roles)
    try:
        rig.start()
        yield rig
    finally:
        rig.stop()


class Answer:
    """Status, headers (lower case) and body of an answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(rig: Rig, region: str, method: str, path: str, body: Any = None, *, bearer: str = "",
         headers: dict[str, str] | None = None) -> Answer:
    """Call a node. `body`: bytes as they are, anything else as JSON."""
    port = rig.top.region(region).http_port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
    sent = dict(headers or {})
    if bearer:
        sent["Authorization"] = f"Bearer {bearer}"
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        sent.setdefault("Content-Type", "application/json")
    try:
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


class Device:
    """A device: a key, its token, its outbox numbers."""

    def __init__(self, rig: Rig, region: str, seed: int = 1) -> None:
        self.rig = rig
        self.signer = Signer(seed.to_bytes(32, "big"))
        law = rig.top.region(region).jurisdiction
        stamp_s = int(time.time())
        answer = call(rig, region, "POST", "/v1/devices", {
            "key": b64(self.signer.public), "jurisdiction": law, "stamp_s": stamp_s,
            "proof": b64(self.signer.sign(device_message(law, stamp_s))),
        })
        assert answer.status == 200, answer.body
        self.token, self.alias = answer.json["token"], answer.json["alias"]
        self.outbox = 0

    def event(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Make the next event of this device's outbox."""
        self.outbox += 1
        return {"kind": kind, "outbox": self.outbox, "stamp": time.time_ns() // 1000, **fields}

    def send(self, region: str, *events: dict[str, Any]) -> Answer:
        return call(self.rig, region, "POST", "/v1/events", {"entries": list(events)}, bearer=self.token)

    def feed(self, region: str, **request: Any) -> Answer:
        return call(self.rig, region, "POST", "/v1/feed", request, bearer=self.token)
