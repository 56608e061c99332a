"""JetStream as it really answers: late, and with streams of others beside ours."""

import asyncio
import json
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "region"))
from keeper_world import World

from holdfast.adapters.log_streams import Streams
from holdfast.core.log.continuity import Key
from patience import SLOW

KEY = Key("personal/eu-west", "0123456789ab")


def test_a_server_that_was_only_slow_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, eu_west="EU") as w:
            w.start_nats("eu-west")
            client = await w.client("eu-west")
            streams = Streams(client.wire)
            await streams.create(KEY)
            for n in range(1, 6):
                assert (await streams.publish(KEY, n, b"block %d" % n, str(n))).stored
            w.nats["eu-west"].send_signal(signal.SIGSTOP)
            asyncio.get_running_loop().call_later(1.6, w.nats["eu-west"].send_signal, signal.SIGCONT)
            assert [n for n, _ in await streams.read(KEY, 1, 5)] == [1, 2, 3, 4, 5]
            assert await streams.read(KEY, 6, 7) == []
            await client.close()

    asyncio.run(run())


def test_streams_of_others_on_the_same_server_do_not_hold_us_up(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, eu_west="EU") as w:
            w.start_nats("eu-west")
            client = await w.client("eu-west")
            streams = Streams(client.wire)
            await streams.create(KEY)
            other = json.dumps({"name": "KV_somebody", "subjects": ["theirs.>"], "storage": "file"}).encode()
            await client.wire.request("$JS.API.STREAM.CREATE.KV_somebody", other, 2.0)
            async with asyncio.timeout(5 * SLOW):
                assert list(await streams.names()) == [KEY]
            await client.close()

    asyncio.run(run())
