"""The space between processes: it delays, loses, doubles and reorders, and can be cut one way, or held and let go.

Within a region messages keep their order and arrive, as over loopback. Between regions, and between a client and a
region, each message fares for itself: a harsher world than one TCP connection makes, so what holds here holds there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from holdfast.sim.loop import SimLoop
from holdfast.sim.trace import Trace

LOCAL_S = 0.0002  # one way over loopback
SPACING_S = 1e-6  # what keeps its order is at least this far apart; more than a tie
LATE_S = 0.4  # a straggler comes up to this much later


@dataclass(slots=True)
class Weather:
    """How bad the wide area is: shares of messages lost, doubled, late; and the way from region to region, seconds."""

    way_s: float = 0.035
    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0


@dataclass(slots=True)
class Network:
    """All links of a world. `cut`: directed pairs through which nothing passes; `held`: messages wait till let go."""

    loop: SimLoop
    chance: Random
    trace: Trace
    weather: Weather = field(default_factory=Weather)
    cut: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    held: dict[tuple[str, str], list[Callable[[], None]]] = field(
        default_factory=dict[tuple[str, str], list[Callable[[], None]]]
    )
    _last: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    def send(self, source: str, target: str, what: str, data: bytes, deliver: Callable[[], None]) -> None:
        """Take a message from place to place; `deliver` is called when, and as often as, it arrives."""
        self.trace.message(what, source, target, data)
        now, chance = self.loop.time(), self.chance
        link = (source, target)
        if source == target:
            at = max(now + LOCAL_S * (1 + chance.random()), self._last.get(link, 0.0) + SPACING_S)
            self._last[link] = at
            self.loop.call_at(at, deliver)
            return
        weather = self.weather
        if link in self.cut:
            self.trace.count("cut off")
            return
        if link in self.held:
            self.held[link].append(deliver)
            return
        if weather.lost and chance.random() < weather.lost:
            self.trace.count("lost message")
            return
        copies = 1
        if weather.doubled and chance.random() < weather.doubled:
            self.trace.count("doubled message")
            copies = 2
        for _ in range(copies):
            delay = weather.way_s * (1 + 0.2 * chance.random())
            if weather.late and chance.random() < weather.late:
                self.trace.count("late message")
                delay += LATE_S * chance.random()
            self.loop.call_later(delay, deliver)

    def hold(self, source: str, target: str) -> None:
        """From now on messages on this link wait."""
        self.held.setdefault((source, target), [])

    def let_go(self, source: str, target: str) -> None:
        """Deliver what waited, in random order."""
        waiting = self.held.pop((source, target), [])
        self.chance.shuffle(waiting)
        if len(waiting) > 1:
            self.trace.count("reordered release")
        for k, deliver in enumerate(waiting):
            self.loop.call_later(self.weather.way_s + k * 0.001, deliver)

    def isolate(self, place: str, places: list[str], *, into: bool = True, out: bool = True) -> None:
        """Cut `place` off from `places`, both ways or one."""
        for other in places:
            if other != place:
                if into:
                    self.cut.add((other, place))
                if out:
                    self.cut.add((place, other))

    def mend(self) -> None:
        """Let everything pass again."""
        self.cut.clear()
        for source, target in list(self.held):
            self.let_go(source, target)
