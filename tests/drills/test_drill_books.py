"""From books to figures to a verdict to a page: on books made by hand, so that every figure is known."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from holdfast.adapters.aio.calls import Calls
from holdfast.client import Place, Told
from holdfast.core.errors import Degraded, Refused
from holdfast.core.feed.ladder import Rung
from holdfast.drills import all_drills, drill_journal, drill_machine, faults_clock, report, report_plot, verdict
from holdfast.drills.drill_journal import Journal
from holdfast.drills.drill_run import Load, could_not
from holdfast.drills.drill_stage import Span
from holdfast.drills.drill_table import DRILLS, named
from holdfast.drills.load import Record, Shown, Witness
from holdfast.drills.report_plot import Plot, Series
from holdfast.drills.verdict import ALWAYS, Bound, Verdict, judge, measure
from holdfast.drills.watch import Books, Look, Sign, Watch, union
from patience import until

PLACES = [Place("us-east", "US", "http://a"), Place("us-west", "US", "http://b"), Place("eu-west", "EU", "http://c")]
T0 = 100.0


def books() -> Books:
    """Two clients of us-east: one leaves 0.6 s after the fault, one was away before; and one of us-west."""
    made = Books(90.0, Span("us-east goes dark", T0, 110.0))
    made.crowd = [Witness(PLACES, "US", name, Calls()) for name in ("us-east", "us-east", "us-west")]
    leaves, away, west = (w.record for w in made.crowd)
    away.moved.append((99.0, "us-west"))
    for record, region in ((leaves, "us-east"), (away, "us-west"), (west, "us-west")):
        record.slates += [Shown(at, 0.01, region, "FULL", 1, 10) for at in (97.0, 98.0, 99.0)]
    leaves.slates += [Shown(100.7, 0.6, "us-west", "LINEAR", 2, 10), Shown(101.7, 1.5, "", "DEVICE", 3, 4)]
    leaves.suspected.append((100.6, "us-east"))
    leaves.moved += [(100.6, "us-west"), (104.0, "us-east"), (105.0, "us-west"), (111.0, "us-east")]
    for n, said_s in enumerate((98.0, 100.2), 1):
        leaves.say(n, said_s)
    leaves.hear(Told("acked", "us-east", 98.1, [1]))
    leaves.hear(Told("acked", "us-west", 101.2, [1, 2]))  # 1 is said again elsewhere: it counts once
    leaves.hear(Told("safe", "us-west", 101.5, [1]))
    west.repeated.append(103.0)
    made.looks = [Look(99.0, "us-east", "FULL", 0.1), Look(100.5, "us-east", "", 0.0)]
    made.looks.append(Look(104.0, "us-west", "LINEAR", 4.2))
    made.signs = [Sign(99.5, "us-west is on STALE"), Sign(100.9, "us-east does not answer")]
    return made


def test_figures_of_books_whose_figures_are_known() -> None:
    b = books()
    assert b.fault
    f = measure(b, b.fault, "us-east", 4.0, must_leave=True)
    assert (f.clients, f.clients_elsewhere, f.slates, f.slates_per_s) == (3, 1, 11, 9 / 4)
    assert (f.acknowledged, f.safe, f.failed_slates, f.repeats) == (2, 1, 1, 1)
    assert (f.detected_s, f.detected_by, f.suspected_s_max, f.left_s_max) == (0.6, "a client", 0.6, 0.6)
    assert f.hurt_s_max == 0.5, "its first slate after the fault was asked for at 0.1 s"
    assert f.returns_max == 1, "the return after the restoration is no relapse"
    assert (f.read_wait_s_p99, f.next_read_s_max) == (0.6, 0.7)
    assert (f.write_wait_s_p99, f.next_write_s_max) == (1.0, 1.2)
    assert (f.attempts_max, f.lag_s_max) == (3, 4.2)
    assert f.rungs == {"DEVICE": 0.5, "LINEAR": 0.5}
    assert f.safe_wait_s_max == 3.4


def test_a_promise_is_broken_by_a_figure_and_by_nothing_else() -> None:
    b = books()
    assert b.fault
    f = measure(b, b.fault, "us-east", 4.0, must_leave=True)
    late = Bound("left_s_max", 0.5, "clients leave, s")
    assert judge(f, (late, Bound("left_s_max", 0.6, ""))) == [
        "repeats: 1, promised 0", "slates that no region gave: 1, promised 0", "clients leave, s: 0.60, promised 0.50",
    ]  # fmt: skip
    assert {x.figure for x in ALWAYS} == {"lost", "lost_safe", "repeats", "failed_writes", "failed_slates"}


def test_nobody_who_never_answers_again_looks_quick() -> None:
    b = books()
    b.crowd[0].record.slates.clear()
    b.crowd[0].record.moved.clear()
    assert b.fault
    f = measure(b, b.fault, "us-east", 4.0, must_leave=True)
    assert f.read_wait_s_p99 == f.next_read_s_max == f.left_s_max == verdict.NEVER_S


def test_every_bound_of_the_table_speaks_of_a_figure_that_there_is() -> None:
    fields = set(verdict.Figures.__struct_fields__)
    assert {b.figure for d in DRILLS for b in (*ALWAYS, *d.bounds)} <= fields
    assert set(all_drills.COLUMNS.values()) <= fields
    assert len({d.name for d in DRILLS}) == len(DRILLS)


def test_a_platform_is_given_up_only_where_a_drill_spoilt_it() -> None:
    b = books()
    assert b.fault
    f = measure(b, b.fault, "us-east", 4.0, must_leave=True)
    f.top_rung_s = f.converged_s = 1.0
    v = Verdict(name="x", hypothesis="", passed=False, figures=f, broken=["reads resume late"])
    assert not all_drills.spoilt(v)
    for name, value in (("lost", 1), ("top_rung_s", -1.0), ("converged_s", -1.0)):
        before = getattr(f, name)
        setattr(f, name, value)
        assert all_drills.spoilt(v), name
        setattr(f, name, before)
    assert all_drills.spoilt(Verdict(name="x", hypothesis="", passed=False)), "not carried to its end"
    assert not all_drills.spoilt(could_not(DRILLS[0], 1, "needs root")), "nothing was done"


def test_the_sum_of_drills_says_what_broke_and_what_could_not_run() -> None:
    b = books()
    assert b.fault
    f = measure(b, b.fault, "us-east", 4.0, must_leave=True)
    f.lost = 3
    row = DRILLS[0]
    held = Verdict(name="held", hypothesis="", passed=True, figures=f)
    broken = Verdict(name="broken", hypothesis="", passed=False, figures=f, broken=["x"])
    skipped = could_not(row, 1, "needs root")
    sum_ = all_drills.summary([held, broken, skipped])
    assert (sum_.drills, sum_.failed, sum_.broken, sum_.not_run) == (3, 1, ["broken"], [row.name])
    assert (sum_.lost, sum_.failed_slates, sum_.repeats, sum_.passed) == (6, 2, 2, False)
    assert not all_drills.summary([skipped]).passed, "what did not run proves nothing"
    assert msgspec.json.decode(msgspec.json.encode(sum_))["each"][0]["figures"]["detected_s"] == 0.6
    heads, rows = all_drills.rows(sum_)
    assert all(len(row) == len(heads) for row in rows) and [r[1] for r in rows] == ["held", "BROKEN", "could not run"]


def test_the_page_stands_alone_and_says_the_verdict() -> None:
    b = books()
    assert b.fault
    dark = named("dark")
    assert dark
    row = replace(dark, hypothesis="<all holds>")
    f = measure(b, b.fault, "us-east", 4.0, must_leave=True)
    v = Verdict(name="dark", hypothesis=row.hypothesis, passed=False, broken=judge(f, row.bounds), figures=f, seed=7)
    page = report.page(row, v, b)
    assert "&lt;all holds&gt;" in page and "<all holds>" not in page
    assert "repeats: 1, promised 0" in page and "seed 7" in page and "DRILL" in page
    assert "http" not in page.replace('xmlns="http://www.w3.org/2000/svg"', ""), "nothing is fetched"
    assert page.count("<svg class=") == 2 * page.count("<figure>") == 10
    assert "could not run" in report.page(row, could_not(row, 7, "needs root"), Books())


def test_a_drill_with_books_of_its_own_gets_a_page_too() -> None:
    result = {"passed": False, "broken": ["goodput"], "silent": {"waits": {"p99_s": 0.5}, "cuts": [{"lost": 3}]}}
    page = report.plain("spike", "Ten times the traffic: do people notice?", result)
    assert "Ten times the traffic" in page and "do people notice?" in page and "goodput" in page
    assert "silent waits p99_s" in page and "silent cuts 1 lost" in page and "nothing was" not in page
    assert "could not run" in report.plain("power-cut", "x", {"passed": True, "skipped": "needs /dev/fuse"})


def test_labels_keep_their_distance_and_their_order() -> None:
    lines = [Series(name, []) for name in "abcd"]
    placed = report_plot.spread([(50.0, lines[0]), (51.0, lines[1]), (190.0, lines[2]), (191.0, lines[3])])
    heights = [y for y, _ in placed]
    assert [s.name for _, s in placed] == list("abcd")
    assert all(b - a >= report_plot.LABEL_GAP - 1e-9 for a, b in pairwise(heights))
    assert max(heights) <= report_plot.HEIGHT - report_plot.BOTTOM


@pytest.mark.parametrize(("value", "top"), [(0, 1.0), (0.03, 0.05), (1, 1), (7, 10), (20, 20), (21, 25), (480, 500)])
def test_axes_end_at_round_numbers(value: float, top: float) -> None:
    assert report_plot.nice_top(value) == pytest.approx(top)


def test_a_gap_in_a_line_stays_a_gap() -> None:
    drawn = report_plot.draw(Plot("t", "s", [Series("x", [(0, 1.0), (1, None), (2, 1.0)])]), 0, 2)
    assert all(path.count("M") == 2 for path in drawn.split('d="')[1::1])


def test_a_better_rung_is_no_sign_of_a_fault() -> None:
    seen = Watch.__new__(Watch)
    seen.books, seen._knew = Books(), {}

    def status(rung: Rung, lag_s: float = 0.0, reachable: bool = True) -> dict[str, object]:
        return {"rung": rung.name, "peers": {"us-west": {"lag_s": lag_s, "reachable": reachable}}, "incidents": []}

    seen._notice("us-east", status(Rung.STALE), 1.0)
    seen._notice("us-east", status(Rung.FULL), 2.0)
    assert not seen.books.signs
    seen._notice("us-east", status(Rung.LINEAR, 9.0, False), 3.0)
    seen._notice("us-east", None, 4.0)
    assert [s.text for s in seen.books.signs] == [
        "us-east is on LINEAR", "us-east: lags behind us-west", "us-east: us-west is unreachable",
        "us-east does not answer",
    ]  # fmt: skip


def test_what_no_region_holds_is_counted_and_what_one_lacks_is_told_apart() -> None:
    held = {"us-east": [(1, 4), (7, 7)], "us-west": [(1, 5)]}

    class Says:
        router = SimpleNamespace(permitted=lambda: PLACES[:2])

        async def held(self, region: str) -> list[tuple[int, int]]:
            if region not in held:
                raise Degraded("dark")
            return held[region]

    witness = SimpleNamespace(client=Says(), record=Record())
    for n in range(1, 8):
        witness.record.acknowledged.add(n)
    witness.record.safe.add(6)
    watch = Watch.__new__(Watch)
    watch.books = Books()
    watch.books.crowd = [witness]  # type: ignore[list-item]
    assert asyncio.run(watch.missing()) == 1, "6"
    assert asyncio.run(watch.missing(safe=True)) == 1
    assert asyncio.run(watch.missing(everywhere=True)) == 3, "5, 6 and 7"
    del held["us-west"]
    assert asyncio.run(watch.missing()) == 2 and asyncio.run(watch.missing(everywhere=True)) == 7
    held.clear()
    with pytest.raises(Degraded, match="says what it holds"):
        asyncio.run(watch.missing())


def test_union_of_intervals() -> None:
    assert union([(5, 6), (1, 2), (3, 3), (6, 9)]).pairs() == [(1, 3), (5, 9)]


# -- what a drill owes ---------------------------------------------------------------------------------------------


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_what_a_killed_drill_owed_is_undone(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "600"])
    try:
        script = """
