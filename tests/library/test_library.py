"""``smarttag_relay`` as a notebook imports it: from this checkout, and from a wheel that knows no checkout."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import fields
from pathlib import Path

import orjson
import pytest
from smarttag_relay import BadResponse, Summary, summarise

from local.recorded import jobs
from shared.smarttag import analyse, make_artifacts
from shared.smarttag import summarise as core

ROOT = Path(__file__).parents[2]
JOBS = jobs()
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def python(code: str, cwd: Path, *options: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8", **env},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("name", sorted(JOBS))
def test_every_form_of_a_response_gives_the_same(name: str, tmp_path: Path) -> None:
    response = JOBS[name].response
    path = tmp_path / "job-1" / "response.json"
    path.parent.mkdir()
    path.write_bytes(response)
    found = [summarise(form, "job-1") for form in (response, response.decode(), path)] + [summarise(path)]
    if name != "odd":  # what is no JSON has no dictionary
        found.append(summarise(json.loads(response), "job-1"))
    expected = core(response, "job-1").to_json()
    assert {each.to_json() for each in found} == {expected}
    artifacts = {each.name: each.body for each in make_artifacts(analyse(response, "job-1"))}
    rows = [orjson.loads(line) for line in artifacts["timeline.ndjson"].splitlines()]
    for each in found:
        assert each.to_dict() == orjson.loads(expected)
        assert each.rows() == rows
        assert isinstance(each, Summary)


def test_its_attributes_are_those_of_the_summary() -> None:
    mine, theirs = (read(JOBS["rich"].response, "job") for read in (summarise, core))
    assert all(getattr(mine, each.name) == getattr(theirs, each.name) for each in fields(theirs))
    assert repr(mine).startswith("Summary(jobId='job'")
    assert "_analysis" not in repr(mine)


@pytest.mark.parametrize(
    ("response", "says"),
    [
        ("responses/job-1.json", r"for a file, pass Path\('responses/job-1.json'\)"),
        (None, "bytes, text, a dictionary or a path, not NoneType"),
        ([b"{}"], r"\[summarise\(each\) for each in responses\]"),
        (bytearray(b"{}"), r"pass bytes\(response\)"),
        (io.BytesIO(b"{}"), r"response\.read\(\)"),
        (type("Answer", (), {"content": b""})(), r"response\.content"),
        (type("Tea", (), {"to_map": dict})(), r"response\.to_map\(\)"),
        ({"JobStatus": object()}, "the dictionary holds what JSON cannot"),
    ],
)
def test_what_is_no_response_is_told_with_what_to_pass(response: object, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        summarise(response)  # type: ignore[arg-type] # on purpose


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_bytes(b"<Error/>")
    with pytest.raises(BadResponse, match=rf"^{path} holds XML"):
        summarise(path)
    with pytest.raises(BadResponse, match=r"^the response holds nothing"):
        summarise(b"")
    with pytest.raises(FileNotFoundError):
        summarise(tmp_path / "nowhere.json")


def test_half_a_surrogate_in_a_text_is_replaced() -> None:
    assert summarise('{"JobStatus": "Success", "UserData": "a\ud800"}').userData == "a\ufffd"


def test_the_example_of_the_page_shows_its_output() -> None:
    page = (ROOT / "docs" / "summary.md").read_text("utf-8")
    ((code, shown),) = EXAMPLE.findall(page)
    assert python(code, ROOT) == shown


def test_it_is_imported_from_an_editable_install(tmp_path: Path) -> None:
    assert Path(python("import smarttag_relay as it; print(it.__file__)", tmp_path).strip()).is_relative_to(ROOT)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, since building leaves things beside them."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for room in ("functions", "shared", "local"):
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, out], cwd=source, capture_output=True, check=True, timeout=120)
    (made,) = out.glob("*.whl")
    return made


def test_it_is_imported_from_a_wheel(wheel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
        names = set(archive.namelist())
    assert {"smarttag_relay/__init__.py", "smarttag_relay/py.typed", "shared/smarttag/summary.schema.json"} <= names
    assert not any(name.startswith("local/library/") for name in names)
    code = (
        "import smarttag_relay; from pathlib import Path; print(smarttag_relay.__file__)\n"
        "made = smarttag_relay.summarise(Path('job-1.json'))\n"
        "print(made.to_json().decode()); print(len(made.rows()))"
    )
    (tmp_path / "job-1.json").write_bytes(JOBS["rich"].response)
    # Without site nothing of the editable install is on the path, only what it depends on.
    path = os.pathsep.join([str(folder), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    where, summary, rows = python(code, tmp_path, "-S", PYTHONPATH=path).splitlines()
    assert Path(where) == folder / "smarttag_relay" / "__init__.py"
    assert summary.encode() == core(JOBS["rich"].response, "job-1").to_json()
    assert int(rows) == len(summarise(JOBS["rich"].response).rows())


def test_every_package_of_the_tree_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tree = {
        path.relative_to(ROOT).as_posix()
        for room in ("functions", "shared", "local")
        for path in (ROOT / room).rglob("*.py")
    }
    moved = {name.removeprefix("local/library/") for name in tree}
    assert {name for name in names if name.endswith(".py")} == moved
