"""Kills, fences, epochs, empty disks, peers that go and come back."""

import asyncio
import contextlib
import signal
import time
from pathlib import Path

import pytest
from keeper_world import World, view

from holdfast.adapters.log import LogClient
from holdfast.adapters.log_streams import REQUEST_S
from holdfast.core.asks import Acked, Have
from holdfast.core.classes import Class
from holdfast.core.errors import Degraded
from holdfast.region import keeper_epoch, wan
from patience import SLOW

P = Class.PERSONAL


def w_held(seen: dict[tuple[str, int], str]) -> Have:
    """The watermark that entries seen as chain/epoch/n amount to."""
    out: Have = {}
    for place in seen.values():
        chain, epoch, n = place.rsplit("/", 2)
        epochs = out.setdefault(chain, {})
        epochs[epoch] = max(epochs.get(epoch, 0), int(n))
    return out


async def pour(client: LogClient, acked: dict[int, Acked], stop: asyncio.Event, device: str = "v-test") -> None:
    """Append as fast as answers come, 16 at a time, remembering what was acknowledged."""
    numbers = iter(range(1, 1_000_000))

    async def one() -> None:
        while not stop.is_set():
            k = next(numbers)
            while not stop.is_set():
                try:
                    acked[k] = await client.append(P, [view(k, device=device)], timeout_s=2)
                    break
                except Degraded:
                    await asyncio.sleep(0.05)

    await asyncio.gather(*(one() for _ in range(16)))


def test_a_log_server_too_slow_to_begin_an_epoch_is_waited_for(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, eu_west="EU") as w:
            await w.start()
            keeper, _, task = w.keepers["eu-west"]
            client = await w.client("eu-west")
            before = await client.append(P, [view(1)])
            w.nats["eu-west"].send_signal(signal.SIGSTOP)
            keeper.sealers[P].reopen("0123456789ab")
            await asyncio.sleep(REQUEST_S + 2)  # the stream's making times out, and the connection is given up
            assert not task.done(), "a keeper that ends would come back to a server that is busier still"
            w.nats["eu-west"].send_signal(signal.SIGCONT)
            after = await client.append(P, [view(2)], timeout_s=30)
            assert before.epoch != after.epoch == "0123456789ab"
            assert {k for _, k in await w.entries("eu-west", P)} == {1, 2}
            await client.close()

    asyncio.run(run())


def test_kill_9_of_the_log_server_in_mid_publish_loses_nothing_acknowledged(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, eu_west="EU") as w:
            await w.start()
            client, acked, stop = await w.client("eu-west"), {}, asyncio.Event()
            pouring = asyncio.create_task(pour(client, acked, stop))
            for _ in range(3):
                before = len(acked)
                await w.until(lambda b=before: len(acked) > b + 200, 20, "entries are acknowledged")
                w.kill_nats("eu-west")
                await asyncio.sleep(0.3)
                w.start_nats("eu-west")
            before = len(acked)
            await w.until(lambda: len(acked) > before + 200, 20, "entries are acknowledged again")
            stop.set()
            await pouring
            seen = await w.entries("eu-west", P)
            assert not [k for k in acked if ("v-test", k) not in seen]
            for k, a in acked.items():  # acknowledged as (epoch, n) means found there, or sent twice
                assert seen["v-test", k].startswith(a.chain)
            await client.close()

    asyncio.run(run())


