"""What is measured: the built package with the Python it is built for, or the working tree with this one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from local.packaging.package import interpreter

ROOT = Path(__file__).parents[2]
# What the peers import; in the versions that this environment has.
DISTRIBUTIONS = (
    *("alibabacloud-oss-v2", "aliyun-fc2", "aliyun-python-sdk-core", "crcmod-plus"),
    *("msgspec", "orjson", "pydantic", "requests", "urllib3", "werkzeug"),
)


@dataclass(frozen=True)
class Target:
    """``peers`` is the folder with the peers' distributions; None where the interpreter has them."""

    name: str
    code: Path
    python: str
    minor: str
    peers: Path | None = None

    def __str__(self) -> str:
        return f"{self.name}, {self.minor}"


class NotMeasurable(Exception):
    """The package cannot be measured here; the message says why."""


def in_memory() -> Path | None:
    """Return a folder that no disk is behind, if there is one: local stores wait for the disk at each write."""
    memory = Path("/dev/shm")  # noqa: S108 - what is made there has a name of its own
    return memory if os.access(memory, os.W_OK) else None


def tree() -> Target:
    """Return the working tree."""
    return Target("tree", ROOT, sys.executable, f"{sys.version_info.major}.{sys.version_info.minor}")


def package(folder: Path, peers: Path) -> Target:
    """Return the package in ``folder``; the peers' distributions are installed below ``peers``, once.

    Raises:
        NotMeasurable: it is not built, or cannot be run or compared here.
    """
    binary = next(folder.glob("orjson/*.cpython-*.so"), None)
    found = re.search(r"\.cpython-3(\d+)-", binary.name) if binary else None
    if found is None:
        raise NotMeasurable(f"there is no package in {folder}: run make build")
    minor = f"3.{found[1]}"
    python = interpreter(minor)
    if python is None:
        raise NotMeasurable(f"Python {minor}, which the package is built for, is not on this machine")
    return Target("package", folder, python, minor, _install(python, peers / f"peers-{minor}"))


def _install(python: str, folder: Path) -> Path:
    pins = [f"{name}=={metadata.version(name)}" for name in DISTRIBUTIONS if _here(name)]
    wanted, stamp = "\n".join(pins), folder / "complete.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
    done = subprocess.run([*pip, "--target", str(folder), *pins], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasurable(f"the peers cannot be installed for {python}: {done.stderr.strip()[-300:]}")
    stamp.write_text(wanted)
    return folder


def _here(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def can_import(target: Target, module: str) -> bool:
    """Say whether the peers have a module that not every environment has."""
    path = {"PYTHONPATH": str(target.peers)} if target.peers else {}
    return (
        subprocess.run([target.python, "-c", f"import {module}"], env=path, capture_output=True, check=False).returncode
        == 0
    )
