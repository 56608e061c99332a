"""A town for `bench serve`: videos with themes, viewers with tastes, and what they ask; the same for the same sizes.

Each video has a theme, a side tag and a creator. Within a theme some videos are far more watched than others (Zipf).
A viewer loves two themes, and four fifths of what they watch is of these: so there is something to learn, and what is
retrieved by a trained vector differs from what is popular.
"""

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

THEMES = 200
SIDE_TAGS = 1000
PER_CREATOR = 20
LOVED = 2
LOVED_SHARE = 0.8
ZIPF = 1.1
PAST = 50  # events a viewer has told, and carries as context
SEEN = 200  # ids in a request's seen list, those of the context among them
DURATION_MS = 15_000


class Town:
    """`videos` and `viewers`: how many of each."""

    def __init__(self, videos: int, viewers: int) -> None:
        self.videos, self.viewers = videos, viewers
        dice = np.random.default_rng(0)
        self.themes = min(THEMES, max(1, videos // 20))
        self._loved = dice.integers(0, self.themes, (viewers, LOVED))
        per = -(-videos // self.themes)
        weights = 1.0 / np.arange(1, per + 1) ** ZIPF
        self._rank = np.cumsum(weights / weights.sum())

    def items(self, first: int, last: int) -> list[dict[str, Any]]:
        """Return videos first..last−1 as the items API wants them."""
        return [
            {"item": f"clip-{k:07d}", "creator": f"maker-{k // PER_CREATOR}", "caption": f"clip {k}",
             "tags": [f"theme-{k % self.themes}", f"side-{k * 7919 % SIDE_TAGS}"], "duration_ms": DURATION_MS}
            for k in range(first, last)
        ]  # fmt: skip

    def watch(self, viewer: int, dice: random.Random) -> dict[str, Any]:
        """Return one thing the viewer does."""
        loves = dice.random() < LOVED_SHARE
        theme = int(self._loved[viewer, dice.randrange(LOVED)]) if loves else dice.randrange(self.themes)
        rank = int(np.searchsorted(self._rank, dice.random()))
        clip = min(theme + rank * self.themes, self.videos - 1)
        dwell = DURATION_MS if loves == (dice.random() < 0.85) else dice.randrange(1000, 6000)
        return {"item": f"clip-{clip:07d}", "action": "view", "dwell_ms": dwell, "duration_ms": DURATION_MS}

    def dwell(self, viewer: int, item: str, dice: random.Random) -> int:
        """Return how long the viewer stays with a video, ms: four in five of what they love is watched to the end."""
        loved = int(item.rpartition("-")[2]) % self.themes in self._loved[viewer]
        return DURATION_MS if dice.random() < (0.8 if loved else 0.15) else dice.randrange(500, 6000)

    def past(self, viewer: int) -> list[dict[str, Any]]:
        """Return the PAST things the viewer did last, oldest first."""
        dice = random.Random(viewer)
        return [self.watch(viewer, dice) for _ in range(PAST)]

    def asks(self, viewer: int, n: int, name: str) -> bytes:
        """Return the body of this viewer's feed request."""
        dice, past = random.Random(-viewer - 1), self.past(viewer)
        context = [{**act, "age_s": float(PAST - k)} for k, act in enumerate(past)]
        seen = [act["item"] for act in past]
        seen += [f"clip-{dice.randrange(self.videos):07d}" for _ in range(SEEN - len(seen))]
        body = {"n": n, "request": name, "viewer": f"v{viewer}", "context": context, "seen": seen}
        return msgspec.json.encode(body)

    def requests(self, count: int, n: int, name: str) -> Iterator[bytes]:
        """Yield `count` requests, each of another viewer until all have asked."""
        made: dict[int, bytes] = {}
        for k in range(count):
            viewer = k % self.viewers
            if viewer not in made:
                made[viewer] = self.asks(viewer, n, name)
            yield made[viewer].replace(f'"request":"{name}"'.encode(), f'"request":"{name}-{k}"'.encode(), 1)
