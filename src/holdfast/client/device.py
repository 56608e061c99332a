"""What the device remembers, and the feed it makes by itself: context, seen list, buffer, and the DEVICE rung.

Replication between regions is the slow path. The fast one is that the device tells each region it asks what just
happened, so that a region which never met this viewer answers almost as well as the one that did. The same memory
lets the device go on alone: it orders the videos it has already been offered by the tags of what was liked. It does
the same to a public list from a foreign region, which was told nothing. What the viewer said (whom they follow, more,
less or never of a tag) it heeds by itself too, and it narrows to the feed that was asked for as far as it can.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from holdfast.core.feed.actions import WEIGHT_UNIT, weight_of
from holdfast.core.feed.kinds import KindName
from holdfast.core.feed.shapes import CONTEXT_MAX, SEEN_MAX, ContextEvent, FeedRequest, Slate, SlateItem, Taste

SHELF_MAX = 200  # videos kept for when nothing answers: half an hour of watching
FADE = 0.9  # each older event counts a tenth less
TASTES_SHOWN = 8
SAID = {"more": 2.0, "less": -2.0}  # in likes: what was said outweighs a few videos


@dataclass(slots=True)
class _Did:
    item: str
    action: str
    dwell_ms: int
    duration_ms: int
    at_s: float


@dataclass(slots=True)
class Memory:
    """One device's memory. Times in seconds of the client's clock."""

    did: list[_Did] = field(default_factory=list[_Did])
    seen: "OrderedDict[str, None]" = field(default_factory=OrderedDict[str, None])
    shelf: "OrderedDict[str, SlateItem]" = field(default_factory=OrderedDict[str, SlateItem])
    told: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])  # ("tag", name) -> what of it
    follows: set[str] = field(default_factory=set[str])

    def remember(self, action: str, item: str, dwell_ms: int, duration_ms: int, now_s: float) -> None:
        """Note what the viewer did. A video that was viewed, skipped or hidden has been seen."""
        self.did.append(_Did(item, action, dwell_ms, duration_ms, now_s))
        del self.did[:-CONTEXT_MAX]
        if action in ("view", "skip", "hide"):
            self.seen[item] = None
            self.seen.move_to_end(item)
            while len(self.seen) > SEEN_MAX:
                self.seen.popitem(last=False)

    def forget(self) -> None:
        """Let go of what was done; what was seen and what was said stays."""
        self.did.clear()

    def narrowed(self, items: list[SlateItem], feed: KindName, topic: str) -> tuple[list[SlateItem], KindName]:
        """Return what is left of a list for this viewer and feed, and the feed it then is: For You if nothing fits."""
        never = {key for key, say in self.told.items() if say == "never"}
        items = [i for i in items if never.isdisjoint([("creator", i.creator), *(("tag", t) for t in i.tags)])]
        fits = {
            "following": lambda i: i.creator in self.follows,
            "topic": lambda i: topic in i.tags,
        }.get(feed)
        kept = [i for i in items if fits(i)] if fits else items
        return (kept, feed) if kept else (items, "for_you")

    def offered(self, items: list[SlateItem]) -> None:
        """Keep what a region offered, for the shelf and for its tags."""
        for item in items:
            self.shelf[item.item] = item
            self.shelf.move_to_end(item.item)
        while len(self.shelf) > SHELF_MAX:
            self.shelf.popitem(last=False)

    def context(self, now_s: float) -> list[ContextEvent]:
        """The last events, newest last, as a request carries them."""
        return [
            ContextEvent(item=d.item, action=d.action, dwell_ms=d.dwell_ms, duration_ms=d.duration_ms,  # type: ignore[arg-type]
                         age_s=max(0.0, round(now_s - d.at_s, 3)))
            for d in self.did
        ]  # fmt: skip

    def taste(self) -> dict[str, float]:
        """Liking per tag, newest events first in weight; negative for what was skipped or hidden."""
        liking: dict[str, float] = {}
        weight = 1.0
        for d in reversed(self.did):
            item = self.shelf.get(d.item)
            if item:
                for tag in item.tags:
                    said = weight * weight_of(d.action, d.dwell_ms, d.duration_ms) / WEIGHT_UNIT
                    liking[tag] = liking.get(tag, 0.0) + said
            weight *= FADE
        for (about, name), say in self.told.items():
            if about == "tag" and say in SAID:
                liking[name] = liking.get(name, 0.0) + SAID[say]
        return liking

    def order(self, items: list[SlateItem], n: int, feed: KindName = "for_you") -> tuple[list[SlateItem], bool]:
        """Choose up to `n`: unseen first, by taste, no creator twice in a row. Return (items, whether it rewatches).

        Without profiling, by nothing but the order in which they came.
        """
        liking = self.taste() if feed != "plain" else {}
        unseen = [i for i in items if i.item not in self.seen]
        if unseen:
            ranked = sorted(unseen, key=lambda i: -sum(liking.get(t, 0.0) for t in i.tags))
            return _spaced(ranked)[:n], False
        age = {item: k for k, item in enumerate(self.seen)}
        return sorted(items, key=lambda i: age.get(i.item, -1))[:n], bool(items)

    def alone(self, ask: FeedRequest, now_us: int) -> Slate:
        """The DEVICE rung: a slate out of what this device was offered before."""
        out = set(ask.exclude)
        held = [i for i in self.shelf.values() if i.item not in out] or list(self.shelf.values())
        held, feed = self.narrowed(held, ask.feed, ask.topic)
        items, rewatch = self.order(held, ask.n, feed)
        return Slate(
            slate="", request=ask.request, region="", rung="DEVICE", reason="no region answers", since_s=0.0, lacks={},
            model=None, lags_s={}, rewatch=rewatch, public=True, items=items, taste=self.shown_taste(), removed={},
            took_ms=0.0, now=now_us, safe={}, held={}, feed=feed,
        )  # fmt: skip

    def shown_taste(self) -> list[Taste]:
        """The strongest likings, weights adding up to 1."""
        liked = sorted(((w, t) for t, w in self.taste().items() if w > 0), reverse=True)[:TASTES_SHOWN]
        total = sum(w for w, _ in liked)
        return [Taste(tag, w / total) for w, tag in liked]


def _spaced(ranked: list[SlateItem]) -> list[SlateItem]:
    """The same order, except that a creator does not follow themselves while another is left."""
    out: list[SlateItem] = []
    rest = list(ranked)
    while rest:
        k = next((k for k, i in enumerate(rest) if not out or i.creator != out[-1].creator), 0)
        out.append(rest.pop(k))
    return out
