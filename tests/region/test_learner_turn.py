"""One learner without a log: who may touch world and models when, and who rests. Its parts are real, its log a list."""

import asyncio
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "model"))
from town import Town

from holdfast.adapters.home import Home
from holdfast.core.entries import Release, Rollout
from holdfast.core.errors import Degraded
from holdfast.core.feed.ladder import Rung
from holdfast.core.topology import Region, Topology, resolve
from holdfast.model import pace
from holdfast.model.examples import Unit
from holdfast.model.sizes import FullModel, NetworkShape, RankerShape, Size, leaves, planted, shapes
from holdfast.region import learner, learner_network
from holdfast.region.learner import Learner


@pytest.fixture(scope="module")
def entries() -> list:
    town = Town(clips=60, viewers=8)
    for _ in range(3):
        town.round(Rung.REGIONAL)
    return town.entries


@pytest.fixture
def worse(tmp_path, entries) -> Learner:
    """The worse-ranked of two regions' learners, which has folded a town."""
    names = sorted(("us-east", "us-west"), key=learner.rank)
    home = Home(tmp_path)
    home.save(resolve(Topology(regions=[Region(name=name, jurisdiction="US") for name in names]), 20000))
    made = Learner(names[1], home)
    for entry in entries:
        made.lessons.take(entry)
    made.stand_by = made.stand_by.learn(made.lessons.learned_to, time.monotonic() - 1000)  # the other owes it for long
    return made


class Log(list):
    async def append(self, cls, entries) -> None:
        self.extend(entries)


def better(made: Learner, learned_to: int) -> tuple[Release, str]:
    release = Release(device="l", outbox=1, stamp=time.time_ns() // 1000, rung="LINEAR", sha="a" * 64, size=1,
                      learned_to=learned_to, examples=1)  # fmt: skip
    return release, min(("us-east", "us-west"), key=learner.rank)


def test_freezing_and_judging_wait_for_the_fold(worse: Learner, monkeypatch) -> None:
    """A model under judgement reads the catalogue and builds its maps: nobody else may meanwhile.

    Both take long, so they happen beside the loop, which the log's heartbeat needs.
    """
    judge, freeze, held = learner.gate.judge, worse.lessons.statistics.freeze, list[bool]()

    def noted() -> None:
        held.append(worse.turn.locked() and threading.current_thread() is not threading.main_thread())

    monkeypatch.setattr(learner.gate, "judge", lambda *args: (noted(), judge(*args))[1])
    monkeypatch.setattr(worse.lessons.statistics, "freeze", lambda videos: (noted(), freeze(videos))[1])

    async def play() -> Log:
        log = Log()
        async with worse.turn:
            releasing = asyncio.create_task(worse._release(log))
            await asyncio.sleep(0.1)
            assert not held and worse.examples_out == 0
        await releasing
        return log

    assert len(asyncio.run(play())) == 1 and held == [True, True] and worse.lessons.incumbent is not None


def test_what_was_solved_while_a_better_ranked_one_released_is_let_go(worse: Learner, monkeypatch) -> None:
    judge = learner.gate.judge

    def meanwhile(*args):
        worse.stand_by = worse.stand_by.hear(worse.lessons.learned_to, time.monotonic())
        return judge(*args)

    monkeypatch.setattr(learner.gate, "judge", meanwhile)
    log = Log()
    asyncio.run(worse._release(log))
    assert not log and worse.lessons.incumbent is None


@pytest.mark.parametrize("there", [False, True])
def test_it_rests_from_the_word_on_and_not_from_the_blob_on(worse: Learner, there: bool) -> None:
    now_s = time.monotonic()
    assert not worse.stand_by.resting(now_s)
    data = learner.linear.dump(worse.lessons.statistics.solve())
    rested = list[bool]()

    class Fetching:
        async def get(self, cls, sha, likely="") -> bytes:
            rested.append(worse.stand_by.resting(now_s))
            if not there:
                raise Degraded("not to be had", retry_after_s=1.0)
            return data

    worse.fetcher = Fetching()  # type: ignore[assignment]
    asyncio.run(worse._hear(*better(worse, worse.lessons.learned_to)))
    assert rested == [True] and worse.stand_by.resting(now_s) is there


