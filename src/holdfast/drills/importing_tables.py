"""Plain tables: a folder with `items` and `events` (csv, tsv or parquet; csv also `.xz` or `.gz`), or events alone.

    items    item, and if there are: creator, caption, tags (`|` between), duration_ms, url
    events   viewer, item, time, and if there are: kind, dwell_ms, duration_ms

`time` is ISO 8601, or seconds, milliseconds or microseconds since 1970 (told apart by size). Events stand oldest first
and each once. What is not so is refused with its line, unless `lenient`: then rows are put in order, and those that
cannot be read or stand twice are left out and counted.
"""

import csv
import gzip
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from holdfast.client.names import own_name
from holdfast.core.errors import Refused
from holdfast.drills.importing_records import KINDS, Deed, Load, counted, fault, finish

SUFFIXES = (".csv", ".tsv", ".csv.xz", ".csv.gz", ".tsv.xz", ".tsv.gz", ".parquet")
ITEM_COLUMNS = ("item", "creator", "caption", "tags", "duration_ms", "url")
TAGS_MAX, TAG_CHARS, CAPTION_CHARS, CREATOR_CHARS = 12, 40, 500, 40
MS_MAX = 3_600_000
Row = dict[str, str]


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Open a text file, packed or plain. Raises Refused if it is not there, not text or damaged."""
    openers: dict[str, Any] = {".xz": lzma.open, ".gz": gzip.open}
    try:
        with openers.get(path.suffix, open)(path, "rt", newline="", encoding="utf-8-sig") as f:
            yield f
    except FileNotFoundError as e:
        raise Refused(f"{path} is not there", field="path") from e
    except UnicodeDecodeError as e:
        raise Refused(f"{path.name} is not UTF-8 text: {e}", field="path") from e
    except (OSError, lzma.LZMAError, EOFError, csv.Error) as e:
        raise Refused(f"{path.name} cannot be read: {e}", field="path", hint="fetch it again") from e


def rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, Row]]:
    """Yield (line, row) of a table with a heading. Raises Refused: columns missing, a row cut short or too long."""
    if path.suffix == ".parquet":
        yield from _parquet(path, needed)
        return
    with opened(path) as f:
        reader = csv.DictReader(f, delimiter="\t" if ".tsv" in path.suffixes else ",", restkey="\0", restval=None)
        heads = reader.fieldnames or []
        if not heads:
            raise fault(path.name, 1, "the file is empty")
        _need(path, needed, list(heads))
        for row in reader:
            if "\0" in row or any(value is None for value in row.values()):
                raise fault(path.name, reader.line_num, f"it has not the {len(heads)} values that line 1 has")
            yield reader.line_num, row


def _need(path: Path, needed: tuple[str, ...], there: list[str]) -> None:
    missing = [name for name in needed if name not in there]
    if missing:
        said = ", ".join(f"`{name}`" for name in missing)
        raise fault(path.name, 1, f"no column {said}", f"the columns are: {', '.join(there)[:200]}")


def _parquet(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, Row]]:
    """Rows of a parquet file, as text; a row's line is its number from 1."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as e:
        raise Refused("reading parquet needs pyarrow", field="path", hint="pip install 'holdfast[eval]'") from e
    try:
        table = parquet.ParquetFile(path)
        _need(path, needed, table.schema_arrow.names)
        line = 0
        for batch in table.iter_batches(batch_size=10_000):
            for row in batch.to_pylist():
                line += 1
                yield line, {name: _text(value) for name, value in row.items()}
    except FileNotFoundError as e:
        raise Refused(f"{path} is not there", field="path") from e
    except (arrow.ArrowException, OSError, ValueError) as e:  # ValueError: times finer than a microsecond
        raise Refused(f"{path.name} cannot be read: {e}", field="path", hint="is it parquet, with times in µs?") from e


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "|".join(str(v) for v in value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).isoformat()
    return "" if value is None else str(value)


def stamp_of(text: str) -> int:
    """Return µs since 1970 of a time in any of the spellings above. Raises ValueError."""
    try:
        number = float(text)
    except ValueError:
        at = datetime.fromisoformat(text.strip())
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e6)
    if not 0 <= number < 1e17:
        raise ValueError("out of range")
    scale = 1_000_000 if number < 1e11 else 1000 if number < 1e14 else 1
    return int(text) * scale if text.strip().isdigit() else round(number * scale)


def millis(text: str) -> int:
    """Return milliseconds, at most an hour; 0 for an empty text. Raises ValueError."""
    value = round(float(text)) if text.strip() else 0
    if value < 0:
        raise ValueError("negative")
    return min(value, MS_MAX)


