"""Faults of what is said: poisoned entries at the door, a release that must not serve, a clock that is wrong."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import numpy as np

from holdfast.adapters.blobs import BlobStore, sha_of
from holdfast.adapters.log import LogClient
from holdfast.adapters.signing import Signer, b64, device_message
from holdfast.client import Place
from holdfast.core.classes import Class
from holdfast.core.entries import Release
from holdfast.core.errors import Broken, Degraded, Refused
from holdfast.drills.drill_stage import Stage
from holdfast.drills.faults_clock import set_offset
from holdfast.model.linear_release import LinearModel, dump, load

EVERY_S = 0.05  # a poisoned request of each kind in turn
DAY_US = 86_400_000_000
REFUSALS_WAIT_S = 30.0
STAMP_S = 60  # how far ahead and behind poisoned stamps lie; behind is allowed, ahead is not


# -- poison ----------------------------------------------------------------------------------------------------------


def poison(now_us: int) -> dict[str, object]:
    """Bodies that no region may take, by what is wrong with them."""
    good = {"kind": "view", "item": "drill-1", "outbox": 1, "stamp": now_us, "dwell_ms": 1000, "duration_ms": 6000}
    entries = {
        "from the future": {**good, "stamp": now_us + STAMP_S * 1_000_000},
        "from the stone age": {**good, "stamp": 1},
        "a stamp that is a number too large": {**good, "stamp": 2**63},
        "of another device": {**good, "device": "someone-else"},
        "of a viewer of one's choice": {**good, "viewer": "someone-else"},
        "a dwell of minus one": {**good, "dwell_ms": -1},
        "a dwell of an age": {**good, "dwell_ms": 10**12},
        "an item that is no name": {**good, "item": "../../etc"},
        "an item of a megabyte": {**good, "item": "x" * 1_000_000},
        "of a kind that is the platform's own": {**good, "kind": "ruling", "verdict": "allow"},
        "of no kind": {k: v for k, v in good.items() if k != "kind"},
        "an outbox number below zero": {**good, "outbox": -1},
        "not an entry": 42,
    }
    bodies: dict[str, object] = {name: {"entries": [entry]} for name, entry in entries.items()}
    bodies["a good one beside a bad one"] = {"entries": [good, entries["from the future"]]}
    bodies["a hundred thousand at once"] = {"entries": [{**good, "outbox": k} for k in range(100_000)]}
    bodies["nothing at all"] = {}
    return bodies


@asynccontextmanager
async def poisoned(stage: Stage, region: str) -> AsyncIterator[None]:
    """Somebody with a valid token says what no region may take, twenty times a second."""
    place = next(p for p in stage.places() if p.name == region)
    answers: Counter[str] = Counter()
    with stage.span(f"{region}: poisoned entries at the door, {1 / EVERY_S:.0f} a second"):
        pouring = asyncio.create_task(_pour(stage, place, answers))
        try:
            yield
        finally:
            pouring.cancel()
            await asyncio.gather(pouring, return_exceptions=True)
    stage.more |= {"poisoned": sum(answers.values()), **{f"answered {k}": n for k, n in sorted(answers.items())}}
    if answers["taken"]:
        stage.broken.append(f"{answers['taken']} poisoned requests were taken")
    if not answers["refused"]:
        stage.broken.append("no poisoned request was refused")


async def _pour(stage: Stage, place: Place, answers: "Counter[str]") -> None:
    token = await enrolled(stage, place)
    while True:
        now_us = time.time_ns() // 1000
        for name, body in poison(now_us).items():
            try:
                await stage.calls.call("POST", f"{place.url}/v1/events", body, bearer=token)
                answers["taken"] += 1
                stage.note(f"taken: {name}", "coral")
            except Refused:
                answers["refused"] += 1
            except Degraded:
                answers["not now"] += 1
            await asyncio.sleep(EVERY_S)


async def enrolled(stage: Stage, place: Place) -> str:
    """A token for a new device."""
    device, stamp_s = Signer(secrets.token_bytes(32)), time.time_ns() // 1_000_000_000
    proof = b64(device.sign(device_message(place.jurisdiction, stamp_s)))
    body = {"key": b64(device.public), "jurisdiction": place.jurisdiction, "stamp_s": stamp_s, "proof": proof}
    return (await stage.calls.call("POST", f"{place.url}/v1/devices", body))["token"]


# -- a bad release -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def bad_release(stage: Stage, region: str) -> AsyncIterator[None]:
    """The learner of a region releases statistics that must not serve: not a model, and one of no numbers.

    Both say that they learned from tomorrow, so that they would win against every honest one.
    """
    before = await _refusals(stage, region)
    status = await stage.status(region, 5.0)
    blobs = BlobStore(stage.folder(region) / "blobs")
    bad = [b"this is no model"]
    if status and status["model"]:
        with suppress(Broken):
            good = load(await asyncio.to_thread(blobs.get, Class.PERSONAL, status["model"]["release"]) or b"")
            weights = np.full((len(good.names), len(good.names)), np.nan, np.float32)
            bad.append(dump(LinearModel(good.names, good.examples, weights, good.followers)))
    with stage.span(f"{region}: {len(bad)} bad releases"):
        log = await LogClient.open(stage.home, region, role="drill")
        try:
            for k, blob in enumerate(bad):
                await asyncio.to_thread(blobs.put, Class.PERSONAL, blob)
                await log.append(Class.PERSONAL, [_release(blob, k)])
        finally:
            await log.close()
        yield
        after = await _refusals(stage, region)
        stage.more |= {"bad releases": len(bad), "refused": after - before}
        if after == before:
            stage.broken.append("no region refused a bad release")


def _release(blob: bytes, k: int) -> Release:
    now_us = time.time_ns() // 1000
    return Release(
        device="drill-learner", outbox=now_us + k, stamp=now_us, rung="LINEAR", sha=sha_of(blob), size=len(blob),
        learned_to=now_us + DAY_US + k, examples=10**6, verdict="a drill",
    )  # fmt: skip


async def _refusals(stage: Stage, region: str) -> int:
    status = await stage.status(region, 5.0)
    return status["counters"].get("releases_refused", 0) if status else 0


# -- clocks ------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def clock_is(stage: Stage, region: str, ahead_s: float) -> AsyncIterator[None]:
    """A region's wall clock jumps ahead (or, negative, back), and later jumps right again."""
    stage.running()
    file = stage.clock_file(region)
    with stage.span(f"{region}: its clock jumps {abs(ahead_s):.0f} s {'ahead' if ahead_s > 0 else 'back'}"):
        set_offset(file, ahead_s)
        try:
            yield
        finally:
            set_offset(file, 0.0)
