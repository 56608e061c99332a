"""`holdfast eval`: how good each rung is on data anyone can get. The work is in `holdfast.eval`; this is the door."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from holdfast.core.errors import Refused

Json = Annotated[bool, Parameter(name="--json", negative=(), help="print one JSON object as the last line")]

group = App(name="eval", help="How good each rung is, on data anyone can get, beside what a team would try first.")


def _say(text: str) -> None:
    from holdfast.cli import words

    words.err.print(text, markup=False)


@group.command
def sequences(
    file: Path, *, rungs: str = "FULL,LINEAR,REGIONAL,SHELF",
    layout: Literal["auto", "sequences", "named", "pairs"] = "auto", epochs: float = 20.0, minutes: float = 55.0,
    seed: int = 0, attributes: Path | None = None, checkpoint: Path | None = None, json: Json = False,
) -> None:  # fmt: skip
    """Rank each sequence's last item among all items: every rung, popularity, item-kNN, EASE.

    Parameters
    ----------
    file
        one sequence a line, or viewer,item pairs in order; `.xz` too.
    rungs
        which of them, by commas.
    layout
        what a line is, where `auto` guesses wrong; `named`: a sequence behind its viewer's name.
    epochs
        the most FULL trains.
    minutes
        the longest FULL trains; what comes first ends it, at a low rate.
    seed
        of weights, batches and dropout.
    attributes
        a JSON object, item → list of attribute numbers, for FULL.
    checkpoint
        a file FULL's training is kept in every minute; the same command goes on from it.
    """
    from holdfast.cli import words
    from holdfast.eval import sequences as it

    if epochs <= 0 or minutes <= 0:
        raise Refused("--epochs and --minutes are above 0", field="epochs", hint="0.5 is allowed")
    chosen = tuple(name.strip().upper() for name in rungs.split(",") if name.strip())
    result = it.run(file, it.Options(chosen, layout, epochs, minutes, seed, attributes, checkpoint), _say)
    if json:
        words.as_json(result)
        return
    heads = ("", "HR@10", "NDCG@10", "95 % interval", "coverage@10", "seconds")
    rows = [(name, *_figures(row)) for part in ("baselines", "rungs") for name, row in result[part].items()]
    words.table(f"split {result['split']['digest'][:12]}", heads, rows)


def _figures(row: dict[str, Any]) -> tuple[str, ...]:
    between = f"{row['ndcg_at_10_low']:.4f}–{row['ndcg_at_10_high']:.4f}"
    shown = (f"{row[key]:.4f}" for key in ("hr_at_10", "ndcg_at_10"))
    return (*shown, between, f"{row['coverage_at_10']:.3f}", f"{row['seconds']:.0f}")


log = App(name="log", help="Train on a real impression log up to a day, and foresee what viewers did after it.")
group.command(log)


@log.command(name="kuairand")
def log_kuairand(
    dir: Path, *, train_until: date | None = None, test: Path | None = None, seed: int = 0, minutes: float = 15.0,
    json: Json = False,
) -> None:  # fmt: skip
    """AUC and GAUC for long views and likes, hit rate@20, calibration; beside popular, logits and boosted trees.

    Parameters
    ----------
    dir
        a folder like KuaiRand-Pure's: the log, the history, viewers' and videos' features.
    train_until
        the last day that teaches, as 2022-04-28 (without it: all but the last two; with --test: all).
    test
        a log of a later week in the same columns, `.csv` or `.csv.xz`; rows up to `train_until` are left out.
    seed
        of folds, weights and draws.
    minutes
        the longest the networks train; fewer of them on a slow machine, at least one.
    """
    from holdfast.cli import words
    from holdfast.eval import log as it

    if minutes <= 0:
        raise Refused("--minutes is above 0", field="minutes", hint="0.5 is allowed")
    result = it.run(dir, it.Options(train_until, test, seed, minutes), _say)
    if json:
        words.as_json(result)
        return
    s = result["split"]
    title = f"long view, {s['test_from']} to {s['test_until']}, {s['tested_on']} impressions, split {s['digest'][:12]}"
    words.table(title, ("", "AUC", "GAUC", "FULL less it: AUC, GAUC", "like AUC", "hit@20"), it.rows(result))
    heads = ("predicted", "happened", "impressions")
    for action, row in result["calibration"].items():
        bins = [(f"{b['predicted']:.3f}", f"{b['happened']:.3f}", b["n"]) for b in row["reliability"]]
        words.table(f"calibration of {action}: ECE {row['ece']:.4f}", heads, bins)


online = App(name="online", help="What learning while serving is worth: a real log replayed, predict, then learn.")
group.command(online)


@online.command(name="kuairand")
def online_kuairand(
    dir: Path, *, since: Annotated[date | None, Parameter(name="--from")] = None, limit: int | None = None,
    plot: Path | None = None, seed: int = 0, json: Json = False,
) -> None:  # fmt: skip
    """The same model released online, hourly and daily: hit rate@20, AUC, log loss; new viewers beside popular.

    Parameters
    ----------
    dir
        a folder like KuaiRand-Pure's.
    since
        the first day counted, as 2022-04-26; what is before it only teaches.
    limit
        impressions read.
    plot
        a file for the curve: .svg or .png.
    seed
        of weights, batches and the bootstrap.
    """
    from holdfast.cli import words
    from holdfast.eval import online as it
    from holdfast.eval import online_plot, online_told

    if plot is not None:
        online_plot.checked(plot)
    result = it.run(dir, it.Options(since, limit, seed), _say)
    if plot is not None:
        online_plot.draw(result, plot)
    if json:
        words.as_json(result)
        return
    for title, heads, rows in online_told.tables(result):
        words.table(title, heads, rows)


@group.command
def bandit(dir: Path, *, seed: int = 0, json: Json = False) -> None:
    """Off-policy estimates (IPS, SNIPS, doubly robust) on a log with true propensities, and whether they hold.

    Parameters
    ----------
    dir
        a folder of campaigns as Open Bandit has them: men/men.csv.xz and the like.
    seed
        of the bootstrap and the halves of cross-fitting.
    """
    from holdfast.cli import words
    from holdfast.eval import bandit as it

    result = it.run(dir, seed)
    if json:
        words.as_json(result)
        return
    heads = ("campaign", "policy", "", "estimate", "95 % interval", "truth", "covered", "effective n")
    words.table("clicks per impression", heads, it.rows(result))
