"""Every fact Holdfast keeps, as typed records; the door is their constraints plus the age of their stamp.

An entry is `{kind, device, outbox, stamp, …}` in msgpack or JSON: one spelling in both, unknown fields refused,
integers only (so nothing is ever non-finite). Its id is (device, outbox number). `device` is an alias, never an
address: personal entries name a viewer by nothing else.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.core.errors import Refused
from holdfast.core.hlc import AGE_MAX_US, AHEAD_MAX_US, STAMP_MAX

FORMAT = 1  # version of the entry format; a block's version byte covers it on the wire

END = r"$(?!\n)"  # Python's `$` alone lets a line feed follow; this ends there in JavaScript's dialect too
Alias = Annotated[str, Meta(pattern=rf"^[a-zA-Z0-9][a-zA-Z0-9:_.-]{{0,63}}{END}")]
Viewer = Annotated[str, Meta(pattern=rf"^[a-zA-Z0-9][a-zA-Z0-9:_.-]{{0,39}}{END}")]  # team:viewer is an Alias
OwnId = Annotated[str, Meta(pattern=rf"^[a-zA-Z0-9][a-zA-Z0-9_.-]{{0,63}}{END}")]  # an item, as its owner says it
ItemId = Annotated[str, Meta(pattern=rf"^([a-z][a-z0-9]{{0,15}}:)?[a-zA-Z0-9][a-zA-Z0-9_.-]{{0,63}}{END}")]  # tenants
Sha = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{64}}{END}")]
Tag = Annotated[str, Meta(min_length=1, max_length=40)]
Millis = Annotated[int, Meta(ge=0, le=3_600_000)]  # an hour: nothing here is watched longer in one go
Count = Annotated[int, Meta(ge=0, le=2**40)]
Outbox = Annotated[int, Meta(ge=1, le=STAMP_MAX)]
Stamp = Annotated[int, Meta(ge=0, le=STAMP_MAX)]
EVENTS_PER_REQUEST_MAX = 1000


class Entry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="kind", omit_defaults=True):
    """What all entries carry. `stamp` is a hybrid logical clock reading, microseconds, taken when it was made."""

    device: Alias
    outbox: Outbox
    stamp: Stamp


# -- public: what a person chose to publish ------------------------------------------------------------------------


class Media(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A transcoded clip: fMP4 HLS, every part named by sha256 of its bytes (class public)."""

    init: Sha
    segments: Annotated[list[tuple[Sha, Millis]], Meta(min_length=1, max_length=200)]  # (sha256, duration ms)
    poster: Sha
    width: Annotated[int, Meta(ge=16, le=8192)]
    height: Annotated[int, Meta(ge=16, le=8192)]
    codecs: Annotated[str, Meta(max_length=80)] = "avc1.42c01e,mp4a.40.2"
    silent: bool = False


class Publication(Entry, tag="publication"):
    """A video (with `media`) or a team's own item (with `url` or nothing). Not shown until a ruling allows it."""

    item: ItemId
    creator: Alias
    caption: Annotated[str, Meta(max_length=500)] = ""
    tags: Annotated[list[Tag], Meta(max_length=12)] = []
    duration_ms: Millis = 0
    media: Media | None = None
    url: Annotated[str, Meta(max_length=1000)] | None = None
    region: Annotated[str, Meta(max_length=40)] = ""


class Retraction(Entry, tag="retraction"):
    """The creator takes a publication back."""

    item: ItemId


class Comment(Entry, tag="comment"):
    """A comment, published under the author's public name."""

    item: ItemId
    text: Annotated[str, Meta(min_length=1, max_length=500)]


class ItemCounts(msgspec.Struct, array_like=True):
    """Totals of one item in one jurisdiction: absolute, so that hearing them twice changes nothing."""

    item: ItemId
    views: Count
    long_views: Count
    likes: Count


class Counts(Entry, tag="counts"):
    """What one jurisdiction tells the others: item totals above a floor of viewers. Newest stamp wins per item."""

    jurisdiction: Annotated[str, Meta(max_length=16)]
    items: Annotated[list[ItemCounts], Meta(max_length=5000)]


