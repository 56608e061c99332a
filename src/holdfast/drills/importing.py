"""`holdfast import`: a data set into a running platform, through the same API that any team uses, with a team's key.

Items first, then what viewers did, oldest first. What was sent is noted after every request in a small file, so an
import that was stopped goes on where it was. The note is only there to save work: a viewer's events are numbered from
the moment the import first began, so what is sent twice counts once.
"""

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from holdfast.client import Calls, Team, discover
from holdfast.core.errors import Degraded, Refused
from holdfast.drills import importing_sets, importing_tables
from holdfast.drills.importing_records import Fit, Load, entries, fit

ITEMS_PER_REQUEST = 500
EVENTS_PER_REQUEST = 1000
TRIES = 60  # a region that restarts is back within seconds; a second is waited between two tries
FORMATS = ("kuairand", "movielens", "csv", "parquet", "gorse")
Progress = Callable[[str, int, int], None]  # what, done, of


@dataclass(slots=True)
class Note:
    """How far an import is. `begun_us`: when it first began, also what its events are numbered from."""

    begun_us: int
    items: int = 0
    deeds: int = 0
    verdicts: dict[str, int] = field(default_factory=dict[str, int])


def read(kind: str, path: Path, lenient: bool = False, types: dict[str, str] | None = None) -> Load:
    """Read a data set of one of FORMATS. Raises Refused, with the line of a fault."""
    if not path.exists():
        raise Refused(f"{path} is not there", field="path")
    match kind:
        case "kuairand":
            return importing_sets.read_kuairand(path)
        case "movielens":
            return importing_sets.read_movielens(path)
        case "gorse":
            return importing_sets.read_gorse(path, types or {})
        case "csv" | "parquet":
            return importing_tables.read(path, ".parquet" if kind == "parquet" else ".csv", lenient)
        case _:
            raise Refused(f"`{kind}` is not a format", field="kind", hint=", ".join(FORMATS))


def about(load: Load) -> dict[str, Any]:
    """Return what a load holds, for people."""
    kinds = Counter(deed.kind for deed in load.deeds)
    _, moved = fit(load.deeds, time.time_ns() // 1000)
    return {
        "items": len(load.items), "viewers": len({deed.viewer for deed in load.deeds}), "events": len(load.deeds),
        "kinds": dict(kinds.most_common()), "notes": load.notes + ([moved] if moved else []),
    }  # fmt: skip


async def run(load: Load, url: str, key: str, note: Path, progress: Progress) -> dict[str, Any]:
    """Send a load to the platform at `url`; return figures. Raises Refused (key, an entry), Degraded (none answers)."""
    state = _resume(note)
    begun_s = time.monotonic()
    async with Calls() as calls:
        places = await discover([url], calls)
        law = next((p.jurisdiction for p in places if p.url.rstrip("/") == url.rstrip("/")), places[0].jurisdiction)
        team = Team(places, law, key, calls=calls)
        while state.items < len(load.items):
            batch = load.items[state.items : state.items + ITEMS_PER_REQUEST]
            answer = await _again(lambda batch=batch: team.put_items(batch))
            tally = Counter(line["verdict"] for line in answer["items"]) + Counter(state.verdicts)
            state.items, state.verdicts = state.items + len(batch), dict(tally)
            _keep(note, state)
            progress("items", state.items, len(load.items))
        sent = await _send(load, state, team, note, progress)
    took_s = time.monotonic() - begun_s
    return {
        **about(load), "verdicts": state.verdicts, "sent": sent, "seconds": round(took_s, 1),
        "events_per_s": round(sent / took_s) if took_s else 0,
    }  # fmt: skip


async def _send(load: Load, state: Note, team: Team, note: Path, progress: Progress) -> int:
    """Send what viewers did from where the note says; return how many entries went."""
    move, _ = fit(load.deeds, state.begun_us)
    numbers: dict[str, int] = {}
    batch: list[dict[str, Any]] = []
    sent = done = 0
    for deed in load.deeds:
        first = numbers.get(deed.viewer, state.begun_us)
        made = entries(deed, first, _moved(move, deed.stamp))
        numbers[deed.viewer] = first + len(made)
        done += 1
        if done <= state.deeds:  # sent before the stop; its numbers are used
            continue
        batch += made
        if len(batch) > EVENTS_PER_REQUEST - 2:  # a deed makes two at most
            sent += await _flush(batch, team)
            state.deeds, batch = done, []
            _keep(note, state)
            progress("events", done, len(load.deeds))
    if batch:
        sent += await _flush(batch, team)
    state.deeds = done
    _keep(note, state)
    progress("events", done, len(load.deeds))
    return sent


def _moved(move: Fit, stamp: int) -> int:
    return move(stamp)


async def _flush(batch: list[dict[str, Any]], team: Team) -> int:
    await _again(lambda: team.events(batch))
    return len(batch)


async def _again(ask: Callable[[], Any]) -> Any:
    """Ask until a region answers; entries are numbered, so asking twice is harmless. Raises Degraded in the end."""
    for _ in range(TRIES - 1):
        try:
            return await ask()
        except Degraded as e:
            await asyncio.sleep(max(1.0, e.retry_after_s))
    return await ask()


def note_for(kind: str, path: Path, url: str, key: str) -> Path:
    """Return where an import notes how far it is: one file in the working directory per source, place and key."""
    ident = "\n".join((kind, str(path.resolve()), url, key.split("_")[1] if key.count("_") == 2 else key))
    return Path(f"holdfast-import-{hashlib.sha256(ident.encode()).hexdigest()[:12]}.json")


def _resume(path: Path) -> Note:
    try:
        return Note(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Note(time.time_ns() // 1000)
    except (OSError, ValueError, TypeError) as e:
        raise Refused(f"{path} does not read: {e}", field="note", hint="delete it to begin anew") from e


def _keep(path: Path, state: Note) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(state)))
    part.replace(path)
