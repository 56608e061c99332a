"""Admission: who is let in when not all can be, decided at the door, before anything was spent on them.

Think of a ferry in a storm surge. Passengers board before parcels; the crew says at once who will not get on, for a
queue that cannot board in time only keeps people from looking for another pier; and the ferry is not loaded until it
sinks. In a server the sinking is real: requests that wait beyond their asker's patience are answered to nobody, so
work goes up as goodput goes down, and it stays so after the surge has gone (Bronson et al., "Metastable failures in
distributed systems", HotOS 2021).

    enter ──► in hand ──► leave ──► turn: places are given anew, best priority first
        ├───► waits (bounded in number and in time) ──► in hand | refused: late
        └───► refused: full, late, share

What waits beside work is kept short as in Facebook's controlled delay (Maurer, "Fail at scale", ACM Queue 2015): a
burst may wait for WAIT_S; where a queue has been standing for STANDING_S, waiting only makes everyone late, so the
bound falls to a part of it. A request whose turn would come too late, at the rate at which places become free, is
refused at once. Priority comes from what is asked and by whom (the adapter's table), never from the caller's own word,
except to lower it. How many may be in hand: `limit`.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

from holdfast.core.health.limit import Limit

OPEN_MAX = 1024  # requests under way or waiting, all together; a socket and some kB each
CALLER_MAX = 16  # of one device: an app has a feed, a few videos' pages, a write and a heartbeat open at once
TEAM_MAX = 256  # of one team's key, behind which many people stand
HOLD_S = 1.0  # what is in hand for longer waits for something outside (a slow line): it no longer takes up a place
STANDING_S = 0.1  # a queue that was not empty for this long is standing: it is no burst
RATE_SMOOTH = 0.3  # weight of the newest RATE_S of places given back
RATE_S = 0.1
RETRY_MAX_S = 10.0


class Priority(IntEnum):
    """Who goes first; smaller is better."""

    PERSON = 0  # somebody waits for this: feed, writes, tokens
    READER = 1  # somebody may be looking: pages, playlists, bytes of video, probes; and all that comes without a token
    BACKGROUND = 2  # nobody waits: a team's batch, a crawl, prefetch, telemetry


@dataclass(frozen=True, slots=True)
class Row:
    """What a priority may take. `share`: of the limit. `open_max`: of OPEN_MAX. Waits in seconds."""

    share: float
    open_max: int
    wait_s: float  # in a burst; below a client's patience, which begins at 0.5 s
    standing_s: float  # when the queue stands; 0: such a queue is refused
    retry_s: float  # what Retry-After says at most of a burst


TABLE: dict[Priority, Row] = {
    Priority.PERSON: Row(1.0, OPEN_MAX, 0.4, 0.2, 1.0),
    Priority.READER: Row(0.75, OPEN_MAX * 3 // 4, 0.2, 0.1, 2.0),
    Priority.BACKGROUND: Row(0.5, OPEN_MAX // 4, 0.1, 0.0, 5.0),
}


class Why(IntEnum):
    """Why a request was refused."""

    FULL = 0  # too many are open
    LATE = 1  # its turn would not come, or did not come, in time
    SHARE = 2  # this caller has its share in hand already (the caller's doing: HTTP 429)


class Ticket:
    """One request at the door. `began_s` < 0: it waits. `refused`: why it was sent away. `wake`: the adapter's own."""

    __slots__ = ("began_s", "caller", "came_s", "kind", "over", "priority", "refused", "wake")

    def __init__(self, kind: str, priority: Priority, caller: str, came_s: float) -> None:
        self.kind, self.priority, self.caller, self.came_s = kind, priority, caller, came_s
        self.began_s = -1.0
        self.refused: Why | None = None
        self.over = False
        self.wake: object = None

    @property
    def waits(self) -> bool:
        """Whether it is neither in hand nor refused yet."""
        return self.began_s < 0.0 and self.refused is None


@dataclass(slots=True)
class _Queue:
    """Those who wait at one priority, oldest first; since when the queue has not been empty."""

    tickets: deque[Ticket] = field(default_factory=deque[Ticket])
    since_s: float = math.inf

    def wait_s(self, row: Row, now_s: float) -> float:
        """How long one may wait here now."""
        return row.standing_s if now_s - self.since_s >= STANDING_S else row.wait_s


