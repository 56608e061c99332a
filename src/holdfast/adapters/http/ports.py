"""What the HTTP face needs of the region behind it: small interfaces, owned here because this is where they are used.

Every method raises core.errors: Refused (the caller must change something, 4xx), Degraded (try again or elsewhere,
503). Nothing here knows of HTTP.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from holdfast.adapters.http import shapes as s
from holdfast.adapters.http import shapes_me as me
from holdfast.adapters.http import shapes_team as team
from holdfast.core.errors import Refused
from holdfast.core.feed.shapes import FeedRequest, Slate
from holdfast.core.tenants import PLATFORM

MAKE = "holdfast keys api make NAME SCOPES"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. A device has an `alias`, and a `public_name` to publish under; a team's key has `team` and `scopes`.

    `tenant`: whose catalogue the caller lives in (`core.tenants`): the team's own, or the platform's.
    """

    alias: str = ""
    public_name: str = ""
    team: str = ""
    tenant: str = PLATFORM
    scopes: frozenset[str] = frozenset()

    def need(self, scope: str) -> None:
        """Raise Refused unless the caller holds a key with this scope."""
        if not self.team:
            raise Refused(f"this call needs an API key with scope `{scope}`", code="key", hint=MAKE)
        if scope not in self.scopes:
            raise Refused(f"the API key lacks scope `{scope}`", code="scope", hint=MAKE)

    def need_device(self) -> None:
        """Raise Refused unless the caller is a device."""
        if not self.alias:
            raise Refused("this call needs a device's token", field="token", code="token", hint="POST /v1/devices")


ANYONE = Caller()


class Door(Protocol):
    """Who may come in, and what they bring."""

    def caller(self, authorization: str) -> Caller:
        """Read an Authorization header; an empty one is ANYONE. Refused: `token`, `key`, `jurisdiction`."""
        ...

    async def enrol(self, request: s.DeviceRequest) -> s.DeviceToken:
        """Check a device's proof and give it a token."""
        ...

    async def take(self, entries: list[s.Event], caller: Caller) -> s.Taken:
        """Return once the entries are fsynced. Refused if one does not pass (then none is taken)."""
        ...

    def held(self, caller: Caller) -> s.Held:
        """Which outbox numbers of the caller's device are folded here."""
        ...


class Feed(Protocol):
    """The feed."""

    async def slate(self, request: FeedRequest, caller: Caller) -> Slate:
        """Answer a feed request; never empty while one allowed video is known."""
        ...


class Interests(Protocol):
    """What the feed makes of a viewer, for the viewer."""

    def interests(self, caller: Caller, viewer: str) -> me.Interests:
        """A viewer's interests; `viewer` with an API key only."""
        ...

    async def tell(self, request: me.TellRequest, caller: Caller) -> me.Interests:
        """Keep what a viewer says of tags and creators, or a reset; answers after fsync and fold."""
        ...

    def topics(self, caller: Caller) -> me.Topics:
        """What a topic feed can be about."""
        ...


class Makers(Protocol):
    """What creators see of their own."""

    def videos(self, caller: Caller, creator: str) -> me.MadeVideos:
        """A creator's videos and their debuts; `creator` with an API key only."""
        ...


class Catalogue(Protocol):
    """What there is to see."""

    async def put_items(self, items: list[s.Item], caller: Caller) -> s.ItemsTaken:
        """Publish a team's items and rule on them."""
        ...

    def page(self, item: str, caller: Caller) -> s.ItemPage:
        """What the caller may know of an item: of the platform's, or of the tenant's own. Refused (`missing`)."""
        ...

    async def comments(self, item: str, caller: Caller) -> s.Comments:
        """The newest comments on an item."""
        ...

    def playlist(self, item: str) -> str:
        """HLS media playlist of an item that may be shown. Refused (`missing`)."""
        ...

    def shown(self, sha: str) -> None:
        """Raise Refused (`missing`) unless an item that may be shown names this part."""
        ...

    async def blob(self, sha: str) -> tuple[bytes, str]:
        """Bytes and media type of a part of an item that may be shown. Refused (`missing`); Degraded: nobody has it."""
        ...


class Lists(Protocol):
    """Lists that no viewer is needed for, and why an item was not offered."""

    def similar(self, item: str, n: int, tags: list[str], caller: Caller) -> team.Listing:
        """Items like this one, of the caller's catalogue; `tags`: at least one of these. Refused (`missing`)."""
        ...

    def trending(self, n: int, tags: list[str], caller: Caller) -> team.Listing:
        """What people like here now."""
        ...

    def why_not(self, request: team.WhyNotRequest, caller: Caller) -> team.WhyNotAnswer:
        """What became of one item in a viewer's slate."""
        ...


class Trials(Protocol):
    """Experiments of the caller's catalogue."""

    async def start(self, name: str, plan: team.ExperimentPlan, caller: Caller) -> team.ExperimentLine:
        """Begin one. Refused (`conflict`) if the name was ever used."""
        ...

    async def stop(self, name: str, caller: Caller) -> team.ExperimentLine:
        """End one; its results stay. Refused (`missing`)."""
        ...

    def all(self, caller: Caller) -> team.Experiments:
        """All of them."""
        ...

    def results(self, name: str, caller: Caller) -> team.ExperimentResults:
        """What may be said now. Refused (`missing`)."""
        ...


class Rulings(Protocol):
    """Who decides what is shown."""

    async def rule(self, request: s.RulingRequest, caller: Caller) -> s.Acked:
        """Keep a person's ruling."""
        ...

    def rulings_of(self, item: str, caller: Caller) -> s.RulingsOf:
        """Every ruling heard on an item of the caller's; who may rule for the platform may ask about any."""
        ...

    def queue(self, caller: Caller) -> s.Queue:
        """Items that ask for a person."""
        ...


class Uploads(Protocol):
    """tus 1.0: create, where am I, append, give up."""

    async def create(self, length: int, metadata: str, caller: Caller) -> str:
        """Begin an upload; return its id. Refused (`large`, `malformed`)."""
        ...

    async def offset(self, upload: str, caller: Caller) -> tuple[int, int]:
        """(fsynced offset, length) of an upload. Refused (`missing`)."""
        ...

    async def append(self, upload: str, offset: int, data: bytes, caller: Caller) -> int:
        """Append bytes at `offset`; return the new offset once they are fsynced. Refused (`offset`, `missing`)."""
        ...

    async def terminate(self, upload: str, caller: Caller) -> None:
        """Forget an upload."""
        ...

    async def state(self, upload: str) -> dict[str, str]:
        """`{id, state, item, reason, hint, verdict}`. Refused (`missing`)."""
        ...


class Figures(Protocol):
    """What the region says of itself."""

    def info(self) -> s.RegionInfo:
        """Who answers, and who else there is."""
        ...

    def status(self) -> s.Status:
        """How the region is."""
        ...

    def reach(self) -> s.Reach:
        """How far the chains are safe and held."""
        ...

    def shelf(self) -> s.Shelf:
        """The signed shelf. Degraded before there is one."""
        ...

    def fault(self, status: int, error: Exception) -> None:
        """Count an answer of 400 or above; an `error` that is not one of ours is said, because it is our mistake."""
        ...


@dataclass(frozen=True, slots=True)
class Rooms:
    """The region's rooms, as the HTTP face sees them; `webapp` is the folder of the built web app, or None."""

    door: Door
    feed: Feed
    catalogue: Catalogue
    rulings: Rulings
    uploads: Uploads
    figures: Figures
    lists: Lists
    trials: Trials
    interests: Interests
    makers: Makers
    webapp: Path | None = None
