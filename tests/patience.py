"""How tests wait for what must come: they look again and again, and give up only where no sound machine would.

A limit is said in seconds of an idle pair of cores; a machine that does other things beside gets SLOW times as long:
waiting longer costs nothing where all is well, and a test that fails by haste teaches nobody anything.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

SLOW = 6


def until(holds: Callable[[], Any], seconds: float = 15.0, what: str = "") -> Any:
    """Wait until `holds()` is true and return what it gave; fail with its last value."""
    end_s = time.monotonic() + seconds * SLOW
    while not (value := holds()):
        assert time.monotonic() < end_s, f"not within {seconds * SLOW:.0f} s: {what or repr(value)}"
        time.sleep(0.05)
    return value


async def comes(holds: Callable[[], Any], seconds: float = 15.0, what: str = "", step_s: float = 0.05) -> Any:
    """As `until`, letting the loop run meanwhile."""
    end_s = time.monotonic() + seconds * SLOW
    while not (value := holds()):
        assert time.monotonic() < end_s, f"not within {seconds * SLOW:.0f} s: {what or repr(value)}"
        await asyncio.sleep(step_s)
    return value
