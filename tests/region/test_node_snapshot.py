"""Snapshots at a real region: a start costs the news, and a snapshot that is not good costs time and nothing else."""

import asyncio
import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from noderig import Device, Rig, call, running

from holdfast.adapters import apikeys
from holdfast.adapters.blobs import BlobStore
from holdfast.adapters.log import LogClient
from holdfast.core.classes import Class
from holdfast.core.entries import Entry, Policy, Snapshot, decode
from holdfast.core.feed.snapshot import FOLD
from patience import until

EAST = "us-east"
N = 40
ITEMS = [
    {"item": f"clip-{i}", "creator": f"maker-{i % 5}", "caption": f"Clip {i}", "tags": [("tides", "rain")[i % 2]],
     "duration_ms": 6000, "url": f"https://example.org/{i}"}
    for i in range(N)
]  # fmt: skip


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("frozen"), {EAST: "US"}) as rig:
        key = apikeys.make(rig.home, "acme", ("items", "events", "feed", "rulings"))
        until(lambda: call(rig, EAST, "PUT", "/v1/items", {"items": ITEMS}, bearer=key).status == 200)
        yield rig


@pytest.fixture(scope="module")
def devices(rig: Rig) -> list[Device]:
    """Seven viewers who did 5,600 things."""
    found = [Device(rig, EAST, 100 + v) for v in range(7)]
    for v, device in enumerate(found):
        views = [device.event("view", item=f"clip-{k % (N - v)}", dwell_ms=6000 if k % 3 else 500, duration_ms=6000)
                 for k in range(790)]  # fmt: skip
        likes = [device.event("like", item=f"clip-{k}") for k in range(v, v + 8)]
        device.send(EAST, *views, *likes, device.event("hide", item="clip-9"))
        device.send(EAST, device.event("comment", item="clip-3", text=f"seen by {v}"))
    until(lambda: all(held(rig, d) == [[1, d.outbox]] for d in found))
    until(lambda: len(call(rig, EAST, "GET", "/v1/items/clip-3/comments").json["comments"]) == 7)  # tables come after
    return found


def held(rig: Rig, device: Device) -> Any:
    answer = call(rig, EAST, "GET", "/v1/held", bearer=device.token)
    return answer.json["intervals"] if answer.status == 200 else None


def status(rig: Rig) -> Any:
    return call(rig, EAST, "GET", "/v1/status").json


def known(rig: Rig, devices: list[Device]) -> Any:
    """What the region knows, as the world sees it."""
    fields = ("creator", "tags", "verdict", "likes", "views", "comments")
    pages = [call(rig, EAST, "GET", f"/v1/items/clip-{i}").json for i in range(N)]
    now = status(rig)
    return {
        "pages": [{f: page[f] for f in fields} for page in pages],
        "held": [held(rig, d) for d in devices],
        "items": now["items"],
        "viewers": now["viewers"],
        "comments": call(rig, EAST, "GET", "/v1/items/clip-3/comments").json,
    }


def node_ends(rig: Rig, number: int, device: Device) -> Any:
    """End the node by a signal; return the status of the next one, once it has folded everything."""
    assert rig.supervisor is not None
    pid = rig.supervisor.pids(EAST)["node"]
    os.kill(pid, number)

    anew = lambda: rig.supervisor.pids(EAST)["node"] not in (0, pid)  # noqa: E731
    return until(lambda: anew() and held(rig, device) is not None and status(rig), 30)


def pointer(rig: Rig) -> Path:
    return rig.home.region(EAST) / "snapshot.json"


def blobs(rig: Rig) -> dict[str, list[Any]]:
    return json.loads(pointer(rig).read_bytes())["body"]["blobs"]


