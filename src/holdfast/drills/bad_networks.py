"""Networks that must not serve: what a fault, an attack or laziness could make of one.

    nan         weights that are not numbers
    shuffled    trained on what was shown, with long views dealt by lot
    popularity  nothing of the viewer: what this place likes now, alone
    opposite    trained on the opposite of every view: what a crowd that clicks against all others would teach
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from holdfast.model import signals
from holdfast.model.examples import HEAD, Unit
from holdfast.model.full import FullModel
from holdfast.model.online import Trainer


def bad(trainer: Trainer, units: list[Unit]) -> dict[str, FullModel]:
    """Return bad networks made from a trainer and what it was taught, by name."""
    good = trainer.model()
    dice = np.random.default_rng(0)

    def by_lot(unit: Unit) -> np.ndarray:
        return dice.random(len(unit.rows)) < 0.5

    rank = good.params["rank"]
    heat, bins = signals.NAMES.index("heat"), good.size.rank.bins
    wide = np.zeros_like(rank["wide"])
    wide[heat * bins : (heat + 1) * bins, 0] = 3.0
    return {
        "nan": _with(good, out=np.full_like(rank["out"], np.nan)),
        "shuffled": _taught(trainer, units, by_lot),
        "popularity": _with(good, out=np.zeros_like(rank["out"]), wide=wide),
        "opposite": _taught(trainer, units, lambda unit: unit.labels[:, HEAD["long"]] < 0.5),
    }


def _with(model: FullModel, **changes: np.ndarray) -> FullModel:
    return FullModel({"net": model.params["net"], "rank": {**model.params["rank"], **changes}}, model.size)


def _taught(trainer: Trainer, units: list[Unit], long: Callable[[Unit], np.ndarray]) -> FullModel:
    other = Trainer(trainer.catalogue, trainer.seed + 1, trainer.size)
    for unit in units:
        labels = unit.labels.copy()
        labels[:, HEAD["long"]] = long(unit)
        other.offer(replace(unit, labels=labels))
    other.flush()
    return other.model()
