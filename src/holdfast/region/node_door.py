"""The door: who may come in, and what of theirs is taken.

Two fences stand here. The *jurisdiction fence*: a token of another jurisdiction is refused before anything of the
request is looked at, kept or logged. And the *door* of the log: every entry's time is checked, its device is filled in
from the token (never believed from the body), and a batch passes whole or not at all.
"""

import hashlib
import hmac

from holdfast.adapters.http import shapes as s
from holdfast.adapters.http.ports import ANYONE, Caller
from holdfast.adapters.http.wire import Misfit
from holdfast.adapters.signing import (
    DEVICE_PROOF_LIFE_S,
    TOKEN_LIFE_S,
    Claims,
    Signer,
    Verifier,
    alias_of,
    device_message,
    issue_token,
    load_public,
    read_token,
    unb64,
)
from holdfast.core import policy
from holdfast.core.classes import Class
from holdfast.core.entries import check_stamp, encode
from holdfast.core.errors import Refused
from holdfast.core.hlc import AGE_MAX_US, AHEAD_MAX_US
from holdfast.core.tenants import inner
from holdfast.region.node_append import Appender
from holdfast.region.node_interests import full_name
from holdfast.region.node_state import State

CALLERS_KEPT = 50_000  # tokens whose signature was checked already: about 20 MB
ALIAS_MAX = 64  # entries.Alias


def public_name(alias_secret: str, alias: str) -> str:
    """Name under which a device publishes: the same in every region of its jurisdiction, not linkable to its alias."""
    return "p-" + hmac.new(unb64(alias_secret), b"public\n" + alias.encode(), hashlib.sha256).hexdigest()[:16]


