"""The machine: processes that die with their parent, signals to whole groups, ports, disk space, bounded log files.

Every child leads a process group of its own, so that a signal reaches what it has spawned as well. It asks the kernel
to be killed when its parent dies (Linux), so that a supervisor killed with -9 leaves nothing behind; state on disk is
written for exactly that.
"""

import asyncio
import contextlib
import ctypes
import errno
import os
import random
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from holdfast.core.errors import Refused

LOG_BYTES_MAX = 4_000_000  # of one process; the newest half is kept
REPORT_BYTES_MAX = 1_000_000  # longest line a child may report on stdout
NO_PROGRAM = 127  # how a child ends whose program does not run (started.py)
PORTS_FROM, BASES_TRIED = 10_000, 500
LENT_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_STARTED = Path(__file__).with_name("started.py")


async def spawn(argv: Sequence[str], log: Path, *, nice: int = 0, env: dict[str, str]) -> asyncio.subprocess.Process:
    """Start a child in its own process group; stderr goes to `log`, stdout is a pipe. Raises Refused if it cannot.

    What a child must do before it begins (see adapters/started.py) it does in a fresh interpreter and not between fork
    and exec: the parent has threads, and a copy of a process made while one of them holds a lock may stand still.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if shutil.which(argv[0]) is None:
        raise Refused(f"{argv[0]} does not start: no such program", hint="holdfast doctor")
    first = [sys.executable, "-I", "-S", str(_STARTED), str(os.getpid()), str(nice)]
    with log.open("ab") as err:
        try:
            return await asyncio.create_subprocess_exec(
                *first, *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=err,
                env={**os.environ, **env}, process_group=0, limit=REPORT_BYTES_MAX,
            )  # fmt: skip
        except OSError as e:
            raise Refused(f"{argv[0]} does not start: {e.strerror}", hint="holdfast doctor") from e


def signal_group(pid: int, number: int) -> None:
    """Send a signal to the group that child `pid` leads; nothing happens if it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def port_is_free(host: str, port: int) -> bool:
    """Say whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
        except OSError as e:
            if e.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise Refused(f"cannot listen on {host}: {e.strerror}", field="host") from e
    return True


def free_base(host: str, size: int) -> int:
    """Find a base port of which `size` successive ports are free, below those the kernel lends to outgoing connections.

    Above that line a neighbour's connection may take, for as long as it lives, a port that was free a moment ago, and
    the server meant for it never starts. Bases are drawn at random, so that installations starting together part.
    """
    below = _lent_from() - size
    for base in random.sample(range(PORTS_FROM, below, 10), min(BASES_TRIED, (below - PORTS_FROM) // 10)):
        if all(port_is_free(host, base + k) for k in range(size)):
            return base
    raise Refused(f"no {size} free ports in a row below {below}", field="port", hint="free some, or pass --port")


def _lent_from() -> int:
    """The first port that the kernel may give to an outgoing connection."""
    try:
        return max(int(LENT_PORTS.read_text().split()[0]), PORTS_FROM + 1000)
    except (OSError, ValueError, IndexError):  # not Linux: the IANA's dynamic ports
        return 49_152


async def listening(host: str, port: int, deadline_s: float) -> bool:
    """Wait until something accepts connections there; False if it does not within the deadline."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + deadline_s
    while loop.time() < end_s:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1.0)
        except (OSError, TimeoutError):
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return True
    return False


def disk_free_bytes(path: Path) -> int:
    """Bytes free on the disk that holds `path` or its nearest parent that exists."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def usable_directory(path: Path) -> None:
    """Make `path` if need be. Raises Refused, in plain words, if it cannot be read and written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        list(path.iterdir())
        probe = path / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as e:
        hint = "free some space" if e.errno == errno.ENOSPC else "pass --dir with a directory of yours"
        raise Refused(f"{path} cannot be used: {(e.strerror or str(e)).lower()}", field="dir", hint=hint) from e


def make_durable(path: Path) -> None:
    """Fsync a file's bytes, or the names in a directory."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, if need be; the names of new ones outlive a power cut."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        make_durable(path.parent)


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file whole or not at all; when this returns, bytes and name outlive a power cut. One writer at a time.

    The bytes are fsynced before the rename (or the name could come to stand for an empty file), the folder after it
    (or the old file could be back).
    """
    part = path.with_name(f"{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    part.replace(path)
    make_durable(path.parent)


def bound_log(log: Path) -> None:
    """Keep a log file under LOG_BYTES_MAX. Its writer appends, so cutting it under the writer is safe."""
    try:
        if log.stat().st_size <= LOG_BYTES_MAX:
            return
        with log.open("rb") as f:
            f.seek(-LOG_BYTES_MAX // 2, os.SEEK_END)
            f.readline()
            with contextlib.suppress(OSError):  # a full disk: then the old lines go, not the machine
                log.with_suffix(".old.log").write_bytes(f.read())
        os.truncate(log, 0)
    except OSError:  # it has gone, or may not be cut: it is looked at again
        return


def memory_bytes() -> int:
    """Physical memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def give_back_memory() -> None:
    """Return freed memory to the system where the C library can (glibc): compiling leaves hundreds of MB of holes."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
