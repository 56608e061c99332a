"""A clock that can be wrong: a process's wall clock, ahead or behind by what a file says, changed while it runs.

Setting the machine's clock would set everybody's, and a library that intercepts system calls is one more thing to have.
Our processes read the wall clock through Python's `time`, so a drill starts them through this module, which puts an
offset into `time.time` and `time.time_ns` and then becomes the process. The offset lies in eight mapped bytes: a drill
writes there, and the clock jumps. The monotonic clock stays right, as on a real machine. The log server keeps the right
time; it stamps nothing that Holdfast reads.

    python -m holdfast.drills.faults_clock FILE run node --region us-east --dir DIR
"""

import mmap
import runpy
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

BYTES = 8
MODULE = "holdfast.drills.faults_clock"


def set_offset(file: Path, ahead_s: float) -> None:
    """Let the clocks that follow `file` be ahead by this much from now on, in seconds; negative: behind."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("r+b" if file.exists() else "w+b") as f:
        f.write(struct.pack("<q", int(ahead_s * 1e9)))


def follow(file: Path) -> None:
    """Bend this process's wall clock."""
    with file.open("rb") as f:
        offset = mmap.mmap(f.fileno(), BYTES, prot=mmap.PROT_READ)
    right = time.time_ns
    read = struct.Struct("<q").unpack_from

    def time_ns() -> int:
        return right() + read(offset)[0]

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


def wrapped(made: Callable[[], list[str]], file: Path) -> list[str]:
    """The command line of a `python -m holdfast.cli.main …` process with a clock that follows `file`."""
    argv = made()
    return [argv[0], "-m", MODULE, str(file), *argv[3:]]


if __name__ == "__main__":
    follow(Path(sys.argv[1]))
    sys.argv[:2] = ["holdfast"]
    runpy.run_module("holdfast.cli.main", run_name="__main__")
