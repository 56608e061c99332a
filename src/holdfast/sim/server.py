"""A region's log server: who may ask what, who answers, and the streams behind it; and how it fails.

`Connection` is what `adapters.log` and `adapters.log_streams` take for their connection: requests, subscriptions,
publications, with the same errors. The keeper's own code above it is the real one.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from holdfast.adapters.log_wire import Silent
from holdfast.adapters.natsconf import ask_subjects
from holdfast.core.errors import Degraded
from holdfast.core.topology import Topology
from holdfast.sim.jetstream import NO_SPACE, WRONG_LAST, Stream, Streams
from holdfast.sim.loop import context_of
from holdfast.sim.network import Network

LOCAL = "local"
DIRECT = "$JS.API.DIRECT.GET."
API = "$JS.API."
LOG = "hf.log."
FSYNC_S = 0.002
RECONNECT_S = 0.3


@dataclass(slots=True)
class Msg:
    """A message as a subscriber gets it."""

    subject: str
    data: bytes
    reply: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])


Callback = Callable[[Msg], Awaitable[None]]


@dataclass(slots=True)
class Faults:
    """What this server does wrong now: shares of publishes."""

    silent: float = 0.0  # kept, and the answer lost
    wrong: float = 0.0  # kept, and answered with error 10071
    doubtful: float = 0.0  # kept, and answered with `duplicate`
    stall_s: float = 0.0  # an fsync takes up to this much longer
    full: bool = False  # nothing is taken


class Subscription:
    """One subscription; its callbacks run one after the other."""

    def __init__(self, connection: "Connection", subject: str, callback: Callback) -> None:
        self.connection, self.subject = connection, subject
        self._callback = callback
        self._waiting: list[Msg] = []
        self._busy = False

    async def unsubscribe(self) -> None:
        """Hear no more."""
        self.connection.server.subscriptions.get(self.subject, {}).pop(self, None)
        self.connection.inboxes.pop(self.subject, None)

    def hear(self, msg: Msg) -> None:
        """A message has arrived at the process."""
        if not self.connection.process.alive:
            return
        self._waiting.append(msg)
        if not self._busy:
            self._busy = True
            self.connection.loop.create_task(self._run(), context=context_of(self.connection.process))

    async def _run(self) -> None:
        while self._waiting:
            await self._callback(self._waiting.pop(0))
        self._busy = False


class Connection:
    """One process's connection to one log server: a `Wire`, and the `nats` client inside it."""

    def __init__(self, server: "LogServer", place: str, user: str) -> None:
        self.server, self.place, self.user = server, place, user
        self.loop, self.process = server.network.loop, server.network.loop.process
        self.nats = self
        self.inboxes: dict[str, Subscription] = {}
        self._asked: dict[str, asyncio.Future[bytes]] = {}
        self._number = 0
        self._since = 0
        self._back_at = 0.0
        server.connections.append(self)

    @property
    def is_connected(self) -> bool:
        """Whether it is connected; after the server began anew this takes a moment."""
        return self.server.up and self.process.alive and self.loop.time() >= self._back_at

    def broke(self) -> None:
        """The server died: what was asked ends at once."""
        self._back_at = self.loop.time() + self.server.chance.random() * RECONNECT_S
        for future in self._asked.values():
            if not future.done():
                future.set_exception(Degraded("the connection to the log server broke", retry_after_s=0.1))
        self._asked.clear()

    def came_back(self) -> None:
        """The server is there again."""
        self._back_at = self.loop.time() + self.server.chance.random() * RECONNECT_S

    def new_inbox(self) -> str:
        self._number += 1
        return f"_INBOX.{self._number}"

    async def request(
        self, subject: str, payload: bytes, timeout_s: float, headers: dict[str, str] | None = None
    ) -> bytes:
        """As `Wire.request`."""
        if not self.is_connected:
            raise Silent("the log server is away", retry_after_s=0.1)
        inbox = self.new_inbox()
        answer = self._asked[inbox] = self.loop.create_future()
        self._send(Msg(subject, payload, inbox, headers or {}))
        late = self.loop.call_later(timeout_s, self._late, answer)
        try:
            return await answer
        finally:
            late.cancel()
            self._asked.pop(inbox, None)

    def _late(self, answer: "asyncio.Future[bytes]") -> None:
        if not answer.done():
            self.server.network.trace.count("request timed out")
            answer.set_exception(Degraded("the log does not answer", retry_after_s=1.0))

    async def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        if self.is_connected:
            self._send(Msg(subject, data, reply))

    def _send(self, msg: Msg) -> None:
        if self.process.alive:
            server = self.server
            server.network.send(
                self.place, server.region, msg.subject[:24], msg.data, lambda: server.receive(self, msg)
            )

    async def subscribe(self, subject: str, queue: str = "", cb: Callback | None = None) -> Subscription:
        assert cb is not None
        subscription = Subscription(self, subject, cb)
        if subject.startswith("_INBOX."):
            self.inboxes[subject] = subscription
        else:
            self.server.subscriptions.setdefault(subject, {})[subscription] = None
        del queue
        return subscription

    def answer(self, msg: Msg) -> None:
        """An answer has arrived at the process."""
        if not self.process.alive:
            return
        asked = self._asked.get(msg.subject)
        if asked is not None and not asked.done():
            if msg.headers.get("Status") == "503":
                asked.set_exception(Silent("nobody listens there yet", retry_after_s=0.1))
            else:
                asked.set_result(msg.data)
        elif msg.subject in self.inboxes:
            self.inboxes[msg.subject].hear(msg)

    async def close(self) -> None:
        """End the connection."""
        if self in self.server.connections:
            self.server.connections.remove(self)
        for subscriptions in self.server.subscriptions.values():
            for mine in [s for s in subscriptions if s.connection is self]:
                del subscriptions[mine]


