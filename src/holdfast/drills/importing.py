"""`holdfast import`: a data set into a running platform, through the same API that any team uses, with a team's key.

Items first, then what viewers did, oldest first. What was sent is noted at every request in a small file, so an import
that was stopped goes on where it was. A viewer's events are numbered by their place, from the moment the import first
began: what is sent twice counts once, but another event in that place would be taken for the first and lost. So the
note also holds a hash of all that was numbered. Where the data no longer begins with that, items are sent again whole
(the newest wins) and events are refused. Numbers made of an event's content would survive the change, but leave a gap
after each, and what a region remembers of a viewer's numbers (`core.merge.IntervalSet`) would grow with every event.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

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
    """How far an import is. `begun_us`: when it first began, also what its events are numbered from.

    `items`, `deeds`: how many were acknowledged; `numbered`: deeds that were sent, acknowledged or not. `items_sha` is
    the hash of the items acknowledged, `deeds_sha` of the deeds numbered.
    """

    begun_us: int
    items: int = 0
    items_sha: str = ""
    deeds: int = 0
    numbered: int = 0
    deeds_sha: str = ""
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


async def run(load: Load, urls: Sequence[str], key: str, note: Path, progress: Progress) -> dict[str, Any]:
    """Send a load to the platform of which `urls` are regions, by preference; return figures.

    Raises Refused (the key, an entry, other events than those sent before), Degraded (none answers).
    """
    state = _resume(note)
    items_sha, deeds_sha = _sha(load.items[: state.items]), _sha(load.deeds[: state.numbered])
    if state.numbered and deeds_sha.hexdigest() != state.deeds_sha:
        raise _changed(state, note)
    if state.items and items_sha.hexdigest() != state.items_sha:
        state.items, state.verdicts, items_sha = 0, {}, _sha(())
    begun_s = time.monotonic()
    async with Calls() as calls:
        places = await discover(urls, calls)
        near = urls[0].rstrip("/")
        law = next((p.jurisdiction for p in places if p.url.rstrip("/") == near), places[0].jurisdiction)
        team = Team(places, law, key, calls=calls)
        while state.items < len(load.items):
            batch = load.items[state.items : state.items + ITEMS_PER_REQUEST]
            answer = await _again(lambda batch=batch: team.put_items(batch))
            tally = Counter(line["verdict"] for line in answer["items"]) + Counter(state.verdicts)
            state.items, state.verdicts = state.items + len(batch), dict(tally)
            state.items_sha = _sha(batch, items_sha).hexdigest()
            _keep(note, state)
            progress("items", state.items, len(load.items))
        sent = await _send(load, state, team, note, progress, deeds_sha)
    took_s = time.monotonic() - begun_s
    return {
        **about(load), "verdicts": state.verdicts, "sent": sent, "seconds": round(took_s, 1),
        "events_per_s": round(sent / took_s) if took_s else 0,
    }  # fmt: skip


def _sha(rows: Iterable[object], on: Any = None) -> Any:
    """Return a running hash of rows; `on` is one to go on with."""
    sha = hashlib.sha256() if on is None else on
    for row in rows:
        sha.update(repr(row).encode() + b"\n")
    return sha


def _changed(state: Note, note: Path) -> Refused:
    return Refused(
        f"the data no longer begins with the {state.numbered:,} events sent before ({note}): events were put before "
        "them, changed or taken away; nothing was sent",
        field="note", hint="import what is new from a file of its own; to go on with this one, have it as it was, with "
        "the same --map, --lenient and --limit",
    )  # fmt: skip


async def _send(load: Load, state: Note, team: Team, note: Path, progress: Progress, sha: Any) -> int:
    """Send what viewers did from where the note says; return how many entries went."""
    move, _ = fit(load.deeds, state.begun_us)
    numbers: dict[str, int] = {}
    batch: list[dict[str, Any]] = []
    sent = done = 0

    async def flush() -> int:
        if done > state.numbered:  # noted before it is sent: a stop in between must not leave these numbers to others
            state.deeds_sha = _sha(load.deeds[state.numbered : done], sha).hexdigest()
            state.numbered = done
            _keep(note, state)
        await _again(lambda: team.events(batch))
        state.deeds = done
        _keep(note, state)
        progress("events", done, len(load.deeds))
        return len(batch)

    for deed in load.deeds:
        first = numbers.get(deed.viewer, state.begun_us)
        made = entries(deed, first, _moved(move, deed.stamp))
        numbers[deed.viewer] = first + len(made)
        done += 1
        if done <= state.deeds:  # sent before the stop; its numbers are used
            continue
        batch += made
        if len(batch) > EVENTS_PER_REQUEST - 2:  # a deed makes two at most
            sent += await flush()
            batch = []
    if batch:
        sent += await flush()
    else:
        progress("events", done, len(load.deeds))
    return sent


def _moved(move: Fit, stamp: int) -> int:
    return move(stamp)


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
        return msgspec.json.decode(path.read_bytes(), type=Note)
    except FileNotFoundError:
        return Note(time.time_ns() // 1000)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as e:
        raise Refused(f"{path} does not read: {e}", field="note", hint="delete it to begin anew") from e


def _keep(path: Path, state: Note) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(state))
    part.replace(path)
