"""The baseline's database: one SQL file with a write-ahead log, fsynced at every commit, and a copy that follows it.

SQLite stands for the team's database server, because it is wherever Python is. That errs in the baseline's favour: no
connection pool to exhaust, no network hop, no buffer cache to warm, recovery in milliseconds. Entries carry a key of
their own, so sending one twice counts once. Every fact is a row of `events`; counters, seen lists and tastes are kept
up in the same transaction. The stand-by copy reads `changes` across the wide-area link and applies them in order, so it
is behind by what was committed since its last question.
"""

import json
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SCHEMA = """
create table if not exists videos (video text primary key, creator text, tags text, duration_ms int, file text,
  published real, views int default 0, likes int default 0);
create table if not exists events (id integer primary key, key text unique, viewer text, kind text, video text, more text);
create table if not exists seen (viewer text, video text, primary key (viewer, video)) without rowid;
create table if not exists likes (viewer text, video text, primary key (viewer, video)) without rowid;
create table if not exists tastes (viewer text, tag text, weight real, primary key (viewer, tag)) without rowid;
create index if not exists newest on videos (published desc);
create index if not exists hottest on videos (likes desc, views desc);
"""  # noqa: E501 (a statement a line)
FADE = 0.95  # of a taste, with every video watched
LONG, SHORT, LIKE = 1.0, -0.3, 2.0  # what a long view, a short one and a like say of each tag
CHANGES_MAX = 2000
HOT, NEW = 300, 40  # candidates for a slate


class Store:
    """One database file. Calls block; any thread may call. `statements` counts what reached the database."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            self._db.execute(f"pragma {pragma}")
        self._db.executescript(SCHEMA)
        self.statements = 0

    def _run(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        self.statements += 1
        return self._db.execute(sql, values)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- writing -------------------------------------------------------------------------------------------------

    def take(self, events: Sequence[dict[str, Any]]) -> int:
        """Write events in one transaction, fsynced on return; what is known by its key already is skipped. → new."""
        with self._lock:
            self._run("begin immediate")
            try:
                fresh = sum(self._take(e) for e in events)
            except BaseException:
                self._run("rollback")
                raise
            self._run("commit")
        return fresh

    def _take(self, e: dict[str, Any]) -> bool:
        row = (e["key"], e["viewer"], e["kind"], e["video"], json.dumps(e.get("more", {})))
        into = "insert or ignore into events (key, viewer, kind, video, more) values (?,?,?,?,?)"
        if not self._run(into, row).rowcount:
            return False
        more, viewer, video = e.get("more", {}), e["viewer"], e["video"]
        if e["kind"] == "publish":
            of = (video, viewer, json.dumps(more["tags"]), more["duration_ms"], more.get("file", ""), more["at"])
            self._run("insert or ignore into videos (video, creator, tags, duration_ms, file, published) "
                      "values (?,?,?,?,?,?)", of)
        elif e["kind"] == "view":
            self._run("insert or ignore into seen values (?,?)", (viewer, video))
            self._run("update videos set views = views + 1 where video = ?", (video,))
            self._weigh(viewer, video, LONG if more["dwell_ms"] * 2 > more["duration_ms"] else SHORT)
        elif e["kind"] == "like" and self._run("insert or ignore into likes values (?,?)", (viewer, video)).rowcount:
            self._run("update videos set likes = likes + 1 where video = ?", (video,))
            self._weigh(viewer, video, LIKE)
        return True

    def _weigh(self, viewer: str, video: str, weight: float) -> None:
        row = self._run("select tags from videos where video = ?", (video,)).fetchone()
        self._run("update tastes set weight = weight * ? where viewer = ?", (FADE, viewer))
        for tag in json.loads(row[0]) if row else ():
            self._run("insert into tastes values (?,?,?) on conflict do update set weight = weight + excluded.weight",
                      (viewer, tag, weight))

    # -- reading -------------------------------------------------------------------------------------------------

    def candidates(self) -> list[dict[str, Any]]:
        """The hottest and the newest videos, as rows for a slate."""
        fields = "video, creator, tags, duration_ms, views, likes, published"
        with self._lock:
            hot = self._run(f"select {fields} from videos order by likes desc, views desc limit ?", (HOT,)).fetchall()
            new = self._run(f"select {fields} from videos order by published desc limit ?", (NEW,)).fetchall()
        rows = {row[0]: row for row in [*hot, *new]}
        names = ("video", "creator", "tags", "duration_ms", "views", "likes", "published")
        return [{**dict(zip(names, row, strict=True)), "tags": json.loads(row[2])} for row in rows.values()]

    def person(self, viewer: str) -> tuple[dict[str, float], set[str]]:
        """A viewer's tastes by tag, and what they have seen."""
        with self._lock:
            tastes = dict(self._run("select tag, weight from tastes where viewer = ?", (viewer,)).fetchall())
            seen = {v for (v,) in self._run("select video from seen where viewer = ?", (viewer,))}
        return tastes, seen

    def counts(self, videos: Sequence[str]) -> dict[str, list[int]]:
        """Views and likes of videos, as people are shown them."""
        marks = ",".join("?" * len(videos))
        with self._lock:
            rows = self._run(f"select video, views, likes from videos where video in ({marks})", videos).fetchall()
        return {video: [views, likes] for video, views, likes in rows}

    def has(self, keys: Sequence[str]) -> int:
        """How many of these events are here (the drill's count, at the end)."""
        with self._lock:
            return sum(self._run("select 1 from events where key = ?", (key,)).fetchone() is not None for key in keys)

    def changes(self, after: int) -> list[dict[str, Any]]:
        """Events with a number above `after`, in order: what the stand-by copy applies."""
        asked = "select id, key, viewer, kind, video, more from events where id > ? order by id limit ?"
        with self._lock:
            rows = self._run(asked, (after, CHANGES_MAX)).fetchall()
        return [{"id": i, "key": k, "viewer": v, "kind": kind, "video": video, "more": json.loads(more)}
                for i, k, v, kind, video, more in rows]

    def last(self) -> int:
        """Number of the last event."""
        with self._lock:
            return self._run("select coalesce(max(id), 0) from events").fetchone()[0]
