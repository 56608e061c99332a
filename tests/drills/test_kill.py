"""The kill, small: fewer clients than the drill, the same faults and books. Timing is the drill's own business."""

import pytest

from holdfast.drills import kill
from patience import SLOW


@pytest.mark.parametrize("mode", ["silent", pytest.param("refuse", marks=pytest.mark.slow)])
def test_a_region_goes_dark_and_loses_its_disk(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill, "SETTLE_S", kill.SETTLE_S * SLOW)
    monkeypatch.setattr(kill, "RESTORE_S", kill.RESTORE_S * SLOW)
    verdict = kill.run([mode], clients=10, seconds=2.0, say=print)[mode]
    assert verdict.acknowledged > verdict.safe > 0
    assert (verdict.safe_missing, verdict.acknowledged_missing) == (0, 0)
    assert (verdict.slates_empty, verdict.repeats, verdict.failed) == (0, 0, 0)
    assert 0 <= verdict.serves_again_s <= verdict.restored_s
