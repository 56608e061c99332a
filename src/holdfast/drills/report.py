"""The report of a drill: one page that needs nothing else, good enough to publish.

Hypothesis, what was done when, what clients and regions saw second by second, the figures, each promise with its
verdict as a word, versions and seed. Plots begin where the drill begins and count seconds from the fault.
"""

import platform
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from html import escape

import msgspec

import holdfast
from holdfast.core.feed.ladder import Rung
from holdfast.drills.drill_run import Drill
from holdfast.drills.load import ALONE, Record, Shown
from holdfast.drills.report_plot import Plot, Point, Series, draw
from holdfast.drills.verdict import ALWAYS, Figures, Verdict, quantile
from holdfast.drills.watch import Books

ROLES = ("kelp", "sky", "amber")
DASHES = ("", "6 3", "2 3")  # a line is told from its neighbour without colour, too
STYLE = """
:root{--ground:#F6F8F7;--surface:#FFF;--line:#D9E2DF;--text:#10201D;--quiet:#50655F;--kelp:#1F7A62;--amber:#8A5A00;
--coral:#B3361B;--sky:#1D6A93}
@media(prefers-color-scheme:dark){:root{--ground:#0B1416;--surface:#132125;--line:#24383D;--text:#E8F1EE;--quiet:#9DB3AF;
--kelp:#5BC2A2;--amber:#E0A43A;--coral:#F0765A;--sky:#7FC1E3}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--text);font:16px/1.4 system-ui,sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:880px;margin:0 auto;padding:24px 16px 48px}
h1{font-size:28px;line-height:1.2;margin:4px 0 8px}h2{font-size:20px;margin:32px 0 8px}p{margin:0 0 12px}
.quiet,figcaption{color:var(--quiet);font-size:14px}.mark{font-size:12px;font-weight:600;color:var(--amber);
border:1px solid currentColor;border-radius:99px;padding:2px 10px;display:inline-block}
.word{font-size:20px;font-weight:600}.kept{color:var(--kelp)}.broken{color:var(--coral)}
.four{display:grid;grid-template-columns:repeat(auto-fit,minmax(120px,1fr));gap:12px;margin:20px 0}
.four div{background:var(--surface);border:1px solid var(--line);border-radius:14px;padding:12px}
.four b{display:block;font-size:40px;line-height:1.1;font-weight:600}.four span{color:var(--quiet);font-size:14px}
figure{margin:20px 0;background:var(--surface);border:1px solid var(--line);border-radius:14px;padding:12px}
figure h3{font-size:16px;margin:0 0 4px}svg{display:block;width:100%;height:auto}svg.narrow{display:none}
@media(max-width:640px){svg.wide{display:none}svg.narrow{display:block}h1{font-size:20px}.four b{font-size:28px}}
svg text{font-size:12px;fill:var(--quiet)}svg .kelp{fill:var(--kelp)}svg .sky{fill:var(--sky)}
svg .amber{fill:var(--amber)}svg .coral{fill:var(--coral)}.line{fill:none!important;stroke-width:1.5}
.line.kelp{stroke:var(--kelp)}.line.sky{stroke:var(--sky)}.line.amber{stroke:var(--amber)}.line.coral{stroke:var(--coral)}
.grid{stroke:var(--line)}.promise{stroke:var(--quiet);stroke-dasharray:4 4}.fault{fill:url(#hatch)}
table{width:100%;border-collapse:collapse;font-size:14px}th{font-weight:400;color:var(--quiet);text-align:left}
td,th{padding:6px 8px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;white-space:nowrap}td.r{text-align:right}code,td{overflow-wrap:anywhere}
@media print{figure,.four div{break-inside:avoid}}
"""
HATCH = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<line x1="0" y1="0" x2="0" y2="7" style="stroke:var(--coral);stroke-width:1;opacity:.35"/>'
    "</pattern></defs></svg>"
)


