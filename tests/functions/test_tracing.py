"""The trace of whoever causes a webhook arrives with it, and stands in the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from local import recorded
from local.cloud.server import Request
from local.cloud.world import API, CALLBACK, TOKEN, World, world

JOBS = [recorded.jobs()[name] for name in ("rich", "documented")]
TRACES = [f"00-{number}{'ab' * 15}-00f067aa0ba902b7-01" for number in (11, 22)]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, {job.job_id: job.response for job in JOBS}, sweep_seconds=3600) as running:
        yield running


def arrived(cloud: World) -> dict[str, set[str]]:
    """Return for each job the trace IDs that its webhooks named."""
    found: dict[str, set[str]] = {}
    for receiver in cloud.receivers.values():
        for request in receiver.requests:
            trace = request.headers.get("traceparent", "")
            assert trace not in TRACES, "a span of our own"
            found.setdefault(orjson.loads(request.body)["data"]["jobId"], set()).add(trace[:36])
    return found


def logged(cloud: World, function: str, event: str) -> set[object]:
    lines = [orjson.loads(line) for line in cloud.functions.log(function).splitlines() if line.startswith("{")]
    return {line.get("traceId") for line in lines if line["event"] == event}


def message(job_id: str) -> bytes:
    return orjson.dumps({"Type": "smarttag", "JobId": job_id, "State": "Success", "UserData": ""})


def test_an_attribute_of_the_message_is_the_trace_of_its_webhooks(cloud: World) -> None:
    cloud.topic.publish(message(JOBS[0].job_id), {"traceparent": TRACES[0]})
    cloud.topic.publish(message(JOBS[1].job_id), {"traceparent": "00-malformed"})
    assert cloud.settle()
    assert arrived(cloud) == {JOBS[0].job_id: {TRACES[0][:36]}, JOBS[1].job_id: {""}}
    assert logged(cloud, CALLBACK, "job.published") == {TRACES[0][3:35], None}


def test_several_messages_of_one_event_keep_their_own(cloud: World) -> None:
    envelopes = [
        {"specversion": "1.0", "traceparent": trace, "data": {"messageBody": message(job.job_id).decode()}}
        for job, trace in zip(JOBS, TRACES, strict=True)
    ]
    cloud.functions.invoke(CALLBACK, orjson.dumps(envelopes))
    assert arrived(cloud) == {job.job_id: {trace[:36]} for job, trace in zip(JOBS, TRACES, strict=True)}


def test_a_request_over_http_hands_its_trace_on(cloud: World) -> None:
    path = f"/jobs/{JOBS[0].job_id}/publish"
    headers = {"authorization": f"Bearer {TOKEN}", "traceparent": TRACES[0]}
    assert cloud.functions.http(API, Request("POST", path, path, {}, headers, b"")).status == 200
    assert arrived(cloud) == {JOBS[0].job_id: {TRACES[0][:36]}}
    assert logged(cloud, API, "http.request") == {TRACES[0][3:35]}
    assert logged(cloud, API, "delivery") == {TRACES[0][3:35]}
