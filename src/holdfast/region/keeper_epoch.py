"""Which epoch a starting keeper writes: the old one if that is surely whole, otherwise a new one."""

import asyncio

from holdfast.core.asks import Head
from holdfast.core.chain import digest_of
from holdfast.core.classes import Class, chain_id
from holdfast.core.log.continuity import Key
from holdfast.core.log.epochs import Mine, may_continue, newest
from holdfast.region.keeper_peers import Peers
from holdfast.region.keeper_store import Copy, Store

START_WAIT_S = 3.0  # how long to wait for peers that start at the same time; after it a new epoch is opened
ASK_AGAIN_S = 0.2
EPOCH_BYTES = 6  # an epoch's id is random, 12 hex digits, so two never meet


async def choose(cls: Class, region: str, store: Store, peers: Peers, clean: bool) -> Copy | None:
    """Return the copy of our chain of `cls` that may be continued, None if a new epoch must be opened."""
    chain = chain_id(cls, region)
    mine = [c for c in store.of_class(cls) if c.key.chain == chain]
    epoch = newest([(c.opened, c.key.epoch, c.end.n) for c in mine])
    if epoch is None:
        return None
    copy = store.copies[Key(chain, epoch)]
    if copy.ended:
        return None
    asked = peers.of(cls)
    answers: dict[str, list[Head]] = {}
    deadline = store.now_s() + START_WAIT_S
    while asked - answers.keys() and store.now_s() < deadline:
        answers |= await peers.heads(cls, chain)
        if asked - answers.keys():
            await asyncio.sleep(ASK_AGAIN_S)
    named = {h.last for heads in answers.values() for h in heads if h.epoch == epoch and h.last < copy.end.n}
    before = {n: digest_of(rows[0]) for n in named if (rows := await store.read(copy, n, n))}
    mine = Mine(epoch, copy.end.n, copy.end.digest, copy.missing, copy.lost, before, clean)
    return copy if may_continue(mine, asked, answers) else None
