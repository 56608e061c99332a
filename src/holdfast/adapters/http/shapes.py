"""What the HTTP face takes and gives, as typed records; docs/protocol.md lists the calls they belong to.

An event is an entry without its `device`: the token says who it is. So each event type is the entry type with `device`
left open and a `viewer` beside it (for a team's API key, which speaks for many viewers). Filling `device` in makes it
the entry itself, whose canonical bytes are then one encode away: no field is copied on the hot path.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.core import entries as e

Address = Annotated[str, Meta(max_length=1000, pattern=rf"^https?://[^\s<>\"']+{e.END}")]  # a link: no `javascript:`
Place = dict[str, dict[str, int]]  # {chain: {epoch: n}}: how far `safe` and `held` reach


class ViewEvent(e.View, tag="view"):
    """See `entries.View`."""

    item: e.OwnId
    device: e.Alias = ""
    viewer: e.Viewer = ""


class LikeEvent(e.Like, tag="like"):
    """See `entries.Like`."""

    item: e.OwnId
    device: e.Alias = ""
    viewer: e.Viewer = ""


class SkipEvent(e.Skip, tag="skip"):
    """See `entries.Skip`."""

    item: e.OwnId
    device: e.Alias = ""
    viewer: e.Viewer = ""


class HideEvent(e.Hide, tag="hide"):
    """See `entries.Hide`."""

    item: e.OwnId
    device: e.Alias = ""
    viewer: e.Viewer = ""


class FollowEvent(e.Follow, tag="follow"):
    """See `entries.Follow`."""

    creator: e.Viewer
    device: e.Alias = ""
    viewer: e.Viewer = ""


class ShareEvent(e.Share, tag="share"):
    """See `entries.Share`."""

    item: e.OwnId
    device: e.Alias = ""
    viewer: e.Viewer = ""


class CommentEvent(e.Comment, tag="comment"):
    """See `entries.Comment`. A comment is public: it is kept under the viewer's public name, not their alias."""

    item: e.OwnId
    device: e.Alias = ""
    viewer: e.Viewer = ""


class InterestEvent(e.Interest, tag="interest"):
    """See `entries.Interest`."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    device: e.Alias = ""
    viewer: e.Viewer = ""


class ResetEvent(e.Reset, tag="reset"):
    """See `entries.Reset`."""

    device: e.Alias = ""
    viewer: e.Viewer = ""


Event = (
    ViewEvent | LikeEvent | SkipEvent | HideEvent | FollowEvent | ShareEvent | CommentEvent | InterestEvent | ResetEvent
)


class Events(msgspec.Struct, forbid_unknown_fields=True):
    """A batch from one outbox, oldest first: taken whole or refused whole."""

    entries: Annotated[list[Event], Meta(min_length=1, max_length=e.EVENTS_PER_REQUEST_MAX)]


class Spot(msgspec.Struct, kw_only=True):
    """One block of one chain."""

    chain: str
    epoch: str
    n: int


class AlsoTaken(Spot, kw_only=True):
    """Another block that holds a part of the batch, and the strongest state its class can reach."""

    strongest: str


class Taken(msgspec.Struct, kw_only=True):
    """The batch is fsynced in this block (and, if it held comments too, in the blocks of `also`)."""

    chain: str
    epoch: str
    n: int
    acked: int
    strongest: str  # `safe` if another permitted failure domain exists, else `local`
    safe: Place
    held: Place
    now: int
    also: list[AlsoTaken] = []


class DeviceRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A device shows its key: `proof` signs `signing.device_message(jurisdiction, stamp_s)`; both base64url."""

    key: Annotated[str, Meta(max_length=100)]
    jurisdiction: Annotated[str, Meta(max_length=16)]
    stamp_s: int
    proof: Annotated[str, Meta(max_length=200)]


class DeviceToken(msgspec.Struct, kw_only=True):
    """A token that every region of the jurisdiction takes. `expires` in seconds since 1970."""

    token: str
    alias: str
    jurisdiction: str
    expires: int


