"""Diversity: twins, creators and topics kept apart; strangers meet what is popular in each topic, soon theirs."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from quiet import Quiet
from rig import Stage, items

from holdfast.core.entries import Media, Publication
from holdfast.core.feed.shapes import ContextEvent

SHA = "0123456789abcdef" * 4


def _topics(stage: Stage, result) -> list[str]:
    c = stage.world.catalogue
    return [c.tags.all[int(c.tag_rows[x.row, 0])] for x in result.chosen]


def _media(segment: str, poster: str = SHA) -> Media:
    return Media(init=SHA, segments=[(segment, 2000), (SHA, 2000)], poster=poster, width=320, height=240)


def _publish(stage: Stage, item: str, creator: str, caption: str, media: Media | None = None) -> None:
    stage.rule(item)
    stage.world.apply(Publication(**stage.id(f"dev-{creator}"), item=item, creator=creator, caption=caption,
                                  tags=[f"theme-{creator}"], duration_ms=6000, media=media))  # fmt: skip


@pytest.mark.parametrize(
    ("captions", "segments", "creators", "twins"),
    [
        (("Tide  comes in", "tide comes IN"), ("a", "b"), ("mara", "mara"), True),
        (("tide comes in", "tide comes in"), ("a", "b"), ("mara", "noor"), False),  # two people may say the same
        (("", ""), ("a", "b"), ("mara", "mara"), False),  # no caption is no sameness
        (("low tide", "high tide"), ("a", "a"), ("mara", "noor"), True),  # the same video, uploaded by another
        (("low tide", "high tide"), ("a", "b"), ("mara", "noor"), False),  # the same poster: a shared first frame
    ],
)
def test_of_twins_one_comes_into_a_slate(captions, segments, creators, twins):
    stage = Stage(30)
    for item, caption, segment, creator in zip(("one", "two"), captions, segments, creators, strict=True):
        _publish(stage, item, creator, caption, _media(segment * 64))
        for k in range(9):
            stage.view(f"app:fan-{k}", item)
            stage.like(f"app:fan-{k}", item)
    got = [items(stage.ask(viewer=f"v{k}", request=str(k))) for k in range(5)]
    both = [len({"one", "two"} & set(slate)) == 2 for slate in got]
    assert any({"one", "two"} & set(slate) for slate in got)
    assert not any(both) if twins else any(both)


def test_twins_come_rather_than_nothing():
    stage = Stage(0)
    for k in range(4):
        _publish(stage, f"copy-{k}", "mara", "again")
    assert len(items(stage.ask(n=4))) == 4


def _busy(themes: int = 8) -> Stage:
    stage = Stage(160, themes=themes)
    for k in range(160):
        for viewer in range(12 if k % themes == 0 else 4):  # theme 0 is by far the most popular
            stage.view(f"app:fan-{viewer}", f"clip-{k}")
    stage.now += 3 * 86_400 * 10**6
    return stage


def test_a_stranger_is_shown_many_topics_and_a_known_viewer_theirs():
    stage = _busy()
    strange = [
        len(set(_topics(stage, stage.ask(viewer=f"new-{k}", request=str(k), predict=Quiet())))) for k in range(10)
    ]
    assert np.mean(strange) >= 7
    shares: list[float] = []
    for events in (0, 1, 3, 5, 10):
        context = [ContextEvent(item=f"clip-{8 * k + 3}", action="like", age_s=20 - k) for k in range(events)]
        got = [stage.ask(viewer=f"n-{k}", request=str(k), context=context, seen=[c.item for c in context],
                             predict=Quiet())
               for k in range(10)]  # fmt: skip
        shares.append(float(np.mean([t == "theme-3" for r in got for t in _topics(stage, r)])))
    assert shares[0] <= 0.2 and shares[1] > shares[0] and shares[2] > shares[1] and shares[-1] >= 0.4, shares
