"""Make the deployable package: ``DIR/package``, the same as ``DIR/smarttag-relay.zip``, and what is in it as an SBOM.

Wheels are those of the function's runtime (Linux x86_64, one CPython minor), whatever machine this runs on, and byte
code is compiled by that minor with hash-based checking, because uploading rewrites modification times. The same tree
gives the same bytes in any folder, at any time and from any Python, on machines with the same zlib.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from local.packaging import application, sbom
from shared.http.pages import frame
from shared.smarttag import report
from shared.templates import compile_in

ROOT = Path(__file__).parents[2]
RUNTIMES = ("3.10", "3.12")  # those of Function Compute that can run this
RUNTIME = RUNTIMES[0]
NAME = "smarttag-relay"
SOURCE_ONLY = ("aliyun-fc2", "aliyun-python-sdk-core")  # published without wheels; both are pure Python
BUILD_TOOL = "setuptools==80.9.0"  # builds those two; another version writes other metadata
# manylinux2014 (glibc 2.17) first: a wheel for glibc 2.28 sits exactly on the limit of python3.10's Debian 10.
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64")
# Where templates lie, and what they are rendered with.
TEMPLATES = {"shared/smarttag/report": report.FILTERS, "shared/http/pages": frame.FILTERS}
# What no function imports. Tests play every recorded job without it.
LEFT_OUT = (
    "pycparser",  # cffi wants it to read C, which happened when cryptography was built
    "typing-extensions",
    *("requests", "charset-normalizer", "idna", "websocket-client"),  # what the client of aliyun-fc2 sends with
)
DEAD_WEIGHT = (
    "bin",
    "cffi",  # the library beside it, _cffi_backend, is what cryptography loads
    "urllib3/contrib/emscripten",
    "werkzeug/debug",  # the development server's
    "werkzeug/middleware",
)
KEPT_METADATA = ("METADATA", "LICEN", "COPYING", "NOTICE", "AUTHORS")
# Of requests 2.18.3 and urllib3 1.24.3 inside aliyun-python-sdk-core its request class takes one dictionary, and of
# aliyun-fc2 only the signature is used: that stays, and the rest goes.
THINNED = {"aliyunsdkcore/vendored/requests": ("structures.py",), "fc2": ("auth.py",)}
INSTEAD = {
    "aliyunsdkcore/vendored/requests/__init__.py": "",
    "aliyunsdkcore/vendored/requests/compat.py": (
        "from collections import OrderedDict\nfrom collections.abc import Mapping, MutableMapping\n"
    ),
    "fc2/__init__.py": "",
    "requests.py": '"""fc2.auth imports this, and takes nothing of it."""\n',
    # Templates are compiled by then: what jinja2 would read and compile them with is neither needed nor loaded.
    "jinja2/bccache.py": "BytecodeCache = FileSystemBytecodeCache = MemcachedBytecodeCache = None\n",
    "jinja2/compiler.py": "CodeGenerator = generate = None\n",
    "jinja2/lexer.py": "Lexer = TokenStream = get_lexer = None\n",
    "jinja2/parser.py": "Parser = None\n",
    "urllib3/http2/__init__.py": "",  # for the version of h2, which is not here, it loads importlib.metadata
}
OURS = ("functions", "shared")


def main() -> None:
    """Build, and say where the result lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "build")
    parser.add_argument("--python", default=RUNTIME, choices=RUNTIMES, help="minor version of the function's runtime")
    chosen = parser.parse_args()
    archive = build(chosen.output, chosen.python)
    if chosen.python == RUNTIME:
        application.make(archive, chosen.output / "application")
    print(f"{chosen.output / 'package'}\n{archive} {archive.stat().st_size / 1e6:.1f} MB")


def build(output: Path, python: str = RUNTIME) -> Path:
    """Fill ``output/package`` and return the zip beside it."""
    package = output / "package"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    _install(package, output / "wheels", python)
    bill = sbom.describe(package, NAME)
    for room in OURS:
        shutil.copytree(ROOT / room, package / room, ignore=shutil.ignore_patterns("__pycache__"))
    _strip(package)
    for room, filters in TEMPLATES.items():
        compile_in(package / room, filters)
    _compile(package, python)
    (output / f"{NAME}.cdx.json").write_bytes(bill)
    return _zip(package, output / f"{NAME}.zip")


