"""The January drill as one page that needs nothing else: what happened, the rows, the same minute on both platforms."""

import platform
import time
from collections.abc import Callable, Sequence
from html import escape

import msgspec

import holdfast
from holdfast.drills.january_baseline import DEFENCES
from holdfast.drills.january_crowd import Books, Pull
from holdfast.drills.january_symptoms import Moment, Run, Symptom, good
from holdfast.drills.report import HATCH, STYLE
from holdfast.drills.report_plot import Plot, Point, Series, draw

STEP_S = 2.0  # of the plots
BEFORE_S = 20.0
MORE_STYLE = "<style>.rows td:nth-child(n+2){width:28%;overflow-wrap:normal}</style>"


class Seen(msgspec.Struct):
    """One platform's run as the page shows it. `acked`: when each entry was acknowledged, monotonic s."""

    name: str
    books: Books
    run: Run
    acked: list[float]


def page(seed: int, seen: Sequence[Seen], symptoms: Sequence[Symptom], price: Sequence[Symptom],
         moments: Sequence[Moment]) -> str:  # fmt: skip
    """The page as HTML."""
    kept = all(s.holdfast_ok for s in symptoms)
    word = "Every promise held." if kept else "A promise broke."
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>25 January 2026, replayed</title><style>{STYLE}</style>{MORE_STYLE}{HATCH}<main>",
        '<span class="mark">▲ DRILL: nobody outside was affected</span>',
        "<h1>25 January 2026, replayed on a good baseline and on Holdfast</h1>",
        '<p class="quiet">The same people, videos, load and fault on the same machine, one platform after the other. '
        "One data centre loses power, silently, and it comes back a minute later.</p>",
        f'<p class="word {"kept" if kept else "broken"}">{"✓" if kept else "✕"} {word}</p>',
        "<h2>What people saw while power was away</h2>", _rows(symptoms, promises=True), *_plots(seen),
        "<h2>What it costs</h2>", _rows(price, promises=False),
        "<h2>The outage as reported</h2>", _moments(moments),
        "<h2>What the baseline has</h2>", _pairs(DEFENCES), _foot(seed), "</main></html>",
    ]  # fmt: skip
    return "".join(parts)


def _rows(rows: Sequence[Symptom], *, promises: bool) -> str:
    head = "<tr><th></th><th>baseline</th><th>Holdfast</th></tr>"
    lines: list[str] = []
    for s in rows:
        name, ours = escape(s.name.removeprefix("price: ")), escape(s.holdfast)
        if promises:
            how, word = ("kept", "✓ held") if s.holdfast_ok else ("broken", "✕ broken")
            name += f'<br><span class="quiet">{escape(s.promise)}</span>'
            ours += f'<br><span class="{how}">{word}</span>'
        lines.append(f"<tr><td>{name}</td><td>{escape(s.baseline)}</td><td>{ours}</td></tr>")
    return f'<table class="rows">{head}{"".join(lines)}</table>'


def _moments(moments: Sequence[Moment]) -> str:
    lines = [
        f'<tr><td>{escape(m.when)}</td><td>{escape(m.what)}<br><span class="quiet">{escape(m.source)}</span></td></tr>'
        for m in moments
    ]
    return f"<table>{''.join(lines)}</table>"


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return f"<table>{''.join(f'<tr><td>{escape(a)}</td><td>{escape(b)}</td></tr>' for a, b in pairs)}</table>"


def _plots(seen: Sequence[Seen]) -> list[str]:
    ends = [s.run.end_s - s.run.cut_s for s in seen]
    away = max(s.run.back_s - s.run.cut_s for s in seen)
    spans = [("no power", 0.0, away)]
    looks = (("amber", "6 3"), ("kelp", ""))
    plots = [
        Plot("Served as before", "Share of pulls that were answered personally, now, and without repeats.",
             [Series(s.name, _share(s, good), *look) for s, look in zip(seen, looks, strict=True)],
             unit="%", top=100.0, spans=spans),
        Plot("Acknowledged", "Views and likes acknowledged, a second. What is missing waits in the apps.",
             [Series(s.name, _rate(s, s.acked), *look) for s, look in zip(seen, looks, strict=True)],
             unit="/s", spans=spans),
        Plot("New videos", "Videos that somebody has watched, since the cut.",
             [Series(s.name, _grown(s), *look, step=True) for s, look in zip(seen, looks, strict=True)], spans=spans),
    ]  # fmt: skip
    return [
        f"<figure><h3>{escape(p.title)}</h3><figcaption>{escape(p.sentence)}</figcaption>"
        f"{draw(p, -BEFORE_S, min(ends))}</figure>"
        for p in plots
    ]


def _steps(s: Seen) -> list[float]:
    """Where each step of the plots begins, seconds from the cut."""
    count = int((BEFORE_S + s.run.end_s - s.run.cut_s) / STEP_S)
    return [-BEFORE_S + k * STEP_S for k in range(count)]


def _share(s: Seen, which: Callable[[Pull], bool]) -> list[Point]:
    points: list[Point] = []
    for at_s in _steps(s):
        pulls = s.books.between(s.run.cut_s + at_s, s.run.cut_s + at_s + STEP_S)
        points.append((at_s + STEP_S / 2, 100.0 * sum(map(which, pulls)) / len(pulls) if pulls else None))
    return points


def _rate(s: Seen, times: Sequence[float]) -> list[Point]:
    counts = dict.fromkeys(_steps(s), 0)
    for at_s in times:
        step = -BEFORE_S + int((at_s - s.run.cut_s + BEFORE_S) // STEP_S) * STEP_S
        if step in counts:
            counts[step] += 1
    return [(at_s + STEP_S / 2, n / STEP_S) for at_s, n in counts.items()]


def _grown(s: Seen) -> list[Point]:
    viewed = sorted(u.viewed_s - s.run.cut_s for u in s.books.uploads.values() if u.viewed_s >= s.run.cut_s)
    end_s = s.run.end_s - s.run.cut_s
    return [(-BEFORE_S, 0.0), *((at_s, float(k)) for k, at_s in enumerate(viewed, 1)), (end_s, float(len(viewed)))]


def _foot(seed: int) -> str:
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    versions = f"Holdfast {holdfast.__version__}, Python {platform.python_version()}, {platform.system()}"
    said = f"{versions}; seed {seed}; {when}"
    again = f"holdfast drill january-2026 --seed {seed}"
    return f'<p class="quiet" style="margin-top:32px">{escape(said)}. Again: <code>{escape(again)}</code></p>'
