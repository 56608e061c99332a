"""The feeds a viewer can ask for: one table. Each says in the slate what it is, and what of the viewer it uses.

    for_you     everything: what you watched, liked, follow and said
    following   only videos of those you follow, newest first
    topic       only videos with one tag, in the order of For You
    plain       without profiling: what people here like now

A kind narrows what may be offered and caps the rung; the ladder, the filters and the guard are the same for all. So
each kind holds as long as some rung can carry it, in every region of the jurisdiction. One that has nothing at all to
offer gives For You in its place, and the slate says so: an empty screen helps nobody.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed import wishes
from holdfast.core.feed.ladder import Rung
from holdfast.core.profile import Profile
from holdfast.core.rulings import STRICTNESS
from holdfast.core.tenants import tag_in

if TYPE_CHECKING:
    from holdfast.core.feed.shapes import FeedRequest
    from holdfast.core.feed.viewer import Viewer
    from holdfast.core.feed.world import World

Array = NDArray[Any]
KindName = Literal["for_you", "following", "topic", "plain"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A feed. `words`: what a slate says of it; `top`: the best rung it stands on; `newest`: ordered by time alone."""

    name: KindName
    words: str
    uses: str
    top: Rung = Rung.FULL
    newest: bool = False


TABLE: dict[KindName, Kind] = {
    "for_you": Kind("for_you", "", "what you watched, liked, follow and said"),
    "following": Kind(
        "following", "Only videos of those you follow, newest first.", "whom you follow and what you have seen",
        newest=True,
    ),
    "topic": Kind("topic", "Only videos about {topic}.", "the topic, and within it the same as For You"),
    "plain": Kind(
        "plain",
        "Not shaped to you: what people here like now. Of you it uses what you have seen and what you said never to "
        "show, to leave these out, and nothing else.",
        "what you have seen and what you said never to show",
        top=Rung.REGIONAL,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a request's kind: the kind served, in words, and bool[n] of what it may hold (None: all)."""

    kind: Kind
    words: str
    only: Array | None = None


FOR_YOU = Asked(TABLE["for_you"], "")


def settle(ask: "FeedRequest", profile: Profile, catalogue: Catalogue, tenant: str) -> Asked:
    """Decide which feed answers: the one asked for, unless it has nothing to offer here."""
    kind = TABLE[ask.feed]
    if kind.name == "for_you":
        return FOR_YOU
    if kind.name == "plain":
        return Asked(kind, kind.words)
    if kind.name == "topic":
        only = np.zeros(catalogue.n, bool)
        only[catalogue.having(catalogue.tags.of.get(tag_in(tenant, ask.topic), -1))] = True
        if not (only & catalogue.allowed()).any():
            return Asked(TABLE["for_you"], f"No video about {ask.topic} is here yet, so this is For You.")
        return Asked(kind, kind.words.format(topic=ask.topic), only)
    only = followed(profile, catalogue, tenant)
    if not only.any():
        return Asked(TABLE["for_you"], "Nobody you follow has a video here yet, so this is For You.")
    return Asked(kind, kind.words, only)


def followed(profile: Profile, catalogue: Catalogue, tenant: str) -> Array:
    """Return bool[n]: what may be shown of those the viewer follows (`limit` binds recommending to strangers only).

    Of this tenant: a name with a colon may be followed, and must not tell whether another tenant has such a creator.
    """
    c, only = catalogue, np.zeros(catalogue.n, bool)
    rows = c.made_by(profile.followed())
    shown = c.live[rows] & (c.verdict[rows] >= 0) & (c.verdict[rows] <= STRICTNESS["limit"])
    only[rows] = shown & (c.tenant[rows] == c.tenants.of.get(tenant, -1))
    return only


def blind(profile: Profile) -> Profile:
    """Return what a feed without profiling may see: what was seen, hidden and ruled out; likes only to show them.

    The parts are shared, not copied: nobody changes a profile but its fold.
    """
    return Profile(
        seen=profile.seen, hidden=profile.hidden, likes=profile.likes, served=profile.served, told=profile.told
    )


def mask(viewer: "Viewer", world: "World") -> Array | None:
    """The filter `feed`: bool[n] of what the kind may hold."""
    del world
    return viewer.asked.only


def on_shelf(viewer: "Viewer", live: list[tuple[str, int]], world: "World") -> list[tuple[str, int]]:
    """Return what this viewer's kind and bans leave of the shelf's (item, row) pairs; row −1: not known here.

    The shelf is one list for all. If it holds nothing of the kind it is given whole, and the slate says so.
    """
    never = set(wishes.never(viewer, world).tolist())
    live = [(item, row) for item, row in live if row not in never]
    only = viewer.asked.only
    if only is None:
        return live
    kept = [(item, row) for item, row in live if row >= 0 and only[row]]
    if not kept:
        viewer.asked = Asked(TABLE["for_you"], "The saved shelf holds nothing of the feed you asked for.")
    return kept or live


def by_time(rows: Array, n: int, catalogue: Catalogue) -> list[int]:
    """Return the indices of the `n` newest of int64[K] rows, newest first."""
    return np.lexsort((rows, -catalogue.published[rows]))[:n].tolist()
