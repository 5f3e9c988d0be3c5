"""Each invocation ends in one line that says what it did, and nothing more is asked of OSS for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from local import recorded
from local.cloud.server import Fault, Request, Response
from local.cloud.world import API, CALLBACK, TOKEN, World, world

JOB, OTHER = (recorded.jobs()[name] for name in ("rich", "documented"))


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[World]:
    jobs = {job.job_id: job.response for job in (JOB, OTHER)}
    with world(tmp_path, jobs, sweep_seconds=3600) as running:
        yield running


def measured(cloud: World, function: str) -> list[dict[str, Any]]:
    """Return the lines of a function, in order."""
    lines = [line for line in cloud.functions.log(function).splitlines() if line.startswith("{")]
    return [line for line in map(orjson.loads, lines) if line["event"] == "invocation.measured"]


def test_a_message_is_measured(cloud: World) -> None:
    cloud.receivers["cms"].fail(Fault("answer", response=Response(410)))
    cloud.receivers["archive"].fail(Fault("answer", response=Response(500)))
    cloud.notify(JOB.job_id, "Success")
    assert cloud.settle()
    (line,) = measured(cloud, CALLBACK)
    assert (line["level"], line["function"], line["deadLetters"]) == ("INFO", "callback", 1)
    assert line["requestId"].startswith("1-")
    assert line["outcomes"] == {
        "publish.settled": 1,
        "delivery.gone": 1,
        "delivery.retry": 1,
        "delivery.delivered": 1,
    }
    stages = line["stages"]
    assert stages.keys() == {"mps", "decode", "artifacts", "oss", "webhooks"}
    assert stages["oss"]["calls"] == len(cloud.oss.requests)
    assert len([request for request in cloud.oss.requests if "/catalogue/" in request.path]) == 2
    assert stages["mps"] == {"calls": 1, "ms": stages["mps"]["ms"], "bytes": len(JOB.response)}
    assert stages["decode"]["bytes"] == len(JOB.response)
    bodies = sum(len(request.body) for each in cloud.receivers.values() for request in each.requests)
    assert (stages["webhooks"]["calls"], stages["webhooks"]["bytes"]) == (3, bodies)
    assert 0 < line["seconds"] < 60
    assert "tasksDue" not in line


def test_a_sweep_says_what_was_due_and_an_idle_one_that_nothing_was(cloud: World) -> None:
    body = orjson.dumps({"jobIds": [JOB.job_id, OTHER.job_id]})
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    answer = cloud.functions.http(API, Request("POST", "/jobs/publish", "/jobs/publish", {}, headers, body))
    assert answer.status == 202
    (asked,) = measured(cloud, API)
    assert (asked["function"], asked["stages"]["oss"]["calls"], asked["outcomes"]) == ("api", 2, {})
    for _ in range(2):
        cloud.timer.fire()
        assert cloud.settle()
    busy, idle = measured(cloud, CALLBACK)
    assert (busy["tasksDue"], busy["outcomes"]["publish.settled"]) == (2, 2)
    assert 0 < busy["oldestDueSeconds"] < 60
    assert (idle["tasksDue"], idle["oldestDueSeconds"], idle["outcomes"]) == (0, 0.0, {})
    assert idle["stages"]["oss"]["calls"] == 1, "the tasks are listed; the catalogue asks nothing"


def test_an_invocation_that_fails_is_measured_too(cloud: World) -> None:
    refusal = Response(403, b"<Error><Code>AccessDenied</Code></Error>")
    cloud.oss.fail(Fault("answer", 99, response=refusal))
    assert cloud.functions.invoke(CALLBACK, b'{"Type":"smarttag","JobId":"x","State":"Success"}').error_type
    (line,) = measured(cloud, CALLBACK)
    assert (line["outcomes"], line["stages"]["oss"]["calls"] > 0) == ({}, True)
