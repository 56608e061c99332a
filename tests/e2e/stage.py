"""Who and what stands on stage in these tests: an installation one can cut the power of, and a viewer with a page."""

import csv
import json
import os
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from holdfast.drills.clips import clip
from patience import SLOW, until

CLIPS = 36  # three of each theme are enough to see a feed turn
AUDIENCE = 24  # the model learns from them
RATE = 12


def film(path: Path, tint: int, *, sound: bool = False) -> None:
    """Draw a five-second vertical clip: waves of a colour of their own, with a tone if there is to be sound."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 180, 320, "yuv420p"
        audio = out.add_stream("aac", rate=44100) if sound else None
        rows = np.linspace(0, 6.3, 320)[:, None] + np.linspace(0, 3, 180)[None, :]
        for i in range(5 * RATE):
            wave = (127 + 120 * np.sin(rows + i / 4 + tint)).astype(np.uint8)
            planes = np.stack([wave, 255 - wave, np.full_like(wave, 7 * tint % 256)], axis=2)
            out.mux(video.encode(av.VideoFrame.from_ndarray(planes, format="rgb24")))
        out.mux(video.encode())
        if audio is not None:
            tone = (0.2 * np.sin(np.arange(5 * 44100) * 2 * np.pi * 330 / 44100)).astype(np.float32)
            for at in range(0, len(tone) - 1024, 1024):
                part = av.AudioFrame.from_ndarray(tone[None, at : at + 1024], format="fltp", layout="mono")
                part.sample_rate, part.pts = 44100, at
                out.mux(audio.encode(part))
            out.mux(audio.encode())


def films(folder: Path) -> Path:
    """Draw small clips under the names, tags and makers of those that the program draws; return the folder."""
    folder.mkdir()
    with (folder / "manifest.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["file", "item", "creator", "caption", "category", "tags"])
        for k in range(CLIPS):
            film(folder / f"{k}.mp4", k)
            drawn = clip(k)
            theme, *more = drawn.tags
            lines.writerow([f"{k}.mp4", drawn.item, drawn.creator, drawn.caption, theme, ",".join(more)])
    return folder


def chromium() -> str | None:
    """Path of an installed Chromium."""
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


@dataclass(frozen=True)
class Installation:
    """Where the control room and each region listen."""

    room: str
    regions: dict[str, str]

    def get(self, url: str, token: str = "") -> Any:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def state(self) -> Any:
        return self.get(f"{self.room}/control/state")

    def power(self, region: str, on: bool) -> None:
        body = json.dumps({"region": region, "on": on, "mode": "silent"}).encode()
        request = urllib.request.Request(
            f"{self.room}/control/power", data=body, headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=120).read()

    def whole(self) -> None:
        """Give every region its power back and wait until all serve."""
        for region in self.state()["regions"]:
            if region["power"] == "off":
                self.power(region["name"], True)
        until(lambda: all(r["power"] == "on" for r in self.state()["regions"]), 60, "all regions have power again")
        until(self.open, 60, "all regions serve again")

    def shaped(self) -> bool:
        """Whether the feeds of the regions where the tour goes follow their viewers."""
        home = [url for name, url in self.regions.items() if name != "eu-west"]
        return all(self.get(f"{url}/v1/status")["rung"] == "LINEAR" for url in home)

    def open(self) -> bool:
        """Whether every region serves every clip."""
        return all(self.get(f"{url}/v1/status")["items"]["allowed"] >= CLIPS for url in self.regions.values())


PHONE = {"width": 390, "height": 844}
DESK = {"width": 1440, "height": 900}


class Viewer:
    """One person with one page; `see` reads what the page shows."""

    def __init__(self, browser: Any, url: str, size: dict[str, int]) -> None:
        self.context = browser.new_context(viewport=size, color_scheme="dark")
        self.context.set_default_timeout(30_000 * SLOW)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda e: self.faults.append(str(e)))
        self.page.goto(url)
        self.page.wait_for_selector("[data-test=current] video", timeout=30_000 * SLOW)
        self.page.evaluate("window.neverReloaded = true")

    def see(self) -> dict[str, Any]:
        return self.page.evaluate(
            """() => {
              const clip = document.querySelector('[data-test=current]'), video = clip?.querySelector('video')
              const mark = document.querySelector('[data-test=badge]')
              return { item: clip?.dataset.item, tag: clip?.dataset.tag, at: video?.currentTime ?? 0, src: video?.src,
                       badge: mark?.innerText ?? '', rung: mark?.dataset.rung, via: mark?.dataset.via,
                       here: holdfast.here, kept: window.neverReloaded === true }
            }"""
        )

    def plays(self, seconds: float = 8) -> None:
        """Assert that the video on screen runs."""
        before = self.see()
        until(lambda: (now := self.see())["item"] != before["item"] or now["at"] != before["at"], seconds, "it plays")

    def swipe(self) -> dict[str, Any]:
        """On to the next video; assert that it is another one."""
        before = self.see()["item"]
        self.page.keyboard.press("ArrowDown")
        until(lambda: self.see()["item"] != before, 30, "the next video comes")
        return self.see()

    def find(self, test: str) -> Any:
        return self.page.locator(f"[data-test={test}]")
