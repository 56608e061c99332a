"""The verdict: from the witnesses' books to figures, and from figures to broken promises.

Times count from the moment the fault began. *Read wait* is what a person felt: the slate that was being waited for when
the fault struck, or else the first one asked for after it, from whichever came later to the answer. *Next read* is the
first slate in hand after the fault, the idle time of the client included.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from holdfast.core.feed.ladder import Rung
from holdfast.drills.drill_stage import Span
from holdfast.drills.load import ALONE, Witness
from holdfast.drills.watch import Books, Sign

NEVER_S = 99.0  # stands for "not while we looked"
RETURN_S = 30.0  # the promise on returns speaks of this long


class Figures(msgspec.Struct, kw_only=True):
    """One drill in figures. Seconds; counts are over all clients. −1: does not apply."""

    clients: int
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
    returns_max: int  # of one client to the struck region, within RETURN_S of the fault
    lag_s_max: float  # as regions said, while the fault lasted and after
    safe_wait_s_max: float  # from acknowledged to safe, as clients heard
    top_rung_s: float  # from the end of the fault until every region stood as high as before
    converged_s: float  # from the end of the fault until every permitted region held all that was acknowledged
    rungs: dict[str, float]  # share of slates by rung, while the fault lasted
    acknowledged: int
    safe: int
    lost: int  # acknowledged, and held by no permitted region at the end
    lost_safe: int


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
    return sorted(values)[min(len(values) - 1, max(0, math.ceil(q * len(values)) - 1))] if values else 0.0


def failed(witness: Witness) -> int:
    """Slates of one witness that no region gave, or that held nothing."""
    r = witness.record
    return r.failed + sum(s.rung == ALONE or not s.items for s in r.slates)


def measure(books: Books, fault: Span, region: str, before_s: float, *, must_leave: bool) -> Figures:
    """Put the books into figures. `region` is the struck one ("": none); `before_s`: how long the load ran before."""
    t0, t1 = fault.begun_s, fault.ended_s
    crowd, records = books.crowd, [w.record for w in books.crowd]
    there = [w.record for w in crowd if w.prefer == region] or records
    slates = [s for r in records for s in r.slates]
    during = [s for s in slates if t0 <= s.at_s < t1]
    rungs = Counter(s.rung for s in during)
    reads = [_first([(max(0.0, s.at_s - s.took_s - t0), s.at_s - t0) for s in r.slates], 0.0) for r in there]
    writes = [_first([(max(0.0, at - t0), at + took - t0) for at, took in r.write_s], 0.0) for r in there]
    first = _detected(books, region, t0, t1)
    left = [_after([at for at, to in r.moved if to != region], t0) for r in there]
    suspected = [_after([at for at, name in r.suspected if name == region], t0) for r in there]
    lead = [s for s in slates if t0 - before_s <= s.at_s < t0]
    entries = sum(n for r in records for at, n in r.acked_at if t0 - before_s <= at < t0)
    return Figures(
        clients=len(crowd), slates=len(slates), slates_per_s=len(lead) / before_s, entries_per_s=entries / before_s,
        detected_s=first.at_s - t0 if first else -1.0, detected_by=first.text if first else "",
        suspected_s_max=max(suspected) if must_leave else -1.0, failed_slates=sum(map(failed, crowd)),
        failed_writes=sum(r.refused for r in records), repeats=sum(r.repeats for r in records),
        attempts_max=max((s.attempts for s in slates), default=0),
        attempts_mean=sum(s.attempts for s in during) / len(during) if during else 0.0,
        read_wait_s_p50=quantile([end - begun for begun, end in reads], 0.5),
        read_wait_s_p99=quantile([end - begun for begun, end in reads], 0.99),
        next_read_s_max=max(end for _, end in reads),
        write_wait_s_p50=quantile([end - begun for begun, end in writes], 0.5),
        write_wait_s_p99=quantile([end - begun for begun, end in writes], 0.99),
        next_write_s_max=max(end for _, end in writes),
        slate_ms_p99=1000 * quantile([s.took_s for s in during], 0.99),
        left_s_max=max(left) if must_leave else -1.0,
        returns_max=max(sum(to == region and t0 < at < t0 + RETURN_S for at, to in r.moved) for r in there),
        lag_s_max=max((x.lag_s for x in books.looks if x.at_s >= t0), default=0.0),
        safe_wait_s_max=max((took for r in records for at, took in r.safe_s if at >= t0 - before_s), default=0.0),
        top_rung_s=-1.0, converged_s=-1.0, rungs={k: round(n / len(during), 4) for k, n in sorted(rungs.items())},
        acknowledged=sum(len(r.acknowledged) for r in records), safe=sum(len(r.safe) for r in records),
        lost=0, lost_safe=0,
    )  # fmt: skip


def _first(waits: list[tuple[float, float]], since_s: float) -> tuple[float, float]:
    """The first (asked, answered) that ended after `since_s`; NEVER_S if none did."""
    return min((w for w in waits if w[1] >= since_s), key=lambda w: w[1], default=(0.0, NEVER_S))


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


Extra = Callable[[Books], dict[str, float | str]]
