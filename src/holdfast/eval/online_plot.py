"""The curve of `holdfast eval online`: how well each arm answered, six hours at a time, readable on a phone.

Thin lines, named where they end instead of in a legend; the colours are those of the reports: online in kelp, what it
is compared with in greys, told apart by their dashes too.
"""

from pathlib import Path
from typing import Any

from holdfast.core.errors import Refused

GROUND, LINE, TEXT, QUIET, KELP = "#FFFFFF", "#D9E2DF", "#10201D", "#50655F", "#1F7A62"
STYLES = {  # arm → colour, dash, width, the words at its end
    "online": (KELP, "-", 2.2, "online"),
    "hourly": (TEXT, (0, (5, 2)), 1.3, "hourly"),
    "daily": (QUIET, (0, (1.5, 1.5)), 1.5, "daily"),
    "popular_24h": ("#8A5A00", "-.", 1.2, "popular, 24 h"),
}  # fmt: skip
PANELS = (
    ("retrieval_hit_at_20", "Next long view among the network's 20 of all"),
    ("log_loss", "Log loss of long views (lower is better)"),
    ("auc", "AUC of long views"),
)
TITLE = "One model, released online, hourly and daily"
SIZE_IN = (4.4, 7.2)
APART = 0.055  # of a panel's height, between two names


def checked(file: Path) -> Any:
    """Return matplotlib, before hours are spent. Raises Refused for an ending that is not drawn, or without it."""
    if file.suffix not in (".svg", ".png"):
        raise Refused(f"{file.name} is neither .svg nor .png", field="plot", hint="--plot online.svg")
    try:
        import matplotlib
    except ImportError as e:
        raise Refused("matplotlib is not installed", field="plot", hint="pip install 'holdfast[eval]'") from e
    matplotlib.use("Agg")
    return matplotlib


def draw(result: dict[str, Any], file: Path) -> None:
    """Write the curve of a result as SVG or PNG. Raises Refused as `checked` does."""
    matplotlib = checked(file)
    from matplotlib import pyplot

    style = {
        "font.size": 9.5, "font.family": "sans-serif", "axes.edgecolor": LINE, "text.color": TEXT,
        "xtick.color": QUIET, "ytick.color": QUIET, "svg.hashsalt": "holdfast",
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure, axes = pyplot.subplots(len(PANELS), 1, sharex=True, figsize=SIZE_IN, facecolor=GROUND)
        curve = result["curve"]
        for axis, (measure, title) in zip(axes, PANELS, strict=True):
            _panel(axis, curve, measure, title)
        days = [i for i, row in enumerate(curve) if row["from"].endswith("00:00")]
        axes[-1].set_xticks([i - 0.5 for i in days], [_day(curve[i]["from"]) for i in days], ha="left")
        figure.text(0.02, 0.985, TITLE, weight="bold", va="top", fontsize=10.5)
        figure.tight_layout(rect=(0, 0, 1, 0.965), h_pad=1.4)
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=160)
        pyplot.close(figure)


def _panel(axis: Any, curve: list[dict[str, Any]], measure: str, title: str) -> None:
    """One measure: a line per arm that has it, named at its end, the names kept apart."""
    axis.set_title(title, loc="left", fontsize=9.5, color=TEXT)
    axis.grid(axis="y", color=LINE, linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(length=0)
    ends: list[tuple[float, str]] = []
    for arm, (colour, dash, width, _) in STYLES.items():
        points = [(i, row[arm][measure]) for i, row in enumerate(curve) if row.get(arm, {}).get(measure) is not None]
        if points:
            x, y = zip(*points, strict=True)
            axis.plot(x, y, color=colour, linestyle=dash, linewidth=width)
            ends.append((y[-1], arm))
    axis.set_xlim(-0.5, len(curve) * 1.3)
    low, high = axis.get_ylim()
    at = -float("inf")
    for y, arm in sorted(ends):
        at = max(y, at + APART * 2.2 * (high - low))
        colour, _, _, words = STYLES[arm]
        axis.text(len(curve) - 0.8, at, words, color=colour, va="center", fontsize=9)
    axis.set_ylim(low, max(high, at + APART * (high - low)))


def _day(text: str) -> str:
    return f"{int(text[8:10])}/{int(text[5:7])}"
