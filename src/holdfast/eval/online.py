"""`holdfast eval online kuairand DIR`: what it is worth to learn while serving.

The log is replayed in time order: predict, then learn. Three arms answer before each impression (`online_arms`), all
of one stream of updates; they differ only in when what was learned may be used. What is asked:

    of every impression      will it be watched long?                    AUC, GAUC, log loss
    of a sample of them      which of all videos is watched long next?   hit rate at twenty
    of new viewers           the same, knowing 0, 1, 3, 5, 10 events     beside what is popular

The first two days teach and are not counted. Differences are paired: the same viewers drawn again for every arm.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import Refused
from holdfast.eval.online_figures import Tally
from holdfast.eval.online_stream import Impression, Stream, newcomer
from holdfast.model.sizes import LIVE, Size

Array = NDArray[Any]
Say = Callable[[str], None]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
ZONE_US = 8 * HOUR_US  # the log's days are Beijing's
EPOCH = date(1970, 1, 1)
WARM_DAYS = 2  # the first holds only its last minutes
ASKED = 4  # of so many mini-batches one is asked over all videos: each such question costs some 20 ms
SOLVE_H = 6  # hours of the log between two solves of LINEAR, over all its videos: 8 s of a core each
FEW = (0, 1, 3, 5, 10)  # events of a new viewer
SAY_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked. `since`: the first day counted; `limit`: impressions read."""

    since: date | None = None
    limit: int | None = None
    seed: int = 0


def run(folder: Path, options: Options, say: Say) -> dict[str, Any]:
    """Return the figures: `{arms: {online, hourly, daily…}, less: {hourly, daily…}, popular_24h, new_viewers, curve…}`.

    Raises Refused if a file is not sound (its line), or nothing is left to be counted.
    """
    begun = time.monotonic()
    stream = Stream(folder, options.limit)
    first = EPOCH + timedelta(days=_day(stream.begin_us))
    since = options.since or first + timedelta(days=WARM_DAYS)
    last = EPOCH + timedelta(days=_day(stream.column["time_ms"][-1] * 1000))
    if not first < since <= last:
        raise Refused(f"nothing to count, or nothing before it to learn from: {since} of a log from {first} to {last}",
                      field="from", hint="choose a day inside the log, or a larger --limit")  # fmt: skip
    say(f"{stream.past()} earlier views told, {time.monotonic() - begun:.0f} s")
    replay = Replay(stream, options.seed, (since - EPOCH).days)
    replay.run(say)
    if not replay.tally.questions:
        raise Refused(f"no question was asked since {since}: too few impressions to count", field="limit",
                      hint="a larger --limit, or an earlier --from")  # fmt: skip
    say(f"replayed, {time.monotonic() - begun:.0f} s; intervals")
    figures = replay.tally.figures(options.seed)
    return {
        **figures, "from": str(since), "until": str(last), "impressions": len(stream.column["time_ms"]),
        "trained_on": replay.trainer.trained, "steps": int(replay.trainer.run.step),
        "seconds": round(time.monotonic() - begun, 1), "cpu_s": round(time.process_time(), 1),
    }  # fmt: skip


