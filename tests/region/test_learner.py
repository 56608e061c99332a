"""Learners on real regions: one of a jurisdiction releases, every node serves it, and a stand-by takes over."""

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from noderig import Rig, call, running

from holdfast.adapters import apikeys
from holdfast.region import learner
from patience import until

ROLES = ("log", "keeper", "node", "learner")


def _release(rig: Rig, region: str, key: str) -> str:
    slate = call(rig, region, "POST", "/v1/feed", {"viewer": "probe", "n": 3}, bearer=key).json
    return slate["model"]["release"] if slate.get("model") else ""


def _watch(rig: Rig, region: str, key: str, first: int, viewers: int) -> None:
    """Each viewer watches ten clips of one theme long, and ten others not."""
    draw = random.Random(first)
    for v in range(first, first + viewers):
        clips = [f"clip-{k}" for k in range(60) if k % 6 == v % 6] + [f"clip-{draw.randrange(60)}" for _ in range(10)]
        draw.shuffle(clips)
        now = time.time_ns() // 1000
        entries = [
            {"kind": "view", "viewer": f"viewer-{v}", "outbox": i + 1, "stamp": now - 1000 * (99 - i), "item": clip,
             "dwell_ms": 6000 if int(clip[5:]) % 6 == v % 6 else 400, "duration_ms": 6000}
            for i, clip in enumerate(dict.fromkeys(clips))
        ]  # fmt: skip
        assert call(rig, region, "POST", "/v1/events", {"entries": entries}, bearer=key).status == 200


def test_one_releases_all_serve_and_the_stand_by_takes_over(tmp_path, monkeypatch):
    with running(tmp_path, {"us-east": "US", "us-west": "US"}, ROLES) as rig:
        key = apikeys.make(rig.home, "team", ("items", "events", "feed"))
        first, second = sorted(("us-east", "us-west"), key=learner.rank)
        clips = [{"item": f"clip-{k}", "tags": [f"theme-{k % 6}"], "duration_ms": 6000} for k in range(60)]
        until(lambda: call(rig, "us-west", "PUT", "/v1/items", {"items": clips}, bearer=key).status == 200)
        _watch(rig, "us-west", key, 0, 40)
        until(lambda: _release(rig, first, key), 40)
        until(lambda: _release(rig, second, key) == _release(rig, first, key), 20)
        slate = until(lambda: (s := call(rig, second, "POST", "/v1/feed", {
            "viewer": "guest", "request": "r", "n": 10,
            "context": [{"item": f"clip-{k}", "action": "like"} for k in (2, 8)]}, bearer=key).json)["rung"] == "LINEAR"
            and s, 30)  # fmt: skip
        assert slate["model"]["figures"] is not None
        assert sum("theme-2" in item["tags"] for item in slate["items"]) >= 4
        assert "theme-2" in [taste["tag"] for taste in slate["taste"]]

        rig.cut(first)
        old = _release(rig, second, key)
        _watch(rig, second, key, 100, 10)
        until(lambda: _release(rig, second, key) not in ("", old), 45)