def test_kill_9_of_the_keeper_in_mid_publish_loses_nothing_acknowledged(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US") as w:
            await w.start("us-west")
            w.start_nats("us-east")
            w.spawn_keeper("us-east")
            client, acked, stop = await w.client("us-east"), {}, asyncio.Event()
            pouring = asyncio.create_task(pour(client, acked, stop))
            for _ in range(2):
                before = len(acked)
                await w.until(lambda b=before: len(acked) > b + 300, 20, "entries are acknowledged")
                w.children["us-east"].kill()
                w.children["us-east"].wait()
                w.spawn_keeper("us-east")
            before = len(acked)
            await w.until(lambda: len(acked) > before + 100, 20, "entries are acknowledged again")
            stop.set()
            await pouring
            seen = await w.entries("us-east", P)
            assert not [k for k in acked if ("v-test", k) not in seen]
            west = w.keepers["us-west"][0]
            await w.until(lambda: west.store.held(P) == w_held(seen), 30, "the peer holds the same")
            await client.close()

    asyncio.run(run())


def test_a_second_keeper_stands_by_and_takes_over_and_the_fence_stops_the_first(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US") as w:
            w.start_nats("us-east")
            first = w.spawn_keeper("us-east", "-a")
            client = await w.client("us-east")
            one = await client.append(P, [view(1)])
            second = w.spawn_keeper("us-east", "-b")
            await asyncio.sleep(1.5)
            assert second.poll() is None
            two = await client.append(P, [view(2)])
            assert (two.epoch, two.n) == (one.epoch, one.n + 1)
            first.send_signal(signal.SIGSTOP)  # silent, not dead: the second must take over and fence it
            three = None
            began = time.monotonic()
            while three is None and time.monotonic() - began < 20 * SLOW:
                with contextlib.suppress(Degraded):
                    three = await client.append(P, [view(3)], timeout_s=1)
            assert three is not None
            first.send_signal(signal.SIGCONT)
            for k in range(4, 60):  # some of these reach the first keeper, which finds itself fenced or out of date
                with contextlib.suppress(Degraded):
                    await client.append(P, [view(k)], timeout_s=2)
            seen = await w.entries("us-east", P)
            assert {("v-test", k) for k in (1, 2, 3)} <= seen.keys()
            await client.close()

    asyncio.run(run())


def test_epochs_continue_only_when_the_end_is_sure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(seconds: float) -> None:
        monkeypatch.setattr(keeper_epoch, "START_WAIT_S", seconds)

    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US", eu_west="EU") as w:
            await w.start()
            east, eu = await w.client("us-east"), await w.client("eu-west")
            a, e = await east.append(P, [view(1)]), await eu.append(P, [view(1)])
            await w.carried("us-east")
            await w.recorded("eu-west")
            await w.kill_keeper("us-east")
            waits(60.0)  # however slow the machine, the peers are there
            await w.start_keeper("us-east")
            b = await east.append(P, [view(2)])
            assert (b.epoch, b.n) == (a.epoch, 2), "all peers answered: the epoch goes on, even after a kill"
            await w.stop_keeper("us-west")
            await w.kill_keeper("us-east")
            waits(1.0)
            await w.start_keeper("us-east")
            c = await east.append(P, [view(3)])
            assert c.epoch != a.epoch, "a peer was silent: a new epoch"
            await w.stop_keeper("eu-west")
            await w.start_keeper("eu-west")
            f = await eu.append(P, [view(2)])
            assert (f.epoch, f.n) == (e.epoch, 2), "alone, but stopped in order: the epoch goes on"
            await w.kill_keeper("eu-west")
            await w.start_keeper("eu-west")
            g = await eu.append(P, [view(3)])
            assert g.epoch != e.epoch, "alone and killed: nobody can vouch for the end, a new epoch"
            assert len(await w.entries("us-east", P)) == 3
            assert len(await w.entries("eu-west", P)) == 3
            await east.close()
            await eu.close()

    asyncio.run(run())


def test_an_empty_disk_is_filled_from_peers(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US", eu_west="EU") as w:
            await w.start()
            east = await w.client("us-east")
            a = [await east.append(P, [view(k)]) for k in range(1, 21)][-1]
            await east.append(Class.PUBLIC, [view(99)])  # the log does not look inside
            west = w.keepers["us-west"][0]
            held = lambda k, cls, chain, e: k.store.held(cls).get(chain, {}).get(e, 0)  # noqa: E731
            await w.until(lambda: held(west, P, "personal/us-east", a.epoch) == 20, 30, "carried")
            await east.close()
            await w.kill_keeper("us-east")
            w.kill_nats("us-east")
            w.wipe("us-east")
            w.start_nats("us-east")
            keeper = await w.start_keeper("us-east")
            await w.until(lambda: held(keeper, P, "personal/us-east", a.epoch) == 20, 10, "restored")
            east = await w.client("us-east")
            b = await east.append(P, [view(21)])
            assert b.epoch != a.epoch
            assert len(await w.entries("us-east", P)) == 21
            assert ("v-test", 99) in await w.entries("us-east", Class.PUBLIC)
            await east.close()

    asyncio.run(run())


def test_carrying_resumes_within_a_second_of_a_peers_return_over_slow_links(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, rtt_ms=70, us_east="US", us_west="US") as w:
            servers = await wan.serve(w.top)
            await w.start()
            east = await w.client("us-east")
            a = await east.append(P, [view(1)])
            west = w.keepers["us-west"][0]
            held = lambda: west.store.held(P).get("personal/us-east", {}).get(a.epoch, 0)  # noqa: E731
            await w.until(lambda: held() == 1, 30, "carried")
            w.nats["us-west"].send_signal(signal.SIGSTOP)  # the log server goes silent, and so does all behind it
            for k in range(2, 40):
                await east.append(P, [view(k)])
                await asyncio.sleep(0.1)
            assert held() == 1
            w.nats["us-west"].send_signal(signal.SIGCONT)
            took = await w.until(lambda: held() > 1, 30, "carrying resumes")
            level = await w.until(lambda: held() == 39, 30, "watermarks agree")
            print(f"resumed after {took:.2f} s, level after {took + level:.2f} s")
            await east.close()
            for server in servers:
                server.close()

    asyncio.run(run())
