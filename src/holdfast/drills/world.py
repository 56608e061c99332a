"""A world of synthetic viewers with hidden tastes: deterministic, given a seed, and known to no one but itself.

Each viewer loves a few themes, minds a few and is lukewarm about the rest; each clip has a quality of its own. Whether
a showing is watched long is a draw, and the draw is a hash of (seed, viewer, clip): the same viewer shown the same
clip does the same in every run and at every region. So two feeds can be compared on one audience, and what the best
possible feed would reach is known.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

LOVED = 2  # themes per viewer
LIKED = 2
MINDED = 2
P_LONG = {"loved": 0.75, "liked": 0.45, "neutral": 0.2, "minded": 0.06}
QUALITY_SPREAD = 0.15  # a clip's own quality moves its chance by at most this, either way
P_LIKE = {"loved": 0.35, "liked": 0.1, "neutral": 0.03, "minded": 0.0}  # given a long view
P_HIDE = {"loved": 0.0, "liked": 0.0, "neutral": 0.005, "minded": 0.06}  # given a short one


@dataclass(frozen=True, slots=True)
class Clip:
    """What the world knows of an item: its theme is the first tag. Duration in milliseconds."""

    item: str
    tags: tuple[str, ...]
    duration_ms: int
    creator: str = ""

    @property
    def theme(self) -> str:
        return self.tags[0] if self.tags else ""


@dataclass(frozen=True, slots=True)
class Viewer:
    """A viewer and what they secretly think of each theme: loved, liked, neutral or minded."""

    name: str
    moods: dict[str, str]

    def loves(self) -> list[str]:
        """Return the loved themes."""
        return [theme for theme, mood in self.moods.items() if mood == "loved"]


@dataclass(frozen=True, slots=True)
class Watch:
    """What a viewer did with a clip."""

    dwell_ms: int
    long: bool
    like: bool
    hide: bool


class World:
    """An audience for a set of clips. New clips may be watched too: only their tags matter."""

    def __init__(self, seed: int, items: Sequence[Clip]) -> None:
        self.seed = seed
        self.clips = {clip.item: clip for clip in items}
        self.themes = sorted({clip.theme for clip in items})

    def chance(self, *parts: object) -> float:
        """Return a number in [0, 1): a hash of the seed and `parts`."""
        text = "\x1f".join(map(str, (self.seed, *parts)))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64

    def viewer(self, k: int) -> Viewer:
        """Return viewer number k."""
        ranked = sorted(self.themes, key=lambda theme: self.chance("mood", k, theme))
        moods = dict.fromkeys(ranked, "neutral")
        for mood, themes in (
            ("loved", ranked[:LOVED]),
            ("liked", ranked[LOVED : LOVED + LIKED]),
            ("minded", ranked[max(LOVED + LIKED, len(ranked) - MINDED) :]),
        ):
            moods.update(dict.fromkeys(themes, mood))
        return Viewer(f"viewer-{k}", moods)

    def p_long(self, viewer: Viewer, clip: Clip) -> float:
        """Return how likely this viewer watches this clip long."""
        quality = (2 * self.chance("quality", clip.item) - 1) * QUALITY_SPREAD
        return min(0.98, max(0.02, P_LONG[viewer.moods.get(clip.theme, "neutral")] + quality))

    def watch(self, viewer: Viewer, item: str | Clip) -> Watch:
        """Show a clip; return what the viewer does. An unknown item id is neutral and lasts six seconds."""
        clip = item if isinstance(item, Clip) else self.clips.get(item, Clip(item, (), 6000))
        mood = viewer.moods.get(clip.theme, "neutral")
        long = self.chance("long", viewer.name, clip.item) < self.p_long(viewer, clip)
        depth = self.chance("depth", viewer.name, clip.item)
        share = 0.95 + 0.1 * depth if long else 0.05 + 0.6 * depth
        like = long and self.chance("like", viewer.name, clip.item) < P_LIKE[mood]
        hide = not long and self.chance("hide", viewer.name, clip.item) < P_HIDE[mood]
        return Watch(int(share * clip.duration_ms), long, like, hide)


def clips(seed: int, n: int = 240, themes: int = 12) -> list[Clip]:
    """Return n clips like those the program draws: themes in turn, a second tag, a few creators per theme."""
    made: list[Clip] = []
    for k in range(n):
        theme = k % themes
        turn = k // themes
        tags = (f"theme-{theme}", f"shade-{(theme * 5 + turn) % 9}")
        made.append(Clip(f"s{seed}-clip-{k}", tags, 5000 + (k * 37) % 3000, f"s{seed}-creator-{theme}-{turn % 3}"))
    return made