def page(drill: Drill, verdict: Verdict, books: Books) -> str:
    """The page as HTML."""
    word = "held" if verdict.passed else "aborted" if verdict.aborted else "broken" if verdict.ran else "could not run"
    mark, how = ("✓", "kept") if verdict.passed else ("✕", "broken")
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Drill {escape(verdict.name)}: {word}</title><style>{STYLE}</style>{HATCH}<main>",
        '<span class="mark">▲ DRILL: nobody outside was affected</span>',
        f"<h1>{escape(drill.what)}</h1>",
        f'<p class="quiet">Hypothesis. {escape(drill.hypothesis)}</p>',
        f'<p class="word {how}">{mark} {_say(verdict, word)}</p>',
    ]
    if verdict.figures:
        parts += [_four(verdict.figures), *_plots(books, verdict.figures.lost), _promises(drill, verdict.figures)]
        parts.append(_figures(verdict.figures))
    if verdict.more:
        parts.append(_table("What this drill alone measures", verdict.more))
    parts += [_timeline(verdict), _foot(verdict), "</main></html>"]
    return "".join(parts)


def plain(name: str, what: str, result: Mapping[str, object]) -> str:
    """The page of a drill that keeps books of its own: its figures, and the verdict that it gave. `what`: in words."""
    first, _, rest = what.partition("; " if "; " in what else ": ")
    flat: dict[str, float | str] = {}
    _flatten("", {k: v for k, v in msgspec.to_builtins(dict(result)).items() if k not in ("passed", "broken")}, flat)
    broken = result.get("broken")
    said = [str(b) for b in broken] if isinstance(broken, list) else []
    verdict = Verdict(
        name=name, hypothesis=rest or first, passed=bool(result["passed"]) and "skipped" not in result, more=flat,
        broken=said or ([] if result["passed"] else ["see the figures"]), ran="skipped" not in result,
        why_not=str(result.get("skipped", "")),
    )  # fmt: skip
    return page(Drill(name, first, verdict.hypothesis, lambda stage: nullcontext()), verdict, Books())


