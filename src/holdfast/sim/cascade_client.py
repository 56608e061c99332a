"""A client in the workload model: the SDK's decisions in virtual time, or what stands in for them when they are off.

It asks the best region its router names; when that is silent for longer than the detector's patience, or refuses, it
asks the next out of its budget; what it cannot get it does without (a slate of its own device) or says again later (a
write, in one batch with all others that wait). A person who is left without anything asks again, now and then: demand
is not polite either.
"""

from collections.abc import Callable
from dataclasses import dataclass

from holdfast.core.feed.ladder import Rung
from holdfast.core.health.backoff import delay_s
from holdfast.core.health.router import Place, Router
from holdfast.sim.cascade import Region, World

LAW = "US"
KNOWN = 4  # regions a client may use
FEED_DEADLINE_S, WRITE_DEADLINE_S = 1.5, 5.0  # the SDK's
GOODPUT_MIN = 0.5  # the SDK's: a region that fails every second call is left
ATTEMPTS, TIMEOUT_S, FIXED_S = 3, 1.0, 0.1  # without budget, without router, without backoff
RETRY_FIRST_S, RETRY_CAP_S = 0.2, 5.0
PROBE_FIRST_S, PROBE_CAP_S = 0.5, 4.0
IMPATIENT, IMPATIENT_FROM_S, IMPATIENT_TO_S = 0.5, 1.0, 3.0  # who got nothing asks again, with this chance


@dataclass(slots=True, eq=False)
class Request:
    """One thing a viewer wants."""

    client: "Client"
    kind: str
    born_s: float
    attempts: int = 0
    open: int = 0
    over: bool = False
    at_store: bool = False
    counted: bool = True  # False: said again, and counted when it was said first
    left: list[int] | None = None  # regions not asked yet, best first


@dataclass(slots=True, eq=False)
class Try:
    """One attempt at a region."""

    request: Request
    region: Region
    rtt_s: float
    at_s: float
    rung: Rung = Rung.FULL
    given_up: bool = False


