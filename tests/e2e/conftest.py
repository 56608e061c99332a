"""A real installation and a real browser: three regions by `holdfast up`, Chromium by Playwright.

Without a Chromium these tests skip with one line that says how to get one; under HOLDFAST_REQUIRE_BROWSER=1 (as in
continuous integration) they fail instead.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stage import AUDIENCE, Installation, Viewer, chromium, films

from holdfast.adapters import system
from patience import until

ROOT = Path(__file__).resolve().parents[2]
OPEN_S = 120.0  # about 30 on an idle pair of cores
HOW = "no Chromium found: apt-get install chromium (or set CHROMIUM to one), then run this again"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Three living regions with clips and an audience, for one module of tests."""
    if not (ROOT / "src/holdfast/webapp/index.html").exists():
        pytest.fail("the web app is not built: make setup")
    base = system.free_base("127.0.0.1", 60)
    folder = tmp_path_factory.mktemp("e2e")
    argv = [
        sys.executable, "-m", "holdfast.cli.main", "up", "--dir", str(folder / "data"), "--port", str(base),
        "--clips", str(films(folder / "films")), "--audience", str(AUDIENCE),
    ]
    log = (folder / "up.log").open("wb")
    process = subprocess.Popen(argv, stdout=log, stderr=log)
    where = Installation(
        f"http://127.0.0.1:{base}",
        {name: f"http://127.0.0.1:{base + 1 + i}" for i, name in enumerate(("us-east", "us-west", "eu-west"))},
    )
    try:
        until(lambda: process.poll() is not None or where.open(), OPEN_S, "the feed is open")
        if process.poll() is not None:
            pytest.fail("holdfast up ended: " + (folder / "up.log").read_text()[-2000:])
        yield where
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(100)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium, or a skip that says how to get one.

    It ends with its module: Playwright keeps an event loop running, and `asyncio.run` of later tests would refuse.
    """
    path = chromium()
    if path is None:
        if os.environ.get("HOLDFAST_REQUIRE_BROWSER") == "1":
            pytest.fail(HOW)
        pytest.skip(HOW)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        made = p.chromium.launch(executable_path=path, args=["--autoplay-policy=no-user-gesture-required"])
        yield made
        made.close()


@pytest.fixture
def visit(browser: Any, installation: Installation) -> Iterator[Callable[..., Viewer]]:
    """Open pages as different people; each is checked for script errors and closed; then all regions get power."""
    people: list[Viewer] = []

    def go(url: str, size: dict[str, int]) -> Viewer:
        people.append(Viewer(browser, url, size))
        return people[-1]

    yield go
    faults = [fault for viewer in people for fault in viewer.faults]
    for viewer in people:
        viewer.context.close()
    installation.whole()
    assert not faults, faults
