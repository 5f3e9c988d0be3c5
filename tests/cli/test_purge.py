"""``smarttag purge``, over a real directory."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from local.cli.main import app
from shared.errors import BadInput, ObjectNotFound
from shared.storage.directory import DirectoryStore
from tests.catalogue.world import publish
from tests.fakes.node import START, document


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = DirectoryStore(tmp_path / "out")
    for job in ("job-1", "job-2"):
        publish(store, document(job), START)
    return tmp_path / "out"


def purge(folder: Path, *arguments: str, answer: str = "") -> Result:
    env = {"OUTPUT_URL": folder.as_uri(), "MPS_REGION": "cn-shanghai"}
    return CliRunner().invoke(app, ["purge", *arguments], input=answer, env=env)


def holding(folder: Path, job: str) -> set[str]:
    """Return the files that name a job, in their path or body, but for its tombstones."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = {
        path.relative_to(folder).as_posix() for path in files if job in str(path) or job in path.read_text("utf-8")
    }
    return {path for path in found if not path.startswith((f"jobs/{job}/deliveries/publish/", "outbox/", "erased/"))}


def test_it_asks_first_and_removes_what_is_meant(folder: Path) -> None:
    before = holding(folder, "job-1"), holding(folder, "job-2")
    for answer in ("", "n\n"):
        refused = purge(folder, "job-1", answer=answer)
        assert refused.exit_code == 1
        assert "Remove everything of job job-1? [y/N]" in refused.stderr
    assert (holding(folder, "job-1"), holding(folder, "job-2")) == before
    done = purge(folder, "job-1", answer="y\n")
    assert done.exit_code == 0, done.output
    assert "job job-1 erased; audit ID r" in done.stdout
    assert (holding(folder, "job-1"), holding(folder, "job-2")) == (set(), before[1])


def test_a_script_is_not_asked_and_reads_json(folder: Path) -> None:
    done = purge(folder, "job-1", "--yes", "--json")
    assert done.exit_code == 0, done.output
    said = orjson.loads(done.stdout)
    assert (said.pop("auditId") != "", said) == (True, {"jobId": "job-1", "outcome": "erased"})
    assert not holding(folder, "job-1")


def test_what_was_never_there_is_said_so(folder: Path) -> None:
    assert isinstance(purge(folder, "job-3", "--yes").exception, ObjectNotFound)
    assert isinstance(purge(folder, "../job", "--yes").exception, BadInput)
