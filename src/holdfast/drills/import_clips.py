"""Real clips from a folder: `manifest.csv` names them, one line each, and they go through the same front door.

Columns: `file` is needed; `caption`, `tags` (by spaces or commas), `category`, `creator` and `item` are used where they
are there, any other is left alone. A clip that is refused is named with the reason and the rest go on.
"""

import asyncio
import csv
import re
from collections.abc import Sequence
from pathlib import Path

from holdfast.core.errors import Refused
from holdfast.drills.publishing import Job, Progress, publish_all

TAGS_MAX = 12  # as many as a Publication holds
CLIPS_MAX = 100_000


def read_manifest(folder: Path) -> list[Job]:
    """Read `folder/manifest.csv`. Raises Refused, naming the line, if it is not one or a file is missing."""
    path = folder / "manifest.csv"
    hint = "one line per clip, with a head line: file,caption,tags"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except FileNotFoundError as e:
        raise Refused(f"{folder} has no manifest.csv", field="clips", hint=hint) from e
    except (OSError, csv.Error, UnicodeDecodeError) as e:
        raise Refused(f"{path} cannot be read: {e}", field="clips", hint=hint) from e
    if not rows or "file" not in rows[0] or len(rows) > CLIPS_MAX:
        raise Refused(f"{path} names no clips in a column `file`", field="clips", hint=hint)
    jobs: dict[str, Job] = {}
    for n, row in enumerate(rows, 2):
        source = folder / (row["file"] or "")
        if not source.is_file() or folder.resolve() not in source.resolve().parents:
            raise Refused(f"{path}, line {n}: there is no file `{row['file']}` in the folder", field="clips", hint=hint)
        job = _job(row, source)
        if job.item in jobs:
            raise Refused(f"{path}, line {n}: a second clip is called `{job.item}`", field="clips",
                          hint="name them apart in a column `item`")
        jobs[job.item] = job
    return list(jobs.values())


def _job(row: dict[str, str], source: Path) -> Job:
    category = (row.get("category") or "").strip().lower()
    tags = [category, *re.split(r"[\s,]+", (row.get("tags") or "").lower())]

    async def make() -> bytes:
        return await asyncio.to_thread(source.read_bytes)

    return Job(
        item=row.get("item") or _name(source.stem), creator=row.get("creator") or _name(category or "clips"),
        caption=(row.get("caption") or "").strip()[:500], tags=[t[:40] for t in dict.fromkeys(tags) if t][:TAGS_MAX],
        make=make,
    )


def _name(text: str) -> str:
    """Make an id of any text: what does not fit becomes a hyphen."""
    return re.sub(r"[^a-zA-Z0-9_.-]+", "-", text).strip("-._")[:64] or "clip"


async def publish(urls: Sequence[str], folder: Path, progress: Progress, key: str) -> dict[str, str]:
    """Publish the clips of a folder that are not there yet; `key`: API key with scope `items`. As `publish_all`."""
    return await publish_all(urls, read_manifest(folder), progress, key)
