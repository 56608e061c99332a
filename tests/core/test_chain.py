"""Blocks: what is sealed comes back; every flipped bit is refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.signing import Signer, Verifier
from holdfast.core import chain
from holdfast.core.errors import Broken

SIGNER = Signer(bytes(range(32)))
VERIFIER = Verifier(SIGNER.public)


def sealed(n: int = 1, entries: tuple[bytes, ...] = (b"\x01", b"\x02")) -> bytes:
    block = chain.Block("public/us-east", "e1", n, chain.ZERO_DIGEST, 17, [msgspec.Raw(e) for e in entries])
    return chain.seal(block, SIGNER.sign)


@given(st.integers(1, 2**50), st.lists(st.binary(min_size=0, max_size=50), max_size=5))
def test_unseal_is_the_inverse_of_seal(n: int, payloads: list[bytes]) -> None:
    raws = tuple(msgspec.msgpack.encode(p) for p in payloads)
    block = chain.unseal(sealed(n, raws), VERIFIER.verify)
    assert (block.n, block.hlc, block.prev) == (n, 17, chain.ZERO_DIGEST)
    assert [bytes(e) for e in block.entries] == list(raws)


def test_every_flipped_bit_is_refused() -> None:
    message = sealed()
    for i in range(len(message)):
        for bit in range(8):
            bad = bytearray(message)
            bad[i] ^= 1 << bit
            with pytest.raises(Broken):
                chain.unseal(bytes(bad), VERIFIER.verify)


def test_every_truncation_is_refused() -> None:
    message = sealed()
    for size in range(len(message)):
        with pytest.raises(Broken):
            chain.unseal(message[:size], VERIFIER.verify)


def test_digest_covers_the_block_and_not_the_signature() -> None:
    message = sealed()
    other = bytes([chain.VERSION]) + bytes(64) + message[65:]
    assert chain.digest_of(message) == chain.digest_of(other)
    assert chain.digest_of(message) != chain.digest_of(sealed(2))
