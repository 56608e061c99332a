"""Items and rulings for a world, and a node whose every slate is judged when it is made.

The judge reads what this node has heard with rules of its own, written anew and naively (a list, a loop), so that a
mistake in the real rules does not hide itself.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from holdfast.core.entries import Ruling
from holdfast.core.feed.ladder import CALM_S, Rung
from holdfast.core.feed.shapes import Slate
from holdfast.region.node_feed import NodeFeed
from holdfast.sim.node import Node, draw_verdict
from holdfast.sim.site import Site
from holdfast.sim.trace import Trace

ITEMS = 24  # at the beginning; more come
NEW_EVERY_S = 1.5
HARSHER = ["", "allow", "limit", "age", "ask", "remove"]  # mildest first
TAGS = ["sea", "sky", "town", "song"]


def verdict_of(heard: list[Ruling]) -> str:
    """The harshest ruling that no later one names, "" for none."""
    worst = ""
    for one in heard:
        named = [r for r in heard if (one.device, one.outbox) in [tuple(s) for s in r.supersedes]]
        if all(r.stamp <= one.stamp for r in named) and HARSHER.index(one.verdict) > HARSHER.index(worst):
            worst = one.verdict
    return worst


class JudgedFeed(NodeFeed):
    """The real feed; each slate is looked at in the moment of its making."""

    breach: Callable[[str], None]
    node: Node
    _was: tuple[Rung, float] | None = None  # the rung that was left last, and when

    def _dress(self, waiting: Any, result: Any, budget: Any, words: Any, model: Any) -> Slate:
        slate = super()._dress(waiting, result, budget, words, model)
        self._judge(slate, result, waiting.query)
        return slate

    def _judge(self, slate: Slate, result: Any, query: Any) -> None:
        node, world = self.node, self._state.world
        where = f"{self._state.region} on {slate.rung}"
        allowed = {i for i, heard in node.rulings.items() if verdict_of(heard) == "allow"}
        published = {p.item for p in world.catalogue.publications if p is not None}
        for item in slate.items:
            verdict = verdict_of(node.rulings.get(item.item, []))
            followed = item.why.source == "following" and verdict == "limit"
            if slate.rung == "SHELF" and not verdict:
                continue  # the shelf was signed when it was allowed, and nothing else is known here
            if verdict != "allow" and not followed:
                self.breach(f"{where}: {item.item} was shown, its ruling here is `{verdict or 'unknown'}`")
        seen = set(query.ask.seen)
        profile = world.profiles.get(query.viewer)
        if profile is not None:
            seen |= {world.catalogue.items.all[row] for row in [*profile.seen, *profile.hidden]}
        if not slate.rewatch and seen & {i.item for i in slate.items}:
            self.breach(f"{where}: a video that was seen was offered as new")
        if slate.rewatch and slate.rung != "SHELF" and (left := (allowed & published) - seen):
            self.breach(f"{where}: `rewatch` while {len(left)} allowed videos are unseen")
        hidden = {world.catalogue.items.all[row] for row in profile.hidden} if profile is not None else set[str]()
        if not slate.items and self._state.folding and (left := (allowed & published) - hidden):
            self.breach(f"{where}: an empty slate while {len(left)} videos are allowed")
        if slate.rewatch:
            self._state.site.trace.count("rewatch")  # type: ignore[attr-defined]

    def standing(self) -> tuple[Rung, dict[str, str]]:
        before, best = self._state.ladder, super().standing()
        after, now_s = self._state.ladder, self._state.now_s()
        if after.rung < before.rung and before.rung < Rung.SHELF:
            trace = self._state.site.trace  # type: ignore[attr-defined]
            trace.count("climbed a rung")
            if after.rung < before.rung - 1 or now_s - before.since_s < CALM_S:
                self.breach(f"{self._state.region} climbed from {before.rung.name} to {after.rung.name} without calm")
        elif after.rung > before.rung:
            self._state.site.trace.count("fell a rung")  # type: ignore[attr-defined]
        return best


def judged_node(site: Site, breaches: list[str]) -> Node:
    """A node whose slates are judged."""

    def heard(ruling: Ruling) -> None:
        del ruling

    def breach(text: str) -> None:
        site.trace.tell("CHECK", text)
        breaches.append(text)

    node = Node(site, heard)
    feed = JudgedFeed(node.state, node.appender)
    feed.breach, feed.node = breach, node
    node.feed = feed
    return node


class Studio:
    """Publishes items through whichever node answers, and rules on them, sometimes twice."""

    def __init__(self, sites: dict[str, Site], chance: Random, trace: Trace) -> None:
        self._sites, self._chance, self._trace = sites, chance, trace
        self.made = 0
        self.rulings: dict[str, list[Ruling]] = {}  # by item, as far as the log took them

    def _node(self) -> Node | None:
        ready = [s.node for s in self._sites.values() if s.powered and s.node_process.alive and s.node is not None]
        return self._chance.choice(ready) if ready else None

    async def work(self) -> None:
        """Publish for ever."""
        await asyncio.sleep(1.0)
        while True:
            for _ in range(ITEMS if not self.made else 1):
                node = self._node()
                if node is not None:
                    self.made += 1
                    item = f"clip-{self.made}"
                    tags = self._chance.sample(TAGS, 2)
                    if await node.publish(item, tags, f"maker-{self.made % 5}"):
                        await self.rule(item, draw_verdict(self._chance))
            await asyncio.sleep(NEW_EVERY_S)

    async def rule(self, item: str, verdict: str, *, over: bool = False) -> None:
        """Rule on an item, with `over` in place of what was ruled before."""
        node = self._node()
        if node is None:
            return
        before = [(r.device, r.outbox) for r in self.rulings.get(item, [])] if over else []
        ruling = await node.rule(item, verdict, before)
        if ruling is not None:
            self.rulings.setdefault(item, []).append(ruling)
