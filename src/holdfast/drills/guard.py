"""What outages and bought clicks do to the network: `holdfast bench guard`, some hours of an audience in virtual time.

One region whose network learns while it serves (`drills.school`), and a *panel* of viewers who take part in the first
hours and are then away: whatever changes for them was changed by what others did meanwhile. They are asked the same
requests before and after. The figure is the chance, which the world knows, that a video of their slates is watched
long, so there is no noise of draws in it; intervals are 95 %, paired, over viewers drawn again with replacement.

    warm       the audience comes and goes; the network learns, passes the gate and serves
    ordinary   an hour on FULL: how much any hour moves the figures
    outage     an hour on REGIONAL: FULL's figures must stay within MARGIN of themselves, either way
    farm       an hour with bought clicks: one account in FARM_SHARE of the audience works for one creator
    clicks     the same, where no network learns: LINEAR and below, in a minute of a core
    bad        NaN weights, shuffled labels, popularity alone, and what the opposite of every view teaches: to the gate;
               then the last one past the gate, to see a canary taken back

The farm's creator has TWINS videos, each with a twin of the same tags and the same quality by an honest creator,
published at the same moment: what the farm gains is its share beside the twins'. Half of its accounts are crude: they
take slates, leave what is not theirs at once, and say of their own videos, shown to them or not, that they watched
each for an hour, over and over. The other half hide: they are there all day as real viewers with tastes of their own,
and complete and like the farm's videos wherever they meet them.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from holdfast.core.entries import Like, View
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pipeline import Chosen
from holdfast.core.feed.shapes import FeedRequest
from holdfast.drills.bad_networks import bad
from holdfast.drills.hour import BEGIN_US, SLATE, Hour, Seat, clip
from holdfast.drills.jurisdiction import S_US
from holdfast.drills.school import HERE, School
from holdfast.drills.world import P_LONG, Clip, Viewer, Watch, World
from holdfast.model.full import LIVE, Full, Size
from holdfast.region.node_networks import Model

CLIPS = 800
PANEL = 160
ASKED = 3  # requests per viewer of the panel
STUDY_S = 30
WARM_SAY_S = 900
HOUR_S = 3600
FARM_SHARE = 20
TWINS = 10
FARM_EVERY_S = 60  # a slate of each crude account, and LOOPS views besides
LOOPS = 20
CLAIMED_MS = 3_600_000
CANARY_S = 1200
MARGIN = 0.02
RESAMPLES = 2000
FARMED = (Rung.FULL, Rung.LINEAR, Rung.REGIONAL)  # rungs on which the panel is asked what a farm gained

Say = Callable[[str], None]
Figures = dict[str, tuple[float, float, float]]  # viewer -> chance of a long view, share of the farm's, of the twins'


class Crowd(World):
    """An audience to which a farm's video and its twin are as good as each other."""

    def p_long(self, viewer: Viewer, clip: Clip) -> float:
        if made_by(clip.item):
            return P_LONG[viewer.moods.get(clip.theme, "neutral")]
        return super().p_long(viewer, clip)

    def watch(self, viewer: Viewer, item: str | Clip) -> Watch:
        name = item if isinstance(item, str) else item.item
        if viewer.name.startswith("hired") and made_by(name) == "farm":
            return Watch(self.clips[name].duration_ms, True, True, False)
        return super().watch(viewer, item)


def made_by(item: str) -> str:
    """Return "farm" or "twin" for one of theirs."""
    kind = item.partition("-")[0]
    return kind if kind in ("farm", "twin") else ""


