"""For a team that uses Holdfast behind its own app: items, events and slates by API key, from whichever region lives.

    async with Team(regions, "US", key="hfk_…") as team:
        await team.put_items([{"item": "song-1", "creator": "band", "caption": "…", "tags": ["folk"]}])
        slate = await team.feed("viewer-17", FeedRequest(n=10))
        await team.events([{"kind": "view", "viewer": "viewer-17", "outbox": 1, "stamp": now_us, "item": "song-1", …}])

Writes go to one region after the other until one acknowledges; entry ids (device, outbox) make a second hearing
harmless, so a team may also send again itself.
"""

import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from holdfast.adapters.aio.calls import Calls
from holdfast.client.reach import Reach
from holdfast.core.feed.shapes import FeedRequest, Slate, SlateItem
from holdfast.core.health.router import Place, Router

READ_DEADLINE_S = 2.0
WRITE_DEADLINE_S = 10.0


class _Listing(msgspec.Struct):
    """A node's answer to lists."""

    items: list[SlateItem]


class Team:
    """A team's client. Raises Refused (a key lacks a scope, an entry is wrong) or Degraded (no region answers)."""

    def __init__(
        self, places: Sequence[Place], jurisdiction: str, key: str, *, prefer: str = "", calls: Calls | None = None
    ) -> None:
        self.router = Router(jurisdiction, sorted(places, key=lambda p: p.name != prefer))
        self._key = key
        self._own_calls = calls is None
        self._reach = Reach(self.router, calls or Calls())

    async def __aenter__(self) -> "Team":
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._own_calls:
            await self._reach.calls.aclose()

    async def put_items(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Publish items; → `{acked, items: [{item, verdict}]}`."""
        return await self._ask("PUT", "/v1/items", {"items": list(items)}, WRITE_DEADLINE_S, dict)

    async def events(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Report what viewers did; → the acknowledgement."""
        return await self._ask("POST", "/v1/events", {"entries": list(entries)}, WRITE_DEADLINE_S, dict)

    async def feed(self, viewer: str, request: FeedRequest | None = None) -> Slate:
        """A slate for one of the team's viewers."""
        ask = request or FeedRequest(request=secrets.token_hex(8))
        ask.viewer = viewer
        return await self._ask("POST", "/v1/feed", ask, READ_DEADLINE_S, Slate)

    async def similar(self, item: str, n: int = 10, tags: Sequence[str] = ()) -> list[SlateItem]:
        """Items like this one; with `tags`, of those that carry at least one of them."""
        return (await self._read(f"/v1/items/{quote(item, safe='')}/similar", n, tags)).items

    async def trending(self, n: int = 10, tags: Sequence[str] = ()) -> list[SlateItem]:
        """What people like now."""
        return (await self._read("/v1/trending", n, tags)).items

    async def why_not(self, viewer: str, item: str, **ask: Any) -> dict[str, Any]:
        """Why `item` is not in the viewer's slate; → `{state, sentence, filter, place, score, needed, …}`."""
        body = {"viewer": viewer, "item": item, **ask}
        return await self._ask("POST", "/v1/feed/why-not", body, READ_DEADLINE_S, dict)

    async def start_experiment(self, name: str, arms: Sequence[dict[str, Any]], **plan: Any) -> dict[str, Any]:
        """Begin an experiment; the first arm is what the others are compared with."""
        body = {"arms": list(arms), **plan}
        return await self._ask("PUT", f"/v1/experiments/{quote(name, safe='')}", body, WRITE_DEADLINE_S, dict)

    async def stop_experiment(self, name: str) -> dict[str, Any]:
        """End an experiment; its results stay."""
        path = f"/v1/experiments/{quote(name, safe='')}/stop"
        return await self._ask("POST", path, {}, WRITE_DEADLINE_S, dict)

    async def experiment_results(self, name: str) -> dict[str, Any]:
        """What may be said of an experiment now, however often one looks."""
        path = f"/v1/experiments/{quote(name, safe='')}/results"
        return await self._ask("GET", path, None, READ_DEADLINE_S, dict)

    async def _read(self, path: str, n: int, tags: Sequence[str]) -> _Listing:
        query = urlencode([("n", n), *(("tag", tag) for tag in tags)])
        return await self._ask("GET", f"{path}?{query}", None, READ_DEADLINE_S, _Listing)

    async def _ask(self, method: str, path: str, body: object, deadline_s: float, answer: Any) -> Any:
        async def shot(place: Place) -> Any:
            return await self._reach.calls.call(method, place.url + path, body, bearer=self._key, answer=answer)

        places = self.router.permitted()  # suspected ones last, but a key's owner would rather wait than not ask
        places.sort(key=lambda p: self.router.vantages[p.name].suspected)
        hedge = len(places) if path == "/v1/feed" else 0
        return (await self._reach.race(shot, places, deadline_s, hedge=hedge))[1]
