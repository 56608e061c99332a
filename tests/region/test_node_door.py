"""The door without a region around it: whose tokens count, and which block each part of a batch is promised."""

import asyncio
import time
from pathlib import Path

import pytest

from holdfast.adapters.home import Home
from holdfast.adapters.http import shapes as s
from holdfast.adapters.http.ports import Caller
from holdfast.adapters.signing import Claims, Signer, issue_token, load_keys, make_keys, unb64
from holdfast.core.asks import Acked
from holdfast.core.classes import Class
from holdfast.core.errors import Refused
from holdfast.core.topology import DEFAULT, resolve
from holdfast.region.node_door import NodeDoor
from holdfast.region.node_state import State


class Blocks:
    """Stands where the appender does: every class has a chain, every batch a block."""

    async def put(self, cls: Class, packed: bytes) -> Acked:
        return Acked(chain=f"{cls}/here", epoch="e", n=1, hlc=0)


def installation(folder: Path) -> Home:
    home = Home(folder)
    top = resolve(DEFAULT, 23000)
    home.save(top)
    make_keys(home, top)
    return home


def token(home: Home, signer: str, law: str) -> str:
    now_s = int(time.time())
    claims = Claims(alias="v-1", jurisdiction=law, region=signer, issued=now_s, expires=now_s + 60)
    return "Bearer " + issue_token(Signer(unb64(load_keys(home, signer).token_seed)), claims)


def test_a_region_vouches_only_for_people_under_its_own_law(tmp_path: Path) -> None:
    home = installation(tmp_path)

    async def story() -> None:
        door = NodeDoor(State(home, "us-east"), Blocks())  # type: ignore[arg-type]
        assert door.caller(token(home, "us-west", "US")).alias == "v-1"
        with pytest.raises(Refused) as caught:
            door.caller(token(home, "eu-west", "US"))
        assert caught.value.code == "token"
        with pytest.raises(Refused) as caught:
            door.caller(token(home, "eu-west", "EU"))
        assert caught.value.code == "jurisdiction"

    asyncio.run(story())


def test_each_part_of_a_mixed_batch_is_promised_what_its_class_can_reach(tmp_path: Path) -> None:
    home = installation(tmp_path)

    async def story() -> None:
        door = NodeDoor(State(home, "eu-west"), Blocks())  # type: ignore[arg-type]
        now_us = time.time_ns() // 1000
        like = s.LikeEvent(outbox=1, stamp=now_us, item="v")
        said = s.CommentEvent(outbox=2, stamp=now_us, item="v", text="hello")
        taken = await door.take([like, said], Caller(alias="v-1", public_name="p-1"))
        assert (taken.chain, taken.strongest) == ("personal/here", "local"), "the EU has one region"
        assert [(a.chain, a.strongest) for a in taken.also] == [("public/here", "safe")], "comments go everywhere"

    asyncio.run(story())
