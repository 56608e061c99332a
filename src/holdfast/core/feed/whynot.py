"""Why not: what kept one item out of a viewer's slate, in words. The pipeline itself is asked, not a copy of its rules.

The same request is run once more with a slate LOOK places long. The item is then in exactly one of these states:

    unknown      no such item here                     (of another tenant's items this is all one learns)
    filtered     a filter removed it: `filter` names it; a ruling, an age or a rule is named likewise
    offered      it is among the first n places
    ranked       it came behind: at which place, and how far its score is below the last that was offered
    behind       it passes every filter and came behind all LOOK places

A slate also heeds spacing and chance, so "ranked" tells the place, not a promise for the next request.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from holdfast.core.feed.pipeline import Chosen, Result
from holdfast.core.feed.rules import admits
from holdfast.core.feed.sources import AGE_MAX_US
from holdfast.core.feed.viewer import Query
from holdfast.core.feed.world import World
from holdfast.core.rulings import STRICTNESS, VERDICTS

LOOK = 200  # places looked at: twice the longest slate

FILTER_WORDS = {
    "own": "the viewer published it",
    "hidden": "the viewer said they are not interested in it",
    "excluded": "the app said it holds it already",
    "seen": "the viewer has seen it",
    "in_hand": "it is in a slate handed to this viewer in the last ten minutes",
    "rules": "the request's rules keep it out",
    "never": "the viewer asked never to see its creator or one of its tags",
    "feed": "it does not belong in the feed that was asked for",
}
RULING_WORDS = {
    "limit": "it is ruled `limit`: only those who follow its creator get it",
    "age": "it is ruled `age`, and the viewer's age is not known",
    "ask": "it waits for a person's ruling",
    "remove": "it is ruled away",
}


@dataclass(frozen=True, slots=True)
class WhyNot:
    """The answer. `place` counts from 1; `score` and `needed` (the last offered one's) are 0 where none was scored."""

    state: str
    sentence: str
    filter: str = ""
    place: int = 0
    score: float = 0.0
    needed: float = 0.0
    chosen: Chosen | None = None


def why_not(item: str, query: Query, world: World, now_us: int, run: Callable[[Query], Result]) -> WhyNot:
    """Say what became of `item` (a full name) in a slate for `query`. `run` asks the pipeline."""
    c = world.catalogue
    row = c.items.of.get(item, -1)
    if row < 0 or c.publications[row] is None:
        return WhyNot("unknown", "No item of this name is known here.")
    if not c.live[row]:
        return WhyNot("filtered", "Not offered: its creator took it back.", "live")
    verdict = int(c.verdict[row])
    if verdict != STRICTNESS["allow"]:
        said = RULING_WORDS[VERDICTS[verdict]] if verdict >= 0 else "this region holds no ruling on it yet"
        if VERDICTS[verdict] != "limit" or verdict < 0:
            return WhyNot("filtered", f"Not offered: {said}.", "ruled")
    elif now_us - int(c.published[row]) >= AGE_MAX_US:
        return WhyNot("filtered", "Not offered: it is over a year old; it is reached by its address.", "age")
    rules = query.ask.rules
    if rules is not None and not admits(rules, c, query.tenant)[row]:
        return WhyNot("filtered", f"Not offered: {FILTER_WORDS['rules']}.", "rules")
    n = query.ask.n
    result = run(replace(query, ask=msgspec.structs.replace(query.ask, n=LOOK)))
    for name, rows in result.removed.items():
        if row in rows:
            return WhyNot("filtered", f"Not offered: {FILTER_WORDS.get(name, name)}.", name)
    return _ranked(row, verdict, n, result)


def _ranked(row: int, verdict: int, n: int, result: Result) -> WhyNot:
    chosen = result.chosen
    at = next((i for i, one in enumerate(chosen) if one.row == row), -1)
    last = min((one.score for one in chosen[:n] if one.how == "best"), default=0.0)
    if at < 0 and VERDICTS[verdict] == "limit":
        return WhyNot("filtered", f"Not offered: {RULING_WORDS['limit']}.", "ruled")
    if at < 0:
        return WhyNot(
            "behind", f"It passes every filter, but {len(chosen)} others stand before it.", needed=round(last, 4)
        )
    one = chosen[at]
    if at < n:
        return WhyNot("offered", f"It is offered, at place {at + 1}.", place=at + 1, score=one.score, chosen=one)
    words = (
        f"It came at place {at + 1}; {n} were asked for. Its score is {one.score:.3f}, and {last:.3f} was needed: "
        f"{max(0.0, last - one.score):.3f} more."
    )
    return WhyNot("ranked", words, place=at + 1, score=round(one.score, 4), needed=round(last, 4), chosen=one)
