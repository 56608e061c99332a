"""What one slate costs a node, in one process and without HTTP: the quick way to compare two versions of the feed.

    OPENBLAS_NUM_THREADS=1 python benchmarks/slates.py --videos 100000 --viewers 2000 --model m --network n [--profile]

The town of `holdfast bench serve` is folded by the real folds; requests are decoded from JSON, answered by the real
`NodeFeed` (pipeline, reasons, exposure entry) in batches and encoded again. The network has the live sizes and
untrained weights, which cost the same; LINEAR is learned from some of the viewers and kept in `--model`.
It prints CPU milliseconds (process time) per slate, the memory that is resident, and a digest of the answers, so that a
change that should change nothing can be seen to change nothing.
"""

import argparse
import asyncio
import cProfile
import gc
import pstats
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from holdfast.adapters.home import Home
from holdfast.adapters.http.ports import Caller
from holdfast.adapters.signing import make_keys
from holdfast.core.entries import Publication, Ruling, View
from holdfast.core.feed.ladder import Ladder, Rung
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.topology import Region, Topology, resolve
from holdfast.drills.bench_town import Town
from holdfast.model import full, linear, release
from holdfast.model.lessons import Lessons
from holdfast.region.node_feed import NodeFeed
from holdfast.region.node_networks import Model
from holdfast.region.node_state import State

TEAM = "bench"
CALLER = Caller(team=TEAM, tenant=TEAM, scopes=frozenset({"feed"}))
BEGAN_US = 1_800_000_000_000_000
LEARNED = 400  # viewers that LINEAR learns from
VIDEOS_SOLVED = 3000


class Quiet:
    """Takes exposures and forgets them, as the keeper's answer is not waited for."""

    def __init__(self) -> None:
        self.entries, self.bytes = 0, 0
        self._done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def put_later(self, cls: Any, packed: bytes) -> "asyncio.Future[Any]":
        del cls
        self.entries, self.bytes = self.entries + 1, self.bytes + len(packed)
        return self._done


def fold(town: Town, take: Any, viewers: int) -> int:
    """Publish the town and tell what its viewers watched; return the newest stamp."""
    gc.disable()  # folds hold much and drop little; a node's collector is tamed likewise
    for k, item in enumerate(town.items(0, town.videos)):
        name, creator = f"{TEAM}:{item['item']}", f"{TEAM}:{item['creator']}"
        stamp = BEGAN_US - 86_400_000_000 + k
        rest = {key: item[key] for key in ("caption", "tags", "duration_ms")}
        take(Publication(device="n-bench", outbox=2 * k + 1, stamp=stamp, item=name, creator=creator, **rest))
        take(Ruling(device="n-bench", outbox=2 * k + 2, stamp=stamp, item=name, verdict="allow"))
    for viewer in range(viewers):
        for k, act in enumerate(town.past(viewer)):
            name, lengths = f"{TEAM}:{act['item']}", {key: act[key] for key in ("dwell_ms", "duration_ms")}
            stamp = BEGAN_US + 1_000_000 * k
            take(View(device=f"{TEAM}:v{viewer}", outbox=k + 1, stamp=stamp, item=name, **lengths))
    gc.enable()
    return BEGAN_US + 50_000_000


def model_of(town: Town, kept: Path | None) -> linear.LinearModel:
    """Return what LINEAR learns from some viewers, read from `kept` if it is there."""
    if kept is not None and kept.exists():
        return linear.load(kept.read_bytes())
    lessons = Lessons("US")
    fold(town, lessons.take, min(LEARNED, town.viewers))
    blob = linear.dump(lessons.statistics.solve(VIDEOS_SOLVED))
    if kept is not None:
        kept.write_bytes(blob)
    return linear.load(blob)


def network_of(kept: Path | None) -> full.FullModel:
    """Return a network of untrained weights, read from `kept` if it is there: then this process has no JAX in it."""
    if kept is not None and kept.exists():
        return release.load(kept.read_bytes())
    from holdfast.model.begin import begin

    blob = release.dump(full.FullModel(begin(1), full.LIVE, 1))
    if kept is not None:
        kept.write_bytes(blob)
    return release.load(blob)


