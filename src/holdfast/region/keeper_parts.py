"""What a keeper is given besides its own code: the way to log servers, its keys, its disk, clocks and chance.

The real ones are made here. A simulated world gives its own, and runs the very same keeper.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from holdfast.adapters import log_files
from holdfast.adapters.around import HERE, Around
from holdfast.adapters.disk import DISK, Disk
from holdfast.adapters.home import Home
from holdfast.adapters.log import LogClient
from holdfast.adapters.signing import Signer, Verifier, load_keys, load_public, unb64
from holdfast.core.chain import Sign, Verify
from holdfast.region.keeper_salvage import LogFiles


@dataclass(frozen=True, slots=True)
class Parts:
    """`connect(peer)`: a connection to a peer's log server, with "" to one's own; `verifiers`: by region.

    `stuck()`: tell whoever runs the log server that it stores nothing any more, though its disk would.
    """

    connect: Callable[[str], Awaitable[LogClient]]
    sign: Sign
    verifiers: dict[str, Verify]
    disk: Disk = DISK
    log_files: LogFiles = log_files
    around: Around = HERE
    stuck: Callable[[], None] = lambda: None

    @classmethod
    def real(cls, home: Home, region: str) -> "Parts":
        """Read the keys and speak to real servers."""
        public = load_public(home)
        known = {r.name: public.block[r.name] for r in home.load().regions if r.name in public.block}

        def connect(peer: str) -> Awaitable[LogClient]:
            return LogClient.open(home, region, peer, "keeper")

        return cls(
            connect, Signer(unb64(load_keys(home, region).block_seed)).sign,
            {name: Verifier(unb64(key)).verify for name, key in known.items()},
            stuck=lambda: print(json.dumps({"stuck": "log", "region": region}), flush=True),  # noqa: T201
        )  # fmt: skip
