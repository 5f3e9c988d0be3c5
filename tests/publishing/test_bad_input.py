"""Whatever comes in: one clear error that names the thing, the right outcome, and nothing lost."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest
from system import JOB, System, message

from local.cloud.accounts import ROLE
from local.cloud.server import Fault, Response
from shared.errors import JobNotFound, RelayError, ResponseTooLarge, Throttled
from shared.mps.client import MpsClient
from shared.publishing.publisher import Deferred
from shared.publishing.turns import Admits

DOCUMENTED = Path("local/recorded/documented.json").read_bytes()


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b"hello",
        message()[:40],
        message().decode().encode("utf-16"),
        '{"Type":"smarttag","JobId":"作业","State":"Success"}'.encode("gbk"),
        b'{"Type":"smarttag","State":"Success"}',
        b'{"Type":"smarttag","JobId":"../../etc/passwd","State":"Success"}',
        b"\x00\xff\xfe",
        b"[]",
    ],
)
def test_poison_is_kept_as_it_came_and_acknowledged(relay: System, event: bytes) -> None:
    (outcome,) = relay.once(event)
    assert outcome["outcome"] == "poison"
    assert outcome["detail"]
    kept = relay.files("dead/notifications")
    assert event in kept.values()
    assert relay.mps.requests == []


def test_the_same_poison_twice_is_kept_once(relay: System) -> None:
    relay.once(b"hello")
    before = relay.files("dead")
    relay.once(b"hello")
    assert relay.files("dead") == before


@pytest.mark.parametrize(
    "event",
    [
        b'{"Type":"Transcode","JobId":"0ceb045cd8df4db49f1c5bd4ace50000","State":"Success"}',
        b'{"RunId":"8f8a","Name":"Act-4","Type":"Report","State":"Success","MediaWorkflowExecution":{}}',
    ],
)
def test_foreign_messages_are_skipped(relay: System, event: bytes) -> None:
    (outcome,) = relay.once(event)
    assert outcome["outcome"] == "skipped"
    assert relay.files() == {}


def test_messages_of_one_event_are_isolated_from_each_other(relay: System) -> None:
    bodies = [b"poison", message("unready"), message(), b'{"Type":"Snapshot","JobId":"x"}']
    relay.mps.set_answers("unready", [b'{"JobStatus":"Processing","RequestId":"r","Results":{"Result":[]}}'])
    event = orjson.dumps(
        [{"specversion": "1.0", "data": {"messageBody": base64.b64encode(body).decode()}} for body in bodies]
    )
    reports = relay.once(event)
    assert [report["outcome"] for report in reports] == ["poison", "deferred", "published", "skipped"]
    assert "unready" in reports[1]["detail"]
    assert len(relay.files("outbox")) == 1
    assert (relay.folder / "jobs" / JOB / "manifest.json").exists()


def publish(relay: System, job_id: str) -> dict[str, Any]:
    return relay.node.publisher.publish(job_id, redeliver=False, request_id="test")


WRONG_ANSWERS = {
    "xml": b'<?xml version="1.0"?><QuerySmarttagJobResponse><JobStatus>Success</JobStatus></QuerySmarttagJobResponse>',
    "html": b"<html><body>502 Bad Gateway</body></html>",
    "empty": b"",
    "cut": DOCUMENTED[:1000],
    "no response at all": b'{"hello":"world"}',
}


@pytest.mark.parametrize("name", WRONG_ANSWERS)
def test_an_answer_that_is_no_response_is_retried_and_nothing_of_it_is_stored(relay: System, name: str) -> None:
    relay.mps.set_answers(JOB, [WRONG_ANSWERS[name]])
    (report,) = relay.once(message())
    assert (report["jobId"], report["outcome"], "MPS" in report["detail"]) == (JOB, "deferred", True)
    assert relay.artifacts() == {}
    assert len(relay.files("outbox")) == 1
    relay.mps.set_answers(JOB, [DOCUMENTED])
    relay.sweep()
    assert relay.artifacts()[f"{JOB}/response.json"] == DOCUMENTED
    assert relay.files("outbox") == {}


def test_an_error_inside_http_200_is_judged_by_its_code(relay: System) -> None:
    relay.mps.set_answers(JOB, [b'{"Code":"InvalidParameter.ResourceNotFound","Message":"x","RequestId":"r"}'])
    with pytest.raises(JobNotFound):
        publish(relay, JOB)
    relay.mps.set_answers(JOB, [b'{"Code":"Throttling.User","Message":"x","RequestId":"r"}'])
    with pytest.raises(Throttled):
        publish(relay, JOB)


def test_a_job_that_mps_does_not_know_is_final_at_once_for_whoever_asked_and_leaves_nothing(relay: System) -> None:
    with pytest.raises(JobNotFound, match="unknown-job"):
        publish(relay, "unknown-job")
    assert relay.files("outbox") == {}
    assert relay.files("dead") == {}


def test_a_job_that_mps_does_not_know_although_it_has_just_named_it_is_retried(relay: System) -> None:
    """The service itself may be behind its own notification."""
    (report,) = relay.once(message("unknown-job"))
    assert report["outcome"] == "deferred"
    assert "unknown-job" in report["detail"]
    relay.mps.set_answers("unknown-job", [DOCUMENTED])
    relay.sweep()
    assert (relay.folder / "jobs" / "unknown-job" / "manifest.json").exists()


def test_a_job_that_mps_never_gets_to_know_is_dead_and_named(relay: System) -> None:
    relay.once(message("unknown-job"))
    for _ in range(12):
        relay.now += 24 * 3600
        relay.sweep(1)
    assert any("unknown-job" in name for name in relay.files("dead/jobs"))
    assert relay.files("outbox") == {}


def test_a_response_over_the_limit_is_dead_and_names_the_setting(relay: System) -> None:
    small = MpsClient(relay.mps.url, "cn-shanghai", lambda: ROLE, 1000)
    relay.node.source = small
    with pytest.raises(ResponseTooLarge, match=rf"{JOB}.*MAX_RESULT_BYTES"):
        publish(relay, JOB)
    assert any(JOB in name for name in relay.files("dead/jobs"))


def test_a_service_that_stays_down_defers_and_the_sweep_publishes_later(relay: System) -> None:
    relay.mps.fail(Fault("answer", times=100, response=Response(503)))
    assert relay.outcome(message()) == "deferred"
    relay.mps._faults.clear()  # the outage ends
    relay.sweep()
    assert (relay.folder / "jobs" / JOB / "manifest.json").exists()
    assert len(relay.receiver.counts) == 1


def test_an_output_that_cannot_be_written_defers_and_says_so(relay: System) -> None:
    refusal = Response(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
    relay.oss.fail(Fault("answer", times=100, match=lambda request: request.method == "PUT", response=refusal))
    with pytest.raises(Deferred) as caught:
        relay.once(message())
    assert "OUTPUT_URL" in caught.value.reports[0]["detail"]
    assert relay.files("jobs") == {}


def test_a_notification_that_runs_ahead_is_retried_until_the_job_is_done(relay: System) -> None:
    relay.mps.set_answers(JOB, [b'{"JobStatus":"Processing","RequestId":"r","Results":{"Result":[]}}', DOCUMENTED])
    assert relay.outcome(message()) == "deferred"
    assert relay.outcome(message()) == "deferred", "absorbed by the open publication"
    relay.sweep()
    assert relay.outcome(message()) == "duplicate"
    assert (relay.folder / "jobs" / JOB / "manifest.json").exists()


def test_a_progress_message_is_told_and_a_repeated_one_is_not(relay: System) -> None:
    relay.mps.set_answers(JOB, [b'{"JobStatus":"Processing","RequestId":"r","Results":{"Result":[]}}'])
    assert relay.outcome(message(state="Processing")) == "progress"
    assert relay.outcome(message(state="Processing")) == "progress"
    types = [orjson.loads(delivery.body)["type"] for delivery in relay.receiver.deliveries]
    assert types == ["smarttag.job.processing"]
    assert relay.artifacts() == {}


def test_a_redelivery_of_progress_sends_again(relay: System) -> None:
    relay.mps.set_answers(JOB, [b'{"JobStatus":"Processing","RequestId":"r","Results":{"Result":[]}}'])
    relay.outcome(message(state="Processing"))
    command = orjson.dumps({"command": "publish", "jobId": JOB, "redeliver": True, "requestId": "again-1"})
    assert [relay.outcome(command) for _ in range(2)] == ["progress", "progress"]
    first, second = relay.receiver.deliveries
    assert (first.id, first.body) == (second.id, second.body)


def test_a_notification_after_a_redelivery_that_was_the_first_to_tell_is_a_duplicate(relay: System) -> None:
    command = orjson.dumps({"command": "publish", "jobId": JOB, "redeliver": True, "requestId": "again-1"})
    assert [relay.outcome(command), relay.outcome(message()), relay.outcome(command)] == [
        "published",
        "duplicate",
        "duplicate",
    ]
    assert len(relay.receiver.deliveries) == 1


def test_a_duplicate_asks_nobody_and_tells_nobody(relay: System) -> None:
    assert relay.outcome(message()) == "published"
    queries, calls = len(relay.mps.requests), len(relay.oss.requests)
    assert relay.outcome(message()) == "duplicate"
    assert len(relay.mps.requests) == queries
    assert len(relay.oss.requests) - calls <= 3, "a claim that is refused and read, and the receipt"
    assert len(relay.receiver.deliveries) == 1


def test_the_first_final_response_stored_wins(relay: System) -> None:
    relay.outcome(message())
    before = relay.artifacts()
    relay.mps.set_answers(JOB, [DOCUMENTED.replace(b"12DD436D", b"99999999")])
    assert publish(relay, JOB)["outcome"] == "duplicate"
    assert relay.artifacts() == before


def test_a_redelivery_sends_again_with_the_same_id_and_body(relay: System) -> None:
    relay.outcome(message())
    command = orjson.dumps({"command": "publish", "jobId": JOB, "redeliver": True, "requestId": "again-1"})
    assert relay.outcome(command) == "published"
    assert relay.outcome(command) == "duplicate"
    first, second = relay.receiver.deliveries
    assert (first.id, first.body) == (second.id, second.body)


def test_a_surprise_in_one_job_costs_the_others_nothing(relay: System) -> None:
    class Surprising(MpsClient):
        def query(self, job_id: str, deadline: float, admits: Admits) -> bytes:
            if job_id == "odd":
                raise KeyError("nobody thought of this")
            return super().query(job_id, deadline, admits)

    source = Surprising(relay.mps.url, "cn-shanghai", lambda: ROLE, 2**27)
    relay.node.source = source
    reports = relay.once(b"[" + message("odd") + b"," + message() + b"]")
    assert [report["outcome"] for report in reports] == ["deferred", "published"]
    assert any("odd" in name for name in relay.files("outbox"))


@pytest.mark.parametrize(
    "fault",
    [Fault("reset"), Fault("stall", seconds=2.5), Fault("answer", response=Response(403, b'{"Code":"Forbidden"}'))],
    ids=lambda fault: fault.kind,
)
def test_no_error_of_any_kind_shows_a_credential(relay: System, fault: Fault) -> None:
    fault.times = 100
    relay.mps.fail(fault)
    with pytest.raises(RelayError) as caught:
        publish(relay, JOB)
    error = caught.value
    shown = f"{error} {error.fields} {error.__cause__!r} {error.__context__!r}"
    assert JOB in shown
    for secret in (ROLE.access_key_secret, ROLE.security_token, ROLE.access_key_id, "Signature="):
        assert secret not in shown