import os, signal, sys
from pathlib import Path
from holdfast.drills.drill_journal import Journal, started
root, pid = Path(sys.argv[1]), int(sys.argv[2])
journal = Journal(root)
with journal.owes("file", str(root / "weather.json")), journal.owes("pids", f"{pid}:{started(pid)} 999999999:1"):
    (root / "weather.json").write_text("{}")
    os.kill(pid, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGKILL)
"""
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(sleeper.pid)], timeout=60)
        assert done.returncode == -9
        until(lambda: state(sleeper.pid) == "T")
        assert drill_journal.undo_all(tmp_path) == ["let stopped processes go on", "removed weather.json"]
        until(lambda: state(sleeper.pid) == "S")
        assert not (tmp_path / "weather.json").exists() and drill_journal.undo_all(tmp_path) == []
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_what_a_living_drill_owes_is_left_alone(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from holdfast.drills.drill_journal import Journal
root = Path(sys.argv[1])
with Journal(root).owes("file", str(root / "weather.json")):
    (root / "weather.json").write_text("{}")
    print("owes", flush=True)
    sys.stdin.read()
"""
    argv = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        assert p.stdin and p.stdout and p.stdout.readline() == "owes\n"
        with pytest.raises(Refused, match="a drill runs"):
            drill_journal.undo_all(tmp_path)
        assert (tmp_path / "weather.json").exists()
        p.stdin.close()
    assert drill_journal.undo_all(tmp_path) == []


