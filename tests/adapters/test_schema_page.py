"""The page at /schema: readable without the internet, and no word to anyone else."""

import re
from html import escape
from unittest.mock import MagicMock

from litestar.testing import TestClient

from holdfast.adapters.http.app import build
from holdfast.adapters.http.ports import Rooms


def test_the_page_names_every_call_and_type_and_needs_no_other_host() -> None:
    rooms = MagicMock(spec=Rooms)
    rooms.webapp = None
    with TestClient(build(rooms)) as client:
        got = client.get("/schema")
        spec = client.get("/schema/openapi.json").json()
    assert got.status_code == 200 and got.headers["content-type"].startswith("text/html")
    for path, calls in spec["paths"].items():
        for method, call in calls.items():
            assert f"<b>{method.upper()}</b> {path}<" in got.text and escape(call["summary"]) in got.text
    assert len(spec["paths"]) >= 27 and all(path.startswith("/v1/") for path in spec["paths"])
    assert "dwell_ms" in got.text and "list of <a href=\"#SlateItem\">" in got.text, "fields, with their types"
    assert "http://" not in got.text and "https://" not in got.text and "<script" not in got.text
    assert all(at.startswith(("#", "/schema/")) for at in re.findall(r'(?:href|src)="([^"]*)"', got.text))
    linked = set(re.findall(r'href="#([^"]*)"', got.text))
    assert linked and linked <= set(re.findall(r'id="([^"]*)"', got.text))
