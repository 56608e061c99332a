"""The crowd of the January drill: viewers with tastes and creators with videos, the same on either platform.

They keep books of what people see, from outside: every pull and what came of it, every video from the press of the
button to its first view, every like and what was shown beside the video. The world is a hash of the seed
(`drills.world`), so both platforms have the same people, who do the same when shown the same.
"""

import asyncio
import random
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from holdfast.drills.january_app import App, Look
from holdfast.drills.world import Clip, Viewer, World

WATCH_S = 0.4  # a video takes this long to watch: three days pass in minutes here
FROZEN_WAIT_S = 1.0  # a viewer with nothing to watch pulls again
UPLOAD_EVERY_S = 4.0
COUNT_GRACE_S = 5.0  # a count may be this far behind without being called wrong


@dataclass(slots=True)
class Pull:
    """One pull of one viewer: how long it took, what came, and how much of it was seen before without being said."""

    at_s: float
    took_s: float
    kind: str
    fresh: bool
    said: str
    videos: int
    repeats: int
    counts_wrong: int  # videos shown with fewer likes than people had given COUNT_GRACE_S before


@dataclass(slots=True)
class Upload:
    """One video, from the press of the button. Times: monotonic s, −1 if it did not come to that."""

    item: str
    pressed_s: float
    done_s: float = -1.0
    viewed_s: float = -1.0


@dataclass
class Books:
    """What the crowd saw."""

    pulls: list[Pull] = field(default_factory=list[Pull])
    uploads: dict[str, Upload] = field(default_factory=dict[str, Upload])
    views: int = 0
    likes: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list[float]))  # video -> when, s

    def between(self, first_s: float, last_s: float) -> list[Pull]:
        """Pulls that ended in a span."""
        return [p for p in self.pulls if first_s <= p.at_s < last_s]


class Person:
    """A viewer: pulls, watches all of it, likes what they like, pulls again."""

    def __init__(self, app: App, taste: Viewer, world: World, books: Books) -> None:
        self.app, self.books = app, books
        self._taste, self._world = taste, world
        self._watched: set[str] = set()

    async def live(self) -> None:
        """Until cancelled."""
        await asyncio.sleep(random.random() * 3)
        while True:
            begun_s = time.monotonic()
            look = await self.app.slate()
            look.at_s = time.monotonic()
            look.took_s = look.at_s - begun_s
            self._note(look)
            if not look.shown:
                await asyncio.sleep(FROZEN_WAIT_S)
            for shown in look.shown:
                await asyncio.sleep(WATCH_S)
                did = self._world.watch(self._taste, shown.clip)
                self._watched.add(shown.clip.item)
                self.books.views += 1
                upload = self.books.uploads.get(shown.clip.item)
                if upload and upload.viewed_s < 0:
                    upload.viewed_s = time.monotonic()
                self.app.view(shown, did.dwell_ms)
                if did.like:
                    self.app.like(shown)
                    self.books.likes[shown.clip.item].append(time.monotonic())

    def _note(self, look: Look) -> None:
        repeats = 0 if look.rewatch else sum(s.clip.item in self._watched for s in look.shown)
        grace_s = look.at_s - COUNT_GRACE_S
        wrong = sum(s.likes < bisect_right(self.books.likes.get(s.clip.item, ()), grace_s) for s in look.shown)
        self.books.pulls.append(
            Pull(look.at_s, look.took_s, look.kind, look.fresh, look.said, len(look.shown), repeats, wrong)
        )


class Creators:
    """Somebody presses *publish* every UPLOAD_EVERY_S, on one app after the other."""

    def __init__(self, apps: Sequence[App], draw: Callable[[int], bytes], seed: int, books: Books) -> None:
        self._apps, self._draw, self._seed, self._books = apps, draw, seed, books
        self._tasks: set[asyncio.Task[None]] = set()

    async def live(self) -> None:
        """Until cancelled."""
        k = 0
        try:
            while True:
                task = asyncio.create_task(self._one(k))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                k += 1
                await asyncio.sleep(UPLOAD_EVERY_S)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _one(self, k: int) -> None:
        item = f"new-{self._seed}-{k}"
        clip = Clip(item, (f"theme-{k % 12}", "new"), 2000, f"creator-{k % 7}")
        upload = self._books.uploads[item] = Upload(item, time.monotonic())
        if await self._apps[k % len(self._apps)].publish(clip, self._draw(k)):
            upload.done_s = time.monotonic()


@asynccontextmanager
async def alive(people: Sequence[Person], creators: Creators) -> AsyncIterator[None]:
    """Everybody lives for the length of the block."""
    tasks = [asyncio.create_task(p.live()) for p in people] + [asyncio.create_task(creators.live())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