def test_a_debt_that_was_paid_is_owed_no_more(tmp_path: Path) -> None:
    journal, kept = Journal(tmp_path), tmp_path / "kept"
    kept.write_text("")
    with pytest.raises(RuntimeError), journal.owes("file", str(kept)):
        raise RuntimeError("the drill broke")
    assert drill_journal.undo_all(tmp_path) == [] and kept.exists()


def test_only_what_the_dead_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_journal.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(drill_journal.tempfile, "tempdir", str(tmp_path))
    mine = drill_journal.make_root()
    dead, foreign = tmp_path / f"{drill_journal.PREFIX}dead", tmp_path / f"{drill_journal.PREFIX}foreign"
    for folder in (dead, foreign):
        folder.mkdir()
    (dead / drill_journal.OWNER).write_text("999999999 1")
    assert drill_journal.sweep() == [f"removed {dead}"]
    assert mine.exists() and foreign.exists()


def test_a_bent_clock_jumps_while_the_process_runs_and_bends_no_monotonic(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    faults_clock.set_offset(file, 0.0)
    script = """
import sys, time
from pathlib import Path
from holdfast.drills import faults_clock
right, steady = time.time(), time.monotonic()
faults_clock.follow(Path(sys.argv[1]))
for line in sys.stdin:
    print(time.time() - right - (time.monotonic() - steady), time.time_ns() / 1e9 - time.time(), flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as p:
        assert p.stdin and p.stdout
        for ahead_s in (0.0, 30.0, -3600.5, 0.0):
            faults_clock.set_offset(file, ahead_s)
            p.stdin.write("?\n")
            p.stdin.flush()
            bent, between = map(float, p.stdout.readline().split())
            assert bent == pytest.approx(ahead_s, abs=1.0) and abs(between) < 1.0
        p.stdin.close()


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs /proc")
def test_what_a_drill_burns_itself_is_not_put_down_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [(1000, 4000)]
    burnt = [{(1, "a"): 50}]
    monkeypatch.setattr(drill_machine, "_machine", lambda: clock[0])
    monkeypatch.setattr(drill_machine, "_ours", lambda: burnt[0])
    machine = drill_machine.Machine()
    clock[0], burnt[0] = (1300, 4400), {(1, "a"): 150, (2, "b"): 100}  # of 400 ticks 300 were busy, 200 of them ours
    assert machine.others_share() == 0.25
    monkeypatch.undo()
    real = drill_machine.Machine()
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        pid = child.pid
        until(lambda: any(p == pid and ticks > 20 for (p, _), ticks in drill_machine._ours().items()))
        assert -1.0 <= real.others_share() <= 1.0
    finally:
        child.kill()
        child.wait()


def test_every_drill_stands_in_the_docs() -> None:
    told = (Path(__file__).parent.parent.parent / "docs" / "drills.md").read_text()
    assert [d.name for d in DRILLS if f"`{d.name}`" not in told] == []


def test_a_platform_that_does_not_start_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[bool] = []

    @asynccontextmanager
    async def stage(*_: object, disks: tuple[str, ...] = (), **__: object) -> AsyncIterator[None]:
        starts.append(bool(disks))
        raise Refused("needs root") if disks else Degraded("us-east did not start within 90 s")
        yield

    monkeypatch.setattr(all_drills.Stage, "own", stage)
    rows = [d for d in DRILLS if d.own is None]
    said: list[str] = []
    outcome = all_drills.run(rows, Load(), 1, None, None, said.append)
    assert [v.name for v in outcome.each] == [d.name for d in rows]
    assert outcome.not_run == [d.name for d in rows if d.disk] and outcome.failed == len(rows) - len(outcome.not_run)
    assert not outcome.passed and starts == [False] * outcome.failed + [True]
