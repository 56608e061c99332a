"""What the viewer said, in so many words: more of this, less of that, never the other.

It is not inferred and needs no model, so it holds on every rung that knows the viewer, from the next slate on:

    never    a filter: no slate of this viewer holds it, whatever else is left
    more     a source of its own, and +1 in the part `told` of the score
    less     −1 in the part `told`; it still comes where nothing else is as good

A video's `told` is the sum over its tags and its creator, within −1..1.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.profile import Profile

if TYPE_CHECKING:
    from holdfast.core.feed.viewer import Viewer
    from holdfast.core.feed.world import World

Array = NDArray[Any]
LEVEL = {"more": 1.0, "less": -1.0}
_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was said, by catalogue number: levels of more and less, and what is never to be shown."""

    tags: dict[int, float]
    creators: dict[int, float]
    never_tags: list[int]
    never_creators: list[int]

    def bans(self) -> "Wishes | None":
        """Return the `never` alone, None if there is none: for a feed that uses nothing else of a viewer."""
        if not self.never_tags and not self.never_creators:
            return None
        return Wishes({}, {}, self.never_tags, self.never_creators)


def read(profile: Profile, catalogue: Catalogue) -> Wishes | None:
    """Return what a viewer said of what this catalogue knows; None if nothing."""
    if not profile.told:
        return None
    found = Wishes({}, {}, [], [])
    for key, say in profile.said().items():
        about, _, name = key.partition(":")
        known = catalogue.tags if about == "tag" else catalogue.creators
        number = known.of.get(name, -1)
        if number < 0:
            continue
        if say == "never":
            (found.never_tags if about == "tag" else found.never_creators).append(number)
        else:
            (found.tags if about == "tag" else found.creators)[number] = LEVEL[say]
    said = found.tags or found.creators or found.never_tags or found.never_creators
    return found if said else None


def never(viewer: "Viewer", world: "World") -> Array:
    """The filter `never`: int64 rows the viewer asked never to see."""
    wishes, c = viewer.wishes, world.catalogue
    if wishes is None or wishes.bans() is None:
        return _NONE
    found = [c.made_by(wishes.never_creators), *(c.having(tag) for tag in wishes.never_tags)]
    return np.unique(np.concatenate(found))


def told(rows: Array, wishes: Wishes, catalogue: Catalogue) -> Array:
    """Return float32[K] in −1..1: what the viewer said of each row's tags and creator."""
    level = np.zeros(rows.size, np.float32)
    tags, creators = catalogue.tag_rows[rows], catalogue.creator[rows]
    for tag, weight in wishes.tags.items():
        level += np.float32(weight) * (tags == tag).any(1)
    for creator, weight in wishes.creators.items():
        level += np.float32(weight) * (creators == creator)
    return np.clip(level, -1.0, 1.0)


def wanted(wishes: Wishes, catalogue: Catalogue) -> Array:
    """Return int64 rows that the viewer wants more of, each once."""
    tags = [tag for tag, level in wishes.tags.items() if level > 0]
    creators = [creator for creator, level in wishes.creators.items() if level > 0]
    if not tags and not creators:
        return _NONE
    return np.unique(np.concatenate([catalogue.made_by(creators), *(catalogue.having(tag) for tag in tags)]))
