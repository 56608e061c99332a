"""Tables: what people query, in SQL. This module alone imports SQLAlchemy.

Interactions are not rows: they live in chains and folds. Rows are items, rulings and comments, each keyed by what makes
writing it twice harmless, and written in one transaction with the watermark they follow from: after a crash the
tables stand exactly at their watermark, and the node folds on from there. SQLite in WAL mode by default. Calls block;
use them from one writer thread (reads from any).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects.sqlite import insert

from holdfast.core.entries import Comment, Entry, Publication, Retraction, Ruling
from holdfast.core.errors import Degraded

VERSION = 1  # kept in `meta`; a table of another version is dropped and folded anew
COMMENTS_PAGE = 100
DAMAGED = ("malformed", "not a database")  # SQLite's words for a file that is beyond repair

_meta = sa.MetaData()
META = sa.Table("meta", _meta, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text))
WATERMARK = sa.Table(
    "watermark", _meta,
    sa.Column("chain", sa.Text, primary_key=True), sa.Column("epoch", sa.Text, primary_key=True),
    sa.Column("n", sa.Integer, nullable=False),
)
ITEMS = sa.Table(
    "items", _meta,
    sa.Column("item", sa.Text, primary_key=True), sa.Column("stamp", sa.Integer, nullable=False),
    sa.Column("device", sa.Text, nullable=False), sa.Column("creator", sa.Text, nullable=False, index=True),
    sa.Column("caption", sa.Text, nullable=False), sa.Column("tags", sa.Text, nullable=False),
    sa.Column("duration_ms", sa.Integer, nullable=False), sa.Column("media", sa.Text), sa.Column("url", sa.Text),
    sa.Column("region", sa.Text, nullable=False),
)
RETRACTIONS = sa.Table(  # of their own, because one may arrive before its publication; it counts if by its publisher
    "retractions", _meta,
    sa.Column("item", sa.Text, primary_key=True), sa.Column("device", sa.Text, primary_key=True),
    sa.Column("stamp", sa.Integer, nullable=False),
)
RULINGS = sa.Table(
    "rulings", _meta,
    sa.Column("device", sa.Text, primary_key=True), sa.Column("outbox", sa.Integer, primary_key=True),
    sa.Column("stamp", sa.Integer, nullable=False), sa.Column("item", sa.Text, nullable=False, index=True),
    sa.Column("verdict", sa.Text, nullable=False), sa.Column("reasons", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False), sa.Column("by", sa.Text, nullable=False),
    sa.Column("supersedes", sa.Text, nullable=False),
)
COMMENTS = sa.Table(
    "comments", _meta,
    sa.Column("device", sa.Text, primary_key=True), sa.Column("outbox", sa.Integer, primary_key=True),
    sa.Column("stamp", sa.Integer, nullable=False), sa.Column("item", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False), sa.Index("comments_of", "item", "stamp"),
)
Watermark = dict[str, dict[str, int]]  # {chain: {epoch: n}}


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class Tables:
    """The tables of one region. Raises Degraded when the database does not take or give."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 10})
        event.listen(self._engine, "connect", _tune)
        try:
            self._open()
        except exc.DatabaseError as e:
            self._engine.dispose()
            if not any(word in str(e) for word in DAMAGED):
                raise Degraded(f"the tables cannot be opened: {e}", retry_after_s=5.0) from e
            # everything in them can be folded anew
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            self._open()

    def _open(self) -> None:
        with self._engine.begin() as db:
            _meta.create_all(db)
            version = db.scalar(sa.select(META.c.value).where(META.c.name == "version"))
            if version is not None and version != str(VERSION):
                _meta.drop_all(db)
                _meta.create_all(db)
            db.execute(insert(META).values(name="version", value=str(VERSION)).on_conflict_do_nothing())

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def watermark(self) -> Watermark:
        """How far the tables have been folded."""
        marks: Watermark = {}
        with self._engine.connect() as db:
            for chain, epoch, n in db.execute(sa.select(WATERMARK)):
                marks.setdefault(chain, {})[epoch] = n
        return marks

    def write(self, entries: list[Entry], watermark: Watermark) -> None:
        """Fold entries (those of KEPT; others are skipped) and move the watermark, in one transaction."""
        try:
            with self._engine.begin() as db:
                for kind, (statement, row) in _WRITES.items():
                    rows = [row(e) for e in entries if type(e) is kind]
                    if rows:
                        db.execute(statement, rows)
                marks = [
                    {"chain": c, "epoch": e, "n": n} for c, epochs in watermark.items() for e, n in epochs.items()
                ]
                if marks:
                    put = insert(WATERMARK)
                    newest = sa.func.max(WATERMARK.c.n, put.excluded.n)
                    db.execute(
                        put.on_conflict_do_update(index_elements=["chain", "epoch"], set_={"n": newest}), marks
                    )
        except exc.SQLAlchemyError as e:
            raise Degraded(f"the tables cannot be written: {e}", retry_after_s=5.0) from e

    def comments(self, item: str, limit: int = COMMENTS_PAGE) -> list[tuple[str, int, int, str]]:
        """Return the newest comments on an item as (device, outbox, stamp, text)."""
        c = COMMENTS.c
        query = sa.select(c.device, c.outbox, c.stamp, c.text).where(c.item == item)
        try:
            with self._engine.connect() as db:
                found = db.execute(query.order_by(c.stamp.desc(), c.outbox.desc(), c.device).limit(limit))
                return [(d, o, s, t) for d, o, s, t in found]
        except exc.SQLAlchemyError as e:
            raise Degraded(f"the tables cannot be read: {e}") from e


