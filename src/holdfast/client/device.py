"""What the device remembers, and the feed it makes by itself: context, seen list, buffer, and the DEVICE rung.

Replication between regions is the slow path. The fast one is that the device tells each region it asks what just
happened, so that a region which never met this viewer answers almost as well as the one that did. The same memory
lets the device go on alone: it orders the videos it has already been offered by the tags of what was liked. It does
the same to a public list from a foreign region, which was told nothing.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from holdfast.core.feed.actions import WEIGHT_UNIT, weight_of
from holdfast.core.feed.shapes import CONTEXT_MAX, SEEN_MAX, ContextEvent, Slate, SlateItem, Taste

SHELF_MAX = 200  # videos kept for when nothing answers: half an hour of watching
FADE = 0.9  # each older event counts a tenth less
TASTES_SHOWN = 8


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

    def remember(self, action: str, item: str, dwell_ms: int, duration_ms: int, now_s: float) -> None:
        """Note what the viewer did. A video that was viewed, skipped or hidden has been seen."""
        self.did.append(_Did(item, action, dwell_ms, duration_ms, now_s))
        del self.did[:-CONTEXT_MAX]
        if action in ("view", "skip", "hide"):
            self.seen[item] = None
            self.seen.move_to_end(item)
            while len(self.seen) > SEEN_MAX:
                self.seen.popitem(last=False)

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
        return liking

    def order(self, items: list[SlateItem], n: int) -> tuple[list[SlateItem], bool]:
        """Choose up to `n`: unseen first, by taste, no creator twice in a row. Return (items, whether it rewatches)."""
        liking = self.taste()
        unseen = [i for i in items if i.item not in self.seen]
        if unseen:
            ranked = sorted(unseen, key=lambda i: -sum(liking.get(t, 0.0) for t in i.tags))
            return _spaced(ranked)[:n], False
        age = {item: k for k, item in enumerate(self.seen)}
        return sorted(items, key=lambda i: age.get(i.item, -1))[:n], bool(items)

    def alone(self, request: str, n: int, exclude: set[str], now_us: int) -> Slate:
        """The DEVICE rung: a slate out of what this device was offered before."""
        held = [i for i in self.shelf.values() if i.item not in exclude] or list(self.shelf.values())
        items, rewatch = self.order(held, n)
        return Slate(
            slate="", request=request, region="", rung="DEVICE", reason="no region answers", since_s=0.0, lacks={},
            model=None, lags_s={}, rewatch=rewatch, public=True, items=items, taste=self.shown_taste(), removed={},
            took_ms=0.0, now=now_us, safe={}, held={},
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
