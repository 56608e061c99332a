"""The published formulas, number by number: a sign or an operator turned round changes what is asserted here.

Written where planted bugs went unnoticed (`holdfast sim --mutants`).
"""

import math

import numpy as np
import pytest
from rig import S, Stage, T, items

from holdfast.core.allowance import LENGTH_MAX_MS, SHOWINGS_MAX, WATCHED_MAX_MS, Allowance
from holdfast.core.catalogue import FOREIGN_SHARE, HEAT_HALF_LIFE_US, HEAT_PRIOR_VIEWS, LIKE_HEAT, Catalogue
from holdfast.core.feed import debut, lists
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.rules import Rules
from holdfast.core.feed.viewer import Query
from holdfast.core.feed.whynot import why_not
from holdfast.core.profile import SEEN_KEPT, Profile


def counted(**columns: float) -> Catalogue:
    """A catalogue of one item, landmark T, with these columns set."""
    c = Catalogue("US")
    c.row("clip")
    c.landmark_us = T
    for name, value in columns.items():
        getattr(c, name)[0] = value
    return c


def test_heat_is_liking_in_units_of_its_noise() -> None:
    c = counted(warm_views=9, warm_long=4, warm_likes=2, foreign_views=30, foreign_long=20, foreign_likes=5)
    fade = 0.5
    liked = (4 + LIKE_HEAT * 2) * fade + FOREIGN_SHARE * (20 + LIKE_HEAT * 5)
    views = 9 * fade + FOREIGN_SHARE * 30
    assert c.heat(T + HEAT_HALF_LIFE_US)[0] == pytest.approx(liked / math.sqrt(views + HEAT_PRIOR_VIEWS))


def test_totals_are_ours_and_what_others_told() -> None:
    assert counted(views=7, likes=2, comments=3, foreign_views=10, foreign_likes=4).totals(0) == (17, 6, 3)


def test_reception_is_what_first_viewers_did_against_what_is_usual() -> None:
    c = counted(debut_shown=6, debut_long=4)
    prior = debut.RECEPTION_PRIOR
    true = (4 + prior * 0.3) / (6 + prior) / 0.3 - 1.0
    assert debut.reception(np.array([0]), c, 0.3)[0] == pytest.approx(true, rel=1e-6)
    assert debut.reception(np.array([0]), counted(), 0.3)[0] == pytest.approx(0.0, abs=1e-6)
    assert debut.reception(np.array([0]), counted(debut_shown=50, debut_long=50), 0.3)[0] == 1.0


def test_usual_is_the_share_of_long_showings_behind_a_guess() -> None:
    p = debut.USUAL_PRIOR
    true = (60 + debut.USUAL_LONG * p) / (100 + p)
    assert debut.usual(counted(warm_views=100, warm_long=60)) == pytest.approx(true)


def test_what_is_owed_shrinks_by_what_is_met_and_awaited() -> None:
    stage = Stage(1)
    c = stage.world.catalogue
    c.qualified[0] = 3
    plan = debut.plan(stage.world, c.allowed(), stage.now + 10 * S)
    age = stage.now + 10 * S - max(int(c.published[0]), int(c.ruled[0]))
    lacks = debut.DEBUT_VIEWS - 3
    behind = lacks / debut.DEBUT_VIEWS - (1.0 - age / debut.SOON_US)
    assert plan.level == debut.DEBUT_VIEWS
    assert plan.urge_of(np.array([0]))[0] == pytest.approx(debut.BEHIND * behind, rel=1e-4)
    stage.world.debuts.served(c, [0], stage.now)
    waited = debut.plan(stage.world, c.allowed(), stage.now + 10 * S)
    assert waited.urge_of(np.array([0]))[0] < plan.urge_of(np.array([0]))[0], "one is under way: less is lacking"


def test_beyond_its_bound_a_profile_forgets_the_longest_unseen_quarter() -> None:
    profile = Profile()
    for k in range(SEEN_KEPT + 1):
        profile.see(k, T + 4 * k)
    assert len(profile.seen) == SEEN_KEPT * 3 // 4
    assert SEEN_KEPT in profile.seen and min(profile.seen) == SEEN_KEPT + 1 - SEEN_KEPT * 3 // 4


def test_the_allowance_ends_exactly_at_its_bounds() -> None:
    often, long = Allowance(), Allowance()
    assert [often.grants("v", 1, T) for _ in range(SHOWINGS_MAX + 1)] == [True] * SHOWINGS_MAX + [False]
    whole = WATCHED_MAX_MS // LENGTH_MAX_MS
    assert [long.grants("v", 2 * LENGTH_MAX_MS, T) for _ in range(whole + 1)] == [True] * whole + [False]
    assert long.refused == 1 and long.grants("w", 1, T)


def test_the_shelf_leaves_out_what_is_ruled_away_hidden_or_kept_out_by_a_rule() -> None:
    stage = Stage(4)
    stage.rule("clip-1", "remove")
    stage.hide("v", "clip-2")
    stage.view("w", "mentioned")  # named by a deed, not published here yet
    stage.rule("condemned", "remove")  # ruled on, not published here yet
    shelf = ("clip-0", "clip-1", "clip-2", "clip-3", "unheard-of", "mentioned", "condemned")
    assert items(stage.ask(rung=Rung.SHELF, shelf=shelf)) == ["clip-0", "clip-3", "unheard-of", "mentioned"]
    kept_out = Rules(no_tags=["theme-0"])  # of the unheard-of nobody knows its tags: kept out as well
    assert items(stage.ask(rung=Rung.SHELF, shelf=shelf, rules=kept_out)) == ["clip-3", "mentioned"]


def test_why_not_tells_a_limit_from_coming_behind() -> None:
    stage = Stage(3)
    stage.publish("limited", tags=["theme-0"], creator="l", verdict="limit")

    def state(item: str) -> str:
        query = Query("v", stage.ask().viewer.query.ask)
        return why_not(item, query, stage.world, stage.now, lambda q: stage.ask(n=min(q.ask.n, 100))).filter

    assert state("limited") == "ruled" and state("clip-0") == ""


def test_similar_adds_likeness_of_tags_and_of_creator() -> None:
    stage = Stage(0)
    for item, tags, creator in (("a", ["x", "y"], "c"), ("b", ["x", "z"], "d"), ("c", ["z"], "c"), ("d", ["q"], "e")):
        stage.publish(item, tags=tags, creator=creator)
    c = stage.world.catalogue
    listed = {c.items.all[one.row]: one.score for one in lists.similar(stage.world, c.items.of["a"], "", 9, None)}
    assert listed == {"b": pytest.approx(lists.TAGS_WEIGHT / 3, abs=1e-4), "c": pytest.approx(0.1, abs=1e-4)}


def test_trending_holds_as_many_as_were_asked_for_the_warmest_first() -> None:
    stage = Stage(5)
    for k in range(5):
        stage.world.catalogue.warm_long[stage.world.catalogue.items.of[f"clip-{k}"]] = k
    names = [stage.world.catalogue.items.all[one.row] for one in lists.trending(stage.world, "", 2)]
    assert names == ["clip-4", "clip-3"]
    assert len(lists.trending(stage.world, "", 5)) == 5 and lists.trending(stage.world, "", 1)[0].score > 0
