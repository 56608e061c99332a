"""What a viewer asks of the feed and what it answers: the records of `POST /v1/feed`, as docs/protocol.md has them.

The request carries the device's own memory (its last events and what it has seen), because replication is the slow
path and a request is the fast one: any region of the jurisdiction can answer as well as the one that knows the viewer.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.core.entries import Millis, Tag, Viewer
from holdfast.core.entries import OwnId as ItemId
from holdfast.core.feed.kinds import KindName
from holdfast.core.feed.rules import Rules

CONTEXT_MAX = 50  # a viewer's newest events; older ones are worth little (notes on replication lag, MovieLens-1M)
SEEN_MAX = 2000  # ids a request may carry: about 40 kB of JSON
SLATE_MAX = 100  # the public list is longer, because the device filters it
SLATE_DEFAULT = 10

RungName = Literal["FULL", "STALE", "LINEAR", "REGIONAL", "SHELF", "DEVICE"]
Action = Literal["view", "like", "skip", "hide", "share", "comment", "follow"]


class ContextEvent(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Something the viewer did, as the device remembers it. `age_s`: seconds before the request."""

    item: ItemId
    action: Action = "view"
    dwell_ms: Millis = 0
    duration_ms: Millis = 0
    age_s: Annotated[float, Meta(ge=0, le=10**9)] = 0.0


class FeedRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One request for a slate. `context` newest last; `at_most` lowers the top of the ladder.

    `randomise`: rungs to draw one from, by hash of `request` (for experiments). `exclude`: items the device already
    holds in its buffer, so not to be offered again now while there is another. `rules`: see `core.feed.rules`.
    `feed`: see `core.feed.kinds`; `topic`: the tag of a topic feed.
    """

    n: Annotated[int, Meta(ge=1, le=SLATE_MAX)] = SLATE_DEFAULT
    request: Annotated[str, Meta(max_length=64)] = ""
    context: Annotated[list[ContextEvent], Meta(max_length=CONTEXT_MAX)] = []
    seen: Annotated[list[ItemId], Meta(max_length=SEEN_MAX)] = []
    viewer: Viewer = ""
    at_most: RungName = "FULL"
    exclude: Annotated[list[ItemId], Meta(max_length=500)] = []
    randomise: Annotated[list[RungName], Meta(max_length=6)] = []
    rules: Rules | None = None
    feed: KindName = "for_you"
    topic: Tag | Literal[""] = ""


class Feature(msgspec.Struct, frozen=True):
    """One part of why a video was chosen, in words, and how much it weighed in the score.

    `chance`: how likely the model holds it, 0..1, where the part is something the viewer may do.
    """

    name: str
    value: float
    chance: float | None = None


class Why(msgspec.Struct, frozen=True):
    """Why a video stands in the slate: the source that found it, its score, and the parts of that score."""

    source: str
    score: float
    sentence: str
    features: list[Feature] = []


class SlateItem(msgspec.Struct, kw_only=True):
    """One video of a slate. `playlist` and `poster` are paths on any region; `url` is a team's own address."""

    item: str
    creator: str
    caption: str
    tags: list[str]
    duration_ms: int
    playlist: str | None
    poster: str | None
    width: int
    height: int
    url: str | None
    likes: int
    liked: bool
    comments: int
    views: int
    why: Why


class Taste(msgspec.Struct, frozen=True):
    """How much of the viewer's recent liking goes to a tag; weights of a list add up to 1."""

    tag: str
    weight: float


class ModelFacts(msgspec.Struct, frozen=True):
    """The model that scored: digest of the release, age in seconds, the learner's own figures."""

    release: str
    age_s: float
    figures: dict[str, float] = {}


class Slate(msgspec.Struct, kw_only=True):
    """The answer to one feed request. It always says how good it is."""

    slate: str
    request: str
    region: str
    rung: str
    reason: str
    since_s: float
    lacks: dict[str, str]
    model: ModelFacts | None
    lags_s: dict[str, float]
    rewatch: bool
    public: bool
    items: list[SlateItem]
    taste: list[Taste]
    removed: dict[str, int]
    took_ms: float
    now: int
    safe: dict[str, dict[str, int]]
    held: dict[str, dict[str, int]]
    feed: KindName = "for_you"  # what was served, which `reason` says if it is not what was asked for
