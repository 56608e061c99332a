"""The router: which region to ask next, when to ask a second one as well, and when to come back.

Think of a person at a counter. They stay at the counter that served them well. When it goes quiet for longer than is
normal there, they turn to the next one, and they do not run back at the first movement: only a counter that has been
calm for a while is one to return to. Asking two counters at once is quick but doubles the work, so it comes out of a
small `budget` that ordinary calls pay in.

The jurisdiction fence lives here: `candidates` never names a foreign region; `foreign` lists those that may be asked
for public things only, without token, context or seen list.
"""

from dataclasses import dataclass, field

import msgspec

from holdfast.core.errors import Refused
from holdfast.core.health.budget import Budget
from holdfast.core.health.detector import Vantage

CALM_S = 5.0  # a region that came back must answer well for this long before it is preferred again
HEDGE_AFTER_DEVIATIONS = 2.0  # about the slowest twentieth of answers


class Place(msgspec.Struct, frozen=True):
    """A region as clients know it."""

    name: str
    jurisdiction: str
    url: str


@dataclass(slots=True)
class Router:
    """One client's view of all regions. `places` in order of preference, nearest first."""

    jurisdiction: str
    places: list[Place]
    vantages: dict[str, Vantage] = field(default_factory=dict[str, Vantage])
    budget: Budget = field(default_factory=Budget)
    active: str = ""

    def __post_init__(self) -> None:
        for place in self.places:
            self.vantages.setdefault(place.name, Vantage())
        if not self.permitted():
            known = ", ".join(sorted({p.jurisdiction for p in self.places})) or "none"
            raise Refused(
                f"no region is under jurisdiction {self.jurisdiction}", field="jurisdiction", hint=f"known: {known}"
            )
        self.active = self.active or self.permitted()[0].name

    def permitted(self) -> list[Place]:
        """Regions under the client's own law: the only ones that may see its token."""
        return [p for p in self.places if p.jurisdiction == self.jurisdiction]

    def foreign(self) -> list[Place]:
        """Other regions, those not suspected first: public reads only."""
        others = [p for p in self.places if p.jurisdiction != self.jurisdiction]
        return sorted(others, key=lambda p: self.vantages[p.name].suspected)

    def candidates(self, now_s: float) -> list[Place]:
        """Permitted regions worth asking, best first: calm ones in order of preference, then those just back.

        Empty when every permitted region is silent or asked to be left alone: then asking would only add to it.
        """
        return [p for p in self._well(now_s) if self.vantages[p.name].rest_until_s <= now_s]

    def _well(self, now_s: float) -> list[Place]:
        well = [p for p in self.permitted() if not self.vantages[p.name].suspected]
        well = well or [p for p in self.permitted() if self.vantages[p.name].owed]  # some answers are better than none
        return sorted(well, key=lambda p: now_s - self.vantages[p.name].good_since_s < CALM_S)

    def suspects(self) -> list[Place]:
        """Regions to probe in the background, so that their return is noticed."""
        return [p for p in self.places if self.vantages[p.name].suspected]

    def settle(self, now_s: float) -> bool:
        """Make the best region active; return whether that is a move. With none that is well nothing changes.

        One that is busy for a moment stays: a move says all again that is not safe, and that is work for others.
        """
        best = self._well(now_s)
        if not best or best[0].name == self.active:
            return False
        self.active = best[0].name
        return True

    def hedge_after_s(self, name: str) -> float:
        """How long to wait for `name` before a second read is worth its price, in seconds."""
        vantage = self.vantages[name]
        return min(vantage.mean_s + HEDGE_AFTER_DEVIATIONS * vantage.deviation_s, vantage.patience_s())
