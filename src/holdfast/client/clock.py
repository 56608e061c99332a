"""The device's clock: stamps that never run backwards, follow the regions' time, and are taken back where both fail.

A device may be minutes off, and the door refuses stamps more than a second ahead. So each answer that names a region's
time teaches an offset. A region's own clock may jump, too: what was stamped by its time before is then refused, by it
or by the next region. So a refused stamp is a reason to ask the time, and no reason to give up what bears it.
"""

from collections.abc import Callable

import msgspec

from holdfast.core.hlc import AGE_MAX_US, AHEAD_MAX_US, Hlc


class Clock:
    """`wall_us`: the device's own idea of the time, microseconds since 1970."""

    def __init__(self, wall_us: Callable[[], int]) -> None:
        self._wall_us = wall_us
        self._hlc, self._ahead_us = Hlc(), 0
        self._told = False  # a region's clock was read: ours counts as wrong where it differs

    @property
    def last(self) -> int:
        """The newest stamp given."""
        return self._hlc.last

    def now_us(self) -> int:
        """The regions' time, as far as it is known."""
        return self._wall_us() + self._ahead_us

    def learn(self, now_us: int) -> None:
        """A region just said what time it is."""
        self._ahead_us, self._told = now_us - self._wall_us(), True

    def ahead(self, raw: bytes) -> bool:
        """Whether an encoded entry is stamped too far ahead of the regions' time for any of them to take it."""
        return self._ahead(msgspec.msgpack.decode(raw)["stamp"])

    def aged(self, raw: bytes) -> bool:
        """Whether an encoded entry is stamped so long ago that no region will ever take it."""
        return self._told and msgspec.msgpack.decode(raw)["stamp"] < self.now_us() - AGE_MAX_US

    def anew(self, raw: bytes) -> bytes:
        """An encoded entry with a new stamp."""
        return msgspec.msgpack.encode({**msgspec.msgpack.decode(raw), "stamp": self.stamp()})

    def stamp(self) -> int:
        """A new stamp. One that ran ahead of the regions' time is not followed: no region took what bore it."""
        if self._ahead(self._hlc.last):
            self._hlc = Hlc()
        return self._hlc.tick(self.now_us())

    def _ahead(self, stamp: int) -> bool:
        return self._told and stamp > self.now_us() + AHEAD_MAX_US