def _tune(connection: Any, _: Any) -> None:
    """WAL lets readers read while the writer writes; NORMAL is enough, because the chains are what must survive."""
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _item(e: Publication) -> dict[str, Any]:
    return {
        "item": e.item, "stamp": e.stamp, "device": e.device, "creator": e.creator, "caption": e.caption,
        "tags": _text(e.tags), "duration_ms": e.duration_ms, "url": e.url, "region": e.region,
        "media": _text(e.media) if e.media else None,
    }  # fmt: skip


def _retraction(e: Retraction) -> dict[str, Any]:
    return {"item": e.item, "device": e.device, "stamp": e.stamp}


def _ruling(e: Ruling) -> dict[str, Any]:
    return {
        "device": e.device, "outbox": e.outbox, "stamp": e.stamp, "item": e.item, "verdict": e.verdict,
        "policy": e.policy, "reasons": _text(e.reasons), "by": e.by, "supersedes": _text(e.supersedes),
    }  # fmt: skip


def _comment(e: Comment) -> dict[str, Any]:
    return {"device": e.device, "outbox": e.outbox, "stamp": e.stamp, "item": e.item, "text": e.text}


def _newest_item() -> Any:
    put = insert(ITEMS)
    newer = sa.tuple_(put.excluded.stamp, put.excluded.device) > sa.tuple_(ITEMS.c.stamp, ITEMS.c.device)
    values = {c.name: put.excluded[c.name] for c in ITEMS.columns if c.name != "item"}
    return put.on_conflict_do_update(index_elements=["item"], set_=values, where=newer)


def _newest_retraction() -> Any:
    put = insert(RETRACTIONS)
    newest = sa.func.max(RETRACTIONS.c.stamp, put.excluded.stamp)
    return put.on_conflict_do_update(index_elements=["item", "device"], set_={"stamp": newest})


# One statement per kind, so that a thousand rows are one call: the writer thread shares the interpreter with the feed.
_WRITES: dict[type, tuple[Any, Callable[[Any], dict[str, Any]]]] = {
    Publication: (_newest_item(), _item),
    Retraction: (_newest_retraction(), _retraction),
    Ruling: (insert(RULINGS).on_conflict_do_nothing(), _ruling),
    Comment: (insert(COMMENTS).on_conflict_do_nothing(), _comment),
}
KEPT = tuple(_WRITES)  # the entries that make rows
