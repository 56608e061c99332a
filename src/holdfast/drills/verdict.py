"""The verdict: from the witnesses' books to figures, and from figures to broken promises.

Times count from the moment the fault began. *Read wait* is what a person felt: the slate that was being waited for when
the fault struck, or else the first one asked for after it, from whichever came later to the answer. *Next read* is the
first slate in hand after the fault, the idle time of the client included.
"""

import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from holdfast.core.feed.ladder import Rung
from holdfast.drills.drill_stage import Span
from holdfast.drills.load import ALONE, Record, Witness
from holdfast.drills.watch import Books, Sign

NEVER_S = 99.0  # stands for "not while we looked"


class Figures(msgspec.Struct, kw_only=True):
    """One drill in figures. Seconds; counts are over all clients. −1: does not apply."""

    clients: int
    clients_elsewhere: int  # had left the struck region before the fault, by a false suspicion: not counted below
    slates: int
    slates_per_s: float  # before the fault
    entries_per_s: float
    detected_s: float  # until the first sign, from whomever
    detected_by: str
    suspected_s_max: float  # until the last client of the struck region suspected it; −1: it need not
    failed_slates: int  # no region answered, or it refused, or it gave nothing
    failed_writes: int
    repeats: int
    attempts_max: int  # regions asked for one slate
    attempts_mean: float  # while the fault lasted
    read_wait_s_p50: float
    read_wait_s_p99: float
    next_read_s_max: float
    write_wait_s_p50: float
    write_wait_s_p99: float
    next_write_s_max: float
    slate_ms_p99: float  # while the fault lasted
    left_s_max: float  # until the last client of the struck region had moved away; −1: it need not
    hurt_s_max: float  # the same from the first slate that a client asked for and did not get there
    returns_max: int  # of one client to the struck region, while the fault lasted
    lag_s_max: float  # as regions said, while the fault lasted and after
    safe_wait_s_max: float  # from acknowledged to safe, as clients heard
    top_rung_s: float  # from the end of the fault until every region stood as high as before
    converged_s: float  # from the end of the fault until every permitted region held all that was acknowledged
    rungs: dict[str, float]  # share of slates by rung, while the fault lasted
    acknowledged: int
    safe: int
    lost: int  # acknowledged, and held by no permitted region at the end
    lost_safe: int
    others_cpu: float  # share of the machine that other programs used while the fault lasted; −1: cannot be told


class Bound(msgspec.Struct, frozen=True):
    """A promise on one figure."""

    figure: str
    most: float
    words: str

    def broken(self, figures: Figures) -> str:
        """Say how it is broken, "" if it holds."""
        value = getattr(figures, self.figure)
        return "" if value <= self.most else f"{self.words}: {_shown(value)}, promised {_shown(self.most)}"


ALWAYS = (
    Bound("lost", 0, "acknowledged entries lost"),
    Bound("lost_safe", 0, "safe entries lost"),
    Bound("repeats", 0, "repeats"),
    Bound("failed_writes", 0, "writes refused"),
    Bound("failed_slates", 0, "slates that no region gave"),
)


class Event(msgspec.Struct, frozen=True):
    """A line of the report's timeline; seconds since the fault."""

    at_s: float
    text: str
    level: str


class Verdict(msgspec.Struct, kw_only=True):
    """What came of one drill. `passed` is false when a promise broke or the drill could not be carried out to its end;
    `ran` is false where the machine lacks what it needs, and then nothing was proven."""

    name: str
    hypothesis: str
    passed: bool
    ran: bool = True
    why_not: str = ""
    seed: int = 0
    seconds: float = 0.0
    aborted: str = ""
    broken: list[str] = []
    figures: Figures | None = None
    more: dict[str, float | str] = {}  # what this drill alone measures
    timeline: list[Event] = []


def _shown(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.2f}"


def quantile(values: Sequence[float], q: float) -> float:
    """The value below which a share `q` of them lies (nearest rank); 0.0 for none."""
    return round(sorted(values)[max(0, math.ceil(q * len(values)) - 1)], 3) if values else 0.0


def failed(witness: Witness) -> int:
    """Slates of one witness that no region gave, or that held nothing."""
    r = witness.record
    return r.failed + sum(s.rung == ALONE or not s.items for s in r.slates)


