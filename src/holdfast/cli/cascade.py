"""`holdfast cascade`: what falls over next, with every defence and without. The work is in `holdfast.sim`."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from holdfast.core.errors import Refused

Json = Annotated[bool, Parameter(name="--json", negative=(), help="print one JSON object as the last line")]
HEADS = ("trouble", "defences", "regions", "worst", "end", "back after, s", "at the store", "hit", "by device")
EXIT_FAILED = 1


def cascade(*, regions: int = 200, seed: int = 1, plot: Path | None = None, json: Json = False) -> None:
    """Troubles that spread, on a model of hundreds of regions that runs the real router, admission, budget and ladder.

    Exit code 1 if a trouble does not pass by itself with all defences.

    Parameters
    ----------
    regions
        how many; ten clients each, which stand for many viewers.
    seed
        of everything that is random: the same seed gives the same table.
    plot
        a folder for two pictures, cascade.svg and defences.svg.
    """
    from holdfast.cli import cascade_plot, words
    from holdfast.sim import cascade_table as it

    if regions < 5:
        raise Refused("--regions counts from 5", field="regions", hint="--regions 200")
    if plot:
        cascade_plot.ready(plot)
    result = it.table(regions, seed, lambda text: words.err.print(text, markup=False))
    if plot:
        cascade_plot.draw(result, plot)
    if json:
        words.as_json(result)
    else:
        words.table("", HEADS, [row(o) for o in result["each"]])
        words.out.print("with all defences every trouble passes by itself" if result["holds"] else "it does NOT hold")
    if not result["holds"]:
        sys.exit(EXIT_FAILED)


def row(o: dict[str, float | str]) -> tuple[object, ...]:
    """A row of the table as people read it."""
    back = "never" if o["recovered_s"] == -1 else f"{o['recovered_s']:.0f}"
    before, after = ([f"{o[name]:.3f}" for name in names] for names in (("worst", "end"), ("blast", "device")))
    return (o["case"], o["defences"], o["regions"], *before, back, f"{o['amplification']:.2f}", *after)
