"""Plots as SVG text, by hand: thin lines, direct labels, a light grid, zero shown, a fault as a hatched span.

Every plot is drawn twice, 880 and 358 px wide, and the page shows the one that fits: text in a scaled picture is either
too small on a phone or too large on paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDE, NARROW, HEIGHT = 880, 358, 220
TOP, BOTTOM = 30, 26
LABEL_PX, CAPITAL_PX = 6.7, 8.2  # width of a letter of the 12 px labels, about
LABEL_GAP = 14.0
GRID_LINES = 4
NICE = (1, 2, 2.5, 5, 10)

Point = tuple[float, float | None]  # None: a gap


@dataclass(frozen=True)
class Series:
    """One line. `role`: a colour of the page; `dash` sets it apart where colour alone would."""

    name: str
    points: Sequence[Point]
    role: str = "kelp"
    dash: str = ""
    step: bool = False


@dataclass(frozen=True)
class Plot:
    """`sentence` says what to see. `levels`: names of the values 0, 1, … where the axis is a ladder, best first."""

    title: str
    sentence: str
    series: Sequence[Series]
    levels: Sequence[str] = ()
    unit: str = ""
    top: float = 0.0  # the axis reaches at least this far
    promise: float | None = None
    spans: Sequence[tuple[str, float, float]] = field(default=())


def nice_top(value: float) -> float:
    """The next round number at or above `value`, a multiple of the grid."""
    if value <= 0:
        return 1.0
    size = 1.0
    while size * 10 < value:
        size *= 10
    while size > value:
        size /= 10
    return next(size * k for k in NICE if size * k >= value * 0.999)


def draw(plot: Plot, begin: float, end: float) -> str:
    """The plot in both widths, from second `begin` to second `end`."""
    return "".join(_draw(plot, begin, end, width) for width in (WIDE, NARROW))


def _draw(plot: Plot, begin: float, end: float, width: int) -> str:
    right = 12 + LABEL_PX * max(len(s.name) for s in plot.series)
    values = [y for s in plot.series for _, y in s.points if y is not None]
    most = len(plot.levels) - 1 if plot.levels else nice_top(max([plot.top, plot.promise or 0.0, *values]))
    marks = _marks(plot, most)
    left = 12 + (CAPITAL_PX if plot.levels else LABEL_PX) * max(len(word) for _, word in marks)
    inner, deep = width - left - right, HEIGHT - TOP - BOTTOM

    def x(t: float) -> float:
        return left + inner * (min(max(t, begin), end) - begin) / (end - begin)

    def y(v: float) -> float:
        return TOP + deep * (v / most if plot.levels else 1 - min(v, most) / most)

    out = [f'<svg class="{"wide" if width == WIDE else "narrow"}" viewBox="0 0 {width} {HEIGHT}" '
           f'role="img" aria-label="{escape(plot.title)}: {escape(plot.sentence)}">']  # fmt: skip
    out += [_span(name, x(a), x(b), deep, k) for k, (name, a, b) in enumerate(plot.spans)]
    for value, word in marks:
        py = y(value)
        out.append(f'<line class="grid" x1="{left:.0f}" x2="{width - right:.0f}" y1="{py:.1f}" y2="{py:.1f}"/>')
        out.append(f'<text class="axis" x="{left - 6:.0f}" y="{py + 4:.1f}" text-anchor="end">{escape(word)}</text>')
    out += _seconds(begin, end, x, width)
    if plot.promise is not None:
        py = y(plot.promise)
        out.append(f'<line class="promise" x1="{left:.0f}" x2="{width - right:.0f}" y1="{py:.1f}" y2="{py:.1f}"/>')
    ends: list[tuple[float, Series]] = []
    for s in plot.series:
        path, last = _path(s, x, y)
        out.append(f'<path class="line {s.role}" d="{path}"{f" stroke-dasharray={s.dash!r}" if s.dash else ""}/>')
        if last is not None:
            ends.append((last, s))
    for py, s in spread(ends):
        out.append(f'<text class="{s.role}" x="{width - right + 6:.0f}" y="{py + 4:.1f}">{escape(s.name)}</text>')
    return "".join([*out, "</svg>"])


def _span(name: str, a: float, b: float, deep: float, k: int) -> str:
    fits = escape(name) if len(name) * LABEL_PX < WIDE - a else escape(name[: int((WIDE - a) / LABEL_PX) - 1]) + "…"
    label = f'<text class="coral" x="{a:.1f}" y="{TOP - 8}">{fits}</text>' if k == 0 else ""
    return f'<rect class="fault" x="{a:.1f}" y="{TOP}" width="{max(1.0, b - a):.1f}" height="{deep}"/>{label}'


def _marks(plot: Plot, most: float) -> list[tuple[float, str]]:
    """Where the grid's lines lie, and what stands beside each."""
    if plot.levels:
        return [(float(k), word) for k, word in enumerate(plot.levels)]
    marks = [(most * k / GRID_LINES, f"{most * k / GRID_LINES:g}") for k in range(GRID_LINES)]
    return [*marks, (most, f"{most:g} {plot.unit}".strip())]


def _seconds(begin: float, end: float, x, width: int) -> list[str]:
    every = nice_top((end - begin) / (8 if width == WIDE else 4))
    first = int(begin / every) - 1
    ticks = [k * every for k in range(first, int(end / every) + 1) if begin <= k * every <= end]
    return [f'<text class="axis" x="{x(t):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{t:g} s</text>' for t in ticks]


def _path(s: Series, x, y) -> tuple[str, float | None]:
    parts: list[str] = []
    pen, last = "M", None
    for t, value in s.points:
        if value is None:
            pen = "M"
            continue
        if s.step and pen == "L" and last is not None:
            parts.append(f"L{x(t):.1f} {last:.1f}")
        last = y(value)
        parts.append(f"{pen}{x(t):.1f} {last:.1f}")
        pen = "L"
    return " ".join(parts), last


def spread(ends: Sequence[tuple[float, Series]]) -> list[tuple[float, Series]]:
    """Move labels apart so that none covers another, keeping their order."""
    out: list[tuple[float, Series]] = []
    for py, s in sorted(ends, key=lambda e: e[0]):
        out.append((max(py, out[-1][0] + LABEL_GAP) if out else py, s))
    over = out[-1][0] - (HEIGHT - BOTTOM) if out else 0.0
    return [(py - max(0.0, over), s) for py, s in out]