class NodeDoor:
    """See `ports.Door`."""

    def __init__(self, state: State, appender: Appender) -> None:
        self._state = state
        self._appender = appender
        public = load_public(state.home)
        self._verifiers = {name: Verifier(unb64(key)) for name, key in public.token.items()}
        here = state.here.jurisdiction  # a region vouches for people under its own law, and for nobody else
        self._ours = {r.name for r in state.top.regions if r.jurisdiction == here}
        self._token_key = Signer(unb64(state.keys.token_seed))
        self._known: dict[str, tuple[Caller, int]] = {}  # authorization -> (caller, expires)

    def caller(self, authorization: str) -> Caller:
        if not authorization:
            return ANYONE
        known = self._known.get(authorization)
        now_s = self._state.now_us() // 1_000_000
        if known is not None and known[1] >= now_s:
            return known[0]
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise Refused("the Authorization header must read `Bearer …`", field="Authorization", code="token")
        if text.startswith("hfk_"):
            key = self._state.api_keys.find(text, self._state.now_s())
            return Caller(team=key.team, tenant=key.tenant, scopes=frozenset(key.scopes))
        claims = read_token(text, self._verifiers, self._state.here.jurisdiction, now_s)
        if claims.region not in self._ours:
            raise Refused(f"{claims.region} may not speak for {claims.jurisdiction}", field="token", code="token",
                          hint="POST /v1/devices for a new one")
        caller = Caller(alias=claims.alias, public_name=public_name(self._state.keys.alias_secret, claims.alias))
        if len(self._known) >= CALLERS_KEPT:
            self._known.clear()
        self._known[authorization] = (caller, claims.expires)
        return caller

    async def enrol(self, request: s.DeviceRequest) -> s.DeviceToken:
        here = self._state.here.jurisdiction
        if request.jurisdiction != here:
            raise Refused(
                f"this region is under {here}, the device says {request.jurisdiction}", field="jurisdiction",
                code="jurisdiction", hint="enrol at a region of your own jurisdiction: GET /v1/region lists them",
            )
        now_s = self._state.now_us() // 1_000_000
        if abs(now_s - request.stamp_s) > DEVICE_PROOF_LIFE_S:
            raise Refused("the proof is too old, or from the future", field="stamp_s", code="token",
                          hint="sign the current time; GET /v1/region tells the region's clock")
        try:
            key, proof = unb64(request.key), unb64(request.proof)
            genuine = Verifier(key).verify(proof, device_message(request.jurisdiction, request.stamp_s))
        except ValueError as e:
            raise Refused("the key or proof is not base64url of the right size", field="key", code="token") from e
        if not genuine:
            raise Refused("the proof does not match the key", field="proof", code="token")
        claims = Claims(
            alias=alias_of(self._state.keys.alias_secret, key), jurisdiction=here, region=self._state.region,
            issued=now_s, expires=now_s + TOKEN_LIFE_S,
        )
        token = issue_token(self._token_key, claims)
        return s.DeviceToken(token=token, alias=claims.alias, jurisdiction=here, expires=claims.expires)

    async def take(self, entries: list[s.Event], caller: Caller) -> s.Taken:
        now_us = self._state.now_us()
        if caller.alias:
            self._fill(entries, caller.alias, now_us)
        else:
            caller.need("events")
            self._fill_for_team(entries, caller, now_us)
        for e in entries:
            if type(e) is s.InterestEvent:
                e.name = full_name(e.about, e.name, caller.tenant)
        comments = [e for e in entries if type(e) is s.CommentEvent]
        parts = [(Class.PERSONAL, entries)]
        if comments:
            self._publish_as(comments, caller)
            check_words(comments, entries)
            others = [e for e in entries if type(e) is not s.CommentEvent]
            parts = [(Class.PERSONAL, others), (Class.PUBLIC, comments)]
        acked = [(cls, await self._appender.put(cls, encode(batch))) for cls, batch in parts if batch]
        self._state.count("entries", len(entries))
        cls, first = acked[0]
        return s.Taken(
            chain=first.chain, epoch=first.epoch, n=first.n, acked=len(entries), strongest=self._state.strongest(cls),
            safe=self._state.safe, held=self._state.held, now=self._state.now_us(),
            also=[
                s.AlsoTaken(chain=a.chain, epoch=a.epoch, n=a.n, strongest=self._state.strongest(c))
                for c, a in acked[1:]
            ],
        )

    def _fill(self, entries: list[s.Event], alias: str, now_us: int) -> None:
        """Give every entry its device. The hot loop: a few attribute reads per entry."""
        low, high = now_us - AGE_MAX_US, now_us + AHEAD_MAX_US
        for i, e in enumerate(entries):
            if not low <= e.stamp <= high:
                refuse_stamp(e.stamp, now_us, i)
            if (e.device and e.device != alias) or e.viewer:
                raise Misfit("a device sends its own events only", field="viewer" if e.viewer else "device", index=i,
                             hint="leave the field out; the token says who you are")
            e.device = alias

    def _fill_for_team(self, entries: list[s.Event], caller: Caller, now_us: int) -> None:
        team, tenant = caller.team, caller.tenant
        low, high = now_us - AGE_MAX_US, now_us + AHEAD_MAX_US
        for i, e in enumerate(entries):
            if not low <= e.stamp <= high:
                refuse_stamp(e.stamp, now_us, i)
            if not e.viewer or e.device:
                raise Misfit("with an API key each event names its `viewer`", field="viewer", index=i,
                             hint='for example "viewer": "anna"')
            e.device = f"{team}:{e.viewer}"
            e.viewer = ""
            if not tenant:
                continue
            if isinstance(e, s.FollowEvent):
                e.creator = inner(tenant, e.creator)
            elif not isinstance(e, s.InterestEvent | s.ResetEvent):
                e.item = inner(tenant, e.item)

    def _publish_as(self, comments: list[s.CommentEvent], caller: Caller) -> None:
        secret = self._state.keys.alias_secret
        for e in comments:
            e.device = caller.public_name or public_name(secret, e.device)

    def held(self, caller: Caller) -> s.Held:
        caller.need_device()
        self._state.need_folds()
        spans = self._state.world.held(caller.alias) + self._state.world.held(caller.public_name)
        return s.Held(device=caller.alias, intervals=joined(spans))


def joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge closed intervals into disjoint, sorted ones."""
    out: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return out


def refuse_stamp(stamp: int, now_us: int, index: int) -> None:
    """Raise the refusal of a stamp that the door does not let in, naming the entry."""
    try:
        check_stamp(stamp, now_us)
    except Refused as e:
        raise Misfit(str(e), field=e.field, index=index, hint=e.hint) from e


def check_words(comments: list[s.CommentEvent], entries: list[s.Event]) -> None:
    """Refuse a comment whose words the policy table would not show. Raises Misfit."""
    for e in comments:
        ruled = policy.rule_text(e.text)
        if ruled.verdict in ("ask", "remove"):
            raise Misfit(" ".join(ruled.reasons), field="text", index=entries.index(e), hint="say it otherwise")
