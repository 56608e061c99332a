"""`holdfast drill january-2026`: the outage of 25 January 2026, in minutes, on a good baseline and on Holdfast.

Same machine, same people, same fault, one after the other: viewers watch and creators publish; at a busy moment one
data centre loses power, silently; after OUT_S it returns, from what its disks kept, to full queues and cold caches. The
timeline as it was publicly reported is `january-2026.toml`. Three days become OUT_S seconds: what people wait for
(time-outs, retries, failover, recovery) is not compressed, so a row says what the platform does, not what a crew does.
"""

import asyncio
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from holdfast.core.errors import Degraded
from holdfast.drills import january_report
from holdfast.drills.january_app import App
from holdfast.drills.january_baseline import DEFENCES
from holdfast.drills.january_crowd import Books, Creators, Person, alive
from holdfast.drills.january_platforms import Baseline, Holdfast, Platform, clear, size_mb
from holdfast.drills.january_report import Seen
from holdfast.drills.january_symptoms import NEVER_S, Moment, Price, Run, figures, prices, rows
from holdfast.drills.world import World, clips

TIMELINE = Path(__file__).with_name("january-2026.toml")
CLIPS, VIEWERS = 600, 16
WARM_MIN_S, WARM_MAX_S = 20.0, 120.0
PERSONAL_S, PERSONAL_SHARE = 5.0, 0.95  # warm: so many of the pulls of the last seconds were personal
BEFORE_S, OUT_S, AFTER_S = 20.0, 60.0, 40.0
LOAD_S = 10.0  # after power returned, in which the deepest layer's load is looked at
LOOK_S = 0.5
SETTLE_S = 60.0

Say = Callable[[str], None]


def timeline() -> list[Moment]:
    """Read the outage as it was publicly reported."""
    return msgspec.convert(tomllib.loads(TIMELINE.read_text())["moment"], list[Moment])


def run(seed: int, page: Path | None, say: Say) -> dict[str, Any]:
    """Replay on both platforms; → `{passed, seed, symptoms, price, defences, timeline, baseline, holdfast}`.

    `page`: a file to write the report to.
    """
    seen = asyncio.run(_both(seed, say))
    base, hold = (figures(s.books, s.run) for s in seen)
    symptoms, price, moments = rows(base, hold), prices(seen[0].run.price, seen[1].run.price), timeline()
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(january_report.page(seed, seen, symptoms, price, moments))
    return {
        "passed": all(s.holdfast_ok for s in symptoms), "seed": seed, "symptoms": symptoms, "price": price,
        "defences": [list(d) for d in DEFENCES], "timeline": moments, "baseline": base, "holdfast": hold,
    }  # fmt: skip


async def _both(seed: int, say: Say) -> list[Seen]:
    found: list[Seen] = []
    for platform in (Baseline(), Holdfast()):
        folder = Path(tempfile.mkdtemp(prefix="holdfast-drill-"))
        try:
            found.append(await _one(platform, folder, seed, say))
        finally:
            await platform.aclose()
            clear(folder)
    return found


async def _one(platform: Platform, folder: Path, seed: int, say: Say) -> Seen:
    """The whole replay on one platform."""
    say(f"{platform.name}: starts")
    world = World(seed, clips(seed, CLIPS))
    apps = await platform.open(folder, list(world.clips.values()), VIEWERS)
    books = Books()
    people = [Person(app, world.viewer(k), world, books) for k, app in enumerate(apps)]
    async with alive(people, Creators(apps, draw, seed, books)):
        await _warm(books)
        say(f"{platform.name}: all is well, {BEFORE_S:.0f} s of it")
        price, deep_before = await _before(platform, apps, books)
        say(f"{platform.name}: power is lost at one site, for {OUT_S:.0f} s")
        run = await _outage(platform, deep_before, price, say)
        say(f"{platform.name}: power is back; {AFTER_S:.0f} s more")
        await asyncio.sleep(max(0.0, run.back_s + AFTER_S - time.monotonic()))
        run.end_s = time.monotonic()
    run.acknowledged, run.lost = await _settled(platform)
    run.price.storage_mb = await asyncio.to_thread(size_mb, folder)
    return Seen(platform.name, books, run, [at_s for app in apps for at_s, _ in app.acked])


