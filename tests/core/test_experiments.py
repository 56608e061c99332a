"""Experiments: even and steady assignment, tallies that no order changes, intervals that survive peeking."""

import random
from collections import Counter

from holdfast.core import experiments
from holdfast.core.entries import Arm, Experiment, Like, SlateServed, View
from holdfast.core.experiments import Tally, Trials
from holdfast.core.feed import snapshot
from holdfast.core.feed.world import World
from holdfast.drills.peeking import aa, power

T = 1_700_000_000_000_000
S = 1_000_000


def experiment(name: str = "x", **fields) -> Experiment:
    arms = fields.pop("arms", [Arm(name="a"), Arm(name="b")])
    return Experiment(device="n", outbox=1, stamp=T, name=name, arms=arms, window_s=60, **fields)


def story() -> list:
    """Two viewers, both exposed; one of them watches within the window and after it."""
    x = experiment()
    entries: list = [x]
    for k, viewer in enumerate(("anna", "ben")):
        entries.append(SlateServed(device="n", outbox=10 + k, stamp=T + k, viewer=viewer, slate=f"s{k}",
                                   rung="LINEAR", items=["i"], arms={"x": experiments.arm_of(x, viewer)}))  # fmt: skip
    entries += [
        View(device="anna", outbox=1, stamp=T + 5 * S, item="i", dwell_ms=6000, duration_ms=6000),
        View(device="anna", outbox=2, stamp=T + 6 * S, item="j", dwell_ms=10, duration_ms=6000),
        Like(device="anna", outbox=3, stamp=T + 7 * S, item="i"),
        View(device="anna", outbox=4, stamp=T + 61 * S, item="k", dwell_ms=6000, duration_ms=6000),
        View(device="carl", outbox=1, stamp=T + 5 * S, item="i", dwell_ms=6000, duration_ms=6000),
    ]
    return entries


def folded(entries: list) -> World:
    world = World("US")
    for entry in entries:
        world.apply(entry)
    return world


def test_assignment_is_even_steady_and_independent() -> None:
    viewers = [f"acme:viewer-{k}" for k in range(8000)]
    x, y = experiment("x"), experiment("y")
    arms = [experiments.arm_of(x, v) for v in viewers]
    assert arms == [experiments.arm_of(x, v) for v in viewers]
    both = Counter(zip(arms, (experiments.arm_of(y, v) for v in viewers), strict=True))
    assert all(abs(n - 2000) < 5 * 39 for n in both.values()), both  # 5 s.d. of a binomial
    other = [experiments.arm_of(experiment("x", salt="2"), v) for v in viewers]
    assert abs(sum(a == b for a, b in zip(arms, other, strict=True)) - 4000) < 5 * 45
    three = experiment(arms=[Arm(name="a", share=1), Arm(name="b", share=3), Arm(name="c", share=4)])
    counts = Counter(experiments.arm_of(three, v) for v in viewers)
    assert abs(counts["a"] - 1000) < 150 and abs(counts["b"] - 3000) < 220 and abs(counts["c"] - 4000) < 225


def test_a_viewer_is_one_number_within_the_window_after_the_first_exposure() -> None:
    tallies = folded(story()).trials.tallies["x"]
    assert set(tallies) == {"anna", "ben"}
    anna = tallies["anna"]
    assert (anna.views, anna.long_views, anna.likes, anna.since) == (2, 1, 1, T)
    assert experiments.outcome_of(anna, "long_view_share") == 0.5
    assert experiments.outcome_of(tallies["ben"], "long_view_share") is None
    assert experiments.outcome_of(tallies["ben"], "likes") == 0.0


def test_what_was_folded_twice_or_undone_counts_once() -> None:
    entries = story()
    undone = Like(device="anna", outbox=9, stamp=T + 8 * S, item="i", on=False)
    world = folded([*entries, *entries, undone, undone])
    anna = world.trials.tallies["x"]["anna"]
    assert (anna.views, anna.likes) == (2, 0)


def test_the_order_of_what_viewers_did_changes_nothing() -> None:
    entries = story()
    first, rest = entries[:3], entries[3:]
    want = folded(entries).trials.tallies
    for seed in range(5):
        random.Random(seed).shuffle(rest)
        assert folded(first + rest).trials.tallies == want


