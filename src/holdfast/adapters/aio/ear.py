"""How long this process could not listen, so that it does not take its own sleep for the silence of others.

A clock strikes every TICK_S while somebody attends. When it strikes late, the event loop was busy, or the machine gave
the process no time; answers may have lain in the socket all the while. The lateness adds up in `deaf_s`.
"""

import asyncio
import time

TICK_S = 0.05
PUNCTUAL_S = 0.005  # timers are about this exact on an idle machine


class Ear:
    """One loop's ear. `deaf_s` only grows, in seconds; compare two readings."""

    def __init__(self) -> None:
        self.deaf_s = 0.0
        self._attending = 0
        self._due_s = 0.0
        self._strike: asyncio.TimerHandle | None = None

    def attend(self) -> None:
        """Begin to listen; pair with `rest`."""
        self._attending += 1
        if self._strike is None:
            self._wind()

    def rest(self) -> None:
        """Stop listening; with the last one the clock stops."""
        self._attending -= 1
        if not self._attending and self._strike is not None:
            self._strike.cancel()
            self._strike = None

    def _wind(self) -> None:
        self._due_s = time.monotonic() + TICK_S
        self._strike = asyncio.get_running_loop().call_later(TICK_S, self._struck)

    def _struck(self) -> None:
        late_s = time.monotonic() - self._due_s
        if late_s > PUNCTUAL_S:
            self.deaf_s += late_s
        self._wind()