async def _warm(books: Books) -> None:
    """Until feeds are personal. Raises Degraded if they do not become so."""
    begun_s = time.monotonic()
    while True:
        await asyncio.sleep(LOOK_S)
        now_s = time.monotonic()
        lately = books.between(now_s - PERSONAL_S, now_s)
        personal = sum(p.kind == "personal" for p in lately)
        warm = now_s - begun_s > WARM_MIN_S and personal >= max(1, PERSONAL_SHARE * len(lately))
        if warm and any(u.viewed_s > 0 for u in books.uploads.values()):
            return
        if now_s - begun_s > WARM_MAX_S:
            raise Degraded(f"after {WARM_MAX_S:.0f} s feeds are not personal, or no new video has been seen")


async def _before(platform: Platform, apps: list[App], books: Books) -> tuple[Price, float]:
    """Watch it while all is well. → the price (without storage), and the deepest layer's load, a second."""
    begun_s, cpu_s, crossed, deep = time.monotonic(), platform.cpu_s(), platform.crossed(), await platform.deep()
    await asyncio.sleep(BEFORE_S)
    now_s = time.monotonic()
    took_s = now_s - begun_s
    slates = len(books.between(begun_s, now_s))
    waits = sorted(wait for app in apps for at, wait in app.acked if begun_s <= at < now_s) or [NEVER_S]
    price = Price(
        storage_mb=0.0, cross_site_kb_per_s=(platform.crossed() - crossed) / took_s / 1000,
        cpu_ms_per_slate=1000 * (platform.cpu_s() - cpu_s) / max(1, slates),
        ack_ms_p50=1000 * waits[len(waits) // 2], ack_ms_p99=1000 * waits[int(0.99 * len(waits))], sites=platform.sites,
    )  # fmt: skip
    return price, (await platform.deep() - deep) / took_s


async def _outage(platform: Platform, deep_before: float, price: Price, say: Say) -> Run:
    """Cut, watch, give power back, and look at what comes down on the deepest layer."""
    platform.mark()
    await platform.cut()
    cut_s, status_s = time.monotonic(), NEVER_S
    while time.monotonic() - cut_s < OUT_S:
        await asyncio.sleep(LOOK_S)
        if status_s == NEVER_S and await platform.says_why():
            status_s = time.monotonic() - cut_s
    gone = await platform.elsewhere()
    back_s = time.monotonic()
    restoring = asyncio.create_task(_restored(platform))
    highest, last, last_s = 0.0, await platform.deep(), back_s
    while time.monotonic() - back_s < LOAD_S or not restoring.done():
        await asyncio.sleep(2 * LOOK_S)
        now, now_s = await platform.deep(), time.monotonic()
        highest, last, last_s = max(highest, (now - last) / (now_s - last_s)), now, now_s
    say(f"{platform.name}: answers again, {await restoring:.1f} s after its power")
    return Run(cut_s=cut_s, back_s=back_s, end_s=back_s, status_s=status_s, lost=0, acknowledged=0,
               lost_with_disks=gone, deep_before=deep_before, deep_after=highest, price=price)  # fmt: skip


async def _restored(platform: Platform) -> float:
    """Give power back; return how long it took until all of the site answered, s."""
    begun_s = time.monotonic()
    await platform.restore()
    return time.monotonic() - begun_s


async def _settled(platform: Platform) -> tuple[int, int]:
    """(acknowledged, lacking), once nothing is lacking or SETTLE_S have passed."""
    end_s = time.monotonic() + SETTLE_S
    while True:
        total, lacking = await platform.acknowledged()
        if not lacking or time.monotonic() > end_s:
            return total, lacking
        await asyncio.sleep(LOOK_S)


def draw(k: int) -> bytes:
    """A small moving clip, two seconds, each k another one; as a phone might send it."""
    from holdfast.adapters.media_write import write_clip

    y, x = np.mgrid[0:160, 0:96]
    shades = ([x * 2 + 9 * t + 31 * k, y + 5 * t + 17 * k, x + y + 3 * t] for t in range(24))
    frames = (np.stack(shade, -1).astype(np.uint8) for shade in shades)
    return write_clip(frames, np.zeros((2, 0), np.float32), 12)
