"""Publishing many clips through the front door: the same uploads, checks and rulings as anybody's.

Few are under way at once in each region, so that a person's upload never waits behind a hundred of ours. A clip whose
region goes dark is sent to the next one; it names its item itself (that is what the API key is for), so sending it
twice publishes one clip, and starting again goes on where it stopped.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from holdfast.adapters.aio.tus import Tus
from holdfast.core.errors import Degraded, Refused

UNDER_WAY = 2  # uploads per region: one being transcoded, one waiting
LOOK_S = 0.25
PATIENCE_S = 90.0  # for a transcoder on a busy machine to answer for one clip
ROUNDS_MAX = 6  # tries over all regions before a clip is given up

Progress = Callable[[int, int], None]  # (done, total)


class Job(msgspec.Struct, kw_only=True):
    """A clip to publish. `make` yields its bytes when it is its turn."""

    item: str
    creator: str
    caption: str
    tags: list[str]
    make: Callable[[], Awaitable[bytes]]


async def publish_all(urls: Sequence[str], jobs: Sequence[Job], progress: Progress, key: str) -> dict[str, str]:
    """Publish what is not there yet, in order, spread over the regions at `urls`; `key`: API key with scope `items`.

    Returns why each item that could not be published was not. Raises Refused if the key is refused.
    """
    gates = {url: asyncio.Semaphore(UNDER_WAY) for url in urls}
    failed: dict[str, str] = {}
    done = 0
    async with Tus(key) as tus:

        async def one(k: int, job: Job) -> None:
            nonlocal done
            try:
                if not await _known(tus, urls, job.item):
                    await _place(tus, [urls[(k + j) % len(urls)] for j in range(len(urls))], gates, job)
            except Refused as e:
                if e.code in ("key", "scope", "token"):
                    raise
                failed[job.item] = str(e)
            except Degraded as e:
                failed[job.item] = str(e)
            done += 1
            progress(done, len(jobs))

        await _in_order(len(urls) * UNDER_WAY + 1, [lambda k=k, j=j: one(k, j) for k, j in enumerate(jobs)])
    return failed


async def _in_order(width: int, tasks: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Run `width` tasks at a time, begun in order."""
    left = iter(tasks)

    async def worker() -> None:
        for task in left:
            await task()

    workers = [asyncio.create_task(worker()) for _ in range(width)]
    try:
        await asyncio.gather(*workers)
    finally:
        for w in workers:
            w.cancel()


async def _known(tus: Tus, urls: Sequence[str], item: str) -> bool:
    for url in urls:
        try:
            return await tus.known(url, item)
        except Degraded:
            continue
    return False


async def _place(tus: Tus, urls: Sequence[str], gates: dict[str, asyncio.Semaphore], job: Job) -> None:
    """Publish one clip at the first of `urls` that takes it. Raises Refused with the reason, Degraded if none does."""
    data = await job.make()
    said = {"filename": f"{job.item}.mp4", "caption": job.caption, "tags": ",".join(job.tags), "item": job.item,
            "creator": job.creator}
    trouble = Degraded("there is no region")
    for _ in range(ROUNDS_MAX):
        for url in urls:
            async with gates[url]:
                try:
                    await _settled(tus, url, await tus.send(url, data, said))
                except Degraded as e:
                    trouble = e
                else:
                    return
        await asyncio.sleep(trouble.retry_after_s)
    raise trouble


async def _settled(tus: Tus, url: str, upload: str) -> None:
    """Wait until the transcoder has answered for an upload. Raises Refused with its reason, Degraded on silence."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while loop.time() < deadline:
        state = await tus.state(url, upload)
        if state.state == "published":
            return
        if state.state == "refused":
            raise Refused(state.reason, field="file", code="media")
        await asyncio.sleep(LOOK_S)
    raise Degraded(f"{url} took no decision on an upload within {PATIENCE_S:.0f} s")
