"""Does this block come next? The check that every block passes before it is stored, served or believed.

A block continues a chain if its name, epoch and number are the expected ones and its `prev` is the digest of the block
before. A wrong number is a *gap* (something is missing: ask for it). A wrong `prev` under a genuine signature is a
*fork*: the origin sealed two different blocks with one number, or our copy is damaged.
"""

from typing import NamedTuple

from holdfast.core.chain import ZERO_DIGEST, Block, Verify, digest_of, unseal
from holdfast.core.errors import Broken


class Key(NamedTuple):
    """One epoch of one chain; `epoch` may name a branch, `<epoch>-<digest>`."""

    chain: str
    epoch: str


class Link(NamedTuple):
    """The end of what is held: number and digest of the last block (0 and zeros before the first).

    An empty digest says that it is unknown: the block before is lost, so `prev` cannot be checked.
    """

    n: int
    digest: bytes


START = Link(0, ZERO_DIGEST)


class Gap(Broken):
    """The block is not the next one."""


class Fork(Broken):
    """The block is next by number, but does not continue what is held."""


def epoch_of(key: Key) -> str:
    """The epoch that the blocks of this stream name: a branch carries its origin's epoch inside."""
    return key.epoch.split("-", 1)[0]


def branch_of(key: Key, digest: bytes) -> Key:
    """Where the other branch is kept: named by the digest of its first block, so every region names it alike."""
    return Key(key.chain, f"{epoch_of(key)}-{digest.hex()[:12]}")


def check_next(key: Key, before: Link, message: bytes, verify: Verify | None) -> tuple[Block, Link]:
    """Return the block and the new end, if `message` continues `before`.

    Raises Broken if it is not a genuine block of this chain, Gap if its number is another, Fork if its `prev` is.
    """
    block = unseal(message, verify)
    if block.chain != key.chain or block.epoch != epoch_of(key):
        raise Broken(f"a block of {block.chain} {block.epoch} does not belong to {key.chain} {key.epoch}")
    if block.n != before.n + 1:
        raise Gap(f"block {block.n} of {key.chain} {key.epoch} does not follow block {before.n}")
    if before.digest and block.prev != before.digest:
        raise Fork(f"block {block.n} of {key.chain} {key.epoch} does not continue the block before it")
    return block, Link(block.n, digest_of(message))
