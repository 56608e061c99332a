"""The networks a node holds: the release that serves, the one under trial, and which of them serves whom.

A network is bound in a thread beside the old one and swapped in between two slates; nothing is compiled, and JAX is not
imported (`model.forward`). Before it serves, its digest was checked by the fetch, its numbers are finite, and it must
give the learner's own answer to a fixed question (`probe`).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from holdfast.adapters import system
from holdfast.adapters.home import Home
from holdfast.core.entries import Release
from holdfast.core.errors import Broken
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pipeline import Result
from holdfast.core.feed.predict import Predict, Predictors
from holdfast.core.feed.shapes import ModelFacts
from holdfast.model import signals
from holdfast.model.linear import Linear
from holdfast.model.rollout import Line

if TYPE_CHECKING:
    from holdfast.model.full import Full, FullModel

PARITY = 1e-5  # how far a node's answer to the fixed question may lie from the learner's


@dataclass(slots=True)
class Model:
    """A released model in use. `learned_to`: newest stamp it learned from, µs."""

    predict: Predict
    release: str
    learned_to: int
    examples: int
    figures: dict[str, float]

    def facts(self, now_us: int) -> ModelFacts:
        """The model as a slate names it."""
        return ModelFacts(self.release, round((now_us - self.learned_to) / 1e6, 1), self.figures)


@dataclass(slots=True)
class Networks:
    """The line of releases, and those of it that are loaded here."""

    line: Line = field(default_factory=Line)
    held: dict[str, Model] = field(default_factory=dict[str, Model])

    def of(self, viewer: str) -> Model | None:
        """Return the network that serves a viewer; while the one under trial is not loaded, the one that serves."""
        return self.held.get(self.line.chosen(viewer)) or self.serving

    @property
    def serving(self) -> Model | None:
        """The network that serves everyone who is in no trial."""
        return self.held.get(self.line.serving)

    def on_trial(self, model: Model | None) -> bool:
        """Say whether a network is under trial."""
        return model is not None and model.release == self.line.trial

    def wanted(self) -> list[Release]:
        """Return the releases that should be loaded and are not."""
        names = (self.line.serving, self.line.trial)
        return [self.line.releases[n] for n in names if n in self.line.releases and n not in self.held]

    def drop(self) -> None:
        """Let go of what neither serves nor is under trial."""
        kept = (self.line.serving, self.line.trial)
        self.held = {sha: model for sha, model in self.held.items() if sha in kept}

    def follow_linear(self, linear: Predict) -> None:
        """Let the networks read the newest LINEAR model's scores."""
        for model in self.held.values():
            network: Any = model.predict
            network.linear = linear


def predictors(linear: Model | None, network: Model | None) -> Predictors:
    """Return what each rung above REGIONAL has at hand."""
    found: dict[Rung, Predict] = {Rung.LINEAR: linear.predict} if linear else {}
    if network:
        found[Rung.FULL] = found[Rung.STALE] = network.predict
    return found


def served_by(results: Sequence[Result], linear: Model | None, network: Model | None) -> list[bytes]:
    """Return the signals of each result's videos as its entry carries them; b"" where nothing personal was used."""
    packed = [b""] * len(results)
    shown = [np.array([c.row for c in result.chosen], np.int64) for result in results]
    left: list[int] = []
    for i, (result, rows) in enumerate(zip(results, shown, strict=True)):
        if not rows.size or (rows < 0).any() or not result.viewer.query.viewer:
            continue
        if network and result.rung < Rung.LINEAR:
            full: Any = network.predict
            fixed = full.recall(result.viewer.history, rows)
            if fixed is not None:
                packed[i] = signals.pack(fixed)
                continue
        left.append(i)
    if linear is None or not isinstance(linear.predict, Linear) or not left:
        return packed
    past, rows = [results[i].viewer.history for i in left], [shown[i] for i in left]
    again = (linear.predict.again(h, r) for h, r in zip(past, rows, strict=True))
    scores = [s for s in again if s is not None]
    if len(scores) < len(left):
        scores = [s[:, 0] for s in linear.predict.read(past).score(rows)]
    for i, fixed in zip(left, signals.each(past, rows, scores, linear.predict.catalogue), strict=True):
        packed[i] = signals.pack(fixed)
    return packed


def prepare(home: Home) -> None:
    """Before the first import of JAX: keep what XLA compiles on disk, so that the next start need not."""
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(home.root / "cache" / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


def module() -> Any:
    """Return `model.full`, imported when it is first needed."""
    from holdfast.model import full

    return full


def load(blob: bytes, base: Any) -> "FullModel":
    """Decode a network; for a thread. Raises Broken."""
    from holdfast.model import release

    return release.load(blob, base)


def base_of(blob: bytes) -> str:
    """Return the digest of the release that a network's blob builds upon, "" for none. Raises Broken."""
    from holdfast.model import release

    return release.base_of(blob)


def warm(full: "Full", told: float | None) -> None:
    """Ready and check a network; for a thread. Raises Broken if its answers are not the learner's."""
    full.warm()
    said = full.probe()
    system.give_back_memory()
    if told is not None and not abs(said - told) <= PARITY:
        raise Broken(f"the network answers {said:.6f} here and {told:.6f} where it was made")
