"""Off-policy estimates: right where the truth is known, and suspicious of propensities that are not."""

from pathlib import Path

import numpy as np
import pytest

from holdfast.adapters import openbandit
from holdfast.core.entries import SlateServed
from holdfast.core.errors import Refused
from holdfast.eval import bandit
from holdfast.model import ope

ARMS, PLACES = 6, 2
RATES = np.linspace(0.1, 0.6, ARMS)  # of each arm; both places are alike


def logged(seed: int, n: int = 4000) -> openbandit.Shown:
    """A log of a policy that prefers the arms that earn little."""
    rng = np.random.default_rng(seed)
    chance = np.linspace(0.4, 0.05, ARMS)
    chance = chance / chance.sum()
    item = rng.choice(ARMS, n, p=chance)
    return openbandit.Shown(item, rng.integers(0, PLACES, n), (rng.random(n) < RATES[item]).astype(float), chance[item])


def greedy() -> np.ndarray:
    """A policy that mostly shows the best arm."""
    target = np.full((PLACES, ARMS), 0.02)
    target[:, -1] = 1 - 0.02 * (ARMS - 1)
    return target


def test_another_policy_is_valued_from_a_log_it_did_not_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ope, "RESAMPLES", 200)
    truth = float(greedy()[0] @ RATES)
    covered = {"ips": 0, "snips": 0, "dr": 0}
    for seed in range(20):
        found = bandit.judged(logged(seed), greedy(), seed)
        assert abs(found["mean_weight"] - 1) < 0.2 and found["effective_n"] < found["n"] / 2
        for name in covered:
            covered[name] += found[name]["low"] <= truth <= found[name]["high"]
    assert min(covered.values()) >= 16, covered  # 19 expected of 20
    shown = logged(0)
    assert abs(shown.click.mean() - truth) > 0.2, "the log's own mean would have been far off"
    wide = bandit.judged(shown, greedy(), 0)
    assert wide["dr"]["high"] - wide["dr"]["low"] < wide["ips"]["high"] - wide["ips"]["low"]


def test_false_propensities_show_in_the_mean_weight() -> None:
    shown = logged(0)
    lied = openbandit.Shown(shown.item, shown.place, shown.click, np.full(len(shown.item), 1 / ARMS))
    assert abs(bandit.judged(lied, greedy(), 0)["mean_weight"] - 1) > 0.3


def test_one_row_with_a_tiny_propensity_does_not_decide() -> None:
    n = 100
    rows = np.zeros(n), np.full(n, 0.5), np.full(n, 0.5), np.zeros(n), np.zeros(n)
    rows[0][0], rows[1][0] = 1.0, 1e-9
    found = ope.estimates(ope.Rounds(*rows), 0)
    assert found["ips"]["value"] == pytest.approx(0.1) and found["capped"] == 1  # √100 / 100, not 5e6


def slate(name: str, items: list[str], drawn: int, ppm: int) -> SlateServed:
    return SlateServed(device="node", outbox=1, stamp=1, viewer="v", slate=name, rung="LINEAR", items=items,
                       drawn=drawn, propensity_ppm=ppm)  # fmt: skip


def test_our_own_slates_answer_by_the_places_that_were_drawn() -> None:
    """Items a and b were drawn with 1 in 4 each; a is always watched long, b never."""
    served = [slate(f"s{i}", ["x", "ab"[i % 2]], 1, 250_000) for i in range(400)]
    served += [slate("fixed", ["a"], -1, 0), slate("cut", ["a"], 5, 250_000)]
    outcome = {(s.slate, "a"): 1.0 for s in served if "a" in s.items}
    rounds = ope.of_slates(served, outcome, lambda _, item: {"a": 0.4, "b": 0.1}[item])
    assert rounds is not None and len(rounds.reward) == 400, "a place chosen without chance cannot answer"
    found = ope.estimates(rounds, 0)
    assert found["snips"]["value"] == pytest.approx(0.8) and found["mean_weight"] == pytest.approx(1.0)
    assert ope.of_slates(served[-2:], outcome, lambda *_: 1.0) is None


def test_a_campaign_is_read_and_its_halves_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ope, "RESAMPLES", 100)
    shown = logged(3, 3000)
    folder = tmp_path / "shop" / "men"
    folder.mkdir(parents=True)
    rows = zip(shown.item, shown.place + 1, shown.click.astype(int), shown.propensity, strict=True)
    text = "".join(f"{i},2019-11-24 {i:06d},{a},{p},{c},{q}\n" for i, (a, p, c, q) in enumerate(rows))
    (folder / "men.csv").write_text(",timestamp,item_id,position,click,propensity_score\n" + text)
    found = bandit.run(tmp_path / "shop", 0)["men"]
    assert found["n"] == 3000 and abs(found["uniform"]["snips"]["value"] - RATES.mean()) < 0.06
    assert all(half[name]["covered"] for half in found["halves"].values() for name in ("ips", "snips", "dr"))
    assert len(bandit.rows({"men": found})) == 10
    (folder / "men.csv").write_text(",timestamp,item_id,position,click,propensity_score\n0,2019,1,1,0,1.5\n")
    with pytest.raises(Refused, match="line 2: out of range"):
        bandit.run(tmp_path / "shop", 0)
    (folder / "men.csv").write_text(",timestamp,item_id,position,click,propensity_score\n0,2019,1,1,0\n")
    with pytest.raises(Refused, match="line 2"):
        bandit.run(tmp_path / "shop", 0)
    with pytest.raises(Refused, match="no campaign"):
        bandit.run(tmp_path, 0)
