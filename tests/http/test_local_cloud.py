"""The API over the real publishing, against the local cloud: what MPS does decides the status; pushes publish."""

from __future__ import annotations

import json
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from functions.http_api import build
from local.cloud.accounts import ROLE
from local.cloud.mns import Message, certificate, sign_push
from local.cloud.mps import MpsStandIn
from local.cloud.receiver import Receiver
from local.cloud.server import Fault, Response
from shared.errors import BadSettings
from shared.http.app import App
from shared.http.pages import COOKIE
from shared.http.push import PushVerifier
from shared.http.routes import Dependencies
from shared.http.tokens import TokenAuth
from shared.jobs import ARTIFACTS
from shared.mps.client import MpsClient
from shared.relay import Relay
from shared.retrying import Pace
from shared.settings import Settings
from tests.http.fakes import DONE, LINKS, PUSH, SESSIONS, TOKENS, WRITE

AUTH = {"Authorization": f"Bearer {WRITE}"}
SWEEP = b'{"triggerName":"sweep","triggerTime":"2026-01-01T00:00:00Z","payload":""}'
MANY = 1000 if os.environ.get("SOAK") else 100
SECRET = "whsec_c2VjcmV0IG9mIHRoZSByZWNlaXZlciBpbiB0ZXN0cw=="


def response_of(status: str = "Success") -> bytes:
    speech = json.dumps({"details": [{"from": 1.0, "to": 2.5, "content": "大家好"}]})
    results = [{"Type": "ASR", "Data": speech}] if status == "Success" else []
    return json.dumps({"JobStatus": status, "RequestId": "1", "UserData": "", "Results": {"Result": results}}).encode()


@pytest.fixture
def mps() -> Iterator[MpsStandIn]:
    with MpsStandIn({DONE: response_of(), "1" * 32: response_of("Processing"), "2" * 32: response_of("Fail")}) as cloud:
        yield cloud


@pytest.fixture
def env(mps: MpsStandIn, tmp_path: Path) -> dict[str, str]:
    return {
        "MPS_ENDPOINT": mps.url,
        "OUTPUT_URL": f"file://{tmp_path}/out",
        "API_TOKENS": ",".join(f"{token.name}:{token.scope}:{token.sha256}" for token in TOKENS),
        "ALIBABA_CLOUD_ACCESS_KEY_ID": ROLE.access_key_id,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": ROLE.access_key_secret,
        "ALIBABA_CLOUD_SECURITY_TOKEN": ROLE.security_token,
    }


def test_a_job_from_the_first_question_to_its_artifacts(env: dict[str, str]) -> None:
    client = Client(build(env))
    live = client.get(f"/jobs/{DONE}", headers=AUTH)
    assert (live.status_code, live.json["transcript"]["segments"]) == (200, 1)
    assert kind(client.get(f"/jobs/{DONE}/manifest.json", headers=AUTH)) == "not-published"
    assert client.get(f"/jobs/{DONE}/deliveries", headers=AUTH).json == {"jobId": DONE, "deliveries": []}
    published = client.post(f"/jobs/{DONE}/publish", headers=AUTH)
    assert (published.status_code, published.json["outcome"]) == (200, "published")
    for name in published.json["artifacts"]:
        answer = client.get(f"/jobs/{DONE}/{name}", headers=AUTH)
        assert (answer.status_code, bool(answer.data)) == (200, True)
    assert client.get(f"/jobs/{DONE}", headers=AUTH | {"If-None-Match": live.headers["ETag"]}).status_code == 304
    assert client.get(f"/jobs/{DONE}/response.json", headers=AUTH).data == response_of()
    assert client.post(f"/jobs/{DONE}/publish", headers=AUTH).json["outcome"] == "duplicate"
    assert client.get(f"/jobs/{'1' * 32}", headers=AUTH).status_code == 202
    assert client.get(f"/jobs/{'2' * 32}", headers=AUTH).json["status"] == "Fail"
    assert kind(client.post(f"/jobs/{DONE}/deliveries/cms/redeliver", headers=AUTH)) == "no-such-delivery"


