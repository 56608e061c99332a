"""The figures of `holdfast eval online` as tables for people."""

from typing import Any

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
MEASURES = {
    "auc": "AUC", "gauc": "GAUC", "log_loss": "log loss", "hit_at_20": "FULL hit@20",
    "retrieval_hit_at_20": "its retrieval", "linear_hit_at_20": "LINEAR hit@20",
}  # fmt: skip


def tables(result: dict[str, Any]) -> list[Table]:
    """Return (title, heads, rows): the arms, online less each other arm, new viewers."""
    heads = ("", *MEASURES.values())
    popular = result["popular_24h"]["hit_at_20"]
    arms = [(arm, *(f"{row[name]:.4f}" for name in MEASURES)) for arm, row in result["arms"].items()]
    arms.append(("popular_24h", "", "", "", *[f"{popular:.4f}"] * 3))
    less = [(arm, *(_apart(row[name]) for name in MEASURES)) for arm, row in result["less"].items()]
    title = f"{result['asked']} impressions and {result['questions']} questions, {result['from']} to {result['until']}"
    found: list[Table] = [(title, heads, arms), ("online less …, 95 % interval", heads, less)]
    new = result["new_viewers"]
    if new:
        names = [name for name in next(iter(new.values())) if name != "questions"]
        rows = [(k, str(row["questions"]), *(_ranged(row[n]) for n in names)) for k, row in new.items()]
        found.append(("new viewers: hit@20 after so many events", ("events", "questions", *names), rows))
    return found


def _apart(row: dict[str, Any]) -> str:
    low, high = row["interval"]
    return f"{row['value']:+.4f} [{low:+.4f}, {high:+.4f}]"


def _ranged(row: dict[str, Any]) -> str:
    low, high = row["interval"]
    return f"{row['hit_at_20']:.3f} [{low:.3f}, {high:.3f}]"
