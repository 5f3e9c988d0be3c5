"""What is deployed is what is tested: the package alone, run by the runtime's own Python versions."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from local import recorded
from local.cloud.accounts import ROLE
from local.cloud.fc_triggers import FcApi
from local.cloud.server import Request
from local.cloud.world import TOKEN, World, world
from local.packaging import package
from tests import needs

JOBS = {job.job_id: job.response for job in recorded.jobs().values()}
BUILDS = {"3.10": "package", "3.12": "package-3.12"}
GLIBC = {"3.10": (2, 28), "3.12": (2, 31)}  # Debian 10 and 11, of which the runtimes are made
# Some that the platform has or may have, in other versions: such as we bring, such as we leave out, and others.
BUILT_IN = (
    *("cryptography", "jmespath", "orjson", "requests", "urllib3"),
    *("cffi", "charset_normalizer", "idna", "pycparser", "typing_extensions", "websocket"),
    *("Crypto", "crcmod", "mns", "oss2"),
)
EVERY = [
    pytest.param(python, marks=[pytest.mark.needs(tool), pytest.mark.needs(f"python{python}")])
    for python, tool in BUILDS.items()
]


def folder(python: str) -> Path:
    return needs.PACKAGES[BUILDS[python]]


@pytest.fixture(scope="module", params=EVERY)
def deployed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run the functions from the package, by an interpreter that has nothing else installed for them."""
    python = needs.find(f"python{request.param}")
    assert python is not None
    code, builtin = folder(request.param) / "package", tmp_path_factory.mktemp("builtin")
    for name in BUILT_IN:
        (builtin / f"{name}.py").write_text(f"print('the platform has {name}')\n", encoding="utf-8")
    runtime = f"python{request.param}"
    how = {"code": code, "python": python, "runtime": runtime, "builtin": builtin}
    with world(tmp_path_factory.mktemp("deployed"), JOBS, **how) as running:
        yield running


def magic_number(python: str) -> bytes:
    """Return what byte code of this minor begins with."""
    code = "import importlib.util, sys; sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER)"
    interpreter = needs.find(f"python{python}")
    assert interpreter is not None
    return subprocess.run([interpreter, "-c", code], capture_output=True, check=True).stdout


@pytest.mark.parametrize("python", EVERY)
def test_the_zip_is_small_and_carries_byte_code_of_the_runtime_only(python: str) -> None:
    archive = folder(python) / "smarttag-relay.zip"
    names = zipfile.ZipFile(archive).namelist()
    assert archive.stat().st_size <= 7_500_000
    assert not [name for name in names if name.startswith(("local/", "tests/", "bin/"))]
    sources = {name for name in names if name.endswith(".py")}
    assert {name.partition("/")[0] for name in sources} == set(package.OURS), "libraries carry byte code only"
    folders = {name.rpartition("/")[0] for name in names if name.endswith(".pyc")}
    assert {f"{room}/__pycache__" for room in package.OURS} <= folders
    magic = magic_number(python)
    content = zipfile.ZipFile(archive)
    assert {content.read(name)[:4] for name in names if name.endswith(".pyc")} == {magic}


@pytest.mark.needs("package")
@pytest.mark.needs("package-again")
def test_two_builds_in_two_folders_are_the_same_to_the_byte() -> None:
    archives = [needs.PACKAGES[name] / "smarttag-relay.zip" for name in ("package", "package-again")]
    assert len({hashlib.sha256(archive.read_bytes()).hexdigest() for archive in archives}) == 1


