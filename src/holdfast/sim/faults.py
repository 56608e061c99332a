"""The hand that strikes: each kind of fault in a plan, done to a world, counted and told."""

import asyncio
from typing import TYPE_CHECKING

import msgspec

from holdfast.adapters.log import LogClient
from holdfast.core.chain import BLOCK_BYTES_MAX
from holdfast.core.classes import Class
from holdfast.core.errors import HoldfastError
from holdfast.region.keeper_seal import QUEUE_BYTES_MAX
from holdfast.sim.loop import Process
from holdfast.sim.plan import DESTROYS, Fault
from holdfast.sim.server import Connection
from holdfast.sim.site import Site

if TYPE_CHECKING:
    from holdfast.sim.world import World

POISON = (
    {"kind": "view", "device": "v-evil", "outbox": 1, "stamp": -5, "item": "clip-1", "dwell_ms": 1},
    {"kind": "no such kind", "device": "v-evil", "outbox": 2},
    {"kind": "view", "device": "v-evil", "outbox": 3, "stamp": 2**60, "item": "clip-1", "dwell_ms": 2**40},
    {"kind": "like", "device": "not an alias\n", "outbox": 4, "stamp": 1, "item": "clip-1"},
    "not even a record",
    {"kind": "segment", "device": "v-evil", "outbox": 5, "stamp": 1, "epoch": "x", "first": 1, "last": 2, "sha": "0"},
)  # fmt: skip


