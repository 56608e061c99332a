"""Style is a test: sizes, names, docstrings, floors of third-party imports, and nothing of a particular machine."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src" / "holdfast").rglob("*.py"))
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
CONSTRUCTOR_ARGS_MAX = 8  # beyond this a record is missing
BANNED_NAMES = {"utils", "helpers", "common", "manager", "service", "base", "misc"}

ONE_HOME = {  # third-party I/O library -> the one module or package that may import it
    "nats": "adapters/log",
    "obstore": "adapters/blobs",
    "sqlalchemy": "adapters/tables",
    "av": "adapters/media",
    "litestar": "adapters/http",
    "uvicorn": "adapters/http",
    "cryptography": "adapters/signing",
    "structlog": "adapters/telemetry",
    "rich": "cli/",
    "cyclopts": "cli/",
    "usearch": "drills/bench_stack",
    "implicit": "drills/bench_stack",
    "fastapi": "drills/bench_fastapi",
    "redis": "drills/bench_fastapi",
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT / "src" / "holdfast"))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_is_one_idea(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= MODULE_LINES_MAX, f"{len(lines)} lines: split by idea"
    assert ast.get_docstring(tree_of(path)), "says nowhere what it is for"
    assert path.stem not in BANNED_NAMES
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            assert size <= FUNCTION_LINES_MAX, f"{node.name} has {size} lines"
            if node.name == "__init__":
                count = len(node.args.args) + len(node.args.kwonlyargs) - 1
                assert count <= CONSTRUCTOR_ARGS_MAX, f"a constructor with {count} arguments"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_each_library_has_one_home(path: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            imported |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            imported.add(node.module.split(".")[0])
    for library, home in ONE_HOME.items():
        if library in imported:
            assert name_of(path).startswith(home), f"{library} is imported outside {home}"


def tracked_text() -> list[tuple[str, str]]:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    found: list[tuple[str, str]] = []
    for name in names:
        path = ROOT / name
        if name and path.is_file() and path.suffix not in {".webp", ".png", ".gif", ".mp4", ".ico"}:
            found.append((name, path.read_text(errors="replace")))
    return found


def test_nothing_of_a_particular_machine_is_tracked() -> None:
    machine_path = re.compile(r"(^|[^A-Za-z0-9._-])/(work|farm|root)/")
    registry = re.compile(r"(registry\.npmjs|files\.pythonhosted|pypi\.org/simple)")
    for name, text in tracked_text():
        if name in {"tests/test_tidy.py"}:
            continue
        assert not machine_path.search(text), f"{name} names a path of one machine"
        assert not registry.search(text), f"{name} names a registry"


def test_locks_carry_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[a-zA-Z0-9_.-]+==", lock, re.M)
    assert len(pins) > 30
    assert lock.count("--hash=sha256:") >= len(pins)
    web = (ROOT / "web" / "package-lock.json").read_text()
    assert '"integrity"' in web and '"resolved"' not in web
