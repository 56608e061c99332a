"""Blocks and chains: the one format in which facts are kept and travel.

    message  = VERSION(1 byte) ‖ signature(64 bytes, Ed25519 over block) ‖ block
    block    = canonical msgpack array [chain, epoch, n, prev, hlc, entries]
    digest   = sha256(block)

`n` counts from 1 in each epoch and equals the JetStream sequence, so a gap in one is a gap in the other. `prev` is
the digest of block n-1 of the same epoch (32 zero bytes for n = 1). Entries are kept as the bytes their maker
encoded: a keeper seals them without looking inside.

Hash chains here are what they are in a database: a way to notice damage.
"""

import hashlib
from collections.abc import Callable

import msgspec

from holdfast.core.errors import Broken

VERSION = 1
SIGNATURE_SIZE = 64
ZERO_DIGEST = bytes(32)
BLOCK_BYTES_MAX = 900_000  # below NATS' default max_payload of 1 MiB, with room for signature and headers
ENTRIES_PER_BLOCK_MAX = 20_000

Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes], bool]  # (signature, block bytes) -> genuine?


class Block(msgspec.Struct, array_like=True, frozen=True):
    """A sealed batch of entries. `hlc` is the keeper's stamp in microseconds; entries are raw msgpack."""

    chain: str
    epoch: str
    n: int
    prev: bytes
    hlc: int
    entries: list[msgspec.Raw]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Block).decode


def digest_of(message: bytes) -> bytes:
    """Return the sha256 digest of the block inside a sealed message."""
    return hashlib.sha256(memoryview(message)[1 + SIGNATURE_SIZE :]).digest()


def seal(block: Block, sign: Sign) -> bytes:
    """Encode and sign a block."""
    assert block.n >= 1 and len(block.prev) == 32
    raw = _encode(block)
    return bytes([VERSION]) + sign(raw) + raw


def unseal(message: bytes, verify: Verify | None = None) -> Block:
    """Decode a sealed message, checking its version and, if `verify` is given, its signature.

    Raises Broken on anything that is not a whole, genuine block in canonical form.
    """
    if len(message) < 1 + SIGNATURE_SIZE + 2 or message[0] != VERSION:
        raise Broken(f"not a version {VERSION} block ({len(message)} bytes)")
    view = memoryview(message)
    raw = view[1 + SIGNATURE_SIZE :]
    if verify is not None and not verify(bytes(view[1 : 1 + SIGNATURE_SIZE]), bytes(raw)):
        raise Broken("the block's signature does not match")
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:  # the latter when a flipped bit hits a name
        raise Broken(f"the block does not decode: {e}") from e
