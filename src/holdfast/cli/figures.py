"""Commands that print figures: benchmarks, replay. Each prints a table, or one JSON object with --json."""

from pathlib import Path

from holdfast.adapters.home import Home
from holdfast.cli import words


def _say(text: str) -> None:
    words.err.print(text, markup=False)


def ingest(seconds: float, json: bool) -> None:
    from holdfast.drills.bench_ingest import run

    words.show(run(seconds, json), json, title="ingest")


def serve(videos: int, viewers: int, seconds: float, rung: str, json: bool) -> None:
    from holdfast.drills.bench_serve import run

    words.show(run(videos, viewers, seconds, rung, _say), json, title="serve")


def learn(seconds: float, json: bool) -> None:
    from holdfast.drills.bench_learn import run

    words.show(run(seconds, _say), json, title="learn")


def learning(seeds: int, json: bool) -> None:
    from holdfast.drills.bench_learning import run

    words.show(run(seeds, _say), json, title="learning")


def debuts(worlds: int, json: bool) -> None:
    from holdfast.drills.debuts import run

    words.show(run(worlds, _say), json, title="debuts")


def guard(viewers: int, panel: int, warm_s: float, part: str, seed: int, json: bool) -> None:
    from holdfast.drills.guard import run

    words.show(run(viewers, panel, warm_s, part, seed, _say), json, title="guard")


def context(source: Path | None, limit: int, lag_s: float, seed: int, json: bool) -> None:
    from holdfast.drills.context import run

    words.show(run(source, limit, lag_s, seed, _say), json, title="context")


def peeking(runs: int, json: bool) -> None:
    from holdfast.drills.peeking import run

    words.show(run(runs), json, title="peeking")


def kuairand(source: Path, limit: int | None, speedup: float, root: Path, json: bool) -> None:
    from holdfast.drills.replay import run

    words.show(run(source, limit, speedup, Home(root), _say), json, title="replay")
