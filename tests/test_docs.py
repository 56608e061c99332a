"""The docs say what the code says: tables are printed from it, and every call and command is described."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_tool", ROOT / "tools" / "docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_printed_tables_are_fresh() -> None:
    docs = tool()
    hint = "run `python tools/docs.py reference`"
    assert (ROOT / "docs" / "reference.md").read_text() == docs.reference(), hint
    assert (ROOT / "docs" / "config.md").read_text() == docs.config(), hint


def test_every_route_is_in_the_protocol() -> None:
    protocol = (ROOT / "docs" / "protocol.md").read_text()
    routes = ""
    for path in (ROOT / "src" / "holdfast" / "adapters" / "http").glob("*.py"):
        routes += path.read_text()
    found = set(re.findall(r'@(?:get|post|put|patch|delete|head|route)\(\s*"(/v1/[^"{]*)', routes))
    assert len(found) >= 8, "the pattern no longer finds the routes"
    for route in found:
        assert route.rstrip("/") in protocol, f"{route} is not in docs/protocol.md"


def test_every_command_is_described() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "operating.md").read_text()
    commands = (ROOT / "src" / "holdfast" / "cli" / "commands.py").read_text()
    found = {name.replace("_", " ") for name in re.findall(r"^def ([a-z_]+)\(", commands, re.M)} - {"call"}
    assert len(found) >= 12
    for name in found:
        spoken = name.replace("api ", "keys api ") if name.startswith("api ") else name
        assert f"holdfast {spoken}" in text, f"`holdfast {spoken}` is in neither README.md nor docs/operating.md"


def test_links_between_documents_lead_somewhere() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
