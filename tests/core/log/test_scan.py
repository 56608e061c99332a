"""Blocks are found in any bytes, whatever stands around them; what is not genuine is not."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.adapters.signing import Signer, Verifier
from holdfast.core.chain import Block, digest_of, seal
from holdfast.core.log.continuity import Key
from holdfast.core.log.scan import genuine, places

KEY = Key("personal/eu-west", "0123456789ab")
SIGNER = Signer(b"k" * 32)
VERIFY = Verifier(SIGNER.public).verify
ENTRIES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=40) | st.binary(),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=20),
    max_leaves=20,
)


def row(contents: list[object], key: Key = KEY, first: int = 1) -> list[bytes]:
    """Sealed blocks first… with one entry each."""
    out: list[bytes] = []
    for n, content in enumerate(contents, first):
        prev = digest_of(out[-1]) if out else bytes(32)
        entries = [msgspec.Raw(msgspec.msgpack.encode(content))]
        out.append(seal(Block(key.chain, key.epoch, n, prev, 10**15 + n, entries), SIGNER.sign))
    return out


@settings(max_examples=40, deadline=None)
@given(st.lists(ENTRIES, max_size=6), st.lists(st.binary(max_size=40), min_size=7, max_size=7))
def test_blocks_are_found_whatever_lies_between_them(contents: list[object], rubbish: list[bytes]) -> None:
    blocks = row(contents, first=250)
    data = rubbish[0] + b"".join(m + r for m, r in zip(blocks, rubbish[1:], strict=False))
    assert list(genuine(data, KEY, VERIFY)) == list(enumerate(blocks, 250))


def test_any_flipped_bit_costs_the_block_that_it_is_in_and_no_other() -> None:
    blocks = row([["a", 1, 2.5, b"bin", None, {"k": "v" * 40}]] * 3)
    data = b"head" + b"tween".join(blocks) + b"tail"
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        whole = [(n, m) for n, m in enumerate(blocks, 1) if m in flipped]
        assert len(whole) >= 2 and list(genuine(bytes(flipped), KEY, VERIFY)) == whole, at


def test_a_viewers_text_that_looks_like_blocks_is_text() -> None:
    other = row(["x"] * 3, Key("personal/eu-west", "ba9876543210"))
    planted = row(["genuine, and older"] * 2)
    forged = planted[1][:1] + bytes(64) + planted[1][65:]
    blocks = row([forged * 5, planted[1], "ordinary"], first=7)
    data = b"".join([*other, *blocks])
    assert [n for n, _ in places(data, KEY)] == [7, 2, 2, 2, 2, 2, 8, 2, 9]
    assert list(genuine(data, KEY, VERIFY)) == list(enumerate(blocks, 7))


def test_a_block_full_of_beginnings_does_not_hold_us_up() -> None:
    """In a damaged block each planted beginning is tried; an end that runs on for ever is given up."""
    start = row(["x"])[0][65:]
    endless = start[: start.index(b"\xcf")] + b"\xcf" + bytes(8) + b"\xdd\xff\xff\xff\xff"
    planted = (b"\x01" + bytes(64) + endless) * 5000
    blocks = row([planted, "after"])
    damaged = bytearray(blocks[0])
    damaged[3] ^= 1
    assert list(genuine(bytes(damaged) + blocks[1], KEY, VERIFY)) == [(2, blocks[1])]
