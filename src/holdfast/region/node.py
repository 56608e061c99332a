"""The node: the process that speaks with viewers and with teams' apps.

    log ─► follower ─► world ─► feed ─► HTTP
                 └► tables, parts, policies, counts, models          (hooks: who else hears of an entry)

Everything of it is wired here, in one place. It owns no durable state: what it knows it folds from the log, what it
takes in it gives to the keeper before it says so. It serves its shelf from the first moment, and the rest as soon as
the folds have caught up. A task that ends ends the process, and the supervisor starts it again.
"""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Coroutine
from importlib.resources import files
from pathlib import Path
from typing import Any

import uvloop

from holdfast.adapters import telemetry
from holdfast.adapters.home import Home
from holdfast.adapters.http.admit import Admission
from holdfast.adapters.http.app import build, serve
from holdfast.adapters.http.ports import Rooms
from holdfast.adapters.log import LogClient
from holdfast.core.entries import Like, Policy, Publication, Release, Rollout, View
from holdfast.core.errors import Degraded
from holdfast.region.fetch import Fetcher
from holdfast.region.node_append import Appender
from holdfast.region.node_counts import NodeCounts
from holdfast.region.node_door import NodeDoor
from holdfast.region.node_feed import NodeFeed
from holdfast.region.node_figures import NodeFigures
from holdfast.region.node_follow import Follower
from holdfast.region.node_interests import NodeInterests
from holdfast.region.node_items import NodeCatalogue
from holdfast.region.node_lists import NodeLists
from holdfast.region.node_makers import NodeMakers
from holdfast.region.node_release import NodeReleases
from holdfast.region.node_rulings import NodeRulings
from holdfast.region.node_shelf import NodeShelf
from holdfast.region.node_snapshot import NodeSnapshots, Noted
from holdfast.region.node_state import State
from holdfast.region.node_trials import NodeTrials
from holdfast.region.uploads import Uploads

EXIT_BROKEN = 3  # an invariant broke; the supervisor restarts through recovery
POLICY_RETRY_S = 2.0
SETTLE_S = 1.5  # for the last snapshot; with 2 s for open requests, within the supervisor's 4 s
SWITCH_S = 0.0005  # how long a worker thread may keep the interpreter from the loop; the default is 5 ms a turn
GC_THRESHOLD = (50_000, 20, 100)  # folds hold much and drop little: the default looks through all of it every second


class Node:
    """One node, its rooms and its tasks."""

    def __init__(self, home: Home, region: str) -> None:
        self.state = state = State(home, region)
        self.appender = Appender(state.log)
        self.fetcher = Fetcher(home, region, state.blobs)
        self.catalogue = NodeCatalogue(state, self.appender, self.fetcher)
        self.rulings = NodeRulings(state, self.appender)
        self.releases = NodeReleases(state, self.fetcher)
        self.counts = NodeCounts(state, self.appender)
        self.feed = NodeFeed(state, self.appender)
        self.shelf = NodeShelf(state, self.catalogue)
        self.follower = Follower(
            state,
            {
                Publication: [self.catalogue.hear],
                Policy: [self.rulings.hear],
                Release: [self.releases.hear],
                Rollout: [self.releases.hear],
                View: [self.counts.hear],
                Like: [self.counts.hear],
            },
        )
        noted = Noted(self.catalogue, self.rulings, self.releases, self.counts)
        self.snapshots = NodeSnapshots(state, self.appender, self.follower, noted)
        self.rooms = Rooms(
            door=NodeDoor(state, self.appender),
            feed=self.feed,
            catalogue=self.catalogue,
            rulings=self.rulings,
            uploads=Uploads(state.folder / "uploads"),
            lists=NodeLists(state, self.feed),
            trials=NodeTrials(state, self.appender),
            figures=NodeFigures(state, self.feed, self.follower, self.shelf),
            interests=NodeInterests(state, self.appender), makers=NodeMakers(state),
            webapp=Path(str(files("holdfast"))) / "webapp",
        )

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """Everything that runs as long as the node does."""
        assert isinstance(self.rooms.figures, NodeFigures)
        return [
            self.connect(),
            self.follow(),
            self.follower.keep_tables(),
            self.shelf.keep(),
            self.counts.keep(),
            self.snapshots.keep(),
            self.releases.keep(),
            self.publish_policy(),
            *(self.rooms.figures.watch_peer(name) for name in self.state.peers),
        ]

    async def connect(self) -> None:
        """Connect to the log server, however long it takes; serving does not wait for it."""
        self.state.log.set_result(await LogClient.open(self.state.home, self.state.region, role="node"))
        await asyncio.Event().wait()

    async def follow(self) -> None:
        """Take up the newest snapshot, if there is a good one, and fold what came since, for ever."""
        await self.snapshots.recall(await asyncio.shield(self.state.log))
        await self.follower.run()

    async def settle(self) -> None:
        """Before an orderly end: freeze what was folded, if it is much and goes quickly."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self.snapshots.take()

    async def publish_policy(self) -> None:
        """Publish the policy table once the folds know whether it is there already; then nothing more."""
        await self.follower.caught_up.wait()
        while True:
            try:
                await self.rulings.publish_policy()
                break
            except Degraded:
                await asyncio.sleep(POLICY_RETRY_S)
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Let what is on its way to the keeper arrive, then let go of everything."""
        await self.appender.drain()
        await self.fetcher.close()
        if self.state.log.done() and not self.state.log.cancelled():
            await self.state.log.result().close()
        self.state.tables.close()


async def run(region: str, home: Home, stop: asyncio.Event) -> None:
    """Run a node until `stop` is set. Raises whatever ends one of its tasks."""
    node = Node(home, region)
    here = node.state.here
    tasks = [asyncio.create_task(task) for task in node.tasks()]
    app = Admission(build(node.rooms), node.rooms, node.state.gate)
    server = asyncio.create_task(serve(app, here.host, here.http_port, stop))
    try:
        done, _ = await asyncio.wait([server, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        assert stop.is_set(), "a task of the node ended by itself"
        await node.settle()
    finally:
        stop.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(SystemExit):
            await server
        await node.close()


def main(region: str, home: Home) -> None:
    """Run a node in this process until SIGTERM or SIGINT. Exits 3 when an invariant breaks."""
    log = telemetry.start("node", region)

    async def live() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        gc.set_threshold(*GC_THRESHOLD)
        sys.setswitchinterval(SWITCH_S)
        log.info("node starts")
        await run(region, home, stop)
        log.info("node stops")

    try:
        uvloop.run(live())
    except Exception as e:  # the last line of defence: say what broke, then die through recovery
        log.error("node broken", error=repr(e), exc_info=True)
        sys.exit(EXIT_BROKEN)
