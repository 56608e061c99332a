"""Keys, signatures and tokens: the one module that imports `cryptography`.

A region has three secrets: a *block key* (signs its chains), a *token key* (signs jurisdiction tokens) and passwords
to its own and its peers' log servers. All regions of a jurisdiction share one *alias secret*, so that each derives
the same alias for a device without asking another. Secrets live in `DIR/keys/`, outside every data directory.

A token is `base64url(json claims).base64url(signature)`; any permitted region verifies it with the public keys it
already holds.
"""

import base64
import hashlib
import hmac
import secrets
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from holdfast.adapters.home import Home
from holdfast.adapters.system import make_durable, make_folder, write_whole
from holdfast.core.errors import Refused
from holdfast.core.topology import Topology

TOKEN_LIFE_S = 30 * 86_400
NEW_TOKEN = "POST /v1/devices for a new one"
SECRET = 0o600
DEVICE_PROOF_LIFE_S = 300  # how old the stamp in a device's proof may be


class RegionKeys(msgspec.Struct, kw_only=True):
    """The secrets of one region: base64 seeds; `peers[p]` opens p's log server, `accepts[p]` is p's password here."""

    region: str
    block_seed: str
    token_seed: str
    nats_local: str
    peers: dict[str, str]
    accepts: dict[str, str]
    alias_secret: str


class PublicKeys(msgspec.Struct, kw_only=True):
    """What everyone may know: base64 Ed25519 public keys by region."""

    block: dict[str, str]
    token: dict[str, str]


class Claims(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a token says. Times in seconds since 1970."""

    alias: str
    jurisdiction: str
    region: str
    issued: int
    expires: int


def b64(data: bytes) -> str:
    """base64url without padding: the one spelling used in tokens and keys."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Decode `b64`; raises ValueError on any other spelling."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64(data) != text:
        raise ValueError("not canonical base64url")
    return data


class Signer:
    """An Ed25519 private key."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


class Verifier:
    """An Ed25519 public key."""

    def __init__(self, public: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(public)

    def verify(self, signature: bytes, data: bytes) -> bool:
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


def _seed() -> str:
    return b64(secrets.token_bytes(32))


def secret_folder(home: Home) -> None:
    """Make the folder of secrets, for its owner alone, if need be."""
    if not home.keys.is_dir():
        make_folder(home.root)
        home.keys.mkdir(exist_ok=True, mode=0o700)
        make_durable(home.root)


def make_keys(home: Home, top: Topology) -> None:
    """Make whatever keys are missing for the regions of `top`; existing keys are kept."""
    secret_folder(home)
    kept = {r.name: load_keys(home, r.name) for r in top.regions if _key_file(home, r.name).exists()}
    alias: dict[str, str] = {}
    for r in top.regions:
        if r.name in kept:
            alias.setdefault(r.jurisdiction, kept[r.name].alias_secret)
    made: dict[str, RegionKeys] = {}
    for r in top.regions:
        made[r.name] = kept.get(r.name) or RegionKeys(
            region=r.name, block_seed=_seed(), token_seed=_seed(), nats_local=_seed(), peers={}, accepts={},
            alias_secret=alias.setdefault(r.jurisdiction, _seed()),
        )
    for a in made.values():
        for b in made.values():
            if a is not b:
                password = a.peers.get(b.region) or b.accepts.get(a.region) or _seed()
                a.peers[b.region] = password
                b.accepts[a.region] = password
    for keys in made.values():
        write_keys(home, keys)
    public = PublicKeys(
        block={n: b64(Signer(unb64(k.block_seed)).public) for n, k in made.items()},
        token={n: b64(Signer(unb64(k.token_seed)).public) for n, k in made.items()},
    )
    write_whole(home.keys / "public.json", msgspec.json.format(msgspec.json.encode(public), indent=1), SECRET)


def _key_file(home: Home, region: str) -> Path:
    return home.keys / f"{region}.json"


def write_keys(home: Home, keys: RegionKeys) -> None:
    """Keep a region's secrets: before anything is sealed with them, or a power cut leaves blocks nobody can verify."""
    write_whole(_key_file(home, keys.region), msgspec.json.format(msgspec.json.encode(keys), indent=1), SECRET)


def load_keys(home: Home, region: str) -> RegionKeys:
    """Read a region's secrets. Raises Refused if they are missing or damaged."""
    try:
        return msgspec.json.decode(_key_file(home, region).read_bytes(), type=RegionKeys)
    except (OSError, msgspec.MsgspecError) as e:
        raise Refused(f"the keys of {region} cannot be read: {e}", field="keys", hint="holdfast keys make") from e


def load_public(home: Home) -> PublicKeys:
    """Read everyone's public keys. Raises Refused if they are missing or damaged."""
    try:
        return msgspec.json.decode((home.keys / "public.json").read_bytes(), type=PublicKeys)
    except (OSError, msgspec.MsgspecError) as e:
        raise Refused(f"the public keys cannot be read: {e}", field="keys", hint="holdfast keys make") from e


# -- devices and tokens --------------------------------------------------------------------------------------------


def device_message(jurisdiction: str, stamp_s: int) -> bytes:
    """What a device signs with its key to ask for a token."""
    return f"holdfast-device-v1\n{jurisdiction}\n{stamp_s}\n".encode()


def alias_of(alias_secret: str, device_public: bytes) -> str:
    """Derive a device's alias: the same in every region of the jurisdiction, meaningless outside it."""
    return "v-" + hmac.new(unb64(alias_secret), device_public, hashlib.sha256).hexdigest()[:20]


def issue_token(token_key: Signer, claims: Claims) -> str:
    """Sign a token."""
    body = msgspec.json.encode(claims)
    return f"{b64(body)}.{b64(token_key.sign(body))}"


def read_token(token: str, verifiers: dict[str, Verifier], jurisdiction: str, now_s: int) -> Claims:
    """Check a token, return its claims. Raises Refused (code `token`) on any flaw, `jurisdiction` if it is foreign."""
    try:
        body64, signature64 = token.split(".")
        body = unb64(body64)
        claims = msgspec.json.decode(body, type=Claims)
        genuine = verifiers[claims.region].verify(unb64(signature64), body)
    except (ValueError, KeyError, msgspec.MsgspecError) as e:
        raise Refused("the token does not read", field="token", code="token", hint=NEW_TOKEN) from e
    if not genuine:
        raise Refused("the token is not signed by a region we know", field="token", code="token")
    if claims.expires < now_s:
        raise Refused("the token has expired", field="token", code="token", hint=NEW_TOKEN)
    if claims.jurisdiction != jurisdiction:
        raise Refused(
            f"the token belongs to jurisdiction {claims.jurisdiction}, this region to {jurisdiction}",
            field="token", code="jurisdiction", hint="send personal requests to a region of your jurisdiction",
        )
    return claims
