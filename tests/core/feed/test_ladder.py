"""The ladder falls at once, climbs one rung at a time after calm, and says what each rung lacks."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.feed.ladder import CALM_S, TABLE, Facts, Ladder, Rung, affordable, standing

RUNGS = st.sampled_from(list(Rung))


def test_the_table_has_every_rung_in_order():
    assert [row.rung for row in TABLE] == list(Rung)


def test_without_a_network_the_best_is_linear_and_full_says_why():
    best, lacks = affordable(Facts(network_age_s=None, linear_age_s=3.0, allowed=240, shelf=24))
    assert best is Rung.LINEAR
    words = "no network serves yet: the learner trains one and shows it to a few viewers first"
    assert lacks["FULL"] == lacks["STALE"] == words


def test_each_missing_thing_costs_its_rung():
    assert affordable(Facts(None, None, 240, 24))[0] is Rung.REGIONAL
    assert affordable(Facts(None, 3.0, 0, 24))[0] is Rung.SHELF
    assert affordable(Facts(None, 3.0, 0, 0))[0] is Rung.DEVICE
    assert affordable(Facts(60.0, 3.0, 240, 24))[0] is Rung.FULL
    assert affordable(Facts(90_000.0, 3.0, 240, 24))[0] is Rung.STALE


@given(st.lists(st.tuples(RUNGS, st.floats(0.0, 30.0)), max_size=40))
def test_falls_are_at_once_and_climbs_one_at_a_time_after_calm(steps):
    ladder, now = Ladder(Rung.LINEAR, 0.0), 0.0
    for best, passed in steps:
        now += passed
        after = ladder.step(best, now)
        if best > ladder.rung:
            assert after.rung is best
        elif after.rung < ladder.rung:
            assert after.rung == ladder.rung - 1 and now - ladder.calm_since_s >= CALM_S
        ladder = after


def test_a_flapping_cause_never_lets_it_climb():
    ladder = Ladder(Rung.LINEAR, 0.0)
    for i in range(100):
        ladder = ladder.step(Rung.REGIONAL if i % 2 else Rung.LINEAR, i * CALM_S * 0.4)
        assert i == 0 or ladder.rung is Rung.REGIONAL


def test_words_name_the_rung_above_and_the_calm_still_wanted():
    best, lacks = affordable(Facts(None, 3.0, 240, 24))
    words, above = standing(Ladder(Rung.REGIONAL, 100.0), best, lacks, 104.0)
    assert "LINEAR" in words and "6 s more of calm" in above["LINEAR"]
