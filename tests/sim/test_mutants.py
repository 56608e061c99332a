"""Planted bugs: each is still a change of the code as it stands, one is caught, and nothing at all is not."""

import ast

import pytest

from holdfast.sim.mutants import CONTROL, PLANTED, trial
from holdfast.sim.mutate import Mutant, automatic, path_of


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda m: m.name)
def test_each_planted_bug_still_fits_the_code(mutant: Mutant) -> None:
    source = path_of(mutant.module).read_text()
    assert ast.dump(ast.parse(mutant.change(source))) != ast.dump(ast.parse(source))


def test_names_are_told_apart_and_there_are_enough() -> None:
    assert len({m.name for m in PLANTED}) == len(PLANTED) >= 20


def test_automatic_ones_change_the_core_one_place_at_a_time() -> None:
    drawn = automatic(60)
    assert len({(m.module, m.site) for m in drawn}) == 60 and drawn == automatic(60)
    for mutant in drawn:
        source = path_of(mutant.module).read_text()
        assert mutant.module.startswith("holdfast.core.")
        assert ast.dump(ast.parse(mutant.change(source))) != ast.dump(ast.parse(source)), mutant.name


@pytest.mark.timeout(1500)  # two interpreters that import everything anew
def test_a_bug_is_noticed_and_none_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.sim.mutants.PLANTED", (CONTROL, *(m for m in PLANTED if "de-duplication" in m.name)))
    monkeypatch.setattr("holdfast.sim.mutants.SEEDS", (1,))
    found = {result.name: result.by for _, result in trial(1, 0)}
    assert found["nothing at all"] == ""
    assert "views and comments" in found["forget the de-duplication"]
