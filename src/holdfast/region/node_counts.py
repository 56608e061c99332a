"""What one jurisdiction tells the others: item totals, and only of items that enough different people have watched.

Totals are absolute and carry a stamp, so hearing them twice, or from two regions of the same jurisdiction, changes
nothing. An item that fewer than K_VIEWERS have watched says too much about them, and stays silent.
"""

import asyncio
from collections.abc import Iterator

from holdfast.core.classes import Class
from holdfast.core.entries import Counts, ItemCounts, Like, View, encode
from holdfast.core.errors import Degraded
from holdfast.region.node_append import Appender
from holdfast.region.node_state import State

K_VIEWERS = 5
EVERY_S = 10.0
ITEMS_PER_ENTRY_MAX = 5000  # entries.Counts


class NodeCounts:
    """Publishes this region's view of its jurisdiction's totals."""

    def __init__(self, state: State, appender: Appender) -> None:
        self._state = state
        self._appender = appender
        self._viewers: dict[str, set[str]] = {}  # item -> its first viewers, while fewer than K
        self._open: set[str] = set()  # items that K viewers have watched
        self._said: dict[str, tuple[int, int, int]] = {}

    def hear(self, entry: View | Like) -> None:
        """Note who watched what, until there are enough."""
        if entry.item in self._open or entry.item not in self._state.world.catalogue.items.of:
            return  # a name without a row is one of too many invented ones (`Catalogue.deed_row`)
        viewers = self._viewers.setdefault(entry.item, set())
        viewers.add(entry.device)
        if len(viewers) >= K_VIEWERS:
            self._open.add(entry.item)
            del self._viewers[entry.item]

    def viewers(self) -> Iterator[tuple[str, list[str]]]:
        """Yield what `hear` noted, for a snapshot: each item with its first viewers, none if there are enough.

        Nothing may be heard meanwhile.
        """
        yield from ((item, []) for item in self._open)
        yield from ((item, list(few)) for item, few in self._viewers.items())

    def recall(self, viewers: list[tuple[str, list[str]]]) -> None:
        """Take up what `viewers` returned before the stop."""
        self._open.update(item for item, few in viewers if not few)
        self._viewers.update((item, set(few)) for item, few in viewers if few)

    async def keep(self) -> None:
        """Publish what has changed, for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            if self._state.folding:
                await self.publish()

    async def publish(self) -> None:
        """Publish the totals that changed since they were last said."""
        c = self._state.world.catalogue
        news: dict[str, tuple[int, int, int]] = {}
        for item in self._open:
            row = c.items.of.get(item, -1)
            if row >= 0:
                total = (int(c.shown_views[row]), int(c.shown_long[row]), int(c.shown_likes[row]))
                if self._said.get(item) != total:
                    news[item] = total
            if len(news) == ITEMS_PER_ENTRY_MAX:
                break
        if not news:
            return
        entry = Counts(
            **self._state.stamp(),  # type: ignore[arg-type]
            jurisdiction=self._state.here.jurisdiction,
            items=[ItemCounts(item, *total) for item, total in news.items()],
        )
        try:
            await self._appender.put(Class.PUBLIC, encode([entry]))
        except Degraded:
            return  # said again, as totals, the next time
        self._said.update(news)