@pytest.mark.parametrize("python", EVERY)
def test_every_binary_loads_on_the_runtimes_system(python: str) -> None:
    """A symbol's version is named in the binary as plain text; the highest decides what glibc it takes."""
    binaries = [path for path in (folder(python) / "package").rglob("*.so*") if path.is_file()]
    assert len(binaries) >= 3
    for binary in binaries:
        content = binary.read_bytes()
        assert content.startswith(b"\x7fELF\x02\x01"), f"{binary} is not for a 64-bit machine"
        assert content[18] == 0x3E, f"{binary} is not for x86_64"
        wanted = [(int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", content)]
        assert max(wanted) <= GLIBC[python], f"{binary} wants a newer glibc"


def imports() -> set[str]:
    """Return every module that the functions may import, wherever the statement stands."""
    found = set()
    for path in (path for room in ("functions", "shared") for path in (needs.ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("python", EVERY)
def test_nothing_lies_in_the_package_that_no_function_imports(python: str) -> None:
    code = (
        "import importlib, json, pathlib, sys\n"
        "for name in json.loads(sys.argv[2]):\n"
        "    try: importlib.import_module(name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        if '.' not in name or error.name not in (name, '_typeshed'): raise\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    interpreter, where = needs.find(f"python{python}"), folder(python) / "package"
    assert interpreter is not None
    program = f"import sys\nsys.path.insert(0, sys.argv[1])\n{code}"
    run = [interpreter, "-I", "-c", program, where, json.dumps(sorted(imports()))]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shipped = {path.name.partition(".")[0] for path in where.iterdir() if not path.name.endswith(".dist-info")}
    assert shipped - set(done.stdout.split()) == {"functions"} - set(done.stdout.split())


@pytest.mark.parametrize("python", EVERY)
def test_the_old_copies_inside_the_sdk_are_not_shipped(python: str) -> None:
    where = folder(python) / "package"
    vendored = {path.name for path in (where / "aliyunsdkcore" / "vendored" / "requests").iterdir()}
    assert vendored == {"__init__.pyc", "compat.pyc", "structures.pyc"}
    assert {path.name for path in (where / "fc2").iterdir()} == {"__init__.pyc", "auth.pyc"}


@pytest.mark.parametrize("python", EVERY)
def test_the_bill_of_materials_names_all_of_it_with_its_licence(python: str) -> None:
    bill = json.loads((folder(python) / "smarttag-relay.cdx.json").read_bytes())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    listed = {f"{each['name']}-{each['version']}".lower().replace("-", "_") for each in bill["components"]}
    installed = {path.stem.lower().replace("-", "_") for path in (folder(python) / "package").glob("*.dist-info")}
    assert listed == installed
    assert [each["name"] for each in bill["components"] if not each["licenses"]] == []


def test_every_dependency_is_pinned_by_hash() -> None:
    pins = package.requirements()
    assert all(re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", pin) for pin in pins)
    project = (needs.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert listed is not None
    named = set(re.findall(r'"([a-z0-9-]+)"', listed[1]))
    assert named <= {pin.partition("==")[0] for pin in pins}, "run make lock"


def test_every_recorded_job_comes_out_of_the_package_as_out_of_this_tree(deployed: World) -> None:
    from shared.smarttag import summarise

    finished = {job: body for job, body in JOBS.items() if orjson.loads(body)["JobStatus"] in {"Success", "Fail"}}
    for job in finished:
        deployed.notify(job, "Success")
    assert deployed.settle()
    for job, body in finished.items():
        assert (deployed.job(job) / "summary.json").read_bytes() == summarise(body, job).to_json()
        assert (deployed.job(job) / "manifest.json").exists()
    assert len(deployed.receivers["cms"].deliveries) == len(finished)
    assert all(delivery.verified for delivery in deployed.receivers["cms"].deliveries)


def test_packages_of_the_platform_behind_ours_are_neither_taken_nor_paid_for(deployed: World) -> None:
    assert deployed.functions.log("smarttag-callback").count("runtime inited") >= 1
    assert "the platform has" not in deployed.functions.log("smarttag-callback")


def test_the_package_signs_calls_of_functions(deployed: World) -> None:
    """A subscriber ``fc://``: that is all that aliyun-fc2 is in the package for."""
    job = next(iter(JOBS))
    with FcApi(deployed.functions) as api:
        code = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from shared.invoker import Invoker\nfrom shared.credentials import Credentials\n"
            "calls = Invoker(sys.argv[2], lambda: Credentials(*sys.argv[3:6]))\n"
            "print(calls.call(sys.argv[6], None, 'smarttag-callback', sys.argv[7].encode(), 30).decode())\n"
        )
        key = (ROLE.access_key_id, ROLE.access_key_secret, ROLE.security_token)
        message = json.dumps({"Type": "Transcode", "JobId": job, "State": "Success"})
        how = deployed.functions.deployed("smarttag-callback")
        run = [how.python, "-I", "-c", code, str(how.code), api.url, *key, deployed.functions.service, message]
        done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["outcome"] == "skipped"


def test_the_packaged_http_function_answers(deployed: World) -> None:
    job = next(iter(JOBS))
    headers = {"authorization": f"Bearer {TOKEN}"}
    answer = deployed.functions.http("smarttag-api", Request("GET", f"/jobs/{job}", f"/jobs/{job}", {}, headers, b""))
    assert (answer.status, answer.headers.get("Content-Type")) == (200, "application/json")
