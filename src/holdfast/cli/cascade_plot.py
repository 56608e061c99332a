"""Pictures of the cascade table: goodput second by second, and what each defence is worth."""

from pathlib import Path
from typing import Any

from holdfast.core.errors import Refused
from holdfast.eval.online_plot import GROUND, KELP, LINE, QUIET, TEXT, checked
from holdfast.sim.cascade_cases import CASES, NEVER_S, SEEN_S, TROUBLE_S

CURVES, DEFENCES = "cascade.svg", "defences.svg"
WITHOUT = "#B3402A"
NEARLY = 0.94
MEASURES = (
    ("end", "goodput at the end"),
    ("recovered_s", "seconds until it is back (top: never)"),
    ("amplification", "attempts at the store for each request"),
    ("blast", "share of regions hit at the end"),
)


def ready(folder: Path) -> None:
    """Make the folder. Raises Refused if it cannot be written or nothing can be drawn."""
    checked(folder / CURVES)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise Refused(f"{folder} cannot be made: {e}", field="plot", hint="--plot pictures") from e


def draw(result: dict[str, Any], folder: Path) -> None:
    """Write both pictures of a table."""
    matplotlib = checked(folder / CURVES)
    from matplotlib import pyplot

    style = {"font.size": 9, "text.color": TEXT, "axes.edgecolor": LINE, "xtick.color": QUIET, "ytick.color": QUIET,
             "svg.hashsalt": "holdfast"}  # fmt: skip
    with matplotlib.rc_context(style):
        for name, paint in ((CURVES, _curves), (DEFENCES, _worth)):
            figure = paint(pyplot, result)
            figure.tight_layout()
            figure.savefig(folder / name, metadata={"Date": None})
            pyplot.close(figure)


def _plain(axis: Any, title: str) -> None:
    axis.set_title(title, loc="left", fontsize=9, color=TEXT)
    axis.grid(axis="y", color=LINE, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def _curves(pyplot: Any, result: dict[str, Any]) -> Any:
    figure, axes = pyplot.subplots(len(CASES), 1, figsize=(4.4, 9.0), facecolor=GROUND)
    for axis, case in zip(axes, CASES, strict=True):
        _plain(axis, case.what)
        axis.axvspan(TROUBLE_S, TROUBLE_S + max(case.lasts_s, 0.2), color=LINE)
        least = 1.0
        for defences, colour, dash, words in (("none", WITHOUT, (0, (4, 2)), "without"), ("all", KELP, "-", "with")):
            curve = next(o["curve"] for o in result["each"] if (o["case"], o["defences"]) == (case.name, defences))
            axis.plot(range(len(curve)), curve, color=colour, linestyle=dash, linewidth=2 if words == "with" else 1.4)
            least = min(least, *curve)
            axis.text(len(curve) - 0.5, curve[-1], words, color=colour, va="center")
        axis.set_ylim(*((-0.05, 1.08) if least < NEARLY else (NEARLY, 1.01)))  # what hits few is seen from near
        axis.set_xlim(0, TROUBLE_S + case.lasts_s + SEEN_S + 3)
    axes[0].set_ylabel("answered in time", color=QUIET)
    axes[-1].set_xlabel("seconds; the trouble is shaded", color=QUIET)
    return figure


def _worth(pyplot: Any, result: dict[str, Any]) -> Any:
    figure, axes = pyplot.subplots(len(MEASURES), 1, figsize=(4.4, 8.6), facecolor=GROUND)
    for axis, (measure, title) in zip(axes, MEASURES, strict=True):
        _plain(axis, title)
        for k, case in enumerate(CASES):
            for o in (o for o in result["each"] if o["case"] == case.name):
                value = SEEN_S if o[measure] == NEVER_S else o[measure]
                mark, colour, size = _mark(o["defences"])
                axis.plot(k, value, mark, color=colour, markersize=size, fillstyle="none" if mark == "o" else "full")
        axis.set_xticks(range(len(CASES)), [case.name for case in CASES])
    axes[0].text(0.0, 1.28, "diamond: all defences   cross: none   ring: one missing", transform=axes[0].transAxes)
    return figure


def _mark(defences: str) -> tuple[str, str, int]:
    return {"all": ("D", KELP, 6), "none": ("x", WITHOUT, 7)}.get(defences, ("o", QUIET, 5))
