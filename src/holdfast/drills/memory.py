"""What a viewer's device remembers, in drills that play its part: acts, what it has seen, what is not yet safe."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from holdfast.core.entries import Entry
from holdfast.core.feed.shapes import CONTEXT_MAX, SEEN_MAX, ContextEvent, FeedRequest


@dataclass(slots=True)
class Memory:
    """Acts as (stamp, event), oldest first; `unsafe`: (stamp, entry) that a region may have told no other yet."""

    acts: deque[tuple[int, ContextEvent]] = field(default_factory=lambda: deque(maxlen=CONTEXT_MAX))
    seen: deque[str] = field(default_factory=lambda: deque(maxlen=SEEN_MAX))
    unsafe: deque[tuple[int, Entry]] = field(default_factory=deque[tuple[int, Entry]])

    def request(self, n: int, name: str, now_us: int, *, carries: bool = True) -> FeedRequest:
        """Make a request as this device would; without its memory if `carries` is off."""
        if not carries:
            return FeedRequest(n=n, request=name)
        context = [
            ContextEvent(item=e.item, action=e.action, dwell_ms=e.dwell_ms, duration_ms=e.duration_ms,
                         age_s=max(0, now_us - stamp) / 1e6)
            for stamp, e in self.acts
        ]  # fmt: skip
        return FeedRequest(n=n, request=name, context=context, seen=list(self.seen))

    def watched(self, stamp: int, item: str, dwell_ms: int, duration_ms: int, *, liked: bool, hid: bool) -> None:
        """Remember a showing and what was done then."""
        self.acts.append((stamp, ContextEvent(item=item, dwell_ms=dwell_ms, duration_ms=duration_ms)))
        if liked or hid:
            self.acts.append((stamp, ContextEvent(item=item, action="like" if liked else "hide")))
        self.seen.append(item)

    def keep(self, stamp: int, entries: Iterable[Entry], lag_us: int) -> None:
        """Keep entries until every region that lives must have heard of them."""
        self.unsafe.extend((stamp, entry) for entry in entries)
        while self.unsafe and self.unsafe[0][0] < stamp - lag_us:
            self.unsafe.popleft()
