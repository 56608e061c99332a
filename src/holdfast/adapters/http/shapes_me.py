"""What a viewer sees and changes of themselves: the records of `/v1/me/interests` and `/v1/topics`."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.core.entries import Say, Stamp, Viewer

TELL_MAX = 100  # in one request
Name = Annotated[str, Meta(min_length=1, max_length=60)]


class InterestSource(msgspec.Struct, kw_only=True):
    """A video that an interest comes from. `says` is signed: what it adds to the liking."""

    item: str
    caption: str
    did: str
    says: float


class InterestLine(msgspec.Struct, kw_only=True):
    """A tag or creator. `weight`: −1..1 as learned; `say`: more, less, never, or `learned` when nothing was said."""

    name: str
    weight: float
    say: Say
    follows: bool = False
    sources: list[InterestSource] = []


class Interests(msgspec.Struct, kw_only=True):
    """What the feed makes of a viewer, here and now. `acts`: how many videos of the past it comes from.

    `forgotten_before`: what was done up to then (µs since 1970) chooses nothing; `undo_until`: until then that can be
    taken back, 0 if not.
    """

    tags: list[InterestLine]
    creators: list[InterestLine]
    acts: int
    forgotten_before: int
    undo_until: int
    now: int


class Telling(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """More, less or never of a tag or creator; `learned` takes back what was said."""

    about: Literal["tag", "creator"]
    name: Name
    say: Say


class TellRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A change of interests. `forget_before`: choose as if nothing had been done up to then; 0 takes it back."""

    tell: Annotated[list[Telling], Meta(max_length=TELL_MAX)] = []
    forget_before: Stamp | None = None
    viewer: Viewer = ""


class Debut(msgspec.Struct, kw_only=True):
    """How a new video's first viewers come: `met` distinct viewers of the `owed` ones, and the same in words.

    `state`: waiting (for a ruling), running, reached, stopped (few stayed) or over (its first day is); `since`: when it
    was approved, µs since 1970, 0 if it is not.
    """

    state: Literal["waiting", "running", "reached", "stopped", "over"]
    met: int
    owed: int
    words: str
    since: int


class MadeVideo(msgspec.Struct, kw_only=True):
    """One of a creator's own videos. `poster` only while it may be shown."""

    item: str
    caption: str
    duration_ms: int
    published: int
    verdict: str
    reasons: list[str]
    poster: str | None
    views: int
    likes: int
    comments: int
    debut: Debut


class MadeVideos(msgspec.Struct, kw_only=True):
    """A creator's newest videos, and how many there are in `all`."""

    videos: list[MadeVideo]
    all: int
    now: int


class Topic(msgspec.Struct, kw_only=True):
    """A tag and how many videos that may be shown here have it."""

    tag: str
    videos: int


class Topics(msgspec.Struct, kw_only=True):
    """The topics of the caller's catalogue, those with most videos first."""

    topics: list[Topic]
