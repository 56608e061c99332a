"""The network between viewers and regions: a process with a port for each region, and weather on each.

Same relays as between regions (`region/wan.py`), same file of weather; links are called `viewers>us-east`. Run as
`python -m holdfast.drills.proxy DIR` by a drill, which has written `DIR/viewers.json` first.
"""

import sys
from pathlib import Path

import msgspec

from holdfast.adapters.home import Home
from holdfast.core.topology import Topology
from holdfast.region.wan import Link, relay

FILE = "viewers.json"
PORT_OFFSET = 50  # from the control room's port: behind the regions, log servers and six links


class Door(msgspec.Struct):
    """Where viewers of a region come in, and where that leads."""

    name: str
    host: str
    port: int
    target: int


def doors(top: Topology) -> dict[str, Door]:
    """A door for each region, by the region's name."""
    return {
        r.name: Door(f"viewers>{r.name}", r.host, top.port + PORT_OFFSET + k, r.http_port)
        for k, r in enumerate(top.regions)
    }  # fmt: skip


def main(root: Path) -> None:
    """Relay until SIGTERM."""
    listed = msgspec.json.decode((root / FILE).read_bytes(), type=list[Door])
    links = [Link(d.name, (d.host, d.port), (d.host, d.target), 0.0) for d in listed]
    relay(links, Home(root).weather_file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