class Replay:
    """The replay under way. A mini-batch: asked together, then told; then the next weights are released."""

    def __init__(self, stream: Stream, seed: int, since_day: int, size: Size = LIVE) -> None:
        from holdfast.eval.online_arms import CADENCES, Arms
        from holdfast.model.online import Trainer

        self.stream, self.since_day = stream, since_day
        self.trainer = Trainer(stream.catalogue, seed, size)
        self.trainer.warm()
        self.arms = Arms(stream.catalogue, size)
        self.tally = Tally()
        self.linear = self._solved()
        for cadence in CADENCES:
            self.arms.release(cadence, self.trainer.run.params, self.linear)
        self._waiting: list[tuple[Impression, Any]] = []
        self._batches = 0
        self._hour = stream.begin_us // HOUR_US

    def run(self, say: Say) -> None:
        """Go through the log once."""
        from holdfast.eval.online_arms import GROUP

        said_s, total = time.monotonic(), len(self.stream.column["time_ms"])
        for shown in self.stream.impressions():
            if shown.at_us // HOUR_US > self._hour:
                self._turn(shown.at_us)
            self.stream.advance(shown.at_us)
            self._meet(shown)
            if len(self._waiting) == GROUP:
                self._close()
            if time.monotonic() - said_s > SAY_EVERY_S:
                said_s = time.monotonic()
                say(f"{_clock(shown.at_us)}: {shown.number + 1} of {total}; {self.tally.so_far()}")
        self._close()

    def _solved(self) -> Any:
        from holdfast.model.linear import Linear

        return Linear(self.stream.lessons.statistics.solve(), self.stream.catalogue)

    def _turn(self, at_us: int) -> None:
        """An hour is over: what was learned up to now is released to the hourly arm, at midnight to the daily one."""
        self._close()
        old, self._hour = self._hour, at_us // HOUR_US
        self.stream.advance(self._hour * HOUR_US)
        self._learn()
        old, now = ((hour * HOUR_US + ZONE_US) // HOUR_US for hour in (old, self._hour))
        if old // SOLVE_H < now // SOLVE_H:
            self.linear = self._solved()
        midnight = old // 24 < now // 24
        for cadence in ("online", "hourly", *(("daily",) if midnight else ())):
            self.arms.release(cadence, self.trainer.run.params, self.linear)

    def _meet(self, shown: Impression) -> None:
        """An impression: note what is known before it, then serve it."""
        from holdfast.eval.online_arms import Ask

        counted = _day(shown.at_us) >= self.since_day
        if newcomer(shown.viewer):
            if counted and shown.long:
                self._ask_newcomer(shown)
            self.stream.serve(shown, None)
            return
        ask = Ask(self.stream.history(shown), shown.row, self.stream.seen(shown))
        self._waiting.append((shown, ask))
        rows = np.array([shown.row])
        self.stream.serve(shown, self.arms.signals("online", ["online"], ask.history, rows)[0])

    def _close(self) -> None:
        """Answer the mini-batch by every arm, if its day counts; learn from what has settled; release."""
        batch, self._waiting = self._waiting, []
        self._batches += 1
        counted = bool(batch) and _day(batch[0][0].at_us) >= self.since_day
        if counted:
            asks = [ask for _, ask in batch]
            drawn = self._batches % ASKED == 0
            questions = [i for i, (s, ask) in enumerate(batch) if drawn and s.long and s.row not in ask.seen]
            popular = [self._popular(batch[i][0], asks[i]) for i in questions]
            self.tally.take([s for s, _ in batch], questions, self.arms.answer(asks, questions), popular)
        self._learn()
        self.arms.release("online", self.trainer.run.params, self.linear)

    def _learn(self) -> None:
        """Take the steps of a busy learner: 24 fresh examples each, as soon as more than BEHIND wait.

        With the 8 of an idle one every showing is looked at four times; here, where a slate holds one showing and not
        ten, that was measured to fit the few shown so closely that the log loss was above that of the mere share.
        """
        from holdfast.model.online import BEHIND

        for unit in self.stream.examples.emptied():
            self.trainer.offer(unit)
        while len(self.trainer.waiting) > BEHIND:
            self.trainer.step()

    def _popular(self, shown: Impression, ask: Any) -> float:
        return self.stream.popular.hit(shown.row, ask.seen, self.stream.catalogue.allowed(), shown.at_us)

    def _ask_newcomer(self, shown: Impression) -> None:
        """The same question with the newest 0, 1, 3 … events: who has not so many, or has met the video, is not asked.

        Nobody has seen what the events do not hold: the feed does not know it, nor does popularity.
        """
        from holdfast.eval.online_arms import Ask

        histories = [self.stream.newest(shown, k) for k in FEW]
        known = [h for h in histories if h is not None]
        if len(known) < len(FEW) or self.stream.met(shown):
            return
        asks = [Ask(h, shown.row, h.rows.astype(np.int64)) for h in known]
        full, retrieved = self.arms.network_hits(asks)
        linear = [self.arms.linear_hit("online", "online", ask) for ask in asks]
        popular = [self._popular(shown, ask) for ask in asks]
        for i, k in enumerate(FEW):
            hits = {"FULL": full[i], "retrieval": retrieved[i], "LINEAR": linear[i], "popular_24h": popular[i]}
            self.tally.meet(k, shown.viewer, hits)


def _day(at_us: int) -> int:
    return (at_us + ZONE_US) // DAY_US


def _clock(at_us: int) -> str:
    return datetime.fromtimestamp((at_us + ZONE_US) / 1e6, UTC).strftime("%d %b %H:%M")
