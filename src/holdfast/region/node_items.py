"""What there is to see: a team's items in, an item's page, comments, playlist and bytes out.

Serving obeys the rulings at the moment of serving: a part of a clip goes out only while some item that names it may be
shown, by a ruling this region holds. The region's own shelf stands in while its folds are still reading history.
"""

import asyncio
from collections import Counter

import numpy as np

from holdfast.adapters.http import shapes as s
from holdfast.adapters.http.ports import ANYONE, Caller
from holdfast.adapters.http.wire import Misfit
from holdfast.core import policy
from holdfast.core.classes import Class
from holdfast.core.entries import Media, Publication, Ruling, encode
from holdfast.core.errors import Refused
from holdfast.core.playlist import playlist
from holdfast.core.rulings import STRICTNESS, UNKNOWN, VERDICTS, Case, may_be_shown
from holdfast.core.tenants import SEPARATOR, creator_shown, inner, tenant_of
from holdfast.region.fetch import Fetcher
from holdfast.region.node_append import Appender
from holdfast.region.node_state import State
from holdfast.region.uploads import refuse_persons

STRIDE = 50  # items ruled in one go: about 2 ms
CACHE_BYTES = 48 * 1024 * 1024  # parts served lately, already verified: about 300 segments


class NodeCatalogue:
    """See `ports.Catalogue`."""

    def __init__(self, state: State, appender: Appender, fetcher: Fetcher) -> None:
        self._state = state
        self._appender = appender
        self._fetcher = fetcher
        self._names: dict[str, set[str]] = {}  # sha of a part -> items that name it
        self._cache: dict[str, bytes] = {}
        self._cached = 0
        self._coming: Counter[str] = Counter()  # new items of tenants that are being put, by how many requests
        self.shelved: dict[str, Media] = {}  # media of the shelf that lay on disk, until the folds have caught up

    # -- a team's items ------------------------------------------------------------------------------------------

    async def put_items(self, items: list[s.Item], caller: Caller) -> s.ItemsTaken:
        self._state.need_folds()
        coming = self._make_room(items, caller.tenant)
        try:
            return await self._put(items, caller)
        finally:
            self._coming -= coming

    async def _put(self, items: list[s.Item], caller: Caller) -> s.ItemsTaken:
        publications: list[Publication] = []
        rulings: list[Ruling] = []
        verdicts: list[s.ItemVerdict] = []
        for i, item in enumerate(items):
            if i % STRIDE == STRIDE - 1:
                await asyncio.sleep(0)  # let slates pass
            own = name_in(item, i, caller.tenant)
            held = self._publication(item.item)
            case = self._case(item.item)
            if held is not None and same(item, held) and case.verdict() != UNKNOWN:
                verdicts.append(s.ItemVerdict(item=own, verdict=case.verdict(), reasons=case.reasons()))
                continue
            new = Publication(
                **self._state.stamp(),  # type: ignore[arg-type]
                item=item.item, creator=item.creator, caption=item.caption, tags=item.tags,
                duration_ms=item.duration_ms, url=item.url, region=self._state.region,
                media=held.media if held is not None else None,
            )
            ruled = policy.rule(new, {"checked": True} if new.media else {})
            earlier = [(r.device, r.outbox) for r in case.standing() if r.by == "policy"]
            ruling = Ruling(
                **self._state.stamp(),  # type: ignore[arg-type]
                item=item.item, verdict=ruled.verdict, reasons=ruled.reasons, policy=ruled.policy, supersedes=earlier,
            )
            publications.append(new)
            rulings.append(ruling)
            case = Case(dict(case.rulings), dict(case.void))
            case.add(ruling)
            verdicts.append(s.ItemVerdict(item=own, verdict=case.verdict(), reasons=case.reasons()))
        if publications:  # a crash between the two leaves items without a ruling: not shown, and ruled on the next put
            await self._state.folds(await self._appender.put(Class.PUBLIC, encode(publications)))
            await self._state.folds(await self._appender.put(Class.RULINGS, encode(rulings)))
        return s.ItemsTaken(acked=len(publications), items=verdicts)

    def _make_room(self, items: list[s.Item], tenant: str) -> Counter[str]:
        """Count a batch against the tenant's quota, before anything is waited for: requests that come at once share it.

        Returns the names that are new. Raises Misfit at the first too many; the platform's own have no quota.
        """
        names: Counter[str] = Counter()
        if not tenant:
            return names
        c, most = self._state.world.catalogue, self._state.top.tenant_items
        coming = {name for name in self._coming if tenant_of(name) == tenant and self._publication(name) is None}
        room = most - int(np.count_nonzero(c.of_tenant(tenant) & (c.published[: c.n] > 0))) - len(coming)
        for i, item in enumerate(items):
            name = inner(tenant, item.item)
            if name in names or self._publication(name) is not None:
                continue
            names[name] = 1
            room -= name not in coming
            if room < 0:
                raise Misfit(f"a team may have {most} items here, and `{item.item}` is one more", field="item", index=i,
                             code="quota", hint="reuse names of items that are gone, or ask the operator for more: "
                             "`tenant_items` in the topology file")  # fmt: skip
        self._coming += names
        return names

    def _publication(self, item: str) -> Publication | None:
        c = self._state.world.catalogue
        row = c.items.of.get(item)
        return None if row is None else c.publications[row]

    def _case(self, item: str) -> Case:
        c = self._state.world.catalogue
        row = c.items.of.get(item, -1)
        return c.cases.get(row) or Case()

    # -- pages ---------------------------------------------------------------------------------------------------

    def page(self, item: str, caller: Caller) -> s.ItemPage:
        c = self._state.world.catalogue
        row = c.items.of.get(full(item, caller), -1)
        p = c.publications[row] if row >= 0 else None
        if p is None or not c.live[row]:
            self._state.need_folds()
            raise Refused(f"no item is called `{item}` here", field="item", code="missing")
        verdict = VERDICTS[int(c.verdict[row])] if c.verdict[row] >= 0 else UNKNOWN
        shown = may_be_shown(verdict)  # of what may not be shown, one learns that it exists and how it was ruled
        views, likes, comments = c.totals(row)
        return s.ItemPage(
            item=item, creator=creator_shown(caller.tenant, p.creator), caption=p.caption if shown else "",
            tags=p.tags if shown else [],
            duration_ms=p.duration_ms, verdict=verdict, likes=likes, views=views, comments=comments,
            url=p.url if shown else None, media=p.media if shown else None,
        )

    async def comments(self, item: str, caller: Caller) -> s.Comments:
        if not self._shown(full(item, caller)):
            self._state.need_folds()
            raise Refused(f"no item is called `{item}` here", field="item", code="missing")
        rows = await asyncio.to_thread(self._state.tables.comments, full(item, caller))
        return s.Comments([s.CommentLine(id=f"{d}-{o}", author=d, text=t, stamp=at) for d, o, at, t in rows])

    def playlist(self, item: str) -> str:
        if not self._shown(full(item, ANYONE)):
            self._state.need_folds()
            raise Refused(f"`{item}` may not be shown here", field="item", code="missing")
        p = self._publication(item)
        media = p.media if p is not None else self.shelved.get(item)
        if media is None:
            raise Refused(f"`{item}` has no video", field="item", code="missing")
        return playlist(media)

    # -- bytes ---------------------------------------------------------------------------------------------------

    def hear(self, publication: Publication) -> None:
        """Note which parts a publication names."""
        if publication.media is not None:
            self.name_parts(publication.item, publication.media)

    def name_parts(self, item: str, media: Media) -> None:
        """Note the parts of a clip."""
        for sha in (media.init, media.poster, *(segment for segment, _ in media.segments)):
            self._names.setdefault(sha, set()).add(item)

    def _shown(self, item: str) -> bool:
        c = self._state.world.catalogue
        row = c.items.of.get(item, -1)
        if row >= 0 and c.verdict[row] >= 0:
            return bool(c.live[row]) and c.verdict[row] <= STRICTNESS["age"]
        return item in self.shelved and not self._state.folding

    def shown(self, sha: str) -> None:
        """Raise Refused (`missing`) unless an item that may be shown names this part."""
        if not any(self._shown(item) for item in self._names.get(sha, ())):
            self._state.need_folds()
            raise Refused("no video that may be shown here names this part", field="sha", code="missing")

    async def blob(self, sha: str) -> tuple[bytes, str]:
        self.shown(sha)
        data = self._cache.get(sha)
        if data is None:
            data = await self._fetcher.get(Class.PUBLIC, sha, self._likely(sha))
            self._keep(sha, data)
        return data, media_type(data)

    def _likely(self, sha: str) -> str:
        """The region where a part was made, which surely held it."""
        held = (self._publication(item) for item in self._names[sha])
        return next((p.region for p in held if p is not None and p.region), "")

    def _keep(self, sha: str, data: bytes) -> None:
        if sha in self._cache:
            return
        self._cache[sha] = data
        self._cached += len(data)
        while self._cached > CACHE_BYTES:  # the oldest goes first
            self._cached -= len(self._cache.pop(next(iter(self._cache))))


def full(item: str, caller: Caller) -> str:
    """Return the full name of what a caller calls `item`; nothing bears the name returned for one that has a colon."""
    return "" if SEPARATOR in item else inner(caller.tenant, item)


def name_in(item: s.Item, index: int, tenant: str) -> str:
    """Give an item its full names, in place; return what the tenant calls it. Raises Misfit on a person's name."""
    own = item.item
    if tenant:
        item.item, item.creator = inner(tenant, own), inner(tenant, item.creator)
        return own
    try:
        refuse_persons(own, item.creator)
    except Refused as e:
        raise Misfit(str(e), field=e.field, index=index, hint=e.hint, code=e.code) from e
    return own


def same(item: s.Item, held: Publication) -> bool:
    """Say whether an item is what is published already."""
    return (item.creator, item.caption, item.tags, item.duration_ms, item.url) == (
        held.creator, held.caption, held.tags, held.duration_ms, held.url
    )  # fmt: skip


def media_type(data: bytes) -> str:
    """Tell the media type from the first bytes: fMP4, WebP, JPEG or PNG."""
    if data[:4] == b"RIFF":
        return "image/webp"
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png"
    return "video/mp4"
