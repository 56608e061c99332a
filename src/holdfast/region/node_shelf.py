"""The shelf: one signed file with the last approved videos, for when nothing else works.

Written every few seconds while the region is well, it is what the SHELF rung offers before the folds have read their
history, and what apps keep for the DEVICE rung. It needs no log, no model, no tables: only this file. The file also
holds the clips' media, so that the shelf can be played, not only listed; and beside it, signed as well but never handed
out whole, a shelf for each tenant, so that a team's feed too is answered from the first moment.
"""

import asyncio

import msgspec

from holdfast.adapters.http import shapes as s
from holdfast.adapters.signing import Signer, Verifier, b64, unb64
from holdfast.adapters.system import write_whole
from holdfast.core.entries import Media
from holdfast.core.errors import Degraded
from holdfast.core.feed.shapes import SlateItem, Why
from holdfast.core.rulings import STRICTNESS
from holdfast.core.tenants import PLATFORM
from holdfast.region.node_items import NodeCatalogue
from holdfast.region.node_lists import card
from holdfast.region.node_state import State

SHELF_SIZE = 60  # an evening's videos; about 40 kB of JSON
NEWEST_SHARE = 3  # every third place is for the newest rather than the best liked
TENANTS_MAX = 100  # with a shelf of their own: 4 MB of file; the first that came
EVERY_S = 5.0
ON_SHELF = Why("shelf", 0.0, "From the last saved shelf of approved videos.", [])


class _Text(msgspec.Struct):
    """What is signed. `made`: µs since 1970."""

    region: str
    made: int
    items: list[SlateItem]


class _File(msgspec.Struct):
    shelf: str
    signature: str
    media: dict[str, Media]
    tenants: str = "[]"  # JSON text: items of all tenants, under their full names
    tenants_signature: str = ""


class NodeShelf:
    """Makes, keeps and gives the shelf."""

    def __init__(self, state: State, catalogue: NodeCatalogue) -> None:
        self._state = state
        self._catalogue = catalogue
        self._signer = Signer(unb64(state.keys.token_seed))
        self._path = state.folder / "shelf.json"
        self._file: _File | None = None
        self._version = -1
        self._listed = 0  # items on the public shelf
        self._load()

    def _load(self) -> None:
        """Take up the shelf that lies on disk; one that is damaged or not signed by us is as good as none."""
        try:
            file = msgspec.json.decode(self._path.read_bytes(), type=_File)
            text = msgspec.json.decode(file.shelf, type=_Text)
            verifier = Verifier(self._signer.public)
            genuine = verifier.verify(unb64(file.signature), file.shelf.encode())
            whole = file.tenants_signature and verifier.verify(unb64(file.tenants_signature), file.tenants.encode())
            tenants = msgspec.json.decode(file.tenants, type=list[SlateItem]) if whole else []
        except (OSError, ValueError, msgspec.MsgspecError):
            return
        if genuine:
            self._file, self._state.shelf, self._listed = file, text.items + tenants, len(text.items)
            self._catalogue.shelved = file.media
            for item, media in file.media.items():
                self._catalogue.name_parts(item, media)

    def give(self) -> s.Shelf:
        """The signed shelf. Raises Degraded before there is one."""
        if self._file is None or not self._listed:
            raise Degraded("no shelf has been made here yet", retry_after_s=EVERY_S)
        return s.Shelf(shelf=self._file.shelf, region=self._state.region, signature=self._file.signature)

    async def keep(self) -> None:
        """Make the shelf anew for ever, whenever the catalogue has changed."""
        while True:
            await asyncio.sleep(EVERY_S if self._file else 0.5)
            catalogue = self._state.world.catalogue
            if self._state.folding and catalogue.version != self._version:
                self._version = catalogue.version
                await self._make()

    async def _make(self) -> None:
        items, media = self._choose(PLATFORM)
        tenants: list[SlateItem] = []
        for tenant in self._state.world.catalogue.tenants.all[1 : 1 + TENANTS_MAX]:
            await asyncio.sleep(0)  # let slates pass
            tenants += self._choose(tenant)[0]
        if not items and not tenants:
            return
        text = msgspec.json.encode(_Text(self._state.region, self._state.now_us(), items)).decode()
        own = msgspec.json.encode(tenants).decode()
        file = _File(text, self._sign(text), media, own, self._sign(own))
        try:
            await asyncio.to_thread(write_whole, self._path, msgspec.json.encode(file))
        except OSError:  # a full disk must not take the feed down: this shelf lives in memory until there is room
            self._state.count("shelf_failures")
        self._file, self._state.shelf, self._listed = file, items + tenants, len(items)
        self._catalogue.shelved = media

    def _sign(self, text: str) -> str:
        return b64(self._signer.sign(text.encode()))

    def _choose(self, tenant: str) -> tuple[list[SlateItem], dict[str, Media]]:
        """Pick what of a tenant is liked here now, with the newest in between; only what may be shown to anyone."""
        c = self._state.world.catalogue
        may = c.live[: c.n] & (c.verdict[: c.n] == STRICTNESS["allow"]) & c.of_tenant(tenant)
        rows = may.nonzero()[0]
        liked = rows[(-c.heat(self._state.now_us())[rows]).argsort(kind="stable")].tolist()
        newest = rows[(-c.published[rows]).argsort(kind="stable")].tolist()
        order: dict[int, None] = {}
        for i, row in enumerate(liked):
            order[row] = None
            if i % NEWEST_SHARE == NEWEST_SHARE - 1:
                order[newest[i // NEWEST_SHARE]] = None
            if len(order) >= SHELF_SIZE:
                break
        chosen = list(order)[:SHELF_SIZE]
        held = [(row, c.publications[row]) for row in chosen]
        media = {p.item: p.media for _, p in held if p is not None and p.media is not None}
        return [item for row, _ in held if (item := card(c, row, ON_SHELF)) is not None], media
