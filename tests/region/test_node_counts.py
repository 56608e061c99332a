"""What is counted of whom: nothing of names that were invented beyond what the catalogue gives room."""

import asyncio
from types import SimpleNamespace

import pytest

from holdfast.core import catalogue
from holdfast.core.entries import View
from holdfast.core.feed.world import World
from holdfast.region.node_counts import K_VIEWERS, NodeCounts


def test_a_name_beyond_a_tenants_room_neither_stops_the_counts_nor_fills_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "TENANT_UNPUBLISHED_MAX", 1)
    world = World("EU")
    counts = NodeCounts(SimpleNamespace(world=world), None)  # type: ignore[arg-type]
    for k in range(K_VIEWERS):
        for item in ("acme:first", "acme:second"):
            view = View(device=f"acme:{k}{item[5]}", outbox=1, stamp=10**15, item=item, dwell_ms=0, duration_ms=0)
            world.apply(view)
            counts.hear(view)
    assert "acme:second" not in world.catalogue.items.of
    assert [item for item, _ in counts.viewers()] == ["acme:first"]
    counts.recall([("acme:second", [])])  # as a snapshot of before may have it
    counts._open.remove("acme:first")
    asyncio.run(counts.publish())
