"""Why this, in words: each chosen video with a sentence a person understands and the parts of its score.

Also the strip of "what it thinks you like": where the viewer's recent liking goes, by tag.
"""

from holdfast.core.catalogue import Catalogue
from holdfast.core.feed.pipeline import Chosen, Result
from holdfast.core.feed.predict import Predict
from holdfast.core.feed.shapes import Feature, SlateItem, Taste, Why
from holdfast.core.feed.value import WEIGHTS, tastes
from holdfast.core.feed.viewer import History
from holdfast.core.feed.world import World
from holdfast.core.tenants import tag_shown

TASTES = 8  # chips that fit in a strip
FEATURES = 5
_DID = {"view": "watched", "like": "liked", "share": "shared", "comment": "commented on"}
_PART_WORDS = {
    "next": "fits what you watched",
    "taste": "your taste",
    "heat": "liked here now",
    "followed": "you follow the creator",
    "fresh": "new",
    "tired": "seen a lot of it lately",
}


def taste(history: History, catalogue: Catalogue) -> list[Taste]:
    """Return the tags that the history speaks for, weights adding up to 1, strongest first: as the score has them."""
    known = tastes(history, catalogue).tolist()
    best = sorted(((w, tag_shown(catalogue.tags.all[t])) for t, w in enumerate(known) if w > 0), reverse=True)[:TASTES]
    total = sum(w for w, _ in best)
    return [Taste(tag, round(w / total, 4)) for w, tag in best]


def items(result: Result, world: World, predict: Predict | None) -> list[SlateItem]:
    """Dress a result's videos for the wire. A video that only the shelf knows is left to the caller's shelf."""
    return [_dress(chosen, result, world, predict) for chosen in result.chosen if chosen.row >= 0]


def _dress(chosen: Chosen, result: Result, world: World, predict: Predict | None) -> SlateItem:
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
        why=why(chosen, result, world, predict),
    )


def why(chosen: Chosen, result: Result, world: World, predict: Predict | None) -> Why:
    """Say why a video was chosen: one sentence, and the parts of its score as weighed."""
    features: list[Feature] = []
    if chosen.parts:
        weighed = ((name, w, part) for (name, w), part in zip(WEIGHTS[result.rung].items(), chosen.parts, strict=True))
        features = [Feature(_PART_WORDS.get(name, name), round(w * part, 4)) for name, w, part in weighed if w * part]
    return Why(chosen.source, round(chosen.score, 4), _sentence(chosen, result, world, predict), features[:FEATURES])


def _sentence(chosen: Chosen, result: Result, world: World, predict: Predict | None) -> str:
    fixed = {
        "rewatch": "You have seen everything there is; this one the longest ago.",
        "pinned": "Pinned here by the app.",
        "shelf": "From the last saved shelf of approved videos.",
        "debut": "New here: it is owed its first viewers.",
        "drawn": "Drawn by chance, to learn what else you may like.",
    }
    if chosen.how in fixed:
        return fixed[chosen.how]
    if chosen.source == "following":
        return "You follow its creator."
    if chosen.source != "linear" or predict is None:
        return "People here like it now."
    weights = WEIGHTS[result.rung]
    said = {name: w * part for (name, w), part in zip(weights.items(), chosen.parts, strict=True)}
    strongest = max(said, key=said.__getitem__)
    if strongest == "taste":
        return _by_taste(chosen.row, result, world.catalogue)
    history = result.viewer.history
    for i, speaks in predict.because(history, chosen.row)[:1] if strongest == "next" else []:
        if speaks > 0:
            return _because(history, i, world.catalogue)
    return "People here like it now."


def _by_taste(row: int, result: Result, c: Catalogue) -> str:
    taste = tastes(result.viewer.history, c)
    best = max((int(t) for t in c.tag_rows[row] if t >= 0), key=lambda t: float(taste[t]))
    return f"You have been enjoying {tag_shown(c.tags.all[best])}."


def _because(history: History, i: int, c: Catalogue) -> str:
    row = int(history.rows[i])
    p = c.publications[row]
    name = f"“{p.caption}”" if p and p.caption else f"a video about {p.tags[0]}" if p and p.tags else "another video"
    return f"You {_DID.get(history.actions[i], 'watched')} {name}; others who did went on to this."
