"""The policy table: what is ruled on a publication before anyone sees it, as rows that can be read and published.

A row says *when* (a test on one fact), *what* (a verdict) and *why* (the reason the creator is given). All rows are
tried, the strictest verdict wins, and every reason that led to it is stated. A publication on which no row bites is
allowed. The table is data: its canonical JSON is kept in the rulings chain under its sha256, so that a ruling names
exactly the text that made it.

Facts are numbers (true is 1). The media checks of the transcoder give `checked`, `duration_ms`, `black`, `frozen`
(the share of the clip, 0 to 1), `silent` (0 or 1) and `flashes_per_s`; this module adds `has_media`, `unchecked`,
`caption_chars` and `tags`. A row whose fact is missing does not bite, which would make ignorance an approval; so a
clip without `checked` is sent to a person by a row of its own.
"""

import hashlib
import unicodedata
from collections.abc import Mapping
from functools import cache

import msgspec

from holdfast.core.entries import Publication
from holdfast.core.rulings import STRICTNESS, VERDICTS

REASONS_MAX = 12  # as many as a Ruling entry holds


class When(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A test: `words` found in caption or tags, or `fact` below / above a bound; two parts must both hold."""

    words: tuple[str, ...] = ()
    fact: str = ""
    above: float | None = None
    below: float | None = None


class Row(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One row of the table."""

    name: str
    when: When
    verdict: str
    reason: str


class Ruled(msgspec.Struct, kw_only=True, frozen=True):
    """What the table says of one publication: the fields of a Ruling entry."""

    verdict: str
    reasons: list[str]
    policy: str


TABLE: tuple[Row, ...] = (
    Row(
        name="unchecked",
        when=When(fact="unchecked", above=0.5),
        verdict="ask",
        reason="The clip has not been through the media checks; a person will look at it.",
    ),
    Row(
        name="black",
        when=When(fact="black", above=0.95),  # DVD fades and night scenes stay below; an all-black clip is 1.0
        verdict="remove",
        reason="The clip shows nothing: it is black from start to end.",
    ),
    Row(
        name="frozen",
        when=When(fact="frozen", above=0.98),  # a slide show moves at least at its cuts
        verdict="limit",
        reason="The picture does not move.",
    ),
    Row(
        name="flashing",
        when=When(fact="flashes_per_s", above=3.0),  # WCAG 2.3.1: three flashes a second
        verdict="age",
        reason="The clip flashes more than three times a second, which can trigger seizures.",
    ),
    Row(
        name="watched-remove",
        when=When(words=("buy followers", "crypto giveaway", "free iphone", "gore")),
        verdict="remove",
        reason="The caption or tags contain words that our policy does not allow.",
    ),
    Row(
        name="watched-ask",
        when=When(words=("suicide", "self harm", "self-harm", "weapon", "weapons", "casino", "miracle cure")),
        verdict="ask",
        reason="The caption or tags contain words that a person looks at first.",
    ),
    Row(
        name="watched-age",
        when=When(words=("nsfw", "18+", "alcohol", "vaping")),
        verdict="age",
        reason="The caption or tags name something for adults.",
    ),
)


def canonical(table: tuple[Row, ...] = TABLE) -> str:
    """Return the table as canonical JSON text: the text its digest is of."""
    return msgspec.json.encode(table, order="sorted").decode()


def digest(table: tuple[Row, ...] = TABLE) -> str:
    """Return the sha256 of the table's canonical text, in hex."""
    return hashlib.sha256(canonical(table).encode()).hexdigest()


def parse(text: str) -> tuple[Row, ...]:
    """Read a table from its canonical text. Raises ValueError (msgspec.ValidationError) if it is not one."""
    table = msgspec.json.decode(text, type=tuple[Row, ...])
    for row in table:
        if row.verdict not in VERDICTS:
            raise msgspec.ValidationError(f"row `{row.name}`: `{row.verdict}` is not a verdict")
    return table


DIGEST = digest()


def plain(text: str) -> str:
    """Fold case, accents and look-alike widths away, and put single spaces round words: ` like this `."""
    flat = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(c if c.isalnum() or c == "+" else " " for c in flat if not unicodedata.combining(c))
    return f" {' '.join(kept.split())} "


@cache
def _plain_words(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(plain(word) for word in words)


def facts_of(publication: Publication, media: Mapping[str, float | bool]) -> dict[str, float]:
    """Join the media checks with what the publication itself shows."""
    facts = {name: float(value) for name, value in media.items()}
    facts["has_media"] = float(publication.media is not None)
    facts["unchecked"] = float(publication.media is not None and not media.get("checked"))
    facts["caption_chars"] = float(len(publication.caption))
    facts["tags"] = float(len(publication.tags))
    facts.setdefault("duration_ms", float(publication.duration_ms))
    return facts


def bites(when: When, text: str, facts: Mapping[str, float]) -> bool:
    """Say whether a row applies. `text` is `plain` caption and tags."""
    if when.words and not any(word in text for word in _plain_words(when.words)):
        return False
    if not when.fact:
        return bool(when.words)
    value = facts.get(when.fact)
    if value is None:
        return False
    return (when.above is None or value > when.above) and (when.below is None or value < when.below)


def rule(publication: Publication, media: Mapping[str, float | bool], table: tuple[Row, ...] = TABLE) -> Ruled:
    """Rule on a publication: the strictest verdict of the rows that apply, with their reasons; `allow` if none does.

    `media` holds the facts of the media checks, empty for an item without media.
    """
    text = plain(" ".join((publication.caption, *publication.tags)))
    facts = facts_of(publication, media)
    return _strictest([row for row in table if bites(row.when, text, facts)], table)


def rule_text(text: str, table: tuple[Row, ...] = TABLE) -> Ruled:
    """Rule on free text alone, for example a comment: only rows of words can bite."""
    flat = plain(text)
    return _strictest([row for row in table if row.when.words and bites(row.when, flat, {})], table)


def _strictest(hits: list[Row], table: tuple[Row, ...]) -> Ruled:
    verdict = max((row.verdict for row in hits), key=STRICTNESS.__getitem__, default="allow")
    reasons = [row.reason for row in hits if row.verdict == verdict]
    return Ruled(verdict=verdict, reasons=reasons[:REASONS_MAX], policy=DIGEST if table is TABLE else digest(table))