class Hand:
    """Does to a world what its plan says."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.over = False  # everything has healed: nothing strikes any more

    def rates(self, rates: dict[str, float]) -> None:
        """What the log servers do wrong now and then."""
        for site in self.world.sites.values():
            f = site.server.faults
            f.silent, f.wrong, f.doubtful = (rates.get(rate, 0.0) for rate in ("silent", "wrong", "doubtful"))
            f.stall_s = 3.0 if "stall" in rates else 0.0

    def strike(self, fault: Fault) -> None:
        """One fault begins."""
        world = self.world
        site = world.sites[fault.where]
        if self.over or (not site.powered and fault.kind not in ("partition", "item removed")):
            return
        act = getattr(self, "_" + fault.kind.replace(" ", "_").replace("-", "_"))
        if fault.kind in DESTROYS:
            self._destroy(site, act, fault)
        elif act(site, fault) is not False:  # False: it did not come to it, or will be told later
            self._struck(fault)

    def _struck(self, fault: Fault) -> None:
        self.world.trace.count(fault.kind)
        self.world.trace.tell(fault.where, f"FAULT {fault.kind}, {fault.for_s} s")

    def _destroy(self, site: Site, act: object, fault: Fault) -> None:
        ledger, sites = self.world.ledger, self.world.sites
        ledger.look(sites.values())
        before = ledger.held_by(site)
        if act(site, fault) is False:  # type: ignore[operator]
            return
        self._struck(fault)
        others = {n: ledger.held_by(s) for n, s in sites.items() if n != site.region}
        ledger.destroyed(site, before, others)

    def heal(self) -> None:
        """End every fault."""
        self.over = True
        world = self.world
        world.network.mend()
        world.network.weather.lost = world.network.weather.doubled = world.network.weather.late = 0.0
        self.rates({})
        for site in world.sites.values():
            site.server.faults.full = site.disk.full = False
            site.disk.fuse = 0
            site.power_back()

    # -- the network -------------------------------------------------------------------------------------------------

    def _mend_later(self, fault: Fault, pairs: set[tuple[str, str]]) -> None:
        network = self.world.network
        network.cut |= pairs
        self.world.loop.call_later(fault.for_s, network.cut.difference_update, pairs)

    def _partition(self, site: Site, fault: Fault) -> None:
        del site
        self._mend_later(fault, {(fault.where, fault.other), (fault.other, fault.where)})

    def _one_way_partition(self, site: Site, fault: Fault) -> None:
        del site
        self._mend_later(fault, {(fault.where, fault.other)})

    def _partial_partition(self, site: Site, fault: Fault) -> None:
        """All viewers but one cannot reach the region; other regions can."""
        del site
        names = [v.name for v in self.world.viewers][1:]
        self._mend_later(fault, {(n, fault.where) for n in names} | {(fault.where, n) for n in names})

    def _slow_link(self, site: Site, fault: Fault) -> None:
        del site
        network = self.world.network
        for pair in ((fault.where, fault.other), (fault.other, fault.where)):
            network.hold(*pair)
            self.world.loop.call_later(fault.for_s, network.let_go, *pair)

    # -- processes ---------------------------------------------------------------------------------------------------

    def _keeper_killed(self, site: Site, fault: Fault) -> None:
        site.kill_keeper(fault.for_s)

    def _keeper_stopped_in_order(self, site: Site, fault: Fault) -> None:
        del fault
        site.stop_keeper()

    def _second_keeper(self, site: Site, fault: Fault) -> None:
        """Another keeper of the same region starts; a moment later the first is killed."""
        site.start_second(fault.for_s)

    def _log_server_killed(self, site: Site, fault: Fault) -> None:
        site.kill_server(fault.for_s)

    def _node_killed(self, site: Site, fault: Fault) -> None:
        site.kill_node(fault.for_s)

    def _power_cut(self, site: Site, fault: Fault) -> None:
        site.power_cut()
        site.later(fault.for_s, site.power_back)

    def _power_cut_everywhere(self, site: Site, fault: Fault) -> None:
        del site
        for each in self.world.sites.values():
            if each.powered:
                self._power_cut(each, fault)

    def _power_cut_in_a_write(self, site: Site, fault: Fault) -> None:
        del fault
        site.disk.fuse = 1 + site.chance.randrange(6)

    # -- disks -------------------------------------------------------------------------------------------------------

    def _disks_lost(self, site: Site, fault: Fault) -> None:
        site.lose_disks()
        site.later(fault.for_s, site.power_back)

    def _restored_from_a_backup(self, site: Site, fault: Fault) -> bool:
        """A backup, taken now, is put in the place of the disks later."""
        image = site.image()

        def restore() -> None:
            if not self.over and site.powered:
                self._destroy(site, lambda _site, _fault: site.restore(image), fault)

        self.world.loop.call_later(1.0 + fault.for_s, restore)
        return False

    def _flipped_message(self, site: Site, fault: Fault) -> bool:
        """A bit turns in a message on disk; then the server dies, or reads it from disk."""
        streams = [s for _, s in sorted(site.server.streams.all.items()) if s.disk]
        if not streams:
            return False
        stream = site.chance.choice(streams)
        stream.flip(site.chance.choice(sorted(stream.disk)), site.chance)
        if fault.for_s < 2.0:
            site.kill_server(0.3)
        else:
            site.later(fault.for_s / 2, stream.evict)
        return True

    def _hidden_stream(self, site: Site, fault: Fault) -> bool:
        """A bit turns in a stream's metafile, and the server starts again."""
        streams = [s for _, s in sorted(site.server.streams.all.items()) if s.disk]
        if not streams:
            return False
        site.chance.choice(streams).hidden = True
        site.kill_server(min(fault.for_s, 1.0))
        return True

    def _flipped_piece(self, site: Site, fault: Fault) -> bool:
        del fault
        return self._flip(site, lambda name: len(name) == 64)

    def _flipped_record(self, site: Site, fault: Fault) -> bool:
        """The keeper's own record; the region then goes through a restart."""
        found = self._flip(site, lambda name: name.startswith("held"))
        if found:
            site.kill_keeper(fault.for_s)
        return found

    def _flip(self, site: Site, wanted: object) -> bool:
        paths = sorted(p for p in site.disk.kept if p in site.disk.seen and wanted(p.name))  # type: ignore[operator]
        if not paths:
            return False
        site.disk.flip(site.chance.choice(paths))
        return True

    def _full_disk(self, site: Site, fault: Fault) -> None:
        site.disk.full = site.server.faults.full = True

        def empty() -> None:
            site.disk.full = site.server.faults.full = False

        site.later(fault.for_s, empty)

    # -- time, and what is said ----------------------------------------------------------------------------------------

    def _clock_jump(self, site: Site, fault: Fault) -> None:
        del fault
        site.skew_us += site.chance.choice([-3_600_000_000, -2_000_000, -300_000, 300_000, 2_000_000, 60_000_000])

    def _poisoned_entries(self, site: Site, fault: Fault) -> None:
        del fault
        rows = [msgspec.msgpack.encode(p) for p in POISON]
        self._append(site, [b"\x96" + b"".join(rows), b"\xc1 no msgpack", b"\x90"])

    def _trespass(self, site: Site, fault: Fault) -> bool:
        """A region of another jurisdiction asks for personal chains."""
        laws = self.world.ledger.jurisdictions
        if laws[fault.where] == laws[fault.other]:
            return False

        async def ask() -> None:
            log = LogClient(Connection(site.server, fault.other, fault.other), fault.other)  # type: ignore[arg-type]
            try:
                await log.heads(Class.PERSONAL)
            except HoldfastError:
                return
            self.world.breach(f"{fault.where} told {fault.other} of its personal chains")

        self.world.loop.spawn(Process("trespasser"), ask())
        return True

    def _overload(self, site: Site, fault: Fault) -> None:
        """More than the keeper may hold, at once, while its log server stalls."""
        del fault
        entry = msgspec.msgpack.encode({"kind": "filler", "pad": bytes(BLOCK_BYTES_MAX - 100)})
        self._append(site, [b"\x91" + entry] * (QUEUE_BYTES_MAX // BLOCK_BYTES_MAX + 3))

    def _append(self, site: Site, payloads: list[bytes]) -> None:
        trace = self.world.trace

        async def one(payload: bytes) -> None:
            log = await site.connect()
            try:
                await log.append(Class.PERSONAL, payload, 2.0)
            except HoldfastError as e:
                trace.count("append overloaded" if "overloaded" in str(e) else f"append {type(e).__name__.lower()}")

        async def all_() -> None:
            await asyncio.gather(*(one(p) for p in payloads))

        self.world.loop.spawn(Process("stranger"), all_())

    def _item_removed(self, site: Site, fault: Fault) -> bool:
        del site, fault
        return self._rule("remove", over=False)

    def _item_restored(self, site: Site, fault: Fault) -> bool:
        del site, fault
        return self._rule("allow", over=True)

    def _rule(self, verdict: str, *, over: bool) -> bool:
        studio = self.world.studio
        if not studio.rulings:
            return False
        item = self.world.chance.choice(sorted(studio.rulings))
        self.world.loop.create_task(studio.rule(item, verdict, over=over))
        return True