@pytest.mark.parametrize("usable", [True, False])
def test_one_whose_gate_holds_linear_back_is_at_work_by_its_network(worse: Learner, usable: bool) -> None:
    """Else both would train, release and decide on one rollout as long as the gate says no."""
    release, origin = better(worse, worse.lessons.learned_to - 1)  # what came since is owed
    data = learner.linear.dump(worse.lessons.statistics.solve())

    class Fetching:
        async def get(self, cls, sha, likely="") -> bytes:
            if not usable:
                raise Degraded("not to be had", retry_after_s=1.0)
            return data

    worse.fetcher = Fetching()  # type: ignore[assignment]
    asyncio.run(worse._hear(release, origin))
    late_s = time.monotonic() + pace.REST_MAX_S
    assert not worse.stand_by.resting(late_s)
    step = Rollout(device="l", outbox=2, stamp=release.stamp + 1, rung="FULL", sha="b" * 64, verdict="canary",
                   share_ppm=125_000)  # fmt: skip
    for entry in (msgspec.structs.replace(release, rung="FULL"), step):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(learner.time, "monotonic", lambda now_s=late_s: now_s)
            asyncio.run(worse._hear(entry, origin))
        assert worse.stand_by.resting(late_s) is usable
        late_s += pace.REST_MAX_S
        assert not worse.stand_by.resting(late_s)


def test_a_network_that_does_not_compile_is_tried_again_later_and_not_in_the_learners_own_memory(
    worse: Learner, monkeypatch
) -> None:
    none, network = np.zeros(0), worse.network
    monkeypatch.setattr(learner_network, "COMPILING", "import os; os._exit(9)")
    monkeypatch.setattr(learner_network, "_online", lambda: pytest.fail("JAX is loaded here"))
    tried = 0

    async def play() -> None:
        nonlocal tried
        begun = network._off_until_s = time.monotonic()
        network._past.extend([(Unit(none, none, none, none, none), False)] * learner_network.UNITS_FIRST)  # type: ignore[arg-type]
        while network._off_until_s <= begun:
            await network.folded("personal/us-east", "e", tried, resting=False, caught_up=True)
            tried += 1
            await asyncio.sleep(0.05)
            assert tried < 600

    asyncio.run(play())
    assert network._trainer is None and network._making is None
    assert network._off_until_s > time.monotonic() + learner_network.AGAIN_S - 60
    assert len(network._past) >= learner_network.UNITS_FIRST


class Trained:
    """Stands for a trainer, which would take a minute to compile: notes what it is offered, and whether as known."""

    def __init__(self) -> None:
        self.offered: list[bool] = []
        self.waiting: list[Unit] = []
        self.run = SimpleNamespace(step=0)
        self.loaded = b""

    def load(self, data: bytes) -> None:
        self.loaded = data

    def offer(self, unit: Unit, *, known: bool = False) -> None:
        self.offered.append(known)


def test_a_killed_learner_trains_on_what_came_after_its_checkpoint(worse: Learner) -> None:
    """While history is read there is no trainer yet: what the checkpoint had not seen must not pass for known."""
    home, region, chain = worse.home, worse.region, "personal/us-east"
    file = home.region(region) / "network.checkpoint"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.msgpack.encode(({chain: {"e": 7}}, b"run")))
    network, trainer = Learner(region, home).network, Trained()
    none = np.zeros(0)

    async def play() -> None:
        for n in (6, 7, 8, 9):
            network.examples.units = [Unit(none, none, none, none, none)]  # type: ignore[arg-type]
            await network.folded(chain, "e", n, resting=False, caught_up=False)
        await network._begin(trainer)

    asyncio.run(play())
    assert trainer.loaded == b"run" and trainer.offered == [True, True, False, False]


def test_a_network_of_no_numbers_is_refused_and_learning_begins_again(worse: Learner, monkeypatch) -> None:
    """Beside a network that serves, too; and what is broken once would be refused for ever if it went on."""
    network, serving = worse.network, SimpleNamespace(release="b" * 64)
    size = Size(NetworkShape(16, 1, 1, 4, 32, 32, 32), RankerShape(width=16))
    tree = shapes(size)
    model = FullModel(planted(tree, [np.full(shape, np.nan, np.float32) for shape in leaves(tree)]), size, 5)
    network.line.serving = serving.release
    network._trainer = SimpleNamespace(trained=5, model=lambda: model)
    network.lessons.incumbent = SimpleNamespace(release="a" * 64)  # type: ignore[assignment]

    async def full_of(sha: str) -> SimpleNamespace:
        return serving

    monkeypatch.setattr(network, "_full_of", full_of)
    assert asyncio.run(network._candidate()) == []
    assert network._trainer is None and network._off_until_s <= time.monotonic()
