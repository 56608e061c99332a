"""The outbox as a state machine beside a world of regions that lose power: nothing that mattered is ever dropped."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from holdfast.core.errors import Degraded
from holdfast.core.health import outbox as module
from holdfast.core.health.outbox import DOUBT_S, LAG_S, LOCAL_KEEP_S, Ack, Outbox

REGIONS = ("us-east", "us-west")


class World(RuleBasedStateMachine):
    """Two regions with blocks of numbers; carrying copies blocks; a burning region loses all of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox()
        self.at = "us-east"
        self.epoch = dict.fromkeys(REGIONS, 0)
        self.blocks: dict[str, dict[tuple[str, int], list[list[int]]]] = {r: {} for r in REGIONS}
        self.gone: set[int] = set()

    @rule(n=st.integers(1, 5))
    def say(self, n: int) -> None:
        for _ in range(n):
            self.outbox.put(self.outbox.next_number(), b"x")

    @rule(size=st.integers(1, 7), heard=st.booleans())
    def flush(self, size: int, heard: bool) -> None:
        numbers = [k.number for k in self.outbox.batch(size)]
        if numbers:
            own = self.blocks[self.at].setdefault((self.at, self.epoch[self.at]), [])
            own.append(numbers)
            if heard:  # otherwise the answer was lost, and they will be sent again
                self.outbox.acknowledge(numbers, Ack(f"personal/{self.at}", str(self.epoch[self.at]), len(own)))

    @rule(source=st.sampled_from(REGIONS))
    def carry(self, source: str) -> None:
        for chain, blocks in self.blocks[source].items():
            for region in REGIONS:
                if len(self.blocks[region].get(chain, [])) < len(blocks):
                    self.blocks[region][chain] = list(blocks)

    @rule()
    def burn(self) -> None:
        """The region the client is on loses its disks and starts a new epoch; the client moves."""
        self.blocks[self.at] = {}
        self.epoch[self.at] += 1
        self.at = REGIONS[1 - REGIONS.index(self.at)]
        self.outbox.moved()
        self.carry(self.at)  # the returning region restores itself before the other may burn: one loss at a time

    @rule()
    def hear(self) -> None:
        held: module.Watermark = {}
        for (origin, epoch), blocks in self.blocks[self.at].items():
            held.setdefault(f"personal/{origin}", {})[str(epoch)] = len(blocks)
        other = self.blocks[REGIONS[1 - REGIONS.index(self.at)]]
        safe = {
            f"personal/{self.at}": {
                str(epoch): len(blocks) for (origin, epoch), blocks in other.items() if origin == self.at
            }
        }
        self.gone.update(self.outbox.let_go(safe, held, self.at, 0.0))

    @invariant()
    def nothing_is_forgotten(self) -> None:
        held = {n for blocks in self.blocks[self.at].values() for block in blocks for n in block}
        assert set(range(1, self.outbox.last + 1)) == self.gone | set(self.outbox.kept)
        assert self.gone <= held, "let go, but the region the client is on does not hold it"

    @invariant()
    def it_is_sent_in_order(self) -> None:
        numbers = [k.number for k in self.outbox.batch(10_000)]
        assert numbers == sorted(numbers)


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_local_is_let_go_after_its_bound_only_where_it_is_the_strongest() -> None:
    box = Outbox()
    for strongest in ("local", "safe"):
        number = box.next_number()
        box.put(number, b"")
        box.acknowledge([number], Ack("personal/eu-west", "e", number, strongest, at_s=0.0))
    assert box.let_go({}, {}, "eu-west", LOCAL_KEEP_S - 1) == []
    assert box.let_go({}, {}, "eu-west", LOCAL_KEEP_S) == [1]
    assert box.let_go({}, {"personal/eu-west": {"e": 9}}, "eu-west", 1e6) == [], "the origin itself is no second place"


