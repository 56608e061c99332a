"""The guard: what a slate must never be, whatever the stages before it did. A breach is counted and drops a rung."""

from collections.abc import Sequence

from holdfast.core.feed.viewer import Viewer


def breaches(rows: Sequence[int], rewatch: bool, viewer: Viewer) -> list[str]:
    """Name what is wrong with a slate of these catalogue rows; an empty list lets it pass."""
    found: list[str] = []
    if not rows:
        found.append("empty")
    if len(set(rows)) < len(rows):
        found.append("twice")
    if not rewatch and any(row in viewer.seen for row in rows):
        found.append("repeat")
    if any(row in viewer.profile.hidden for row in rows):
        found.append("hidden")
    if len(rows) > viewer.query.ask.n:
        found.append("long")
    return found
