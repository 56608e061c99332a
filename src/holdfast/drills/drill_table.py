"""Every drill, one row each: what is done, what we believe will happen, and which figures hold us to it.

On every row stand the promises of `verdict.ALWAYS` too: nothing acknowledged is lost, no slate fails for a client that
may use a region that lives, nothing repeats.
"""

from contextlib import nullcontext

from holdfast.drills import drill_spike, faults_data, faults_disk, power
from holdfast.drills import faults as f
from holdfast.drills.drill_run import Drill
from holdfast.drills.verdict import Bound
from holdfast.region.roles import NAMES
from holdfast.region.wan import Weather

EAST, WEST, EU = "us-east", "us-west", "eu-west"
SLOW = Weather(delay_ms=150.0)
LOSSY = Weather(loss=0.05)
THIN = Weather(bytes_per_s=64_000.0)

READS = (
    Bound("read_wait_s_p50", 0.5, "reads resume, median s"),
    Bound("read_wait_s_p99", 1.5, "reads resume, p99 s"),
)
WRITES = (Bound("write_wait_s_p99", 1.5, "writes resume, s"),)
ONE_RETURN = Bound("returns_max", 1, "returns of one client")
HURT = (Bound("hurt_s_max", 2.0, "clients leave after the first unanswered request, s"), ONE_RETURN)
LEAVE = (Bound("left_s_max", 2.0, "clients leave, s"), ONE_RETURN)
STAY = (Bound("slate_ms_p99", 1500.0, "slates within their deadline, ms"),)
UNHURT = "No viewer notices; nothing acknowledged is lost."

