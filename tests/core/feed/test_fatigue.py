"""Fatigue: it grows with what did not hold the viewer, is cleared by what did, fades, and is bounded."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from quiet import Quiet
from rig import S, Stage, T

from holdfast.core.feed.fatigue import FADE_US, tired
from holdfast.core.feed.pasts import together
from holdfast.core.feed.shapes import ContextEvent
from holdfast.core.feed.viewer import History

STAGE = Stage(120, themes=6)  # clip-k is of theme k % 6 by creator k % 12
C = STAGE.world.catalogue
NOW = T + 3600 * S


def _history(clips: list[int], weights: list[float], age_us: int = 0) -> History:
    rows = np.array([C.items.of[f"clip-{k}"] for k in clips], np.int32)
    stamps = np.full(rows.size, NOW - age_us, np.int64)
    return History(rows, np.array(weights, np.float32), ("view",) * rows.size, stamps=stamps)


def _tired(history: History, clip: int) -> float:
    return float(_level(np.array([C.items.of[f"clip-{clip}"]]), history)[0])


def _level(rows: np.ndarray, *histories: History) -> np.ndarray:
    """Of each history the level of the same rows, one after the other."""
    asked, whose = np.tile(rows, len(histories)), np.repeat(np.arange(len(histories)), rows.size)
    return tired(asked, whose, together(histories), C, NOW)


def test_showings_that_did_not_hold_tire_of_their_topic_and_no_other():
    unmoved = [_tired(_history([6 * k for k in range(n)], [0.5] * n), 114) for n in (2, 3, 5, 8, 20)]
    assert unmoved[0] == 0 and unmoved == sorted(unmoved) and unmoved[-2] == unmoved[-1] == 1.0
    assert _tired(_history([6 * k for k in range(8)], [0.5] * 8), 115) == 0.0


def test_a_creator_tires_too_and_what_held_the_viewer_clears_it():
    clips = [12 * k for k in range(8)]
    assert _tired(_history(clips, [-0.125] * 8), 108) == 1.0
    assert _tired(_history(clips, [-0.125] * 5 + [1.0] * 3), 108) == 0.0


def test_it_fades():
    clips = [6 * k for k in range(10)]
    fresh, later = (_tired(_history(clips, [0.0] * 10, age), 114) for age in (0, FADE_US))
    assert fresh == 1.0 and 0 < later < 1 and _tired(_history(clips, [0.0] * 10, 6 * FADE_US), 114) == 0.0


def test_no_past_tires_nobody_nor_one_without_times():
    assert not _level(np.arange(5), _history([], [])).any()
    h = _history([0, 6, 12, 18], [0.0] * 4)
    assert _level(np.arange(5), h).any()
    assert not _level(np.arange(5), History(h.rows, h.weights, h.actions)).any()


def test_of_viewers_asked_together_each_is_as_tired_as_alone():
    pasts = [_history([6 * k for k in range(n)], [0.5] * n) for n in (5, 0, 20)]
    pasts.insert(1, _history([12 * k + 1 for k in range(6)], [-0.125] * 6))
    alone = np.concatenate([_level(np.arange(120), past) for past in pasts])
    assert alone.any() and (_level(np.arange(120), *pasts) == alone).all()


def test_the_slate_turns_from_what_tires_and_says_so():
    stage = Stage(120, themes=6)
    context = [ContextEvent(item=f"clip-{6 * k}", dwell_ms=4000, duration_ms=6000, age_s=60 - k) for k in range(9)]
    result = stage.ask(context=context, predict=Quiet(), n=8)
    topics = [int(stage.world.catalogue.tag_rows[c.row, 0]) for c in result.chosen if c.how == "best"]
    assert stage.world.catalogue.tags.of["theme-0"] not in topics
