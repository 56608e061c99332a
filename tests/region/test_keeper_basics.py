"""One and two regions: append, follow, carry, resume."""

import asyncio
from pathlib import Path

from keeper_world import World, view

from holdfast.core.classes import Class


def test_appended_entries_are_followed_carried_and_safe(tmp_path: Path) -> None:
    async def run() -> None:
        async with World(tmp_path, us_east="US", us_west="US", eu_west="EU") as w:
            await w.start()
            east = await w.client("us-east")
            acked = [await east.append(Class.PERSONAL, [view(k)]) for k in range(1, 31)]
            assert [a.n for a in acked] == list(range(1, 31))
            assert len(await w.entries("us-east", Class.PERSONAL)) == 30
            west, eu = w.keepers["us-west"][0], w.keepers["eu-west"][0]
            epoch = acked[0].epoch
            await w.until(
                lambda: west.store.held(Class.PERSONAL).get("personal/us-east", {}).get(epoch) == 30, 5, "carried"
            )
            keeper = w.keepers["us-east"][0]
            server = keeper.server.safety[Class.PERSONAL]
            await w.until(
                lambda: server.safe(keeper.store.held(Class.PERSONAL)).get("personal/us-east", {}).get(epoch) == 30,
                5, "safe",
            )
            assert len(await w.entries("us-west", Class.PERSONAL)) == 30
            assert not [k for k in eu.store.copies if k.chain == "personal/us-east"]
            await east.close()

    asyncio.run(run())
