"""API keys: shown once, kept as hashes, bound to scopes, revoked at once."""

from pathlib import Path

import pytest

from holdfast.adapters.apikeys import ApiKeys, load, make, revoke
from holdfast.adapters.home import Home
from holdfast.core.errors import Refused


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


WRONG = [("Acme", ("items",)), ("acme", ("fly",)), ("acme", ()), ("a:b", ("feed",))]


@pytest.mark.parametrize(("team", "scopes"), WRONG)
def test_bad_names_and_scopes_are_refused(tmp_path: Path, team: str, scopes: tuple[str, ...]) -> None:
    with pytest.raises(Refused):
        make(Home(tmp_path), team, scopes)
    with pytest.raises(Refused):
        revoke(Home(tmp_path), "nothing")