def test_an_erased_job_is_on_no_page(env: dict[str, str]) -> None:
    kept = "2" * 32
    client = Client(app(Hurried(Settings.from_env(env)), links=LINKS, sessions=SESSIONS))
    for job in (DONE, kept):
        assert client.post(f"/jobs/{job}/publish", headers=AUTH).json["outcome"] == "published"
    client.set_cookie(COOKIE, SESSIONS.make(TOKENS[1]), domain="localhost", secure=True)
    linked = f"/s/{LINKS.make(DONE).url.split('/')[-2]}/report.html"
    listed = ["/jobs", f"/jobs?text={DONE}", "/library", f"/library?text={DONE[:8]}"]
    own = [f"/jobs/{DONE}/{name}" for name in (*ARTIFACTS, "deliveries")]
    own += [f"/library/jobs/{DONE}", f"/library/jobs/{DONE}/report.html", linked]
    said = {path: client.get(path, headers=AUTH) for path in (*listed, *own)}
    assert DONE in said["/jobs"].text
    assert f"/library/jobs/{DONE}" in said["/library"].text
    assert said[linked].status_code == said[f"/library/jobs/{DONE}"].status_code == 200

    erased = client.delete(f"/jobs/{DONE}", headers=AUTH).json
    assert erased["outcome"] == "erased"
    assert [row["jobId"] for row in client.get("/jobs", headers=AUTH).json["jobs"]] == [kept]
    for path in (*listed, "/library/operations"):
        answer = client.get(path, headers=AUTH)
        assert answer.status_code == 200
        assert DONE not in answer.text.replace(f"text={DONE}", ""), path
    assert kept in client.get("/library").text
    assert erased["auditId"] in client.get("/library/operations").text, "a further pass waits"
    for path in own:
        answer = client.get(path, headers=AUTH)
        assert answer.status_code == 410, path
        assert "大家好" not in answer.text
    assert kind(client.get(f"/jobs/{DONE}", headers=AUTH)) == "job-erased", "though MPS has it still"
    assert kind(client.post(f"/jobs/{DONE}/links", json={"expiresIn": 60}, headers=AUTH)) == "job-erased"


def test_an_erasure_whose_answer_was_lost_is_asked_for_again(env: dict[str, str]) -> None:
    client = Client(app(Hurried(Settings.from_env(env))))
    client.post(f"/jobs/{DONE}/publish", headers=AUTH)
    first, again = (client.delete(f"/jobs/{DONE}", headers=AUTH | {"Idempotency-Key": "1"}) for _ in range(2))
    assert (first.status_code, first.json["outcome"]) == (200, "erased")
    assert (again.status_code, again.json) == (200, first.json)
    assert client.delete(f"/jobs/{DONE}", headers=AUTH).json["auditId"] != first.json["auditId"]


HTML = Response(200, b"<html>maintenance</html>", {"Content-Type": "text/html"})
XML = Response(200, b"<?xml version='1.0'?><QuerySmarttagJobResponse/>", {"Content-Type": "text/xml"})
IN_A_200 = Response(
    200, b'{"Code":"Forbidden.RAM","Message":"no","RequestId":"1"}', {"Content-Type": "application/json"}
)
MPS_FAULTS: list[tuple[str, Callable[[MpsStandIn], None], int, str]] = [
    ("throttles the user", lambda mps: mps.throttle(20), 429, "throttled"),
    ("throttles the API", lambda mps: mps.refuse(400, "Throttling.Api", "slow down", 20), 429, "throttled"),
    ("breaks down", lambda mps: mps.break_down(20), 503, "unavailable"),
    ("is unavailable", lambda mps: mps.refuse(503, "ServiceUnavailable", "later", 20), 503, "unavailable"),
    ("resets", lambda mps: mps.reset(20), 503, "unavailable"),
    ("stalls", lambda mps: mps.stall(5, 20), 504, "timed-out"),
    (
        "does not know the key",
        lambda mps: mps.refuse(404, "InvalidAccessKeyId.NotFound", "x", 20),
        502,
        "access-refused",
    ),
    ("refuses the role", lambda mps: mps.refuse(403, "Forbidden.RAM", "x", 20), 502, "access-refused"),
    ("refuses inside a 200", lambda mps: mps.say(IN_A_200, 20), 502, "access-refused"),
    (
        "does not know the job",
        lambda mps: mps.refuse(404, "InvalidParameter.ResourceNotFound", "x"),
        404,
        "job-not-found",
    ),
    ("answers HTML", lambda mps: mps.say(HTML, 20), 502, "bad-response"),
    ("answers XML", lambda mps: mps.say(XML, 20), 502, "bad-response"),
]


