"""A song app with a For You feed behind it: Holdfast by API key, in some thirty lines and the standard library.

    python examples/own_app.py http://127.0.0.1:8401 hfk_…        (the key: holdfast keys api make songs)
"""
# ruff: noqa: T201

import json
import sys
import time
import urllib.request


def call(method: str, path: str, body: dict) -> dict:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers, method=method)
    return json.load(urllib.request.urlopen(request, timeout=10))


url, key = sys.argv[1:3]
songs = [{"item": f"song-{i}", "creator": "band", "caption": f"Song {i}", "tags": ["folk" if i % 2 else "jazz"],
          "duration_ms": 180_000, "url": f"https://songs.example/{i}"} for i in range(40)]  # fmt: skip
print("items:", call("PUT", "/v1/items", {"items": songs})["acked"])
slate = call("POST", "/v1/feed", {"viewer": "anna", "n": 5})
now_us = time.time_ns() // 1000  # also numbers what a viewer does: a number that was used already counts as said again
played = [{"kind": "view", "viewer": "anna", "outbox": now_us + n, "stamp": now_us, "item": song["item"],
           "dwell_ms": 180_000, "duration_ms": 180_000, "slate": slate["slate"], "pos": n}
          for n, song in enumerate(slate["items"])]  # fmt: skip
print("events:", call("POST", "/v1/events", {"entries": played})["acked"])
print("next:", *[song["item"] for song in call("POST", "/v1/feed", {"viewer": "anna", "n": 5})["items"]])
print("rung:", slate["rung"], "- the first because:", slate["items"][0]["why"]["sentence"])
why_not = call("POST", "/v1/feed/why-not", {"viewer": "anna", "item": slate["items"][0]["item"]})
print("why not", slate["items"][0]["item"], "again:", why_not["sentence"])
