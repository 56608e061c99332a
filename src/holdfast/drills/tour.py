"""The tour, filmed: like three of a theme, cut the region one is on, cut them all and keep swiping, give power back.

It drives the real page on a running installation (`holdfast up`) and writes the animation at the top of the README.
What is seen is what happened: nothing is staged, sped up or cut out.
"""

import asyncio
import random
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from holdfast.adapters.browser import Film, open_page
from holdfast.adapters.media_anim import write_webp
from holdfast.core.errors import Refused

CLIPS, AUDIENCE = 60, 60  # enough for the model to learn from, few enough to draw in a minute or two
OPEN_S = 300.0
LEARN_S = 45.0  # the audience watches, the rest of the clips arrive, a model is released
STOP_S = 20.0
WIDE, HIGH = 1440, 900
SHOWN_WIDE = 960  # px in the README; two thirds of the page, text still legible
SWIPES_MAX = 24
ALIKE = 3
TAG = "holdfast.feed.current?.tags?.[0] ?? ''"


@dataclass(frozen=True, slots=True)
class Recording:
    """What was filmed. `learned`, `survived`, `alone`, `healed`: whether each step of the tour was reached."""

    frames: int
    seconds: float
    size: int
    learned: bool
    survived: bool
    alone: bool
    healed: bool


def record(base_url: str, out: Path, stills: Path | None = None) -> Recording:
    """Walk the tour at the control room `base_url`, write an animated WebP to `out` (and stills into a folder).

    Raises Refused if there is no browser, or the page does not play.
    """
    with open_page(base_url, WIDE, HIGH) as film:
        if not film.until("document.querySelector('[data-test=current] video')?.currentTime > 0.5", 30):
            raise Refused("the page does not play", field="base_url", hint="is `holdfast up` running there?")
        film.frames.clear()
        film.hold(1.5)
        learned = _like(film)
        if stills:
            film.still(stills / "room.png")
        survived = _cut_one(film)
        if stills:
            film.still(stills / "cut.png")
        alone = _cut_all(film)
        if stills:
            film.still(stills / "device.png")
        healed = _restore(film)
        frames = film.frames
    write_webp(frames, out, SHOWN_WIDE)
    size = out.stat().st_size
    return Recording(len(frames), round(frames[-1][0], 1), size, learned, survived, alone, healed)


def _like(film: Film) -> bool:
    theme, liked = film.page.evaluate(TAG), 0
    for _ in range(SWIPES_MAX):
        if film.page.evaluate(TAG) == theme:
            film.page.keyboard.press("l")
            liked += 1
            film.hold(1.2)
        if liked == ALIKE:
            break
        film.page.keyboard.press("ArrowDown")
        film.hold(0.7)
    return film.until("document.querySelector('[data-test=tour]').dataset.step === '1'", 3)


def _cut_one(film: Film) -> bool:
    home = film.page.evaluate("holdfast.here")
    film.page.click(f"[data-test=power-{home}]")
    moved = film.until(f"holdfast.here && holdfast.here !== '{home}'", 6)
    film.hold(2.5)
    film.page.keyboard.press("ArrowDown")
    film.hold(1.5)
    return moved


def _cut_all(film: Film) -> bool:
    film.page.click("[data-test=tour-cut-all]")
    alone = film.until("holdfast.feed.slate.via === 'device'", 8)
    for _ in range(4):
        film.page.keyboard.press("ArrowDown")
        film.hold(1.1)
    return alone


def _restore(film: Film) -> bool:
    film.page.click("[data-test=tour-restore]")
    healed = film.until("holdfast.feed.slate.via === 'own' && holdfast.waiting.waiting === 0", 40)
    film.hold(2.0)
    return healed


def main(out: Path) -> Recording:
    """Start three regions in a temporary directory, film the tour to `out`, stop them. Raises Refused if it cannot."""
    return asyncio.run(_stage(out))


async def _stage(out: Path) -> Recording:
    folder = Path(tempfile.mkdtemp(prefix="holdfast-tour-"))
    port = random.randrange(21000, 29000, 60)
    where = ["--dir", str(folder / "data"), "--port", str(port)]
    size = ["--clips-count", str(CLIPS), "--audience", str(AUDIENCE)]
    argv = [sys.executable, "-m", "holdfast.cli.main", "up", "--json", *where, *size]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(OPEN_S):
            if not await process.stdout.readline():  # one JSON object once the feed is open
                raise Refused("the regions did not start", field="up", hint="holdfast up")
        await asyncio.sleep(LEARN_S)
        return await asyncio.to_thread(record, f"http://127.0.0.1:{port}", out)
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)
