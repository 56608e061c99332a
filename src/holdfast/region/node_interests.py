"""What a viewer sees and changes of what the feed makes of them.

A change is a personal entry like any other: acknowledged after fsync, carried to every region of the jurisdiction, and
folded there before the next slate. A viewer's own app says it through its outbox (`POST /v1/events`), which survives
the loss of a region; the call here is for apps that speak for many viewers, and for people with nothing but `curl`.
"""

import numpy as np

from holdfast.adapters.http import shapes_me as s
from holdfast.adapters.http.ports import Caller
from holdfast.core import interests as core
from holdfast.core.classes import Class
from holdfast.core.entries import Entry, Interest, Reset, encode
from holdfast.core.errors import Refused
from holdfast.core.profile import Profile
from holdfast.core.tenants import creator_shown, inner, outer, tag_in, tag_shown
from holdfast.region.node_append import Appender
from holdfast.region.node_state import State

TOPICS_MAX = 100
TOPICS_KEPT_S = 10.0  # counting them looks at every video: too much for every call
_NOBODY = Profile()


class NodeInterests:
    """See `ports.Interests`."""

    def __init__(self, state: State, appender: Appender) -> None:
        self._state = state
        self._appender = appender
        self._topics: dict[str, tuple[float, s.Topics]] = {}  # tenant -> (when counted, seconds; what)

    def interests(self, caller: Caller, viewer: str) -> s.Interests:
        if caller.team:
            caller.need("feed")
        return self._picture(whose(caller, viewer), caller.tenant)

    async def tell(self, request: s.TellRequest, caller: Caller) -> s.Interests:
        self._state.need_folds()
        if caller.team:
            caller.need("feed")  # the answer is the whole picture
        viewer = whose(caller, request.viewer)
        told: list[Entry] = [
            Interest(**self._state.stamp(), about=t.about, name=full_name(t.about, t.name, caller.tenant),  # type: ignore[arg-type]
                     say=t.say, viewer=viewer)
            for t in request.tell
        ]  # fmt: skip
        if request.forget_before is not None:
            told.append(Reset(**self._state.stamp(), before=request.forget_before, viewer=viewer))  # type: ignore[arg-type]
        if not told:
            raise Refused("nothing was said", field="tell", hint='"tell": [{"about": "tag", "name": …, "say": "more"}]')
        await self._state.folds(await self._appender.put(Class.PERSONAL, encode(told)))
        return self._picture(viewer, caller.tenant)

    def topics(self, caller: Caller) -> s.Topics:
        self._state.need_folds()
        tenant, now_s = caller.tenant, self._state.now_s()
        held = self._topics.get(tenant)
        if held is None or now_s - held[0] > TOPICS_KEPT_S:
            held = self._topics[tenant] = (now_s, self._count(tenant))
        return held[1]

    def _count(self, tenant: str) -> s.Topics:
        c = self._state.world.catalogue
        tags = c.tag_rows[: c.n][c.allowed() & c.of_tenant(tenant)]
        counts = np.bincount(tags[tags >= 0], minlength=1)
        most = np.argsort(-counts, kind="stable")[:TOPICS_MAX].tolist()
        return s.Topics(
            topics=[s.Topic(tag=tag_shown(c.tags.all[t]), videos=int(counts[t])) for t in most if counts[t]]
        )

    def _picture(self, viewer: str, tenant: str) -> s.Interests:
        self._state.need_folds()
        c, now_us = self._state.world.catalogue, self._state.now_us()
        known = core.picture(self._state.world.profiles.get(viewer, _NOBODY), c, now_us)
        return s.Interests(
            tags=[self._line(i, tag_shown(i.name)) for i in known.tags],
            creators=[self._line(i, creator_shown(tenant, i.name)) for i in known.creators],
            acts=known.acts, forgotten_before=known.forgotten_before, undo_until=known.undo_until, now=now_us,
        )  # fmt: skip

    def _line(self, found: core.Interest, name: str) -> s.InterestLine:
        c = self._state.world.catalogue
        sources: list[s.InterestSource] = []
        for source in found.sources:
            p = c.publications[source.row]
            item = c.items.all[source.row]
            caption = p.caption if p else ""
            sources.append(
                s.InterestSource(item=outer(item), caption=caption, did=source.did, says=round(source.says, 4))
            )
        return s.InterestLine(
            name=name, weight=round(found.weight, 4), say=found.say, follows=found.follows, sources=sources  # type: ignore[arg-type]
        )  # fmt: skip


def whose(caller: Caller, viewer: str) -> str:
    """Return the alias of the viewer in question. Raises Refused."""
    if caller.team:
        if not viewer:
            raise Refused("with an API key a request names its `viewer`", field="viewer", hint='"viewer": "anna"')
        return f"{caller.team}:{viewer}"
    caller.need_device()
    if viewer:
        raise Refused("`viewer` is for API keys; a token says who you are", field="viewer", hint="leave it out")
    return caller.alias


def full_name(about: str, name: str, tenant: str) -> str:
    """Return a tag's or creator's name as the catalogue numbers it."""
    return tag_in(tenant, name) if about == "tag" else inner(tenant, name)
