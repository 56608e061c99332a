"""The keeper: the one process that writes a region's log.

    connect ─► stand by while another keeper answers ─► recover ─► serve ─► choose epochs ─► seal, carry, close, scrub

Everything starts here and is wired here; each part has a module of its own (`keeper_*`). When an invariant breaks,
Broken ends the process (exit code 3) and the supervisor starts it again, through recovery: there is no other way to
heal, so it is walked every day.
"""

import asyncio
import functools
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence

import uvloop

from holdfast.adapters import natsconf, telemetry
from holdfast.adapters.home import Home
from holdfast.adapters.log_streams import Streams
from holdfast.adapters.log_wire import Replies, Reply, Silent
from holdfast.core import asks, entries
from holdfast.core.asks import Failed
from holdfast.core.classes import Class
from holdfast.core.entries import Entry, Incident, Segment
from holdfast.core.errors import Broken, Degraded, HoldfastError
from holdfast.core.hlc import Hlc
from holdfast.core.log import ranges
from holdfast.core.log.continuity import Key
from holdfast.region import keeper_held
from holdfast.region.keeper_carry import Carrier
from holdfast.region.keeper_close import Closer
from holdfast.region.keeper_epoch import EPOCH_BYTES, choose
from holdfast.region.keeper_held import Piece
from holdfast.region.keeper_parts import Parts
from holdfast.region.keeper_peers import Peers
from holdfast.region.keeper_recover import recover
from holdfast.region.keeper_salvage import Salvage
from holdfast.region.keeper_scrub import Scrubber
from holdfast.region.keeper_seal import STARTING, Sealer
from holdfast.region.keeper_serve import Server
from holdfast.region.keeper_store import Copy, Store
from holdfast.region.keeper_take import Intake

GROUP = "keeper"
STAND_BY_EVERY_S = 0.3
STAND_BY_MISSES = 4  # about a second of silence from the active keeper; the fence covers a wrong guess
ORDERLY_END_S = 2.0  # below the supervisor's patience between TERM and KILL
LOOK_S = 0.01
STUCK_LOOK_S = 1.0
STUCK_REFUSALS = 3  # in a row; JetStream does not refuse then, it says nothing, for 2 s each
STUCK_AGAIN_S = 20.0  # for the log server to start anew and for what waits to be stored
EXIT_BROKEN = 3  # the supervisor starts us again, through recovery
INCIDENT_REPEAT_S = 60.0  # the same words are not published again within this


Say = Callable[[str, str], None]  # (level, text): plain lines for the process's log


