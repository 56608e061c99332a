"""The processes there are: one table of roles, what each runs and how politely.

`region` roles run once per region, `wan` once per installation. A role's module is imported only when it runs, so that
a keeper never pays for PyAV. The log server is not ours; its line is here so that the table is whole.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from holdfast.adapters import natsconf
from holdfast.adapters.home import Home
from holdfast.adapters.signing import load_keys
from holdfast.core.errors import Refused
from holdfast.core.topology import Topology


class Role(NamedTuple):
    """`module` has `main(region, home)` (or `main(home)` for installation roles); `nice` as in nice(1)."""

    name: str
    module: str
    nice: int
    what: str


ROLES: tuple[Role, ...] = (
    Role("log", "", 0, "the log server (nats-server): chains' tails, fsynced"),
    Role("keeper", "holdfast.region.keeper", 0, "seals, carries, restores, scrubs: the only writer of the log"),
    Role("node", "holdfast.region.node", 0, "serves viewers: feed, events, video, status"),
    Role("learner", "holdfast.region.learner", 10, "learns from chains, releases models"),
    Role("transcoder", "holdfast.region.transcoder", 10, "checks and transcodes uploads, fetches blobs of others"),
)
WAN = Role("wan", "holdfast.region.wan", 0, "delays the links between regions by rtt_ms")
NAMES = tuple(role.name for role in ROLES)

ENV = {  # one thread each for numpy's BLAS: thirteen processes share two cores
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",  # and one for JAX
}  # fmt: skip


def role_named(name: str) -> Role:
    """Return a role of the table. Raises Refused if there is none."""
    for role in (*ROLES, WAN):
        if role.name == name:
            return role
    raise Refused(f"no role is called `{name}`", field="role", hint=f"roles: {', '.join((*NAMES, WAN.name))}")


def command(role: Role, region: str, home: Home, top: Topology) -> list[str]:
    """The command line that runs a role."""
    if role.name == "log":
        return [natsconf.find_server(), "-c", str(natsconf.write(home, top, load_keys(home, region)))]
    place = ["--region", region] if region else []
    return [sys.executable, "-m", "holdfast.cli.main", "run", role.name, *place, "--dir", str(home.root)]


def run(role: Role, region: str, home: Home) -> None:
    """Run a role in this process until it ends."""
    if not role.module:
        raise Refused("the log server is started by `holdfast up`", field="role", hint="nats-server -c server.conf")
    main: Callable[..., None] = import_module(role.module).main
    if role is WAN:
        main(home)
    else:
        home.load().region(region)  # a region we do not know is the caller's mistake, said plainly
        main(region, home)
