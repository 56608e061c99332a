"""The symptoms people reported in January 2026, as figures from a crowd's books: one row each, both platforms.

A row has a promise where Holdfast makes one; whether it was kept is judged by Holdfast's own figure, not by the
comparison. What is printed is what was counted.
"""

from collections.abc import Sequence

import msgspec

from holdfast.client.client import FEED_DEADLINE_S
from holdfast.drills.january_crowd import Books, Pull, Upload
from holdfast.drills.verdict import quantile

LATE_S = 30.0  # an upload that takes longer is late: it takes a few seconds on a quiet machine
FIRST_VIEW_S = 45.0  # by then a new video has been viewed
STEADY_S, STEADY_SHARE = 5.0, 0.99  # recovered: so long, this share of pulls is personal, of now and without repeats
BACK_S = 3.0  # the promise: viewers are served again, personally, this soon after the cut
STATUS_S = 60.0
NEVER_S = 999.0


class Moment(msgspec.Struct, forbid_unknown_fields=True):
    """One line of the outage as reported. `drill`: what of the drill stands for it, empty if nothing does."""

    when: str
    what: str
    source: str
    drill: str = ""


class Run(msgspec.Struct, kw_only=True):
    """One platform's run: moments (monotonic s), and what was measured besides the books."""

    cut_s: float
    back_s: float  # power returns
    end_s: float
    status_s: float  # from the cut until an answer said which site is gone; NEVER_S if none did
    lost: int  # acknowledged, and not there in the end
    acknowledged: int
    lost_with_disks: int  # acknowledged before the cut, and held by no other site and no app at that moment
    deep_before: float  # requests a second at the deepest layer: before, and at its highest after power returned
    deep_after: float
    price: "Price"


class Price(msgspec.Struct, kw_only=True):
    """What it costs. Processor time is of all processes of the platform, while all was well."""

    storage_mb: float
    cross_site_kb_per_s: float
    cpu_ms_per_slate: float
    ack_ms_p50: float
    ack_ms_p99: float
    sites: int


class Symptom(msgspec.Struct, kw_only=True):
    """A row. `holdfast_ok`: whether the promise was kept; true where none is made."""

    name: str
    baseline: str
    holdfast: str
    promise: str
    holdfast_ok: bool


def share(part: int, whole: int) -> float:
    """part ÷ whole, 0 of nothing."""
    return part / whole if whole else 0.0


class Figures(msgspec.Struct, kw_only=True):
    """One platform's symptoms while power was away, unless it says otherwise. Shares are of pulls or of videos."""

    frozen: float
    stale: float
    repeats: float
    generic: float
    wait_s: float  # of the slowest hundredth of pulls
    uploads: int
    uploads_late: int
    unseen: int
    unseen_of: int
    counts_wrong: float
    status_s: float
    served_again_s: float
    recovered_s: float
    lost: int
    acknowledged: int
    lost_with_disks: int
    deep: float


def figures(books: Books, run: Run) -> Figures:
    """Count the symptoms of one run."""
    out = books.between(run.cut_s, run.back_s)
    videos = sum(p.videos for p in out)
    sent = [u for u in books.uploads.values() if run.cut_s <= u.pressed_s < run.back_s - LATE_S / 2]
    new = [u for u in books.uploads.values() if run.cut_s <= u.pressed_s < run.back_s - FIRST_VIEW_S / 2]
    return Figures(
        frozen=share(sum(not p.videos or p.repeats == p.videos for p in out), len(out)),
        stale=share(sum(not p.fresh for p in out), len(out)),
        repeats=share(sum(p.repeats for p in out), videos),
        generic=share(sum(p.kind != "personal" for p in out), len(out)),
        wait_s=quantile([p.took_s for p in out], 0.99),
        uploads=len(sent), uploads_late=sum(_late(u) for u in sent),
        unseen=sum(not 0 <= u.viewed_s - u.pressed_s <= FIRST_VIEW_S for u in new), unseen_of=len(new),
        counts_wrong=share(sum(p.counts_wrong for p in out), videos),
        status_s=run.status_s, served_again_s=_served(books.between(run.cut_s, run.end_s), run.cut_s),
        recovered_s=_recovered(books.between(run.cut_s, run.end_s), run.cut_s, run.end_s),
        lost=run.lost, acknowledged=run.acknowledged, lost_with_disks=run.lost_with_disks,
        deep=run.deep_after / run.deep_before if run.deep_before else 0.0,
    )  # fmt: skip


def _late(u: Upload) -> bool:
    return not 0 <= u.done_s - u.pressed_s <= LATE_S


def good(p: Pull) -> bool:
    """Whether a pull was answered as before: personal, of now, without repeats."""
    return p.kind == "personal" and p.fresh and not p.repeats and p.videos > 0


