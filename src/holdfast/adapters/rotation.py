"""New passwords for a region's log server and for its way into its peers': what to do when one may have leaked.

The keys that sign blocks and tokens are not touched: chains stay verifiable and tokens valid. Passwords are written
for both sides of every pair; processes read them when they start, so a rotation holds from the next start.
"""

import secrets

from holdfast.adapters.home import Home
from holdfast.adapters.signing import b64, load_keys, make_keys, write_keys
from holdfast.core.topology import Topology


def rotate_passwords(home: Home, top: Topology, region: str) -> None:
    """Forget every password of `region`, then let `make_keys` fill what is missing. Raises Refused on missing keys."""
    for place in top.regions:
        keys = load_keys(home, place.name)
        if place.name == region:
            keys.nats_local, keys.peers, keys.accepts = b64(secrets.token_bytes(32)), {}, {}
        else:
            keys.peers.pop(region, None)
            keys.accepts.pop(region, None)
        write_keys(home, keys)
    make_keys(home, top)
