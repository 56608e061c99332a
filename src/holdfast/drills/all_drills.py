"""`holdfast drill NAME` and `holdfast drill --all`: one platform, one drill after the other, and what came of them.

Drills share a platform, since each restores it and none begins before every region stands as high as before. A drill
that spoils it (something is lost, or a region did not come back) ends it: the next one gets a fresh platform, so that
one fault is not counted twice.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from holdfast.core.errors import Degraded, Refused
from holdfast.drills import drill_run, report
from holdfast.drills.drill_run import Drill, Load
from holdfast.drills.drill_stage import Say, Stage
from holdfast.drills.drill_table import DRILLS, named
from holdfast.drills.verdict import Verdict
from holdfast.drills.watch import Books

OTHERS_MAX = 0.1  # above it, times are not the platform's alone
COLUMNS = {  # what a table shows of a drill's figures
    "detected s": "detected_s", "failed slates": "failed_slates", "next read s": "next_read_s_max",
    "next write s": "next_write_s_max", "lost": "lost", "repeats": "repeats", "lag s": "lag_s_max",
    "top rung s": "top_rung_s",
}  # fmt: skip


class Outcome(msgspec.Struct, kw_only=True):
    """What came of all of them; `broken` and `not_run` are names. `passed`: nothing that ran broke a promise."""

    drills: int
    failed: int
    broken: list[str]
    not_run: list[str]
    lost: int
    failed_slates: int
    repeats: int
    passed: bool
    each: list[Verdict]


def chosen(name: str, *, all: bool) -> list[Drill]:
    """The rows to carry out. Raises Refused for a name that is none."""
    if all:
        return list(DRILLS)
    drill = named(name)
    if drill is None:
        raise Refused(f"no drill is called `{name}`", field="name", hint="holdfast drill --list")
    return [drill]


def run(
    drills: Sequence[Drill], load: Load, seed: int, attach: Path | None, pages: Path | None, say: Say
) -> Outcome:
    """Carry out drills; `pages`: a file for the report of one drill, a folder for those of several."""

    async def until_done() -> list[Verdict]:
        task = asyncio.current_task()
        assert task
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # as Ctrl-C: restore, then end
        return await _run(drills, load, seed, attach, pages, say)

    try:
        return summary(asyncio.run(until_done()))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _run(
    drills: Sequence[Drill], load: Load, seed: int, attach: Path | None, pages: Path | None, say: Say
) -> list[Verdict]:
    done: list[Verdict] = []
    while len(done) < len(drills):
        first = drills[len(done)]
        if first.own is not None:
            verdict = first.own(seed, say) if not attach else _alone(first, seed)
            done.append(await verdict)
            say(f"drill {first.name}: {told(done[-1])}")
            _write(pages, drills, first, done[-1], Books())
            continue
        try:
            async with _stage(first, seed, attach, say) as stage:
                for drill in drills[len(done) :]:
                    if drill.disk != first.disk or drill.own is not None:
                        break
                    verdict, books = await drill_run.run(stage, drill, load)
                    done.append(verdict)
                    say(f"drill {drill.name}: {told(verdict)}")
                    _write(pages, drills, drill, verdict, books)
                    if attach is None and spoilt(verdict):
                        break
        except Refused as e:  # no such platform can be had here
            if attach or not first.disk:
                raise
            left = [d for d in drills[len(done) :] if d.disk]
            done += [drill_run.could_not(d, seed, str(e)) for d in left]
        except Degraded as e:  # it did not start, or did not let itself be drilled: that is no pass
            verdict = drill_run.could_not(drills[len(done)], seed, str(e))
            verdict.ran, verdict.broken = True, [f"the platform was not to be had: {e}"]
            done.append(verdict)
    return done


async def _alone(drill: Drill, seed: int) -> Verdict:
    return drill_run.could_not(drill, seed, "it needs a platform of its own; leave out --attach")


def _write(pages: Path | None, drills: Sequence[Drill], drill: Drill, verdict: Verdict, books: Books) -> None:
    if pages is None:
        return
    file = pages / f"{drill.name}.html" if len(drills) > 1 else pages
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(report.page(drill, verdict, books))


@asynccontextmanager
async def _stage(drill: Drill, seed: int, attach: Path | None, say: Say) -> AsyncIterator[Stage]:
    disks = (drill.struck,) if drill.disk else ()
    async with Stage.attach(attach, seed, say) if attach else Stage.own(seed, say, disks=disks) as stage:
        yield stage


def spoilt(verdict: Verdict) -> bool:
    """Whether a drill left its platform in no state for another: something is lost, or is not as it was before."""
    f = verdict.figures
    return verdict.ran and (f is None or bool(f.lost) or f.top_rung_s < 0 or f.converged_s < 0)


def told(verdict: Verdict) -> str:
    """One line."""
    if not verdict.ran:
        return f"could not run: {verdict.why_not}"
    return "every promise held" if verdict.passed else "; ".join([*verdict.broken, verdict.aborted]).strip("; ")


def summary(verdicts: Sequence[Verdict]) -> Outcome:
    """Add up. What could not run proved nothing and broke nothing; it is named."""
    figures = [v.figures for v in verdicts if v.figures]
    failed = [v.name for v in verdicts if v.ran and not v.passed]
    return Outcome(
        drills=len(verdicts), failed=len(failed), broken=failed, not_run=[v.name for v in verdicts if not v.ran],
        lost=sum(f.lost for f in figures), failed_slates=sum(f.failed_slates for f in figures),
        repeats=sum(f.repeats for f in figures), passed=not failed and any(v.ran for v in verdicts),
        each=list(verdicts),
    )  # fmt: skip


def others(outcome: Outcome) -> str:
    """Say it where other programs used much of the machine; "" where they did not."""
    most = max((v.figures.others_cpu for v in outcome.each if v.figures), default=0.0)
    if most <= OTHERS_MAX:
        return ""
    return f"Other programs used up to {most:.0%} of this machine meanwhile: the times are partly theirs."


def rows(outcome: Outcome) -> tuple[list[str], list[list[str]]]:
    """The table for people: (heads, one row for each drill)."""
    table: list[list[str]] = []
    for v in outcome.each:
        word = "held" if v.passed else "BROKEN" if v.ran else "could not run"
        share = " ".join(f"{rung} {part:.0%}" for rung, part in v.figures.rungs.items()) if v.figures else ""
        cells = [f"{getattr(v.figures, name):.4g}" if v.figures else "" for name in COLUMNS.values()]
        table.append([v.name, word, *cells, share])
    return ["drill", "", *COLUMNS, "rungs"], table
