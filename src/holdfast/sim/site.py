"""One region of a simulated world: disk, log server, keeper and node, and everything that can befall them.

The keeper and the node are the real ones (`region.keeper.Keeper`; `sim.node` wires the node's real rooms). A site also
plays the supervisor: what ends is started again, through recovery.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from holdfast.adapters import natsconf
from holdfast.adapters.around import Around
from holdfast.adapters.home import Home
from holdfast.adapters.log import LogClient
from holdfast.core.errors import Broken
from holdfast.core.topology import Topology
from holdfast.region import keeper_held
from holdfast.region.keeper import Keeper
from holdfast.region.keeper_parts import Parts
from holdfast.sim import keys
from holdfast.sim.aside import Aside, Files
from holdfast.sim.disk import SimDisk
from holdfast.sim.jetstream import Stream
from holdfast.sim.loop import Process
from holdfast.sim.network import Network
from holdfast.sim.server import Connection, LogServer

if TYPE_CHECKING:
    from holdfast.core.feed.shapes import SlateItem
    from holdfast.sim.node import Node

EPOCH_US = 1_790_000_000_000_000  # virtual second 0 on the wall, autumn 2026
AGAIN_S = 0.4  # the supervisor's pause before it starts something again
CONNECT_S = 0.2
TOLD = ("damage", "mended", "salvaged", "lost", "epoch", "equivocation")  # incidents that a keeper publishes


class SimHome(Home):
    """A home without a disk of its own."""

    def __init__(self, top: Topology) -> None:
        super().__init__(Path("/sim"))
        self._top = top

    def load(self) -> Topology:
        return self._top


@dataclass(frozen=True, slots=True)
class Image:
    """A region's disks at some moment."""

    files: dict[Path, bytes]
    streams: dict[str, Stream]
    copies: dict[str, Files]


