"""What is deployed is what is tested: the package alone, run by the runtime's own Python version."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

import orjson
import pytest

from local import recorded
from local.cloud.server import Request
from local.cloud.world import TOKEN, World, world
from tests import needs

JOBS = {job.job_id: job.response for job in recorded.jobs().values()}
pytestmark = [pytest.mark.needs("package"), pytest.mark.needs("python3.10")]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run the functions from the package, by an interpreter that has nothing else installed for them."""
    python = needs.find("python3.10")
    assert python is not None
    with world(tmp_path_factory.mktemp("deployed"), JOBS, code=needs.PACKAGE, python=python) as running:
        yield running


def test_the_zip_is_small_and_carries_byte_code_of_the_runtime_only() -> None:
    archive = needs.PACKAGE.parent / "smarttag-relay.zip"
    names = zipfile.ZipFile(archive).namelist()
    assert archive.stat().st_size <= 12_000_000
    assert not [name for name in names if name.startswith(("local/", "tests/"))]
    assert {name.rsplit(".", 2)[1] for name in names if name.endswith(".pyc")} == {"cpython-310"}


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


def test_the_packaged_http_function_answers(deployed: World) -> None:
    job = next(iter(JOBS))
    headers = {"authorization": f"Bearer {TOKEN}"}
    answer = deployed.functions.http("smarttag-api", Request("GET", f"/jobs/{job}", f"/jobs/{job}", {}, headers, b""))
    assert (answer.status, answer.headers.get("Content-Type")) == (200, "application/json")
