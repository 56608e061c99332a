"""Lists and reasons: what is like an item, what is liked here now, and why one item was not offered."""

from holdfast.adapters.http import shapes_team as team
from holdfast.adapters.http.ports import Caller
from holdfast.core.catalogue import Catalogue
from holdfast.core.errors import Refused
from holdfast.core.feed import lists
from holdfast.core.feed.lists import Listed
from holdfast.core.feed.pipeline import Result
from holdfast.core.feed.rules import Rules
from holdfast.core.feed.shapes import FeedRequest, SlateItem, Why
from holdfast.core.feed.viewer import Query
from holdfast.core.feed.why import why as reasons
from holdfast.core.feed.whynot import why_not
from holdfast.core.tenants import inner
from holdfast.region.node_feed import NodeFeed, viewer_of
from holdfast.region.node_items import full
from holdfast.region.node_state import State
from holdfast.region.node_teams import inward, shown
from holdfast.region.node_trials import draw

TREND, LIKE = "trending", "similar"


class NodeLists:
    """See `ports.Lists`."""

    def __init__(self, state: State, feed: NodeFeed) -> None:
        self._state = state
        self._feed = feed

    def similar(self, item: str, n: int, tags: list[str], caller: Caller) -> team.Listing:
        """Items like this one; of the same catalogue."""
        may_list(caller)
        self._state.need_folds()
        world = self._state.world
        row = world.catalogue.items.of.get(full(item, caller), -1)
        if row < 0 or not world.catalogue.allowed()[row]:
            raise Refused(f"no item is called `{item}` here", field="item", code="missing")
        model = self._state.model
        found = lists.similar(world, row, caller.tenant, n, model.predict if model else None, Rules(any_tags=tags))
        return self._listing(found, LIKE, caller)

    def trending(self, n: int, tags: list[str], caller: Caller) -> team.Listing:
        """What people like here now."""
        may_list(caller)
        self._state.need_folds()
        return self._listing(lists.trending(self._state.world, caller.tenant, n, Rules(any_tags=tags)), TREND, caller)

    def _listing(self, found: list[Listed], source: str, caller: Caller) -> team.Listing:
        c = self._state.world.catalogue
        items = [card(c, line.row, Why(source, line.score, line.sentence)) for line in found]
        cards = [shown(item, caller.tenant) for item in items if item is not None]
        return team.Listing(region=self._state.region, now=self._state.now_us(), items=cards)

    def why_not(self, request: team.WhyNotRequest, caller: Caller) -> team.WhyNotAnswer:
        """What became of one item in a viewer's slate."""
        state = self._state
        state.need_folds()
        ask = FeedRequest(**{name: getattr(request, name) for name in FeedRequest.__struct_fields__})
        viewer = viewer_of(ask, caller)
        asked, trial = draw(state.world.trials, inward(ask, caller.tenant), viewer, caller.tenant)
        query = Query(viewer, asked, caller.tenant, trial)
        results: list[Result] = []

        def run(query: Query) -> Result:
            results.append(self._feed.look(query))
            return results[-1]

        said = why_not(inner(caller.tenant, request.item), query, state.world, state.now_us(), run)
        predict = state.model.predict if state.model else None
        features = reasons(said.chosen, results[-1], state.world, predict).features if said.chosen else []
        return team.WhyNotAnswer(
            item=request.item, state=said.state, sentence=said.sentence, filter=said.filter, place=said.place,
            score=said.score, needed=said.needed, features=features,
            rung=results[-1].rung.name if results else state.ladder.rung.name,
        )


def may_list(caller: Caller) -> None:
    """A team's key needs scope `feed`; for anyone else the platform's lists are public."""
    if caller.team:
        caller.need("feed")


def card(c: Catalogue, row: int, why: Why) -> SlateItem | None:
    """Return an item as lists and the shelf show it, the same for everyone; None if it is not published here."""
    p = c.publications[row]
    if p is None:
        return None
    views, likes, comments = c.totals(row)
    m = p.media
    return SlateItem(
        item=p.item, creator=p.creator, caption=p.caption, tags=list(p.tags), duration_ms=p.duration_ms,
        playlist=f"/v1/items/{p.item}/index.m3u8" if m else None, poster=f"/v1/blobs/{m.poster}" if m else None,
        width=m.width if m else 0, height=m.height if m else 0, url=p.url, likes=likes, liked=False,
        comments=comments, views=views, why=why,
    )  # fmt: skip
