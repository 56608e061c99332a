"""The door: better priorities first, nothing without a bound, no place lost, and what would be late is told so."""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from holdfast.core.health.admission import HOLD_S, OPEN_MAX, TABLE, Gate, Priority, Ticket, Why
from holdfast.core.health.limit import GOAL_MAX_S, LIMIT_FIRST, LIMIT_MAX, LIMIT_MIN, Limit

PERSON, READER, BACKGROUND = Priority


def enter(gate: Gate, priority: Priority, now_s: float, caller: str = "", most: int = 4) -> Ticket:
    return gate.enter("feed", priority, caller, most, now_s)


def full(gate: Gate, priority: Priority = PERSON, now_s: float = 0.0) -> list[Ticket]:
    """Take places until the next one would have to wait."""
    taken: list[Ticket] = []
    while True:
        ticket = enter(gate, priority, now_s)
        if ticket.began_s < 0.0:
            return taken
        taken.append(ticket)


def test_a_background_request_leaves_room_for_people_and_a_person_takes_all_of_it() -> None:
    gate = Gate()
    batch = full(gate, BACKGROUND)
    assert len(batch) == math.ceil(LIMIT_FIRST * TABLE[BACKGROUND].share)
    people = [enter(gate, PERSON, 0.0) for _ in range(int(LIMIT_FIRST) - len(batch))]
    assert all(t.began_s == 0.0 for t in people)


def test_a_free_place_goes_to_the_best_priority_then_to_who_came_first() -> None:
    gate = Gate()
    taken = full(gate)  # one more person waits already
    late = [enter(gate, p, 0.01) for p in (BACKGROUND, READER, PERSON)]
    for ticket in taken[:2]:
        gate.leave(ticket)
    assert [t.priority for t in gate.turn(0.02)] == [PERSON, PERSON]
    gate.leave(taken[2])
    assert gate.turn(0.03) == [late[1]]
    gate.leave(taken[3])
    assert gate.turn(0.04) == [late[0]]


def test_a_place_is_free_only_at_the_next_turn() -> None:
    gate = Gate()
    taken = full(gate)
    gate.leave(taken[0])
    assert enter(gate, PERSON, 0.0).waits


def test_nobody_waits_longer_than_its_row_says_and_a_standing_queue_is_kept_shorter() -> None:
    gate = Gate()
    full(gate)
    first = enter(gate, PERSON, 0.0)
    assert gate.turn(TABLE[PERSON].standing_s) == []
    assert first in gate.turn(TABLE[PERSON].standing_s + 0.01), "the queue has stood for longer than a burst"
    assert first.refused is Why.LATE and gate.refused[PERSON][Why.LATE] == 2


def test_a_batch_finds_no_queue_where_one_stands() -> None:
    gate = Gate()
    full(gate, BACKGROUND)
    assert enter(gate, BACKGROUND, 0.0).waits
    assert enter(gate, BACKGROUND, 0.2).refused is Why.LATE


def test_what_cannot_come_in_time_is_refused_at_once() -> None:
    """Places become free at ten a second: the fifth in the queue would wait half a second."""
    gate = Gate()
    now_s, taken = 0.0, full(gate)
    for _ in range(10):
        now_s += 0.1
        gate.leave(taken.pop(0))
        gate.turn(now_s)
        taken.append(enter(gate, PERSON, now_s))
    answers = [enter(gate, PERSON, now_s) for _ in range(10)]
    assert any(t.waits for t in answers[:2]) and answers[-1].refused is Why.LATE
    assert now_s == answers[-1].came_s


def test_after_a_calm_time_a_burst_is_not_judged_by_the_calm_demand() -> None:
    gate = Gate()
    for k in range(20):  # two requests a second, nobody waits
        ticket = enter(gate, PERSON, k * 0.5)
        gate.leave(ticket)
        gate.turn(k * 0.5 + 0.01)
    full(gate, PERSON, 10.0)
    assert [enter(gate, PERSON, 10.0).waits for _ in range(20)] == [True] * 20


def test_one_caller_has_its_share_and_no_more() -> None:
    gate = Gate()
    mine = [enter(gate, PERSON, 0.0, "device", 3) for _ in range(5)]
    assert [t.refused for t in mine] == [None, None, None, Why.SHARE, Why.SHARE]
    assert enter(gate, PERSON, 0.0, "another", 3).began_s == 0.0
    gate.leave(mine[0])
    gate.turn(0.0)
    assert enter(gate, PERSON, 0.0, "device", 3).refused is None


def test_a_slow_line_does_not_keep_a_place() -> None:
    gate = Gate()
    full(gate)
    gate.turn(HOLD_S)
    assert enter(gate, PERSON, HOLD_S).began_s == HOLD_S


