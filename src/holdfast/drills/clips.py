"""The clips a fresh installation shows: drawn by the program, so that there is something to watch in any language.

Twelve themes, each a function that draws and one that composes. Clip number k is always the same clip: theme, palette,
motif, words and sound follow from k alone. Themes come in rounds of twelve, shuffled, so that the first dozen shows
each once and the first 24 twice.

    clip(k) ─► ClipSpec ─► draw ─► MP4 bytes ─► the upload path, as anybody's (`publishing`)

Drawing takes about a second of processor time; it runs in processes of its own, politely.
"""

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import msgspec
import numpy as np

from holdfast.adapters.media_write import write_clip
from holdfast.drills import clip_themes_hand as hand
from holdfast.drills import clip_themes_sea as sea
from holdfast.drills import clip_themes_sky as sky
from holdfast.drills import clip_themes_town as town
from holdfast.drills.clip_canvas import RATE
from holdfast.drills.clip_music import tune
from holdfast.drills.clip_words import WORDS
from holdfast.drills.publishing import Job, Progress, publish_all

Draw = Callable[[np.random.Generator, int, int], Iterator[np.ndarray]]
DRAWN_BY: dict[str, Draw] = {
    "tides": sea.tides, "fireworks": sky.fireworks, "city lights": town.city_lights, "kelp": sea.kelp,
    "planets": sky.planets, "rain": sky.rain, "dominoes": hand.dominoes, "origami": hand.origami, "trains": town.trains,
    "flowers": hand.flowers, "labyrinths": town.labyrinths, "jellyfish": sea.jellyfish,
}  # fmt: skip
THEMES = tuple(DRAWN_BY)
SEED = 20260125  # the day the lights went out; any number would do
FRAMES_MIN, FRAMES_MAX = 5 * RATE, 7 * RATE  # 5 to 7 s
PAINTERS = 2  # drawing processes: as many as the smallest machine has cores


class ClipSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a clip but its pixels. `variant` counts within the theme; `frames` at RATE a second."""

    item: str
    creator: str
    caption: str
    tags: list[str]
    theme: str
    variant: int
    frames: int
    seed: int


def clip(k: int) -> ClipSpec:
    """Return the clip with number k (from 0)."""
    variant, place = divmod(k, len(THEMES))
    order = np.random.default_rng([SEED, variant]).permutation(len(THEMES))
    theme = THEMES[int(order[place])]
    words = WORDS[theme]
    extra = dict.fromkeys((words.tags[variant % 3], words.tags[variant // 3 % 3]))
    return ClipSpec(
        item=f"{theme.replace(' ', '-')}-{variant:03d}", creator=words.creators[variant * 2 % 3 if variant else 0],
        caption=words.captions[variant % len(words.captions)], tags=[theme, *extra], theme=theme, variant=variant,
        frames=FRAMES_MIN + k * 37 % (FRAMES_MAX - FRAMES_MIN + 1), seed=SEED + k,
    )


def draw(spec: ClipSpec) -> bytes:
    """Draw and compose a clip: MP4, 360×640, H.264 and AAC."""
    rng = np.random.default_rng([spec.seed, spec.variant])
    sound = tune(spec.theme, rng, spec.variant, spec.frames / RATE)
    return write_clip(DRAWN_BY[spec.theme](rng, spec.variant, spec.frames), sound, RATE)


async def publish(urls: Sequence[str], n: int, progress: Progress, key: str) -> dict[str, str]:
    """Draw and publish clips 0…n-1 that are not there yet; `key`: API key with scope `items`. As `publish_all`."""
    loop = asyncio.get_running_loop()
    context = multiprocessing.get_context("spawn")  # a fork would take our connections along
    with ProcessPoolExecutor(PAINTERS, mp_context=context, initializer=os.nice, initargs=(5,)) as painters:
        specs = [clip(k) for k in range(n)]
        jobs = [
            Job(item=s.item, creator=s.creator, caption=s.caption, tags=s.tags,
                make=lambda s=s: loop.run_in_executor(painters, draw, s))
            for s in specs
        ]
        return await publish_all(urls, jobs, progress, key)
