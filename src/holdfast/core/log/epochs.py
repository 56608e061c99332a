"""May a keeper go on with its chain, or must it open a new epoch?

The disk can have lost the end of a chain without a word. Sealing block 41 again, with other entries, after a peer has
taken the first block 41 would split the chain for ever. So a keeper goes on only when it is sure that nobody holds
more of the epoch than it does: every permitted peer has said how far it holds it. With nobody to ask, only an orderly
stop proves the end. In every other case a new epoch costs little: a random id and an empty stream.
"""

from dataclasses import dataclass

from holdfast.core.asks import Head, Ranges


@dataclass(frozen=True, slots=True)
class Mine:
    """What recovery found of my newest epoch of one chain."""

    epoch: str
    last: int
    digest: bytes
    missing: Ranges
    lost: Ranges
    before: dict[int, bytes]  # digests of earlier blocks, at the numbers that peers named as their last
    clean: bool  # the record was written at an orderly stop and the stream agrees with it


def may_continue(mine: Mine | None, peers: set[str], answers: dict[str, list[Head]]) -> bool:
    """Say whether the newest epoch may be continued.

    `peers` are all regions that may hold the chain, `answers` the heads of those that answered.
    """
    if mine is None or not mine.last or len(mine.digest) != 32 or "-" in mine.epoch:
        return False
    if any(b >= mine.last for _, b in [*mine.missing, *mine.lost]):
        return False  # the end itself is gone
    if not peers:
        return mine.clean
    if not peers <= answers.keys():
        return False
    for heads in answers.values():
        for head in heads:
            if head.epoch.startswith(mine.epoch + "-"):
                return False  # a peer keeps another branch of it
            agreed = mine.digest if head.last == mine.last else mine.before.get(head.last)
            if head.epoch == mine.epoch and head.digest != agreed:
                return False  # it holds more than we do, or other blocks
    return True


def newest(epochs: list[tuple[int, str, int]]) -> str | None:
    """Return the epoch opened last, given (opened, epoch, last block) of each; branches and empty ones aside."""
    own = [(opened, epoch) for opened, epoch, last in epochs if last and "-" not in epoch]
    return max(own)[1] if own else None
