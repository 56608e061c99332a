"""My interests: what the feed makes of a viewer, in a form that a person can read, correct and have forgotten.

Two columns stand side by side. *Learned*: how the viewer received each tag and creator so far, by the same numbers the
score uses, and which videos that came from. *Said*: more, less or never, which outweighs what was learned. Nothing is
shown here that does not steer the feed, and nothing of a viewer steers the feed on LINEAR and below that is not shown
here or in the list of those they follow.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.feed.value import NEUTRAL, TASTE_FADE, TASTE_PRIOR, tastes
from holdfast.core.feed.viewer import History, history
from holdfast.core.profile import UNDO_US, Profile

Array = NDArray[Any]

SHOWN_MAX = 24  # learned tags, and learned creators: beyond these a weight moves no slate
SOURCES_MAX = 3  # videos named for each
DID = {"view": "watched", "like": "liked", "share": "shared", "comment": "commented on", "skip": "skipped",
       "hide": "hid"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """A video that an interest comes from: its catalogue row, what the viewer did, and how much that says (signed)."""

    row: int
    did: str
    says: float


@dataclass(slots=True)
class Interest:
    """A tag or creator by its name in the catalogue. `weight`: −1..1 as learned; `say`: see `entries.Say`."""

    name: str
    weight: float = 0.0
    say: str = "learned"
    follows: bool = False
    sources: list[Source] = field(default_factory=list[Source])


@dataclass(frozen=True, slots=True)
class Picture:
    """What the feed makes of a viewer. Times in µs; `undo_until` is 0 when there is no reset to take back."""

    tags: list[Interest]
    creators: list[Interest]
    acts: int  # how many videos of the past it comes from
    forgotten_before: int
    undo_until: int


def picture(profile: Profile, catalogue: Catalogue, now_us: int) -> Picture:
    """Return a viewer's interests: what was said first, then what was learned, the strongest first."""
    past = history(profile, FeedRequest(), catalogue, now_us)
    speaks = _speaks(past)
    tags = _tags(past, speaks, catalogue)
    creators = _creators(past, speaks, catalogue)
    for creator in profile.followed():
        name = catalogue.creators.all[creator]
        creators.setdefault(name, Interest(name)).follows = True
    for key, say in profile.said().items():
        about, _, name = key.partition(":")
        column = tags if about == "tag" else creators
        column.setdefault(name, Interest(name)).say = say
    before, told_at = profile.forgot[3], profile.forgot[0]
    newest = profile.events[-1].stamp if profile.events else 0
    undo = told_at + UNDO_US if before and profile.aside and newest <= told_at + UNDO_US else 0
    return Picture(_order(tags), _order(creators), int(past.rows.size), before, undo if undo > now_us else 0)


def _speaks(past: History) -> Array:
    """Return float[H]: how much each video of the past speaks for its tags and creator; negative is against."""
    fade = TASTE_FADE ** np.arange(past.rows.size - 1, -1, -1, dtype=np.float64)
    return fade * (past.weights - NEUTRAL)


def _tags(past: History, speaks: Array, c: Catalogue) -> dict[str, Interest]:
    if not past.rows.size:
        return {}
    weight = tastes(past, c)
    rows = c.tag_rows[past.rows]
    numbers = sorted({int(t) for t in rows.ravel().tolist() if t >= 0})
    return {
        c.tags.all[t]: Interest(c.tags.all[t], float(weight[t]), sources=_sources((rows == t).any(1), past, speaks))
        for t in numbers
    }


def _creators(past: History, speaks: Array, c: Catalogue) -> dict[str, Interest]:
    """As tags, by the same formula; the score knows creators by following and by what was said of them only."""
    of: Array = c.creator[past.rows]
    found: dict[str, Interest] = {}
    for creator in sorted({int(n) for n in of.tolist() if n >= 0}):
        mine = of == creator
        weight = float(speaks[mine].sum() / (mine.sum() + TASTE_PRIOR))
        name = c.creators.all[creator]
        found[name] = Interest(name, weight, sources=_sources(mine, past, speaks))
    return found


def _sources(mine: Array, past: History, speaks: Array) -> list[Source]:
    at = np.flatnonzero(mine)
    at = at[np.argsort(-np.abs(speaks[at]), kind="stable")][:SOURCES_MAX]
    strongest = [int(i) for i in at]
    return [Source(int(past.rows[i]), DID.get(past.actions[i], "watched"), float(speaks[i])) for i in strongest]


def _order(found: dict[str, Interest]) -> list[Interest]:
    said = sorted((i for i in found.values() if i.say != "learned"), key=lambda i: (-i.weight, i.name))
    learned = sorted((i for i in found.values() if i.say == "learned"), key=lambda i: (-abs(i.weight), i.name))
    kept = [i for i in learned if i.follows] + [i for i in learned if not i.follows][:SHOWN_MAX]
    return said + sorted(kept, key=lambda i: (-i.weight, i.name))
