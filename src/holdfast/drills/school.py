"""A school: one region in virtual time whose network learns from its audience, is judged, tried and rolled back.

As `drills.jurisdiction`, and what `region.learner_network` does between two blocks of the log is done here between two
moments: examples are joined, trained on, a candidate is asked about the slates held out, serves a canary, widens or
goes back, each step an entry. A candidate may also be handed in from outside, past the learner or even past the gate.
"""

import hashlib
from collections import deque

from holdfast.core.entries import Entry, Release, Rollout, SlateServed
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pipeline import Result, run
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.feed.sources import Stocks
from holdfast.core.feed.viewer import Budget, Query
from holdfast.drills.jurisdiction import Jurisdiction, Site
from holdfast.model import gate, release
from holdfast.model.evaluate import Example, ask_network
from holdfast.model.examples import Examples, Unit
from holdfast.model.full import LIVE, Full, FullModel, Size
from holdfast.model.linear import Linear
from holdfast.model.online import Trainer
from holdfast.model.rollout import RUNG, SHARES_PPM, Line, Step, Trial
from holdfast.model.signals import digest
from holdfast.region.node_networks import Model, Networks, predictors, served_by

HERE = "here"
UNITS_FIRST = 64
TAUGHT_KEPT = 4096  # newest examples


class School(Jurisdiction):
    """One region called HERE. `rung`: the best that a slate may stand on; `rollouts`: every step, the newest last."""

    def __init__(self, seed: int, size: Size = LIVE) -> None:
        super().__init__([HERE], 0.0, seed)
        self.world = self.lessons.world
        self.examples = Examples(self.world)
        self.trainer = Trainer(self.world.catalogue, seed, size)
        self.trial = Trial()
        self.networks = Networks()
        self.linear: Model | None = None
        self.rung = Rung.FULL
        self.rollouts: list[Rollout] = []
        self._stocks = Stocks()
        self.taught: deque[Unit] = deque(maxlen=TAUGHT_KEPT)
        self._out = 0  # showings trained on when the last candidate was made

    @property
    def line(self) -> Line:
        return self.networks.line

    def _fold(self, site: Site, entry: Entry) -> None:
        self.examples.take(entry)
        super()._fold(site, entry)
        if isinstance(entry, Release | Rollout):
            self.line.hear(entry)

    # -- serving ---------------------------------------------------------------------------------------------------

    def ask(self, at: str, viewer: str, request: FeedRequest, without: frozenset[str] = frozenset()) -> Result:
        return self.by(self.networks.of(viewer), self.rung, viewer, request, without)

    def by(
        self, network: Model | None, rung: Rung, viewer: str, request: FeedRequest,
        without: frozenset[str] = frozenset(),
    ) -> Result:  # fmt: skip
        """Ask one network, or what a lower rung has, for a slate; nothing is recorded."""
        budget = Budget(self.now_us, self.seed, rung, without=without)
        return run([Query(viewer, request)], self.world, predictors(self.linear, network), budget, self._stocks)[0]

    def serve(self, at: str, viewer: str, request: FeedRequest) -> Result:
        result, network = self.ask(at, viewer, request), self.networks.of(viewer)
        numbers = served_by([result], self.linear, network)[0]
        made = network if result.rung < Rung.LINEAR else self.linear if result.rung is Rung.LINEAR else None
        past = digest(result.viewer.history, self.world.catalogue) if numbers else 0
        self.tell(at, SlateServed(
            **self.stamped(f"node-{at}"), viewer=viewer, slate=result.viewer.slate, rung=result.rung.name,
            items=[c.item for c in result.chosen], drawn=result.drawn, release=made.release if made else "",
            signals=numbers, history=past,
        ))  # fmt: skip
        return result

    # -- learning --------------------------------------------------------------------------------------------------

    def learn(self) -> None:
        super().learn()
        linear = self.sites[HERE].model
        if isinstance(linear, Linear):
            self.lessons.incumbent = linear
            self.linear = Model(linear, "linear", self.now_us, 0, {})
            self.networks.follow_linear(linear)

    def study(self) -> None:
        """Train on what has settled, and take the next step of the rollout."""
        self.trial.see(self.examples.outcomes)
        self.examples.outcomes.clear()
        for unit in self.examples.emptied():
            self.trainer.offer(unit)
            self.taught.append(unit)
        if self.linear is None or (not self.trainer.trained and len(self.trainer.waiting) < UNITS_FIRST):
            return
        self.trainer.flush()
        if self.line.trial:
            step = self.trial.step(self.line)
            if step.verdict:
                self._roll(self.line.trial, step)
        elif self.trainer.trained > self._out and self.rung is Rung.FULL:
            self._out = self.trainer.trained
            self.propose(self.trainer.model())

    def standing(self) -> Model:
        """The network as it stands in training, as it would serve."""
        return self._bound(release.rounded(self.trainer.model()))

    def propose(self, model: FullModel) -> gate.Judgement:
        """Judge a candidate; what passes becomes a release under trial."""
        judgement = self.judge(model)
        if judgement.released:
            self.begin_trial(model, judgement.why)
        return judgement

    def judge(self, model: FullModel) -> gate.Judgement:
        """Ask a candidate and its rivals about the newest slates held out."""
        assert self.linear is not None and isinstance(self.linear.predict, Linear)
        asked = [self._bound(release.rounded(model)) if model.finite() else None, self.networks.serving]
        candidate, incumbent = (m.predict if m and isinstance(m.predict, Full) else None for m in asked)
        return gate.judge_networks(candidate, incumbent, self.linear.predict, self.held_out())[0]

    def held_out(self) -> list[Example]:
        """The newest slates kept aside that tell."""
        return gate.for_networks(self.examples.judged)

    def areas(self, network: Model, slates: list[Example]) -> list[float]:
        """Return the area of a network on each slate."""
        assert isinstance(network.predict, Full)
        return ask_network(network.predict, slates)

    def begin_trial(self, model: FullModel, why: str = "") -> str:
        """Release a network and let a canary have it, whatever the gate said; return its digest."""
        data = release.dump(release.rounded(model), None)
        sha = hashlib.sha256(data).hexdigest()
        self.networks.held[sha] = self._bound(release.rounded(model), sha)
        kept = {self.line.serving, *self.line.before, sha}
        self.networks.held = {s: m for s, m in self.networks.held.items() if s in kept}
        self.tell(HERE, Release(**self.stamped("learner"), rung=RUNG, sha=sha, size=len(data),
                                learned_to=self.examples.learned_to, examples=model.examples))  # fmt: skip
        self._roll(sha, Step("canary", SHARES_PPM[0], why))
        return sha

    def end_trial(self, why: str) -> None:
        """Take back what is under trial."""
        if self.line.trial:
            self._roll(self.line.trial, Step("rollback", 0, why))

    def _roll(self, sha: str, step: Step) -> None:
        # one step a moment: a step that is no newer than the last is passed over
        stamp = max(self.now_us, self.line.since + 1)
        entry = Rollout(**self.stamped("learner", stamp), rung=RUNG, sha=sha, verdict=step.verdict,
                        share_ppm=step.share_ppm, why=step.why[:300], figures=step.figures)  # fmt: skip
        self.rollouts.append(entry)
        self.tell(HERE, entry)

    def _bound(self, model: FullModel, sha: str = "") -> Model:
        assert self.linear is not None and isinstance(self.linear.predict, Linear)
        full = Full(model, self.world.catalogue, self.linear.predict, sha)
        return Model(full, sha, self.now_us, model.examples, {})
