"""The log server's message files and the copies of them: `adapters.log_files` for a simulated server."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from holdfast.adapters.log_files import BEFORE, COPIES_MAX, DAMAGED, SALVAGED, STREAMS
from holdfast.sim.server import LogServer

Files = dict[str, dict[int, bytes]]  # stream → number of file → bytes


@dataclass(slots=True)
class Aside:
    """`copies`: by the name of their folder."""

    server: LogServer
    store: Path
    copies: dict[str, Files] = field(default_factory=dict[str, Files])
    made: int = 0

    def _now(self, only: str = STREAMS) -> Files:
        streams = self.server.streams.all
        return {n: files for n, s in streams.items() if fnmatchcase(n, only) and (files := s.files())}

    def keep_before(self, store: Path, only: str = STREAMS) -> Path | None:
        """Copy the message files of the store, or of one stream, as they are now."""
        files = self._now(only)
        kept = [n for n in sorted(self.copies) if n.startswith(BEFORE)]
        if not files or (kept and all(self.copies[kept[-1]].get(n) == f for n, f in files.items())):
            return None
        self.made += 1
        name = f"{BEFORE}{self.made:020d}"
        self.copies[name] = files
        for old in kept[1:][: max(0, len(kept) + 1 - COPIES_MAX)]:
            del self.copies[old]
        return store.parent / name

    def set_aside(self, region: Path, *kinds: str) -> list[Path]:
        """What lies aside, oldest first."""
        wanted = kinds or (BEFORE, DAMAGED)
        return [region / n for n in sorted(self.copies) if n.startswith(wanted)]

    def put_away(self, places: list[Path]) -> None:
        """Remove what has been searched."""
        for place in places:
            files = self.copies.pop(place.name, None)
            if files is not None and place.name.startswith(DAMAGED):
                self.copies[SALVAGED + place.name.removeprefix(DAMAGED)] = files

    def message_files(self, place: Path) -> Iterator[tuple[str, Path]]:
        """Every message file below `place`, with the name of its stream."""
        files = self._now() if place == self.store else self.copies.get(place.name, {})
        for stream, parts in sorted(files.items()):
            yield from ((stream, place / stream / f"{k}.blk") for k in sorted(parts))

    def read(self, path: Path) -> bytes:
        """The bytes of a message file, nothing if it is gone."""
        place = path.parent.parent
        files = self._now() if place == self.store else self.copies.get(place.name, {})
        return files.get(path.parent.name, {}).get(int(path.stem), b"")
