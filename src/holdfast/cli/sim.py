"""`holdfast sim`: worlds that break by seed, replayed, swept, and with bugs planted in them."""

import re
import sys
from typing import Annotated, Any

from cyclopts import Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from holdfast.cli import words
from holdfast.core.errors import Refused

SHOWN_MAX = 12  # failed seeds printed with their stories' ends
STORY_END = 25
RANGE = re.compile(r"(\d+)\.\.(\d+)")


def sim(
    *, seed: int | None = None, seeds: str = "", jobs: Annotated[int, Parameter(name="--jobs")] = 2,
    mutants: bool = False, automatic: int = 200, only: str = "",
    json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:  # fmt: skip
    """Run simulated worlds: many regions, one thread, one seed, every fault we know of.

    Parameters
    ----------
    seed
        replay one world and print its story.
    seeds
        sweep worlds A..B, for example 1..1000.
    jobs
        processes at work.
    mutants
        plant known bugs, and automatic ones in the core, and say which are caught.
    automatic
        with --mutants: how many automatic ones.
    only
        with --mutants: the planted ones whose name holds this text, and no automatic ones.
    json
        print one JSON object as the last line.
    """
    if mutants:
        _mutants(jobs, automatic, only, json)
    elif seed is not None:
        _replay(seed, json)
    else:
        _sweep(*_range(seeds or "1..20"), jobs, json)


def _range(text: str) -> tuple[int, int]:
    found = RANGE.fullmatch(text)
    if not found or int(found[1]) > int(found[2]):
        raise Refused(f"`{text}` is no range of seeds", field="seeds", hint="for example --seeds 1..1000")
    return int(found[1]), int(found[2])


def _replay(seed: int, json: bool) -> None:
    from holdfast.sim.world import run

    o = run(seed)
    if not json:
        regions = ", ".join(f"{r.name} ({r.jurisdiction})" for r in o.plan.top.regions)
        words.out.print(f"World {seed}: {regions}; faults for {o.plan.fire_s:.1f} s of its time.")
        for line in o.story:
            words.out.print(line, markup=False, highlight=False)
        counted = {"healed after": f"{o.healed_s:.1f} s", "messages": o.events, "slates": o.slates, **o.counts}
        words.show(counted, False, title="what occurred")
        words.out.print(f"trace {o.trace_hash}", highlight=False)
    _end([seed] if o.breaches else [], [seed], o.trace_hash, o.counts, {seed: o.breaches}, [], json)


def _sweep(first: int, last: int, jobs: int, json: bool) -> None:
    from holdfast.sim.sweep import Sweep, sweep

    found = Sweep()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=words.err, transient=True) as progress:
        task = progress.add_task("worlds", total=last - first + 1)
        for row in sweep(range(first, last + 1), jobs):
            found.rows.append(row)
            progress.update(task, advance=1, description=f"worlds, {len(found.failed)} failed")
    if not json:
        cpu = sum(row.cpu_ms for row in found.rows) / len(found.rows)
        rows = [(name, n, "" if n or len(found.rows) < 1000 else "NEVER") for name, n in found.occurred().items()]
        words.table(f"{len(found.rows)} worlds, {cpu:.0f} ms of a core each", ["what", "in worlds", ""], rows)
    failed = [row.seed for row in found.failed]
    breaches = {row.seed: row.breaches for row in found.failed}
    _end(failed, [row.seed for row in found.rows], found.trace_hash, found.occurred(), breaches, found.never(), json)


def _end(
    failed: list[int], seeds: list[int], trace_hash: str, counts: dict[str, int], breaches: dict[int, list[str]],
    never: list[str], json: bool,
) -> None:  # fmt: skip
    """Say what broke and how to see it again; exit 1 if anything did."""
    for seed in failed[:SHOWN_MAX]:
        for text in breaches[seed][:3]:
            print(f"seed {seed}: {text}", file=sys.stderr)
        print(f"to see it again: holdfast sim --seed {seed}", file=sys.stderr)
    if never:
        print(f"never occurred: {', '.join(never)}", file=sys.stderr)
    answer: dict[str, Any] = {
        "seeds": len(seeds), "failed": len(failed), "trace_hash": trace_hash, "counts": counts, "never": never,
        "failed_seeds": failed,
    }  # fmt: skip
    if json:
        words.as_json(answer)
    elif not failed and not never:
        words.out.print(f"{len(seeds)} worlds, every promise held.")
    if failed or never:
        sys.exit(1)


def _mutants(jobs: int, automatic: int, only: str, json: bool) -> None:
    from holdfast.sim.mutants import trial

    results: list[Any] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=words.err, transient=True) as progress:
        task = progress.add_task("mutants")
        for total, result in trial(jobs, 0 if only else automatic, only):
            results.append(result)
            progress.update(task, total=total, completed=len(results), description=f"mutants: {result.name[:40]}")
    planted = [r for r in results if r.planted]
    others = [r for r in results if not r.planted]
    caught, caught_others = sum(r.caught for r in planted), sum(r.caught for r in others)
    if not json:
        words.table("planted", ["mutant", "caught by"], [(r.name, r.by or "NOT CAUGHT") for r in planted])
        if others:
            missed = [(r.name, r.by or "NOT CAUGHT") for r in others if not r.caught]
            words.table(f"automatic: {caught_others} of {len(others)} caught", ["not caught", ""], missed)
    answer = {
        "mutants": len(results), "caught": caught + caught_others, "planted": len(planted), "planted_caught": caught,
        "automatic": len(others), "automatic_caught": caught_others,
        "missed": [r.name for r in results if not r.caught],
    }  # fmt: skip
    if json:
        words.as_json(answer)
    if caught < len(planted) or caught_others < 0.9 * len(others):
        sys.exit(1)
