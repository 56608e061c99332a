"""What the arms answered, and what it comes to: means, areas, paired intervals, the curve over time."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.eval.areas import Areas, Asked, compared, shares
from holdfast.eval.online_stream import Impression

Array = NDArray[Any]
ZONE_US = 8 * 3_600_000_000
BIN_US = 6 * 3_600_000_000  # of the curve
EPS = 1e-6
ONLINE, POPULAR = "online", "popular_24h"
HITS = {"hit_at_20": "hits", "retrieval_hit_at_20": "retrieved", "linear_hit_at_20": "linear"}  # measure → of Said


class Tally:
    """Answers in the order they were given."""

    def __init__(self) -> None:
        self._viewer: list[int] = []
        self._at: list[int] = []
        self._happened: list[float] = []
        self._long: dict[str, list[Array]] = defaultdict(list)
        self._asked: list[tuple[int, int]] = []  # (viewer, at) of the questions over all videos
        self._hits: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in HITS}
        self._met: dict[int, list[tuple[int, dict[str, float]]]] = defaultdict(list)

    def take(self, batch: Sequence[Impression], questions: Sequence[int], said: Any, popular: Sequence[float]) -> None:
        """Keep what every arm said (`online_arms.Said`) of a mini-batch."""
        self._viewer += [s.viewer for s in batch]
        self._at += [s.at_us for s in batch]
        self._happened += [float(s.long) for s in batch]
        self._asked += [(batch[i].viewer, batch[i].at_us) for i in questions]
        for arm, answer in said.items():
            self._long[arm].append(answer.long)
            for name, of in HITS.items():
                self._hits[name][arm] += getattr(answer, of).tolist()
        for name in HITS:
            self._hits[name][POPULAR] += popular

    def meet(self, events: int, viewer: int, hits: dict[str, float]) -> None:
        """Keep what was said to a new viewer of so many events."""
        self._met[events].append((viewer, hits))

    @property
    def questions(self) -> int:
        """How many questions over all videos were answered."""
        return len(self._asked)

    def so_far(self) -> str:
        """Return a line of how it goes."""
        if not self._asked:
            return "learning, not counted yet"
        return "; ".join(
            f"{name}: " + ", ".join(f"{arm} {np.mean(h):.3f}" for arm, h in found.items() if "weights" not in arm)
            for name, found in self._hits.items()
        )

    def figures(self, seed: int) -> dict[str, Any]:
        """Return `{arms, less, popular, new_viewers, days, curve, asked, questions}`."""
        viewer, happened = np.array(self._viewer), np.array(self._happened)
        long = {arm: np.concatenate(parts) for arm, parts in self._long.items()}
        areas = compared({arm: Areas(Asked(viewer, happened), p) for arm, p in long.items()}, seed)
        means = {"log_loss": shares(viewer, {arm: _loss(p, happened) for arm, p in long.items()}, seed)}
        asked = np.array([v for v, _ in self._asked])
        hits = {name: {arm: np.array(h) for arm, h in found.items()} for name, found in self._hits.items()}
        means |= {name: shares(asked, found, seed) for name, found in hits.items()}
        floor = means["hit_at_20"][POPULAR]
        return {
            "arms": {arm: _arm(arm, areas, means) for arm in long},
            "less": {arm: _less(arm, areas, means) for arm in long if arm != ONLINE},
            POPULAR: {"hit_at_20": floor["value"], "interval": {"hit_at_20": floor["interval"]}},
            "new_viewers": {str(k): self._new(k, seed) for k in sorted(self._met)},
            "days": self._over_time(long, hits, 4 * BIN_US),
            "curve": self._over_time(long, hits, BIN_US),
            "asked": len(viewer), "viewers": len(np.unique(viewer)), "questions": len(asked),
        }  # fmt: skip

    def _new(self, events: int, seed: int) -> dict[str, Any]:
        met = self._met[events]
        viewer = np.array([v for v, _ in met])
        found = shares(viewer, {name: np.array([hits[name] for _, hits in met]) for name in met[0][1]}, seed)
        return {"questions": len(viewer), **{
            name: {"hit_at_20": row["value"], "interval": row["interval"],
                   "less_popular": row["less"].get(POPULAR)}
            for name, row in found.items()
        }}  # fmt: skip

    def _over_time(
        self, long: dict[str, Array], hits: dict[str, dict[str, Array]], span_us: int
    ) -> list[dict[str, Any]]:
        """Return per span of the log's time its figures by arm."""
        viewer, happened = np.array(self._viewer), np.array(self._happened)
        at = (np.array(self._at) + ZONE_US) // span_us
        asked_at = (np.array([t for _, t in self._asked]) + ZONE_US) // span_us
        rows: list[dict[str, Any]] = []
        for span in np.unique(at).tolist():
            mine, asked = at == span, asked_at == span
            test = Asked(viewer[mine], happened[mine])
            row: dict[str, Any] = {
                "from": datetime.fromtimestamp(span * span_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M"),
                "impressions": int(mine.sum()), "questions": int(asked.sum()),
            }  # fmt: skip
            for arm, p in long.items():
                area = Areas(test, p[mine])
                row[arm] = {"auc": round(area.auc(), 4), "gauc": round(area.gauc(), 4),
                            "log_loss": round(float(_loss(p[mine], happened[mine]).mean()), 4)}  # fmt: skip
            for name, found in hits.items():
                for arm, h in found.items():
                    row.setdefault(arm, {})[name] = round(float(h[asked].mean()), 4) if asked.any() else None
            rows.append(row)
        return rows


def _loss(p: Array, happened: Array) -> Array:
    clipped = np.clip(p, EPS, 1 - EPS)
    return -(happened * np.log(clipped) + (1 - happened) * np.log(1 - clipped))


def _arm(arm: str, areas: dict[str, Any], means: dict[str, Any]) -> dict[str, Any]:
    row = {"auc": areas[arm]["auc"], "gauc": areas[arm]["gauc"], "interval": dict(areas[arm]["interval"])}
    for name, found in means.items():
        row[name], row["interval"][name] = found[arm]["value"], found[arm]["interval"]
    return row


def _less(arm: str, areas: dict[str, Any], means: dict[str, Any]) -> dict[str, Any]:
    """Online less another arm: `{measure: {value, interval}}`."""
    row: dict[str, Any] = {}
    for name in ("auc", "gauc"):
        value = round(areas[ONLINE][name] - areas[arm][name], 4)
        row[name] = {"value": value, "interval": areas[ONLINE]["less"][arm][name]}
    for name, found in means.items():
        value = round(found[ONLINE]["value"] - found[arm]["value"], 4)
        row[name] = {"value": value, "interval": found[ONLINE]["less"][arm]}
    return row