class Incident(Entry, tag="incident"):
    """Something the platform says about itself in plain words."""

    region: Annotated[str, Meta(max_length=40)]
    what: Annotated[str, Meta(max_length=60)]  # for example `equivocation`, `lost`, `mended`
    text: Annotated[str, Meta(max_length=2000)]


# -- rulings -------------------------------------------------------------------------------------------------------

Verdict = Annotated[str, Meta(pattern=rf"^(allow|limit|age|ask|remove){END}")]


class Ruling(Entry, tag="ruling"):
    """A moderation decision with its reasons. The strictest wins unless a later one names what it supersedes."""

    item: ItemId
    verdict: Verdict
    reasons: Annotated[list[Annotated[str, Meta(max_length=300)]], Meta(max_length=12)] = []
    policy: Annotated[str, Meta(max_length=64)] = ""  # digest of the policy table that ruled
    by: Annotated[str, Meta(max_length=80)] = "policy"
    supersedes: list[tuple[Alias, Outbox]] = []  # entry ids of the rulings this one replaces


class Policy(Entry, tag="policy"):
    """A version of the policy table, as canonical JSON text, with its sha256."""

    digest: Sha
    table: Annotated[str, Meta(max_length=100_000)]


# -- personal: behaviour -------------------------------------------------------------------------------------------


class View(Entry, tag="view"):
    """One showing of an item that ended: how long it was watched, of how long it is (0: unknown)."""

    item: ItemId
    dwell_ms: Millis
    duration_ms: Millis = 0
    slate: Annotated[str, Meta(max_length=40)] = ""
    pos: Annotated[int, Meta(ge=0, le=500)] = 0


class Like(Entry, tag="like"):
    """A like set or undone; the newest stamp wins per (device, item)."""

    item: ItemId
    on: bool = True


class Skip(Entry, tag="skip"):
    """Swiped away on purpose."""

    item: ItemId
    slate: Annotated[str, Meta(max_length=40)] = ""


class Hide(Entry, tag="hide"):
    """Not interested."""

    item: ItemId
    slate: Annotated[str, Meta(max_length=40)] = ""


class Follow(Entry, tag="follow"):
    """Follow (or stop following) a creator."""

    creator: Alias
    on: bool = True


class Share(Entry, tag="share"):
    """Shared elsewhere."""

    item: ItemId


Say = Literal["more", "less", "never", "learned"]  # `learned`: as what was watched has it


class Interest(Entry, tag="interest"):
    """What a viewer says of a tag or a creator, by its name in the catalogue. The newest stamp wins per name.

    `viewer`: for whom, when a node made the entry (a call in a viewer's name); empty: for its device.
    """

    about: Literal["tag", "creator"]
    name: Annotated[str, Meta(min_length=1, max_length=80)]
    say: Say
    viewer: Annotated[str, Meta(max_length=64)] = ""


class Reset(Entry, tag="reset"):
    """Choose as if nothing had been watched up to `before`. The newest stamp wins, and an earlier `before` undoes."""

    before: Stamp
    viewer: Annotated[str, Meta(max_length=64)] = ""


RULES_CHARS_MAX = 20_000
ArmName = Annotated[str, Meta(pattern=rf"^[a-z0-9][a-z0-9_-]{{0,31}}{END}")]