def test_a_refused_entry_does_not_stop_the_others() -> None:
    box = Outbox()
    for n in (1, 2, 3):
        box.put(n, b"")
    box.refuse(2)
    assert [k.number for k in box.batch(9)] == [1, 3] and box.refused == [2]


def test_a_full_outbox_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OUTBOX_MAX", 1)
    box = Outbox()
    box.put(box.next_number(), b"")
    with pytest.raises(Degraded):
        box.next_number()


def test_each_entry_goes_by_the_block_of_its_own_class() -> None:
    box = Outbox()
    box.put(1, b"a like", "personal")
    box.put(2, b"a comment", "public")
    acks = Ack("personal/eu-west", "e", 9, "local"), Ack("public/eu-west", "p", 4, "safe")
    assert box.acknowledge([1, 2], *acks) == []
    assert box.let_go({}, {}, "eu-west", LOCAL_KEEP_S) == [1], "a comment can be safe: it does not go by time"
    assert box.let_go({"personal/eu-west": {"e": 99}}, {}, "eu-west", LOCAL_KEEP_S) == []
    assert box.let_go({"public/eu-west": {"p": 4}}, {}, "eu-west", LOCAL_KEEP_S) == [2]


def test_an_entry_for_which_no_block_is_named_waits() -> None:
    box = Outbox()
    box.put(1, b"a comment", "public")
    assert box.acknowledge([1], Ack("personal/us-east", "e", 1)) == [1] and box.waits() == 1


def test_what_a_silent_region_acknowledged_last_is_said_again_and_nothing_else() -> None:
    box = Outbox()
    for n, region in ((1, "us-east"), (2, "us-west"), (3, "us-east")):
        box.put(n, b"")
        box.acknowledge([n], Ack(f"personal/{region}", "e", n))
    box.acknowledge([3], Ack("personal/us-west", "e", 4))
    assert box.moved("us-east") == 1 and [k.number for k in box.batch(9)] == [1]


def test_what_a_region_no_longer_holds_is_said_again() -> None:
    """It burnt and came back between two of our calls: nobody suspected it, and the old epoch is gone."""
    box = Outbox()
    box.put(1, b"")
    box.acknowledge([1], Ack("personal/us-east", "old", 7, at_s=0.0))
    anew = {"personal/us-east": {"new": 1}}
    assert box.forgotten(anew, "us-east", DOUBT_S - 1) == 0, "this may have been said before the acknowledgement"
    assert box.forgotten(anew, "us-west", DOUBT_S) == 0, "only the region itself can say so"
    assert box.forgotten({}, "us-east", DOUBT_S) == 0, "it is still reading"
    assert box.forgotten({"personal/us-east": {"old": 7, "new": 1}}, "us-east", DOUBT_S) == 0
    assert box.forgotten(anew, "us-east", DOUBT_S) == 1 and box.waits() == 1


def test_what_a_region_lost_from_the_end_of_an_epoch_is_said_again() -> None:
    """It was restored from a backup: the epoch is there, and ends below what was acknowledged."""
    behind = {"personal/us-east": {"old": 6}}
    for by, after_s, again in (("us-east", DOUBT_S, 1), ("us-west", LAG_S - 1, 0), ("us-west", LAG_S, 1)):
        box = Outbox()
        box.put(1, b"")
        box.acknowledge([1], Ack("personal/us-east", "old", 7, at_s=0.0))
        assert box.forgotten(behind, by, after_s) == again == box.waits(), by


def test_what_a_region_said_of_an_entry_is_void_once_it_does_not_hold_it_itself() -> None:
    """So the entry counts as taken by nobody, and a stamp that was ahead may be given anew (simulator, seed 56)."""
    behind = {"personal/us-east": {"old": 6}}
    for by, after_s, left in (("us-east", DOUBT_S, 0), ("us-west", LAG_S, 1)):
        box = Outbox()
        box.put(1, b"")
        box.acknowledge([1], Ack("personal/us-east", "old", 7, at_s=0.0))
        assert box.forgotten(behind, by, after_s) == 1 and len(box.kept[1].acks) == left, by
