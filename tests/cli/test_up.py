"""`holdfast up` as a person runs it: addresses, a control room, power that can be cut, Ctrl-C, and resuming."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from holdfast.adapters import system
from patience import until


def start(tmp_path: Path, base: int, *more: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    words = ["up", "--dir", str(tmp_path / "home"), "--port", str(base), "--clips-count", "2", "--json", *more]
    run = [sys.executable, "-m", "holdfast.cli.main", *words]
    with (tmp_path / "err.txt").open("ab") as err:
        process = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=err, text=True)
    assert process.stdout
    line = process.stdout.readline()
    assert line, (tmp_path / "err.txt").read_text()
    return process, json.loads(line)


def ask(url: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def status_of(url: str, body: object = None, headers: dict[str, str] | None = None) -> int:
    try:
        ask(url, body, headers)
    except urllib.error.HTTPError as e:
        return e.code
    return 200


def power(room: str, region: str, wanted: str) -> None:
    found = lambda: {r["name"]: r["power"] for r in ask(f"{room}/control/state")["regions"]}  # noqa: E731
    until(lambda: found()[region] == wanted, 60, f"{region} is {wanted}")


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    assert process.wait(100) == 0


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines()[1:] if int(line.split()[1]) == pid]


def test_up_cut_restore_stop_and_resume(tmp_path: Path) -> None:
    base = system.free_base("127.0.0.1", 60)
    process, said = start(tmp_path, base, "--audience", "0")
    try:
        room = said["control"]
        assert f"starting 3 regions; control room at {room}" in (tmp_path / "err.txt").read_text()
        assert room == f"http://127.0.0.1:{base}" and set(said["regions"]) == {"us-east", "us-west", "eu-west"}
        state = ask(f"{room}/control/state")
        assert {r["power"] for r in state["regions"]} == {"on"} and state["rtt_ms"] == 70.0
        assert state["audience"]["lost"] == 0
        assert state["publishing"] == {"done": 2, "total": 2}, "what the program draws is published before it is open"
        for url in said["regions"].values():
            until(lambda url=url: ask(f"{url}/v1/status")["items"]["allowed"] == 2, 60, "and every region shows it")

        ask(f"{room}/control/power", {"region": "us-east", "on": False})
        power(room, "us-east", "off")
        events = ask(f"{room}/control/events?after=0")["events"]
        assert any(e["region"] == "us-east" and "lost power" in e["text"] for e in events)
        assert ask(f"{said['regions']['us-west']}/v1/region")["region"] == "us-west", "the others go on"
        ask(f"{room}/control/power", {"region": "us-east", "on": True})
        power(room, "us-east", "on")

        foreign = {"Host": "evil.example"}
        assert status_of(f"{room}/control/power", {"region": "us-east", "on": False}, foreign) == 403
        plain = {"Content-Type": "text/plain"}
        assert status_of(f"{room}/control/power", {"region": "us-east", "on": False}, plain) == 415
        assert status_of(f"{room}/control/power", {"region": "mars", "on": False}) == 404
        assert status_of(f"{room}/control/power", {"regions": "us-east"}) == 400
        assert status_of(f"{room}/control/events?after=x") == 400
        assert status_of(f"{room}/../../../etc/passwd") == 404

        fresh = [sys.executable, "-m", "holdfast.cli.main", "up", "--fresh", "--dir", str(tmp_path / "home")]
        refused = subprocess.run(fresh, capture_output=True, text=True, timeout=200)
        assert refused.returncode == 2 and "seems to be running" in refused.stderr
        held = ask(f"{said['regions']['us-west']}/v1/safe")["held"]
        assert held
        children = children_of(process.pid)
        assert len(children) >= 16  # five processes in each of three regions, and the links
        stop(process)
        assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    finally:
        process.kill()

    process, again = start(tmp_path, base, "--audience", "0")
    try:
        assert again["regions"] == said["regions"]
        now = lambda: ask(f"{said['regions']['us-west']}/v1/safe")["held"]  # noqa: E731
        spots = [(chain, epoch, n) for chain, epochs in held.items() for epoch, n in epochs.items()]
        until(lambda: all(now()[chain][epoch] >= n for chain, epoch, n in spots), 60, "it goes on where it stopped")
        stop(process)
    finally:
        process.kill()
    elsewhere = ["--dir", str(tmp_path / "home"), "--port", str(base + 100)]
    other = [sys.executable, "-m", "holdfast.cli.main", "up", *elsewhere]
    refused = subprocess.run(other, capture_output=True, text=True, timeout=200)
    assert refused.returncode == 2 and f"was set up on port {base}" in refused.stderr
