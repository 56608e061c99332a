"""What happened in a world: every message and fault goes into one hash, and what a person wants to read into a story.

Two runs are the same if their hashes are. The counts say how often each fault and each rare state occurred: a fault
that never happens in a sweep proves nothing about it.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from zlib import crc32

HASHED = 4096  # bytes of a message that go into the hash
STORY_MAX = 4000  # lines kept; the last ones matter most


class Trace:
    """One world's record. `now_s`: virtual seconds."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._hash = hashlib.blake2b(digest_size=16)
        self.story: list[str] = []
        self.counts: Counter[str] = Counter()
        self.events = 0

    def message(self, what: str, source: str, target: str, data: bytes) -> None:
        """A message was sent."""
        self.events += 1
        self._hash.update(f"{self._now_s():.7f} {what} {source}>{target} {len(data)} {crc32(data[:HASHED])}\n".encode())

    def tell(self, who: str, text: str) -> None:
        """Something that a reader of the story wants to know."""
        line = f"{self._now_s():8.3f} s  {who:<10} {text}"
        self._hash.update(line.encode())
        self.story.append(line)
        if len(self.story) > STORY_MAX:
            del self.story[: STORY_MAX // 2]

    def count(self, what: str, n: int = 1) -> None:
        """A fault or rare state occurred."""
        self.counts[what] += n

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
