"""`holdfast drill`: break something on real processes, watch, restore, judge. Exit code 1 if a promise broke."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from holdfast.cli import words
from holdfast.core.errors import Refused

EXIT_FAILED = 1  # a drill whose promise was not kept
Report = Annotated[Path | None, Parameter(name="--report", help="write a page of what came of it")]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="print one JSON object as the last line")]

group = App(name="drill", help="Break something on real processes, watch, restore, judge.")


def _say(text: str) -> None:
    words.err.print(text, markup=False)


@group.default
def drill(
    name: str = "", *, all: Annotated[bool, Parameter(negative=())] = False,
    list: Annotated[bool, Parameter(negative=())] = False, report: Path | None = None, attach: Path | None = None,
    clients: int = 20, watches: float = 5.0, seed: int = 1, json: Json = False,
) -> None:  # fmt: skip
    """Carry out one drill by its name, or all of them, on a platform that is started for it.

    Parameters
    ----------
    all
        every drill, one after the other, with a table at the end.
    list
        print what drills there are.
    report
        write a page: a file for one drill, a folder for several.
    attach
        the directory of a platform that runs (`holdfast up`), instead of one of the drill's own.
    clients
        viewers, four fifths of them at the region that is struck; each asks for a slate a second.
    watches
        videos that each viewer watches a second: so many entries a second each.
    seed
        what chance in the faults is drawn from.
    """
    from holdfast.drills import all_drills
    from holdfast.drills.drill_run import Load
    from holdfast.drills.drill_table import DRILLS

    if list or not (name or all):
        rows = [(d.name, d.what) for d in DRILLS]
        words.as_json([{"name": n, "what": w} for n, w in rows]) if json else words.table("", ["drill", "does"], rows)
        return
    if clients < 5 or watches <= 0:
        raise Refused("--clients counts from 5, --watches lies above 0", field="clients", hint="--clients 20")
    load = Load(clients, watches)
    outcome = all_drills.run(all_drills.chosen(name, all=all), load, seed, attach and attach.resolve(), report, _say)
    if json:
        words.as_json(outcome)
    else:
        heads, rows = all_drills.rows(outcome)
        words.table("", heads, rows)
        for verdict in outcome.each:
            if not verdict.passed:
                words.out.print(f"{verdict.name}: {all_drills.told(verdict)}", markup=False)
        if said := all_drills.others(outcome):
            words.out.print(said, markup=False)
        words.out.print("every promise was kept" if outcome.passed else "a promise was BROKEN")
    if not outcome.passed:
        sys.exit(EXIT_FAILED)


@group.command(name="kill")
def kill(*, seconds: float = 30.0, clients: int = 50, mode: Literal["silent", "refuse", "both"] = "both",
         report: Report = None, json: Json = False) -> None:  # fmt: skip
    """us-east goes dark under load and loses its disk; nothing acknowledged is lost, every client goes on."""
    from holdfast.drills.kill import run

    _drilled(run(["silent", "refuse"] if mode == "both" else [mode], clients, seconds, _say), json, "kill", report)


@group.command(name="away")
def away(*, seconds: float = 30.0, report: Report = None, json: Json = False) -> None:
    """A peer is gone for a while: how soon carrying resumes and watermarks agree."""
    from holdfast.drills.away import run

    _drilled(run(seconds, _say), json, "away", report)


@group.command(name="flip")
def flip(*, seconds: float = 10.0, report: Report = None, json: Json = False) -> None:
    """One bit flips in every file of a stopped region's log server: what is mended, what is lost, and is it said?"""
    from holdfast.drills.flip import run

    _drilled(run(seconds, _say), json, "flip", report)


@group.command(name="power-cut")
def power_cut(*, mode: Literal["fsynced", "eager", "strict", "all"] = "fsynced", seconds: float = 8.0,
              clients: int = 12, seed: int = 1, report: Report = None, json: Json = False) -> None:  # fmt: skip
    """All regions lose power at once, twice, and what was never fsynced is gone: is anything acknowledged missing?

    Parameters
    ----------
    mode
        what a name needs to survive: `fsynced` its directory's fsync or its file's, `strict` its directory's,
        `eager` nothing (a rename overtakes its bytes). `strict` is reported, not judged.
    seconds
        of load before each cut.
    seed
        of the torn writes of the second cut.
    """
    from holdfast.drills.power import run

    modes = ["fsynced", "eager", "strict"] if mode == "all" else [mode]
    _drilled(run(modes, clients, seconds, seed, _say), json, "power-cut", report)


@group.command(name="spike")
def spike(*, seconds: float = 20.0, report: Report = None, json: Json = False) -> None:
    """Ten times the usual low-priority traffic, then four times what a region can bear: do people notice?"""
    from holdfast.drills.spike import run

    result = run(seconds, _say)
    _drilled(result if json else {"spike": result, "passed": result["passed"]}, json, "spike", report)


@group.command(name="january-2026")
def january(*, seed: int = 1, report: Path | None = None, json: Json = False) -> None:
    """The outage of 25 January 2026 in minutes, on a good baseline and on Holdfast: symptoms, and the price.

    Parameters
    ----------
    seed
        of the people, their tastes and the videos.
    report
        a file to write a page to, with the rows and how the minutes went.
    """
    from holdfast.drills.january import run

    result = run(seed, report, _say)
    if json:
        words.as_json(result)
    else:
        heads = ["", "baseline", "Holdfast", "promise", "kept"]
        table = [[s.name, s.baseline, s.holdfast, s.promise, ("yes" if s.holdfast_ok else "NO") if s.promise else ""]
                 for s in [*result["symptoms"], *result["price"]]]  # fmt: skip
        words.table("25 January 2026, replayed", heads, table)
        words.out.print("every promise was kept" if result["passed"] else "a promise was BROKEN")
    if not result["passed"]:
        sys.exit(EXIT_FAILED)


def _drilled(result: dict[str, object], json: bool, name: str, report: Path | None) -> None:
    if report is not None:
        from holdfast.drills.report import plain

        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(plain(name, group[name].help.strip().split("\n")[0], result))
    if json:
        words.as_json(result)
    else:
        for name, verdict in result.items():
            if name != "passed":
                words.show(verdict, False, title=name)
        words.out.print("every promise was kept" if result["passed"] else "a promise was BROKEN")
    if not result["passed"]:
        sys.exit(EXIT_FAILED)
