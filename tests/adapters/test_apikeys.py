"""API keys: shown once, kept as hashes, bound to scopes, revoked at once."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from holdfast.adapters.apikeys import ApiKeys, load, make, revoke
from holdfast.adapters.home import Home
from holdfast.core.errors import Degraded, Refused


def test_a_key_opens_its_scopes_and_is_not_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    text = make(home, "acme", ("items", "feed", "feed"))
    key = ApiKeys(home).find(text, 0.0)
    assert (key.team, key.scopes) == ("acme", ("items", "feed"))
    file = home.keys / "api.json"
    assert text.split("_")[2] not in file.read_text() and file.stat().st_mode & 0o077 == 0


def test_a_wrong_or_revoked_key_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    kept, gone = make(home, "acme", ("items",)), make(home, "acme", ("feed",))
    keys = ApiKeys(home)
    keys.find(gone, 0.0)
    revoke(home, gone.split("_")[1])
    for text in (gone, kept[:-1], kept + "0", kept.replace("hfk_", "hfx_"), "", "hfk_", "hfk__"):
        with pytest.raises(Refused) as caught:
            keys.find(text, 2.0)
        assert caught.value.code == "key"
    assert keys.find(kept, 2.0).scopes == ("items",) and len(load(home)) == 1


@pytest.mark.parametrize("damage", [b"{", b"\xff\xfe", b'{"keys": [{"id": "\xff"}]}', b"[" * 5000, b"null"])
def test_a_damaged_file_is_said_plainly_and_opens_nothing_until_it_is_mended(tmp_path: Path, damage: bytes) -> None:
    home = Home(tmp_path)
    text, keys = make(home, "acme", ("items",)), ApiKeys(home)
    keys.find(text, 0.0)
    file = home.keys / "api.json"
    sound = file.read_bytes()
    file.write_bytes(damage)
    with pytest.raises(Refused, match="cannot be read") as caught:
        load(home)
    assert "backup" in caught.value.hint
    for now_s in (2.0, 2.1, 4.0):  # also between two looks at it
        with pytest.raises(Degraded, match="API keys"):
            keys.find(text, now_s)
    file.write_bytes(sound)
    assert keys.find(text, 6.0).team == "acme"


def test_commands_at_the_same_time_do_not_undo_each_other(tmp_path: Path) -> None:
    home = Home(tmp_path)
    gone = [make(home, f"gone{k}", ("feed",)).split("_")[1] for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        works = [partial(make, home, f"team{k}", ("feed",)) for k in range(8)]
        list(pool.map(lambda work: work(), [*works, *(partial(revoke, home, ident) for ident in gone)]))
    assert sorted(key.team for key in load(home)) == [f"team{k}" for k in range(8)]


WRONG = [("Acme", ("items",)), ("acme", ("fly",)), ("acme", ()), ("a:b", ("feed",)), ("acme\n", ("feed",))]


@pytest.mark.parametrize(("team", "scopes"), WRONG)
def test_bad_names_and_scopes_are_refused(tmp_path: Path, team: str, scopes: tuple[str, ...]) -> None:
    with pytest.raises(Refused):
        make(Home(tmp_path), team, scopes)
    with pytest.raises(Refused):
        revoke(Home(tmp_path), "nothing")


def test_a_team_has_keys_of_one_sort(tmp_path: Path) -> None:
    home = Home(tmp_path)
    own, platform = make(home, "acme", ("items",), own=True), make(home, "house", ("items",))
    keys = ApiKeys(home)
    assert (keys.find(own, 0.0).tenant, keys.find(platform, 0.0).tenant) == ("acme", "")
    for team, sort in (("acme", False), ("house", True)):
        with pytest.raises(Refused, match="has keys for"):
            make(home, team, ("feed",), own=sort)
    assert make(home, "acme", ("feed",), own=True)


def test_a_teams_name_stays_its_own_when_its_last_key_is_revoked(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first, second = make(home, "acme", ("items",), own=True), make(home, "acme", ("feed",), own=True)
    revoke(home, first.split("_")[1])
    revoke(home, make(home, "acme", ("feed",), own=True).split("_")[1])  # others are left: the name is in use
    revoke(home, second.split("_")[1])
    with pytest.raises(Refused, match="all revoked") as caught:
        make(home, "acme", ("items",), own=True)
    assert "--adopt" in caught.value.hint
    with pytest.raises(Refused, match="or had"):
        make(home, "acme", ("items",), own=False, adopt=True)
    assert make(home, "acme", ("items",), own=True, adopt=True) and make(home, "acme", ("feed",), own=True)


def test_keys_made_before_there_were_tenants_are_the_platforms(tmp_path: Path) -> None:
    home = Home(tmp_path)
    text = make(home, "old", ("items",))
    path = home.keys / "api.json"
    kept = [{k: v for k, v in key.items() if k != "own"} for key in json.loads(path.read_text())["keys"]]
    path.write_text(json.dumps({"keys": kept}))
    assert ApiKeys(home).find(text, 0.0).tenant == ""
