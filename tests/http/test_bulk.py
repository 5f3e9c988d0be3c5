"""A thousand jobs in one request, while the service throttles."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from werkzeug.test import Client, TestResponse

from shared.errors import JobNotFound, RelayError, Throttled
from shared.http.bulk import Bulk
from shared.http.limits import Limiter
from shared.http.problems import Busy
from tests.http.fakes import DONE, FINISHED, READ, RUNNING, WRITE, FakeService, make_app


def post(client: Client, body: object) -> TestResponse:
    return client.post("/jobs/publish", json=body, headers={"Authorization": f"Bearer {WRITE}"})


def ids(count: int) -> list[str]:
    return [f"{index:032x}" for index in range(count)]


def test_a_thousand_jobs_are_published_once_each_while_half_of_all_calls_are_throttled() -> None:
    dice = random.Random(20)
    calls: Counter[str] = Counter()

    def flaky(job_id: str) -> RelayError | None:
        calls[job_id] += 1
        return Throttled("slow down") if dice.random() < 0.5 else None

    service = FakeService(statuses=dict.fromkeys(ids(1000), "Success") | {DONE: "Success"}, flaky=flaky)
    client = Client(make_app(service, bulk=Bulk(pause=0.01)))
    answer = post(client, {"jobIds": ids(1000)})
    assert (answer.status_code, answer.json["counts"]) == (200, {"published": 1000})
    assert [result["jobId"] for result in answer.json["results"]] == ids(1000)
    assert service.published == Counter(ids(1000))
    assert 1500 < calls.total() < 2500


def test_every_job_is_answered_for_itself() -> None:
    service = FakeService()
    service.faults["bad"] = [ZeroDivisionError("boom")]
    client = Client(make_app(service))
    answer = post(client, {"jobIds": [DONE, FINISHED, "unknown", RUNNING, "bad", FINISHED]})
    found = {result["jobId"]: result for result in answer.json["results"]}
    assert [result["jobId"] for result in answer.json["results"]] == [DONE, FINISHED, "unknown", RUNNING, "bad"]
    assert answer.json["counts"] == {"duplicate": 1, "failed": 2, "progress": 1, "published": 1}
    assert found["unknown"]["problem"]["type"].endswith(":job-not-found")
    assert found["unknown"]["problem"]["requestId"] == answer.headers["X-Request-Id"]
    assert found["bad"]["problem"]["status"] == 500
    assert b"boom" not in answer.data
    assert service.published == Counter([FINISHED])


@pytest.mark.parametrize("redeliver", [False, True])
def test_what_stays_throttled_is_owed_when_time_is_up(*, redeliver: bool) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    service = FakeService(flaky=lambda job_id: Throttled("no", retry_after=3) if job_id == FINISHED else None)
    client = Client(make_app(service, bulk=Bulk(seconds=20, clock=lambda: now[0], sleep=sleep)))
    answer = post(client, {"jobIds": [FINISHED, DONE, "unknown"], "redeliver": redeliver})
    late, fine, unknown = answer.json["results"]
    assert (answer.status_code, late) == (202, {"jobId": FINISHED, "outcome": "accepted"})
    assert service.owed == [FINISHED]
    assert (fine["outcome"], unknown["outcome"]) == ("published" if redeliver else "duplicate", "failed")
    assert 15 <= now[0] <= 20


def test_what_cannot_even_be_owed_is_said_to_have_failed() -> None:
    service = FakeService(flaky=lambda _job_id: Throttled("no"), unwritable=True)
    answer = post(Client(make_app(service, bulk=Bulk(seconds=0))), {"jobIds": [FINISHED]})
    assert (answer.status_code, answer.json["counts"]) == (200, {"failed": 1})
    assert answer.json["results"][0]["problem"]["status"] == 503


def test_permanent_failures_are_tried_once() -> None:
    tries: list[str] = []

    def one(job_id: str, _left: float) -> dict[str, object]:
        tries.append(job_id)
        raise JobNotFound("unknown")

    found = Bulk().run(["a", "b"], one, lambda _job_id: {})
    assert sorted(tries) == ["a", "b"]
    assert all(isinstance(error, JobNotFound) for error in found.values())


def test_jobs_are_handed_off_one_by_one() -> None:
    service = FakeService(handing_off=True)
    answer = post(Client(make_app(service)), {"jobIds": ids(100), "redeliver": True})
    assert (answer.status_code, answer.json["counts"]) == (202, {"accepted": 100})
    assert sorted(service.handed) == ids(100)


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
def test_malformed_requests_publish_nothing(body: object) -> None:
    service = FakeService()
    answer = post(Client(make_app(service)), body)
    assert (answer.status_code, json.loads(answer.data)["type"].rpartition(":")[2]) == (400, "malformed-request")
    assert service.published.total() == 0


def test_a_second_bulk_request_is_sent_away_and_single_requests_get_through() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def flaky(job_id: str) -> None:
        if job_id.startswith("0000"):
            inside.set()
            assert go_on.wait(10)

    service = FakeService(statuses=dict.fromkeys(ids(50), "Success") | {DONE: "Success"})
    app = make_app(service, limiter=Limiter(slots=24, per_second=10_000))
    held = service.hand_off

    def hand_off(job_id: str, *, redeliver: bool, request_id: str) -> bool:
        flaky(job_id)
        return held(job_id, redeliver=redeliver, request_id=request_id)

    service.hand_off = hand_off  # type: ignore[method-assign] - the fake's own seam: it has no lock held here
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, Client(app), {"jobIds": ids(50)})
        assert inside.wait(10)
        second = post(Client(app), {"jobIds": [DONE]})
        single = Client(app).get(f"/jobs/{DONE}?fresh=true", headers={"Authorization": f"Bearer {READ}"})
        go_on.set()
        assert first.result(30).json["counts"] == {"published": 50}
    assert (second.status_code, second.json["type"].rpartition(":")[2]) == (503, "busy")
    assert int(second.headers["Retry-After"]) > 0
    assert single.status_code == 200
    assert post(Client(app), {"jobIds": [DONE]}).status_code == 200


def test_the_limiter_keeps_to_slots_and_rate() -> None:
    now, slept = [100.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    limiter = Limiter(slots=2, per_second=10, burst=3, clock=lambda: now[0], sleep=sleep)
    for _ in range(14):
        with limiter.slot(5):
            pass
    assert sum(slept) == pytest.approx(1.0)
    assert slept[:4] == [0, 0, 0, 0]


def test_the_limiter_sends_away_what_would_wait_too_long_and_frees_every_slot() -> None:
    limiter = Limiter(slots=1, per_second=0.5, burst=0)
    with limiter.slot(0):
        began = time.monotonic()
        with pytest.raises(Busy), limiter.slot(0.05):
            pass
        assert 0.04 < time.monotonic() - began < 5
    with pytest.raises(Busy) as refused, limiter.slot(0.05):
        pass
    assert 1 < (refused.value.retry_after or 0) <= 2
    with pytest.raises(ZeroDivisionError), limiter.slot(5):
        raise ZeroDivisionError
    with limiter.slot(5):
        pass