def requirements() -> list[str]:
    """Return the entries of requirements.txt, each with its hashes, in one line."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _install(package: Path, wheels: Path, python: str) -> None:
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir()
    source_only, others = wheels / "source-only.txt", wheels / "others.txt"
    pins = [pin for pin in requirements() if not pin.startswith(LEFT_OUT)]
    source_only.write_text("\n".join(pin for pin in pins if pin.startswith(SOURCE_ONLY)), encoding="utf-8")
    others.write_text("\n".join(pin for pin in pins if not pin.startswith(SOURCE_ONLY)), encoding="utf-8")
    checked = ["--no-deps", "--require-hashes"]
    # Not from the cache: a wheel in it was built by whatever setuptools there was at that time.
    _pip("wheel", "--no-cache-dir", "--use-pep517", *checked, "--wheel-dir", str(wheels), "-r", str(source_only))
    into = ["--target", str(package), "--no-compile"]
    platforms = [argument for platform in PLATFORMS for argument in ("--platform", platform)]
    target = ["--python-version", python, "--implementation", "cp", "--only-binary=:all:", *platforms]
    _pip("install", *checked, *into, *target, "-r", str(others))
    _pip("install", "--no-deps", "--no-index", *into, *map(str, sorted(wheels.glob("*.whl"))))


def _pip(command: str, *arguments: str) -> None:
    constraints = ROOT / "build" / "build-tool.txt"
    constraints.parent.mkdir(exist_ok=True)
    constraints.write_text(f"{BUILD_TOOL}\n", encoding="utf-8")
    # pip of 2025 reads the second name for what builds a wheel, older ones the first.
    environment = {**os.environ, "PIP_CONSTRAINT": str(constraints), "PIP_BUILD_CONSTRAINT": str(constraints)}
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, command, *arguments], check=True, env=environment)


def _strip(package: Path) -> None:
    """Remove what no function imports, and of each distribution's metadata all but its fields and licences.

    What is dropped of the metadata (RECORD, WHEEL, INSTALLER) is for installers, lists files that are gone, and names
    the tools of the day.
    """
    for path in DEAD_WEIGHT:
        shutil.rmtree(package / path, ignore_errors=True)
    for folder, names in THINNED.items():
        kept = {package / folder / name: (package / folder / name).read_bytes() for name in names}
        shutil.rmtree(package / folder)
        (package / folder).mkdir()
        for kept_file, content in kept.items():
            kept_file.write_bytes(content)
    for name, text in INSTEAD.items():
        (package / name).write_text(text, encoding="utf-8")
    for described in sorted(package.glob("*.dist-info/*")):
        if described.name == "METADATA":
            fields, _, _ = described.read_bytes().partition(b"\n\n")  # then comes the project's README
            described.write_bytes(fields + b"\n")
        elif described.is_file() and not described.name.upper().startswith(KEPT_METADATA):
            described.unlink()


def _compile(package: Path, python: str) -> None:
    """Compile with the target's own minor: byte code of another one is dead weight.

    Our own sources stay beside it, for stack traces and for whoever reads what is deployed; those of the libraries,
    which requirements.txt names by hash, do not.
    """
    compiler = interpreter(python)
    if compiler is None:
        print(f"python{python} is not on this machine: the package carries no byte code and starts slower")
        return
    # One process, one hash seed and nothing of the machine's (-S): the order of sets, and which strings something else
    # in the process holds as well, are written into byte code.
    options = ["-q", "-j", "1", "--invalidation-mode", "unchecked-hash", "-p", "/code"]
    clean = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    libraries = sorted(path.name for path in package.iterdir() if path.name not in OURS)
    for what in (OURS, ("-b", *libraries)):
        run = [compiler, "-S", "-m", "compileall", *options, *what]
        subprocess.run(run, cwd=package, check=True, env=clean)
    for source in sorted(package.rglob("*.py")):
        if source.with_suffix(".pyc").exists():
            source.unlink()


def interpreter(python: str) -> str | None:
    """Return the path of a CPython of this minor version; None if there is none on this machine."""
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