class Gate:
    """One node's door. Every method takes `now_s`, seconds of one monotonic clock that never goes back."""

    def __init__(self) -> None:
        self.limit = Limit()
        self.in_hand: dict[Ticket, None] = {}  # by when they began; those beyond HOLD_S are let out of it
        self.open = 0
        self.admitted = [0] * len(Priority)
        self.refused = [[0] * len(Why) for _ in Priority]
        self._queues = [_Queue() for _ in Priority]
        self._holds = [0] * len(Priority)  # in hand, by priority
        self._left: list[Ticket] = []
        self._callers: dict[str, int] = {}
        # places given back a second, 0: unknown. Known only while somebody waits: else it would tell of the demand
        self._rate, self._rate_from_s, self._freed, self._waited = 0.0, -math.inf, 0, False

    # -- at the door -------------------------------------------------------------------------------------------------

    def enter(self, kind: str, priority: Priority, caller: str, caller_max: int, now_s: float) -> Ticket:
        """Let a request in, let it wait, or refuse it: see the ticket. `caller` "" is nobody in particular."""
        ticket = Ticket(kind, priority, caller, now_s)
        row = TABLE[priority]
        if caller and self._callers.get(caller, 0) >= caller_max:
            return self._refuse(ticket, Why.SHARE)
        if self.open >= row.open_max:
            return self._refuse(ticket, Why.FULL)
        if not self._ahead(priority) and self._room(row, priority, now_s):
            self._admit(ticket, now_s)
        else:
            queue = self._queues[priority]
            wait_s = queue.wait_s(row, now_s)
            if wait_s <= 0.0 or (self._rate > 0.0 and self._ahead(priority) / self._rate > wait_s):
                return self._refuse(ticket, Why.LATE)
            if not queue.tickets:
                queue.since_s = now_s
            queue.tickets.append(ticket)
            self._waited = True
        self.open += 1
        if caller:
            self._callers[caller] = self._callers.get(caller, 0) + 1
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """A request that was let in, or one that waited and gave up, has ended. Its place is free from the next turn.

        Not at once: a server with one thread would otherwise count whatever it runs one after the other as one in
        hand, and never see how much of it there is.
        """
        assert not ticket.over, "a place is given back once"
        ticket.over = True
        self.open -= 1
        if ticket.caller:
            left = self._callers[ticket.caller] - 1
            if left:
                self._callers[ticket.caller] = left
            else:
                del self._callers[ticket.caller]
        if ticket.began_s >= 0.0:
            self._left.append(ticket)

    def turn(self, now_s: float) -> list[Ticket]:
        """Give free places to those who wait. Return who no longer does: let in, or refused because it is too late."""
        for ticket in self._left:
            in_hand = len(self.in_hand)
            if ticket in self.in_hand:
                del self.in_hand[ticket]
                self._holds[ticket.priority] -= 1
                self._freed += 1
                self.limit.hear(ticket.kind, now_s - ticket.began_s, in_hand, now_s)
        self._left.clear()
        self._let_out(now_s)
        if now_s - self._rate_from_s >= RATE_S:
            self._measure(now_s)
        return self._seat(now_s) if any(queue.tickets for queue in self._queues) else []

    def due_s(self) -> float:
        """When `turn` must be called at the latest, so that nobody waits for ever; infinity if nobody waits."""
        return min((q.tickets[0].came_s + TABLE[p].wait_s for p, q in zip(Priority, self._queues, strict=True)
                    if q.tickets), default=math.inf)  # fmt: skip

    def waiting(self) -> int:
        """How many wait."""
        return sum(len(queue.tickets) for queue in self._queues)

    def retry_after_s(self, priority: Priority, chance: float, now_s: float) -> float:
        """When to ask again, in seconds: the later, the longer this priority's queue has been standing.

        Spread by `chance` in [0, 1), so that they do not come back together.
        """
        since_s = self._queues[priority].since_s
        stood_s = now_s - since_s if math.isfinite(since_s) else 0.0
        return min(RETRY_MAX_S, TABLE[priority].retry_s * (1.0 + stood_s)) * (0.5 + 0.5 * chance)

    # -- within ------------------------------------------------------------------------------------------------------

    def _refuse(self, ticket: Ticket, why: Why) -> Ticket:
        ticket.refused, ticket.over = why, True
        self.refused[ticket.priority][why] += 1
        return ticket

    def _admit(self, ticket: Ticket, now_s: float) -> None:
        ticket.began_s = now_s
        self.in_hand[ticket] = None
        self._holds[ticket.priority] += 1
        self.admitted[ticket.priority] += 1

    def _ahead(self, priority: Priority) -> int:
        """How many wait who would be let in before a new one of this priority."""
        queues = self._queues
        ahead = len(queues[0].tickets)
        for k in range(1, priority + 1):
            ahead += len(queues[k].tickets)
        return ahead

    def _room(self, row: Row, priority: Priority, now_s: float) -> bool:
        """Whether one more of this priority fits: into the limit, and with all that stand below it into its share."""
        limit = self.limit.value
        if len(self.in_hand) >= limit:
            self._let_out(now_s)
            if len(self.in_hand) >= limit:
                return False
        return sum(self._holds[priority:]) < limit * row.share

    def _let_out(self, now_s: float) -> None:
        """Count no longer what has been in hand for HOLD_S. It began first, so it stands first."""
        while self.in_hand:
            first = next(iter(self.in_hand))
            if now_s - first.began_s < HOLD_S:
                return
            del self.in_hand[first]
            self._holds[first.priority] -= 1

    def _measure(self, now_s: float) -> None:
        """Smooth the rate at which places become free while somebody waits."""
        newest = self._freed / (now_s - self._rate_from_s)
        if not self._waited or not newest:
            self._rate = 0.0
        else:
            self._rate = newest if self._rate == 0.0 else (1 - RATE_SMOOTH) * self._rate + RATE_SMOOTH * newest
        self._rate_from_s, self._freed, self._waited = now_s, 0, self.waiting() > 0

    def _seat(self, now_s: float) -> list[Ticket]:
        """Go through the queues, best first: drop who is too late or gone, let in who fits."""
        out: list[Ticket] = []
        better_waits = False  # whoever waits at a better priority goes before all others
        for priority, queue in zip(Priority, self._queues, strict=True):
            row, tickets = TABLE[priority], queue.tickets
            bound_s = queue.wait_s(row, now_s)
            while tickets:
                ticket = tickets[0]
                if not ticket.over:
                    if now_s - ticket.came_s > bound_s:
                        self._dismiss(ticket)
                    elif not better_waits and self._room(row, priority, now_s):
                        self._admit(ticket, now_s)
                    else:
                        break
                    out.append(ticket)
                tickets.popleft()
            if tickets:
                better_waits = True
            else:
                queue.since_s = math.inf
        return out

    def _dismiss(self, ticket: Ticket) -> None:
        self.leave(ticket)
        self._refuse(ticket, Why.LATE)