def logged(rig: Rig) -> list[dict[str, Any]]:
    found = []
    for path in (rig.home.region(EAST) / "logs").glob("node*"):
        found += [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    return found


def entries_of(rig: Rig, cls: Class) -> list[Entry]:
    async def read() -> list[Entry]:
        client = await LogClient.open(rig.home, EAST, role="test")
        have: dict[str, dict[str, int]] = {}
        found: list[Entry] = []
        try:
            async for news in client.follow_class(cls, have):
                found += [decode(raw) for batch in news.batches for block in batch.blocks for raw in block.entries]
                if have == news.held:
                    return found
        finally:
            await client.close()
        raise AssertionError("the follower ended")

    return asyncio.run(asyncio.wait_for(read(), 120))


def test_an_orderly_stop_leaves_a_snapshot_and_the_next_start_reads_the_news(rig: Rig, devices: list[Device]) -> None:
    before = known(rig, devices)
    assert before["viewers"] >= 7 and sum(p["views"] for p in before["pages"]) == 7 * 790
    now = node_ends(rig, signal.SIGTERM, devices[0])
    assert now["counters"]["snapshots_used"] == 1
    assert now["counters"].get("folded", 0) < 20  # what was written after: the snapshot's own entries, totals
    assert known(rig, devices) == before
    assert sum(isinstance(e, Policy) for e in entries_of(rig, Class.RULINGS)) == 1  # known, not published again
    store = BlobStore(rig.home.region(EAST) / "blobs")
    for cls in Class:
        named = [e for e in entries_of(rig, cls) if isinstance(e, Snapshot)]
        assert [(e.fold, [e.sha, e.size]) for e in named] == [(FOLD, blobs(rig)[cls])]
        assert all(chain.startswith(cls) for e in named for chain in e.watermark)
        assert store.size(cls, named[0].sha) == named[0].size


def test_after_a_kill_only_what_came_since_is_folded(rig: Rig, devices: list[Device]) -> None:
    device = devices[0]
    device.send(EAST, *[device.event("view", item="clip-1", dwell_ms=6000, duration_ms=6000) for _ in range(30)])
    device.send(EAST, device.event("like", item="clip-39"), device.event("like", item="clip-0", on=False))
    until(lambda: held(rig, device) == [[1, device.outbox]])
    before = known(rig, devices)
    now = node_ends(rig, signal.SIGKILL, device)
    assert now["counters"]["snapshots_used"] == 1 and 32 <= now["counters"]["folded"] < 60
    assert known(rig, devices) == before


def test_tables_that_are_gone_are_written_again_beside_a_snapshot(rig: Rig, devices: list[Device]) -> None:
    before = known(rig, devices)
    assert len(before["comments"]["comments"]) == 7
    for path in rig.home.region(EAST).glob("tables.sqlite*"):
        path.unlink()
    now = node_ends(rig, signal.SIGKILL, devices[0])
    assert now["counters"]["snapshots_used"] == 1 and now["counters"]["duplicates"] > N
    until(lambda: known(rig, devices) == before)


@pytest.mark.parametrize("cls", [Class.PERSONAL, Class.RULINGS])
def test_a_flipped_bit_costs_the_snapshot_and_nothing_else(rig: Rig, devices: list[Device], cls: Class) -> None:
    before = known(rig, devices)
    sha, size = blobs(rig)[cls]
    path = rig.home.region(EAST) / "blobs" / cls / sha[:2] / sha
    good = path.read_bytes()
    path.write_bytes(good[: size // 2] + bytes([good[size // 2] ^ 1]) + good[size // 2 + 1 :])
    now = node_ends(rig, signal.SIGKILL, devices[0])
    assert now["counters"]["snapshots_refused"] == 1 and now["counters"]["folded"] > 5600
    assert known(rig, devices) == before
    said = [line for line in logged(rig) if "snapshot is not used" in line["event"]]
    assert sha[:12] in said[-1]["why"] and said[-1]["level"] == "warning"
    path.write_bytes(good)


def test_a_snapshot_that_says_more_than_the_log_is_not_believed(rig: Rig, devices: list[Device]) -> None:
    before, text = known(rig, devices), pointer(rig).read_bytes()
    body = json.loads(text)["body"]
    chain = body["folded"][f"personal/{EAST}"]
    epoch = next(iter(chain))
    chain[epoch] += 100_000
    raw = json.dumps(body, separators=(",", ":"))
    pointer(rig).write_text(f'{{"sha":"{hashlib.sha256(raw.encode()).hexdigest()}","body":{raw}}}')
    now = node_ends(rig, signal.SIGKILL, devices[0])
    assert now["counters"]["snapshots_refused"] == 1 and known(rig, devices) == before
    said = [line for line in logged(rig) if "snapshot is not used" in line["event"]]
    assert "no longer holds" in said[-1]["why"]


def test_a_damaged_pointer_is_said_and_the_next_stop_mends_it(rig: Rig, devices: list[Device]) -> None:
    before = known(rig, devices)
    text = bytearray(pointer(rig).read_bytes())
    text[len(text) // 2] ^= 1
    pointer(rig).write_bytes(bytes(text))
    now = node_ends(rig, signal.SIGKILL, devices[0])
    assert now["counters"]["snapshots_refused"] == 1 and known(rig, devices) == before
    now = node_ends(rig, signal.SIGTERM, devices[0])
    assert now["counters"]["snapshots_used"] == 1 and known(rig, devices) == before


def test_a_whole_region_stops_and_starts_from_its_snapshot(tmp_path: Path) -> None:
    with running(tmp_path, {EAST: "US"}) as rig:
        key = apikeys.make(rig.home, "acme", ("items", "events", "feed", "rulings"))
        until(lambda: call(rig, EAST, "PUT", "/v1/items", {"items": ITEMS}, bearer=key).status == 200)
        device = Device(rig, EAST, 7)
        for _ in range(6):
            device.send(EAST, *[device.event("view", item=f"clip-{k % N}", dwell_ms=6000) for k in range(900)])
        until(lambda: held(rig, device) == [[1, 5400]])
        before = known(rig, [device])
    with running(tmp_path, {EAST: "US"}) as rig:  # the same installation again
        device.rig = rig
        until(lambda: held(rig, device) == [[1, 5400]], 30)
        now = status(rig)
        assert now["counters"]["snapshots_used"] == 1 and now["counters"].get("folded", 0) < 20
        assert known(rig, [device]) == before