def _served(pulls: Sequence[Pull], cut_s: float) -> float:
    """Seconds from the cut to the first good pull that began after it."""
    return min((p.at_s - cut_s for p in pulls if good(p) and p.at_s - p.took_s >= cut_s), default=NEVER_S)


def _recovered(pulls: Sequence[Pull], cut_s: float, end_s: float) -> float:
    """Seconds from the cut until STEADY_SHARE of the pulls of STEADY_S were good."""
    moments = sorted({p.at_s for p in pulls})
    for since_s in moments:
        if since_s + STEADY_S > end_s:
            break
        span = [p for p in pulls if since_s <= p.at_s < since_s + STEADY_S]
        if sum(map(good, span)) >= STEADY_SHARE * len(span):
            return since_s - cut_s
    return NEVER_S


def rows(base: Figures, hold: Figures) -> list[Symptom]:
    """The table of symptoms."""
    table = [
        ("frozen feeds", _percent(base.frozen), _percent(hold.frozen), "the feed always answers (2): 0 %",
         hold.frozen == 0),
        ("stale slates", _percent(base.stale), _percent(hold.stale), "an answer of now, from a region: 99 %",
         hold.stale <= 0.01),
        ("repeats, not said to be any", _percent(base.repeats), _percent(hold.repeats), "none (3)", hold.repeats == 0),
        ("generic slates", _percent(base.generic), _percent(hold.generic), "personal as before: 99 %",
         hold.generic <= 0.01),
        ("slowest hundredth of pulls", f"{base.wait_s:.2f} s", f"{hold.wait_s:.2f} s",
         f"within the deadline: {FEED_DEADLINE_S} s", hold.wait_s <= FEED_DEADLINE_S),
        ("uploads failed or later than 30 s", _of(base.uploads_late, base.uploads),
         _of(hold.uploads_late, hold.uploads), "taken at any region: none", hold.uploads_late == 0),
        ("new videos without a view after 45 s", _of(base.unseen, base.unseen_of), _of(hold.unseen, hold.unseen_of),
         "no video stays at 0 views (5): none", hold.unseen == 0),
        ("videos shown with too few likes", _percent(base.counts_wrong), _percent(hold.counts_wrong),
         "counts go on: under 1 %", hold.counts_wrong < 0.01),
        ("until an answer says what is wrong", _after(base.status_s, "not while it lasted; people write it, 5–10 min"),
         _after(hold.status_s, "not while it lasted"), "every answer says how good it is (4): within 60 s",
         hold.status_s <= STATUS_S),
        ("until the first viewer is served as before", _after(base.served_again_s), _after(hold.served_again_s),
         f"{BACK_S:.0f} s", hold.served_again_s <= BACK_S),
        ("until all are served as before", _after(base.recovered_s), _after(hold.recovered_s),
         "before power is back", hold.recovered_s < base.recovered_s),
        ("acknowledged and lost", _lost(base), _lost(hold), "none (1), also with the disks gone",
         hold.lost + hold.lost_with_disks == 0),
        ("load of the deepest layer on return", f"{base.deep:.1f} ×", f"{hold.deep:.1f} ×", "at most 2 ×",
         hold.deep <= 2.0),
    ]  # fmt: skip
    return [Symptom(name=n, baseline=b, holdfast=h, promise=p, holdfast_ok=bool(ok)) for n, b, h, p, ok in table]


def prices(base: Price, hold: Price) -> list[Symptom]:
    """The table of what it costs; no promise is made here."""
    table = [
        ("sites that serve", f"{base.sites}", f"{hold.sites}"),
        ("storage", f"{base.storage_mb:.1f} MB", f"{hold.storage_mb:.1f} MB"),
        ("bytes between sites", f"{base.cross_site_kb_per_s:.1f} kB/s", f"{hold.cross_site_kb_per_s:.1f} kB/s"),
        ("processor time", f"{base.cpu_ms_per_slate:.0f} ms a slate", f"{hold.cpu_ms_per_slate:.0f} ms a slate"),
        ("acknowledgement, median", f"{base.ack_ms_p50:.0f} ms", f"{hold.ack_ms_p50:.0f} ms"),
        ("acknowledgement, 99th percentile", f"{base.ack_ms_p99:.0f} ms", f"{hold.ack_ms_p99:.0f} ms"),
    ]
    return [Symptom(name=f"price: {n}", baseline=b, holdfast=h, promise="", holdfast_ok=True) for n, b, h in table]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole}"


def _after(seconds: float, never: str = "not while we watched") -> str:
    return f"{seconds:.1f} s" if seconds < NEVER_S else never


def _lost(f: Figures) -> str:
    return f"{f.lost} of {f.acknowledged}; {f.lost_with_disks} had the disks been lost too"
