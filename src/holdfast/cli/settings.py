"""`holdfast config`: every setting, where it is set, and what it does. One table; docs/config.md is printed from it.

A tunable that nobody changes is a commented constant in the code, not a setting. What is here differs between
deployments.
"""

from typing import NamedTuple

from holdfast.cli import words


class Setting(NamedTuple):
    """One row. `where`: topology file key or option of `holdfast up`."""

    name: str
    where: str
    default: str
    what: str


TABLE: tuple[Setting, ...] = (
    Setting("rtt_ms", "topology file", "70", "time to another region and back, milliseconds; 0: no delay is added"),
    Setting("port", "topology file, --port", "8400",
            "the control room; regions serve viewers at port+1…, log servers at port+21…, links at port+41…"),
    Setting("host", "topology file", "127.0.0.1", "address of the control room and the links"),
    Setting("tail_bytes", "topology file", "67108864",
            "a chain's tail in the log server, bytes; older blocks close into segment files"),
    Setting("tenant_items", "topology file", "200000", "items that one team may have in a catalogue of its own"),
    Setting("region.name", "topology file", "us-east, us-west, eu-west", "lower case, digits, hyphens"),
    Setting("region.jurisdiction", "topology file", "US, US, EU", "2–8 capitals; personal data stays within it"),
    Setting("region.host", "topology file", "127.0.0.1", "address the region listens on"),
    Setting("region.http_port", "topology file", "port+1…", "viewers of the region"),
    Setting("region.nats_port", "topology file", "port+21…", "log server of the region"),
    Setting("region.nats", "topology file, --nats", "none", "URL of an existing NATS server to use as its log"),
    Setting("dir", "--dir", "holdfast-data", "where the installation lives: map, keys, one directory per region"),
    Setting("clips", "--clips", "none", "a directory of videos with manifest.csv to publish on the first start"),
    Setting("clips-count", "--clips-count", "240", "how many clips to draw on the first start"),
    Setting("audience", "--audience", "100", "synthetic viewers that watch through the public API"),
    Setting("demo", "--demo, --no-demo", "on loopback", "the control room with its power switches"),
)  # fmt: skip


def show(json: bool) -> None:
    """Print the table."""
    if json:
        words.as_json({row.name: row._asdict() for row in TABLE})
    else:
        words.table("", ["setting", "where", "default", "what"], TABLE)


def markdown() -> str:
    """The table as docs/config.md has it."""
    rows = [f"| `{r.name}` | {r.where} | {r.default} | {r.what} |" for r in TABLE]
    return "\n".join(["| setting | where | default | what |", "|---|---|---|---|", *rows])
