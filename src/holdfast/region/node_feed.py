"""Gather, then decide: requests of ~2 ms share one call of the pure pipeline, and what was shown becomes an entry.

Everything the decision needs is put into arguments first: the rung this region can carry now, the time, the shelf, what
must be left out to stay within the budget. The answer does not wait for its exposure entry to be fsynced: a slate
that was seen and not recorded costs the model one example; a feed that waits for its log costs the viewer the feed.
"""

import asyncio
import hmac
from dataclasses import dataclass

from holdfast.adapters import telemetry
from holdfast.adapters.http.ports import Caller
from holdfast.adapters.signing import unb64
from holdfast.core.asks import Acked
from holdfast.core.classes import Class
from holdfast.core.entries import SlateServed, encode
from holdfast.core.errors import Degraded, Refused
from holdfast.core.feed import budget as cost
from holdfast.core.feed import ladder, pipeline, why
from holdfast.core.feed.ladder import Facts, Ladder, Rung
from holdfast.core.feed.predict import Predictors
from holdfast.core.feed.shapes import FeedRequest, Slate, SlateItem
from holdfast.core.feed.sources import Stocks
from holdfast.core.feed.viewer import Budget, Query
from holdfast.model.signals import digests
from holdfast.region.node_append import Appender
from holdfast.region.node_networks import Model, predictors, served_by
from holdfast.region.node_state import State
from holdfast.region.node_teams import inward, outward
from holdfast.region.node_trials import draw

GATHER_S = 0.002
GATHERED_MAX = 64  # requests per call of the pipeline: keeps the loop free of calls longer than ~50 ms
WAITING_MAX = 512  # requests waiting for a slate; beyond it we say so at once
EMPTY = "no approved video can be offered here yet; publish one, or ask again"
COLD = "this region is still reading its log and has no shelf yet; try another region"
TRIAL = "It comes from a network that is on trial with a share of viewers."
BUDGET_US = 200_000.0  # of one call: well inside a client's deadline of about a second


log = telemetry.logger()


@dataclass(slots=True)
class _Waiting:
    query: Query
    since: float
    done: asyncio.Future[Slate]


