"""Which ruling on a video holds: the strictest, unless a later one names what it supersedes.

Rulings on one video come from several regions, in any order, some of them twice. So the verdict is a function of the
*set* of rulings heard: throw out those that a later ruling names, and take the strictest of the rest. Nothing here
depends on order of arrival, and a cut-off region that hears a removal late can only become stricter by it.

    allow  <  limit  <  age  <  ask  <  remove

No ruling at all is no verdict, and what has no verdict is not shown (unknown is not allowed).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from holdfast.core.entries import Ruling
from holdfast.core.merge import EntryId

VERDICTS = ("allow", "limit", "age", "ask", "remove")  # mildest first
STRICTNESS = {verdict: i for i, verdict in enumerate(VERDICTS)}
UNKNOWN = ""  # no ruling heard
SHOWN = frozenset({"allow", "limit", "age"})  # `limit`: not recommended to strangers; `age`: adults only


def may_be_shown(verdict: str) -> bool:
    """Say whether a video under this verdict may be shown to anyone at all. Unknown may not."""
    return verdict in SHOWN


@dataclass(slots=True)
class Case:
    """Every ruling heard on one video. `rulings` by entry id; `void` holds (id, stamp of the one that names it)."""

    rulings: dict[EntryId, Ruling] = field(default_factory=dict[EntryId, Ruling])
    void: dict[EntryId, int] = field(default_factory=dict[EntryId, int])

    def add(self, ruling: Ruling) -> None:
        """Hear a ruling; hearing it again changes nothing."""
        self.rulings[(ruling.device, ruling.outbox)] = ruling
        for entry_id in ruling.supersedes:
            self.void[entry_id] = max(self.void.get(entry_id, 0), ruling.stamp)

    def standing(self) -> list[Ruling]:
        """Return the rulings that no later one supersedes, in the order of their stamps."""
        kept = [r for i, r in self.rulings.items() if self.void.get(i, 0) <= r.stamp]
        return sorted(kept, key=lambda r: (r.stamp, r.device, r.outbox))

    def verdict(self) -> str:
        """Return the verdict in force, UNKNOWN if there is none."""
        return max((r.verdict for r in self.standing()), key=STRICTNESS.__getitem__, default=UNKNOWN)

    def reasons(self) -> list[str]:
        """Return the reasons given by the rulings that carry the verdict in force."""
        verdict = self.verdict()
        return list(dict.fromkeys(x for r in self.standing() if r.verdict == verdict for x in r.reasons))


def resolve(rulings: Iterable[Ruling]) -> str:
    """Return the verdict that a set of rulings on one video amounts to, UNKNOWN for none."""
    case = Case()
    for ruling in rulings:
        case.add(ruling)
    return case.verdict()