def test_nobody_jumps_the_queue() -> None:
    gate = Gate()
    full(gate)
    assert enter(gate, PERSON, HOLD_S).waits, "places are free by now, but somebody waits for them"
    gate = Gate()
    readers = full(gate, READER)  # their share is used up, the limit is not; one more reader waits
    assert len(readers) < int(LIMIT_FIRST)
    batch = enter(gate, BACKGROUND, 0.0)
    assert batch not in gate.turn(0.01) and batch.waits


def test_no_more_are_open_than_stated() -> None:
    gate = Gate()
    tickets = [enter(gate, PERSON, 0.0) for _ in range(OPEN_MAX + 1)]
    assert tickets[-1].refused is Why.FULL and tickets[-2].waits and gate.open == OPEN_MAX
    assert enter(gate, BACKGROUND, 0.0).refused is Why.FULL


def test_who_gave_up_while_waiting_is_passed_over() -> None:
    gate = Gate()
    taken = full(gate)
    gone, stays = enter(gate, PERSON, 0.0), enter(gate, PERSON, 0.0)
    gate.leave(gone)
    for ticket in taken[:2]:
        gate.leave(ticket)
    assert stays in gate.turn(0.05) and gone.began_s < 0.0


def test_the_limit_finds_what_a_server_bears() -> None:
    """A server that works `c` at a time: times rise with what is in hand beyond, and the limit comes to rest."""
    for c, service_s in ((1, 0.01), (4, 0.05), (64, 0.02)):
        limit, now_s, took_s = Limit(), 0.0, service_s
        for _ in range(20_000):
            in_hand = int(limit.value)
            took_s = service_s * max(1.0, in_hand / c)
            now_s += took_s / in_hand
            limit.hear("feed", took_s, in_hand, now_s)
        assert took_s <= 2 * GOAL_MAX_S, (c, limit.value)
        assert limit.value >= min(c, LIMIT_MAX / 2), "it must not starve the server"


def test_an_unused_limit_stays_as_it_is() -> None:
    limit = Limit()
    for k in range(500):
        limit.hear("feed", 0.01, 1, k * 0.1)
    assert limit.value == LIMIT_FIRST


def test_an_overload_that_lasts_does_not_teach_the_limit_that_slow_is_normal() -> None:
    limit, now_s = Limit(), 0.0
    limit.hear("feed", 0.01, 1, now_s)
    for _ in range(20_000):  # beyond twice the time for which the least is kept
        in_hand = int(limit.value)
        took_s = 0.02 * in_hand
        now_s += took_s / in_hand
        limit.hear("feed", took_s, in_hand, now_s)
    assert now_s > 100 and limit.value <= 2 * GOAL_MAX_S / 0.02


class Doorway(RuleBasedStateMachine):
    """Anything may happen in any order; the books stay right."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.now_s = Gate(), 0.0
        self.tickets: list[Ticket] = []

    @rule(priority=st.sampled_from(Priority), caller=st.sampled_from(["", "a", "b"]), many=st.integers(1, 30))
    def come(self, priority: Priority, caller: str, many: int) -> None:
        self.tickets += [enter(self.gate, priority, self.now_s, caller, 20) for _ in range(many)]

    @rule(which=st.integers(0, 10_000))
    def go(self, which: int) -> None:
        here = [t for t in self.tickets if not t.over]
        if here:
            self.gate.leave(here[which % len(here)])

    @rule(passes_s=st.sampled_from([0.0, 0.001, 0.05, 0.3, 2.0]))
    def turns(self, passes_s: float) -> None:
        self.now_s += passes_s
        waiting = [t for t in self.tickets if t.waits and not t.over]
        told = self.gate.turn(self.now_s)
        assert all(not t.waits for t in told) and set(told) <= set(waiting)
        for t in waiting:
            assert not t.waits or self.now_s - t.came_s <= TABLE[t.priority].wait_s + 1e-9, "nobody is forgotten"

    @invariant()
    def books(self) -> None:
        gate = self.gate
        here = [t for t in self.tickets if not t.over]
        assert gate.open == len(here) <= OPEN_MAX
        assert len(gate.in_hand) <= LIMIT_MAX
        assert sum(gate.admitted) == sum(t.began_s >= 0 for t in self.tickets)
        assert sum(map(sum, gate.refused)) == sum(t.refused is not None for t in self.tickets)
        assert (gate.due_s() < math.inf) == (gate.waiting() > 0)
        assert LIMIT_MIN <= gate.limit.value <= LIMIT_MAX


TestDoorway = Doorway.TestCase
TestDoorway.settings = settings(max_examples=20, stateful_step_count=40, deadline=None)
