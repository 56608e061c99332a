"""`holdfast eval`: how good each rung is on data anyone can get. The work is in `holdfast.eval`; this is the door."""

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
