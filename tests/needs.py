"""What the marker ``needs("chromium")`` means: is the tool here, and does it run?"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

NODE_FOLDER = Path(__file__).parent / "node"
ROOT = Path(__file__).parents[1]
# What make build makes, and what .ci/run makes besides with python -m local.packaging.
PACKAGES = {
    "package": ROOT / "build",
    "package-3.12": ROOT / "build" / "python3.12",
    "package-again": ROOT / "build" / "the-same-again",
}


@functools.cache
def find(tool: str) -> str | None:
    """Return the path of a command that answers ``--version``: a name on PATH may be a shim for nothing.

    ``python3.X`` is also looked for among the versions that pyenv holds.
    """
    return next((path for path in _candidates(tool) if answers(path)), None)


@functools.cache
def missing(tool: str) -> str | None:
    """Return why tests that need ``tool`` cannot run here, None if they can."""
    if tool in PACKAGES:
        built = _sources(PACKAGES[tool] / "package") == _sources(ROOT)
        return None if built else f"needs the {tool} of this tree: run make build, or what .ci/run does"
    if tool == "chdb":  # ClickHouse as a library; 200 MB with what it needs
        return None if importlib.util.find_spec(tool) else "needs ClickHouse: pip install '.[engines]'"
    if find(tool) is None:
        return f"needs {tool}, and none that runs was found"
    if tool == "node":
        wanted = json.loads((NODE_FOLDER / "package.json").read_bytes())["dependencies"]
        absent = [name for name in wanted if not (NODE_FOLDER / "node_modules" / name).is_dir()]
        if absent:
            return f"needs the npm packages {', '.join(absent)}: run npm ci in tests/node"
    return None


def _sources(root: Path) -> dict[Path, bytes]:
    found = (path for room in ("functions", "shared") for path in (root / room).rglob("*"))
    kept = (path for path in found if path.suffix in {".py", ".j2", ".css", ".json"} and "compiled" not in path.parts)
    return {path.relative_to(root): path.read_bytes() for path in kept}


def _candidates(tool: str) -> Iterator[str]:
    on_path = shutil.which(tool)
    if on_path is not None:
        yield on_path
    if tool.startswith("python3."):
        root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
        version = tool.removeprefix("python")
        for folder in sorted(root.glob(f"versions/{version}*")):
            if (folder / "bin" / tool).is_file():
                yield str(folder / "bin" / tool)


def answers(command: str) -> bool:
    """Ask for the version, as nginx, openssl and ffmpeg understand it too; a shim for nothing fails at that."""
    for option in ("--version", "-v", "version", "-version"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run([command, option], capture_output=True, check=True, timeout=60)
            return True
    return False