def rss_mb() -> float:
    """Resident memory of this process, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024 / 1e6


async def measure(args: argparse.Namespace, root: Path) -> None:
    """Fold, warm up, answer `--slates` requests in batches, say what it cost."""
    town = Town(args.videos, args.viewers)
    top = resolve(Topology(regions=[Region(name="bench", jurisdiction="US")], rtt_ms=0.0), 20_000)
    home = Home(root)
    home.save(top)
    make_keys(home, top)
    state = State(home, "bench")
    began, empty = time.process_time(), rss_mb()
    newest = fold(town, state.world.apply, args.viewers)
    sys.stdout.write(
        f"folded in {time.process_time() - began:.0f} s of CPU: {rss_mb() - empty:.0f} MB above {empty:.0f} MB\n"
    )
    state.now_us = lambda: newest + 5_000_000  # type: ignore[method-assign]
    state.folding = True
    rung = Rung[args.rung]
    state.ladder = Ladder(rung, state.now_s(), state.now_s())
    predict = linear.Linear(model_of(town, args.model), state.world.catalogue, "linear")
    state.model = Model(predict, "linear", newest, 1, {})
    if rung < Rung.LINEAR:
        network = full.Full(network_of(args.network), state.world.catalogue, predict, "network")
        network.warm()
        state.networks.line.serving = "network"
        state.networks.held["network"] = Model(network, "network", newest, 1, {})
    quiet = Quiet()
    feed = NodeFeed(state, quiet)  # type: ignore[arg-type]
    feed._seed = 7  # of the keys otherwise, and those are new each time
    decode, bodies = msgspec.json.Decoder(FeedRequest).decode, list(town.requests(args.slates + 320, 10, "slates"))

    async def answer(some: list[bytes]) -> list[bytes]:
        slates = await asyncio.gather(*(feed.slate(decode(body), CALLER) for body in some))
        return [msgspec.json.encode(slate) for slate in slates]

    for at in range(0, 320, args.batch):
        await answer(bodies[at : at + args.batch])
    digest, size, rungs = 0, 0, set[str]()
    profile = cProfile.Profile() if args.profile else None
    used: list[float] = []
    for at in range(320, len(bodies) - args.batch + 1, args.batch):
        began = time.process_time()
        if profile:
            profile.enable()
        out = await answer(bodies[at : at + args.batch])
        if profile:
            profile.disable()
        used.append(1000 * (time.process_time() - began) / args.batch)
        for body in out:
            said = msgspec.json.decode(body)
            rungs.add(said["rung"])
            size += len(body)
            kept = [(i["item"], i["why"]) for i in said["items"]]
            digest = zlib.crc32(msgspec.json.encode([kept, said["taste"], said["removed"]]), digest)
    count = len(used) * args.batch
    mean, low = float(np.mean(used)), float(np.quantile(used, 0.1))
    sys.stdout.write(
        f"{mean:.3f} ms of CPU a slate, {low:.3f} in the quickest tenth ({count} slates, batches of {args.batch}, "
        f"{'/'.join(rungs)}); {size // count} bytes out, {quiet.bytes // max(1, quiet.entries)} recorded; "
        f"answers {digest:08x}; {rss_mb():.0f} MB resident{' with JAX' if 'jax' in sys.modules else ''}\n"
    )
    if profile:
        pstats.Stats(profile, stream=sys.stdout).sort_stats(args.sort).print_stats(args.lines)
    state.tables.close()


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description="CPU per slate of a node, in one process")
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--viewers", type=int, default=2000)
    parser.add_argument("--slates", type=int, default=1600)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rung", default="FULL")
    parser.add_argument("--model", type=Path, help="where LINEAR's model is kept from run to run")
    parser.add_argument("--network", type=Path, help="where the network's is")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--sort", default="tottime")
    parser.add_argument("--lines", type=int, default=45)
    with tempfile.TemporaryDirectory(prefix="holdfast-slates-") as root:
        asyncio.run(measure(parser.parse_args(), Path(root)))


if __name__ == "__main__":
    main()
