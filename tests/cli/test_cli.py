"""The command line as people meet it: one plain line and a hint on a mistake, exit code 2, JSON as the last line."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from holdfast.adapters import system
from holdfast.adapters.home import Home
from holdfast.adapters.signing import load_keys, load_public, make_keys
from holdfast.cli.trials import told
from holdfast.core.topology import DEFAULT, resolve


def holdfast(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "holdfast.cli.main", *words]
    return subprocess.run(run, capture_output=True, text=True, timeout=200, cwd=cwd)


def mistakes(tmp_path: Path) -> dict[str, list[str]]:
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.toml").write_text('[[region]]\nname = "US East"\njurisdiction = "US"\n')
    (tmp_path / "odd.toml").write_text('rtt = 70\n[[region]]\nname = "a"\njurisdiction = "US"\n')
    (tmp_path / "torn.toml").write_text("[[region\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "manifest.csv").write_text("file,caption\nnone.mp4,None\n")
    home = ["--dir", str(tmp_path / "home")]
    return {
        "an unknown command": ["fly"],
        "an unknown option": ["up", "--fast"],
        "a value that is none": ["up", "--port", "many"],
        "a port out of range": ["up", *home, "--port", "80"],
        "an unusable directory": ["up", "--dir", str(tmp_path / "file" / "x")],
        "a region's name": ["up", *home, "--topology", str(tmp_path / "bad.toml")],
        "an unknown key": ["up", *home, "--topology", str(tmp_path / "odd.toml")],
        "torn TOML": ["up", *home, "--topology", str(tmp_path / "torn.toml")],
        "no such topology": ["up", *home, "--topology", str(tmp_path / "none.toml")],
        "no manifest": ["up", *home, "--clips", str(tmp_path)],
        "a clip that is not there": ["up", *home, "--clips", str(tmp_path / "clips")],
        "a ruling without a reason": ["rule", "tides-001", "remove", "--reason", " ", *home],
        "a negative audience": ["up", *home, "--audience", "-1"],
        "fresh over something else": ["up", "--dir", str(tmp_path / "other"), "--fresh"],
        "no installation": ["status", *home],
        "no such role": ["run", "baker", "--region", "us-east", "--dir", "x"],
        "run without a dir": ["run", "node"],
        "not a chain": ["log", "show", "personal", *home],
        "not a backup": ["restore", str(tmp_path), "--region", "us-east", *home],
        "a missing file": ["media", "probe", str(tmp_path / "none.mp4")],
    }


def test_a_mistake_is_one_plain_line_with_a_hint_and_exit_code_2(tmp_path: Path) -> None:
    for what, words in mistakes(tmp_path).items():
        done = holdfast(*words, cwd=tmp_path)
        lines = done.stderr.strip().splitlines()
        assert done.returncode == 2, (what, done)
        assert "Traceback" not in done.stderr and 1 <= len(lines) <= 2, (what, lines)
        if what != "not a backup":
            assert lines[-1].startswith("hint: "), (what, lines)
    assert not (tmp_path / "home").exists(), "a mistake starts nothing"
    assert (tmp_path / "other" / "precious.txt").exists()


def test_the_hint_names_the_command_that_was_meant(tmp_path: Path) -> None:
    assert "hint: holdfast keys api make --help" in holdfast("keys", "api", "make", "songs", "all").stderr


def test_a_table_in_a_file_cuts_no_key_short(home: Home) -> None:
    shown = holdfast("keys", "show", "--dir", str(home.root)).stdout
    assert all(key in shown for key in load_public(home).token.values())


def test_keys_are_not_rotated_under_a_running_region(home: Home) -> None:
    before, place = load_keys(home, "us-east"), home.load().region("us-west")
    with socket.socket() as s:
        s.bind((place.host, place.http_port))
        s.listen()
        done = holdfast("keys", "rotate", "--region", "us-east", "--dir", str(home.root))
    assert done.returncode == 2 and "us-west is running" in done.stderr and load_keys(home, "us-east") == before


def test_a_busy_port_names_the_port(tmp_path: Path) -> None:
    base = system.free_base("127.0.0.1", 60)
    with socket.socket() as s:
        s.bind(("127.0.0.1", base + 2))
        s.listen()
        done = holdfast("up", "--dir", str(tmp_path / "home"), "--port", str(base))
    assert done.returncode == 2 and f"port {base + 2} (viewers of us-west) is in use" in done.stderr
    assert "hint: " in done.stderr


def test_doctor_looks_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = holdfast("doctor", "--dir", str(tmp_path / "home"), "--json")
    found = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0 and found["ok"]
    assert {"Python", "log server", "disk", "ports"} <= {c["check"] for c in found["checks"]}
    assert not (tmp_path / "home").exists()


def test_every_key_of_a_topology_file_is_in_the_table_of_settings() -> None:
    printed = json.loads(holdfast("config", "--json").stdout.splitlines()[-1])
    fields = {f.name for f in msgspec.structs.fields(type(DEFAULT))} - {"version", "links", "regions"}
    assert fields <= set(printed), "a key of the topology file is missing from the table"
    assert {f"region.{f.name}" for f in msgspec.structs.fields(type(DEFAULT.regions[0]))} <= set(printed)


def test_every_command_has_help() -> None:
    for words in ([], ["up"], ["keys"], ["keys", "api"], ["drill"], ["bench"], ["replay", "kuairand"], ["rule"]):
        done = holdfast(*words, "--help")
        assert done.returncode == 0 and "Usage" in done.stdout


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    top = resolve(DEFAULT)
    home.save(top)
    make_keys(home, top)
    return home


def test_api_keys_are_made_shown_without_secret_and_revoked(home: Home) -> None:
    at = ["--dir", str(home.root)]
    key = json.loads(holdfast("keys", "api", "make", "acme", "items", "feed", *at, "--json").stdout)["key"]
    shown = holdfast("keys", "show", *at, "--json").stdout
    entry = json.loads(shown)["api"][0]
    assert (entry["team"], entry["scopes"]) == ("acme", ["items", "feed"]) and key.split("_")[2] not in shown
    assert holdfast("keys", "api", "revoke", entry["id"], *at).returncode == 0
    assert json.loads(holdfast("keys", "show", *at, "--json").stdout)["api"] == []
    assert holdfast("keys", "api", "revoke", entry["id"], *at).returncode == 2


def test_status_with_nothing_running_is_one_line_and_how_to_start(tmp_path: Path) -> None:
    home, top = Home(tmp_path), resolve(DEFAULT, system.free_base("127.0.0.1", 60))
    home.save(top)
    for more in ([], ["--json"]):
        done = holdfast("status", "--dir", str(tmp_path), *more)
        said, hint = done.stderr.splitlines()
        assert done.returncode == 4 and said.startswith("no region answers at ")
        assert all(r.url in said for r in top.regions) and hint == f"hint: start it: holdfast up --dir {tmp_path}"
        lines = done.stdout.splitlines()
        assert len(lines) == len(more)
    errors = [(r["url"], r["error"]) for r in json.loads(lines[0]).values()]
    assert errors == [(r.url, f"nobody answers at {r.url}") for r in top.regions], "no word of the library's"


def test_an_experiment_is_told_in_words() -> None:
    plain = {"name": "as-is", "share": 1, "at_most": None, "weights": {}, "rules": None}
    warm = {"name": "warm", "share": 2, "at_most": "LINEAR", "weights": {"heat": 2.0}, "rules": {"any_tags": ["folk"]}}
    line = {"name": "hot", "arms": [plain, warm], "outcome": "likes", "window_s": 5400, "effect": 0.1, "stopped": 0}
    assert told(line) == [
        "hot runs", "  counts likes, 1.5 h after a viewer's first exposure", "  as-is (share 1): as everyone is served",
        "  warm (share 2): heat counts 2 times; no higher than LINEAR; with rules on any tags",
    ]  # fmt: skip
    ended = {**line, "stopped": 1_795_273_508_290_287}
    assert told(ended)[0] == "hot ended at 2026-11-21 15:05:08 UTC; its results stay"


def test_rotation_changes_every_password_of_a_region_and_no_signature_key(home: Home) -> None:
    names = [r.name for r in DEFAULT.regions]
    before, public = {n: load_keys(home, n) for n in names}, load_public(home)
    assert holdfast("keys", "rotate", "--region", "us-east", "--dir", str(home.root)).returncode == 0
    after = {n: load_keys(home, n) for n in names}
    assert load_public(home) == public
    assert after["us-east"].nats_local != before["us-east"].nats_local
    for n in ("us-west", "eu-west"):
        assert after[n].accepts["us-east"] == after["us-east"].peers[n] != before["us-east"].peers[n]
        assert after[n].peers["us-east"] == after["us-east"].accepts[n] != before["us-east"].accepts[n]
    assert after["us-west"].peers["eu-west"] == before["us-west"].peers["eu-west"], "others keep theirs"
    assert (home.keys / "us-east.json").stat().st_mode & 0o077 == 0
