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
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from holdfast.core.errors import Refused

LOG_BYTES_MAX = 4_000_000  # of one process; the newest half is kept
REPORT_BYTES_MAX = 1_000_000  # longest line a child may report on stdout
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


async def spawn(argv: Sequence[str], log: Path, *, nice: int = 0, env: dict[str, str]) -> asyncio.subprocess.Process:
    """Start a child in its own process group; stderr goes to `log`, stdout is a pipe. Raises Refused if it cannot."""
    log.parent.mkdir(parents=True, exist_ok=True)
    parent = os.getpid()

    def prepare() -> None:  # between fork and exec
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before we asked
                os._exit(1)
        if nice:
            os.nice(nice)

    with log.open("ab") as err:
        try:
            return await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=err,
                env={**os.environ, **env}, process_group=0, preexec_fn=prepare, limit=REPORT_BYTES_MAX,
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


def free_base(host: str, size: int, start: int) -> int:
    """Find a base port of which `size` successive ports are free, from `start` upwards in steps of 100."""
    for base in range(start, 65_000 - size, 100):
        if all(port_is_free(host, base + k) for k in range(size)):
            return base
    raise Refused(f"no {size} free ports in a row above {start}", field="port", hint="free some, or pass --port")


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
