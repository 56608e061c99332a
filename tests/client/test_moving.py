"""Moving between regions: what a silent one acknowledged is said again, what a healthy one holds is not."""

import asyncio

from holdfast.client import Client, Place
from holdfast.core.health.outbox import Ack
from holdfast.core.health.router import CALM_S

EAST, WEST = Place("us-east", "US", "http://127.0.0.1:1"), Place("us-west", "US", "http://127.0.0.1:2")


def waiting(client: Client) -> list[int]:
    return [kept.number for kept in client.outbox.batch(99)]


def acknowledged(client: Client, region: str, numbers: list[int]) -> None:
    client.outbox.acknowledge(numbers, Ack(f"personal/{region}", "e", 1))


def suspect(client: Client, region: str) -> None:
    client.router.vantages[region].suspected = True
    client._suspected(region)


def test_the_way_home_is_not_the_way_of_the_whole_outbox() -> None:
    async def play() -> None:
        client = Client([EAST, WEST], "US", prefer="us-east")
        said = [client.view("item", dwell_ms=1000) for _ in range(3)]
        acknowledged(client, "us-east", said)
        assert waiting(client) == []
        suspect(client, "us-east")
        assert client.router.active == "us-west" and waiting(client) == said  # us-east may have taken them along
        acknowledged(client, "us-west", said)
        home = client.router.vantages["us-east"]
        home.suspected, home.good_since_s = False, client._now_s() - CALM_S - 1
        client._move()
        assert client.router.active == "us-east" and waiting(client) == []  # us-west lives, and carries them
        suspect(client, "us-west")
        assert client.router.active == "us-east" and waiting(client) == said  # now nobody living is known to have them
        await client.aclose()

    asyncio.run(play())
