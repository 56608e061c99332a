"""A browser on a leash: the one module that imports Playwright. It opens a page, acts, and takes pictures with times.

Playwright is a development dependency, so it is imported when a browser is asked for and not before.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.core.errors import Refused

NAMES = ("chromium", "chromium-browser", "google-chrome")
FRAME_S = 0.125  # eight pictures a second: smooth enough for a finger, half the bytes of sixteen
QUALITY = 92  # of the JPEG pictures; they are encoded once more


def find_chromium() -> str:
    """Path of an installed Chromium. Raises Refused if there is none."""
    for name in (os.environ.get("CHROMIUM", ""), *NAMES):
        path = shutil.which(name) if name else None
        if path:
            return path
    raise Refused("no Chromium is installed", field="CHROMIUM", hint="apt-get install chromium")


class Film:
    """A page and the pictures taken of it: (seconds since the first, JPEG bytes)."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.frames: list[tuple[float, bytes]] = []
        self._begun = time.monotonic()

    def hold(self, seconds: float) -> None:
        """Keep filming for `seconds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            at = time.monotonic()
            if not self.frames:
                self._begun = at
            self.frames.append((at - self._begun, self.page.screenshot(type="jpeg", quality=QUALITY)))
            time.sleep(max(0.0, FRAME_S - (time.monotonic() - at)))

    def until(self, script: str, seconds: float) -> bool:
        """Keep filming until `script` is true in the page; False if it is not within `seconds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.page.evaluate(script):
                return True
            self.hold(FRAME_S)
        return False

    def still(self, path: Path) -> None:
        """Write one picture of the page as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(path))


@contextmanager
def open_page(url: str, width: int, height: int, dark: bool = True) -> Iterator[Film]:
    """Open `url` in a headless Chromium. Raises Refused if there is no browser or no Playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as e:
        raise Refused("Playwright is not installed", field="playwright", hint="pip install 'holdfast[dev]'") from e
    with sync_playwright() as play:
        args = ["--autoplay-policy=no-user-gesture-required"]
        browser = play.chromium.launch(executable_path=find_chromium(), args=args)
        try:
            size: Any = {"width": width, "height": height}
            page = browser.new_page(viewport=size, color_scheme="dark" if dark else "light")
            page.goto(url)
            yield Film(page)
        finally:
            browser.close()