class Item(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A team's own item. `creator` is the team's name for who made it; `url` is where the team's app finds it."""

    item: e.OwnId
    creator: e.Viewer = "team"
    caption: Annotated[str, Meta(max_length=500)] = ""
    tags: Annotated[list[e.Tag], Meta(max_length=12)] = []
    duration_ms: e.Millis = 0
    url: Address | None = None


class Items(msgspec.Struct, forbid_unknown_fields=True):
    """A batch of items: taken whole or refused whole."""

    items: Annotated[list[Item], Meta(min_length=1, max_length=1000)]


class ItemVerdict(msgspec.Struct, kw_only=True):
    """What the policy table said of an item, at once."""

    item: str
    verdict: str
    reasons: list[str] = []


class ItemsTaken(msgspec.Struct, kw_only=True):
    """`acked` counts the items that were new or changed; the others were known just so."""

    acked: int
    items: list[ItemVerdict]


class ItemPage(msgspec.Struct, kw_only=True):
    """What anyone may know of one item."""

    item: str
    creator: str
    caption: str
    tags: list[str]
    duration_ms: int
    verdict: str
    likes: int
    views: int
    comments: int
    url: str | None = None
    media: e.Media | None = None


class CommentLine(msgspec.Struct, kw_only=True):
    """One comment. `id` is device-outbox of its entry, `stamp` microseconds since 1970."""

    id: str
    author: str
    text: str
    stamp: int


class Comments(msgspec.Struct):
    """Newest first."""

    comments: list[CommentLine]


class RulingRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A person's decision. `supersedes_all`: it replaces every ruling heard so far, so that it may also be milder."""

    item: e.ItemId
    verdict: e.Verdict
    reasons: Annotated[list[Annotated[str, Meta(max_length=300)]], Meta(max_length=12)] = []
    supersedes_all: bool = False


class RulingLine(msgspec.Struct, kw_only=True):
    """One ruling as kept, and whether it still stands."""

    id: str
    verdict: str
    reasons: list[str]
    by: str
    policy: str
    stamp: int
    stands: bool


class RulingsOf(msgspec.Struct, kw_only=True):
    """The verdict in force on an item (empty: unknown, not shown) and every ruling heard, oldest first."""

    item: str
    verdict: str
    rulings: list[RulingLine]


class QueueLine(msgspec.Struct, kw_only=True):
    """An item that waits for a person."""

    item: str
    creator: str
    caption: str
    tags: list[str]
    reasons: list[str]
    since: int
    poster: str = ""


class Queue(msgspec.Struct):
    """Items that ask for a person, longest-waiting first."""

    items: list[QueueLine]


class Acked(msgspec.Struct):
    """How many entries were fsynced."""

    acked: int


class Held(msgspec.Struct, kw_only=True):
    """Which outbox numbers of the caller's device this region holds, as closed intervals."""

    device: str
    intervals: list[tuple[int, int]]


class Reach(msgspec.Struct, kw_only=True):
    """How far each chain is safe, and how far this region holds it."""

    safe: Place
    held: Place
    now: int


class RegionLine(msgspec.Struct, kw_only=True):
    """One region of the installation."""

    name: str
    jurisdiction: str
    url: str


class RegionInfo(msgspec.Struct, kw_only=True):
    """Who answers, and who else there is. `now` is the region's clock, microseconds since 1970."""

    region: str
    jurisdiction: str
    version: str
    now: int
    regions: list[RegionLine]
    rungs: list[dict[str, str]]


class Shelf(msgspec.Struct, kw_only=True):
    """The signed shelf: `shelf` is JSON text, `signature` base64url Ed25519 over it by the region's token key."""

    shelf: str
    region: str
    signature: str


class PeerLine(msgspec.Struct, kw_only=True):
    """How this region sees another: age of the newest block heard, whether it was heard lately, blocks missing."""

    lag_s: float
    reachable: bool
    behind: int


class ModelLine(msgspec.Struct, kw_only=True):
    """The released model that scores now."""

    release: str
    age_s: float
    examples: int
    figures: dict[str, float]


class IncidentLine(msgspec.Struct, kw_only=True):
    """Something the platform said about itself; `region` is the one that said it."""

    stamp: int
    region: str
    what: str
    text: str


class AdmissionLine(msgspec.Struct, kw_only=True):
    """Who was let in since the start and who was not, by priority, and how many may be in hand now."""

    limit: int
    in_hand: int
    waiting: int
    open: int
    admitted: dict[str, int]
    refused: dict[str, dict[str, int]]  # priority -> why -> how many


class Status(msgspec.Struct, kw_only=True):
    """How this region is, in figures."""

    region: str
    jurisdiction: str
    now: int
    up_s: float
    rung: str
    reason: str
    since_s: float
    calm_s: float
    model: ModelLine | None
    peers: dict[str, PeerLine]
    chains: dict[str, Spot]
    safe: Place
    held: Place
    items: dict[str, int]
    counters: dict[str, int]
    rates: dict[str, float]
    latency_ms: dict[str, float]
    viewers: int
    admission: AdmissionLine
    incidents: list[IncidentLine]
    drill: str  # the name of the drill that runs here now, or ""


class Fault(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Every error's body: a code for programs, a sentence and a hint for people, and where the mistake is."""

    error: str
    message: str
    field: str = ""
    hint: str = ""
    index: int | None = None
    retry_after_s: float | None = None
