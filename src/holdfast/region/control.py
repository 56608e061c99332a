"""The control room: what the supervisor knows and does, for the page; and what regions say of themselves, as events.

A watcher asks every living region for its status once a second and turns what *changed* into a line in plain words: a
rung that fell or rose, an incident it published. Nobody reads a log to learn that.
"""

import asyncio
import time
from typing import Any

import holdfast
from holdfast.adapters.aio import control
from holdfast.core.errors import Degraded, Refused
from holdfast.core.feed.ladder import Rung
from holdfast.region.supervisor import Supervisor

WATCH_S = 1.0
RUNGS = [rung.name for rung in Rung]
STATUS_PATIENCE_S = 1.5
AUDIENCE_ZERO = {"viewers": 0, "acknowledged": 0, "lost": 0, "failed": 0, "repeats": 0, "slates": 0, "empty": 0}


class ControlRoom:
    """Implements `adapters.aio.control.Room` over a supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._s = supervisor
        self._rung: dict[str, str] = {}
        self._opening: set[str] = set()  # regions that were said to have nothing to show yet
        self._incidents: dict[str, int] = {}
        self.status: dict[str, dict[str, Any]] = {}  # last status each region gave

    def state(self) -> object:
        s = self._s
        regions = [
            {"name": r.name, "jurisdiction": r.jurisdiction, "url": r.url, "power": s.power[r.name]}
            for r in s.top.regions
        ]  # fmt: skip
        publishing = s.reports.get("publish", {"done": 0, "total": 0})
        audience = s.reports.get("audience", AUDIENCE_ZERO)
        drill = s.home.drill(time.time_ns() // 1000)
        return {
            "regions": regions, "rtt_ms": s.top.rtt_ms, "audience": audience, "publishing": publishing,
            "version": holdfast.__version__, "drill": drill.name if drill else "",
        }  # fmt: skip

    def events_after(self, n: int) -> object:
        return [e for e in self._s.events if e.n > n]

    async def power(self, region: str, on: bool, mode: str) -> None:
        if on and self._s.power[self._s.top.region(region).name] == "off":
            await self._s.restore(region)
        elif not on and self._s.power[self._s.top.region(region).name] != "off":
            self._s.cut(region, mode)

    async def watch(self) -> None:
        """Turn changes in regions' own status into events, for ever."""
        while True:
            await asyncio.gather(*(self._look(r.name, r.url) for r in self._s.top.regions))
            await asyncio.sleep(WATCH_S)

    async def _look(self, region: str, url: str) -> None:
        if self._s.power[region] != "on":
            return
        try:
            async with asyncio.timeout(STATUS_PATIENCE_S):
                status = await self._s.calls.call("GET", f"{url}/v1/status")
        except (Degraded, Refused, TimeoutError):
            return
        self.status[region] = status
        rung, before = status.get("rung", ""), self._rung.get(region)
        if before is None and rung == Rung.DEVICE.name and not status.get("items", {}).get("allowed", 0):
            if region not in self._opening:  # not a fall: there is nothing to show yet
                self._opening.add(region)
                self._s.tell(region, "is opening: no video is approved yet", "sky")
        elif rung and rung != before:
            self._rung[region] = rung
            reason = status.get("reason", "").split(" Above it")[0]  # what the rungs above lack is in the status itself
            level = "sky" if before is None or RUNGS.index(rung) < RUNGS.index(before) else "amber"
            self._s.tell(region, f"is on {rung}: {reason}" if reason else f"is on {rung}", level)
        last = self._incidents.get(region, 0)
        for incident in sorted(status.get("incidents", []), key=lambda i: i["stamp"]):
            if incident["stamp"] > last and incident["region"] == region:  # each is told once, by whom it is about
                self._incidents[region] = incident["stamp"]
                self._s.tell(region, incident["text"], "amber")


async def serve(room: ControlRoom, host: str, port: int) -> control.Callable[[], control.Awaitable[None]]:
    """Serve the control room with the built web app, if there is one."""
    from importlib.resources import files
    from pathlib import Path

    pages = Path(str(files("holdfast"))) / "webapp"
    return await control.serve(room, host, port, pages if (pages / "index.html").exists() else None)
