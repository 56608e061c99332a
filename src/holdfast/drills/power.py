"""`holdfast drill power-cut`: all regions lose power at once, and what was never fsynced is gone. What is missing?

Hypothesis: nothing that was acknowledged *local* is missing: no entry, no byte of an upload, no published clip; no
block is declared lost; every region comes back by itself and verifies what it holds.

The fault: each region's whole data directory lies on a disk that forgets (`fuse`). All processes of all regions are
killed (-9) in one breath, then every disk drops what was never fsynced. There is nobody to fetch from: the regions lose
power together, and the clients send nothing again before the count. A second cut leaves a seeded prefix of the lost
pages behind (torn writes). What a name needs to survive is a mode, see `fuse_disk`: `fsynced` and `eager` are what the
promise is judged by, `strict` is reported.
"""

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from holdfast.adapters import apikeys, system
from holdfast.adapters.aio.tus import Tus
from holdfast.adapters.home import Home
from holdfast.adapters.log import LogClient
from holdfast.client import Place
from holdfast.core.classes import Class
from holdfast.core.errors import Degraded
from holdfast.core.log.ranges import count
from holdfast.core.topology import DEFAULT, resolve
from holdfast.drills import clips
from holdfast.drills.drill_stage import Say
from holdfast.drills.fuse import PowerDisk
from holdfast.drills.fuse_disk import Cut
from holdfast.drills.fuse_wire import cannot_mount
from holdfast.drills.load import Witness, living, put_items
from holdfast.drills.power_books import QuietCalls, UploadBook, clips_missing
from holdfast.drills.verdict import Event, Verdict
from holdfast.region.roles import NAMES
from holdfast.region.supervisor import Supervisor

ITEMS = 1500
CLIPS = 3  # published before each cut
DIE_S = 30.0
SETTLE_S = 180.0  # regions read their logs, fold, carry and verify within this, on a machine that has other work too
OUTBOX_S = 60.0
BUSY_S = 60.0  # a region may be too busy for our questions for so long
LOOK_S = 0.3
JUDGED = ("fsynced", "eager")  # modes by which the promise is judged


T = TypeVar("T")

HYPOTHESIS = (
    "Nothing that was acknowledged local is missing: no entry, no byte of an upload, no published clip; no block is "
    "declared lost; every region comes back by itself."
)
CLIENTS, SECONDS = 12, 6.0  # of the row among all drills


class AfterCut(msgspec.Struct, kw_only=True):
    """What was found after one cut. Everything called missing, lost or damaged is what the promise is about: 0."""

    torn: int | None
    at_s: float = 0.0  # from the first cut
    counted: bool = False  # or else nothing below is known
    acknowledged: int = 0
    missing_entries: int = 0  # acknowledged, and lacking in a region of the jurisdiction
    upload_bytes: int = 0  # acknowledged, of uploads under way
    missing_upload_bytes: int = 0
    clips: int = 0  # published before the cut
    missing_clips: int = 0  # that a region does not serve whole
    blocks_lost: int = 0  # that a region declares lost
    blocks_damaged: int = 0  # that a region still looks for at the end
    serves_again_s: float = 0.0  # the slowest region, from power to its first answer
    verified_s: float = 0.0  # from power until nothing was missing (or SETTLE_S)
    disks: dict[str, Cut] = {}  # what the cut took, by region

    def wrong(self) -> int:
        """How much that was acknowledged is missing, of whatever kind."""
        promised = self.missing_entries + self.missing_upload_bytes + self.missing_clips
        return promised + self.blocks_lost + self.blocks_damaged + (not self.counted)


class OneMode(msgspec.Struct, kw_only=True):
    """One mode's figures."""

    names: str
    clients: int
    entries_per_s: float
    cuts: list[AfterCut]
    outboxes_left: int  # entries that clients with a peer still keep OUTBOX_S after the last cut
    passed: bool


