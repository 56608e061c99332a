"""Continuity, segments and safety."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.chain import ZERO_DIGEST, Block, digest_of, seal
from holdfast.core.errors import Broken
from holdfast.core.log.continuity import START, Fork, Gap, Key, Link, branch_of, check_next, epoch_of
from holdfast.core.log.safe import Safety
from holdfast.core.log.segments import pack, unpack

KEY = Key("public/a", "e1")


def row(length: int, chain: str = "public/a", epoch: str = "e1", salt: int = 0) -> list[bytes]:
    prev, out = ZERO_DIGEST, []
    for n in range(1, length + 1):
        out.append(seal(Block(chain, epoch, n, prev, n + salt, []), lambda _: bytes(64)))
        prev = digest_of(out[-1])
    return out


def test_a_row_is_accepted_block_by_block_and_nothing_else_is() -> None:
    blocks, link = row(5), START
    for message in blocks:
        with pytest.raises(Broken):
            check_next(Key("public/b", "e1"), link, message, None)
        with pytest.raises(Broken):
            check_next(Key("public/a", "e2"), link, message, None)
        _, link = check_next(KEY, link, message, lambda _s, _b: True)
    assert link == Link(5, digest_of(blocks[-1]))
    with pytest.raises(Gap):
        check_next(KEY, Link(2, digest_of(blocks[1])), blocks[3], None)
    other = row(5, salt=7)
    with pytest.raises(Fork):
        check_next(KEY, Link(2, digest_of(blocks[1])), other[2], None)
    with pytest.raises(Broken):
        check_next(KEY, START, blocks[0], lambda _s, _b: False)
    check_next(KEY, Link(2, b""), other[2], None)  # the block before is lost: `prev` cannot be checked


@given(st.integers(0, 400))
def test_every_flipped_byte_of_a_sealed_row_is_noticed(at: int) -> None:
    blocks = row(3)
    flat = bytearray(blocks[1])
    at = 65 + at % (len(flat) - 65)  # of the block itself: the signature is another's business
    flat[at] ^= 1
    link = Link(1, digest_of(blocks[0]))
    try:
        _, end = check_next(KEY, link, bytes(flat), None)
    except Broken:
        return
    with pytest.raises(Fork):
        check_next(KEY, end, blocks[2], None)


def test_branches_are_named_by_their_first_block() -> None:
    branch = branch_of(KEY, digest_of(row(1)[0]))
    assert epoch_of(branch) == "e1"
    assert branch_of(branch, digest_of(row(1)[0])) == branch


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20))
def test_segments_round_trip_and_a_cut_one_is_refused(messages: list[bytes]) -> None:
    data = pack(messages)
    assert unpack(data) == messages
    assert pack(messages) == data
    if messages:
        with pytest.raises(Broken):
            unpack(data[:-1])
    with pytest.raises(Broken):
        unpack(data[1:])


@given(st.lists(st.tuples(st.sampled_from("bc"), st.integers(0, 9)), max_size=12), st.integers(0, 9))
def test_safe_never_exceeds_what_we_hold_or_what_some_peer_holds(words: list[tuple[str, int]], ours: int) -> None:
    safety = Safety("a")
    said: dict[str, int] = {}
    for peer, n in words:
        moved = safety.hear(peer, {"public/a": {"e": n}})
        assert moved == (said.get(peer) != n)
        said[peer] = n
    safe = safety.safe({"public/a": {"e": ours}, "public/b": {"f": 4}})
    assert safe.get("public/a", {}).get("e", 0) == min(ours, max(said.values(), default=0))
    assert safe["public/b"]["f"] == 4, "a copy is in two places already"