def test_a_definition_is_replaced_by_a_newer_stamp_only() -> None:
    trials, arms = Trials(), [Arm(name="a"), Arm(name="b")]
    stopped = Experiment(device="n", outbox=2, stamp=T + 5, name="x", arms=arms, stopped=T + 5)
    for order in ((experiment(), stopped), (stopped, experiment())):
        trials = Trials()
        for entry in order:
            trials.define(entry)
        assert trials.running("") == [] and trials.defined["x"].stopped
    trials.define(experiment("acme:x"))
    assert [e.name for e in trials.running("acme")] == ["acme:x"] and trials.running("") == []


def test_a_snapshot_keeps_experiments_and_goes_on_counting() -> None:
    world = folded(story())
    again = snapshot.thaw(snapshot.freeze(world))
    assert again.trials.tallies == world.trials.tallies and again.trials.defined == world.trials.defined
    late = View(device="ben", outbox=1, stamp=T + 9 * S, item="i", dwell_ms=6000, duration_ms=6000)
    for each in (world, again):
        each.apply(late)
    assert again.trials.tallies == world.trials.tallies and again.trials.tallies["x"]["ben"].long_views == 1


def test_results_wait_for_windows_to_end_and_for_enough_viewers() -> None:
    x = experiment(outcome="long_views")
    tallies = {f"v{k}": Tally("ab"[k % 2], T, 10, (8, 2)[k % 2] + k % 3, 0) for k in range(200)}
    early = experiments.results(x, tallies, T + 59 * S)
    assert [(line.viewers, line.waiting) for line in early] == [(0, 100), (0, 100)]
    few = experiments.results(x, dict(list(tallies.items())[:98]), T + 60 * S)
    assert few[1].viewers == 49 and few[1].low is None
    a, b = experiments.results(x, tallies, T + 60 * S)
    assert (a.viewers, b.viewers, b.surely) == (100, 100, "worse")
    assert b.change is not None and b.low is not None and b.high is not None
    assert b.low < b.change < b.high < 0 and abs(b.change + 6) < 0.2
    reversed_arms = experiment(outcome="long_views", arms=[Arm(name="b"), Arm(name="a")])
    assert experiments.results(reversed_arms, tallies, T + 60 * S)[1].surely == "better"


def test_more_arms_ask_for_more() -> None:
    x3 = experiment(outcome="long_views", arms=[Arm(name="a"), Arm(name="b"), Arm(name="c")])
    tallies = {f"v{k}": Tally("abc"[k % 3], T, 10, k % 7, 0) for k in range(600)}
    two = experiments.results(experiment(outcome="long_views"), tallies, T + 60 * S)[1]
    three = experiments.results(x3, tallies, T + 60 * S)[1]
    assert three.high - three.low > two.high - two.low  # type: ignore[operator]


def test_lost_exposures_are_noticed_and_chance_is_not() -> None:
    assert experiments.shares_hold([0, 0], [1, 1]) and experiments.shares_hold([1010, 990], [1, 1])
    assert experiments.shares_hold([250, 760], [1, 3]) and not experiments.shares_hold([400, 600], [1, 1])
    assert not experiments.shares_hold([350, 650], [1, 3])
    draws = random.Random(3)
    alarms = 0
    for _ in range(300):
        a = b = 0
        held = True
        for step in range(1, 1001):
            a, b = (a + 1, b) if draws.random() < 0.5 else (a, b + 1)
            held &= step % 20 > 0 or experiments.shares_hold([a, b], [1, 1])
        alarms += not held
    assert alarms <= 6, alarms  # 1 % promised, at 50 looks each


def test_looking_at_every_step_errs_no_more_than_promised() -> None:
    """`holdfast bench peeking` does 1,000; here 300 looked at 80 times each, and the naive interval beside it."""
    found = aa(runs=300, viewers=4000, looks=80, seed=5)
    assert found.always_valid <= 0.05 and found.naive > 0.2, found


def test_a_real_difference_is_found() -> None:
    assert power(runs=60, viewers=4000, looks=40, lift=0.05, seed=5) > 0.8