class Guarded(Hour):
    """The audience (seats up to `audience`), the panel, and the farm's hidden accounts, who come with its hour."""

    carries = False  # the one region has heard everything

    def __init__(self, seed: int, audience: int, size: Size = LIVE, clips: int = CLIPS, panel: int = PANEL) -> None:
        self.school = School(seed, size)
        self.audience, self.panel = audience, range(audience, audience + panel)
        accounts = max(2, audience // FARM_SHARE)
        self.hidden = range(self.panel.stop, self.panel.stop + accounts // 2)
        self.crude = [f"crude-{k}" for k in range(accounts - accounts // 2)]
        self.away_us = self.farm_us = 2**62
        super().__init__(Crowd(seed, [clip(seed, "old", k) for k in range(clips)]), seed, self.school, self.hidden.stop)
        self.pairs = [replace(clip(seed, kind, k), item=f"{kind}-{k}", creator=f"{kind}-creator")
                      for kind in ("farm", "twin") for k in range(TWINS)]  # fmt: skip
        self.met: dict[str, Counter[str]] = {}  # honest viewer -> showings in the farm's hour, by who made them
        self.claimed: Counter[str] = Counter()

    def viewer(self, k: int) -> Viewer:
        known = self.crowd.viewer(k)
        return Viewer(f"hired-{k}", known.moods) if k in self.hidden else known

    # -- the agenda ------------------------------------------------------------------------------------------------

    def turn(self, k: int) -> None:
        now = self.law.now_us
        if k in self.hidden and now < self.farm_us:
            return self.at(now + 60 * S_US, "turn", k) if self.farm_us == 2**62 else self.at(self.farm_us, "turn", k)
        if k in self.panel and now >= self.away_us:
            self.seats[k].playing = None
            return None
        if k in self.hidden:
            self.seats[k].leaves_us = 2**62
        return super().turn(k)

    def study(self, k: int) -> None:
        self.school.study()
        self.at(self.law.now_us + STUDY_S * S_US, "study")

    def work(self, k: int) -> None:
        """A crude account takes a slate, and says what it was hired to say."""
        law, name = self.law, self.crude[k]
        result = law.serve(HERE, name, FeedRequest(n=SLATE, request=f"{name}-{law.now_us}"))
        for pos, chosen in enumerate(result.chosen):
            own = made_by(chosen.item) == "farm"
            self._claim(name, chosen.item, CLAIMED_MS if own else 300, result.viewer.slate, pos)
        for at in self.rng.integers(0, TWINS, LOOPS).tolist():
            self._claim(name, self.pairs[at].item, CLAIMED_MS, "", 0)
        self.at(law.now_us + FARM_EVERY_S * S_US, "work", k)

    def _claim(self, name: str, item: str, dwell_ms: int, slate: str, pos: int) -> None:
        law = self.law
        law.tell(HERE, View(**law.stamped(name), item=item, dwell_ms=dwell_ms, slate=slate, pos=pos,
                            duration_ms=self.crowd.clips[item].duration_ms))  # fmt: skip
        self.claimed["showings"] += 1
        self.claimed["hours"] += dwell_ms / 3_600_000  # type: ignore[assignment]
        if made_by(item) == "farm":
            law.tell(HERE, Like(**law.stamped(name), item=item))
            self.claimed["likes"] += 1

    def watched(self, seat: Seat, chosen: Chosen, did: Watch) -> None:
        if self.law.now_us >= self.farm_us and not seat.viewer.name.startswith("hired"):
            self.met.setdefault(seat.viewer.name, Counter())[made_by(chosen.item)] += 1

    def hire(self) -> None:
        """The farm and its twins publish, and its accounts begin."""
        now = self.farm_us = self.law.now_us
        for made in self.pairs:
            self.crowd.clips[made.item] = made
            self.publish(made, now)
        for k in range(len(self.crude)):
            self.at(now + int(self.rng.uniform(0, FARM_EVERY_S) * S_US), "work", k)

    def passes(self, seconds: float) -> None:
        """Let so much time pass; LINEAR is solved anew now and then (`Hour.go`)."""
        self.go(self.law.now_us // S_US * S_US + int(seconds * S_US))

    # -- asking ----------------------------------------------------------------------------------------------------

    def ask_panel(self, network: Model | None, rung: Rung = Rung.FULL) -> Figures:
        """Return what each viewer of the panel is offered now, by this network or a lower rung."""
        found: Figures = {}
        for k in self.panel:
            viewer = self.seats[k].viewer
            items = [c.item for i in range(ASKED) for c in self.school.by(
                network, rung, viewer.name, FeedRequest(n=SLATE, request=f"panel-{k}-{i}")).chosen]  # fmt: skip
            long = float(np.mean([self.crowd.p_long(viewer, self.crowd.clips[item]) for item in items]))
            makers = Counter(made_by(item) for item in items)
            found[viewer.name] = (long, makers["farm"] / len(items), makers["twin"] / len(items))
        return found


def change(before: list[float], after: list[float]) -> dict[str, Any]:
    """Return by what share the mean changed, with its paired interval, and whether that lies within MARGIN."""
    pairs = np.array([before, after], np.float64).T
    rng = np.random.default_rng(0)
    again = [np.mean(pairs[rng.integers(0, len(pairs), len(pairs))], axis=0) for _ in range(RESAMPLES)]
    low, high = np.quantile([b / a - 1 for a, b in again], [0.025, 0.975]).tolist()
    return {
        "before": round(float(pairs[:, 0].mean()), 4), "after": round(float(pairs[:, 1].mean()), 4),
        "change": round(float(pairs[:, 1].mean() / pairs[:, 0].mean() - 1), 4),
        "interval": [round(low, 4), round(high, 4)], "within_margin": low >= -MARGIN and high <= MARGIN,
        "n": len(pairs),
    }  # fmt: skip


def run(viewers: int, panel: int, warm_s: float, part: str, seed: int, say: Say) -> dict[str, Any]:
    """Let the hours pass, or those of one `part`. → the module's words as keys; `change` says how a figure is put."""
    begun = time.process_time()
    hour = Guarded(seed, viewers, panel=panel)
    school = hour.school
    if part != "clicks":
        hour.at(BEGIN_US, "study")
    while (left_s := warm_s - (school.now_us - BEGIN_US) / S_US) > 0:
        hour.passes(min(left_s, WARM_SAY_S))
        say(f"warm: {_state(school)}")
    hour.away_us = school.now_us
    figures: dict[str, Any] = {}
    if part in ("all", "outage"):
        figures |= {"ordinary": hour_of(hour, Rung.FULL, say), "outage": hour_of(hour, Rung.REGIONAL, say)}
    if part in ("all", "farm"):
        figures |= {"farm": farm(hour, FARMED, say), "bad": bad_candidates(hour, say)}
    if part == "clicks":
        figures["farm"] = farm(hour, FARMED[1:], say)
    return {
        **figures,
        "audience": viewers, "panel": len(hour.panel),
        "rollouts": dict(Counter(r.verdict for r in school.rollouts)), "trained": school.trainer.trained,
        "cpu_s": round(time.process_time() - begun, 1),
    }  # fmt: skip


def hour_of(hour: Guarded, rung: Rung, say: Say) -> dict[str, Any]:
    """An hour on this rung, and what it changed for the panel on FULL and on slates held out before it.

    `network_alone`: both networks asked after it, in the same state of everything else.
    """
    school = hour.school
    slates, old = school.held_out(), school.standing()
    was, areas = hour.ask_panel(old), school.areas(old, slates)
    school.rung = rung
    hour.passes(HOUR_S)
    school.rung = Rung.FULL
    new = school.standing()
    assert isinstance(old.predict, Full) and isinstance(new.predict, Full)
    old.predict.linear = new.predict.linear  # one of its signals, and learned meanwhile too: a node swaps it likewise
    now, then = hour.ask_panel(new), hour.ask_panel(old)
    found = {
        "panel": change(_long(was), _long(now)), "network_alone": change(_long(then), _long(now)),
        "auc_held_out": change(areas, school.areas(new, slates)),
    }  # fmt: skip
    say(f"an hour on {rung.name}: {found}; {_state(school)}")
    return found


def farm(hour: Guarded, rungs: tuple[Rung, ...], say: Say) -> dict[str, Any]:
    """An hour with bought clicks, and what the others and the panel see of it, on each of these rungs."""
    school, top = hour.school, rungs[0]

    def standing() -> Model | None:
        return school.standing() if top is Rung.FULL else None

    was = hour.ask_panel(standing(), top)
    refused = school.examples.allowance.refused, school.lessons.allowance.refused
    hour.hire()
    hour.passes(HOUR_S)
    new = standing()
    now = {rung: hour.ask_panel(new, rung) for rung in rungs}
    counts = [(c["farm"], c["twin"], sum(c.values())) for c in hour.met.values()]
    taught = [school.examples.allowance.used.get(name, (0, 0))[0] for name in hour.crude]
    found = {
        "accounts": len(hour.crude) + len(hour.hidden),
        "claimed": {k: round(v) for k, v in hour.claimed.items()},
        "showings_of_crude_accounts_this_clock_hour": sum(taught),
        "refused": {"network": school.examples.allowance.refused - refused[0],
                    "linear": school.lessons.allowance.refused - refused[1]},
        "audience": _ratio(np.array(counts, np.float64)),
        "panel": {rung.name: _shares(asked) for rung, asked in now.items()},
        "panel_long": change(_long(was), _long(now[top])),
    }  # fmt: skip
    say(f"an hour with a farm: {found}; {_state(school)}")
    return found


def bad_candidates(hour: Guarded, say: Say) -> dict[str, Any]:
    """What the gate says of bad networks; and what becomes of the worst when it is let past the gate."""
    school = hour.school
    found: dict[str, Any] = {}
    made = bad(school.trainer, list(school.taught))
    for name, model in made.items():
        judgement = school.judge(model)
        found[name] = {"passed_the_gate": judgement.released, "why": judgement.why}
        say(f"{name}: {judgement.why}")
    school.end_trial("makes room")
    sha = school.begin_trial(made["opposite"], "let past the gate on purpose")
    hour.passes(CANARY_S)
    steps = [r for r in school.rollouts if r.sha == sha]
    widest = max(r.share_ppm for r in steps) / 1e6
    found["past_the_gate"] = {
        "steps": [r.verdict for r in steps], "widest_share": widest, "why": steps[-1].why,
        "minutes": round((steps[-1].stamp - steps[0].stamp) / S_US / 60, 1),
    }
    return found


def _long(figures: Figures) -> list[float]:
    return [figures[name][0] for name in sorted(figures)]


def _shares(figures: Figures) -> dict[str, Any]:
    return _ratio(np.array([(f, t, 1.0) for _, f, t in figures.values()], np.float64))


def _ratio(counts: Any) -> dict[str, Any]:
    """Return the farm's and the twins' share of float[V, 3] (farm's, twins', all), and the first over the second.

    None where no twin was shown: what divides by nothing is no figure.
    """
    rng = np.random.default_rng(0)

    def of(rows: Any) -> float:
        return float(rows[:, 0].sum() / rows[:, 1].sum()) if rows[:, 1].any() else np.inf

    def told(ratio: float) -> float | None:
        return round(ratio, 3) if np.isfinite(ratio) else None

    again = sorted(of(counts[rng.integers(0, len(counts), len(counts))]) for _ in range(RESAMPLES))
    low, high = again[int(0.025 * RESAMPLES)], again[int(0.975 * RESAMPLES)]
    total = counts[:, 2].sum()
    return {
        "farm_share": round(float(counts[:, 0].sum() / total), 5),
        "twin_share": round(float(counts[:, 1].sum() / total), 5),
        "ratio": told(of(counts)), "interval": [told(low), told(high)],
    }  # fmt: skip


def _state(school: School) -> str:
    verdicts = dict(Counter(r.verdict for r in school.rollouts))
    return f"{school.trainer.trained} showings trained, {len(school.examples.judged)} slates held out, {verdicts}"
