"""Where everything of one installation lies on disk.

    DIR/topology.json        the resolved map, read by every process
    DIR/keys/                secrets, outside every data directory
    DIR/regions/NAME/        one region's data: nats/ blobs/ tables.sqlite held.json uploads/ logs/
                             (nats.before-…, nats.damaged-…, nats.salvaged-…: see log_files)
    DIR/drill.json           while a drill runs here: which, and until when at the latest
    DIR/weather.json         what a drill does to the links (region/wan.py)

Losing (or deleting) a region's data directory does not lose its identity: its keys lie elsewhere, its peers hold its
chains.
"""

from pathlib import Path

import msgspec

from holdfast.adapters.system import make_folder, write_whole
from holdfast.core.errors import Refused
from holdfast.core.topology import Topology, check


class Drill(msgspec.Struct, frozen=True):
    """The mark of a drill: everything that is said while it runs says so. Stamps in microseconds since 1970."""

    name: str
    since: int
    until: int  # a drill that was killed does not mark for ever


class Home:
    """The directory of one installation."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def topology_file(self) -> Path:
        return self.root / "topology.json"

    @property
    def weather_file(self) -> Path:
        return self.root / "weather.json"

    @property
    def drill_file(self) -> Path:
        return self.root / "drill.json"

    def drill(self, now_us: int) -> Drill | None:
        """The drill that runs here now, if one does."""
        try:
            mark = msgspec.json.decode(self.drill_file.read_bytes(), type=Drill)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # damaged: no mark, and no harm
            return None
        return mark if now_us < mark.until else None

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    def region(self, name: str) -> Path:
        """The data directory of one region: losing it is what `restore` and the peers are for."""
        return self.root / "regions" / name

    def load(self) -> Topology:
        """Read the resolved topology. Raises Refused if there is none, or none that could run."""
        try:
            top = msgspec.json.decode(self.topology_file.read_bytes(), type=Topology)
        except OSError as e:
            raise Refused(f"no Holdfast lives in {self.root}", field="dir", hint="start one: holdfast up") from e
        except msgspec.MsgspecError as e:
            raise Refused(f"{self.topology_file} is damaged: {e}", field="dir", hint="delete it and start again") from e
        check(top)  # names become directories: what was edited by hand is not believed
        return top

    def save(self, top: Topology) -> None:
        """Write the resolved topology, atomically."""
        make_folder(self.root)
        write_whole(self.topology_file, msgspec.json.format(msgspec.json.encode(top), indent=2))
