"""The map: which regions there are, under which law, and where each listens.

A topology file is TOML:

    rtt_ms = 70
    [[region]]
    name = "us-east"
    jurisdiction = "US"

`resolve` gives every region its ports; `adapters.home` keeps the result as `DIR/topology.json`, which every process
reads.
"""

import re
import tomllib

import msgspec

from holdfast.core.classes import Class, may_hold
from holdfast.core.errors import Refused

VERSION = 1
NAME = re.compile(r"^[a-z][a-z0-9-]{0,30}$")
REGIONS_MAX = 16
RTT_MS_MAX = 2000.0
PORT_MAX = 65_535
TAIL_BYTES = 64 * 1024 * 1024
TAIL_BYTES_MIN, TAIL_BYTES_MAX = 1024, 4 * 1024**3  # below it no block has room; a log server is to stay small
TENANT_ITEMS = 200_000  # items of one team: a fifth of what a node keeps in memory (catalogue.ITEMS_MAX)


class Region(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One failure domain. `http_port` serves viewers, `nats_port` is the log server; `nats` is an external NATS URL."""

    name: str
    jurisdiction: str
    host: str = "127.0.0.1"
    http_port: int = 0
    nats_port: int = 0
    nats: str = ""

    @property
    def url(self) -> str:
        """Address of the region's node, for viewers."""
        return f"http://{self.host}:{self.http_port}"


class Topology(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All regions. `links["a>b"]`: port on which a reaches b's log server, delayed by rtt_ms/2 each way."""

    version: int = VERSION
    rtt_ms: float = 70.0
    port: int = 8400  # the control room; regions follow at port+1, port+2, …
    host: str = "127.0.0.1"
    regions: list[Region] = []
    links: dict[str, int] = {}
    tail_bytes: int = TAIL_BYTES  # a chain's tail in the log server; older blocks close into segments
    tenant_items: int = TENANT_ITEMS

    def region(self, name: str) -> Region:
        """Return the region called `name`. Raises Refused if there is none."""
        for region in self.regions:
            if region.name == name:
                return region
        names = ", ".join(r.name for r in self.regions)
        raise Refused(f"no region is called `{name}`", field="region", hint=f"the regions are: {names}")

    def peers(self, name: str, cls: Class = Class.PUBLIC) -> list[Region]:
        """Return the other regions that may hold the chains of `cls` that begin in `name`."""
        here = self.region(name)
        return [r for r in self.regions if r.name != name and may_hold(cls, here.jurisdiction, r.jurisdiction)]

    def holds(self, name: str) -> list[tuple[Class, str]]:
        """List (class, origin) of every chain that region `name` may hold, its own included, rulings first."""
        here = self.region(name).jurisdiction
        return [(c, r.name) for c in Class for r in self.regions if may_hold(c, r.jurisdiction, here)]

    def link_port(self, source: str, target: str) -> int:
        """Port on which `source` reaches the log server of `target` (the wide-area link if there is one)."""
        return self.links.get(f"{source}>{target}", self.region(target).nats_port)


DEFAULT = Topology(
    regions=[
        Region(name="us-east", jurisdiction="US"),
        Region(name="us-west", jurisdiction="US"),
        Region(name="eu-west", jurisdiction="EU"),
    ]
)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    region: list[Region]
    rtt_ms: float = 70.0
    port: int = 8400
    host: str = "127.0.0.1"
    tail_bytes: int = TAIL_BYTES
    tenant_items: int = TENANT_ITEMS


def parse_toml(text: str, name: str = "the file") -> Topology:
    """Read a topology from TOML text. Raises Refused, naming the mistake, on anything that is not one."""
    hint = "see `holdfast config` for the keys, or leave out --topology for the three default regions"
    try:
        file = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as e:
        raise Refused(f"{name} is not a topology: {e}", field="topology", hint=hint) from e
    top = Topology(rtt_ms=file.rtt_ms, port=file.port, host=file.host, regions=file.region, tail_bytes=file.tail_bytes,
                   tenant_items=file.tenant_items)  # fmt: skip
    check(top)
    return top


def check(top: Topology) -> None:
    """Raise Refused if the topology contradicts itself."""
    if top.version != VERSION:
        said = f"the topology has version {top.version}, this Holdfast reads {VERSION}"
        raise Refused(said, field="version", hint="use the Holdfast that wrote it")
    names = [r.name for r in top.regions]
    if not 1 <= len(names) <= REGIONS_MAX:
        raise Refused(f"a topology has 1 to {REGIONS_MAX} regions, this one {len(names)}", field="region")
    for region in top.regions:
        if not NAME.fullmatch(region.name):
            raise Refused(f"`{region.name}` is not a region name", field="name", hint="lower case, digits, hyphens")
        if names.count(region.name) > 1:
            raise Refused(f"two regions are called `{region.name}`", field="name", hint="give each its own")
        if not re.fullmatch(r"[A-Z]{2,8}", region.jurisdiction):
            raise Refused(f"`{region.jurisdiction}` is not a jurisdiction", field="jurisdiction", hint="for example US")
        if not (0 <= region.http_port <= PORT_MAX and 0 <= region.nats_port <= PORT_MAX):
            said = f"{region.name} has ports {region.http_port} and {region.nats_port}, they end at {PORT_MAX}"
            raise Refused(said, field="http_port", hint="leave them out: they follow the control room's")
    if not 0 <= top.rtt_ms <= RTT_MS_MAX:
        bad = f"rtt_ms is {top.rtt_ms}, it must lie in 0..{RTT_MS_MAX:.0f}"
        raise Refused(bad, field="rtt_ms", hint="70 by default")
    if not TAIL_BYTES_MIN <= top.tail_bytes <= TAIL_BYTES_MAX:
        said = f"tail_bytes is {top.tail_bytes}, it must lie in {TAIL_BYTES_MIN}..{TAIL_BYTES_MAX}"
        raise Refused(said, field="tail_bytes", hint=f"{TAIL_BYTES} by default")
    if top.tenant_items < 1:
        raise Refused(f"tenant_items is {top.tenant_items}, it counts from 1", field="tenant_items",
                      hint=f"{TENANT_ITEMS} by default")
    if not 1024 <= top.port <= 65000:
        raise Refused(f"port is {top.port}, it must lie in 1024..65000", field="port", hint="8400 by default")


def resolve(top: Topology, port: int | None = None) -> Topology:
    """Give each region and link its port: control room P, regions P+1…, log servers P+21…, links P+41…"""
    check(top)
    base = port or top.port
    regions = [
        msgspec.structs.replace(r, http_port=r.http_port or base + 1 + i, nats_port=r.nats_port or base + 21 + i)
        for i, r in enumerate(top.regions)
    ]
    links: dict[str, int] = {}
    if top.rtt_ms > 0:
        for a in regions:
            for b in regions:
                if a.name != b.name:
                    links[f"{a.name}>{b.name}"] = base + 41 + len(links)
    return msgspec.structs.replace(top, port=base, regions=regions, links=links)
