"""The first moments of a child: `started.py PARENT NICE PROGRAM ...` asks to die with its parent, then becomes PROGRAM.

Run as a file, by an interpreter without site packages: it imports nothing of Holdfast and costs some 15 ms.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; it survives exec


def main(parent: int, nice: int, argv: list[str]) -> None:
    """Become `argv`. Does not return; exits with 1 if the parent is gone already, 127 if the program does not run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(1)
    if nice:
        os.nice(nice)
    try:
        os.execvp(argv[0], argv)
    except OSError as e:
        sys.stderr.write(f"{argv[0]} does not start: {e.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
