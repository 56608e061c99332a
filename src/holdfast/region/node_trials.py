"""Experiments at a node: defined by entries, drawn by hash when a slate is asked for, counted by the fold.

A definition is an entry of the personal class, so it holds in every region of its jurisdiction and nowhere else; a team
that serves two jurisdictions starts it in both. A running experiment is never changed, since results would then mix two
questions: it is stopped, and another is begun.
"""

import re
from collections import Counter
from functools import lru_cache

import msgspec

from holdfast.adapters.http import shapes_team as team
from holdfast.adapters.http.ports import Caller
from holdfast.core import experiments
from holdfast.core.classes import Class
from holdfast.core.entries import RULES_CHARS_MAX, Arm, Experiment, encode
from holdfast.core.errors import Refused
from holdfast.core.experiments import Trials
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.rules import Rules
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.feed.value import WEIGHTS
from holdfast.core.feed.viewer import NO_TRIAL, Trial
from holdfast.core.tenants import SEPARATOR, inner, outer, tenant_of
from holdfast.region.node_append import Appender
from holdfast.region.node_state import State

DEFINED_MAX = 1000  # per tenant, ended ones among them: every node keeps them all, at up to 100 kB each
RUNNING_MAX = 20  # per tenant: each costs a hash per slate, and many at once have few viewers each
NAMES = "letters, digits, `_`, `.` and `-`, at most 64"
NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}\Z")
PARTS = frozenset(part for row in WEIGHTS.values() for part in row)


def draw(trials: Trials, request: FeedRequest, viewer: str, tenant: str) -> tuple[FeedRequest, Trial]:
    """Return what the running experiments make of one viewer's request."""
    running = trials.running(tenant) if trials.defined and viewer else []
    if not running:
        return request, NO_TRIAL
    running = [experiment for experiment in running if not unread(experiment)]
    arms: dict[str, str] = {}
    factors: dict[str, float] = {}
    for experiment in running:
        name = arms[experiment.name] = experiments.arm_of(experiment, viewer)
        arm = next(a for a in experiment.arms if a.name == name)
        factors.update({part: percent / 100 for part, percent in arm.weights.items()})
        if arm.at_most and Rung[arm.at_most] > Rung[request.at_most]:
            request = msgspec.structs.replace(request, at_most=arm.at_most)
        if arm.rules and request.rules is None:
            request = msgspec.structs.replace(request, rules=_rules(arm.rules))
    return request, Trial(arms, factors)


def unread(experiment: Experiment) -> str:
    """Return the arm that this version cannot read, "" if it reads all.

    An arm written by a newer version may name a rung or a rule that is not known here. Then nobody is drawn here, for
    any arm: to serve some of them would count viewers under an arm that they did not get.
    """
    return next((arm.name for arm in experiment.arms if not _known(arm.at_most, arm.rules)), "")


@lru_cache(maxsize=1024)
def _known(at_most: str, rules: str) -> bool:
    try:
        _rules(rules or "{}")
    except msgspec.MsgspecError:
        return False
    return not at_most or at_most in Rung.__members__


def count_unread(trials: Trials) -> int:
    """Return how many running experiments are not served here."""
    return sum(not e.stopped and bool(unread(e)) for e in trials.defined.values())


@lru_cache(maxsize=256)
def _rules(text: str) -> Rules:
    return msgspec.json.decode(text, type=Rules)


