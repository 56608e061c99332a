"""The way from a client to a region's node: `adapters.aio.calls` over the simulated network.

A region without power is silent; one whose node has ended refuses. Whatever arrives is checked at the fence: nothing
that names a viewer may reach a foreign region.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.adapters.aio.calls import CALL_MAX_S, Calls, RefusedEntry, Unreachable
from holdfast.core.errors import Degraded, Refused
from holdfast.core.feed.shapes import FeedRequest
from holdfast.sim.loop import context_of
from holdfast.sim.network import Network

if TYPE_CHECKING:
    from holdfast.sim.site import Site


class _Ear:
    """This observer always listens."""

    deaf_s = 0.0

    def attend(self) -> None: ...
    def rest(self) -> None: ...


class SimCalls(Calls):
    """One client's calls, from `place`. `law`: the client's jurisdiction; `breach` is told what crossed the fence."""

    def __init__(
        self, place: str, law: str, network: Network, sites: "dict[str, Site]", breach: Callable[[str], None]
    ) -> None:
        self._place, self._law, self._network, self._sites, self._breach = place, law, network, sites, breach
        self.ear = _Ear()  # type: ignore[assignment]

    async def aclose(self) -> None:
        """Nothing is open."""

    async def call(self, method: str, url: str, body: object = None, *, bearer: str = "", answer: Any = dict) -> Any:
        del method
        region, _, rest = url.removeprefix("sim://").partition("/")
        site, path, data = self._sites[region], "/" + rest, msgspec.msgpack.encode(body)
        loop, process = self._network.loop, self._network.loop.process
        done: asyncio.Future[bytes | None] = loop.create_future()

        def back(raw: bytes | None) -> None:
            self._network.send(region, self._place, "reply", raw or b"", lambda: heard(raw))

        def heard(raw: bytes | None) -> None:
            if not done.done() and process.alive:
                done.set_result(raw)

        self._network.send(self._place, region, path, data, lambda: self._arrive(site, path, data, bearer, back))
        try:
            async with asyncio.timeout(CALL_MAX_S):
                raw = await done
        except TimeoutError as e:
            raise Unreachable(f"{region} does not answer in time") from e
        if raw is None:
            raise Unreachable(f"nobody answers at {region}")
        return _decoded(raw, answer)

    def _arrive(
        self, site: "Site", path: str, data: bytes, bearer: str, back: Callable[[bytes | None], None]
    ) -> None:
        if not site.powered:
            return
        if site.top.region(site.region).jurisdiction != self._law:
            self._fence(site.region, path, data, bearer)
        node, process = site.node, site.node_process
        if node is None or not process.alive:
            return back(None)

        async def serve() -> None:
            raw = await node.serve(path, data, bearer)
            if process.alive:
                back(raw)

        self._network.loop.create_task(serve(), context=context_of(process))

    def _fence(self, region: str, path: str, data: bytes, bearer: str) -> None:
        if bearer:
            self._breach(f"a token of {self._law} was sent to {region}")
        if path == "/v1/feed":
            ask = msgspec.msgpack.decode(data, type=FeedRequest)
            if ask.seen or ask.context or ask.exclude:
                self._breach(f"what a viewer of {self._law} did was sent to {region}")
        elif path == "/v1/events":
            self._breach(f"entries of {self._law} were sent to {region}")


def _decoded(raw: bytes, answer: Any) -> Any:
    status, body = msgspec.msgpack.decode(raw, type=tuple[int, msgspec.Raw])
    if status == 200:
        return msgspec.msgpack.decode(body, type=answer)
    if status == 503:
        raise Degraded(msgspec.msgpack.decode(body, type=str))
    said, field, code, index = msgspec.msgpack.decode(body, type=tuple[str, str, str, int | None])
    if index is not None:
        raise RefusedEntry(said, field=field, hint="", code=code, index=index)
    raise Refused(said, field=field, code=code)