def _flatten(before: str, value: object, into: dict[str, float | str]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(f"{before} {key}".strip(), inner, into)
    elif isinstance(value, list):
        for k, inner in enumerate(value, 1):
            _flatten(f"{before} {k}", inner, into)
    elif value is not None:
        into[before] = value if isinstance(value, float | int) else str(value)


def _say(verdict: Verdict, word: str) -> str:
    if word == "held":
        return "Every promise held."
    return escape("; ".join(verdict.broken) or verdict.aborted or verdict.why_not)


def _four(f: Figures) -> str:
    cells = (("acknowledged", f.acknowledged), ("lost", f.lost), ("failed", f.failed_slates), ("repeats", f.repeats))
    return '<div class="four">' + "".join(f"<div><b>{n:,}</b><span>{w}</span></div>" for w, n in cells) + "</div>"


def _plots(books: Books, lost: int) -> list[str]:
    assert books.fault is not None, "there are figures"
    t0, t1 = books.fault.begun_s, books.fault.ended_s
    begin = int(books.begun_s - t0)
    end = max([x.at_s for x in books.looks] + [t1]) - t0
    spans = [(books.fault.what, 0.0, t1 - t0)]
    records = [w.record for w in books.crowd]
    slates = [s for r in records for s in r.slates]
    regions = sorted({x.region for x in books.looks})
    bad, repeats = (lambda s: s.rung == ALONE or not s.items), (lambda r: [(at, 1) for at in r.repeated])
    plots = [
        Plot("Slates", "Slates a second that a region gave, and slates that none gave.",
             [Series("given", _rate(slates, lambda s: not bad(s), t0, begin, end)),
              Series("failed", _rate(slates, bad, t0, begin, end), "coral", "6 3")],
             unit="/s", spans=spans),
        Plot("How long a slate took", "Median and slowest hundredth of each second, as clients waited.",
             [Series("median", _latency(slates, 0.5, t0, begin, end)),
              Series("p99", _latency(slates, 0.99, t0, begin, end), "amber", "6 3")], unit="ms", spans=spans),
        Plot("Rungs", "What each region said it could give; a gap is silence.",
             [Series(r, _looks(books, r, lambda x: float(Rung[x.rung]) if x.rung else None, t0), ROLES[k % 3],
                     DASHES[k % 3], step=True) for k, r in enumerate(regions)],
             levels=[r.name for r in Rung][:-1], spans=spans),
        Plot("Lag", "How far behind its worst peer each region said it was.",
             [Series(r, _looks(books, r, lambda x: x.lag_s if x.rung else None, t0), ROLES[k % 3], DASHES[k % 3])
              for k, r in enumerate(regions)], unit="s", spans=spans),
        Plot("Entries", "What was acknowledged, and what was declared safe in a second region. "
             "The distance between them is what clients keep in their outboxes. What is lost is counted at the end.",
             [Series("acknowledged", _grown(records, lambda r: r.acked_at, t0, begin, end)),
              Series("safe", _grown(records, lambda r: r.safe_at, t0, begin, end), "sky", "6 3"),
              Series("repeats", _grown(records, repeats, t0, begin, end), "coral", "2 3"),
              Series("lost", [(end - 1.0, float(lost)), (end, float(lost))], "coral")],
             spans=spans),
    ]  # fmt: skip
    return [
        f"<figure><h3>{escape(p.title)}</h3><figcaption>{escape(p.sentence)}</figcaption>{draw(p, begin, end)}</figure>"
        for p in plots
    ]  # fmt: skip


def _rate(slates: list[Shown], which: Callable[[Shown], bool], t0: float, begin: int, end: float) -> list[Point]:
    counts = [0] * (int(end) - begin + 1)
    for s in slates:
        if which(s) and begin <= s.at_s - t0 < end:
            counts[int(s.at_s - t0 - begin)] += 1
    return [(begin + k + 0.5, float(n)) for k, n in enumerate(counts[:-1])]


def _latency(slates: list[Shown], q: float, t0: float, begin: int, end: float) -> list[Point]:
    took: list[list[float]] = [[] for _ in range(int(end) - begin + 1)]
    for s in slates:
        if begin <= s.at_s - t0 < end:
            took[int(s.at_s - t0 - begin)].append(1000 * s.took_s)
    return [(begin + k + 0.5, quantile(v, q) if v else None) for k, v in enumerate(took[:-1])]


def _looks(books: Books, region: str, what: Callable[..., float | None], t0: float) -> list[Point]:
    return [(x.at_s - t0, what(x)) for x in books.looks if x.region == region]


def _grown(
    records: list[Record], what: Callable[[Record], list[tuple[float, int]]], t0: float, begin: int, end: float
) -> list[Point]:
    told = sorted((at - t0, n) for r in records for at, n in what(r))
    out, total, k = list[Point](), 0, 0
    for second in range(begin, int(end) + 2):
        while k < len(told) and told[k][0] <= second:
            total += told[k][1]
            k += 1
        out.append((float(second), float(total)))
    return out


def _promises(drill: Drill, f: Figures) -> str:
    rows = "".join(
        f'<tr><td>{escape(b.words)}</td><td class="n">{getattr(f, b.figure):,.4g}</td><td class="n">{b.most:,.4g}</td>'
        f'<td class="{"broken" if b.broken(f) else "kept"}">{"broken" if b.broken(f) else "held"}</td></tr>'
        for b in (*ALWAYS, *drill.bounds)
    )  # fmt: skip
    head = '<tr><th>promise</th><th class="n">measured</th><th class="n">at most</th><th></th></tr>'
    return f"<h2>Promises</h2><table>{head}{rows}</table>"


def _figures(f: Figures) -> str:
    return _table("All figures", {name: getattr(f, name) for name in f.__struct_fields__})


def _table(title: str, shown: Mapping[str, object]) -> str:
    rows = "".join(f'<tr><td>{escape(k)}</td><td class="r">{escape(_value(v))}</td></tr>' for k, v in shown.items())
    return f"<h2>{escape(title)}</h2><table>{rows}</table>"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_value(v)}" for k, v in value.items())
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _timeline(verdict: Verdict) -> str:
    rows = "".join(
        f'<tr><td class="n">{e.at_s:+.1f} s</td><td>{escape(e.text)}</td></tr>' for e in verdict.timeline
    )
    return f"<h2>Timeline</h2><table>{rows}</table>"


def _foot(verdict: Verdict) -> str:
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    versions = f"Holdfast {holdfast.__version__}, Python {platform.python_version()}, {platform.system()}"
    said = f"{versions}; seed {verdict.seed}; {when}" if verdict.seed else f"{versions}; {when}"
    again = f"holdfast drill {verdict.name}" + (f" --seed {verdict.seed}" if verdict.seed else "")
    return f'<p class="quiet" style="margin-top:32px">{escape(said)}. Again: <code>{escape(again)}</code></p>'
