"""The transcoder: the process that turns what was uploaded into something that may be shown.

    whole upload ─► sandboxed child ─► blobs ─► plan ─► publication + ruling in the chains ─► outcome ─► forget
                                        (1)      (2)                (3)                         (4)

Killed between any two steps, it starts again from the last: (1) blobs are named by their bytes, so putting them again
changes nothing; (2) the plan keeps the entries as they were first made, so (3) sends the same ids again, which every
fold takes once; (4) the outcome is what the uploader sees, written only after the log acknowledged. One clip at a time:
a region with two cores has viewers to serve, and people's uploads go before a team's bulk.

The same process fetches the blobs of what other regions publish (`prefetch`).
"""

import asyncio
import shutil
import signal
import time
from pathlib import Path

from holdfast.adapters import media, telemetry
from holdfast.adapters.blobs import BlobStore
from holdfast.adapters.home import Home
from holdfast.adapters.log import LogClient
from holdfast.core import policy
from holdfast.core.classes import Class
from holdfast.core.entries import Publication, Ruling
from holdfast.core.errors import Degraded, Refused
from holdfast.region.fetch import Fetcher
from holdfast.region.prefetch import Prefetch
from holdfast.region.upload_files import About, Outcome, Plan, UploadFiles

LOOK_S = 0.25  # how long a finished upload may lie before it is seen; reading one small folder costs nothing
TRIES_MAX = 3  # a file that kills the decoder, or us, three times is not tried again
TIDY_S = 600.0
APPEND_TIMEOUT_S = 10.0


class Transcoder:
    """Works off the uploads of one region."""

    def __init__(self, region: str, folder: Path, log: LogClient) -> None:
        self._region = region
        self._log = log
        self._say = telemetry.logger()
        self.files = UploadFiles(folder / "uploads")
        self.blobs = BlobStore(folder / "blobs")
        self._scratch = folder / "uploads" / "scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)  # what a killed child left
        self._scratch.mkdir()

    async def run(self) -> None:
        """Work for ever, one upload at a time."""
        tidied = 0.0
        while True:
            if time.time() - tidied > TIDY_S:
                tidied = time.time()
                await asyncio.to_thread(self.files.tidy, tidied)
            waiting = await asyncio.to_thread(self.files.waiting)
            about = min(waiting, key=lambda a: (a.owner.startswith("team:"), a.stamp), default=None)
            if about is None:
                await asyncio.sleep(LOOK_S)
                continue
            try:
                await self.work(about)
            except Degraded as e:  # counted by the tries; the upload stays where it is
                self._say.warning("upload waits", upload=about.id[:8], why=str(e))
                await asyncio.sleep(e.retry_after_s)

    async def work(self, about: About) -> None:
        """Bring one whole upload to its outcome. Raises Degraded if the disk, the log or the decoder is not well."""
        began = time.monotonic()
        plan = self.files.plan(about.id)
        if plan is None:
            try:
                plan = await self._make(about)
            except Refused as e:
                outcome = Outcome(state="refused", item=about.item, reason=str(e), hint=e.hint)
                await asyncio.to_thread(self.files.settle, about.id, outcome)
                self._say.info("upload refused", upload=about.id[:8], reason=str(e))
                return
        await asyncio.gather(
            self._log.append(Class.RULINGS, [plan.ruling], APPEND_TIMEOUT_S),
            self._log.append(Class.PUBLIC, [plan.publication], APPEND_TIMEOUT_S),
        )
        await asyncio.to_thread(self.files.settle, about.id, outcome_of(plan))
        self._say.info("published", item=about.item, verdict=plan.ruling.verdict,
                       clip_ms=plan.publication.duration_ms, took_s=round(time.monotonic() - began, 2))

    async def _make(self, about: About) -> Plan:
        """Transcode, keep the parts, rule, and write down what will be said. Raises Refused with the reason."""
        if await asyncio.to_thread(self.files.begin_try, about.id) > TRIES_MAX:
            raise Refused("We could not decode this file.", field="file", hint=media.EXPORT_AGAIN)
        made = await media.transcode(self.files.data(about.id), self._scratch)
        await asyncio.to_thread(self.files.decoded, about.id)
        for part in made.parts.values():
            await asyncio.to_thread(self.blobs.put, Class.PUBLIC, part)
        plan = plan_of(about, made, self._region, time.time_ns() // 1000)
        await asyncio.to_thread(self.files.decide, about.id, plan)
        return plan


def plan_of(about: About, made: media.Made, region: str, now_us: int) -> Plan:
    """Decide the two entries of an upload. Their device is the upload, so that a second sending is a duplicate."""
    device = f"up-{about.id}"
    publication = Publication(
        device=device, outbox=1, stamp=now_us, item=about.item, creator=about.creator, caption=about.caption,
        tags=about.tags, duration_ms=made.facts.duration_ms, media=made.media, region=region,
    )
    ruled = policy.rule(publication, made.facts.for_policy())
    ruling = Ruling(device=device, outbox=2, stamp=now_us, item=about.item, verdict=ruled.verdict,
                    reasons=ruled.reasons, policy=ruled.policy)
    return Plan(publication=publication, ruling=ruling)


def outcome_of(plan: Plan) -> Outcome:
    """What the uploader is told once both entries are kept."""
    ruling = plan.ruling
    return Outcome(
        state="refused" if ruling.verdict == "remove" else "published", item=ruling.item,
        reason=" ".join(ruling.reasons), verdict=ruling.verdict,
    )


async def work(region: str, home: Home) -> None:
    """Run the transcoder of a region until it is told to stop."""
    say = telemetry.start("transcoder", region)
    log = await LogClient.open(home, region, role="transcoder")
    transcoder = Transcoder(region, home.region(region), log)
    fetcher = Fetcher(home, region, transcoder.blobs)
    prefetch = Prefetch(log, transcoder.blobs, fetcher)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    tasks = [asyncio.create_task(c) for c in (transcoder.run(), prefetch.run(), stopped.wait())]
    say.info("ready")
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await fetcher.close()
        await log.close()


def main(region: str, home: Home) -> None:
    """Entry point of `holdfast run transcoder`."""
    asyncio.run(work(region, home))
