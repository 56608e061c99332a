"""What a creator sees of their own videos: how each is ruled, who met it so far, and how its debut goes.

The debut is the promise a creator can hold us to (`core.feed.debut`), so its figures are the ones that decide: distinct
viewers of this jurisdiction who met the video, of the number it is owed now.
"""

import numpy as np

from holdfast.adapters.http import shapes_me as s
from holdfast.adapters.http.ports import Caller
from holdfast.core.catalogue import Catalogue
from holdfast.core.errors import Refused
from holdfast.core.feed import debut
from holdfast.core.rulings import UNKNOWN, VERDICTS, may_be_shown
from holdfast.core.tenants import inner, outer
from holdfast.region.node_state import State
from holdfast.region.uploads import PERSON

VIDEOS_MAX = 50  # the newest; a page of them
PLAN_KEPT_S = 2.0  # making one looks at every new video of the tenant


class NodeMakers:
    """See `ports.Makers`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._plans: dict[str, tuple[float, debut.Plan]] = {}  # tenant -> (when made, seconds; plan)

    def videos(self, caller: Caller, creator: str) -> s.MadeVideos:
        state = self._state
        c, now_us = state.world.catalogue, state.now_us()
        name = _creator(caller, creator)
        state.need_folds()
        rows = c.made_by([c.creators.of[name]]) if name in c.creators.of else np.zeros(0, np.int64)
        rows = rows[c.live[rows] & (c.tenant[rows] == c.tenants.of.get(caller.tenant, -1))]
        newest = rows[np.argsort(-c.published[rows], kind="stable")][:VIDEOS_MAX].tolist()
        plan = self._plan(caller.tenant) if newest else debut.NOTHING
        return s.MadeVideos(
            videos=[self._line(row, plan, now_us) for row in newest], all=int(rows.size), now=now_us
        )

    def _line(self, row: int, plan: debut.Plan, now_us: int) -> s.MadeVideo:
        c: Catalogue = self._state.world.catalogue
        p, case = c.publications[row], c.cases.get(row)
        assert p is not None  # else it would not be live
        verdict = VERDICTS[int(c.verdict[row])] if c.verdict[row] >= 0 else UNKNOWN
        views, likes, comments = c.totals(row)
        so_far = debut.progress(self._state.world, row, plan, now_us)
        shown = p.media is not None and may_be_shown(verdict)
        return s.MadeVideo(
            item=outer(p.item), caption=p.caption, duration_ms=p.duration_ms, published=p.stamp, verdict=verdict,
            reasons=case.reasons() if case is not None else [],
            poster=f"/v1/blobs/{p.media.poster}" if p.media is not None and shown else None,
            views=views, likes=likes, comments=comments,
            debut=s.Debut(
                state=so_far.state, met=so_far.met, owed=so_far.owed, words=so_far.words,
                since=max(int(c.published[row]), int(c.ruled[row])) if c.allowed()[row] else 0,
            ),
        )  # fmt: skip

    def _plan(self, tenant: str) -> debut.Plan:
        world, now_s = self._state.world, self._state.now_s()
        held = self._plans.get(tenant)
        if held is None or now_s - held[0] > PLAN_KEPT_S:
            allowed = world.catalogue.allowed() & world.catalogue.of_tenant(tenant)
            held = self._plans[tenant] = (now_s, debut.plan(world, allowed, self._state.now_us(), tenant))
        return held[1]


def _creator(caller: Caller, creator: str) -> str:
    """Return the full name of the creator in question. Raises Refused."""
    if not caller.team:
        caller.need_device()
        if creator:
            raise Refused("`creator` is for API keys; a token says who you are", field="creator", hint="leave it out")
        return caller.public_name
    caller.need("items")
    if not creator:
        raise Refused("with an API key a request names the `creator`", field="creator", hint="?creator=band")
    if not caller.tenant and creator.startswith(PERSON):  # what was ruled away, and why, is between them and us
        raise Refused("what a person published is theirs to look after", field="creator", code="scope",
                      hint="with their device's token")
    return inner(caller.tenant, creator)
