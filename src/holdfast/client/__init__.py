"""The Python SDK: router, outbox, deadlines. The same logic lives in web/src/lib/client.js."""

from holdfast.adapters.aio.calls import Calls
from holdfast.client.answers import discover
from holdfast.client.client import Client, Told
from holdfast.client.names import own_name
from holdfast.client.team import Team
from holdfast.core.health.router import Place

__all__ = ["Calls", "Client", "Place", "Team", "Told", "discover", "own_name"]