def item_of(
    item: str, tags: list[str], *, creator: str = "", caption: str = "", duration_ms: int = 0, url: str = ""
) -> dict[str, Any]:
    """Return an item as `PUT /v1/items` takes it: cut to what fits."""
    said: dict[str, Any] = {"item": item, "caption": caption[:CAPTION_CHARS], "duration_ms": duration_ms}
    said["tags"] = list(dict.fromkeys(tag.strip()[:TAG_CHARS] for tag in tags if tag.strip()))[:TAGS_MAX]
    if creator.strip():
        said["creator"] = own_name(creator.strip(), CREATOR_CHARS)
    if url.startswith(("http://", "https://")):
        said["url"] = url
    return said


def read(path: Path, suffix: str, lenient: bool) -> Load:
    """Read a folder of two tables, or one table of events. Raises Refused with the line of the first fault."""
    notes: list[str] = []
    if path.is_dir():
        items_file, events_file = (_find(path, name, suffix) for name in ("items", "events"))
        if items_file is None and events_file is None:
            raise Refused(f"{path} holds neither items nor events ({suffix})", field="path",
                          hint=f"name them items{suffix} and events{suffix}")  # fmt: skip
    else:
        items_file, events_file = None, path
    items = list(_items(items_file, lenient, notes)) if items_file else []
    deeds = _deeds(events_file, lenient, notes) if events_file else []
    return finish(items, deeds, notes, path.name)


def _find(folder: Path, name: str, suffix: str) -> Path | None:
    wanted = [".parquet"] if suffix == ".parquet" else [s for s in SUFFIXES if s != ".parquet"]
    return next((p for s in wanted if (p := folder / f"{name}{s}").exists()), None)


def _items(path: Path, lenient: bool, notes: list[str]) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    left_out = 0
    for line, row in rows(path, ("item",)):
        try:
            if not row["item"]:
                raise ValueError("`item` is empty")
            if row["item"] in seen:
                raise ValueError(f"`{row['item']}` stands in the file twice")
            seen.add(row["item"])
            tags = row.get("tags", "").split("|")
            yield item_of(row["item"], tags, creator=row.get("creator", ""), caption=row.get("caption", ""),
                          duration_ms=millis(row.get("duration_ms", "")), url=row.get("url", ""))  # fmt: skip
        except (ValueError, OverflowError) as e:
            if not lenient:
                raise fault(path.name, line, str(e), "--lenient leaves such rows out") from e
            left_out += 1
    if left_out:
        notes.append(f"{counted(left_out, 'row', 'rows')} of {path.name} could not be read or stood there twice")


def _deeds(path: Path, lenient: bool, notes: list[str]) -> list[Deed]:
    found: list[Deed] = []
    seen: set[tuple[int, str, str, str]] = set()
    left_out = 0
    for line, row in rows(path, ("viewer", "item", "time")):
        try:
            deed = _deed(row)
            key = deed[:4]
            if key in seen:
                raise ValueError(f"{deed.kind} of `{deed.item}` by `{deed.viewer}` at this time stands there twice")
            if found and deed.stamp < found[-1].stamp and not lenient:
                raise ValueError("its time is before that of the line above")
            seen.add(key)
            found.append(deed)
        except ValueError as e:
            if not lenient:
                raise fault(path.name, line, str(e), "--lenient sorts, and leaves out what cannot be used") from e
            left_out += 1
    if left_out:
        notes.append(f"{counted(left_out, 'row', 'rows')} of {path.name} could not be read or stood there twice")
    return found


def _deed(row: Row) -> Deed:
    kind = row.get("kind", "") or ("view" if row.get("dwell_ms") else "long")
    if kind not in KINDS:
        raise ValueError(f"`kind` is `{kind[:40]}`, not one of {', '.join(KINDS)}")
    for name in ("viewer", "item"):
        if not row[name]:
            raise ValueError(f"`{name}` is empty")
    numbers: dict[str, int] = {}
    for name, parse in (("time", stamp_of), ("dwell_ms", millis), ("duration_ms", millis)):
        try:
            numbers[name] = parse(row.get(name, ""))
        except (ValueError, OverflowError) as e:
            raise ValueError(f"`{name}` is `{row.get(name, '')[:40]}`, which is not one") from e
    dwell_ms = numbers["dwell_ms"] if row.get("dwell_ms") else -1
    return Deed(numbers["time"], row["viewer"], row["item"], kind, dwell_ms, numbers["duration_ms"])