class Site:
    """A region. `sites`: all of them, by name. `make_node`: what starts as its node."""

    def __init__(
        self, seed: int, region: str, top: Topology, network: Network, sites: "dict[str, Site]",
        make_node: "Callable[[Site], Node]",
    ) -> None:  # fmt: skip
        self.region, self.top, self.network, self.sites = region, top, network, sites
        self.loop, self.trace = network.loop, network.trace
        self.chance = Random(f"{seed}/{region}")
        self.home = SimHome(top)
        self.disk = SimDisk(self.chance)
        self.disk.on_fuse = self._fuse_blew
        self.server = LogServer(region, top, network, self.chance)
        self.aside = Aside(self.server, natsconf.store_dir(self.home, region))
        self.skew_us = 0
        self.powered = False
        self.keeper: Keeper | None = None
        self.process = Process(f"{region}/keeper")
        self.broken: list[str] = []  # errors that no process of ours should end by
        self.ends = 0  # how often a keeper ended by itself
        self.node: Node | None = None
        self.node_process = Process(f"{region}/node")
        self.shelf: list[SlateItem] = []  # the signed shelf on this disk
        self.boots = 0
        self._make_node = make_node
        self._stop: asyncio.Event | None = None
        self._sign = keys.signer(seed, region)
        self._verifiers = {r.name: keys.verifier(seed, r.name) for r in top.regions}

    # -- what processes here are given -------------------------------------------------------------------------------

    def now_us(self) -> int:
        """This region's wall clock, µs since 1970."""
        return EPOCH_US + round(self.loop.time() * 1e6) + self.skew_us

    @property
    def around(self) -> Around:
        chance = self.chance
        return Around(self.loop.time, self.now_us, chance.random, lambda n: chance.randbytes(n).hex())

    async def connect(self, peer: str = "") -> LogClient:
        """Connect a process of this region to its own log server or a peer's, once that is there."""
        server = self.sites[peer or self.region].server
        connection = Connection(server, self.region, self.region if peer else "local")
        while not connection.is_connected:  # noqa: ASYNC110 - as a real client tries again
            await asyncio.sleep(CONNECT_S)
        return LogClient(connection, self.region if peer else "local")  # type: ignore[arg-type]

    def _parts(self) -> Parts:
        def connect(peer: str) -> Awaitable[LogClient]:
            return self.connect(peer)

        return Parts(connect, self._sign, self._verifiers, self.disk, self.aside, self.around, self._stuck)

    def _stuck(self) -> None:
        """The keeper says that its log server stores nothing any more: the supervisor starts that anew."""
        self.trace.count("stuck log server started anew")
        self.kill_server(AGAIN_S)

    # -- life --------------------------------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Start everything."""
        self.powered, self.disk.off = True, False
        self.start_server()
        self.start_keeper()
        self.start_node()

    def start_server(self) -> None:
        """Start the log server over its files, which are copied before."""
        self.aside.keep_before(self.aside.store)
        self.server.start()

    def start_keeper(self) -> None:
        """Start a keeper process."""
        if not self.powered or (self.process.alive and self.process.tasks):
            return
        self.process = Process(f"{self.region}/keeper")
        self.loop.spawn(self.process, self._keep(self.process))

    def start_node(self) -> None:
        """Start a node process."""
        if not self.powered or (self.node_process.alive and self.node_process.tasks):
            return
        self.node_process = Process(f"{self.region}/node")
        self.loop.spawn(self.node_process, self._serve(self.node_process))

    async def _serve(self, process: Process) -> None:
        self.node = self._make_node(self)
        try:
            await self.node.run()
        except* Broken as e:
            self.trace.count("node ended broken")
            self.trace.tell(self.region, f"the node ends: {e.exceptions[0]}")
        except* Exception as e:  # noqa: BLE001 - a mistake of ours: no world may end a node like this
            if process.alive:
                self.broken.append(f"{self.region}: the node died of {e.exceptions[0]!r}")
        if process.alive:
            self.later(AGAIN_S, self._node_again, process)

    def _node_again(self, process: Process) -> None:
        if self.node_process is process and process.alive:
            process.kill()
            self.start_node()

    async def _keep(self, process: Process) -> None:
        self._stop = asyncio.Event()
        self.keeper = Keeper(self.region, self.home, self._said, self._parts())
        try:
            await self.keeper.run(self._stop)
            self.trace.tell(self.region, "the keeper stopped in order")
        except Broken as e:
            if process.alive:
                self.ends += 1
                self.trace.count("keeper ended broken")
                self.trace.tell(self.region, f"the keeper ends: {e}")
        except Exception as e:  # noqa: BLE001 - a mistake of ours: no world may end a keeper like this
            if process.alive:
                self.broken.append(f"{self.region}: the keeper died of {e!r}")
                self.trace.tell(self.region, f"the keeper DIED of {e!r}")
        if process.alive:
            self.later(AGAIN_S, self._again, process)

    def _again(self, process: Process) -> None:
        if self.process is process and process.alive:
            process.kill()
            self.start_keeper()

    def later(self, delay_s: float, call: object, *args: object) -> None:
        """Do something after a while, as part of the world and not of any process."""
        self.loop.call_later(delay_s, call, *args)  # type: ignore[arg-type]

    def _said(self, level: str, text: str) -> None:
        if level == "warning":
            what = text.split(":", 1)[0]
            if what in TOLD:
                self.trace.count(f"told: {what}")
            self.trace.tell(self.region, text)

    # -- what befalls it ---------------------------------------------------------------------------------------------

    def stop_keeper(self) -> None:
        """An orderly stop; the supervisor starts it again."""
        if self._stop is not None and self.process.alive:
            self._stop.set()

    def kill_keeper(self, back_s: float) -> None:
        """kill -9 the keeper; it is back after `back_s`."""
        self.process.kill()
        self.later(back_s, self.start_keeper)

    def start_second(self, after_s: float) -> None:
        """Start another keeper of this region beside the first, and kill the first after `after_s`."""
        first = self.process
        self.process = Process(f"{self.region}/keeper 2")
        self.loop.spawn(self.process, self._keep(self.process))
        self.later(after_s, first.kill)

    def kill_node(self, back_s: float) -> None:
        """kill -9 the node; it is back after `back_s`."""
        self.node_process.kill()
        self.later(back_s, self.start_node)

    def kill_server(self, back_s: float) -> None:
        """kill -9 the log server; it is back after `back_s`."""
        if self.server.up:
            self.server.stop()
            self.later(back_s, self._server_again, self.server.generation)

    def _server_again(self, generation: int) -> None:
        if self.powered and not self.server.up and self.server.generation == generation:
            self.start_server()

    def power_cut(self) -> None:
        """Everything stops at once, and what was not fsynced is gone."""
        self.powered = False
        self.process.kill()
        self.node_process.kill()
        if self.server.up:
            self.server.stop()
        self.disk.power_cut()
        self.disk.off = True

    def _fuse_blew(self) -> None:
        self.trace.count("power cut between two writes")
        self.trace.tell(self.region, "the power goes between two writes to disk")
        self.power_cut()
        self.later(1.0, self.power_back)

    def power_back(self) -> None:
        """Power returns."""
        if not self.powered:
            self.power_on()

    def lose_disks(self) -> None:
        """Power and disks are gone; empty disks take their place."""
        self.power_cut()
        self.disk.lose()
        self.server.streams.all.clear()
        self.aside.copies.clear()
        self.shelf = []

    def image(self) -> "Image":
        """What lies on the disks now."""
        files = dict(self.disk.kept)
        return Image(files, copy.deepcopy(self.server.streams.all), dict(self.aside.copies))

    def restore(self, image: "Image") -> None:
        """Power goes, an old image takes the place of the disks, power returns. As `region.backup` does, the record
        then says that no epoch of it may be continued: what was acknowledged after it had the next numbers."""
        self.power_cut()
        self.disk.kept, self.disk.seen = dict(image.files), dict(image.files)
        self.server.streams.all, self.aside.copies = image.streams, image.copies
        path = self.home.region(self.region) / "held.json"
        self.disk.off = False
        record = keeper_held.load(path, self.disk) or keeper_held.HeldRecord()
        for held in (h for epochs in record.chains.values() for h in epochs.values()):
            held.ended = True
        for _ in range(2):
            keeper_held.save(path, record, self.disk)
        self.disk.off = True
        self.later(0.5, self.power_back)
