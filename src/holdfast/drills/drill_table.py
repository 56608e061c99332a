"""Every drill, one row each: what is done, what we believe will happen, and which figures hold us to it."""

from holdfast.drills import faults as f
from holdfast.drills.drill_run import Drill
from holdfast.drills.verdict import Bound

EAST, WEST, EU = "us-east", "us-west", "eu-west"

READS = (
    Bound("read_wait_s_p50", 0.5, "reads resume, median s"),
    Bound("read_wait_s_p99", 1.5, "reads resume, p99 s"),
)
WRITES = (Bound("next_write_s_max", 1.5, "writes resume, s"),)
LEAVE = (Bound("left_s_max", 2.0, "clients leave, s"), Bound("returns_max", 1, "returns of a client in 30 s"))

DRILLS: tuple[Drill, ...] = (
    Drill(
        "dark", "us-east goes dark, silently", "Clients find us-west before they notice; nothing acknowledged is lost.",
        lambda s: f.dark(s, EAST), must_leave=True, bounds=(*READS, *WRITES),
    ),
    Drill(
        "partition", "us-east and the other regions hear nothing of each other",
        "Both sides go on serving; when they meet again they hold the same within seconds.",
        lambda s: f.partition(s, EAST, (WEST, EU)),
    ),
)  # fmt: skip


def named(name: str) -> Drill | None:
    """The row of this name."""
    return next((drill for drill in DRILLS if drill.name == name), None)
