"""The device's memory: what it tells a region, and the feed it makes alone."""

from holdfast.client.device import SHELF_MAX, Memory
from holdfast.core.feed.shapes import CONTEXT_MAX, SEEN_MAX, SlateItem, Why


def item(name: str, tag: str, creator: str = "c") -> SlateItem:
    return SlateItem(
        item=name, creator=creator, caption="", tags=[tag], duration_ms=6000, playlist=None, poster=None, width=0,
        height=0, url=None, likes=0, liked=False, comments=0, views=0, why=Why("test", 0.0, ""),
    )  # fmt: skip


def test_what_was_liked_comes_first_when_alone_and_nothing_repeats() -> None:
    memory = Memory()
    memory.offered([item(f"kelp-{k}", "kelp", f"a{k}") for k in range(5)])
    memory.offered([item(f"rain-{k}", "rain", f"b{k}") for k in range(5)])
    memory.remember("view", "kelp-0", 6000, 6000, 0.0)
    memory.remember("like", "kelp-0", 0, 0, 1.0)
    slate = memory.alone("r", 4, set(), 0)
    assert slate.rung == "DEVICE" and not slate.rewatch
    assert {i.tags[0] for i in slate.items} == {"kelp"} and "kelp-0" not in {i.item for i in slate.items}
    assert slate.taste[0].tag == "kelp"


def test_when_all_was_seen_it_says_so_and_offers_the_longest_unseen() -> None:
    memory = Memory()
    memory.offered([item(n, "t", n) for n in "abc"])
    for k, name in enumerate("bca"):
        memory.remember("view", name, 6000, 6000, float(k))
    slate = memory.alone("r", 2, set(), 0)
    assert slate.rewatch and [i.item for i in slate.items] == ["b", "c"]


def test_a_skip_turns_it_away() -> None:
    memory = Memory()
    memory.offered([item("x0", "x"), item("x1", "x", "d"), item("y1", "y", "e")])
    memory.remember("skip", "x0", 0, 0, 0.0)
    assert [i.item for i in memory.alone("r", 2, set(), 0).items] == ["y1", "x1"]


def test_every_memory_is_bounded() -> None:
    memory = Memory()
    memory.offered([item(f"i{k}", "t") for k in range(SHELF_MAX + 50)])
    for k in range(SEEN_MAX + 50):
        memory.remember("view", f"i{k}", 1, 1, float(k))
    assert (len(memory.shelf), len(memory.seen), len(memory.did)) == (SHELF_MAX, SEEN_MAX, CONTEXT_MAX)
    context = memory.context(SEEN_MAX + 50.0)
    assert context[-1].item == f"i{SEEN_MAX + 49}" and context[-1].age_s == 1.0


def test_creators_are_spaced() -> None:
    memory = Memory()
    memory.offered([item("a1", "t", "a"), item("a2", "t", "a"), item("b1", "t", "b")])
    assert [i.creator for i in memory.alone("r", 3, set(), 0).items] == ["a", "b", "a"]
