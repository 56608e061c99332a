"""What must be undone, written down before it is done: a drill that is killed leaves no fault behind.

A fault that outlives its drill is an outage that we made. So each fault first writes what would undo it into
`drill-journal.json` of the installation, fsynced, and strikes that out when it has restored. Ctrl-C and errors restore
as they unwind; after a `kill -9` of the drill the next one on that installation, or on this machine, undoes what is
left (`undo_all`, `sweep`). Everything here is plain data, since the process that knew more is gone.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from holdfast.core.errors import Refused

NAME = "drill-journal.json"
PREFIX = "holdfast-drill-"
OWNER = "drill.pid"


class Debt(msgspec.Struct, frozen=True):
    """`kind`: `file` (delete it), `unmount`, `pids` (let them go on). `what`: a path, or pids and their starts."""

    kind: str
    what: str


class _Book(msgspec.Struct):
    """What the file holds. `owner`: the drill's process, as `pid start`."""

    owner: str
    debts: list[Debt]


class Journal:
    """The debts of one installation's drill."""

    def __init__(self, root: Path) -> None:
        self._file = root / NAME
        self._open: list[Debt] = []

    @contextlib.contextmanager
    def owes(self, kind: str, what: str) -> Iterator[None]:
        """Record a debt for the length of the block."""
        debt = Debt(kind, what)
        self._open.append(debt)
        self._write()
        try:
            yield
        finally:
            self._open.remove(debt)
            self._write()

    def _write(self) -> None:
        part = self._file.with_suffix(".part")
        with part.open("wb") as f:
            f.write(msgspec.json.encode(_Book(_me(), self._open)))
            f.flush()
            os.fsync(f.fileno())
        part.replace(self._file)


def started(pid: int) -> str:
    """When a process began, in the kernel's ticks: with its id it names one process for ever. "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _me() -> str:
    return f"{os.getpid()} {started(os.getpid())}"


def _alive(owner: str) -> bool:
    pid, _, since = owner.partition(" ")
    return pid.isdigit() and started(int(pid)) == since != ""


def undo_all(root: Path) -> list[str]:
    """Undo what a drill that died left in an installation; return what was done, in words.

    Raises Refused if that drill lives: then these are not debts.
    """
    file = root / NAME
    try:
        book = msgspec.json.decode(file.read_bytes(), type=_Book)
    except (OSError, msgspec.MsgspecError):
        return []
    if book.debts and book.owner != _me() and _alive(book.owner):
        raise Refused(f"a drill runs in {root}", field="attach", hint="wait until it has ended")
    done = [_undo(debt) for debt in reversed(book.debts)]
    file.unlink(missing_ok=True)
    return done


def _undo(debt: Debt) -> str:
    if debt.kind == "file":
        Path(debt.what).unlink(missing_ok=True)
        return f"removed {Path(debt.what).name}"
    if debt.kind == "unmount":
        subprocess.run(["umount", "-l", debt.what], check=False, capture_output=True)
        return f"unmounted {debt.what}"
    for pair in debt.what.split():
        pid, _, since = pair.partition(":")
        if started(int(pid)) == since:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(pid), signal.SIGCONT)
    return "let stopped processes go on"


def make_root() -> Path:
    """A directory for a platform that a drill starts, marked as this process's own."""
    root = Path(tempfile.mkdtemp(prefix=PREFIX))
    (root / OWNER).write_text(_me())
    return root


def sweep() -> list[str]:
    """Undo and remove what drills that died left on this machine; return what was done, in words."""
    done: list[str] = []
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{OWNER}"):
        try:
            alive = _alive(owner.read_text())
        except OSError:
            continue
        if not alive:
            done += undo_all(owner.parent)
            shutil.rmtree(owner.parent, ignore_errors=True)
            done.append(f"removed {owner.parent}")
    return done
