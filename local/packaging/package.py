"""Make the deployable package: ``build/package`` (what template.yml uploads) and the same as a zip.

Wheels are those of the function's runtime (Linux x86_64, glibc 2.28, one CPython minor), whatever machine this runs on,
and byte code is compiled by that minor with hash-based checking, because uploading rewrites modification times.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from shared.smarttag import report

ROOT = Path(__file__).parents[2]
RUNTIME = "3.10"
SOURCE_ONLY = ("aliyun-fc2", "aliyun-python-sdk-core")  # published without wheels; both are pure Python
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64")
DEAD_WEIGHT = ("bin",)


def main() -> None:
    """Build, and say where the result lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "build")
    parser.add_argument("--python", default=RUNTIME, help="minor version of the function's runtime")
    chosen = parser.parse_args()
    archive = build(chosen.output, chosen.python)
    print(f"{chosen.output / 'package'}\n{archive} {archive.stat().st_size / 1e6:.1f} MB")


def build(output: Path, python: str = RUNTIME) -> Path:
    """Fill ``output/package`` and return the zip beside it."""
    package = output / "package"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    _install(package, output / "wheels", python)
    for room in ("functions", "shared"):
        shutil.copytree(ROOT / room, package / room, ignore=shutil.ignore_patterns("__pycache__"))
    for path in DEAD_WEIGHT:
        shutil.rmtree(package / path, ignore_errors=True)
    report.precompile(package)
    _compile(package, python)
    return _zip(package, output / "smarttag-relay.zip")


def _install(package: Path, wheels: Path, python: str) -> None:
    pins = [
        line
        for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith(SOURCE_ONLY)
    ]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), *pins], check=True)
    platforms = [argument for platform in PLATFORMS for argument in ("--platform", platform)]
    target = ["--python-version", python, "--implementation", "cp", "--only-binary=:all:", *platforms]
    where = ["--target", str(package), "--find-links", str(wheels), "--no-compile", "--no-deps"]
    subprocess.run([*pip, "install", *target, *where, "-r", str(ROOT / "requirements.txt")], check=True)


def _compile(package: Path, python: str) -> None:
    """Compile with the target's own minor: byte code of another one is dead weight."""
    interpreter = _interpreter(python)
    if interpreter is None:
        print(f"python{python} is not on this machine: the package carries no byte code and starts slower")
        return
    options = ["-q", "-j", "0", "--invalidation-mode", "unchecked-hash", "-d", "/code"]
    subprocess.run([interpreter, "-m", "compileall", *options, package], check=True)


def _interpreter(python: str) -> str | None:
    if sys.version_info[:2] == tuple(map(int, python.split("."))):
        return sys.executable
    name = f"python{python}"
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in (shutil.which(name), *map(str, versions.glob(f"{python}.*/bin/{name}"))):
        if candidate and subprocess.run([candidate, "-V"], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def _zip(package: Path, archive: Path) -> Path:
    """Zip in a fixed order with fixed times, so that the same input gives the same archive."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for path in sorted(path for path in package.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(package).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            target.writestr(entry, path.read_bytes())
    return archive
