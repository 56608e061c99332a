"""What each action says about liking: one published table, used by folds, model, taste strip and explanations.

A like must outweigh a view: three of them turn the next slate. A skip says a little, a hide says much. The numbers
are multiples of 1/WEIGHT_UNIT, because the learner's statistics are integers: sums that no order of
arrival can change.
"""

WEIGHT_UNIT = 8

# weight in a viewer's history, in 1/WEIGHT_UNIT
WEIGHT: dict[str, int] = {
    "glance": -1,  # swiped on at once
    "view": 4,  # stayed a while, but not long
    "long": 8,
    "like": 16,  # 16 was measured better than 24 on KuaiRand
    "share": 16,
    "comment": 12,
    "skip": -3,
    "hide": -32,
}
GLANCE_MS = 3_000
GLANCE_SHARE = 0.35  # of a short video

LONG_VIEW_MS = 18_000  # KuaiRand's own rule: a whole short video, or 18 s of a longer one
LONG_VIEW_SHARE = 0.9  # players report the last frame a little early


def is_long(dwell_ms: int, duration_ms: int) -> bool:
    """Say whether a showing was a long view: nearly all of it, or LONG_VIEW_MS of a longer video."""
    if duration_ms <= 0:
        return dwell_ms >= LONG_VIEW_MS
    return dwell_ms >= LONG_VIEW_MS or dwell_ms >= LONG_VIEW_SHARE * duration_ms


def is_glance(dwell_ms: int, duration_ms: int) -> bool:
    """Say whether a showing ended almost before it began."""
    return dwell_ms < GLANCE_MS and (duration_ms <= 0 or dwell_ms < GLANCE_SHARE * duration_ms)


def weight_of(action: str, dwell_ms: int, duration_ms: int) -> int:
    """Return the weight, in 1/WEIGHT_UNIT, of one event in a viewer's history; 0 for actions about no video."""
    if action != "view":
        return WEIGHT.get(action, 0)
    if is_long(dwell_ms, duration_ms):
        return WEIGHT["long"]
    return WEIGHT["glance"] if is_glance(dwell_ms, duration_ms) else WEIGHT["view"]