class Arm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One way to serve. What is left open stays as it is for everybody."""

    name: ArmName
    share: Annotated[int, Meta(ge=1, le=1000)] = 1  # of the viewers, beside the other arms' shares
    at_most: Annotated[str, Meta(max_length=12)] = ""  # a rung: lowers the top of the ladder
    weights: Annotated[dict[str, Annotated[int, Meta(ge=0, le=400)]], Meta(max_length=20)] = {}  # part of the score: %
    rules: Annotated[str, Meta(max_length=RULES_CHARS_MAX)] = ""  # core.feed.rules as JSON, if a request has none


class Experiment(Entry, tag="experiment"):
    """A comparison of arms, begun or (`stopped`: when, µs) ended. The newest stamp holds per name (a full name)."""

    name: ItemId
    arms: Annotated[list[Arm], Meta(min_length=2, max_length=5)]
    outcome: Literal["long_view_share", "long_views", "likes"] = "long_view_share"
    window_s: Annotated[int, Meta(ge=1, le=30 * 86_400)] = 86_400  # a viewer's outcome is what they do so long
    effect_ppm: Annotated[int, Meta(ge=1, le=10**9)] = 50_000  # the effect hoped for, millionths of the outcome
    salt: Annotated[str, Meta(max_length=32)] = ""  # another salt draws the viewers anew
    stopped: Stamp = 0


class SlateServed(Entry, tag="slate"):
    """An exposure: what was shown to whom, by which model, on which rung. `items` in order of position."""

    viewer: Alias
    slate: Annotated[str, Meta(max_length=40)]
    rung: Annotated[str, Meta(max_length=12)]
    items: Annotated[list[ItemId], Meta(max_length=500)]
    release: Annotated[str, Meta(max_length=64)] = ""  # digest of the release that scored, empty below LINEAR
    reason: Annotated[str, Meta(max_length=300)] = ""
    watermark: dict[str, tuple[str, int]] = {}  # chain -> (epoch, n) folded when the slate was made
    drawn: Annotated[int, Meta(ge=-1, le=500)] = -1  # position of the slot drawn at random, -1 if none
    propensity_ppm: Annotated[int, Meta(ge=0, le=1_000_000)] = 0  # probability of that draw, parts per million
    signals: Annotated[bytes, Meta(max_length=16_000)] = b""  # as served: int16[items, F], model.signals
    history: Annotated[int, Meta(ge=0, le=STAMP_MAX)] = 0  # digest of the viewer's history as served, 0: not said
    arms: dict[ItemId, ArmName] = {}  # experiment -> the arm this slate was made under
    feed: Annotated[str, Meta(max_length=12)] = ""  # which feed (core.feed.kinds), empty: For You


class Release(Entry, tag="release"):
    """A model the learner made: blob digest, what it was learned from, how good it was on events it had not seen."""

    rung: Annotated[str, Meta(max_length=12)]
    sha: Sha
    size: Count
    learned_to: Stamp  # newest stamp learned from, microseconds
    examples: Count
    figures: dict[str, float] = {}
    verdict: Annotated[str, Meta(max_length=300)] = ""


class Rollout(Entry, tag="rollout"):
    """How many viewers a release may serve. The newest stamp holds per rung; `rollback` means the release before it.

    One release is under trial at a time: `canary` and `widen` say the share it has, `serve` that it is the new one.
    """

    rung: Annotated[str, Meta(max_length=12)]
    sha: Sha
    verdict: Annotated[str, Meta(pattern=rf"^(canary|widen|serve|rollback){END}")]
    share_ppm: Annotated[int, Meta(ge=0, le=1_000_000)]
    why: Annotated[str, Meta(max_length=300)] = ""
    figures: dict[str, float] = {}


# -- any class: files of the chain they stand in -------------------------------------------------------------------


class Segment(Entry, tag="segment"):
    """Blocks first..last of `epoch` of this chain, closed into one immutable file named by its sha256."""

    epoch: Annotated[str, Meta(max_length=40)]
    first: Annotated[int, Meta(ge=1)]
    last: Annotated[int, Meta(ge=1)]
    sha: Sha
    size: Count


class Snapshot(Entry, tag="snapshot"):
    """State of a fold at a watermark, as a blob of this chain's class."""

    fold: Annotated[str, Meta(max_length=40)]
    sha: Sha
    size: Count
    watermark: dict[str, tuple[str, int]]


AnyEntry = (
    Publication | Retraction | Comment | Counts | Incident | Ruling | Policy | View | Like | Skip | Hide | Follow
    | Share | SlateServed | Release | Rollout | Segment | Snapshot | Interest | Reset | Experiment
)

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(AnyEntry).decode
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # what `decode` raises; step over it
decode_many = msgspec.msgpack.Decoder(list[AnyEntry]).decode


def check_stamp(stamp: int, now_us: int, field: str = "stamp") -> None:
    """The door's rule on time. Raises Refused if the stamp is over 1 s ahead or over 30 days old."""
    if stamp > now_us + AHEAD_MAX_US:
        ahead = (stamp - now_us) / 1e6
        raise Refused(f"`{field}` is {ahead:.1f} s in the future", field=field, hint="set the device's clock")
    if stamp < now_us - AGE_MAX_US:
        raise Refused(f"`{field}` is more than 30 days old", field=field, hint="the door takes 30 days")