class Hurried(Relay):
    """Gives MPS two seconds instead of forty."""

    query_seconds = 2.0

    @cached_property
    def source(self) -> MpsClient:
        chosen, pace = self.settings, Pace(rng=lambda: 0.2)
        return MpsClient(chosen.mps_endpoint, chosen.mps_region, lambda: ROLE, chosen.max_result_bytes, pace=pace)


@pytest.mark.parametrize(("case", "fault", "status", "slug"), MPS_FAULTS, ids=[case[0] for case in MPS_FAULTS])
def test_what_mps_does_decides_the_status(
    env: dict[str, str], mps: MpsStandIn, case: str, fault: Callable[[MpsStandIn], None], status: int, slug: str
) -> None:
    fault(mps)
    client = Client(app(Hurried(Settings.from_env(env))))
    answer = client.get(f"/jobs/{DONE}", headers=AUTH)
    assert (answer.status_code, kind(answer)) == (status, slug), case
    assert ("Retry-After" in answer.headers) is (status in {429, 503, 504})
    for secret in (ROLE.access_key_id, ROLE.access_key_secret, ROLE.security_token, "127.0.0.1", "Signature"):
        assert secret.encode() not in answer.data
    assert client.get(f"/jobs/{DONE}/response.json", headers=AUTH).status_code == 404, "nothing was stored"


def test_a_result_over_the_limit(env: dict[str, str]) -> None:
    client = Client(build(env | {"MAX_RESULT_BYTES": "20"}))
    answer = client.get(f"/jobs/{DONE}", headers=AUTH)
    assert (answer.status_code, kind(answer)) == (502, "result-too-large")


@pytest.mark.parametrize("form", ["XML", "JSON", "SIMPLIFIED"])
@pytest.mark.parametrize("hex_md5", [True, False])
def test_a_genuine_push_publishes(env: dict[str, str], form: str, *, hex_md5: bool) -> None:
    client = Client(app(Hurried(Settings.from_env(env)), push=PushVerifier(certificate)))
    target = f"/notifications/{PUSH}"
    message = Message(json.dumps({"Type": "smarttag", "JobId": DONE, "State": "Success", "UserData": "订单"}).encode())
    headers, body = sign_push(message, target, form=form, hex_md5=hex_md5)
    for forged in (headers | {"Authorization": headers["Authorization"][::-1]}, headers | {"x-mns-topic-name": "x"}):
        assert kind(client.post(target, data=body, headers=forged)) == "signature-refused"
    assert client.get(f"/jobs/{DONE}/manifest.json", headers=AUTH).status_code == 404
    answer = client.post(target, data=body, headers=headers)
    assert (answer.status_code, [found["outcome"] for found in answer.json["results"]]) == (200, ["published"])
    assert client.get(f"/jobs/{DONE}/manifest.json", headers=AUTH).status_code == 200
    assert client.post(target, data=body, headers=headers).json["results"][0]["outcome"] == "duplicate"


def test_what_is_no_notification_is_kept_and_acknowledged(env: dict[str, str], tmp_path: Path) -> None:
    client = Client(build(env))
    for body in (b"", b"hello", b"<a", b'{"Type":"Transcode","JobId":"1"}'):
        answer = client.post(f"/notifications/{PUSH}", data=body)
        assert answer.status_code == 200
    kept = [path.read_bytes() for path in (tmp_path / "out" / "dead").rglob("*") if path.is_file()]
    assert any(b"hello" in found or b"aGVsbG8" in found for found in kept)


def test_a_push_ahead_of_mps_is_left_to_the_sweeps(env: dict[str, str]) -> None:
    message = json.dumps({"Type": "smarttag", "JobId": "1" * 32, "State": "Success"})
    answer = Client(build(env)).post(f"/notifications/{PUSH}", data=message)
    assert (answer.status_code, answer.json) == (200, {"results": [{"jobId": "1" * 32, "outcome": "deferred"}]})