class Stage:
    """A platform on disks that forget, its crowd, and the books kept of what it said."""

    def __init__(self, s: Supervisor, disks: dict[str, PowerDisk], calls: QuietCalls, tus: Tus, clients: int) -> None:
        self.s, self.disks, self.calls = s, disks, calls
        self.places = [Place(r.name, r.jurisdiction, r.url) for r in s.top.regions]
        self.urls = [p.url for p in self.places]
        each = -(-clients // len(self.places))
        self.crowd = [Witness(self.places, p.jurisdiction, p.name, calls) for p in self.places for _ in range(each)]
        self.uploads = UploadBook(self.urls, tus)
        self.published: list[str] = []

    @property
    def acknowledged(self) -> int:
        """Entries that any client was told are kept."""
        return sum(len(w.record.acknowledged) for w in self.crowd)

    async def publish(self, n: int, key: str) -> None:
        """Draw and publish clips until there are `n`. Raises Degraded if one was not taken."""
        failed = await clips.publish(self.urls, n, lambda done, total: None, key)
        if failed:
            raise Degraded(f"a clip was not published: {failed}")
        fresh = not self.published
        self.published = [clips.clip(k).item for k in range(n)]
        end_s = time.monotonic() + SETTLE_S
        while fresh and await clips_missing(self.urls, self.published):  # once, so that the count itself is proven
            if time.monotonic() > end_s:
                raise Degraded(f"after {SETTLE_S:.0f} s not every region serves the clips")
            await asyncio.sleep(LOOK_S)

    async def cut_under_load(self, seconds: float, torn: int | None) -> dict[str, Cut]:
        """After `seconds` of uploads and crowd, cut the power under them; from then on nobody sends entries."""
        async with self.uploads.sending():
            await asyncio.sleep(seconds)
            self.calls.quiet = True
            return await cut_power(self.s, self.disks, torn)

    async def count(self, cut: AfterCut, begun_s: float) -> None:
        """Look again and again, until nothing is missing or SETTLE_S have passed; write down what was seen last."""
        while True:
            cut.missing_entries = sum([await patiently(lambda w=w: self._missing(w)) for w in self.crowd])
            cut.missing_upload_bytes = await patiently(self.uploads.missing)
            cut.missing_clips = await clips_missing(self.urls, self.published)
            cut.blocks_lost, cut.blocks_damaged = await patiently(self._damage)
            cut.counted, cut.verified_s = True, time.monotonic() - begun_s
            if not cut.wrong() or cut.verified_s > SETTLE_S:
                return
            await asyncio.sleep(LOOK_S)

    async def _missing(self, w: Witness) -> int:
        permitted = [p.name for p in self.places if p.jurisdiction == w.client.router.jurisdiction]
        return max([await w.missing(region, w.record.acknowledged) for region in permitted])

    async def _damage(self) -> tuple[int, int]:
        """Blocks declared lost, and blocks still looked for, over all regions."""
        lost = damaged = 0
        for region in self.disks:
            log = await LogClient.open(self.s.home, region, role="drill")
            try:
                heads = [h for cls in Class for hs in (await log.heads(cls)).chains.values() for h in hs]
            finally:
                await log.close()
            lost += sum(count(h.lost) for h in heads)
            damaged += sum(count(h.missing) for h in heads)
        return lost, damaged

    async def let_go(self) -> int:
        """Let clients send again; how much those with a peer still keep in the end of what they had said until now."""
        self.calls.quiet = False
        paired = [(w, set(w.client.outbox.kept)) for w in self.crowd if len(w.client.router.permitted()) > 1]
        end_s = time.monotonic() + OUTBOX_S
        while True:
            left = sum(len(said & set(w.client.outbox.kept)) for w, said in paired)
            if not left or time.monotonic() > end_s:
                return left
            await asyncio.sleep(LOOK_S)


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while a region is busy or not yet there: it serves people first. Raises Degraded after BUSY_S."""
    end_s = time.monotonic() + BUSY_S
    while True:
        try:
            return await ask()
        except (Degraded, TimeoutError) as e:
            if time.monotonic() > end_s:
                raise Degraded(f"after {BUSY_S:.0f} s: {e}") from e
            await asyncio.sleep(LOOK_S)


async def cut_power(s: Supervisor, disks: dict[str, PowerDisk], torn: int | None = None) -> dict[str, Cut]:
    """Kill every process of the regions that have `disks`, in one breath, then drop what they never fsynced.

    Afterwards: `await s.restore(region)` for each. Raises Degraded if a killed process does not go.
    """
    for region in disks:
        for pid in s.pids(region).values():
            if pid:
                system.signal_group(pid, signal.SIGKILL)
    for region in disks:
        s.cut(region, "refuse")
    end_s = time.monotonic() + DIE_S
    while any(pid for region in disks for pid in s.pids(region).values()):
        if time.monotonic() > end_s:
            raise Degraded(f"a killed process is still there after {DIE_S:.0f} s")
        await asyncio.sleep(0.02)
    cuts = await asyncio.gather(*(disk.cut(torn) for disk in disks.values()))
    return dict(zip(disks, cuts, strict=True))


def run(modes: Sequence[str], clients: int, seconds: float, seed: int, say: Say) -> dict[str, Any]:
    """Cut twice in each of `modes` (`fsynced`, `eager`, `strict`), after `seconds` of load each. → figures by mode.

    Where no such disk can be mounted: `{passed: True, skipped: why}`.
    """
    if why := cannot_mount():
        say(f"the power-cut drill cannot run here: {why}")
        return {"passed": True, "skipped": why}
    verdicts = {mode: asyncio.run(_one(mode, clients, seconds, seed, say)) for mode in modes}
    return {"passed": all(v.passed for m, v in verdicts.items() if m in JUDGED), **verdicts}


async def verdict(seed: int, say: Say) -> Verdict:
    """The row among all drills: mode `fsynced`, both cuts."""
    begun_s = time.monotonic()
    out = Verdict(name="power-cut", hypothesis=HYPOTHESIS, passed=False, seed=seed)
    if why := cannot_mount():
        out.ran, out.why_not = False, why
        return out
    found = await _one("fsynced", CLIENTS, SECONDS, seed, say)
    out.broken = [_told(cut) for cut in found.cuts if cut.wrong()]
    if found.outboxes_left:
        out.broken.append(f"{found.outboxes_left} entries never left their outboxes")
    out.passed, out.seconds = found.passed, round(time.monotonic() - begun_s, 1)
    last = found.cuts[-1]
    out.timeline = [event for cut in found.cuts for event in _events(cut)]
    out.more = {
        "cuts": len(found.cuts), "acknowledged": last.acknowledged, "serves again, s": round(last.serves_again_s, 1),
        "missing": sum(cut.wrong() for cut in found.cuts),
        "never fsynced, kB": round(sum(c.lost_bytes for cut in found.cuts for c in cut.disks.values()) / 1e3),
    }  # fmt: skip
    return out


async def _one(mode: str, clients: int, seconds: float, seed: int, say: Say) -> OneMode:
    root = Path(tempfile.mkdtemp(prefix="holdfast-drill-"))
    home, top = Home(root), resolve(DEFAULT, system.free_base(DEFAULT.host, 60))
    try:
        async with AsyncExitStack() as stack:
            disks = {r.name: await stack.enter_async_context(PowerDisk(home.region(r.name), mode)) for r in top.regions}
            s = await stack.enter_async_context(Supervisor(home, top, roles=NAMES))
            calls = QuietCalls()
            stack.push_async_callback(calls.aclose)
            say(f"{mode}: three regions start, {top.rtt_ms:.0f} ms apart, on disks that forget")
            await s.start()
            key = apikeys.make(home, "drill", ("items",))
            await asyncio.sleep(apikeys.RELOAD_S + 0.1)
            tus = await stack.enter_async_context(Tus(key))
            return await _drill(Stage(s, disks, calls, tus, clients), key, seconds, seed, say)
    finally:
        shutil.rmtree(root, ignore_errors=True)


async def _drill(stage: Stage, key: str, seconds: float, seed: int, say: Say) -> OneMode:
    mode = next(iter(stage.disks.values())).names
    await put_items(stage.places, stage.places[0].jurisdiction, key, ITEMS, stage.calls)
    cuts: list[AfterCut] = []
    rate, left, first_s = 0.0, 0, 0.0
    async with AsyncExitStack() as stack:
        for witness in stage.crowd:
            await stack.enter_async_context(witness.client)
        await stack.enter_async_context(living(stage.crowd))
        for k, torn in enumerate((None, seed), 1):
            say(f"{mode}: clips are published, then {seconds:.0f} s of uploads")
            await stage.publish(CLIPS * k, key)
            before = stage.acknowledged
            took = await stage.cut_under_load(seconds, torn)
            first_s = first_s or time.monotonic()
            at_s = time.monotonic() - first_s
            rate = (stage.acknowledged - before) / seconds
            cuts.append(await _judge(stage, AfterCut(torn=torn, at_s=at_s, disks=took)))
            say(f"{mode}: power cut {k}, {rate:.0f} entries/s: {_told(cuts[-1])}")
            left += await stage.let_go()
    return OneMode(names=mode, clients=len(stage.crowd), entries_per_s=rate, cuts=cuts, outboxes_left=left,
                   passed=not left and not any(c.wrong() for c in cuts))  # fmt: skip


async def _judge(stage: Stage, cut: AfterCut) -> AfterCut:
    """Give power back, and count what is missing."""
    cut.acknowledged, cut.clips = stage.acknowledged, len(stage.published)
    cut.upload_bytes = sum(stage.uploads.reached.values())
    begun_s = time.monotonic()
    await asyncio.gather(*(stage.s.restore(region) for region in stage.disks))
    await stage.s.ready()
    cut.serves_again_s = time.monotonic() - begun_s
    await stage.count(cut, begun_s)
    return cut


def _events(cut: AfterCut) -> list[Event]:
    gone, pages = (sum(c.lost_bytes for c in cut.disks.values()), sum(c.torn_pages for c in cut.disks.values()))
    torn = f"; {pages} torn pages are left behind" if cut.torn is not None else ""
    lines = [
        (0.0, f"all regions lose power; {gone / 1e3:.0f} kB were never fsynced{torn}", "coral"),
        (cut.serves_again_s, "every region answers again", "kelp"),
        (cut.verified_s, _told(cut), "coral" if cut.wrong() else "kelp"),
    ]
    return [Event(round(cut.at_s + at_s, 1), text, level) for at_s, text, level in lines]


def _told(cut: AfterCut) -> str:
    gone = sum(c.lost_bytes for c in cut.disks.values())
    promised = f"{cut.missing_entries} entries, {cut.missing_upload_bytes} bytes of uploads, {cut.missing_clips} clips"
    return (
        f"{gone / 1e3:.0f} kB were never fsynced; after {cut.verified_s:.0f} s, of {cut.acknowledged} entries "
        f"acknowledged, missing: {promised}; {cut.blocks_lost} blocks lost, {cut.blocks_damaged} damaged"
    )
