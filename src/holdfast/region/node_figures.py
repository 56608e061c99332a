"""What a region says of itself: who it is, how it is, how far its chains reach, how it sees the others."""

import asyncio
import contextlib

from holdfast import __version__
from holdfast.adapters import telemetry
from holdfast.adapters.http import shapes as s
from holdfast.adapters.log import LogClient
from holdfast.core.classes import Class, chain_id
from holdfast.core.errors import Degraded, Refused
from holdfast.core.feed.ladder import TABLE
from holdfast.core.health.admission import Gate, Priority, Why
from holdfast.core.rulings import STRICTNESS
from holdfast.core.tenants import PLATFORM
from holdfast.region.node_feed import NodeFeed
from holdfast.region.node_follow import Follower
from holdfast.region.node_shelf import NodeShelf
from holdfast.region.node_state import RATE_WINDOW_S, State, quantile
from holdfast.region.node_trials import count_unread

PEER_EVERY_S = 1.0
REACHABLE_S = 3.0  # a peer that has not answered for this long is called unreachable
COUNTERS = ("slates", "entries", "failed", "repeats", "refused", "empty")  # always there, also at 0


def admission(gate: Gate) -> s.AdmissionLine:
    """What the door says of itself."""
    return s.AdmissionLine(
        limit=int(gate.limit.value), in_hand=len(gate.in_hand), waiting=gate.waiting(), open=gate.open,
        admitted={p.name.lower(): gate.admitted[p] for p in Priority},
        refused={p.name.lower(): {why.name.lower(): gate.refused[p][why] for why in Why} for p in Priority},
    )


class NodeFigures:
    """See `ports.Figures`."""

    def __init__(self, state: State, feed: NodeFeed, follower: Follower, shelf: NodeShelf) -> None:
        self._state = state
        self._feed = feed
        self._follower = follower
        self._shelf = shelf
        self._log = telemetry.logger()

    def info(self) -> s.RegionInfo:
        st = self._state
        if not st.shelf:  # neither folds nor a shelf: nothing to offer yet, so not there yet
            st.need_folds()
        return s.RegionInfo(
            region=st.region, jurisdiction=st.here.jurisdiction, version=__version__, now=st.now_us(),
            regions=[s.RegionLine(name=r.name, jurisdiction=r.jurisdiction, url=r.url) for r in st.top.regions],
            rungs=[{"rung": r.rung.name, "needs": r.needs, "gives": r.gives, "words": r.words} for r in TABLE],
        )

    def reach(self) -> s.Reach:
        return s.Reach(safe=self._state.safe, held=self._state.held, now=self._state.now_us())

    def shelf(self) -> s.Shelf:
        return self._shelf.give()

    def fault(self, status: int, error: Exception) -> None:
        self._state.count("refused" if status < 500 else "failed")
        if isinstance(error, Refused):
            self._state.count(f"refused_{error.code}")
        if status == 500:
            self._log.error("a request met a fault of ours", exc_info=error)

    def status(self) -> s.Status:
        st = self._state
        now_s, now_us = st.now_s(), st.now_us()
        best, lacks = self._feed.standing()
        c = st.world.catalogue
        ours = c.of_tenant(PLATFORM)  # how many items a tenant has is its own business
        live, verdict = c.live[: c.n] & ours, c.verdict[: c.n]
        model = st.model
        ok = st.tally.lately("slates", now_s) + st.tally.lately("entries", now_s)
        bad = st.tally.lately("failed", now_s)
        return s.Status(
            region=st.region, jurisdiction=st.here.jurisdiction, now=now_us, up_s=round(now_s - st.started_s, 1),
            rung=st.ladder.rung.name, reason=self._feed.reason(best, lacks),
            since_s=round(now_s - st.ladder.since_s, 1), calm_s=round(st.ladder.calm_s(best, now_s), 1),
            model=s.ModelLine(
                release=model.release, age_s=round((now_us - model.learned_to) / 1e6, 1), examples=model.examples,
                figures=model.figures,
            ) if model else None,
            peers={
                name: s.PeerLine(
                    lag_s=round(p.lag_s, 2), behind=p.behind,
                    reachable=p.heard_s >= 0 and now_s - p.heard_s < REACHABLE_S,
                )
                for name, p in st.peers.items()
            },
            chains={chain: s.Spot(chain=chain, epoch=e, n=n) for chain, (e, n) in st.watermark.items()},
            safe=st.safe, held=st.held,
            items={
                "known": int(live.sum()), "allowed": int((c.allowed() & ours).sum()),
                "waiting": int((live & (verdict == STRICTNESS["ask"])).sum()),
            },
            counters={**dict.fromkeys(COUNTERS, 0), **st.tally.total, "duplicates": st.world.duplicates,
                      "experiments_unread": count_unread(st.world.trials)},
            rates={
                "slates_per_s": st.tally.lately("slates", now_s) / RATE_WINDOW_S,
                "entries_per_s": st.tally.lately("entries", now_s) / RATE_WINDOW_S,
                "folded_per_s": st.tally.lately("folded", now_s) / RATE_WINDOW_S,
                "success": round(ok / (ok + bad), 4) if ok + bad else 1.0,
            },
            latency_ms={
                "slate_p50": quantile(st.tally.slate_ms, 0.5), "slate_p99": quantile(st.tally.slate_ms, 0.99),
                "fold_p50": quantile(st.tally.fold_ms, 0.5), "fold_p99": quantile(st.tally.fold_ms, 0.99),
            },
            viewers=len(st.world.profiles), admission=admission(st.gate),
            incidents=[
                s.IncidentLine(stamp=i.stamp, region=i.region, what=i.what, text=i.text) for i in reversed(st.incidents)
            ],
            drill=mark.name if (mark := st.home.drill(now_us)) else "",
        )  # fmt: skip

    async def watch_peer(self, name: str) -> None:
        """Ask another region, for ever, how far its own chains go, and compare with what is held here."""
        st, chain = self._state, chain_id(Class.PUBLIC, name)
        peer, began_s = st.peers[name], st.now_s()
        connecting = asyncio.create_task(LogClient.open(st.home, st.region, name, role="node"))
        try:
            while True:
                if connecting.done():
                    with contextlib.suppress(Degraded, Refused):  # told by its silence: lag grows until it answers
                        answer = await connecting.result().heads(Class.PUBLIC, [chain], PEER_EVERY_S)
                        held = st.held.get(chain, {})
                        peer.behind = sum(max(0, h.last - held.get(h.epoch, 0)) for h in answer.chains.get(chain, []))
                        peer.heard_s = st.now_s()
                silent_s = st.now_s() - max(peer.heard_s, began_s)
                newest = self._follower.newest_us(name)
                age_s = (st.now_us() - newest) / 1e6 if newest else st.now_s() - began_s
                peer.lag_s = max(age_s if peer.behind else 0.0, silent_s if silent_s > REACHABLE_S else 0.0)
                await asyncio.sleep(PEER_EVERY_S)
        finally:
            connecting.cancel()