class NodeFeed:
    """See `ports.Feed`."""

    def __init__(self, state: State, appender: Appender) -> None:
        self._state = state
        self._appender = appender
        self._waiting: list[_Waiting] = []
        self._stocks = Stocks()
        self._allowed: tuple[int, int] = (-1, 0)  # videos that may be shown, as of which version
        # one seed for a jurisdiction: a request repeated at another region draws the same lots
        self._seed = int.from_bytes(hmac.digest(unb64(state.keys.alias_secret), b"draws", "sha256")[:4], "big")

    async def slate(self, request: FeedRequest, caller: Caller) -> Slate:
        if len(self._waiting) >= WAITING_MAX:
            raise Degraded("too many feeds are asked for at once; try another region", retry_after_s=0.5)
        if request.feed == "topic" and not request.topic:
            raise Refused("a topic feed names its topic", field="topic", hint="GET /v1/topics lists them")
        if not request.request:
            request.request = self._state.token_hex(8)
        loop = asyncio.get_running_loop()
        viewer, request = viewer_of(request, caller), inward(request, caller.tenant)
        request, trial = draw(self._state.world.trials, request, viewer, caller.tenant)
        query = Query(viewer, request, caller.tenant, trial)
        waiting = _Waiting(query, self._state.now_s(), loop.create_future())
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            loop.call_later(GATHER_S, self._decide)
        return outward(await waiting.done, caller.tenant)

    def look(self, query: Query) -> pipeline.Result:
        """Answer one query as it would be answered now, without handing it out: nothing is recorded."""
        self.standing()
        network = self._state.networks.of(query.viewer)
        budget = self._budget(1, network)
        return pipeline.run([query], self._state.world, self._predictors(network), budget, self._stocks)[0]

    def _budget(self, size: int, network: Model | None) -> Budget:
        state = self._state
        trial = state.networks.on_trial(network) and state.ladder.rung <= Rung.LINEAR
        return Budget(
            now_us=state.now_us(), seed=self._seed, rung=Rung.FULL if trial else state.ladder.rung,
            shelf=tuple(i.item for i in state.shelf),
            without=cost.plan(BUDGET_US, size, state.world.catalogue.n),
        )

    def _predictors(self, network: Model | None) -> Predictors:
        return predictors(self._state.model, network)

    def standing(self) -> tuple[Rung, dict[str, str]]:
        """Move the ladder to what can be carried now; return the best affordable rung and what those above lack."""
        state, now_us = self._state, self._state.now_us()
        model, network = state.model, state.networks.serving
        catalogue = state.world.catalogue
        if self._allowed[0] != catalogue.version:
            self._allowed = (catalogue.version, int(catalogue.allowed().sum()))
        allowed = self._allowed[1] if state.folding else 0
        facts = Facts(
            network_age_s=(now_us - network.learned_to) / 1e6 if network else None,
            linear_age_s=(now_us - model.learned_to) / 1e6 if model else None,
            allowed=allowed, shelf=len(state.shelf), folding=state.folding,
        )
        best, lacks = ladder.affordable(facts)
        now_s = state.now_s()
        if state.ladder.rung >= Rung.SHELF and state.folding and best < Rung.SHELF:
            state.ladder = Ladder(best, now_s, now_s)  # a node that has just read its log begins where it can stand
        else:
            state.ladder = state.ladder.step(best, now_s)
        return best, lacks

    def reason(self, best: Rung, lacks: dict[str, str]) -> str:
        """Why the region stands on its rung and not on the one above, in plain words."""
        return ladder.standing(self._state.ladder, best, lacks, self._state.now_s())[0]

    def _decide(self) -> None:
        batch, self._waiting = self._waiting[:GATHERED_MAX], self._waiting[GATHERED_MAX:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._decide)
        try:
            self._answer(batch)
        finally:
            for waiting in batch:  # a failure of ours fails its own requests, loudly, and no other
                if not waiting.done.done():
                    waiting.done.set_exception(Degraded("the feed met a fault of its own; try another region"))

    def _answer(self, batch: list[_Waiting]) -> None:
        """Answer a batch: those whom one network serves (or none) in one call."""
        best, lacks = self.standing()
        groups: dict[str, tuple[Model | None, list[_Waiting]]] = {}
        for waiting in batch:
            network = self._state.networks.of(waiting.query.viewer)
            groups.setdefault(network.release if network else "", (network, []))[1].append(waiting)
        for network, group in groups.values():
            self._answer_by(network, group, best, lacks)

    def _answer_by(self, network: Model | None, batch: list[_Waiting], best: Rung, lacks: dict[str, str]) -> None:
        state = self._state
        budget = self._budget(len(batch), network)
        predicts = self._predictors(network)
        try:
            results = pipeline.run([w.query for w in batch], state.world, predicts, budget, self._stocks)
        except Exception:
            if network is None:
                raise
            log.exception("a network failed to answer; LINEAR does", sha=network.release)
            state.count("network_faults")
            self._answer_by(None, batch, best, lacks)
            return
        words = ladder.standing(state.ladder, best, lacks, state.now_s())
        numbers = served_by(results, state.model, network if "why" not in budget.without else None)
        pasts = digests([result.viewer.history for result in results], state.world.catalogue)
        for waiting, result, served, past in zip(batch, results, numbers, pasts, strict=True):
            model = network if result.rung < Rung.LINEAR else state.model if result.rung is Rung.LINEAR else None
            slate = self._dress(waiting, result, budget, words, model)
            if waiting.done.done():
                continue
            if not slate.items:  # better no answer than an empty one: the client asks elsewhere, or goes on by itself
                waiting.done.set_exception(nothing(waiting.query, state.folding))
                continue
            if waiting.query.viewer:
                self._record(slate, result, model, served, past if served else 0)
            waiting.done.set_result(slate)

    def _dress(
        self, waiting: _Waiting, result: pipeline.Result, budget: Budget, words: tuple[str, dict[str, str]],
        model: Model | None,
    ) -> Slate:  # fmt: skip
        state, world = self._state, self._state.world
        said = model or state.model
        predict = said.predict if said and "why" not in budget.without else None
        if result.rung is Rung.SHELF:
            kept = {item.item: item for item in state.shelf}
            items: list[SlateItem] = [kept[c.item] for c in result.chosen if c.item in kept]
        else:
            items = why.items(result, world, predict)
        reason, lacks = words
        if result.rung > state.ladder.rung:
            reason = self._lower(waiting.query, result)
        elif result.rung < state.ladder.rung:
            reason = f"{ladder.TABLE[result.rung].words} {TRIAL}"
        asked = result.viewer.asked
        if asked.words:  # which feed this is comes first, then how well it works
            reason = asked.words if result.rung is asked.kind.top else f"{asked.words} {reason}"
        state.count("slates")
        state.count("breaches", len(result.breaches))
        state.count("rewatch", int(result.rewatch))
        state.count("repeats", 0 if result.rewatch else sum(c.row in result.viewer.seen for c in result.chosen))
        state.count("empty", int(not items))
        took_ms = (state.now_s() - waiting.since) * 1000
        state.tally.slate_ms.append(took_ms)
        return Slate(
            slate=result.viewer.slate, request=waiting.query.ask.request, region=state.region, rung=result.rung.name,
            reason=reason, since_s=round(state.now_s() - state.ladder.since_s, 1), lacks=lacks,
            model=model.facts(budget.now_us) if model else None, lags_s=state.lags_s(),
            rewatch=result.rewatch, public=not waiting.query.viewer, items=items,
            taste=why.taste(result.viewer.history, world.catalogue),
            removed={name: int(rows.size) for name, rows in result.removed.items()}, took_ms=round(took_ms, 2),
            now=state.now_us(), safe=state.safe, held=state.held, feed=asked.kind.name,
        )

    def _lower(self, query: Query, result: pipeline.Result) -> str:
        """Say why this slate stands below the region's own rung."""
        words = ladder.TABLE[result.rung].words
        if result.breaches:
            return f"{words} The guard caught: {'; '.join(result.breaches)}."
        if not query.viewer:
            return f"{words} It was asked for without a token, so nothing personal is used."
        if query.ask.randomise or Rung[query.ask.at_most] > self._state.ladder.rung:
            return f"{words} The request asked for no more."
        return words

    def _record(self, slate: Slate, result: pipeline.Result, model: Model | None, numbers: bytes, past: int) -> None:
        """Make the exposure an entry. Not waited for; failures are counted."""
        state, drawn = self._state, result.drawn
        chance = result.chosen[drawn].propensity if drawn >= 0 else 0.0
        entry = SlateServed(
            **state.stamp(),  # type: ignore[arg-type]
            viewer=result.viewer.query.viewer, slate=slate.slate, rung=slate.rung,
            items=[i.item for i in slate.items], release=model.release if model else "",
            reason=slate.reason[:300], watermark=dict(state.watermark), drawn=drawn,
            propensity_ppm=round(chance * 1e6), arms=result.viewer.query.trial.arms,
            feed="" if slate.feed == "for_you" else slate.feed, signals=numbers, history=past,
        )
        try:
            self._appender.put_later(Class.PERSONAL, encode([entry])).add_done_callback(self._recorded)
        except Degraded:
            state.count("exposures_lost")

    def _recorded(self, done: asyncio.Future[Acked]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._state.count("exposures_lost")


def nothing(query: Query, folding: bool) -> Degraded | Refused:
    """Say why there is nothing to offer: in general, or by this request's own rules."""
    if folding and query.ask.rules is not None:
        said = "no item passes these rules for this viewer"
        return Refused(said, field="rules", code="rules", hint="loosen the rules")
    return Degraded(EMPTY if folding else COLD, retry_after_s=1.0)


def viewer_of(request: FeedRequest, caller: Caller) -> str:
    """Return the alias a request is for, "" for the public feed. Raises Refused."""
    if caller.team:
        caller.need("feed")
        if not request.viewer:
            raise Refused("with an API key a request names its `viewer`", field="viewer", hint='"viewer": "anna"')
        return f"{caller.team}:{request.viewer}"
    if request.viewer:
        raise Refused("`viewer` is for API keys; a token says who you are", field="viewer", hint="leave it out")
    if request.rules is not None:  # a slate vouches for what is watched (decision 0007): no viewer fills their own
        raise Refused("`rules` are for API keys", field="rules", hint="narrow the feed by `feed` and `topic`")
    return caller.alias
