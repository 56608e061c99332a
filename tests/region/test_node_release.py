"""What a node could not take up: a broken network never again, one that there was no memory for some time later."""

import asyncio
import math
from types import SimpleNamespace

import numpy as np

from holdfast.core.entries import Release
from holdfast.model.linear_release import LinearModel, dump
from holdfast.region import node_release
from holdfast.region.node_release import AGAIN_MAX_S, AGAIN_S, REFUSED_KEPT, NodeReleases, Refusals


def test_what_there_was_no_memory_for_is_tried_again_ever_more_seldom() -> None:
    refused, now_s, tries = Refusals(), 1000.0, 0
    assert refused.open("a", now_s)
    while now_s < 1000.0 + 12 * 3600:
        if refused.open("a", now_s):
            tries += 1
            assert AGAIN_S <= refused.refuse("a", now_s, broken=False) <= AGAIN_MAX_S
            assert not refused.open("a", now_s + AGAIN_S - 1)
        now_s += 10.0
    assert 12 <= tries <= 20 and refused.open("b", now_s)


def test_what_is_broken_stays_refused_and_the_list_is_bounded() -> None:
    refused = Refusals()
    assert refused.refuse("a", 0.0, broken=True) == math.inf and not refused.open("a", 1e9)
    for k in range(REFUSED_KEPT):
        refused.refuse(f"other-{k}", 0.0, broken=True)
    assert refused.open("a", 1.0) and not refused.open("other-0", 1.0)


def test_a_bad_release_from_tomorrow_holds_back_no_honest_one(monkeypatch) -> None:
    """Found by drill: what could not be loaded stayed the newest, and with it every later release was passed over."""
    blobs = {"bad": b"no model"}
    counted: list[str] = []
    meanwhile: list[Release] = []

    class Fetcher:
        async def get(self, cls: object, sha: str) -> bytes:
            while sha == "worse" and meanwhile:
                releases.hear(meanwhile.pop())
            return blobs[sha]

    def release(sha: str, learned_to: int) -> Release:
        return Release(device="learner", outbox=learned_to, stamp=learned_to, rung="LINEAR", sha=sha, size=1,
                       learned_to=learned_to, examples=1)  # fmt: skip

    blobs["worse"] = b"no model"
    for sha in ("first", "second", "third"):
        blobs[sha] = dump(LinearModel(["a"], 1.0, np.ones((1, 1), np.float32)))
    made = lambda model, catalogue, sha: SimpleNamespace(sha=sha, refresh=int)  # noqa: E731
    monkeypatch.setattr(node_release.linear, "Linear", made)
    state = SimpleNamespace(count=counted.append, world=SimpleNamespace(catalogue=None), model=None,
                            networks=SimpleNamespace(follow_linear=lambda predict: None))  # fmt: skip
    releases = NodeReleases(state, Fetcher())  # type: ignore[arg-type]
    for sha, learned_to in (("first", 10), ("bad", 10**15), ("second", 20)):
        releases.hear(release(sha, learned_to))
        asyncio.run(releases._take_linear())
    assert state.model.predict.sha == "second" and counted == ["releases", "releases_refused", "releases"]
    assert [e.sha for e in [releases.newest] if e] == ["second"]
    asyncio.run(releases._take_linear())
    assert len(counted) == 3, "what serves is not loaded again"

    meanwhile.append(release("third", 40))
    releases.hear(release("worse", 30))
    asyncio.run(releases._take_linear())
    asyncio.run(releases._take_linear())
    assert state.model.predict.sha == "third", "what is heard while a bad one is loaded is not forgotten with it"