def measure(books: Books, fault: Span, region: str, before_s: float, *, must_leave: bool) -> Figures:
    """Put the books into figures. `region` is the struck one; `before_s`: how long the load ran steadily before."""
    t0, t1 = fault.begun_s, fault.ended_s
    crowd, records = books.crowd, [w.record for w in books.crowd]
    home = [w.record for w in crowd if w.prefer == region]
    there = [r for r in home if _at(r, region, t0) == region] or home
    slates = [s for r in records for s in r.slates]
    during = [s for s in slates if t0 <= s.at_s < t1]
    lead = [s for s in slates if t0 - before_s <= s.at_s < t0]
    first = _detected(books, region, t0, t1)
    reads = [_first([(s.at_s - s.took_s, s.at_s) for s in r.slates], t0) for r in there]
    writes = [_first([(said_s, said_s + took_s) for said_s, took_s in r.write_s], t0) for r in there]
    read_s, write_s = [end - begun for begun, end in reads], [end - begun for begun, end in writes]
    left = [_after([at for at, to in r.moved if to != region], t0) for r in there]
    hurt = [gone - _hurt(r, region, t0) for r, gone in zip(there, left, strict=True)]
    suspected = [_after([at for at, name in r.suspected if name == region], t0) for r in there]
    return Figures(
        clients=len(crowd), clients_elsewhere=len(home) - len(there), slates=len(slates),
        slates_per_s=len(lead) / before_s,
        entries_per_s=sum(n for r in records for at, n in r.acked_at if t0 - before_s <= at < t0) / before_s,
        detected_s=round(first.at_s - t0, 3) if first else -1.0, detected_by=first.text if first else "",
        suspected_s_max=round(max(suspected), 3) if must_leave else -1.0, failed_slates=sum(map(failed, crowd)),
        failed_writes=sum(r.refused for r in records), repeats=sum(r.repeats for r in records),
        attempts_max=max((s.attempts for s in slates), default=0),
        attempts_mean=round(sum(s.attempts for s in during) / max(1, len(during)), 3),
        read_wait_s_p50=quantile(read_s, 0.5), read_wait_s_p99=quantile(read_s, 0.99),
        next_read_s_max=round(max(end for _, end in reads), 3),
        write_wait_s_p50=quantile(write_s, 0.5), write_wait_s_p99=quantile(write_s, 0.99),
        next_write_s_max=round(max(end for _, end in writes), 3),
        slate_ms_p99=1000 * quantile([s.took_s for s in during], 0.99),
        left_s_max=round(max(left), 3) if must_leave else -1.0,
        hurt_s_max=round(max(0.0, *hurt), 3) if must_leave else -1.0,
        returns_max=max(sum(to == region and t0 < at < t1 for at, to in r.moved) for r in there),
        lag_s_max=max((x.lag_s for x in books.looks if x.at_s >= t0), default=0.0),
        safe_wait_s_max=quantile([took for r in records for at, took in r.safe_s if at >= t0 - before_s], 1.0),
        top_rung_s=-1.0, converged_s=-1.0, lost=0, lost_safe=0, others_cpu=-1.0,
        rungs={rung: round(n / len(during), 4) for rung, n in sorted(Counter(s.rung for s in during).items())},
        acknowledged=sum(len(r.acknowledged) for r in records), safe=sum(len(r.safe) for r in records),
    )  # fmt: skip


def _at(record: Record, region: str, t0: float) -> str:
    """Where a client that prefers `region` was at `t0`."""
    return next((to for at, to in reversed(record.moved) if at < t0), region)


def _first(spans: list[tuple[float, float]], t0: float) -> tuple[float, float]:
    """The first of these (asked, answered) that was answered after `t0`, in seconds since; NEVER_S if none was."""
    begun, end = min((s for s in spans if s[1] >= t0), key=lambda s: s[1], default=(t0, t0 + NEVER_S))
    return max(0.0, begun - t0), end - t0


def _hurt(record: Record, region: str, t0: float) -> float:
    """When a client first asked for a slate that `region` did not give it, in seconds since `t0`; 0.0: never."""
    asked = [s.at_s - s.took_s for s in record.slates if s.region != region]
    return _after([at for at in asked if at >= t0], t0) if any(at >= t0 for at in asked) else 0.0


def _after(times: list[float], t0: float) -> float:
    return min((at - t0 for at in times if at >= t0), default=NEVER_S)


def _detected(books: Books, region: str, t0: float, t1: float) -> Sign | None:
    """Whoever noticed first: a client that suspects the struck region, or a region that says what it did not say."""
    signs = [s for s in books.signs if t0 <= s.at_s < t1]
    for w in books.crowd:
        signs += [Sign(at, "a client") for at, name in w.record.suspected if name == region and t0 <= at < t1]
    return min(signs, key=lambda s: s.at_s, default=None)


def judge(figures: Figures, bounds: Sequence[Bound]) -> list[str]:
    """Every promise that broke, in words."""
    return [said for bound in (*ALWAYS, *bounds) if (said := bound.broken(figures))]


def standing(books: Books, t0: float, regions: Sequence[str]) -> dict[str, Rung]:
    """The rung that each region said last before `t0`."""
    out: dict[str, Rung] = {}
    for look in books.looks:
        if look.at_s < t0 and look.rung and look.region in regions:
            out[look.region] = Rung[look.rung]
    return out


