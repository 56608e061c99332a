"""The wheel carries everything: installed elsewhere, with no checkout in sight, it answers and holds the web app."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import holdfast

ROOT = Path(__file__).resolve().parent.parent


def test_the_wheel_runs_outside_the_checkout(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("holdfast-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"holdfast/webapp/index.html", "holdfast/cli/main.py"} <= names
    assert not [n for n in names if n.startswith(("tests/", "web/"))]
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    command = [sys.executable, "-P", "-c", "import holdfast, sys; from holdfast.cli.main import main; "
               "print(holdfast.__file__); main(['version'])"]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(site)}
    said = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
    assert str(site) in said, "the checkout was imported, not the wheel"
    assert holdfast.__version__ in said