class Keeper:
    """One region's keeper. `say(text, level)` gets plain lines for the log; `parts`: by default the real ones."""

    def __init__(
        self, region: str, home: Home, say: Say = lambda _level, _text: None, parts: Parts | None = None
    ) -> None:
        self.region = region
        self.home = home
        self._parts = parts or Parts.real(home, region)
        self._now_us = self._parts.around.now_us
        self.top = home.load()
        self.sealers: dict[Class, Sealer] = {}
        self.carriers: list[Carrier] = []
        self.ready = asyncio.Event()
        self._say = say
        self._clock = Hlc()
        self._said: dict[str, float] = {}
        self._waiting: list[Incident] = []  # found before there was a chain to write them to
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the log until `stop` is set. Raises Broken when an invariant is lost."""
        self._client = await self._parts.connect("")
        self.peers = Peers(self.top, self.region, self._parts.connect)
        self._wire()
        work, stopping = asyncio.create_task(self._keep()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            elif self.ready.is_set():
                await self._orderly_end()
        except Broken:
            if self.ready.is_set():
                self.store.save_held_now(clean=False)
            raise
        finally:
            tasks = [work, stopping, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.peers.close()
            await self._client.close()

    def _wire(self) -> None:
        """Make the parts and tie them together, all in this one place."""
        parts, around, verifiers = self._parts, self._parts.around, self._parts.verifiers
        directory = self.home.region(self.region)
        parts.disk.make(directory)
        self._held_path = directory / "held.json"
        self.store = Store(Streams(self._client.wire), directory, around.now_s, parts.disk)
        self.server = Server(self.region, self.store, around.token_hex(8))
        self.intake = Intake(self.store, self.top, self.region, verifiers)
        self.closer = Closer(self.store, self.region, self.top.tail_bytes)
        self.salvage = Salvage(natsconf.store_dir(self.home, self.region), self.intake, verifiers,
                               self.store.files, parts.log_files)
        self.scrubber = Scrubber(self.store, self.peers, verifiers, self.salvage)
        self._replies = Replies(self._client.nats)
        self.store.on_block = self.closer.look
        self.closer.announce = self._announce
        self.intake.on_conflict = self._conflict
        self.intake.on_incident = self.closer.on_incident = self.incident
        self.scrubber.on_incident = self.salvage.on_incident = self.incident

    async def _keep(self) -> None:
        """The whole life of a keeper; ends only by an error."""
        await self._stand_by()
        clean = await self._recover()
        for peer in self.peers.classes:
            self._background(self.peers.connect(peer))
        self._background(self._replies.run())
        await self._client.serve("hf.ask.*.*", GROUP, self._asked, self._replies)  # peers that start now wait for us
        found = await asyncio.gather(*(self._choose(cls, clean) for cls in Class))
        for cls, copy in zip(Class, found, strict=True):
            sealer = Sealer(cls, self.region, self.store, self._parts.sign, self._clock)
            self.sealers[cls] = sealer
            sealer.resume(copy) if copy is not None else sealer.reopen(self._new_epoch())
        self.carriers = [
            Carrier(self.peers, peer, cls, self.store, self.intake)
            for peer, classes in self.peers.classes.items()
            for cls in classes
        ]
        await self._client.serve("hf.append.*", GROUP, self._append, self._replies)
        warn = functools.partial(self._say, "warning")
        jobs = [
            *(s.run(self._now_us, self.intake.sealing) for s in self.sealers.values()),
            *(c.run(warn) for c in self.carriers),
            self.store.keep_record(warn),
            self.closer.run(warn),
            self.scrubber.run(),
            self.scrubber.mend(warn),
            self._watch_log(),
        ]
        self.ready.set()
        for incident in self._waiting:
            self._write(Class.PUBLIC, incident)
        self._say("info", "the keeper is ready")
        await _first_error(jobs)

    async def _stand_by(self) -> None:
        """Return when no other keeper answers for this region."""
        misses = 0
        while misses < STAND_BY_MISSES:
            try:
                await self._client.heads(Class.RULINGS, ["-"], timeout_s=STAND_BY_EVERY_S)
                misses = 0
                await asyncio.sleep(STAND_BY_EVERY_S)
            except Silent:
                return  # nobody listens at all
            except Degraded:
                misses += 1

    async def _recover(self) -> bool:
        """Read and check everything held; return whether the last stop was orderly and nothing is amiss."""
        while True:
            aside = self.salvage.aside()
            try:
                self.store.claim(self.server.keeper)
                record = keeper_held.load(self._held_path, self._parts.disk)
                report = await recover(self.store, record, self._parts.verifiers, self.salvage)
                await self.salvage.put_away([*aside, *self.salvage.made])
                break
            except (Degraded, OSError) as e:
                self._say("warning", f"recovery waits for the log server and its disk: {e}")
                self.store.copies.clear()
                await asyncio.sleep(STAND_BY_EVERY_S)
        for key, bad in report.damaged.items():
            text = f"{key.chain}, epoch {key.epoch}: blocks {ranges.say(bad)} are damaged or absent here"
            self.incident("damage", text)
        return report.clean

    async def _choose(self, cls: Class, clean: bool) -> Copy | None:
        """The epoch to go on with, None if a new one must be opened; a log server too slow to answer is asked again."""
        while True:
            try:
                return await choose(cls, self.region, self.store, self.peers, clean)
            except Degraded as e:
                self._say("warning", f"the choice of an epoch waits for the log server: {e}")
                await asyncio.sleep(STAND_BY_EVERY_S)

    def _new_epoch(self) -> str:
        return self._parts.around.token_hex(EPOCH_BYTES)

    def _background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- requests ----------------------------------------------------------------------------------------------------

    async def _asked(self, subject: str, payload: bytes, reply: Reply) -> None:
        self._background(self.server.answer(subject, payload, reply))

    async def _append(self, subject: str, payload: bytes, reply: Reply) -> None:
        name = subject.rsplit(".", 1)[1]
        if not self.ready.is_set():
            reply(STARTING)
        elif name in self.sealers:
            self.sealers[Class(name)].offer(payload, reply)
        else:
            reply(asks.encode(Failed("refused", f"there is no class `{name}`")))

    async def _watch_log(self) -> None:
        """Tell when the log server refuses what its disk would take, for ever.

        Once a write of JetStream's failed, for want of space or a read-only disk, its stream takes nothing more until
        the server starts anew, however well the disk is by then (measured: nats-server 2.15).
        """
        probe = self.home.region(self.region) / ".probe"
        while True:
            await asyncio.sleep(STUCK_LOOK_S)
            if max((copy.writer.refused for copy in self.store.copies.values()), default=0) >= STUCK_REFUSALS:
                try:
                    await asyncio.to_thread(self._parts.disk.write, probe, b"x")  # a sick disk may take its time
                except OSError:
                    continue  # not yet
                self._say("warning", "the log server stores nothing, though the disk is well")
                self._parts.stuck()
                await asyncio.sleep(STUCK_AGAIN_S)

    # -- what the keeper itself has to say -----------------------------------------------------------------------------

    def incident(self, what: str, text: str) -> None:
        """Publish an incident in the region's public chain, once per minute for the same words."""
        now = self._parts.around.now_s()
        if self.home.drill(self._now_us()):
            text = f"DRILL: {text}"
        if now - self._said.get(text, -INCIDENT_REPEAT_S) < INCIDENT_REPEAT_S:
            return
        self._said = {t: at for t, at in self._said.items() if now - at < INCIDENT_REPEAT_S} | {text: now}
        self._say("warning", f"{what}: {text}")
        stamp = self._clock.tick(self._now_us())
        incident = Incident(
            device=f"keeper-{self.region}", outbox=stamp, stamp=stamp, region=self.region, what=what, text=text[:2000]
        )
        if self.ready.is_set():
            self._write(Class.PUBLIC, incident)
        else:
            self._waiting.append(incident)

    def _announce(self, cls: Class, epoch: str, piece: Piece) -> None:
        stamp = self._clock.tick(self._now_us())
        segment = Segment(
            device=f"keeper-{self.region}", outbox=stamp, stamp=stamp, epoch=epoch, first=piece.first, last=piece.last,
            sha=piece.sha, size=piece.size,
        )  # fmt: skip
        self._write(cls, segment)

    def _write(self, cls: Class, entry: Entry) -> None:
        self.sealers[cls].offer(entries.encode([entry]), lambda _answer: None)

    def _conflict(self, key: Key) -> None:
        """A peer holds more, or other, blocks of an epoch that we are writing: leave it and go on in a new one."""
        sealer = self.sealers[Class(key.chain.split("/")[0])]
        if sealer.copy is not None and sealer.copy.key == key:
            sealer.reopen(self._new_epoch())
            self.incident("epoch", f"{key.chain}: a peer holds other blocks of epoch {key.epoch}; a new epoch begins")

    async def _orderly_end(self) -> None:
        """Take in no more, let what is on its way land, then record that nothing lies beyond the watermarks."""
        self.ready.clear()
        for _ in range(int(ORDERLY_END_S / LOOK_S)):
            if all(s.idle for s in self.sealers.values()):
                break
            await asyncio.sleep(LOOK_S)
        self.store.save_held_now(clean=all(s.idle for s in self.sealers.values()))


async def _first_error(jobs: Sequence[Coroutine[None, None, None]]) -> None:
    """Run jobs that never end; raise what ended the first, cancelling the others."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise Broken("a part of the keeper ended by itself")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main(region: str, home: Home) -> None:
    """Run a region's keeper until SIGTERM or SIGINT. Exits 3 when an invariant is lost."""
    log = telemetry.start("keeper", region)

    def say(level: str, text: str) -> None:
        log.warning(text) if level == "warning" else log.info(text)

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await Keeper(region, home, say).run(stop)

    try:
        uvloop.run(serve())
    except HoldfastError as e:
        log.error("keeper broken", error=repr(e))
        sys.exit(EXIT_BROKEN)