DRILLS: tuple[Drill, ...] = (
    # -- power
    Drill(
        "dark", "us-east goes dark: silent", "Clients are at us-west before they wonder; nothing acknowledged is lost.",
        lambda s: f.dark(s, EAST), must_leave=True, bounds=(*READS, *WRITES, *LEAVE),
    ),
    Drill(
        "refuse", "us-east is killed: its ports refuse", "The same, and sooner: a refusal says more than silence.",
        lambda s: f.dark(s, EAST, "refuse"), must_leave=True, bounds=(*READS, *WRITES, *LEAVE),
    ),
    Drill(
        "lost", "us-east goes dark, and its disks are gone",
        "What was safe lies in us-west, the rest in the outboxes; us-east comes back from an empty disk.",
        lambda s: f.dark(s, EAST, disks=True), must_leave=True, bounds=(*READS, *WRITES, *LEAVE),
    ),
    Drill(
        "cut-off-and-lost", "us-east is cut off from its peers, writes on for 4 s, and is lost with its disks",
        "What us-east acknowledged alone lies in the outboxes of who said it: it is said again, and nothing is lost.",
        lambda s: f.cut_off_and_lost(s, EAST, (WEST, EU), 4.0),
    ),
    Drill(
        "away", "us-west stands still, and goes on where it was",
        "us-east serves on; when us-west is back it is level within seconds.",
        lambda s: f.stopped(s, WEST, NAMES, "us-west stands still"), struck=WEST, must_leave=True,
        bounds=(*READS, *WRITES, *LEAVE),
    ),
    Drill(
        "pause", "the node of us-east stands still for 3 s, as in a long pause of its machine",
        "Clients go elsewhere and come back later; the node goes on as if nothing was.",
        lambda s: f.stopped(s, EAST, ("node",)), hold_s=3.0, bounds=(*READS, *WRITES),
    ),
    # -- networks
    Drill(
        "partition", "us-east and the other regions hear nothing of each other",
        "Both sides serve on; when they meet again they hold the same within seconds.",
        lambda s: f.partition(s, EAST, (WEST, EU)), bounds=STAY,
    ),
    Drill(
        "partition-refuse", "connections between us-east and the other regions break off", "The same as when silent.",
        lambda s: f.partition(s, EAST, (WEST, EU), refuse=True), bounds=STAY,
    ),
    Drill(
        "one-way", "what us-east sends to us-west is lost, the rest arrives",
        "Nothing is called safe that us-west does not hold; both serve on.",
        lambda s: f.one_way(s, EAST, WEST), bounds=STAY,
    ),
    Drill(
        "unheard", "us-east hears its viewers, they do not hear it",
        "Clients leave within 2 s; what us-east took and could not say is taken once.",
        lambda s: f.unheard(s, EAST), must_leave=True, through=True, bounds=(*READS, *WRITES, *LEAVE),
    ),
    Drill(
        "gray", "us-east leaves nine in ten feed requests unanswered, and answers all else, health checks too",
        "Clients leave within 2 s and come back at most once in 30 s.",
        lambda s: f.gray(s, EAST, 0.9), must_leave=True, through=True, hold_s=31.0, bounds=(*READS, *WRITES, *HURT),
    ),
    Drill(
        "latency", "300 ms more round trip between regions, and from viewers to us-east",
        "Feeds go on; clients may prefer the region that is nearer now.",
        lambda s: f.blowing(s, "300 ms more round trip",
                            f.between(EAST, WEST, SLOW) | f.between(EAST, EU, SLOW) | f.to_viewers(EAST, SLOW)),
        through=True, bounds=STAY,
    ),
    Drill(
        "loss", "one burst in twenty is lost between regions, and from viewers to us-east", "Feeds go on.",
        lambda s: f.blowing(s, "one burst in twenty is lost",
                            f.between(EAST, WEST, LOSSY) | f.between(EAST, EU, LOSSY) | f.to_viewers(EAST, LOSSY)),
        through=True, bounds=STAY,
    ),
    Drill(
        "throttle", "64 kB/s between us-east and the others", "Feeds go on; lag grows no faster than the link forces.",
        lambda s: f.blowing(s, "64 kB/s between us-east and the others",
                            f.between(EAST, WEST, THIN) | f.between(EAST, EU, THIN)),
        bounds=STAY,
    ),
    # -- processes
    Drill("node-dead", "the node of us-east is killed and stays dead", "Clients leave; keeper and learner go on.",
          lambda s: f.dead(s, EAST, "node"), must_leave=True, bounds=(*READS, *WRITES, *LEAVE)),
    Drill("keeper-dead", "the keeper of us-east is dead",
          "us-east serves feeds on and takes nothing in; its writers go to us-west.",
          lambda s: f.dead(s, EAST, "keeper"), bounds=(*READS, *WRITES)),
    Drill("log-dead", "the log server of us-east is killed, and starts again", "Writes wait or go to us-west.",
          lambda s: f.killed(s, EAST, "log"), bounds=(*READS, *WRITES)),
    Drill("slow-log", "the log server of us-east stands still nine tenths of the time",
          "Feeds do not wait for it; writes slow down or go to us-west.",
          lambda s: f.pulses(s, EAST, "log", period_s=0.5, share=0.9), bounds=READS),
    Drill("learner-dead", "the learner of us-east is dead", UNHURT, lambda s: f.dead(s, EAST, "learner"), bounds=STAY),
    Drill("transcoder-dead", "the transcoder of us-east is dead", UNHURT,
          lambda s: f.dead(s, EAST, "transcoder"), bounds=STAY),
    # -- disks
    Drill("flipped", "one bit is turned over in every file of us-east's log server",
          "us-east comes back whole: what its files lost, us-west holds.",
          lambda s: faults_disk.flipped(s, EAST), must_leave=True, bounds=WRITES),
    Drill("truncated", "every file of us-east's log server is cut short by a third", "The same.",
          lambda s: faults_disk.truncated(s, EAST), must_leave=True, bounds=WRITES),
    # -- what is said
    Drill("poison", "poisoned entries at the door of us-east, twenty a second",
          "None is taken; nobody who says good things notices.",
          lambda s: faults_data.poisoned(s, EAST), bounds=STAY),
    Drill("bad-release", "the learner of us-east releases what must not serve", "No node takes it up.",
          lambda s: faults_data.bad_release(s, EAST), bounds=STAY),
    Drill("clock-ahead", "the clock of us-east jumps 30 s ahead, and later back",
          "us-east's time infects nobody; nothing acknowledged is lost.",
          lambda s: faults_data.clock_is(s, EAST, 30.0), bounds=STAY),
    Drill("clock-back", "the clock of us-east jumps 30 s back, and later right again",
          "us-east's time infects nobody; nothing acknowledged is lost.",
          lambda s: faults_data.clock_is(s, EAST, -30.0), bounds=STAY),
    # -- a disk that can be told to fail
    Drill("disk-full", "the disk of us-east is full",
          "us-east serves feeds on and takes nothing in; its writers go to us-west.",
          lambda s: faults_disk.disk_is(s, EAST, "full"), disk=True, bounds=(*READS, *WRITES)),
    Drill("read-only", "the disk of us-east has become read-only", "The same.",
          lambda s: faults_disk.disk_is(s, EAST, "read-only"), disk=True, bounds=(*READS, *WRITES)),
    # -- on platforms that only they can build
    Drill("power-cut", "all regions lose power at once; what was never fsynced is gone", power.HYPOTHESIS,
          lambda s: nullcontext(), own=power.verdict),
    Drill("spike", "ten times the usual low-priority traffic, then four times what a region can bear",
          drill_spike.HYPOTHESIS, lambda s: nullcontext(), own=drill_spike.verdict),
)  # fmt: skip


def named(name: str) -> Drill | None:
    """The row of this name."""
    return next((drill for drill in DRILLS if drill.name == name), None)
