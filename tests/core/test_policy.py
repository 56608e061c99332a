"""The policy table: rows bite on words and facts, the strictest wins, and the text it names is the text it is."""

import hashlib

import msgspec
import pytest

from holdfast.core.entries import Media, Publication
from holdfast.core.policy import DIGEST, TABLE, Row, When, canonical, parse, rule

MEDIA = Media(init="0" * 64, segments=[("1" * 64, 2000)], poster="2" * 64, width=360, height=640)
CLEAN = {"checked": True, "black": 0.0, "frozen": 0.1, "silent": False, "flashes_per_s": 0.0}


def publication(caption: str = "Tide at dusk", tags: tuple[str, ...] = ("tides",), media: Media | None = MEDIA):
    return Publication(
        device="u", outbox=1, stamp=1, item="i", creator="c", caption=caption, tags=list(tags), media=media
    )


def test_a_clean_clip_is_allowed_under_the_published_table() -> None:
    ruled = rule(publication(), CLEAN)
    assert (ruled.verdict, ruled.reasons, ruled.policy) == ("allow", [], DIGEST)


def test_a_clip_that_was_not_checked_goes_to_a_person() -> None:
    assert rule(publication(), {}).verdict == "ask"
    assert rule(publication(media=None), {}).verdict == "allow"


@pytest.mark.parametrize(
    ("fact", "value", "verdict"),
    [("black", 1.0, "remove"), ("black", 0.5, "allow"), ("frozen", 1.0, "limit"), ("flashes_per_s", 8.0, "age")],
)
def test_media_facts(fact: str, value: float, verdict: str) -> None:
    assert rule(publication(), {**CLEAN, fact: value}).verdict == verdict


@pytest.mark.parametrize(
    ("caption", "verdict"),
    [
        ("Free iPhone!!! click", "remove"),
        ("FRÉÉ IPHONE", "remove"),  # accents and case do not hide a word
        ("freeiphones are a species", "allow"),  # whole words only
        ("my self-harm story", "ask"),
        ("tasting alcohol, free iphone", "remove"),  # the strictest wins
    ],
)
def test_watched_words_in_captions(caption: str, verdict: str) -> None:
    assert rule(publication(caption=caption), CLEAN).verdict == verdict


def test_watched_words_in_tags_and_the_reason_is_stated() -> None:
    ruled = rule(publication(tags=("NSFW",)), CLEAN)
    assert ruled.verdict == "age" and len(ruled.reasons) == 1


def test_the_digest_is_of_the_canonical_text_which_reads_back() -> None:
    assert hashlib.sha256(canonical().encode()).hexdigest() == DIGEST
    assert parse(canonical()) == TABLE and canonical(parse(canonical())) == canonical()


def test_another_table_rules_otherwise_and_says_so() -> None:
    table = (Row(name="long", when=When(fact="duration_ms", above=1000), verdict="limit", reason="long"),)
    ruled = rule(publication(), {**CLEAN, "duration_ms": 2000}, table)
    assert ruled.verdict == "limit" and ruled.policy != DIGEST


def test_a_table_with_an_unknown_verdict_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        parse(canonical().replace('"verdict":"age"', '"verdict":"maybe"'))
