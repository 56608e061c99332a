"""Every command and its options, in one table of functions; each imports what it needs when it is called."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

import holdfast
from holdfast.cli.cascade import cascade
from holdfast.cli.drill import group as drill
from holdfast.cli.evaluate import group as evaluation
from holdfast.cli.importing import bring
from holdfast.cli.sim import sim
from holdfast.cli.trials import group as experiment
from holdfast.core.errors import Refused

DIR = Path("holdfast-data")
Dir = Annotated[Path, Parameter(name="--dir", help="where this installation lives")]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="print one JSON object as the last line")]
Region = Annotated[str, Parameter(name="--region", help="name of a region")]

app = App(
    name="holdfast", version=holdfast.__version__, version_flags=["--version"],
    help="A short-video platform with a For You feed that holds when a data centre goes dark.",
)  # fmt: skip
keys = App(name="keys", help="Secrets of the regions, and API keys for teams.")
api = App(name="api", help="API keys for teams.")
bench = App(name="bench", help="Measure, and print figures.")
replay = App(name="replay", help="Play a real log through the public API.")
media = App(name="media", help="Look at video files.")
ask = App(name="log", help="Read chains.")
for sub in (keys, bench, replay, drill, media, ask, evaluation, experiment):
    app.command(sub)
keys.command(api)
app.command(bring, name="import")
app.command(sim)
app.command(cascade)


def call(words: list[str]) -> None:
    """Run one command line. Raises Refused with a hint on a mistake in it."""
    try:
        app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as e:
        raise Refused(" ".join(str(e).split()), hint=" ".join(["holdfast", *(e.command_chain or ()), "--help"])) from e


@app.command
def up(
    *, dir: Dir = DIR, port: int | None = None, fresh: bool = False, topology: Path | None = None,
    clips: Path | None = None, clips_count: int = 240, audience: int = 100, demo: bool | None = None, nats: str = "",
    json: Json = False,
) -> None:  # fmt: skip
    """Start every region and open the feed.

    Parameters
    ----------
    port
        the control room's port; regions follow (default 8400).
    fresh
        delete what is in the directory first.
    topology
        a TOML file of regions; default us-east, us-west, eu-west, 70 ms apart.
    clips
        publish the videos of this directory (with manifest.csv) instead of drawing some.
    clips_count
        how many clips to draw on the first start.
    audience
        how many synthetic viewers watch through the public API.
    demo
        the control room with its power switches (default: on loopback).
    nats
        use this NATS server (with one region) instead of starting one.
    """
    from holdfast.adapters.home import Home
    from holdfast.cli import up as it

    if audience < 0 or clips_count < 0:
        raise Refused("--audience and --clips-count count from 0", field="audience", hint="0 for none")
    if clips:
        from holdfast.drills import import_clips

        import_clips.read_manifest(clips)  # says a mistake now, not in the log of who reads it later
    home = Home(dir.resolve())
    top = it.read_topology(home, topology, port, nats, fresh)
    if fresh:
        it.wipe(home)
    wanted = it.may_demo(top) if demo is None else demo
    it.up(it.Plan(home, top, clips, clips_count, audience, wanted, json))


@app.command
def doctor(*, dir: Dir = DIR, json: Json = False) -> None:
    """Check this machine: Python, log server, ports, disk, memory, web app, browser."""
    from holdfast.cli import look

    look.doctor(dir.resolve(), json)


@app.command
def status(*, dir: Dir = DIR, json: Json = False) -> None:
    """What each region says of itself."""
    from holdfast.cli import look

    look.status(dir.resolve(), json)


@app.command
def config(*, json: Json = False) -> None:
    """Every setting there is, in one table."""
    from holdfast.cli import settings

    settings.show(json)


@app.command
def version() -> None:
    """The version."""
    print(holdfast.__version__)


@app.command
def backup(to: Path, *, region: Region, dir: Dir = DIR, json: Json = False) -> None:
    """Copy a region's chains and blobs to a new directory, consistently, while it runs."""
    from holdfast.adapters.home import Home
    from holdfast.cli import words
    from holdfast.region.backup import backup as it

    words.show(it(Home(dir.resolve()), region, to.resolve()), json)


@app.command
def restore(source: Path, *, region: Region, dir: Dir = DIR, json: Json = False) -> None:
    """Put a backup into the empty directory of a stopped region."""
    from holdfast.adapters.home import Home
    from holdfast.cli import words
    from holdfast.region.backup import restore as it

    words.show(it(Home(dir.resolve()), region, source.resolve()), json)


@app.command
def rule(
    item: str, verdict: Literal["allow", "limit", "age", "ask", "remove"], *, reason: str, region: Region = "",
    supersede: bool = True, dir: Dir = DIR, json: Json = False,
) -> None:  # fmt: skip
    """Rule on an item, as a person; a person's ruling replaces earlier ones unless --no-supersede."""
    from holdfast.cli import people

    people.rule(dir.resolve(), item, verdict, reason, region, supersede, json)


@app.command(show=False)
def publish(*, dir: Dir = DIR, clips: Path | None = None, count: int = 240) -> None:
    """Draw (or read) clips and publish them through the upload path; reports progress as JSON lines."""
    from holdfast.cli import crowd

    crowd.publish(dir.resolve(), clips, count)


@app.command(show=False)
def audience(*, dir: Dir = DIR, viewers: int = 100) -> None:
    """Synthetic viewers with hidden tastes; reports counters as JSON lines."""
    from holdfast.cli import crowd

    crowd.audience(dir.resolve(), viewers)


@keys.command(name="make")
def keys_make(*, dir: Dir = DIR) -> None:
    """Make the keys that are missing."""
    from holdfast.cli import people

    people.keys_make(dir.resolve())