class LogServer:
    """One region's server."""

    def __init__(self, region: str, top: Topology, network: Network, chance: Random) -> None:
        self.region, self.network, self.chance = region, network, chance
        self.loop = network.loop
        self.up = False
        self.generation = 0
        self.faults = Faults()
        self.streams = Streams()
        self.connections: list[Connection] = []
        self.subscriptions: dict[str, dict[Subscription, None]] = {}
        self.on_stored: Callable[[str, bytes], None] = lambda _region, _row: None
        self._allowed = {p.name: set(ask_subjects(top, region, p.name)) for p in top.peers(region)}
        self._replies: dict[str, tuple[Connection, str]] = {}
        self._number = 0
        self._writing: list[tuple[Stream, Msg]] = []
        self._busy_until = 0.0

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start over whatever lies on disk."""
        for stream in self.streams.all.values():
            missing = stream.recover()
            if missing:
                self.network.trace.count("silent truncation")
                self.network.trace.tell(self.region, f"the log server starts; {missing} messages are silently gone")
            held = sorted(stream.rows)
            if held and held[-1] - held[0] + 1 != len(held):
                self.network.trace.count("skipped sequences")
        self.up = True
        self.generation += 1
        for connection in self.connections:
            connection.came_back()

    def stop(self) -> None:
        """kill -9, or the power: what was being written is on disk, or torn, or not there."""
        self.up = False
        for stream, msg in self._writing[:1]:
            fate = self.chance.randrange(3)
            if fate == 1:
                stream.torn = msg.data[: self.chance.randrange(len(msg.data))]
                self.network.trace.count("torn write")
            elif fate == 2 and "seq" in self.streams.publish(stream, msg.data, msg.headers, self.loop.time()):
                self.on_stored(self.region, msg.data)
                self.network.trace.count("kept without an answer")
        self._writing.clear()
        self._replies.clear()
        self._busy_until = 0.0
        self.connections = [c for c in self.connections if c.process.alive]
        for subscriptions in self.subscriptions.values():
            for gone in [s for s in subscriptions if not s.connection.process.alive]:
                del subscriptions[gone]
        for connection in self.connections:
            connection.broke()

    # -- messages ----------------------------------------------------------------------------------------------------

    def receive(self, connection: Connection, msg: Msg) -> None:
        """A message has arrived at the server."""
        if not self.up:
            return
        if msg.subject.startswith("_R."):
            return self._pass_on(msg)
        if connection.user != LOCAL and msg.subject not in self._allowed.get(connection.user, set()):
            self.network.trace.count("refused at the fence")
            return None
        if msg.subject.startswith(DIRECT):
            return self._direct(connection, msg)
        if msg.subject.startswith(API):
            answer = json.dumps(self.streams.api(msg.subject.removeprefix(API), msg.data)).encode()
            return self._answer(connection, Msg(msg.reply, answer))
        if msg.subject.startswith(LOG):
            return self._store(connection, msg)
        return self._to_subscriber(connection, msg)

    def _answer(self, connection: Connection, msg: Msg) -> None:
        self.network.send(self.region, connection.place, "answer", msg.data, lambda: connection.answer(msg))

    def _pass_on(self, msg: Msg) -> None:
        asker = self._replies.pop(msg.subject, None)
        if asker is not None:
            self._answer(asker[0], Msg(asker[1], msg.data))

    def _to_subscriber(self, connection: Connection, msg: Msg) -> None:
        kind = msg.subject.split(".")[1]
        pattern = "hf.ask.*.*" if kind == "ask" else "hf.append.*"
        listening = [s for s in self.subscriptions.get(pattern, {}) if s.connection.process.alive]
        if not listening:
            return self._answer(connection, Msg(msg.reply, b"", headers={"Status": "503"}))
        chosen = self.chance.choice(listening) if len(listening) > 1 else listening[0]
        self._number += 1
        reply = f"_R.{self._number}"
        self._replies[reply] = (connection, msg.reply)
        passed = Msg(msg.subject, msg.data, reply)
        return self.network.send(self.region, self.region, "ask", msg.data, lambda: chosen.hear(passed))

    def _direct(self, connection: Connection, msg: Msg) -> None:
        stream = self.streams.all.get(msg.subject.removeprefix(DIRECT))
        if stream is None or stream.hidden:
            return self._answer(connection, Msg(msg.reply, b"", headers={"Status": "503"}))
        ask = json.loads(msg.data)
        rows, ended = self.streams.read(stream, ask["seq"], ask["batch"], ask["max_bytes"])
        for n, row in rows:
            self._answer(connection, Msg(msg.reply, row, headers={"Nats-Sequence": str(n)}))
        if ended:
            self._answer(connection, Msg(msg.reply, b"", headers={"Status": "204" if rows else "404"}))
        return None

    # -- writing -----------------------------------------------------------------------------------------------------

    def _store(self, connection: Connection, msg: Msg) -> None:
        """Write in the order of arrival, each fsynced before its answer."""
        name = "HF_" + msg.subject.removeprefix(LOG).replace(".", "_")
        stream = self.streams.all.get(name)
        if stream is None or stream.hidden:
            return self._answer(connection, Msg(msg.reply, b"", headers={"Status": "503"}))
        took = FSYNC_S * (0.5 + self.chance.random())
        if self.faults.stall_s and self.chance.random() < 0.1:
            took += self.chance.random() * self.faults.stall_s
            self.network.trace.count("stalled fsync")
        self._busy_until = max(self._busy_until, self.loop.time()) + took
        self._writing.append((stream, msg))
        self.loop.call_at(self._busy_until, self._stored, self.generation, connection, stream, msg)
        return None

    def _stored(self, generation: int, connection: Connection, stream: Stream, msg: Msg) -> None:
        if generation != self.generation or not self.up:
            return
        self._writing.pop(0)
        if self.faults.full or stream.stuck:
            stream.stuck = True
            self.network.trace.count("full disk refused a block")
            if not self.faults.full and self.chance.random() < 0.5:
                return self.network.trace.count("a stuck stream said nothing")
            refused = {"error": {"code": 503, "err_code": NO_SPACE, "description": "insufficient storage resources"}}
            return self._answer(connection, Msg(msg.reply, json.dumps(refused).encode()))
        answer = self.streams.publish(stream, msg.data, msg.headers, self.loop.time())
        if "error" not in answer and "duplicate" not in answer:
            self.on_stored(self.region, msg.data)
            draw = self.chance.random()
            if draw < self.faults.silent:
                return self.network.trace.count("acknowledgement lost")
            draw -= self.faults.silent
            if 0 <= draw < self.faults.wrong:
                self.network.trace.count("10071 for a kept block")
                answer = {"error": {"code": 400, "err_code": WRONG_LAST, "description": "wrong last sequence"}}
            elif 0 <= draw - self.faults.wrong < self.faults.doubtful:
                self.network.trace.count("duplicate acknowledgement")
                answer = {"seq": answer["seq"], "duplicate": True}
        return self._answer(connection, Msg(msg.reply, json.dumps(answer).encode()))
