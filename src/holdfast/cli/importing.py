"""`holdfast import`: the door to `holdfast.drills.importing`, with a progress bar."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from holdfast.core.errors import Refused

if TYPE_CHECKING:
    from holdfast.drills.importing_records import Load

Json = Annotated[bool, Parameter(name="--json", negative=(), help="print one JSON object as the last line")]
Dir = Annotated[Path, Parameter(name="--dir", help="where this installation lives")]
DIR = Path("holdfast-data")


def bring(
    kind: Literal["kuairand", "movielens", "csv", "parquet", "gorse"], path: Path, *, key: str = "", dir: Dir = DIR,
    url: str = "", map: str = "", lenient: bool = False, limit: int | None = None, note: Path | None = None,
    dry_run: bool = False, json: Json = False,
) -> None:  # fmt: skip
    """Bring a data set into a running platform, by a team's API key; an import that was stopped goes on.

    Parameters
    ----------
    kind
        what PATH is; `csv` and `parquet` are a folder with `items` and `events`, or events alone.
    key
        a team's API key with scopes `items` and `events`.
    url
        any region of a platform (default: the regions of this installation).
    map
        what Gorse's feedback types mean, as `star=like,read=view`.
    lenient
        put rows of csv and parquet in order, and leave out those that cannot be used.
    limit
        the first so many events only.
    note
        where to note how far it is (default: a file in the working directory).
    dry_run
        read and check everything, send nothing.
    """
    import asyncio

    from holdfast.cli import words
    from holdfast.drills import importing

    load = importing.read(kind, path, lenient, read_map(map))
    if limit is not None:
        load.deeds = load.deeds[:limit]
    if dry_run:
        _show({"dry_run": True, **importing.about(load)}, json, "would be imported")
        return
    if not key:
        raise Refused("an import needs a team's key", field="key", hint="holdfast keys api make NAME items events feed")
    urls = [url] if url else _regions(dir)
    for line in importing.about(load)["notes"]:
        words.err.print(line, markup=False)
    where = note or importing.note_for(kind, path, urls[0], key)
    result = asyncio.run(_with_bar(load, urls, key, where))
    _show({**result, "note": str(where)}, json, "imported")


def _regions(root: Path) -> list[str]:
    from holdfast.adapters.home import Home

    home = Home(root.resolve())
    if not home.topology_file.exists():
        raise Refused(f"no Holdfast lives in {home.root}", field="dir", hint="say --dir DIR, or a region's --url URL")
    return [region.url for region in home.load().regions]


def _show(result: dict[str, Any], json: bool, title: str) -> None:
    from holdfast.cli import words

    words.show(result if json else {k: v for k, v in result.items() if v not in ([], {})}, json, title=title)


async def _with_bar(load: "Load", urls: list[str], key: str, note: Path) -> dict[str, Any]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from holdfast.cli import words
    from holdfast.drills import importing

    bar = Progress(TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(),
                   console=words.err)  # fmt: skip
    tasks: dict[str, TaskID] = {}

    def progress(what: str, done: int, of: int) -> None:
        if what not in tasks:
            bar.start()  # not before there is something to show: it ends with an empty line
            tasks[what] = bar.add_task(what, total=of)
        bar.update(tasks[what], completed=done)

    try:
        return await importing.run(load, urls, key, note, progress)
    finally:
        if tasks:
            bar.stop()


def read_map(text: str) -> dict[str, str]:
    """Read `star=like,read=view`. Raises Refused."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if any(not sep for _, sep, _ in pairs):
        raise Refused(f"`{text}` does not read", field="map", hint="--map star=like,read=view")
    return {name.strip(): kind.strip() for name, _, kind in pairs}
