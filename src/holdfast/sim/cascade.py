"""A platform of hundreds of regions in virtual time: who asks whom, who waits where, and what falls over next.

    client ──► region: door ──► workers ──► store          client: router, budget, detector, backoff
       ▲           (Gate)        (FIFO)   (deepest layer)   region: Gate, ladder
       └─────────── answer, refusal, silence ◄──────┘

It is a workload model, not a simulation of the platform's entries: a request is a piece of work that takes time. What
decides is the real code: `core.health` (admission, router, budget, detector, backoff) and `core.feed.ladder`, the same
objects that nodes and clients run. What is modelled is time: workers and stores that serve one request after another,
caches that are cold after a power cut, links with a round trip. Work whose asker has hung up is done all the same, as
in any server that does not look: that is what makes an overload outlive its cause (Bronson et al., HotOS 2021).

Each defence can be switched off; then what a competent team builds first stands in its place (`Defences`). One thread,
one seed: the same seed gives the same figures to the last digit.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from holdfast.core.feed.ladder import Facts, Ladder, Rung, affordable
from holdfast.core.health.admission import Gate, Priority, Ticket

if TYPE_CHECKING:
    from holdfast.sim.cascade_client import Client, Try

WARM_KEYS = 300.0  # answers from the store that warm two thirds of a cold cache
FOLD_S = 8.0  # a cold region reads its log by itself, at its own pace, in so long
READY = 0.95  # the part of the log read from which on the folds serve
SHELF_COST = 0.3  # of a slate's work: a signed file is read, nothing is computed
STORE_WAITS_MAX = 40  # requests; a keeper says `overloaded` beyond what it can write in time
QUEUE_MAX = 100_000  # a server that does not refuse has a queue as long as its memory


@dataclass(frozen=True, slots=True)
class Defences:
    """Which defences stand. What stands in place of one that is off is said beside it."""

    admission: bool = True  # off: everybody is taken in, and answered in the order of arrival
    budget: bool = True  # off: three attempts at each request, as most libraries do
    backoff: bool = True  # off: the next attempt, write or probe comes at once or after a fixed time
    router: bool = True  # off: no memory: each request begins at the nearest region and waits a fixed time-out
    ladder: bool = True  # off: no lower rungs: the store fills a cold cache; who gets no slate asks again
    rollout: bool = True  # off: a release goes to everybody at once

    @staticmethod
    def names() -> tuple[str, ...]:
        """Every defence's name."""
        return tuple(f.name for f in fields(Defences))


@dataclass(frozen=True, slots=True)
class Size:
    """How large the platform is and how busy. Times in seconds; a model's request stands for many real ones."""

    regions: int = 200
    clients: int = 10  # per region; each stands for many viewers
    load: float = 0.72  # of each region's capacity at the busy hour: N+1 with a little to spare
    feed_s: float = 0.03  # of a worker, for a slate
    write_s: float = 0.01
    store_s: float = 0.018  # of the store, for a write or a read that the cache lacks
    writes: float = 0.3  # share of requests that are writes; each reaches the store
    rtt_s: float = 0.02  # to the nearest region; the next ones are a step further each
    step_s: float = 0.02
    deaf: float = 0.0  # share of its time in which a client's process could not listen (`adapters.aio.ear`)

    @property
    def per_client(self) -> float:
        """Requests a second of one client."""
        work_s = (1 - self.writes) * self.feed_s + self.writes * self.write_s
        return self.load / work_s / self.clients


@dataclass(slots=True)
class Second:
    """What happened in one second. Requests by when they began, attempts by when they arrived."""

    asked: int = 0
    good: int = 0
    device: int = 0  # the viewer's own device made the slate: not counted as good
    attempts: int = 0
    store: int = 0  # attempts that reached a store
    store_first: int = 0  # of those, the first of their request


class World:
    """The clock, the events, the regions and the books."""

    def __init__(self, size: Size, defences: Defences, seed: int) -> None:
        self.size, self.defences = size, defences
        self.dice = random.Random(seed)
        self.now_s = 0.0
        self.seconds: list[Second] = []
        self._events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._count = 0
        self.regions = [Region(self, k) for k in range(size.regions)]
        self.clients: list[Client] = []
        self.surge = 1.0  # times the usual number of requests

    def at(self, when_s: float, act: Callable[..., None], *args: object) -> None:
        """Have `act(*args)` called at a moment. What is due at one moment happens in the order it was asked for."""
        self._count += 1
        heapq.heappush(self._events, (when_s, self._count, act, args))

    def run(self, until_s: float) -> None:
        """Let time pass."""
        events = self._events
        while events and events[0][0] <= until_s:
            when_s, _, act, args = heapq.heappop(events)
            self.now_s = when_s
            act(*args)
        self.now_s = until_s

    def second(self, when_s: float) -> Second:
        """The book of one second."""
        while len(self.seconds) <= int(when_s):
            self.seconds.append(Second())
        return self.seconds[int(when_s)]


