"""Where each kind of fact may travel: one table, and what it does not list is personal.

A class is a promise about places. `rulings` and `public` go to every region; `personal` stays among the
regions of one jurisdiction. The log server enforces it by exporting, per peer account, only the subjects of the
classes that peer may hold; this table says which those are.
"""

from enum import StrEnum


class Class(StrEnum):
    """How far a fact may travel. The order is also the order of folding: rulings first."""

    RULINGS = "rulings"
    PUBLIC = "public"
    PERSONAL = "personal"


CLASS_OF_KIND: dict[str, Class] = {
    "ruling": Class.RULINGS,
    "policy": Class.RULINGS,
    "incident": Class.PUBLIC,
    "publication": Class.PUBLIC,
    "retraction": Class.PUBLIC,
    "comment": Class.PUBLIC,
    "counts": Class.PUBLIC,
    "view": Class.PERSONAL,
    "like": Class.PERSONAL,
    "skip": Class.PERSONAL,
    "hide": Class.PERSONAL,
    "follow": Class.PERSONAL,
    "share": Class.PERSONAL,
    "interest": Class.PERSONAL,
    "reset": Class.PERSONAL,
    "slate": Class.PERSONAL,
    "release": Class.PERSONAL,
    "experiment": Class.PERSONAL,
    "rollout": Class.PERSONAL,
}
# `segment` and `snapshot` entries name files of the chain they stand in, and take that chain's class.


def class_of(kind: str) -> Class:
    """Return the class of an entry kind; an unlisted kind is personal."""
    return CLASS_OF_KIND.get(kind, Class.PERSONAL)


def may_hold(cls: Class, origin_jurisdiction: str, holder_jurisdiction: str) -> bool:
    """Say whether a region under `holder_jurisdiction` may hold a chain of `cls` from `origin_jurisdiction`."""
    return cls is not Class.PERSONAL or origin_jurisdiction == holder_jurisdiction


def chain_id(cls: Class, region: str) -> str:
    """Name a region's chain of one class, for example `personal/us-east`."""
    return f"{cls}/{region}"


def parse_chain(chain: str) -> tuple[Class, str]:
    """Split a chain id into (class, region). Raises ValueError on anything that is not `class/region`."""
    cls, region = chain.split("/")
    return Class(cls), region
