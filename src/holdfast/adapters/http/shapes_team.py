"""What the calls beyond the slate take and give: lists, why an item was not offered, experiments."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.core import entries as e
from holdfast.core.experiments import ArmResult
from holdfast.core.feed.rules import Rules
from holdfast.core.feed.shapes import Feature, FeedRequest, RungName, SlateItem


class Listing(msgspec.Struct, kw_only=True):
    """A list of items, best first, each with why: no viewer is needed for it."""

    region: str
    now: int
    items: list[SlateItem]


class WhyNotRequest(FeedRequest, kw_only=True, forbid_unknown_fields=True):
    """A feed request, and the item that one misses in its answer."""

    item: e.OwnId


class WhyNotAnswer(msgspec.Struct, kw_only=True):
    """What became of the item: `core.feed.whynot` lists the states. `needed`: score of the last one offered."""

    item: str
    state: str
    sentence: str
    rung: str
    filter: str = ""
    place: int = 0
    score: float = 0.0
    needed: float = 0.0
    features: list[Feature] = []


class ArmPlan(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One arm: `share` beside the others', and what it changes. `weights`: factors of the parts of the score."""

    name: e.ArmName
    share: Annotated[int, Meta(ge=1, le=1000)] = 1
    at_most: RungName | None = None
    weights: Annotated[dict[str, Annotated[float, Meta(ge=0.0, le=4.0)]], Meta(max_length=20)] = {}
    rules: Rules | None = None


class ExperimentPlan(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to compare; the first arm is what the others are compared with. `effect`: the change hoped for."""

    arms: Annotated[list[ArmPlan], Meta(min_length=2, max_length=5)]
    outcome: Literal["long_view_share", "long_views", "likes"] = "long_view_share"
    window_s: Annotated[int, Meta(ge=1, le=30 * 86_400)] = 86_400
    effect: Annotated[float, Meta(gt=0.0, le=1000.0)] = 0.05
    salt: Annotated[str, Meta(max_length=32)] = ""


class ExperimentLine(msgspec.Struct, kw_only=True):
    """An experiment as it is defined. `stopped`: when, µs since 1970; 0 while it runs.

    `unread`: an arm that this region's version cannot read, so that it draws nobody.
    """

    name: str
    arms: list[ArmPlan]
    outcome: str
    window_s: int
    effect: float
    stopped: int
    unread: str = ""


class Experiments(msgspec.Struct):
    """By name."""

    experiments: list[ExperimentLine]


class ExperimentResults(msgspec.Struct, kw_only=True):
    """Results that hold however often one looks; no interval is given below `viewers_min` in an arm.

    `shares_hold`: the arms are as large as their shares promise; if not, exposures are lost and nothing here holds.
    """

    experiment: ExperimentLine
    confidence: float
    viewers_min: int
    shares_hold: bool
    arms: list[ArmResult]
