"""Many jobs in one request: all are enqueued, and every one of them is answered."""

from __future__ import annotations

import json

import pytest
from werkzeug.test import Client, TestResponse

from tests.http.fakes import DONE, FINISHED, WRITE, FakeService, make_app


def post(client: Client, body: object) -> TestResponse:
    return client.post("/jobs/publish", json=body, headers={"Authorization": f"Bearer {WRITE}"})


def ids(count: int) -> list[str]:
    return [f"{index:032x}" for index in range(count)]


@pytest.mark.parametrize("redeliver", [False, True])
def test_a_thousand_jobs_are_enqueued_once_each_and_answered_in_order(*, redeliver: bool) -> None:
    service = FakeService()
    answer = post(Client(make_app(service)), {"jobIds": [*ids(999)[:-1], "twice", "twice"], "redeliver": redeliver})
    assert (answer.status_code, answer.json["counts"]) == (202, {"accepted": 999})
    assert [result["jobId"] for result in answer.json["results"]] == [*ids(999)[:-1], "twice"]
    assert sorted(service.enqueued) == [*ids(999)[:-1], "twice"]
    assert service.published.total() == 0


def test_what_cannot_be_enqueued_is_said_to_have_failed_and_costs_the_others_nothing() -> None:
    service = FakeService(unwritable=(FINISHED,))
    answer = post(Client(make_app(service)), {"jobIds": [DONE, FINISHED, "other"]})
    assert (answer.status_code, answer.json["counts"]) == (202, {"accepted": 2, "failed": 1})
    failed = answer.json["results"][1]
    assert (failed["jobId"], failed["outcome"], failed["problem"]["status"]) == (FINISHED, "failed", 503)
    assert failed["problem"]["requestId"] == answer.headers["X-Request-Id"]
    assert b"secret-bucket" not in answer.data
    assert sorted(service.enqueued) == [DONE, "other"]


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"jobIds": []},
        {"jobIds": ids(1001)},
        {"jobIds": DONE},
        {"jobIds": [1]},
        {"jobIds": [None]},
        {"jobIds": [DONE, "a/b"]},
        {"jobIds": [[DONE]]},
        {"jobIds": [DONE], "more": 1},
        {"jobIds": [DONE], "redeliver": "x"},
        {"ids": [DONE]},
    ],
)
def test_malformed_requests_enqueue_nothing(body: object) -> None:
    service = FakeService()
    answer = post(Client(make_app(service)), body)
    assert (answer.status_code, json.loads(answer.data)["type"].rpartition(":")[2]) == (400, "malformed-request")
    assert service.enqueued == []