class Client:
    """One device. `home`: its region; the next nearest lie on either side of it, whichever side it lives on."""

    def __init__(self, world: World, home: int, number: int) -> None:
        self.world = world
        n, side = world.size.regions, 1 if number % 2 else -1
        reach = [0, side, -side, 2 * side, -2 * side][: min(KNOWN, n)]
        self.near = [(home + step) % n for step in reach]
        self.rtt_s = {r: world.size.rtt_s + k * world.size.step_s for k, r in enumerate(self.near)}
        self.router = Router(LAW, [Place(str(r), LAW, "") for r in self.near])
        self.home = home
        self.on_trial = False
        self.waiting = 0  # writes that wait to be said again
        self.rests, self.tries = False, 0
        self.asked = self.good = 0
        self.tell: Callable[[str, int], None] | None = None  # `suspect`, `feed`, `write`, and the region
        self._probing: set[int] = set()

    # -- asking ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Live: ask at random moments, for ever."""
        world = self.world
        world.at(world.now_s + world.dice.expovariate(world.size.per_client), self._due)

    def _due(self) -> None:
        world = self.world
        world.at(world.now_s + world.dice.expovariate(world.size.per_client * world.surge), self._due)
        self.ask("write" if world.dice.random() < world.size.writes else "feed")

    def ask(self, kind: str) -> None:
        """Want something now."""
        world = self.world
        world.second(world.now_s).asked += 1
        self.asked += 1
        if kind == "write" and self.rests:
            self.waiting += 1  # it goes with the others when they are said again
            return
        self._send(Request(self, kind, world.now_s))

    def _send(self, request: Request) -> None:
        self.router.budget.earn()
        request.left = self._candidates()
        if not self._next(request):
            self._lost(request)

    def _candidates(self) -> list[int]:
        if not self.world.defences.router:
            return list(self.near)
        return [int(place.name) for place in self.router.candidates(self.world.now_s)]

    def _next(self, request: Request) -> bool:
        """Ask the next region, if there is one and it may be asked."""
        defences, budget = self.world.defences, self.router.budget
        assert request.left is not None
        if request.attempts and not (budget.retry() if defences.budget else request.attempts < ATTEMPTS):
            return False
        if not request.left and not defences.budget:
            request.left = self._candidates() or list(self.near)
        if not request.left:
            return False
        self._launch(request)
        return True

    def _launch(self, request: Request) -> None:
        assert request.left
        world, region = self.world, request.left.pop(0)
        attempt = Try(request, world.regions[region], self.rtt_s[region], world.now_s)
        request.attempts += 1
        request.open += 1
        world.at(world.now_s + self._patience_s(region), self._silent, attempt)
        if request.kind == "feed" and request.attempts == 1 and request.left and world.defences.router:
            world.at(world.now_s + self.router.hedge_after_s(str(region)), self._hedge, request)
        attempt.region.arrive(attempt)

    def _hedge(self, request: Request) -> None:
        """The answer is slower than nearly all: ask a second region too, if the budget has one to spare."""
        if not request.over and request.open == 1 and request.left and self.router.budget.hedge():
            self._launch(request)

    def _patience_s(self, region: int) -> float:
        if not self.world.defences.router:
            return TIMEOUT_S
        return self.router.vantages[str(region)].patience_s()

    # -- what comes back ---------------------------------------------------------------------------------------------

    def answered(self, attempt: Try) -> None:
        """An answer. It is heard even when another came first; whoever has hung up hears nothing."""
        request, now_s = attempt.request, self.world.now_s
        if attempt.given_up:
            return
        request.open -= 1
        attempt.given_up = True
        self.router.vantages[str(attempt.region.number)].good(now_s - attempt.at_s + attempt.rtt_s, now_s)
        if request.over:
            return
        request.over = True
        if self.tell:
            self.tell(request.kind, attempt.region.number)
        deadline_s = FEED_DEADLINE_S if request.kind == "feed" else WRITE_DEADLINE_S
        if request.counted and now_s + attempt.rtt_s - request.born_s <= deadline_s:
            self.world.second(request.born_s).good += 1
            self.good += 1
        if request.kind == "write":
            self.waiting = self.tries = 0  # what waits went with it

    def refused(self, attempt: Try, retry_s: float) -> None:
        """The region has too much to do, and says so."""
        if self.world.defences.backoff and not attempt.given_up:
            self.router.vantages[str(attempt.region.number)].rest(retry_s, self.world.now_s)
        self.degraded(attempt)

    def degraded(self, attempt: Try) -> None:
        """The region answers that it cannot."""
        request, now_s = attempt.request, self.world.now_s
        if attempt.given_up:
            return
        attempt.given_up = True
        request.open -= 1
        vantage = self.router.vantages[str(attempt.region.number)]
        vantage.heard_s = now_s
        if vantage.poor() < GOODPUT_MIN:
            self._suspect(attempt.region.number)
        self._go_on(request)

    def _silent(self, attempt: Try) -> None:
        """No answer within our patience. A region from which others of our calls were answered is slow, not gone."""
        request, now_s = attempt.request, self.world.now_s
        if attempt.given_up or request.over:
            return
        number = attempt.region.number
        if self.world.defences.router:
            vantage = self.router.vantages[str(number)]
            deaf_s = self.world.size.deaf * (now_s - attempt.at_s)
            left_s = vantage.patience_s() - vantage.silence_s(attempt.at_s, now_s, deaf_s)
            if left_s > 1e-6 and now_s - attempt.at_s < FEED_DEADLINE_S:
                self.world.at(now_s + left_s, self._silent, attempt)
                return
            self._suspect(number)
        attempt.given_up = True
        request.open -= 1
        self._go_on(request)

    def _go_on(self, request: Request) -> None:
        if request.over or request.open:
            return
        now_s, deadline_s = self.world.now_s, FEED_DEADLINE_S if request.kind == "feed" else WRITE_DEADLINE_S
        if now_s - request.born_s < deadline_s and not self.world.defences.backoff:
            self.world.at(now_s + FIXED_S, self._again, request)
        elif now_s - request.born_s >= deadline_s or not self._next(request):
            self._lost(request)

    def _again(self, request: Request) -> None:
        if not self._next(request):
            self._lost(request)

    # -- when nothing comes ------------------------------------------------------------------------------------------

    def _lost(self, request: Request) -> None:
        """No region gave it."""
        world, request.over = self.world, True
        if request.kind == "write":
            self.waiting += request.counted
            self._rest()
        elif world.defences.ladder:
            world.second(request.born_s).device += 1  # the device goes on with what it holds
        elif world.dice.random() < IMPATIENT:
            world.at(world.now_s + world.dice.uniform(IMPATIENT_FROM_S, IMPATIENT_TO_S), self.ask, "feed")

    def _rest(self) -> None:
        """Say what waits again, later."""
        if self.rests:
            return
        self.rests, world = True, self.world
        if world.defences.backoff:
            wait_s = delay_s(self.tries, world.dice.random(), first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S)
        else:
            wait_s = FIXED_S
        self.tries += 1
        world.at(world.now_s + wait_s, self._flush)

    def _flush(self) -> None:
        """All writes that wait go in one request, as the outbox sends them."""
        self.rests = False
        if self.waiting and self._candidates():
            self._send(Request(self, "write", self.world.now_s, counted=False))
        elif self.waiting:
            self._rest()

    # -- suspicion ---------------------------------------------------------------------------------------------------

    def _suspect(self, number: int) -> None:
        """Leave a region, and look now and then whether it is back."""
        if self.router.vantages[str(number)].bad(self.world.now_s) and self.tell:
            self.tell("suspect", number)
        if self.world.defences.router and number not in self._probing:
            self._probing.add(number)
            self._probe_later(number, 0)

    def _probe_later(self, number: int, attempt: int) -> None:
        world = self.world
        if world.defences.backoff:
            wait_s = delay_s(attempt, world.dice.random(), first_s=PROBE_FIRST_S, cap_s=PROBE_CAP_S)
        else:
            wait_s = PROBE_FIRST_S
        world.at(world.now_s + wait_s, self._probe, number, attempt)

    def _probe(self, number: int, attempt: int) -> None:
        """`GET /v1/safe`: next to no work, but it stands at the same door."""
        region = self.world.regions[number]
        waits_s = region.waits_s()
        if region.up and region.answers and waits_s < PROBE_CAP_S:
            self._probing.discard(number)
            self.router.vantages[str(number)].good(self.rtt_s[number] + waits_s, self.world.now_s)
        else:
            self._probe_later(number, attempt + 1)
