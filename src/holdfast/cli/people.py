"""Commands by which people decide: rulings, keys."""

import asyncio
import time
from pathlib import Path

import msgspec

from holdfast.adapters import apikeys, rotation, signing, system
from holdfast.adapters.aio.calls import Calls
from holdfast.adapters.home import Home
from holdfast.cli import words
from holdfast.core.errors import Degraded, Refused

OWN_TEAM = "operator"  # the key that this command makes for itself, once, with scope `rulings` only
OWN_KEY = "operator.key"


def rule(root: Path, item: str, verdict: str, reason: str, region: str, supersede: bool, json: bool) -> None:
    """Send a person's ruling to `region`, or to the first that answers."""
    if not reason.strip():
        raise Refused("a ruling needs a reason", field="reason", hint="say why in --reason")
    home = Home(root)
    top = home.load()
    places = [top.region(region)] if region else top.regions
    body = {"item": item, "verdict": verdict, "reasons": [reason], "supersedes_all": supersede}
    name, answer = asyncio.run(_first([(r.name, r.url) for r in places], body, own_key(home)))
    if json:
        words.as_json({"item": item, "verdict": verdict, "region": name, "acked": answer})
    else:
        words.out.print(f"{item}: {verdict}, ruled at {name}; a region obeys once it holds the ruling", markup=False)


async def _first(places: list[tuple[str, str]], body: object, key: str) -> tuple[str, object]:
    failure = "no region answers"
    async with Calls() as calls:
        for name, url in places:
            try:
                async with asyncio.timeout(5.0):
                    return name, await calls.call("POST", f"{url}/v1/rulings", body, bearer=key)
            except (Degraded, TimeoutError) as e:
                failure = f"{name}: {str(e) or 'it does not answer'}"
    raise Degraded(failure)


def own_key(home: Home) -> str:
    """The operator's own API key, made on first use; it lies beside the other secrets."""
    return kept_key(home, OWN_KEY, OWN_TEAM, ("rulings",))


def kept_key(home: Home, file: str, team: str, scopes: tuple[str, ...]) -> str:
    """An API key of the installation's own, made on first use and kept in `DIR/keys/FILE`."""
    path = home.keys / file
    if path.exists():
        return path.read_text().strip()
    key = apikeys.make(home, team, scopes, adopt=True)
    path.touch(mode=0o600)
    path.write_text(key)
    time.sleep(apikeys.RELOAD_S)  # nodes notice a new key within this
    return key


def keys_make(root: Path) -> None:
    home = Home(root)
    signing.make_keys(home, home.load())
    words.out.print(f"every region has its keys in {home.keys}", markup=False)


def keys_show(root: Path, json: bool) -> None:
    home = Home(root)
    public, teams = signing.load_public(home), apikeys.load(home)
    if json:
        shown = [{"id": k.id, "team": k.team, "scopes": k.scopes, "made": k.made, "tenant": k.tenant} for k in teams]
        words.as_json({"public": msgspec.to_builtins(public), "api": shown})
        return
    words.table("public keys", ["region", "block key", "token key"], [
        (name, key, public.token.get(name, "")) for name, key in public.block.items()
    ])  # fmt: skip
    if teams:
        rows = [
            (k.id, k.team, "its own" if k.own else "platform", " ".join(k.scopes),
             time.strftime("%Y-%m-%d", time.gmtime(k.made)))
            for k in teams
        ]  # fmt: skip
        words.table("\nAPI keys", ["id", "team", "catalogue", "scopes", "made"], rows)


def keys_rotate(root: Path, region: str) -> None:
    """New passwords between a region and everyone; the keys that signed blocks and tokens stay valid."""
    home = Home(root)
    top = home.load()
    top.region(region)
    if running := [r.name for r in top.regions if not system.port_is_free(r.host, r.http_port)]:
        raise Refused(f"{running[0]} is running", field="region", hint="stop `holdfast up` first")
    rotation.rotate_passwords(home, top, region)
    words.out.print(f"{region} has new passwords; they hold from the next `holdfast up`", markup=False)


def api_make(root: Path, team: str, scopes: list[str], platform: bool, adopt: bool, json: bool) -> None:
    home = Home(root)
    home.load()
    key = apikeys.make(home, team, tuple(scopes) or ("items", "events", "feed"), own=not platform, adopt=adopt)
    if json:
        words.as_json({"team": team, "tenant": "" if platform else team, "key": key})
    else:
        words.out.print(key, markup=False)
        words.err.print("this is shown once; nodes accept it within a second", markup=False)


def api_revoke(root: Path, ident: str) -> None:
    gone = apikeys.revoke(Home(root), ident)
    words.out.print(f"the key {gone.id} of team {gone.team} opens nothing any more", markup=False)
