"""Virtual time: what a region hears when, and what is lost with it; the figures of the debut bench."""

from holdfast.core.entries import View
from holdfast.drills.debuts import Fate, Outcome, figures
from holdfast.drills.hour import BEGIN_US, Hour, clip
from holdfast.drills.jurisdiction import S_US, Jurisdiction
from holdfast.drills.world import World

MIN = 60 * S_US


def _view(law: Jurisdiction, at: str, viewer: str) -> None:
    law.tell(at, View(**law.stamped(viewer), item="clip", dwell_ms=5000, duration_ms=5000))


def _views(law: Jurisdiction, at: str) -> int:
    c = law.sites[at].world.catalogue
    return int(c.views[c.items.of["clip"]]) if "clip" in c.items.of else 0


def test_a_peer_hears_later_and_nothing_of_what_was_under_way_when_a_region_is_lost():
    law = Jurisdiction(["a", "b"], 30.0, 0)
    law.advance(BEGIN_US)
    _view(law, "a", "v")
    law.advance(BEGIN_US + 29 * S_US)
    assert (_views(law, "a"), _views(law, "b")) == (1, 0)
    law.advance(BEGIN_US + 30 * S_US)
    assert _views(law, "b") == 1
    _view(law, "a", "w")
    law.lose("a")
    law.advance(BEGIN_US + 90 * S_US)
    assert _views(law, "b") == 1


def test_an_audience_watches_learns_and_goes_on_at_the_other_region():
    law = Jurisdiction(["us-east", "us-west"], 30.0, 3)
    hour = Hour(World(3, [clip(3, "old", k) for k in range(120)]), 3, law)
    hour.at(BEGIN_US + MIN, "lose", 0)
    hour.go(BEGIN_US + 2 * MIN)
    gone, there = (hour.law.sites[name].world for name in ("us-east", "us-west"))
    heard = {seat.viewer.name: len(seat.memory.seen) for seat in hour.seats if seat.memory.seen}
    assert len(heard) > 50 and sum(heard.values()) == int(there.catalogue.views.sum())  # said again, and counted once
    assert int(gone.catalogue.views.sum()) < sum(heard.values())


def test_the_figures_say_what_was_reached_when_and_at_what_cost():
    good = [Fate(0, False, reached_us=5 * MIN, shown=30, places=20, late=1) for _ in range(19)]
    late = Fate(0, False, reached_us=11 * MIN, shown=30, places=20)
    bad = Fate(0, True, shown=8, places=8)
    hits = {f"viewer-{k}": [40.0, 100.0] for k in range(200)}
    out = Outcome(fates={str(i): f for i, f in enumerate([*good, late, bad])}, before=dict(hits), hits=hits,
                  paired=[(4.0, 5.0)], slates=10)  # fmt: skip
    said = figures([out])
    assert (said["good_reached_share"], said["minutes_p95"], said["bad_impressions_mean"]) == (0.95, 11.0, 8.0)
    assert (said["overshoot"], said["hit_rate_cost_paired"]) == (round(19 / 400, 4), 0.02)
    assert abs(said["hit_rate_cost"]) < 1e-6
    never = Outcome(fates={"a": Fate(0, False), "b": bad}, before=hits, hits=hits)
    assert (figures([never])["good_reached_share"], figures([never])["minutes_p95"]) == (0.0, None)
