"""The demo's own processes: one publishes clips, one is the audience. Each reports as JSON lines on stdout."""

import asyncio
from pathlib import Path

from holdfast.adapters.home import Home
from holdfast.cli import words
from holdfast.cli.people import kept_key
from holdfast.client import Calls

WORLD_SEED = 1  # the same hidden tastes at every start
LOOK_EVERY_S = 1.0
STUDIO, STUDIO_KEY = "studio", "studio.key"  # the team that publishes the first clips, and where its API key lies
THEMES_MIN = 2  # with fewer there is nothing to prefer


def publish(root: Path, clips: Path | None, count: int) -> None:
    """Publish clips through the upload path, those that are not there yet, under names of their own (by API key)."""
    home = Home(root)
    urls = [r.url for r in home.load().regions]
    key = kept_key(home, STUDIO_KEY, STUDIO, ("items",))

    def progress(done: int, total: int) -> None:
        words.as_json({"done": done, "total": total})

    if clips:
        from holdfast.drills import import_clips

        failed = asyncio.run(import_clips.publish(urls, clips, progress, key))
    else:
        from holdfast.drills import clips as drawn

        failed = asyncio.run(drawn.publish(urls, count, progress, key))
    if failed:
        words.as_json({"failed": failed})


def audience(root: Path, viewers: int) -> None:
    """Watch for ever; prints the counters once a second."""
    asyncio.run(_audience(Home(root), viewers))


async def _audience(home: Home, viewers: int) -> None:
    from holdfast.drills.audience import Audience
    from holdfast.drills.world import Clip, World

    async with Calls() as calls:
        themes = await _themes(home, calls)
        world = World(WORLD_SEED, [Clip(f"theme-{theme}", (theme,), 6000) for theme in themes])
        await Audience(home, viewers, world, calls).run(words.as_json)


async def _themes(home: Home, calls: Calls) -> list[str]:
    """What there is to have a taste in: the program's own themes, or else the first tags of what is on offer."""
    from holdfast.core.errors import Degraded
    from holdfast.core.feed.shapes import SLATE_MAX, Slate
    from holdfast.drills.clips import THEMES

    own = list(THEMES)
    while True:
        for region in home.load().regions:
            try:
                slate = await calls.call("POST", f"{region.url}/v1/feed", {"n": SLATE_MAX}, answer=Slate)
            except Degraded:
                continue
            found = {item.tags[0] for item in slate.items if item.tags}
            if len(found & set(own)) >= THEMES_MIN:
                return own
            if len(found) >= THEMES_MIN:
                return sorted(found)
        await asyncio.sleep(LOOK_EVERY_S)