@dataclass(slots=True)
class Store:
    """The deepest layer of a region: one request after the other, the rest wait."""

    world: World
    waits: deque[tuple["Try", Callable[["Try"], None]]] = field(
        default_factory=deque[tuple["Try", Callable[["Try"], None]]]
    )
    busy: bool = False

    def take(self, attempt: "Try", then: Callable[["Try"], None]) -> bool:
        """Work on it, then call `then`. False: too much waits here."""
        if len(self.waits) >= (STORE_WAITS_MAX if self.world.defences.admission else QUEUE_MAX):
            return False
        book, request = self.world.second(self.world.now_s), attempt.request
        book.store += 1
        if not request.at_store:
            request.at_store = True
            book.store_first += 1
        self.waits.append((attempt, then))
        if not self.busy:
            self._next()
        return True

    def _next(self) -> None:
        self.busy = bool(self.waits)
        if self.busy:
            attempt, then = self.waits.popleft()
            self.world.at(self.world.now_s + self.world.size.store_s, self._done, attempt, then)

    def _done(self, attempt: "Try", then: Callable[["Try"], None]) -> None:
        then(attempt)
        self._next()


class Region:
    """One region: a door, one worker, a store, a cache that may be cold. Down, it is silent."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number = world, number
        self.up, self.answers = True, True  # not `answers`: it works, but nothing of it comes back
        self.store = Store(world)
        self.warm = 1.0
        self.slow = 1.0  # times the work that a slate takes with the release that serves
        self.ladder = Ladder(Rung.FULL, 0.0)
        self._folded_s = -FOLD_S
        self._start()

    def _start(self) -> None:
        self.gate = Gate()
        self.work: deque[tuple[Try, Ticket | None]] = deque()
        self.busy, self.boot = False, getattr(self, "boot", 0) + 1
        self.store = Store(self.world)

    def power(self, *, on: bool) -> None:
        """Cut or give power. What was under way is lost with it, and so is what memory held."""
        self.up = on
        self._start()
        if on:
            self.warm, self._folded_s = 0.0, self.world.now_s
            self.ladder = Ladder(Rung.SHELF, self.world.now_s, self.world.now_s)

    # -- a request's way ---------------------------------------------------------------------------------------------

    def arrive(self, attempt: "Try") -> None:
        """An attempt comes to the door."""
        if not self.up:
            return
        self.world.second(self.world.now_s).attempts += 1
        if not self.world.defences.admission:
            if len(self.work) < QUEUE_MAX:
                self._give(attempt, None)
            return
        ticket = self.gate.enter(attempt.request.kind, Priority.PERSON, "", 0, self.world.now_s)
        ticket.wake = attempt
        if ticket.refused is not None:
            self._refuse(attempt)
        elif ticket.waits:
            self.world.at(self.gate.due_s() + 1e-3, self._turn, self.boot)
        else:
            self._give(attempt, ticket)

    def _give(self, attempt: "Try", ticket: Ticket | None) -> None:
        self.work.append((attempt, ticket))
        if not self.busy:
            self._next()

    def _next(self) -> None:
        self.busy = bool(self.work)
        if self.busy:
            attempt, ticket = self.work.popleft()
            self.world.at(self.world.now_s + self._work_s(attempt), self._worked, attempt, ticket, self.boot)

    def _work_s(self, attempt: "Try") -> float:
        size, request = self.world.size, attempt.request
        if request.kind == "write":
            return size.write_s
        attempt.rung = self._rung()
        if attempt.rung >= Rung.SHELF:
            return size.feed_s * SHELF_COST
        return size.feed_s * (self.slow if request.client.on_trial else 1.0)

    def _worked(self, attempt: "Try", ticket: Ticket | None, boot: int) -> None:
        if boot != self.boot:
            return
        if attempt.request.kind == "write" or self._misses(attempt):
            if not self.store.take(attempt, lambda a: self._answer(a, ticket, boot)):
                self._end(ticket)
                attempt.request.client.degraded(attempt)
        else:
            self._answer(attempt, ticket, boot)
        self._next()

    def _answer(self, attempt: "Try", ticket: Ticket | None, boot: int) -> None:
        if boot != self.boot:
            return
        if attempt.request.kind == "feed" and attempt.rung < Rung.SHELF:
            self.warm += (1.0 - self.warm) / WARM_KEYS
        self._end(ticket)
        if self.answers:
            attempt.request.client.answered(attempt)

    def _end(self, ticket: Ticket | None) -> None:
        if ticket is not None:
            self.gate.leave(ticket)
            self._turn(self.boot)

    def _turn(self, boot: int) -> None:
        if boot != self.boot:
            return
        for ticket in self.gate.turn(self.world.now_s):
            attempt: Try = ticket.wake  # type: ignore[assignment]
            if ticket.refused is None:
                self._give(attempt, ticket)
            else:
                self._refuse(attempt)

    def _refuse(self, attempt: "Try") -> None:
        if self.answers:
            retry_s = self.gate.retry_after_s(Priority.PERSON, self.world.dice.random(), self.world.now_s)
            attempt.request.client.refused(attempt, retry_s)

    # -- what it can give --------------------------------------------------------------------------------------------

    def _rung(self) -> Rung:
        """The rung a slate is made on: the ladder's, from what has been read of the log."""
        if not self.world.defences.ladder or (self.warm >= 1.0 and self.ladder.rung is Rung.FULL):
            return Rung.FULL
        now_s = self.world.now_s
        self.warm = max(self.warm, min(1.0, (now_s - self._folded_s) / FOLD_S))
        best, _ = affordable(Facts(1.0, 1.0, allowed=1, shelf=1, folding=self.warm >= READY))
        self.ladder = self.ladder.step(best, now_s)
        return self.ladder.rung

    def _misses(self, attempt: "Try") -> bool:
        return attempt.rung < Rung.SHELF and self.warm < 1.0 and self.world.dice.random() >= self.warm

    def waits_s(self) -> float:
        """How long who comes now would wait for the worker, seconds."""
        return len(self.work) * self.world.size.feed_s * self.slow
