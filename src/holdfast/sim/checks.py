"""What must hold: at every moment, once everything has healed, and at the very end.

Each check reads the state of the real parts and compares it with what the observer (`sim.ledger`) knows. What a check
says when it fails is a sentence that can stand in a story.
"""

import hashlib
from typing import TYPE_CHECKING, Any

from holdfast.core.asks import Ranges
from holdfast.core.chain import digest_of
from holdfast.core.classes import Class, may_hold
from holdfast.core.entries import Comment, Entry, Segment, View
from holdfast.core.errors import Broken
from holdfast.core.log import ranges
from holdfast.core.log.continuity import START, Link, check_next
from holdfast.region.keeper_store import Copy
from holdfast.sim.site import Site
from holdfast.sim.studio import HARSHER, verdict_of

if TYPE_CHECKING:
    from holdfast.sim.world import World


class Judge:
    """All checks of one world."""

    def __init__(self, world: "World") -> None:
        self.world = world

    # -- at every moment ---------------------------------------------------------------------------------------------

    def meanwhile(self) -> None:
        """What must hold under fire."""
        world = self.world
        world.ledger.look(world.sites.values())
        for text in world.ledger.breaches:
            world.breach(text)
        world.ledger.breaches.clear()
        for viewer in world.viewers:
            for text in viewer.breaches:
                world.breach(text)
            viewer.breaches.clear()
        for site in world.sites.values():
            for text in site.broken:
                world.breach(text)
            site.broken.clear()

    def complaints(self) -> None:
        """Errors that nobody caught."""
        for context in self.world.loop.complaints:
            error = context.get("exception")
            if error is not None:
                self.world.breach(f"nobody caught {error!r}: {context.get('message')}")

    # -- once everything has healed ------------------------------------------------------------------------------------

    def unwell(self) -> list[str]:
        """What is not yet as it should be."""
        out: list[str] = []
        sites = list(self.world.sites.values())
        for site in sites:
            keeper, node = site.keeper, site.node
            if keeper is None or node is None or not keeper.ready.is_set() or not node.state.folding:
                return [f"{site.region} does not serve yet"]
            out += self._holes(site)
        out += self._apart(sites)
        for viewer in self.world.viewers:
            out += self._waits(viewer)
        for site in sites:
            assert site.node is not None
            rung = site.node.state.ladder.rung.name
            if rung != "LINEAR":
                out.append(f"{site.region} stands on {rung}, LINEAR is the top here")
        return out or [text for site in sites for text in self._gone(site)]

    def _gone(self, site: Site) -> list[str]:
        """Blocks that are counted as held and lie nowhere: nobody has looked there yet."""
        assert site.keeper is not None
        out: list[str] = []
        for copy in site.keeper.store.copies.values():
            there = ranges.normal((n, n) for n in _rows(site, copy))
            gone = ranges.minus([(1, copy.end.n)] if copy.end.n else [], ranges.union(there, copy.lost))
            if gone:
                out.append(f"{site.region} does not know that blocks {ranges.say(gone)} of {copy.key.chain} are gone")
        return out

    def lost(self) -> bool:
        """Whether any region calls anything lost."""
        keepers = [s.keeper for s in self.world.sites.values() if s.keeper is not None]
        return any(c.lost for k in keepers for c in k.store.copies.values())

    def _holes(self, site: Site) -> list[str]:
        assert site.keeper is not None
        return [
            f"{site.region} misses blocks {ranges.say(c.missing)} of {c.key.chain} {c.key.epoch}"
            for c in site.keeper.store.copies.values() if c.missing
        ] + [f"{site.region} has not found the damage to {what}" for what in _damage(site)]  # fmt: skip

    def _apart(self, sites: list[Site]) -> list[str]:
        """Every permitted region holds every chain as far as the others, and has folded what it holds."""
        out: list[str] = []
        for cls in Class:
            far: dict[tuple[str, str], dict[str, int]] = {}
            for site in sites:
                assert site.keeper is not None and site.node is not None
                for chain, epochs in site.keeper.store.held(cls).items():
                    for epoch, n in epochs.items():
                        lost = self._lost(site, chain, epoch)
                        end = next((a - 1 for a, b in lost if b == n), n)  # what is lost at its end, others never had
                        far.setdefault((chain, epoch), {})[site.region] = end
                        folded = site.node.state.folded.get(chain, {}).get(epoch, 0)
                        if ranges.step_over(folded, lost) < n:
                            out.append(f"{site.region} has folded {chain} {epoch} to {folded} of {n}")
            for (chain, epoch), held in far.items():
                law = self.world.ledger.jurisdictions[chain.split("/")[1]]
                may = [s.region for s in sites if may_hold(cls, law, self.world.ledger.jurisdictions[s.region])]
                forked = any(c == chain and e.startswith(f"{epoch}-") for c, e in far)
                if "-" not in epoch and not forked and len({held.get(r, 0) for r in may}) > 1:
                    out.append(f"{chain} {epoch} is held to {held}")
                elif forked and len({frozenset(self._family(self.world.sites[r], chain, epoch)) for r in may}) > 1:
                    out.append(f"the branches of {chain} {epoch} are not everywhere")
        return out

    def _family(self, site: Site, chain: str, epoch: str) -> set[bytes]:
        """The digests of all blocks of an epoch and its branches: which of two rows is the main one, regions may see
        differently."""
        assert site.keeper is not None
        copies = [c for k, c in site.keeper.store.copies.items() if k.chain == chain and k.epoch.split("-")[0] == epoch]
        return {digest_of(row) for copy in copies for row in _rows(site, copy).values()}

    def _lost(self, site: Site, chain: str, epoch: str) -> Ranges:
        assert site.keeper is not None
        copy = site.keeper.store.copies.get((chain, epoch))  # type: ignore[arg-type]
        return copy.lost if copy else []

    def _waits(self, viewer: Any) -> list[str]:
        outbox = viewer.client.outbox
        law = viewer.home.jurisdiction
        second = list(self.world.ledger.jurisdictions.values()).count(law) > 1
        old = self.world.loop.time() - 3.0
        waiting = [
            k for k in outbox.kept.values()
            if (second or not k.acks or k.waiting) and viewer.said_at.get(k.number, 0.0) < old
        ]  # fmt: skip
        return [f"{viewer.name} still keeps {len(waiting)} entries that are not safe"] if waiting else []

    # -- at the very end -----------------------------------------------------------------------------------------------

    def at_the_end(self) -> None:
        """Everything stands still in the same state everywhere, and nothing that was promised is missing."""
        world = self.world
        self._rare()
        held = {n: world.ledger.held_by(s) for n, s in world.sites.items()}
        for site in world.sites.values():
            self._verify(site, held)
            self._verdicts(site)
        self._promises(held)
        laws = sorted(set(world.ledger.jurisdictions.values()))
        for law in laws:
            mine = [s for s in world.sites.values() if world.ledger.jurisdictions[s.region] == law]
            self._same_folds(mine)
            for site in mine:
                self._counts(site)

    def _rare(self) -> None:
        """Count what the chains show to have happened."""
        sealed = self.world.ledger.blocks.values()
        epochs = {(s.block.chain, s.block.epoch) for s in sealed}
        self.world.trace.count("epoch opened anew", len(epochs) - len({chain for chain, _ in epochs}))
        closed = sum(isinstance(e, Segment) for s in sealed for e in s.entries)
        self.world.trace.count("segment closed", closed)

    def _verify(self, site: Site, held: dict[str, set[bytes]]) -> None:
        """Every chain verifies, and what it calls lost lies nowhere."""
        assert site.keeper is not None
        for copy in site.keeper.store.copies.values():
            rows = _rows(site, copy)
            link: Link = START
            for n in range(1, copy.end.n + 1):
                if ranges.both(copy.lost, [(n, n)]):
                    link = Link(n, b"")
                    continue
                try:
                    if n not in rows:
                        raise Broken("it is not there")
                    _, link = check_next(copy.key, link, rows[n], None)
                except Broken as e:
                    self.world.breach(f"{site.region}: block {n} of {copy.key.chain} {copy.key.epoch}: {e}")
                    break
            if "-" not in copy.key.epoch:
                self._really_lost(site, copy, held)

    def _verdicts(self, site: Site) -> None:
        """Every item's verdict is the one that the rulings heard amount to, read naively."""
        assert site.node is not None
        c = site.node.state.world.catalogue
        for item, heard in site.node.rulings.items():
            column, true = int(c.verdict[c.items.of[item]]), HARSHER.index(verdict_of(heard)) - 1
            if column != true:
                self.world.breach(f"{site.region} holds {item} for `{HARSHER[column + 1]}`, not `{HARSHER[true + 1]}`")
                return

    def _really_lost(self, site: Site, copy: Copy, held: dict[str, set[bytes]]) -> None:
        if not copy.lost:
            return
        self.world.trace.count("blocks lost and named", ranges.count(copy.lost))
        for digest, sealed in self.world.ledger.blocks.items():
            b = sealed.block
            if (b.chain, b.epoch) == copy.key and ranges.both(copy.lost, [(b.n, b.n)]):
                where = [n for n, h in held.items() if digest in h]
                if where and len(self._numbered(b.chain, b.epoch, b.n)) == 1:
                    self.world.breach(
                        f"{site.region} calls block {b.n} of {b.chain} {b.epoch} lost, and {where} hold it"
                    )

    def _numbered(self, chain: str, epoch: str, n: int) -> list[bytes]:
        blocks = self.world.ledger.blocks.items()
        return [d for d, s in blocks if (s.block.chain, s.block.epoch, s.block.n) == (chain, epoch, n)]

    def _promises(self, held: dict[str, set[bytes]]) -> None:
        """What a client was told is in every region that may hold it."""
        world = self.world
        for viewer in world.viewers:
            law = viewer.home.jurisdiction
            for entry, told in world.ledger.told.items():
                if entry[0] != viewer.client.alias or told.excused or not (told.local or told.safe):
                    continue
                for site in world.sites.values():
                    if world.ledger.jurisdictions[site.region] != law:
                        continue
                    assert site.node is not None
                    folded = site.node.state.world.folded
                    if not any(entry[1] in folded.get(d, ()) for d in (entry[0], f"p-{entry[0]}")):
                        what = "safe" if told.safe else f"local by {sorted(told.local)}"
                        where = [n for n, h in held.items() if world.ledger.holds(entry, h)]
                        world.breach(f"{site.region} has not folded entry {entry}, told {what}; on disk in {where}")
                        return

    def _same_folds(self, sites: list[Site]) -> None:
        """Regions of one jurisdiction know the same world."""
        # An entry whose first sending went unanswered, and whose stamp a region then refused, is stamped anew: if the
        # first was kept after all, regions keep whichever they folded first (docs/simulator.md, Limits).
        anew = self.world.ledger.said_anew
        self.world.trace.count("entry stamped anew", len(anew))
        known = [(s.region, _digest(s, anew)) for s in sites]
        for name, digest in known[1:]:
            for part, value in digest.items():
                if value != known[0][1][part]:
                    how = _difference(value, known[0][1][part])
                    self.world.breach(f"{name} and {known[0][0]} differ in {part}: {how}")
                    return

    def _counts(self, site: Site) -> None:
        """Every view counts once: the counters are those of the distinct entries in the chains held here."""
        assert site.node is not None and site.keeper is not None
        views: dict[str, set[tuple[str, int]]] = {}
        comments: dict[str, set[tuple[str, int]]] = {}
        for copy in site.keeper.store.copies.values():
            for row in _rows(site, copy).values():
                for e in self._entries(row):
                    if isinstance(e, View):
                        views.setdefault(e.item, set()).add((e.device, e.outbox))
                    elif isinstance(e, Comment):
                        comments.setdefault(e.item, set()).add((e.device, e.outbox))
        c = site.node.state.world.catalogue
        fresh = not any(copy.lost for copy in site.keeper.store.copies.values())
        for item, row in c.items.of.items():
            counted = int(c.views[row]), int(c.comments[row])
            true = len(views.get(item, ())), len(comments.get(item, ()))
            if counted != true and fresh:
                self.world.breach(f"{site.region} counts {counted} views and comments of {item}, there are {true}")
                return

    def _entries(self, row: bytes) -> list[Entry]:
        sealed = self.world.ledger.blocks.get(digest_of(row))
        return sealed.entries if sealed else []


