"""Residency by permission: what a peer's account can do to a log server that holds what it may not see.

Each attack is also run against a naive configuration (the peer as a narrowly permitted user of the region's own
account), where it works: so these tests can fail.
"""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import nats
from nats import errors as nats_errors

sys.path.insert(0, str(Path(__file__).parents[1] / "region"))
from keeper_world import World, view

from holdfast.adapters import natsconf
from holdfast.adapters.log_streams import Extent, Streams, stream_name, subject_of
from holdfast.adapters.signing import load_keys
from holdfast.core import asks
from holdfast.core.classes import Class
from holdfast.core.log.continuity import Key

P = Class.PERSONAL
MARKER = "marker-7f3a9c"
INBOX = "_INBOX_us-east"


async def intruder(w: World) -> nats.NATS:
    """us-east's own account at eu-west's log server, used with ill intent."""

    async def ignore(_: Exception) -> None:
        """Permission violations arrive here."""

    top = w.home.load()
    return await nats.connect(
        f"nats://127.0.0.1:{top.region('eu-west').nats_port}", user="us-east",
        password=load_keys(w.home, "us-east").peers["eu-west"], inbox_prefix=INBOX.encode(), error_cb=ignore,
    )  # fmt: skip


async def attack(nc: nats.NATS, key: Key) -> dict[str, bool]:
    """Try everything; return which questions got an answer that carries data."""
    got: dict[str, bool] = {}
    name, public = stream_name(key), "hf.ask.public.us-east"

    async def ask(what: str, subject: str, payload: bytes = b"") -> None:
        got[what] = False
        with contextlib.suppress(nats_errors.Error, TimeoutError, OSError):
            got[what] = bool((await nc.request(subject, payload, timeout=0.4)).data)

    follow = asks.encode(asks.Follow(have={}, wait_ms=0))
    await ask("personal as ourselves", "hf.ask.personal.us-east", follow)
    await ask("personal as local", "hf.ask.personal.local", follow)
    await ask("read a message", f"$JS.API.STREAM.MSG.GET.{name}", b'{"seq":1}')
    await ask("read directly", f"$JS.API.DIRECT.GET.{name}", b'{"seq":1}')
    await ask("list streams", "$JS.API.STREAM.NAMES")
    await ask("purge", f"$JS.API.STREAM.PURGE.{name}")
    await ask("delete", f"$JS.API.STREAM.DELETE.{name}")
    await ask("append", "hf.append.personal", b"\x91\x80")
    heard: list[bytes] = []

    async def hear(msg: object) -> None:
        heard.append(getattr(msg, "data"))  # noqa: B009

    for subject in (">", "hf.>", f"hf.log.personal.eu-west.{key.epoch}", "_INBOX.>"):
        with contextlib.suppress(nats_errors.Error):
            await nc.subscribe(subject, cb=hear)
    with contextlib.suppress(nats_errors.Error):
        await nc.publish(subject_of(key), b"injected")
    for reply in (
        f"$JS.API.STREAM.PURGE.{name}", f"$JS.API.STREAM.DELETE.{name}", subject_of(key), "hf.append.personal",
    ):  # fmt: skip
        with contextlib.suppress(nats_errors.Error):
            await nc.publish(public, asks.encode(asks.Heads()), reply=reply)
            await nc.publish(public, asks.encode(asks.BlobPart(sha="0" * 64)), reply=reply)
    with contextlib.suppress(nats_errors.Error, TimeoutError):
        await nc.flush(timeout=1)
    await asyncio.sleep(0.5)
    got["overheard"] = any(MARKER.encode() in data for data in heard)
    return got


async def planted(w: World) -> tuple[Key, Extent]:
    """EU personal entries with markers, and the stream that holds them."""
    eu = await w.client("eu-west")
    for k in range(1, 21):
        a = await eu.append(P, [view(k, item=MARKER, device="v-" + MARKER)])
    key = Key(a.chain, a.epoch)
    extent = await Streams(eu.wire).extent(key)
    await eu.close()
    assert extent is not None
    return key, extent


def test_a_peers_account_gets_nothing_and_changes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US", eu_west="EU") as w:
            await w.start()
            key, before = await planted(w)
            nc = await intruder(w)
            got = await attack(nc, key)
            assert not [what for what, answered in got.items() if answered]
            await nc.close()
            eu = await w.client("eu-west")
            assert await Streams(eu.wire).extent(key) == before
            assert (await eu.append(P, [view(99)])).n == before.last + 1, "the keeper goes on undisturbed"
            await eu.close()
            east = await w.client("us-east", peer="eu-west")
            assert (await east.heads(Class.PUBLIC)).chains is not None, "while what is permitted works"
            await east.close()
            await asyncio.sleep(1.0)
            for region in ("us-east", "us-west"):
                assert not marked(w.home.region(region)), region
            assert marked(w.home.region("eu-west")), "the markers are where they belong"

    asyncio.run(run())


def marked(folder: Path) -> list[Path]:
    """Files that contain the marker."""
    found: list[Path] = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a log server's files come and go
            found += [path] if path.is_file() and MARKER.encode() in path.read_bytes() else []
    return found


NAIVE = """
listen: "127.0.0.1:{port}"
max_payload: 8388608
jetstream {{ store_dir: "{store}", sync_interval: always }}
accounts {{ REGION: {{ jetstream: enabled, users: [
  {{user: local, password: "{local}"}}
  {{user: "us-east", password: "{peer}", permissions: {{
    publish: {{allow: ["hf.ask.public.us-east", "$JS.API.CONSUMER.MSG.NEXT.*.us-east"]}}
    subscribe: {{allow: ["_INBOX_us-east.>"]}}}}}}
] }} }}
"""


def test_the_same_attack_works_against_a_user_of_the_regions_own_account(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US", eu_west="EU") as w:
            keys, top = load_keys(w.home, "eu-west"), w.home.load()
            text = NAIVE.format(
                port=top.region("eu-west").nats_port, store=natsconf.store_dir(w.home, "eu-west"),
                local=keys.nats_local, peer=keys.accepts["us-east"],
            )  # fmt: skip
            render, natsconf.render = natsconf.render, lambda *_: text
            try:
                w.start_nats("eu-west")
            finally:
                natsconf.render = render
            await w.start_keeper("eu-west")
            key, before = await planted(w)
            nc = await intruder(w)
            await attack(nc, key)
            eu = await w.client("eu-west")
            after = await Streams(eu.wire).extent(key)
            assert after is None or after.last > before.last, "an answer of the keeper was injected into the chain"
            if after is not None:  # and with a pull consumer the same trick purges
                name = stream_name(key)
                consumer = {"stream_name": name, "config": {"durable_name": "us-east", "ack_policy": "explicit"}}
                create = f"$JS.API.CONSUMER.DURABLE.CREATE.{name}.us-east"
                await eu.wire.request(create, json.dumps(consumer).encode(), 2)
                pull = json.dumps({"batch": 100, "no_wait": True}).encode()
                await nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.{name}.us-east", pull, reply=INBOX + ".x")
                await asyncio.sleep(0.2)
                purge = f"$JS.API.STREAM.PURGE.{name}"
                await nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.{name}.us-east", pull, reply=purge)
                await asyncio.sleep(0.5)
                emptied = await Streams(eu.wire).extent(key)
                assert emptied is not None
                assert emptied.first > emptied.last, "a peer has emptied the stream by naming purge as reply"
            await nc.close()
            await eu.close()

    asyncio.run(run())