@keys.command(name="show")
def keys_show(*, dir: Dir = DIR, json: Json = False) -> None:
    """Show public keys and the API keys' names and scopes; never a secret."""
    from holdfast.cli import people

    people.keys_show(dir.resolve(), json)


@keys.command(name="rotate")
def keys_rotate(*, region: Region, dir: Dir = DIR) -> None:
    """Give a stopped installation's region new passwords to the log servers."""
    from holdfast.cli import people

    people.keys_rotate(dir.resolve(), region)


@api.command(name="make")
def api_make(
    name: str, *scopes: Literal["items", "events", "feed", "rulings", "experiments"], platform: bool = False,
    adopt: bool = False, dir: Dir = DIR, json: Json = False,
) -> None:  # fmt: skip
    """Make an API key for a team; it is shown once.

    Parameters
    ----------
    platform
        the key publishes into the platform's own public catalogue, instead of one that is the team's alone.
    adopt
        take over the name of a team whose keys are all revoked, with its items and what its viewers did.
    """
    from holdfast.cli import people

    people.api_make(dir.resolve(), name, list(scopes), platform, adopt, json)


@api.command(name="revoke")
def api_revoke(name: str, *, dir: Dir = DIR) -> None:
    """Revoke an API key."""
    from holdfast.cli import people

    people.api_revoke(dir.resolve(), name)


@bench.command(name="ingest")
def bench_ingest(*, seconds: float = 10.0, json: Json = False) -> None:
    """Entries acknowledged a second after fsync, beside raw JetStream with the same blocks."""
    from holdfast.cli import figures

    figures.ingest(seconds, json)


@bench.command(name="serve")
def bench_serve(
    *, videos: int = 10_000, viewers: int = 4000, seconds: float = 20.0, rung: str = "FULL", json: Json = False
) -> None:
    """Slates a second of one core through HTTP, and how soon; waits for a model that gives RUNG first."""
    from holdfast.cli import figures

    figures.serve(videos, viewers, seconds, rung, json)


@bench.command(name="learn")
def bench_learn(*, seconds: float = 120.0, json: Json = False) -> None:
    """How soon a slate, and a released network, know of what was watched; showings trained a second."""
    from holdfast.cli import figures

    figures.learn(seconds, json)


@bench.command(name="learning")
def bench_learning(*, seeds: int = 5, json: Json = False) -> None:
    """Long-view share of the learned rung beside the popular one, over several worlds."""
    from holdfast.cli import figures

    figures.learning(seeds, json)


@bench.command(name="debuts")
def bench_debuts(*, worlds: int = 1, json: Json = False) -> None:
    """An hour with 200 new videos, calm and with a region lost: which reach 20 viewers, and what that costs."""
    from holdfast.cli import figures

    figures.debuts(worlds, json)


@bench.command(name="guard")
def bench_guard(
    *, viewers: int = 120, panel: int = 160, warm: float = 3600.0,
    part: Literal["all", "outage", "farm", "clicks"] = "all", seed: int = 0, json: Json = False,
) -> None:  # fmt: skip
    """What an hour on REGIONAL and an hour of bought clicks do to the network; what the gate says of bad ones.

    Parameters
    ----------
    viewers
        the audience beside the panel; one account in twenty is bought.
    panel
        viewers who are asked before and after; four times as many make the intervals half as wide.
    warm
        seconds of virtual time before the first hour is looked at.
    part
        only the hours of the outage; only the farm's and the bad networks; or the farm's where no network learns.
    """
    from holdfast.cli import figures

    if viewers < 40 or panel < 2 or warm < 0:
        raise Refused("--viewers counts from 40, --panel from 2, --warm from 0", field="viewers", hint="--viewers 120")
    figures.guard(viewers, panel, warm, part, seed, json)


@bench.command(name="context")
def bench_context(
    source: Path | None = None, *, limit: int = 20_000, lag: float = 30.0, seed: int = 0, json: Json = False
) -> None:
    """What the request's context is worth when a region is lost: hit rate and repeats with and without it.

    Parameters
    ----------
    source
        the kuairand-pure directory; without it a synthetic audience.
    limit
        impressions of the log to replay.
    lag
        seconds by which the regions hear of each other.
    """
    from holdfast.cli import figures

    if limit < 1 or lag < 0:
        raise Refused("--limit counts from 1, --lag from 0", field="limit", hint="--limit 20000 --lag 30")
    figures.context(source, limit, lag, seed, json)


@bench.command(name="peeking")
def bench_peeking(*, runs: int = 1000, json: Json = False) -> None:
    """Simulate experiments without a difference, looked at 200 times each: how often is one "found" all the same?"""
    from holdfast.cli import figures

    figures.peeking(runs, json)


@replay.command(name="kuairand")
def replay_kuairand(
    source: Path, *, limit: int | None = None, speedup: float = 0.0, dir: Dir = DIR, json: Json = False
) -> None:
    """Drive the KuaiRand log through running regions; hit rate@20 of the next long view, per rung."""
    from holdfast.cli import figures

    figures.kuairand(source, limit, speedup, dir.resolve(), json)


@media.command(name="probe")
def media_probe(file: Path, *, json: Json = False) -> None:
    """What is in a video file, and whether it would be taken."""
    from holdfast.cli import look

    look.probe(file, json)


@ask.command(name="show")
def log_show(chain: str, *, region: Region = "", last: int = 5, dir: Dir = DIR) -> None:
    """Print the last blocks of a chain, readably. CHAIN is for example personal/us-east."""
    from holdfast.cli import look

    look.chain(dir.resolve(), chain, region, last)
