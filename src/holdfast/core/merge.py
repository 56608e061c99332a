"""Joins: how state that several regions change becomes the same everywhere, whatever the order of arrival.

Three shapes are enough. A *register* keeps the write with the newest stamp (id breaks ties). An *interval set*
remembers which outbox numbers of a device have been seen, in space that does not grow with their count, so that
duplicates are harmless. A *count* is the size of a set of distinct ids, never a sum of increments.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

EntryId = tuple[str, int]  # (device, outbox number)


@dataclass(slots=True)
class Register:
    """Last writer wins, by (stamp, id) of the entry; commutative, associative, idempotent."""

    stamp: int
    entry_id: EntryId
    value: object

    def join(self, stamp: int, entry_id: EntryId, value: object) -> bool:
        """Take the write if it is newer than what is held; return whether it was."""
        if (stamp, entry_id) <= (self.stamp, self.entry_id):
            return False
        self.stamp, self.entry_id, self.value = stamp, entry_id, value
        return True


@dataclass(slots=True)
class IntervalSet:
    """A set of integers kept as disjoint, sorted, closed intervals `[starts[i], ends[i]]`."""

    starts: list[int] = field(default_factory=list[int])
    ends: list[int] = field(default_factory=list[int])

    def __contains__(self, n: int) -> bool:
        i = bisect_right(self.starts, n) - 1
        return i >= 0 and n <= self.ends[i]

    def add(self, n: int) -> bool:
        """Add `n`; return False if it was there already."""
        ends = self.ends
        if ends and n == ends[-1] + 1:  # the common case: outboxes are sent in order
            ends[-1] = n
            return True
        i = bisect_right(self.starts, n) - 1
        if i >= 0 and n <= ends[i]:
            return False
        joins_left = i >= 0 and ends[i] == n - 1
        joins_right = i + 1 < len(self.starts) and self.starts[i + 1] == n + 1
        if joins_left and joins_right:
            ends[i] = ends.pop(i + 1)
            self.starts.pop(i + 1)
        elif joins_left:
            ends[i] = n
        elif joins_right:
            self.starts[i + 1] = n
        else:
            self.starts.insert(i + 1, n)
            ends.insert(i + 1, n)
        return True

    def __len__(self) -> int:
        return sum(e - s + 1 for s, e in zip(self.starts, self.ends, strict=True))

    def pairs(self) -> list[tuple[int, int]]:
        """Return the intervals as (first, last) pairs."""
        return list(zip(self.starts, self.ends, strict=True))
