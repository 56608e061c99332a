"""Why this, in words: each chosen video with a sentence a person understands and the parts of its score.

Also the strip of "what it thinks you like": where the viewer's recent liking goes, by tag.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed.ladder import Rung
from holdfast.core.feed.pipeline import Chosen, Result
from holdfast.core.feed.predict import Predict
from holdfast.core.feed.shapes import Feature, SlateItem, Taste, Why
from holdfast.core.feed.value import WEIGHTS, tastes
from holdfast.core.feed.viewer import History
from holdfast.core.feed.world import World
from holdfast.core.tenants import creator_shown, tag_shown

Array = NDArray[Any]

TASTES = 8  # chips that fit in a strip
FEATURES = 5
_DID = {"view": "watched", "like": "liked", "share": "shared", "comment": "commented on"}
_PART_WORDS = {
    "next": "others who watched the same went on to it",
    "taste": "how you liked its themes so far",
    "heat": "people here like it now",
    "followed": "you follow its creator",
    "told": "what you said about it",
    "fresh": "new",
    "first": "how its first viewers took it",
    "tired": "seen a lot of it lately",
    # what the network expects of the viewer: these parts are probabilities (`Feature.chance`)
    "long": "you watch it through",
    "like": "you like it",
    "share": "you share it",
    "follow": "you follow its creator for it",
    "comment": "you comment on it",
    "skip": "you swipe it away",
    "hide": "you hide it",
}
_HOW_WORDS = {
    "rewatch": "You have seen everything there is; this one the longest ago.",
    "pinned": "Pinned here by the app.",
    "shelf": "From the last saved shelf of approved videos.",
    "debut": "New here: it is owed its first viewers.",
    "drawn": "Drawn by chance, to learn what else you may like.",
}
_ELSE = {  # the part that says most, if a person can read it by itself; "": none speaks for it
    "fresh": "it is new here",
    "first": "its first viewers liked it",
    "followed": "you follow its creator",
    "heat": "people here like it now",
    "": "nothing yet speaks for one more than for another",
}
_NOTHING = (-1, 0.0)
_NO_TASTE = np.zeros(0, np.float32)
CHANCES = frozenset({"long", "like", "share", "follow", "comment", "skip", "hide"})


def taste(history: History, catalogue: Catalogue) -> list[Taste]:
    """Return the tags that the history speaks for, weights adding up to 1, strongest first: as the score has them."""
    known = tastes(history, catalogue)
    liked = [(float(known[t]), tag_shown(catalogue.tags.all[t])) for t in np.flatnonzero(known > 0).tolist()]
    best = sorted(liked, reverse=True)[:TASTES]
    total = sum(w for w, _ in best)
    return [Taste(tag, round(w / total, 4)) for w, tag in best]


def items(result: Result, world: World, predict: Predict | None) -> list[SlateItem]:
    """Dress a result's videos for the wire. A video that only the shelf knows is left to the caller's shelf."""
    known = [chosen for chosen in result.chosen if chosen.row >= 0]
    return [_dress(c, said, result, world) for c, said in zip(known, whys(known, result, world, predict), strict=True)]


def _dress(chosen: Chosen, said: Why, result: Result, world: World) -> SlateItem:
    c, row = world.catalogue, chosen.row
    p = c.publications[row]
    media = p.media if p else None
    views, likes, comments = c.totals(row)
    return SlateItem(
        item=chosen.item,
        creator=p.creator if p else "",
        caption=p.caption if p else "",
        tags=list(p.tags) if p else [],
        duration_ms=p.duration_ms if p else 0,
        playlist=f"/v1/items/{chosen.item}/index.m3u8" if media else None,
        poster=f"/v1/blobs/{media.poster}" if media else None,
        width=media.width if media else 0,
        height=media.height if media else 0,
        url=p.url if p else None,
        likes=likes,
        liked=result.viewer.profile.liked(row),
        comments=comments,
        views=views,
        why=said,
    )


def why(chosen: Chosen, result: Result, world: World, predict: Predict | None) -> Why:
    """Say why a video was chosen: one sentence, and the parts of its score as weighed."""
    return whys([chosen], result, world, predict)[0]


def whys(chosen: Sequence[Chosen], result: Result, world: World, predict: Predict | None) -> list[Why]:
    """Say of each video why it was chosen. The model is asked once, about all of which its parts say most."""
    table = WEIGHTS.get(result.rung, WEIGHTS[Rung.REGIONAL])  # SHELF has no parts
    names, weights = list(table), np.array(list(table.values()))
    parts = np.array([c.parts or (0.0,) * len(names) for c in chosen], np.float64).reshape(len(chosen), len(names))
    said = parts * weights
    most: list[int] = said.argmax(1).tolist()
    strongest = [names[m] if row[m] > 0 else "" for m, row in zip(most, said.tolist(), strict=True)]
    sentences = [_fixed(c, result) for c in chosen]
    asked = [
        i for i, (sentence, part) in enumerate(zip(sentences, strongest, strict=True))
        if sentence is None and (part == "next" or part in CHANCES)
    ]  # fmt: skip
    near: dict[int, tuple[int, float]] = {}
    if predict is not None and asked:
        found = predict.because(result.viewer.history, np.array([chosen[i].row for i in asked], np.int64))
        near = dict(zip(asked, found, strict=True))
    taste = tastes(result.viewer.history, world.catalogue) if "taste" in strongest else _NO_TASTE
    order: list[list[int]] = np.argsort(-np.abs(said), axis=1, kind="stable")[:, :FEATURES].tolist()
    rows = zip(chosen, order, said.tolist(), parts.tolist(), strict=True)
    return [
        Why(
            c.source, round(c.score, 4),
            sentences[i] or _sentence(c, strongest[i], near.get(i, _NOTHING), taste, result, world.catalogue),
            [_feature(names[k], says[k], each[k]) for k in best if says[k]],
        )
        for i, (c, best, says, each) in enumerate(rows)
    ]  # fmt: skip


def _feature(name: str, says: float, part: float) -> Feature:
    return Feature(_PART_WORDS.get(name, name), round(says, 4), round(part, 4) if name in CHANCES else None)


def _fixed(chosen: Chosen, result: Result) -> str | None:
    """Return the sentence of a video whose place says it all; None where its score must be asked."""
    asked = result.viewer.asked
    if chosen.how == "rewatch" and asked.only is not None:
        return "You have seen everything in this feed; this one the longest ago."
    if chosen.how in _HOW_WORDS:
        return _HOW_WORDS[chosen.how]
    if chosen.source == "following" or asked.kind.newest:
        return "You follow its creator."
    if asked.kind.name == "plain":
        return "People here like it now; nothing about you was used to choose it."
    return None


def _sentence(
    chosen: Chosen, strongest: str, near: tuple[int, float], taste: Array, result: Result, c: Catalogue
) -> str:
    """`strongest`: the part that says most; `near`: the event that the model says speaks most, and how much."""
    if strongest == "told":
        return f"You asked for more of {_wanted(chosen.row, result, c)}."
    if strongest == "taste":
        return _by_taste(chosen.row, taste, c)
    if near[1] > 0:
        return _because(result.viewer.history, near[0], strongest == "next", c)
    if strongest in CHANCES:
        return f"The model expects that {_PART_WORDS[strongest]}."
    reason = _ELSE.get(strongest, _ELSE[""])
    if result.viewer.asked.kind.name == "topic":
        return f"It is about {result.viewer.query.ask.topic}, and {reason}."
    return f"{reason[0].upper()}{reason[1:]}."


def _wanted(row: int, result: Result, c: Catalogue) -> str:
    """Name the tag or creator of a video that the viewer asked for more of."""
    wishes = result.viewer.wishes
    tags = wishes.tags if wishes else {}
    for tag in (int(t) for t in c.tag_rows[row] if t >= 0):
        if tags.get(tag, 0.0) > 0:
            return tag_shown(c.tags.all[tag])
    return creator_shown(result.viewer.query.tenant, c.creators.all[int(c.creator[row])])


def _by_taste(row: int, taste: Array, c: Catalogue) -> str:
    best = max((int(t) for t in c.tag_rows[row] if t >= 0), key=lambda t: float(taste[t]))
    return f"You have been enjoying {tag_shown(c.tags.all[best])}."


def _because(history: History, i: int, counted: bool, c: Catalogue) -> str:
    """`counted`: by what others went on to (LINEAR); else by what the network makes of the viewer's acts."""
    row = int(history.rows[i])
    p = c.publications[row]
    name = f"“{p.caption}”" if p and p.caption else f"a video about {p.tags[0]}" if p and p.tags else "another video"
    did = f"You {_DID.get(history.actions[i], 'watched')} {name}"
    return f"{did}; others who did went on to this." if counted else f"{did}; that speaks most for this one."
