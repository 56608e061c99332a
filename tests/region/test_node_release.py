"""What a node could not take up: a broken network never again, one that there was no memory for some time later."""

import math

from holdfast.region.node_release import AGAIN_MAX_S, AGAIN_S, REFUSED_KEPT, Refusals


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