def _rows(site: Site, copy: Copy) -> dict[int, bytes]:
    """Every block of a copy as it lies in pieces and stream, read past the keeper."""
    from holdfast.adapters.log_streams import stream_name
    from holdfast.core.log.segments import unpack

    assert site.keeper is not None
    out: dict[int, bytes] = {}
    stream = site.server.streams.all.get(stream_name(copy.key))
    if stream is not None:
        out.update(stream.disk)
    for piece in copy.pieces:
        data = site.disk.seen.get(site.keeper.store.files.path(copy.cls, piece.sha), b"")
        if data:
            out.update(enumerate(unpack(data), piece.first))
    return {n: row for n, row in out.items() if n <= copy.end.n}  # beyond it: stored, and the keeper has not heard yet


def _damage(site: Site) -> list[str]:
    """What lies on a region's disk with a flipped bit in it."""
    out = [name for name, s in site.server.streams.all.items() if s.bad]
    for path, data in site.disk.seen.items():
        if len(path.name) == 64 and hashlib.sha256(data).hexdigest() != path.name:
            out.append(f"piece {path.name[:12]}")
    return out


def _digest(site: Site, but: set[str]) -> dict[str, Any]:
    """What a node knows, by name and not by row, so that two can be compared."""
    assert site.node is not None
    world = site.node.state.world
    c = world.catalogue
    names = c.items.all
    items = {
        name: (
            int(c.verdict[row]), bool(c.live[row]), int(c.views[row]), int(c.long_views[row]), int(c.likes[row]),
            int(c.comments[row]), int(c.published[row]),
        )
        for row, name in enumerate(names)
    }  # fmt: skip
    people: dict[str, Any] = {}
    for viewer, p in ((v, p) for v, p in world.profiles.items() if v not in but):
        people[viewer] = (
            sorted(names[r] for r in p.seen), sorted(names[r] for r in p.hidden),
            sorted((names[r], *w[:3], w[3] > 0) for r, w in p.likes.items()),  # whether it ranks is of bounded memory
            sorted((c.creators.all[r], w) for r, w in p.follows.items()),
            sorted((e.stamp, names[e.row], e.action) for e in p.events),
        )
    devices = {d: tuple(f.pairs()) for d, f in world.folded.items()}
    return {"items": items, "people": people, "devices": devices}


def _difference(a: Any, b: Any) -> str:
    """The first thing in which two states differ, in words."""
    if isinstance(a, dict) and isinstance(b, dict):
        key = next(k for k in sorted({*a, *b}) if a.get(k) != b.get(k))
        return f"{key}: {_difference(a.get(key), b.get(key))}"
    if isinstance(a, tuple | list) and isinstance(b, tuple | list) and len(a) == len(b):
        k = next(k for k in range(len(a)) if a[k] != b[k])
        return f"[{k}] {_difference(a[k], b[k])}"
    return f"{str(a)[:300]} / {str(b)[:300]}"
