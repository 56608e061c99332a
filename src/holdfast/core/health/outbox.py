"""The outbox: what a client said, kept until more than one failure domain holds it.

    put ──► waiting ──► acknowledged ──► let go
               ▲  │           │
               │  └► refused  │ its region died
               └──────────────┘

An acknowledgement means one region has it on disk; that region may burn down tomorrow. So the client keeps every entry
until it is *safe*, and when a region falls silent it sends again elsewhere, in order, what that one was the last to
acknowledge. Entries carry their number, so hearing them twice changes nothing, and sending again is always allowed.
"""

from dataclasses import dataclass, field

from holdfast.core.classes import parse_chain
from holdfast.core.errors import Degraded

OUTBOX_MAX = 20_000  # entries kept; at ten a second, half an hour with no second region
DOUBT_S = 10.0  # what a region says it holds may be this much older than its acknowledgement
LAG_S = 30.0  # how far a region may be behind another before what it lacks is said to it too
LOCAL_KEEP_S = 60.0  # where *local* is the strongest state there is, let go after this (protocol.md)

Watermark = dict[str, dict[str, int]]  # chain -> epoch -> n


@dataclass(frozen=True, slots=True)
class Ack:
    """Where a region put entries: block `n` of `epoch` of `chain`, and when we heard (client's clock, seconds)."""

    chain: str
    epoch: str
    n: int
    strongest: str = "safe"
    at_s: float = 0.0


@dataclass(slots=True)
class Kept:
    """One entry in the outbox; `raw` is its encoding, `cls` its class, `acks` every place that acknowledged it."""

    number: int
    raw: bytes
    cls: str = "personal"
    acks: list[Ack] = field(default_factory=list[Ack])
    waiting: bool = True


@dataclass(slots=True)
class Outbox:
    """Entries by ascending number. `last` is the highest number ever given out."""

    last: int = 0
    kept: dict[int, Kept] = field(default_factory=dict[int, Kept])
    refused: list[int] = field(default_factory=list[int])

    def next_number(self) -> int:
        """The number of the next entry. Raises Degraded when the outbox is full: say it again later."""
        if len(self.kept) >= OUTBOX_MAX:
            raise Degraded(f"{OUTBOX_MAX} entries wait for a region", retry_after_s=5.0)
        return self.last + 1

    def put(self, number: int, raw: bytes, cls: str = "personal") -> None:
        """Keep an entry under the number that `next_number` gave."""
        assert number > self.last
        self.last = number
        self.kept[number] = Kept(number, raw, cls)

    def batch(self, size: int) -> list[Kept]:
        """The first entries that wait, in order: up to `size`, of one class, so that one block holds them."""
        out: list[Kept] = []
        for kept in self.kept.values():
            if kept.waiting:
                if len(out) == size or (out and out[0].cls != kept.cls):
                    break
                out.append(kept)
        return out

    def acknowledge(self, numbers: list[int], *acks: Ack) -> list[int]:
        """A region has these on disk, each in the block of its own class. Return those for which no block was named."""
        blocks = {parse_chain(ack.chain)[0].value: ack for ack in acks}
        left: list[int] = []
        for kept in (self.kept[n] for n in numbers if n in self.kept):
            ack = blocks.get(kept.cls)
            if ack is None:
                left.append(kept.number)
            else:
                kept.acks.append(ack)
                kept.waiting = False
        return left

    def refuse(self, number: int) -> None:
        """The door refused this entry for good: sending it again would stop all that follow."""
        if self.kept.pop(number, None):
            self.refused.append(number)

    def moved(self, away_from: str = "") -> int:
        """The client changed regions: all that is not let go waits again. Return how many were acknowledged before.

        With `away_from`, only what that region was the last to acknowledge: it fell silent, others did not.
        """
        again = 0
        for kept in self.kept.values():
            if kept.waiting or (away_from and parse_chain(kept.acks[-1].chain)[1] != away_from):
                continue
            again += 1
            kept.waiting = True
        return again

    def forgotten(self, held: Watermark, by: str, now_s: float) -> int:
        """Let wait again what `by` does not hold long after it was acknowledged; return how many.

        The region itself knows after DOUBT_S: its disk is new, or is an older one from a backup, and what it said of
        this entry is void. Another region may merely be behind; after LAG_S the entry is said there as well.
        """
        again = 0
        for kept in self.kept.values():
            ack = kept.acks[-1] if kept.acks and not kept.waiting else None
            own = ack is not None and parse_chain(ack.chain)[1] == by
            if ack is None or now_s - ack.at_s < (DOUBT_S if own else LAG_S):
                continue
            if held.get(ack.chain) and held[ack.chain].get(ack.epoch, 0) < ack.n:
                again += 1
                kept.waiting = True
                if own:  # so that a stamp which no region takes any more may be given anew (`Client._refused`)
                    kept.acks.pop()
        return again

    def let_go(self, safe: Watermark, held: Watermark, by: str, now_s: float) -> list[int]:
        """Drop what is safe, given what region `by` says is *safe* and what it *holds*; return the numbers."""
        gone = [
            kept.number for kept in self.kept.values()
            if any(_covered(ack, safe, held, by, now_s) for ack in kept.acks)
        ]  # fmt: skip
        for number in gone:
            del self.kept[number]
        return gone

    def waits(self) -> int:
        """How many entries have not been acknowledged since the last move."""
        return sum(kept.waiting for kept in self.kept.values())


def _covered(ack: Ack, safe: Watermark, held: Watermark, by: str, now_s: float) -> bool:
    if safe.get(ack.chain, {}).get(ack.epoch, 0) >= ack.n:
        return True
    if parse_chain(ack.chain)[1] != by and held.get(ack.chain, {}).get(ack.epoch, 0) >= ack.n:
        return True
    return ack.strongest == "local" and now_s - ack.at_s >= LOCAL_KEEP_S
