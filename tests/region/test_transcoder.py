"""From an upload to a clip that every region holds, through kills, flipped bits and silent peers. Real processes."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from keeper_world import World

from holdfast.adapters.blobs import BlobStore, path_of
from holdfast.adapters.http.ports import Caller
from holdfast.adapters.media_write import write_clip
from holdfast.core import entries
from holdfast.core.catalogue import Catalogue
from holdfast.core.classes import Class
from holdfast.core.entries import Publication, Ruling
from holdfast.core.errors import Degraded
from holdfast.region.fetch import Fetcher
from holdfast.region.upload_files import Plan, UploadFiles
from holdfast.region.uploads import Uploads
from patience import SLOW

DEVICE = Caller(alias="v-0123", public_name="kelp-4711")
CODE = (
    "import sys; from pathlib import Path; from holdfast.region.transcoder import main;"
    "from holdfast.adapters.home import Home; main(sys.argv[1], Home(Path(sys.argv[2])))"
)


def clip(seconds: float = 3.0, shade: int = 3, size: tuple[int, int] = (96, 128)) -> bytes:
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    frames = (np.stack([(x * shade + 5 * k) % 256, (y + 3 * k) % 256, (x + y) % 256], -1).astype(np.uint8)
              for k in range(int(12 * seconds)))
    sound = (np.sin(np.arange(int(seconds * 48000)) * 0.05) * 0.2).astype(np.float32)
    return write_clip(frames, np.stack([sound, sound]), 12)


@contextlib.contextmanager
def transcoding(world: World, region: str):
    """A transcoder as a process of its own."""
    log = (world.home.root / f"{region}.transcoder.log").open("ab")
    child = subprocess.Popen([sys.executable, "-c", CODE, region, str(world.home.root)], stderr=log)
    try:
        yield child
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            assert child.wait(60) == 0, "told to stop, it stops in order"
    finally:
        child.kill()
        child.wait()


async def upload(world: World, region: str, data: bytes, caption: str = "Tide out", key: str = "") -> str:
    import base64

    uploads = Uploads(world.home.region(region) / "uploads")
    said = f"caption {base64.b64encode(caption.encode()).decode()},tags {base64.b64encode(b'tides').decode()}"
    said += f",key {base64.b64encode(key.encode()).decode()}" if key else ""
    ident = await uploads.create(len(data), said, DEVICE)
    half = len(data) // 2
    await uploads.append(ident, 0, data[:half], DEVICE)
    await uploads.append(ident, half, data[half:], DEVICE)
    return ident


def files(world: World, region: str) -> UploadFiles:
    return UploadFiles(world.home.region(region) / "uploads")


def blobs(world: World, region: str) -> BlobStore:
    return BlobStore(world.home.region(region) / "blobs")


def decoders(world: World) -> list[bytes]:
    """Command lines of decoding children at work in this world."""
    found: list[bytes] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes()
            if b"media_child" in line and str(world.home.root).encode() in line:
                found.append(line)
    return found


async def outcome(world: World, region: str, ident: str, seconds: float = 40):
    await world.until(lambda: files(world, region).outcome(ident), seconds, "the upload has an outcome")
    return files(world, region).outcome(ident)


async def facts(world: World, region: str, cls: Class) -> list[entries.Entry]:
    """Every entry of a class that a follower in `region` sees, duplicates included."""
    client = await world.client(region)
    found: list[entries.Entry] = []
    try:
        async for news in client.follow_class(cls, {}, wait_ms=200):
            found += [entries.decode(raw) for batch in news.batches for block in batch.blocks for raw in block.entries]
            if not news.batches:
                return found
    finally:
        await client.close()
    return found


def test_an_upload_becomes_a_ruled_publication_that_both_regions_hold(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, us_east="US", eu_west="EU") as world:
            await world.start()
            with transcoding(world, "us-east"), transcoding(world, "eu-west"):
                ident = await upload(world, "eu-west", clip())
                done = await outcome(world, "eu-west", ident)
                assert (done.state, done.verdict) == ("published", "allow")
                [publication] = [e for e in await facts(world, "eu-west", Class.PUBLIC) if isinstance(e, Publication)]
                assert publication.item == done.item and publication.creator == "kelp-4711" and publication.media
                assert (publication.caption, publication.tags, publication.region) == ("Tide out", ["tides"], "eu-west")
                media = publication.media
                parts = [media.init, media.poster, *(sha for sha, _ in media.segments)]
                store = blobs(world, "us-east")
                await world.until(lambda: all(store.exists(Class.PUBLIC, p) for p in parts), 20, "us-east has it all")
                assert all(store.get(Class.PUBLIC, p) for p in parts)
                await world.carried("eu-west")
                [ruling] = [e for e in await facts(world, "us-east", Class.RULINGS) if isinstance(e, Ruling)]
                assert (ruling.item, ruling.verdict) == (done.item, "allow")
            assert not list(files(world, "eu-west").open.iterdir()), "nothing is left of the upload but its outcome"

    asyncio.run(story())


def test_a_clip_that_was_sent_again_elsewhere_is_one_item(tmp_path: Path) -> None:
    """Its first region had it whole and went dark; the client began again at the second; then the first came back."""

    async def story() -> None:
        async with World(tmp_path, us_east="US", us_west="US") as world:
            await world.start()
            data = clip(1)
            with transcoding(world, "us-east"), transcoding(world, "us-west"):
                idents = {region: await upload(world, region, data, key="k-1") for region in ("us-east", "us-west")}
                told = [await outcome(world, region, ident) for region, ident in idents.items()]
            assert [o.state for o in told] == ["published"] * 2 and told[0].item == told[1].item
            heard = [e for r in idents for e in await facts(world, r, Class.PUBLIC) if isinstance(e, Publication)]
            ruled = [e for r in idents for e in await facts(world, r, Class.RULINGS) if isinstance(e, Ruling)]
        for order in (heard, heard[::-1]):
            catalogue = Catalogue("US")
            for entry in order:
                catalogue.publish(entry)
            for ruling in ruled:
                catalogue.rule(ruling)
            held = catalogue.publications[0]
            assert catalogue.n == 1 and held and held.stamp == max(e.stamp for e in heard)
            assert catalogue.allowed().sum() == 1

    asyncio.run(story())


def test_what_cannot_be_shown_is_refused_with_the_reason_and_publishes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, us_east="US") as world:
            await world.start()
            with transcoding(world, "us-east"):
                noise = await upload(world, "us-east", os.urandom(20_000))
                done = await outcome(world, "us-east", noise)
                assert done.state == "refused" and "not a video" in done.reason and done.hint
                watched = await upload(world, "us-east", clip(1), caption="crypto giveaway, click here")
                done = await outcome(world, "us-east", watched)
                assert (done.state, done.verdict) == ("refused", "remove") and done.reason
            published = [e.item for e in await facts(world, "us-east", Class.PUBLIC) if isinstance(e, Publication)]
            assert published == [done.item]  # with the ruling that removes it: a decision leaves a trace

    asyncio.run(story())


def test_killed_in_mid_work_it_publishes_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, us_east="US") as world:
            await world.start()
            ident = await upload(world, "us-east", clip(10, size=(360, 640)))
            with transcoding(world, "us-east") as child:
                await world.until(lambda: files(world, "us-east").tries(ident) == 1, 60, "work has begun")
                await world.until(lambda: decoders(world), 60, "the decoder runs")
                child.kill()
                child.wait()
            await world.until(lambda: not decoders(world), 30, "the decoder went with it")
            assert files(world, "us-east").outcome(ident) is None
            with transcoding(world, "us-east"):
                assert (await outcome(world, "us-east", ident, 60)).state == "published"
            sent = [e for e in await facts(world, "us-east", Class.PUBLIC) if isinstance(e, Publication)]
            assert [(e.device, e.outbox) for e in sent] == [(f"up-{ident}", 1)]

    asyncio.run(story())


def test_killed_between_the_log_and_the_outcome_it_sends_the_same_entries_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, us_east="US") as world:
            await world.start()
            folder = files(world, "us-east")
            ident = await upload(world, "us-east", clip(1))
            kept = {p: p.read_bytes() for p in folder.open.iterdir()}
            with transcoding(world, "us-east"):
                await outcome(world, "us-east", ident)
            [sent] = [e for e in await facts(world, "us-east", Class.PUBLIC) if isinstance(e, Publication)]
            [ruled] = [e for e in await facts(world, "us-east", Class.RULINGS) if isinstance(e, Ruling)]
            (folder.done / f"{ident}.json").unlink()  # as if it had been killed after the log's answer, before its own
            for path, data in kept.items():
                path.write_bytes(data)
            folder.decide(ident, Plan(publication=sent, ruling=ruled))
            with transcoding(world, "us-east"):
                assert (await outcome(world, "us-east", ident)).state == "published"
            said = [e for e in await facts(world, "us-east", Class.PUBLIC) if isinstance(e, Publication)]
            assert said and all(e == sent for e in said), "one id, one stamp, one content: folds take it once"

    asyncio.run(story())


def test_a_file_that_kills_us_is_not_tried_for_ever(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, us_east="US") as world:
            await world.start()
            ident = await upload(world, "us-east", clip(1))
            for _ in range(3):
                files(world, "us-east").begin_try(ident)  # three beginnings without an end
            with transcoding(world, "us-east"):
                done = await outcome(world, "us-east", ident)
            assert done.state == "refused" and "could not decode" in done.reason

    asyncio.run(story())


def test_a_flipped_bit_is_mended_from_a_peer_and_a_silent_peer_is_passed_over(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, us_east="US", us_west="US", eu_west="EU") as world:
            await world.start()
            data = os.urandom(2_500_000)  # three parts
            sha = blobs(world, "us-west").put(Class.PUBLIC, data)
            blobs(world, "eu-west").put(Class.PUBLIC, data)
            store = blobs(world, "us-east")
            fetcher = Fetcher(world.home, "us-east", store)
            assert await fetcher.get(Class.PUBLIC, sha, "us-west") == data
            file = store.root / path_of(Class.PUBLIC, sha)
            flipped = bytearray(file.read_bytes())
            flipped[1_234_567] ^= 4
            file.write_bytes(flipped)
            assert await fetcher.get(Class.PUBLIC, sha, "us-west") == data, "not what lies on the disk"
            assert store.damaged == 1 and store.get(Class.PUBLIC, sha) == data, "and the file is mended"

            bad = blobs(world, "us-west").root / path_of(Class.PUBLIC, sha)
            bad.write_bytes(flipped)  # the likely peer now lies: the other one is asked
            store.delete(Class.PUBLIC, sha)
            assert await fetcher.get(Class.PUBLIC, sha, "us-west") == data

            store.delete(Class.PUBLIC, sha)
            world.nats["us-west"].send_signal(signal.SIGSTOP)  # dark, not refusing
            async with asyncio.timeout(5 * SLOW):
                assert await fetcher.get(Class.PUBLIC, sha, "us-west") == data
            world.nats["us-west"].send_signal(signal.SIGCONT)

            personal = blobs(world, "eu-west").put(Class.PERSONAL, b"of an EU viewer")
            with pytest.raises(Degraded):
                await fetcher.get(Class.PERSONAL, personal)
            with pytest.raises(Degraded):
                await fetcher.get(Class.PUBLIC, "0" * 64)
            await fetcher.close()

    asyncio.run(story())


def test_a_region_that_lost_its_disk_gets_its_videos_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, us_east="US", us_west="US") as world:
            await world.start()
            with transcoding(world, "us-west"):
                with transcoding(world, "us-east"):
                    ident = await upload(world, "us-east", clip(1))
                    await outcome(world, "us-east", ident)
                    [sent] = [e for e in await facts(world, "us-east", Class.PUBLIC) if isinstance(e, Publication)]
                    assert sent.media
                    parts = [sent.media.init, sent.media.poster, *(sha for sha, _ in sent.media.segments)]
                    there = blobs(world, "us-west")
                    await world.until(lambda: all(there.exists(Class.PUBLIC, p) for p in parts), 20, "us-west has it")
                for path in (blobs(world, "us-east").root / "public").rglob("*"):
                    if path.is_file():
                        path.unlink()
                with transcoding(world, "us-east"):
                    here = blobs(world, "us-east")
                    await world.until(lambda: all(here.get(Class.PUBLIC, p) for p in parts), 20, "us-east has it again")

    asyncio.run(story())
