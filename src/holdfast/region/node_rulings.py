"""Rulings by people: what waits for one, what was ruled and why; and the policy table, published once per version."""

from holdfast.adapters.http import shapes as s
from holdfast.adapters.http.ports import Caller
from holdfast.core import policy
from holdfast.core.classes import Class
from holdfast.core.entries import Policy, Ruling, encode
from holdfast.core.errors import Refused
from holdfast.core.rulings import STRICTNESS
from holdfast.core.tenants import SEPARATOR, creator_shown, inner, outer
from holdfast.region.node_append import Appender
from holdfast.region.node_state import State

QUEUE_MAX = 200  # lines a person is shown at once


class NodeRulings:
    """See `ports.Rulings`."""

    def __init__(self, state: State, appender: Appender) -> None:
        self._state = state
        self._appender = appender
        self.policies: dict[str, Policy] = {}  # digest -> a table whose text is in the chain

    def hear(self, entry: Policy) -> None:
        """Note a table that is published already."""
        self.policies.setdefault(entry.digest, entry)

    async def publish_policy(self) -> None:
        """Put the table that rules here into the chain, unless it is there."""
        if policy.DIGEST in self.policies:
            return
        entry = Policy(
            **self._state.stamp(),  # type: ignore[arg-type]
            digest=policy.DIGEST, table=policy.canonical(),
        )
        await self._appender.put(Class.RULINGS, encode([entry]))

    async def rule(self, request: s.RulingRequest, caller: Caller) -> s.Acked:
        self._state.need_folds()
        c = self._state.world.catalogue
        row = c.items.of.get(named(request.item, caller), -1)
        if row < 0:
            raise Refused(f"no item is called `{request.item}` here", field="item", code="missing")
        case = c.cases.get(row)
        earlier = list(case.rulings) if case is not None and request.supersedes_all else []
        ruling = Ruling(
            **self._state.stamp(),  # type: ignore[arg-type]
            item=c.items.all[row], verdict=request.verdict, reasons=request.reasons, policy=policy.DIGEST,
            by=f"person:{caller.team}", supersedes=earlier,
        )
        await self._state.folds(await self._appender.put(Class.RULINGS, encode([ruling])))
        return s.Acked(1)

    def rulings_of(self, item: str, caller: Caller) -> s.RulingsOf:
        self._state.need_folds()
        c = self._state.world.catalogue
        case = c.cases.get(c.items.of.get(named(item, caller), -1))
        if case is None:
            return s.RulingsOf(item=item, verdict="", rulings=[])
        standing = {(r.device, r.outbox) for r in case.standing()}
        lines = [
            s.RulingLine(
                id=f"{r.device}-{r.outbox}", verdict=r.verdict, reasons=r.reasons, by=r.by, policy=r.policy,
                stamp=r.stamp, stands=(r.device, r.outbox) in standing,
            )
            for r in sorted(case.rulings.values(), key=lambda r: r.stamp)
        ]
        return s.RulingsOf(item=item, verdict=case.verdict(), rulings=lines)

    def queue(self, caller: Caller) -> s.Queue:
        self._state.need_folds()
        c = self._state.world.catalogue
        asked = c.verdict[: c.n] == STRICTNESS["ask"]
        if caller.tenant:
            asked &= c.of_tenant(caller.tenant)
        rows = asked.nonzero()[0].tolist()
        lines: list[s.QueueLine] = []
        for row in rows:
            p, case = c.publications[row], c.cases[row]
            if p is None or not c.live[row]:
                continue
            since = min(r.stamp for r in case.standing() if r.verdict == "ask")
            lines.append(
                s.QueueLine(
                    item=outer(p.item) if caller.tenant else p.item, creator=creator_shown(caller.tenant, p.creator),
                    caption=p.caption, tags=p.tags, reasons=case.reasons(), since=since,
                    poster=f"/v1/blobs/{p.media.poster}" if p.media else "",
                )
            )
        return s.Queue(sorted(lines, key=lambda line: line.since)[:QUEUE_MAX])


def named(item: str, caller: Caller) -> str:
    """Return the full name of an item ruled on or asked about; "" for one that the caller may not name.

    The platform's own moderators answer for all that the deployment shows, so they may name a tenant's item in full.
    """
    if SEPARATOR in item:
        return item if not caller.tenant and "rulings" in caller.scopes else ""
    return inner(caller.tenant, item)