def test_a_push_is_told_what_stands_in_its_way_but_not_our_bucket(env: dict[str, str], mps: MpsStandIn) -> None:
    client = Client(app(Hurried(Settings.from_env(env))))
    message = json.dumps({"Type": "smarttag", "JobId": DONE, "State": "Success"})
    mps.throttle(20)
    answer = client.post(f"/notifications/{PUSH}", data=message)
    assert (answer.status_code, answer.json["results"][0]["outcome"]) == (200, "deferred"), "it is enqueued"
    with MpsStandIn({}) as strange:
        settings = Settings.from_env(env | {"MPS_ENDPOINT": strange.url, "OUTPUT_URL": env["OUTPUT_URL"] + "/b"})
        answer = Client(app(Hurried(settings))).post(f"/notifications/{PUSH}", data=message)
    # MPS may be behind its own notification; why it waits stays in the log, for it may name our bucket
    assert (answer.status_code, answer.json) == (200, {"results": [{"jobId": DONE, "outcome": "deferred"}]})


def test_many_jobs_in_one_request_while_mps_throttles_half_of_its_calls(env: dict[str, str], tmp_path: Path) -> None:
    ids = [f"{index:032x}" for index in range(MANY)]
    dice, throttling = random.Random(5), threading.Event()
    throttling.set()
    throttled = Response(400, b'{"Code":"Throttling.User","Message":"flow control","RequestId":"1"}')
    with MpsStandIn(dict.fromkeys(ids, response_of())) as mps, Receiver(SECRET) as receiver:
        mps.fail(Fault("answer", 10**9, lambda _: throttling.is_set() and dice.random() < 0.5, throttled))
        subscribers = {"id": "cms", "url": f"{receiver.url}/hook", "secrets": [SECRET]}
        (tmp_path / "subscribers.json").write_text(json.dumps({"version": 1, "subscribers": [subscribers]}))
        more = {
            "MPS_ENDPOINT": mps.url,
            "SUBSCRIBERS_URL": f"file://{tmp_path}/subscribers.json",
            "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
        }
        relay = Hurried(Settings.from_env(env | more))
        client = Client(app(relay))
        answer = client.post("/jobs/publish", headers=AUTH, json={"jobIds": ids})
        assert (answer.status_code, answer.json["counts"]) == (202, {"accepted": MANY})
        relay.handle(SWEEP, request_id="1", seconds=300)
        throttling.clear()
        for task in list(relay.outbox.listed()):  # those that were throttled six times in a row wait for a minute
            client.post(f"/jobs/{task.job_id}/publish", headers=AUTH)
        received = Counter(json.loads(delivery.body)["data"]["jobId"] for delivery in receiver.deliveries)
        assert received == Counter(ids)
        assert all(delivery.verified for delivery in receiver.deliveries)
        assert len(mps.requests) > 1.3 * MANY
        client.post("/jobs/publish", headers=AUTH, json={"jobIds": ids[:50]})
        relay.handle(SWEEP, request_id="2", seconds=300)
        assert len(receiver.deliveries) == MANY


def test_a_redelivery_of_many_is_made_once_by_a_sweep(env: dict[str, str], tmp_path: Path) -> None:
    with Receiver(SECRET) as receiver:
        subscribers = {"id": "cms", "url": f"{receiver.url}/hook", "secrets": [SECRET]}
        (tmp_path / "subscribers.json").write_text(json.dumps({"version": 1, "subscribers": [subscribers]}))
        more = {"SUBSCRIBERS_URL": f"file://{tmp_path}/subscribers.json", "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8"}
        relay = Hurried(Settings.from_env(env | more))
        client = Client(app(relay))
        asked = {"headers": AUTH | {"Idempotency-Key": "one"}, "json": {"jobIds": [DONE], "redeliver": True}}
        for _ in range(2):
            assert client.post("/jobs/publish", **asked).json["counts"] == {"accepted": 1}
            relay.handle(SWEEP, request_id="1", seconds=300)
        assert len(receiver.deliveries) == 1
        assert list(relay.outbox.listed()) == []


def test_wrong_settings_are_named_in_the_log_and_not_in_the_answer(env: dict[str, str]) -> None:
    with pytest.raises(BadSettings) as refused:
        build(env | {"OUTPUT_URL": "s3://bucket", "API_TOKENS": "x"})
    assert "OUTPUT_URL" in str(refused.value)
    assert "API_TOKENS" in str(refused.value)


def app(relay: Relay, **parts: Any) -> App:
    return App(Dependencies(lambda _context: relay, TokenAuth(TOKENS, "token"), **parts))


def kind(answer: TestResponse) -> str:
    return str(answer.json["type"].rpartition(":")[2])
