"""How tests wait for what must come: they look again and again, and give up only where no sound machine would.

A limit is said in seconds of an idle pair of cores; a machine that does other things beside gets SLOW times as long:
waiting longer costs nothing where all is well, and a test that fails by haste teaches nobody anything. A region that is
starting refuses connections or says "not yet" in an answer without what is looked for: that is no failure, but waiting.
"""

import asyncio
import http.client
import time
from collections.abc import Callable
from typing import Any

SLOW = 6
NOT_YET = (LookupError, OSError, http.client.HTTPException)


class _Watch:
    """One waiting: what was seen last, and until when to look."""

    def __init__(self, holds: Callable[[], Any], seconds: float, what: str) -> None:
        self._holds, self._seconds, self._what = holds, seconds * SLOW, what
        self._end_s = time.monotonic() + self._seconds

    def look(self) -> Any:
        """Return what is true at last, or something false; fail when it is too late."""
        try:
            if value := self._holds():
                return value
        except NOT_YET as e:
            value = e
        assert time.monotonic() < self._end_s, f"not within {self._seconds:.0f} s: {self._what or repr(value)}"
        return None


def until(holds: Callable[[], Any], seconds: float = 15.0, what: str = "") -> Any:
    """Wait until `holds()` is true and return what it gave; fail with what was seen last."""
    watch = _Watch(holds, seconds, what)
    while not (value := watch.look()):
        time.sleep(0.05)
    return value


async def comes(holds: Callable[[], Any], seconds: float = 15.0, what: str = "", step_s: float = 0.05) -> Any:
    """As `until`, letting the loop run meanwhile."""
    watch = _Watch(holds, seconds, what)
    while True:
        if value := watch.look():
            return value
        await asyncio.sleep(step_s)
