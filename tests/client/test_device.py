"""The device's memory: what it tells a region, and the feed it makes alone."""

from holdfast.client.device import SHELF_MAX, Memory
from holdfast.core.feed.shapes import CONTEXT_MAX, SEEN_MAX, FeedRequest, SlateItem, Why


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
    slate = memory.alone(FeedRequest(n=4), 0)
    assert slate.rung == "DEVICE" and not slate.rewatch
    assert {i.tags[0] for i in slate.items} == {"kelp"} and "kelp-0" not in {i.item for i in slate.items}
    assert slate.taste[0].tag == "kelp"


def test_when_all_was_seen_it_says_so_and_offers_the_longest_unseen() -> None:
    memory = Memory()
    memory.offered([item(n, "t", n) for n in "abc"])
    for k, name in enumerate("bca"):
        memory.remember("view", name, 6000, 6000, float(k))
    slate = memory.alone(FeedRequest(n=2), 0)
    assert slate.rewatch and [i.item for i in slate.items] == ["b", "c"]


def test_a_skip_turns_it_away() -> None:
    memory = Memory()
    memory.offered([item("x0", "x"), item("x1", "x", "d"), item("y1", "y", "e")])
    memory.remember("skip", "x0", 0, 0, 0.0)
    assert [i.item for i in memory.alone(FeedRequest(n=2), 0).items] == ["y1", "x1"]


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
    assert [i.creator for i in memory.alone(FeedRequest(n=3), 0).items] == ["a", "b", "a"]


def test_alone_it_still_narrows_to_the_feed_asked_for_and_says_when_it_cannot() -> None:
    memory = Memory()
    memory.offered([item(f"kelp-{k}", "kelp", f"a{k}") for k in range(4)] + [item("rain-0", "rain", "b")])
    memory.follows = {"b"}
    following = memory.alone(FeedRequest(n=4, feed="following"), 0)
    assert [i.item for i in following.items] == ["rain-0"] and following.feed == "following"
    topic = memory.alone(FeedRequest(n=4, feed="topic", topic="rain"), 0)
    assert [i.item for i in topic.items] == ["rain-0"] and topic.feed == "topic"
    lost = memory.alone(FeedRequest(n=4, feed="topic", topic="snow"), 0)
    assert len(lost.items) == 4 and lost.feed == "for_you"


def test_what_was_said_is_heeded_alone_and_a_past_forgotten_is_gone() -> None:
    memory = Memory()
    memory.offered([item("kelp-0", "kelp", "a"), item("rain-0", "rain", "b"), item("rain-1", "rain", "c")])
    memory.remember("like", "kelp-0", 0, 0, 0.0)
    memory.told = {("tag", "kelp"): "less", ("tag", "rain"): "more", ("creator", "b"): "never"}
    assert [i.item for i in memory.alone(FeedRequest(n=3), 0).items] == ["rain-1", "kelp-0"]
    memory.told = {}
    assert memory.alone(FeedRequest(n=1), 0).items[0].item == "kelp-0"
    plain = memory.alone(FeedRequest(n=3, feed="plain"), 0)
    assert [i.item for i in plain.items] == ["kelp-0", "rain-0", "rain-1"], "in the order in which they came"
    memory.forget()
    assert memory.context(9.0) == [] and memory.taste() == {}
