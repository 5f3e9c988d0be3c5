"""The functions under what the published runtime does to them: old environment, frozen, read-only code."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from local import recorded
from local.cloud.accounts import ENDED, ROLE
from local.cloud.server import Fault, Request, Response
from local.cloud.world import API, CALLBACK, TOKEN, World, world
from tests import needs

JOBS = {
    job.job_id: job.response
    for job in recorded.jobs().values()
    if orjson.loads(job.response)["JobStatus"] in {"Success", "Fail"}
}
FROZEN = 61.0 if os.environ.get("SOAK") else 0.0  # seconds, besides what each message lasts
SKIPPED = b'{"Type": "Transcode", "JobId": "x", "State": "Success"}'  # asks nothing of anybody


@pytest.fixture
def aged(tmp_path: Path) -> Iterator[World]:
    """One warm instance whose environment holds a token that has ended since; contexts hold the present one."""
    code = tmp_path / "code"
    for room in ("functions", "shared"):
        shutil.copytree(needs.ROOT / room, code / room, ignore=shutil.ignore_patterns("__pycache__"))
    with world(tmp_path, JOBS, code=code, sweep_seconds=3600) as running:
        running.functions.credentials = ENDED
        assert running.functions.invoke(CALLBACK, SKIPPED).error_type == ""
        running.functions.credentials = ROLE
        yield running


def test_every_message_is_published_by_an_instance_that_was_frozen_and_has_grown_old(aged: World) -> None:
    """The environment is old, the context fresh, the code read-only; between two messages every connection dies."""
    for number, job in enumerate(JOBS):
        result = aged.functions.invoke(
            CALLBACK, orjson.dumps({"Type": "smarttag", "JobId": job, "State": "Success", "UserData": ""})
        )
        assert result.error_type == "", result.payload
        assert orjson.loads(result.payload)["results"][0]["outcome"] == "published", number
        aged.functions.freeze()
        for service in (aged.mps, aged.oss, *aged.receivers.values()):
            service.hang_up()
        if number == 0:
            time.sleep(FROZEN)
    assert aged.functions.log(CALLBACK).count("runtime inited") == 1, "this must have been one instance all along"
    assert all((aged.job(job) / "manifest.json").exists() for job in JOBS)
    assert len(aged.receivers["cms"].deliveries) == len(JOBS)
    assert not list((aged.objects.parents[2] / "code").rglob("__pycache__"))


def test_on_python312_an_instance_whose_token_has_ended_ends_itself_and_a_fresh_one_goes_on(tmp_path: Path) -> None:
    """There the context has no credentials: what the environment got when the instance started is all there is."""
    event = orjson.dumps({"Type": "smarttag", "JobId": next(iter(JOBS)), "State": "Success", "UserData": ""})
    with world(tmp_path, JOBS, runtime="python3.12", sweep_seconds=3600) as running:
        running.functions.credentials = ENDED
        path = f"/jobs/{next(iter(JOBS))}"
        request = Request("GET", path, path, {}, {"authorization": f"Bearer {TOKEN}"}, b"")
        assert running.functions.invoke(CALLBACK, event).error_type == "UnhandledInvocationError"
        assert running.functions.http(API, request).status == 503, "whoever asked is answered before the end"
        running.functions.credentials = ROLE
        for name in (CALLBACK, API):
            assert '"event":"instance.stranded"' in running.functions.log(name)
            assert running.functions.await_end(name), "it must end by itself"
        assert running.functions.invoke(CALLBACK, event).error_type == ""
        assert running.functions.http(API, request).status == 200
        assert [running.functions.log(name).count("runtime inited") for name in (CALLBACK, API)] == [2, 2]
        assert len(running.receivers["cms"].deliveries) == 1


def test_an_instance_whose_token_has_ended_ends_itself_after_a_bulk_request_too(tmp_path: Path) -> None:
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    request = Request("POST", "/jobs/publish", "/jobs/publish", {}, headers, b'{"jobIds": ["job-1", "job-2"]}')
    with world(tmp_path, JOBS, runtime="python3.12", sweep_seconds=3600) as running:
        running.functions.credentials = ENDED
        assert orjson.loads(running.functions.http(API, request).body)["counts"] == {"failed": 2}
        assert running.functions.await_end(API), "it must end by itself"
        assert running.functions.log(API).count('"event":"instance.stranded"') == 1


def test_while_oss_refuses_no_message_is_lost(tmp_path: Path) -> None:
    """Nine tries, then the queue; what waits there is an event that the callback takes when OSS is well again."""
    jobs = dict(list(JOBS.items())[:2])
    refusal = b"<Error><Code>UserDisable</Code><Message>The bucket is in arrears.</Message></Error>"
    with world(tmp_path, jobs, sweep_seconds=3600) as running:
        running.oss.fail(Fault("answer", times=1_000_000, response=Response(403, refusal)))
        for job in jobs:
            running.notify(job, "Success")
        assert running.settle()
        assert len(running.failed) == len(jobs)
        assert [outcome.attempts for outcome in running.functions.outcomes] == [9] * len(jobs)
        running.oss.heal()
        for event in running.failed:
            assert running.functions.invoke(CALLBACK, event).error_type == ""
        assert all((running.job(job) / "manifest.json").exists() for job in jobs)
        assert len(running.receivers["cms"].deliveries) == len(jobs)


def test_an_invocation_of_the_http_function_by_its_name_is_answered_like_any_unknown_path(aged: World) -> None:
    answer = orjson.loads(aged.functions.invoke_function(API, b'{"Type": "smarttag"}').payload)
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (404, "application/problem+json")
