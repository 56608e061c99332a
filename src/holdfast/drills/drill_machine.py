"""What else the machine did meanwhile: times that were measured beside other programs are partly theirs.

A drill on a shared machine can break a promise of half a second because somebody compiled something. So each verdict
says what share of the machine's processor time went to programs that are not the drill's (Linux; −1 elsewhere).
"""

import os
from pathlib import Path

PROC = Path("/proc")
USER, NICE, SYSTEM, IRQ, SOFTIRQ = 0, 1, 2, 5, 6  # columns of /proc/stat that are work, of any process


class Machine:
    """Processor time since it was made. What is counted as the drill's: this process and all that descend from it."""

    def __init__(self) -> None:
        self._busy, self._all = _machine()
        self._ours = _ours()

    def others_share(self) -> float:
        """The share of the machine's time that went to others since, 0 to 1; −1.0 where that cannot be told."""
        busy, all_ = _machine()
        if all_ <= self._all:
            return -1.0
        ours = sum(max(0, ticks - self._ours.get(pid, 0)) for pid, ticks in _ours().items())
        return round(max(0.0, (busy - self._busy - ours) / (all_ - self._all)), 3)


def _machine() -> tuple[int, int]:
    """(busy, all) ticks of all cores since the start of the machine; zeros where there is no /proc."""
    try:
        ticks = [int(word) for word in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0, 0
    return sum(ticks[k] for k in (USER, NICE, SYSTEM, IRQ, SOFTIRQ)), sum(ticks)


def _ours() -> dict[tuple[int, str], int]:
    """Ticks that each process of the drill has used, by (pid, when it began)."""
    parents: dict[int, int] = {}
    used: dict[int, tuple[str, int]] = {}
    for entry in PROC.glob("[0-9]*"):
        try:
            words = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(entry.name)
        parents[pid], used[pid] = int(words[1]), (words[19], int(words[11]) + int(words[12]))
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return {(pid, used[pid][0]): used[pid][1] for pid in family if pid in used}
