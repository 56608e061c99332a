"""The border between a team's own names and the full ones: requests in, slates out (`core.tenants`).

Inside, everything has its full name. A tenant's request gets its names completed here, and its answer loses them again,
together with what tells of others: the learner's figures are made on the whole deployment's log.
"""

import msgspec

from holdfast.core.feed.shapes import FeedRequest, ModelFacts, Slate, SlateItem
from holdfast.core.tenants import creator_shown, inner, outer


def inward(request: FeedRequest, tenant: str) -> FeedRequest:
    """Return the request with its items under their full names. Rules keep theirs: `core.feed.rules` completes them."""
    if not tenant:
        return request
    front, replace = inner(tenant, ""), msgspec.structs.replace
    return replace(
        request,
        context=[replace(event, item=front + event.item) for event in request.context],
        seen=[front + item for item in request.seen],
        exclude=[front + item for item in request.exclude],
    )


def outward(slate: Slate, tenant: str) -> Slate:
    """Return the slate as the tenant names things."""
    if not tenant:
        return slate
    facts = slate.model
    return msgspec.structs.replace(
        slate, items=[shown(item, tenant) for item in slate.items],
        model=ModelFacts(facts.release, facts.age_s) if facts else None,
    )


def shown(item: SlateItem, tenant: str) -> SlateItem:
    """Return one item as the tenant names it."""
    if not tenant:
        return item
    return msgspec.structs.replace(item, item=outer(item.item), creator=creator_shown(tenant, item.creator))
