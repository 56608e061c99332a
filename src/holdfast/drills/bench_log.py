"""How fast is raw JetStream with the very blocks that a keeper sealed? The yardstick of `holdfast bench ingest`.

Same blocks, same `sync_interval: always`, same number in flight, the server on the same core: what remains of the gap
is what Holdfast adds (HTTP, decoding, the door, sealing, signatures, folding).
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections import deque
from pathlib import Path

from holdfast.adapters import natsconf, system
from holdfast.adapters.home import Home
from holdfast.adapters.log import LogClient
from holdfast.adapters.log_streams import Published, Streams
from holdfast.adapters.signing import load_keys, make_keys
from holdfast.core.chain import unseal
from holdfast.core.errors import Degraded
from holdfast.core.log.continuity import Key
from holdfast.core.topology import Region, Topology, resolve
from holdfast.region.keeper_write import DEPTH

KEY = Key("personal/bench", "raw")


def _serve(conf: str, core: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [natsconf.find_server(), "-c", conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509
    )  # fmt: skip


async def raw(messages: list[bytes], seconds: float, core: int = 0) -> dict[str, float]:
    """Publish sealed blocks, again and again, DEPTH in flight, for `seconds`.

    Returns `entries_per_s`, `blocks_per_s`, `mb_per_s` acknowledged after fsync. The server is pinned to `core`.
    """
    root = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    top = resolve(
        Topology(regions=[Region(name="bench", jurisdiction="US")], rtt_ms=0.0),
        system.free_base("127.0.0.1", 60),
    )
    home = Home(root)
    home.save(top)
    make_keys(home, top)
    server = _serve(str(natsconf.write(home, top, load_keys(home, "bench"))), core)
    try:
        client = await LogClient.open(home, "bench")
        streams = Streams(client.wire)
        await streams.create(KEY)
        entries = [len(unseal(m).entries) for m in messages]
        flying: deque[asyncio.Task[Published]] = deque()
        done = size = n = 0
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if len(flying) >= DEPTH:
                if not (await flying.popleft()).stored:
                    raise Degraded("raw JetStream refused a block")
                done += entries[(n - DEPTH) % len(messages)]
                size += len(messages[(n - DEPTH) % len(messages)])
            n += 1
            flying.append(asyncio.create_task(streams.publish(KEY, n, messages[(n - 1) % len(messages)], f"{n}")))
        took = time.monotonic() - began
        await asyncio.gather(*flying)
        await client.close()
        return {"entries_per_s": done / took, "blocks_per_s": n / took, "mb_per_s": size / took / 1e6}
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(root, ignore_errors=True)
