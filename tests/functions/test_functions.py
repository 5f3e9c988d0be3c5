"""Both functions as Function Compute runs them: own processes, own environment, events as bytes."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from local import recorded
from local.cloud.accounts import ROLE
from local.cloud.fc import Function, FunctionCompute
from local.cloud.server import Fault, Request, Response
from local.cloud.world import ROOT, SECRETS, TOKEN, World

JOB = recorded.jobs()["documented"].job_id
READ = {"authorization": f"Bearer {TOKEN}"}


def get(cloud: World, path: str, **headers: str) -> tuple[int, bytes]:
    answer = cloud.functions.http("smarttag-api", Request("GET", path, path, {}, {**READ, **headers}, b""))
    return answer.status, answer.body


def test_a_notification_becomes_objects_webhooks_and_an_answer(cloud: World) -> None:
    cloud.notify(JOB, "Success", duplicates=2)
    assert cloud.settle()
    assert {outcome.result.error_type for outcome in cloud.functions.outcomes} == {""}
    assert (cloud.job(JOB) / "response.json").read_bytes() == recorded.jobs()["documented"].response
    (told,) = cloud.receivers["cms"].deliveries
    assert told.verified
    assert orjson.loads(told.body)["data"]["jobId"] == JOB
    assert get(cloud, f"/jobs/{JOB}") == (200, (cloud.job(JOB) / "summary.json").read_bytes())


def test_the_callback_reports_each_message(cloud: World) -> None:
    result = cloud.functions.invoke("smarttag-callback", b'{"Type":"Snapshot","JobId":"x","State":"Success"}')
    assert orjson.loads(result.payload)["results"][0]["outcome"] == "skipped"


def test_what_fails_for_now_is_deferred_and_named(cloud: World) -> None:
    cloud.mps.set_answers("ahead", [b'{"JobStatus":"Processing","RequestId":"r","Results":{"Result":[]}}'])
    event = b'{"Type":"smarttag","JobId":"ahead","State":"Success"}'
    result = cloud.functions.invoke("smarttag-callback", event)
    assert not result.error_type
    (report,) = orjson.loads(result.payload)["results"]
    assert (report["jobId"], report["outcome"]) == ("ahead", "deferred")
    assert "ahead" in cloud.functions.log("smarttag-callback")


def test_an_event_that_cannot_be_written_down_is_an_error_so_that_it_comes_again(cloud: World) -> None:
    refusal = Response(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
    cloud.oss.fail(Fault("answer", times=100, match=lambda request: request.method == "PUT", response=refusal))
    event = b'{"Type":"smarttag","JobId":"refused","State":"Success"}'
    result = cloud.functions.invoke("smarttag-callback", event)
    cloud.oss._faults.clear()
    assert result.error_type
    assert "an event of 1 messages has to come again" in orjson.loads(result.payload)["errorMessage"]


def test_the_timer_sweeps(cloud: World) -> None:
    cloud.timer.fire()
    assert cloud.settle()
    assert "outbox.swept" in cloud.functions.log("smarttag-callback")


def test_health_needs_no_token(cloud: World) -> None:
    assert get(cloud, "/healthz", authorization="")[0] == 200
    assert get(cloud, f"/jobs/{JOB}", authorization="")[0] == 401


@pytest.mark.parametrize("runtime", ["python3.10", "python3.12"])
def test_missing_settings_fail_the_start_and_are_named_together(tmp_path: Path, runtime: str) -> None:
    function = Function(
        "callback",
        "functions/mns_callback.handler",
        ROOT,
        {"API_AUTH": "nobody", "LOG_LEVEL": "loud"},
        initializer="functions/mns_callback.initializer",
        runtime=runtime,
    )
    with FunctionCompute([function], credentials=ROLE, logs=tmp_path) as functions:
        result = functions.invoke("callback", b"{}")
    failure = orjson.loads(result.payload)
    assert failure["errorType"] == "BadSettings"
    for name in ("OUTPUT_URL", "API_AUTH", "LOG_LEVEL"):
        assert name in failure["errorMessage"]


def test_a_broken_subscribers_file_loses_nobody(cloud: World) -> None:
    config = cloud.objects.parent / "config" / "subscribers.json"
    whole = config.read_bytes()
    job = recorded.jobs()["rich"].job_id
    config.write_bytes(whole[:50])
    try:
        cloud.notify(job, "Success")
        assert cloud.settle()
        assert (cloud.job(job) / "manifest.json").exists()
        assert any("fanout" in str(path) for path in (cloud.objects / "outbox").rglob("*"))
    finally:
        config.write_bytes(whole)
    assert "SUBSCRIBERS_URL" in cloud.functions.log("smarttag-callback")


def test_no_secret_in_any_log_or_object_of_all_this(cloud: World) -> None:
    secrets = [value.encode() for value in (ROLE.access_key_secret, ROLE.security_token, TOKEN, *SECRETS.values())]
    files = [path for root in (cloud.objects, cloud.logs) for path in root.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files for secret in secrets if secret in path.read_bytes()] == []