class NodeTrials:
    """See `ports.Trials`."""

    def __init__(self, state: State, appender: Appender) -> None:
        self._state = state
        self._appender = appender

    async def start(self, name: str, plan: team.ExperimentPlan, caller: Caller) -> team.ExperimentLine:
        """Begin an experiment; it holds before the answer."""
        self._state.need_folds()
        trials = self._state.world.trials
        full = self._full(name, caller)
        if not NAME.match(name):
            raise Refused(f"`{name}` is not a name", field="name", code="door", hint=NAMES)
        if full in trials.defined:
            raise Refused(f"there was or is an experiment `{name}`", field="name", code="conflict",
                          hint="take another name: what an experiment asks is never changed")
        if len(trials.running(caller.tenant)) >= RUNNING_MAX:
            raise Refused(f"{RUNNING_MAX} experiments run already", field="name", code="conflict", hint="stop one")
        if sum(tenant_of(n) == caller.tenant for n in trials.defined) >= DEFINED_MAX:
            raise Refused(f"{DEFINED_MAX} experiments were begun already, and each is kept", field="name",
                          code="conflict")
        arms = [_arm(arm) for arm in plan.arms]
        if len({arm.name for arm in arms}) < len(arms):
            raise Refused("two arms have one name", field="arms", code="door")
        entry = Experiment(
            **self._state.stamp(),  # type: ignore[arg-type]
            name=full, arms=arms, outcome=plan.outcome, window_s=plan.window_s,
            effect_ppm=max(1, round(plan.effect * 1e6)), salt=plan.salt,
        )
        await self._keep(entry)
        return _line(entry)

    async def stop(self, name: str, caller: Caller) -> team.ExperimentLine:
        """End an experiment: nobody is drawn any more, the results stay."""
        held = self._held(name, caller)
        if held.stopped:
            return _line(held)
        now = self._state.stamp()
        entry = msgspec.structs.replace(held, **now, stopped=now["stamp"])
        await self._keep(entry)
        return _line(entry)

    def all(self, caller: Caller) -> team.Experiments:
        """The caller's experiments, by name."""
        self._state.need_folds()
        every = sorted(self._state.world.trials.defined.items())
        return team.Experiments([_line(e) for name, e in every if tenant_of(name) == caller.tenant])

    def results(self, name: str, caller: Caller) -> team.ExperimentResults:
        """What may be said now, at any moment."""
        held = self._held(name, caller)
        tallies = self._state.world.trials.tallies.get(held.name, {})
        lines = experiments.results(held, tallies, self._state.now_us())
        exposed = Counter(tally.arm for tally in tallies.values())
        sizes = [exposed[arm.name] for arm in held.arms]
        return team.ExperimentResults(
            experiment=_line(held), confidence=1 - experiments.ALPHA, viewers_min=experiments.VIEWERS_MIN, arms=lines,
            shares_hold=experiments.shares_hold(sizes, [arm.share for arm in held.arms]),
        )  # fmt: skip

    async def _keep(self, entry: Experiment) -> None:
        await self._state.folds(await self._appender.put(Class.PERSONAL, encode([entry])))

    def _full(self, name: str, caller: Caller) -> str:
        if SEPARATOR in name:
            raise Refused(f"`{name}` is not a name", field="name", code="door", hint=NAMES)
        return inner(caller.tenant, name)

    def _held(self, name: str, caller: Caller) -> Experiment:
        self._state.need_folds()
        held = self._state.world.trials.defined.get(self._full(name, caller))
        if held is None:
            raise Refused(f"there is no experiment `{name}`", field="name", code="missing")
        return held


def _arm(plan: team.ArmPlan) -> Arm:
    """Check what an arm changes. Raises Refused."""
    for part in plan.weights:
        if part not in PARTS:
            raise Refused(f"no score has a part `{part}`", field="weights", code="door",
                          hint=f"the parts are: {', '.join(sorted(PARTS))}")
    rules = msgspec.json.encode(plan.rules).decode() if plan.rules is not None else ""
    if len(rules) > RULES_CHARS_MAX:  # no fold would read the entry
        raise Refused(f"the rules of arm `{plan.name}` have {len(rules)} characters as JSON, at most {RULES_CHARS_MAX}",
                      field="rules", code="door", hint="name fewer creators or tags")
    weights = {part: round(factor * 100) for part, factor in plan.weights.items()}
    return Arm(name=plan.name, share=plan.share, at_most=plan.at_most or "", weights=weights, rules=rules)


def _line(e: Experiment) -> team.ExperimentLine:
    arms = [
        team.ArmPlan(
            name=arm.name, share=arm.share,
            at_most=arm.at_most if arm.at_most in Rung.__members__ else None,  # type: ignore[arg-type]
            weights={part: percent / 100 for part, percent in arm.weights.items()},
            rules=_rules(arm.rules) if arm.rules and _known("", arm.rules) else None,
        )
        for arm in e.arms
    ]  # fmt: skip
    return team.ExperimentLine(
        name=outer(e.name), arms=arms, outcome=e.outcome, window_s=e.window_s, effect=e.effect_ppm / 1e6,
        stopped=e.stopped, unread=unread(e),
    )  # fmt: skip
