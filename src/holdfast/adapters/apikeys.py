"""API keys of teams that use Holdfast behind their own app: made here, kept only as hashes.

A key reads `hfk_<id>_<secret>`. The secret has 256 random bits, so a plain sha256 of it cannot be guessed back, and a
slow password hash would only slow the feed. `DIR/keys/api.json` holds id, team, scopes and hash; nodes notice a change
of the file within a second, so that a revoked key stops working without a restart.

Viewers of a team live in the team's own name space: the viewer `anna` of team `acme` has the alias `acme:anna`, which
no device's alias (`v-…`) and no other team can take. A key with `own` opens the team's own catalogue and no other
(`core.tenants`); one without publishes into the platform's public catalogue. A team has keys of one sort only, since
what its viewers did belongs to the one or the other. When its last key is revoked the name stays the team's, since its
items and viewers are still there; `adopt` takes them over knowingly.
"""

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from holdfast.adapters import telemetry
from holdfast.adapters.home import Home
from holdfast.adapters.signing import SECRET, secret_folder
from holdfast.adapters.system import write_whole
from holdfast.core.errors import Degraded, Refused
from holdfast.core.tenants import PLATFORM

SCOPES = ("items", "events", "feed", "rulings", "experiments")
TEAM = re.compile(r"[a-z][a-z0-9]{0,15}")
RELOAD_S = 1.0
HINT = "holdfast keys api make NAME items events feed"


class ApiKey(msgspec.Struct, kw_only=True, frozen=True):
    """One key, without its secret. `made` in seconds since 1970."""

    id: str
    team: str
    scopes: tuple[str, ...]
    sha256: str
    made: int
    own: bool = False

    @property
    def tenant(self) -> str:
        """Whose catalogue the key opens."""
        return self.team if self.own else PLATFORM


class _File(msgspec.Struct):
    keys: list[ApiKey] = []
    left: dict[str, bool] = {}  # teams without a key, and whether their catalogue is their own


def _path(home: Home) -> Path:
    return home.keys / "api.json"


def load(home: Home) -> list[ApiKey]:
    """Read the keys of an installation. Raises Refused if the file is damaged."""
    return _read(home).keys


def _read(home: Home) -> _File:
    path = _path(home)
    if not path.exists():
        return _File()
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        raise Refused(f"{path} cannot be read: {e}", field="keys", hint="restore it from a backup or delete it") from e


@contextmanager
def _changed(home: Home) -> Iterator[_File]:
    """Give the file to change, and write it, durably: no two commands may change it at once and undo each other."""
    secret_folder(home)
    folder = os.open(home.keys, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        file = _read(home)
        yield file
        write_whole(_path(home), msgspec.json.format(msgspec.json.encode(file), indent=1), SECRET)
    finally:
        os.close(folder)


def make(home: Home, team: str, scopes: tuple[str, ...], *, own: bool = False, adopt: bool = False) -> str:
    """Make a key and return it: the only time it is ever shown. `own`: for the team's own catalogue.

    Raises Refused on a bad team name or scope, if the team has or had keys of the other sort, and, unless `adopt`, if
    the name is that of a team whose keys are all revoked.
    """
    if not TEAM.fullmatch(team):
        raise Refused(f"`{team}` is not a team name", field="team", hint="lower-case letters and digits, at most 16")
    for scope in scopes:
        if scope not in SCOPES:
            raise Refused(f"`{scope}` is not a scope", field="scopes", hint=f"the scopes are: {', '.join(SCOPES)}")
    if not scopes:
        raise Refused("a key without a scope opens nothing", field="scopes", hint=HINT)
    with _changed(home) as file:
        sorts = {k.own for k in file.keys if k.team == team} or {own for name, own in file.left.items() if name == team}
        if sorts - {own}:
            there = "the platform's catalogue" if own else "a catalogue of its own"
            raise Refused(f"team `{team}` has keys for {there}, or had", field="team", hint="take another name")
        if team in file.left and not adopt:
            raise Refused(f"the keys of team `{team}` are all revoked; its items and viewers are still there",
                          field="team", hint="take another name, or --adopt to take them over")  # fmt: skip
        file.left.pop(team, None)
        ident, secret = secrets.token_hex(4), secrets.token_hex(32)
        file.keys.append(ApiKey(
            id=ident, team=team, scopes=tuple(dict.fromkeys(scopes)), made=int(time.time()), own=own,
            sha256=hashlib.sha256(secret.encode()).hexdigest(),
        ))  # fmt: skip
    return f"hfk_{ident}_{secret}"


def revoke(home: Home, ident: str) -> ApiKey:
    """Revoke a key by its id; the team's name stays its own. Raises Refused if there is none."""
    with _changed(home) as file:
        key = next((k for k in file.keys if k.id == ident), None)
        if key is None:
            raise Refused(f"no API key has the id `{ident}`", field="id", hint="holdfast keys show")
        file.keys.remove(key)
        if all(k.team != key.team for k in file.keys):
            file.left[key.team] = key.own
    return key


class ApiKeys:
    """The keys as a node uses them."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._keys: dict[str, ApiKey] = {}
        self._looked = -RELOAD_S
        self._mtime_ns = -1
        self._unread = False

    def find(self, text: str, now_s: float) -> ApiKey:
        """Return the key that `text` is. `now_s`: monotonic seconds. Raises Refused (`key`).

        Raises Degraded while the file is damaged: which keys hold, and which were revoked, is not known then.
        """
        self._reload(now_s)
        if self._unread:
            raise Degraded("this node cannot read its API keys; try another region", retry_after_s=RELOAD_S)
        prefix, _, rest = text.partition("_")
        ident, _, secret = rest.partition("_")
        key = self._keys.get(ident) if prefix == "hfk" else None
        if key is None or not hmac.compare_digest(key.sha256, hashlib.sha256(secret.encode()).hexdigest()):
            raise Refused("the API key is unknown or revoked", field="key", code="key", hint=HINT)
        return key

    def _reload(self, now_s: float) -> None:
        if now_s - self._looked < RELOAD_S:
            return
        self._looked = now_s
        path = _path(self._home)
        mtime_ns = path.stat().st_mtime_ns if path.exists() else 0
        if mtime_ns == self._mtime_ns:
            return
        try:
            self._keys = {k.id: k for k in load(self._home)}
        except Refused as e:  # its words are for who runs this, not for who calls
            if not self._unread:
                telemetry.logger().error("no API key is known here", why=str(e), hint=e.hint)
            self._unread, self._keys = True, {}
            return  # looked at again in a second
        self._unread, self._mtime_ns = False, mtime_ns
