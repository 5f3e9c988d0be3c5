"""What every route answers, to whom, in which form."""

from __future__ import annotations

import gzip
import hashlib
import io
import json

import pytest
from werkzeug.test import Client, TestResponse

from shared import errors, logs
from shared.http.problems import BY_ERROR
from shared.http.routes import ROUTES
from shared.jobs import ARTIFACTS
from tests.http.fakes import DONE, FINISHED, PUSH, READ, RUNNING, WRITE, FakeService, make_app

UNKNOWN = "f" * 32


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def client(service: FakeService) -> Client:
    return Client(make_app(service))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def problem(answer: TestResponse) -> str:
    assert answer.content_type == "application/problem+json"
    found = json.loads(answer.data)
    assert found["status"] == answer.status_code
    assert found["requestId"] == answer.headers["X-Request-Id"]
    assert found["detail"]
    return str(found["type"].rpartition(":")[2])


def test_a_stored_summary_is_answered_with_its_tag_and_confirmed_by_it(client: Client, service: FakeService) -> None:
    body = service.stored(DONE, "summary.json")
    answer = client.get(f"/jobs/{DONE}", headers=bearer(READ))
    assert (answer.status_code, answer.data, answer.content_type) == (200, body, "application/json")
    assert answer.headers["ETag"] == f'"{hashlib.sha256(body).hexdigest()}"'
    assert answer.headers["Cache-Control"] == "private, no-cache"
    for tag in (answer.headers["ETag"], "*", f'"other", {answer.headers["ETag"]}'):
        again = client.get(f"/jobs/{DONE}", headers=bearer(READ) | {"If-None-Match": tag})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == answer.headers["ETag"]
    assert client.get(f"/jobs/{DONE}", headers=bearer(READ) | {"If-None-Match": '"other"'}).status_code == 200


def test_a_job_that_is_not_stored_is_asked_for(client: Client) -> None:
    answer = client.get(f"/jobs/{FINISHED}", headers=bearer(READ))
    assert (answer.status_code, answer.json["status"]) == (200, "Success")
    assert "ETag" in answer.headers


def test_a_running_job_is_answered_202_and_when_to_ask_again(client: Client) -> None:
    answer = client.get(f"/jobs/{RUNNING}", headers=bearer(READ))
    assert (answer.status_code, answer.json["status"]) == (202, "Processing")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Cache-Control"] == "no-store"


def test_fresh_asks_even_where_a_summary_is_stored(client: Client, service: FakeService) -> None:
    service.statuses[DONE] = "Processing"
    assert client.get(f"/jobs/{DONE}?fresh=false", headers=bearer(READ)).status_code == 200
    assert client.get(f"/jobs/{DONE}?fresh=true", headers=bearer(READ)).status_code == 202
    for query in ("fresh=1", "fresh=", "fresh=true&fresh=true"):
        assert problem(client.get(f"/jobs/{DONE}?{query}", headers=bearer(READ))) == "malformed-request"


@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_artifact_comes_with_its_type_name_and_bytes(client: Client, service: FakeService, name: str) -> None:
    answer = client.get(f"/jobs/{DONE}/{name}", headers=bearer(READ))
    policy = ARTIFACTS[name]
    assert (answer.status_code, answer.data) == (200, service.stored(DONE, name))
    assert answer.content_type == policy.content_type
    kind = "inline" if policy.inline else "attachment"
    assert answer.headers["Content-Disposition"] == f'{kind}; filename="{DONE}-{name}"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    head = client.head(f"/jobs/{DONE}/{name}", headers=bearer(READ))
    assert head.data == b""
    shown = {key: value for key, value in answer.headers if key not in {"X-Request-Id", "Date"}}
    assert {key: value for key, value in head.headers if key not in {"X-Request-Id", "Date"}} == shown


def test_the_report_is_locked_up(client: Client) -> None:
    headers = client.get(f"/jobs/{DONE}/report.html", headers=bearer(READ)).headers
    policy = headers["Content-Security-Policy"]
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "sandbox"):
        assert rule in policy
    assert "allow-same-origin" not in policy
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_artifacts_that_are_not_there(client: Client) -> None:
    assert problem(client.get(f"/jobs/{FINISHED}/report.html", headers=bearer(READ))) == "not-published"
    answer = client.get(f"/jobs/{DONE}/report.pdf", headers=bearer(READ))
    assert problem(answer) == "no-such-route"
    assert "report.html" in answer.json["detail"]


@pytest.mark.parametrize(
    ("wish", "packed"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("GZIP;q=0.5", True),
        ("*", True),
        ("identity;q=0, gzip;q=0.1", True),
        ("gzip;q=0", False),
        ("br", False),
        ("", False),
        ("*;q=0.8, gzip;q=0", False),
        ("gzip;q=0.2, identity;q=0.9", False),
    ],
)
def test_gzip_where_it_is_asked_for(client: Client, service: FakeService, wish: str, *, packed: bool) -> None:
    answer = client.get(f"/jobs/{DONE}/transcript.txt", headers=bearer(READ) | {"Accept-Encoding": wish})
    body = service.stored(DONE, "transcript.txt")
    assert answer.headers.get("Content-Encoding") == ("gzip" if packed else None)
    assert (gzip.decompress(answer.data) if packed else answer.data) == body
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.headers["ETag"].endswith('-gzip"') is packed
    again = client.get(
        f"/jobs/{DONE}/transcript.txt",
        headers=bearer(READ) | {"Accept-Encoding": wish, "If-None-Match": answer.headers["ETag"]},
    )
    assert again.status_code == 304


def test_small_answers_are_not_compressed(client: Client) -> None:
    assert "Content-Encoding" not in client.get("/healthz", headers={"Accept-Encoding": "gzip"}).headers


def test_ranges(client: Client, service: FakeService) -> None:
    body = service.stored(DONE, "response.json")
    headers = bearer(READ) | {"Accept-Encoding": "gzip"}
    answer = client.get(f"/jobs/{DONE}/response.json", headers=headers | {"Range": "bytes=10-19"})
    assert (answer.status_code, answer.data) == (206, body[10:20])
    assert answer.headers["Content-Range"] == f"bytes 10-19/{len(body)}"
    beyond = client.get(f"/jobs/{DONE}/response.json", headers=headers | {"Range": f"bytes={len(body)}-"})
    assert (problem(beyond), beyond.status_code) == ("range", 416)
    assert beyond.headers["Content-Range"] == f"bytes */{len(body)}"
    unknown = client.get(f"/jobs/{DONE}/response.json", headers=bearer(READ) | {"Range": "pages=1"})
    assert (unknown.status_code, unknown.data, unknown.headers["Accept-Ranges"]) == (200, body, "bytes")
    head = client.head(f"/jobs/{DONE}/response.json", headers=bearer(READ) | {"Range": "bytes=0-3"})
    assert (head.status_code, head.content_length) == (200, len(body))


def test_a_precondition_that_does_not_hold_sends_a_problem_and_not_the_artifact(client: Client) -> None:
    answer = client.get(f"/jobs/{DONE}/manifest.json", headers=bearer(READ) | {"If-Match": '"old"'})
    assert (problem(answer), answer.status_code) == ("precondition-failed", 412)
    current = client.get(f"/jobs/{DONE}/manifest.json", headers=bearer(READ)).headers["ETag"]
    assert client.get(f"/jobs/{DONE}/manifest.json", headers=bearer(READ) | {"If-Match": current}).status_code == 200


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("text/vtt", 200),
        ("text/*;q=0.1", 200),
        ("*/*", 200),
        ("application/json, */*;q=0.1", 200),
        ("application/json", 406),
        ("text/vtt;q=0", 406),
        ("text/html", 406),
    ],
)
def test_accept(client: Client, accept: str, status: int) -> None:
    answer = client.get(f"/jobs/{DONE}/subtitles.vtt", headers=bearer(READ) | {"Accept": accept})
    assert answer.status_code == status
    if status == 406:
        assert problem(answer) == "not-acceptable"
        assert "text/vtt" in answer.json["detail"]


def test_what_accepts_nothing_offered_has_done_nothing(client: Client, service: FakeService) -> None:
    picky = {"Accept": "text/html"}
    for path in (f"/jobs/{FINISHED}/publish", "/jobs/publish", f"/jobs/{DONE}/deliveries/cms/redeliver"):
        answer = client.post(
            path, headers=bearer(WRITE) | picky, json={"jobIds": [FINISHED]} if "cms" not in path else {}
        )
        assert problem(answer) == "not-acceptable"
    assert service.published.total() == 0
    assert problem(client.delete(f"/jobs/{DONE}", headers=bearer(WRITE) | picky)) == "not-acceptable"
    assert not service.erased
    assert client.post(f"/notifications/{PUSH}", data=b"{}", headers=picky).status_code == 200, (
        "pushers do not negotiate"
    )


def test_publish(client: Client, service: FakeService) -> None:
    answer = client.post(f"/jobs/{FINISHED}/publish", headers=bearer(WRITE))
    assert (answer.status_code, answer.json["outcome"]) == (200, "published")
    assert answer.json["told"] == [{"subscriber": "cms", "state": "delivered"}]
    assert client.post(f"/jobs/{FINISHED}/publish", headers=bearer(WRITE)).json["outcome"] == "duplicate"
    again = client.post(f"/jobs/{FINISHED}/publish", headers=bearer(WRITE), json={"redeliver": True})
    assert again.json["outcome"] == "published"
    assert service.published[FINISHED] == 2


def test_a_redelivery_is_named_by_its_key_or_else_by_its_request(client: Client, service: FakeService) -> None:
    empty = {"X-Request-Id": "1", "Idempotency-Key": ""}
    for headers in (
        {"X-Request-Id": "0"},
        {"X-Request-Id": "0", "Idempotency-Key": "k"},
        {"Idempotency-Key": "k"},
        empty,
    ):
        client.post(f"/jobs/{FINISHED}/publish", headers=bearer(WRITE) | headers, json={"redeliver": True})
    assert service.redelivery_ids == ["writer/0", "writer/k", "writer/k", "writer/1"]


def test_a_refresh_is_passed_on(client: Client, service: FakeService) -> None:
    client.post(f"/jobs/{FINISHED}/publish", headers=bearer(WRITE), json={"refresh": True})
    client.post(f"/jobs/{FINISHED}/publish", headers=bearer(WRITE), json={"refresh": False})
    assert service.refreshed == [FINISHED]


def test_a_job_is_erased_and_only_a_restoring_publication_brings_it_back(client: Client) -> None:
    assert client.delete(f"/jobs/{DONE}", headers=bearer(READ)).status_code == 403
    answer = client.delete(f"/jobs/{DONE}", headers=bearer(WRITE))
    assert (answer.status_code, answer.json["outcome"]) == (200, "erased")
    assert answer.json["auditId"]
    for gone in (
        client.get(f"/jobs/{DONE}", headers=bearer(READ)),
        client.post(f"/jobs/{DONE}/publish", headers=bearer(WRITE)),
    ):
        assert (gone.status_code, problem(gone)) == (410, "job-erased")
    back = client.post(f"/jobs/{DONE}/publish", json={"restore": True}, headers=bearer(WRITE))
    assert (back.status_code, back.json["outcome"]) == (200, "published")


def test_a_job_of_which_nothing_was_ever_there_is_not_erased(client: Client) -> None:
    assert client.delete(f"/jobs/{UNKNOWN}", headers=bearer(WRITE)).status_code == 404


def test_publish_is_handed_off_where_the_settings_say_so(client: Client, service: FakeService) -> None:
    service.handing_off = True
    answer = client.post(f"/jobs/{FINISHED}/publish", headers=bearer(WRITE))
    assert (answer.status_code, answer.json) == (202, {"jobId": FINISHED, "outcome": "accepted"})
    assert answer.headers["Location"] == f"/jobs/{FINISHED}"
    assert int(answer.headers["Retry-After"]) > 0
    assert (service.handed, service.published.total()) == ([FINISHED], 0)


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"{", "application/json", "malformed-request"),
        (b"[]", "application/json", "malformed-request"),
        (b'{"redelivr":true}', "application/json", "malformed-request"),
        (b'{"redeliver":"yes"}', "application/json", "malformed-request"),
        (b'{"redeliver":null}', "application/json", "malformed-request"),
        (b'{"redeliver":\xff}', "application/json", "malformed-request"),
        (b"[" * 100_000, "application/json", "malformed-request"),
        (b'{"redeliver":true}', "text/plain", "unsupported-media-type"),
        (b" " * 131_073, "application/json", "body-too-large"),
    ],
)
def test_publish_refuses_other_bodies(
    client: Client, service: FakeService, body: bytes, content_type: str, expected: str
) -> None:
    answer = client.post(f"/jobs/{FINISHED}/publish", headers=bearer(WRITE), data=body, content_type=content_type)
    assert problem(answer) == expected
    assert service.published.total() == 0


def test_a_body_cut_short_is_no_body(client: Client, service: FakeService) -> None:
    answer = client.post(f"/notifications/{PUSH}", data=b"{", environ_overrides={"CONTENT_LENGTH": "200"})
    assert problem(answer) == "malformed-request"
    assert service.accepted == []


def test_deliveries_and_redelivery(client: Client) -> None:
    found = client.get(f"/jobs/{DONE}/deliveries", headers=bearer(READ)).json
    assert (found["jobId"], found["deliveries"][0]["subscriber"]) == (DONE, "cms")
    assert client.get(f"/jobs/{FINISHED}/deliveries", headers=bearer(READ)).json["deliveries"] == []
    again = client.post(f"/jobs/{DONE}/deliveries/cms/redeliver", headers=bearer(WRITE))
    assert (again.status_code, again.json["state"]) == (200, "delivered")
    assert problem(client.post(f"/jobs/{DONE}/deliveries/none/redeliver", headers=bearer(WRITE))) == "no-such-delivery"
    odd = client.post(f"/jobs/{DONE}/deliveries/a%20b/redeliver", headers=bearer(WRITE))
    assert problem(odd) == "malformed-request"


def test_health_and_description_need_no_token(client: Client) -> None:
    assert client.get("/healthz").json == {"status": "ok"}
    answer = client.get("/openapi.json")
    assert answer.json["openapi"] == "3.1.0"
    assert answer.headers["Cache-Control"] == "public, max-age=300"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_other_methods_are_answered_405_and_options_lists_them(client: Client, route: object) -> None:
    path = _filled(route.path)  # type: ignore[attr-defined] - a Route
    allowed = client.options(path)
    assert allowed.status_code == 204
    methods = set(allowed.headers["Allow"].split(", "))
    assert route.method in methods  # type: ignore[attr-defined] - as above
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - methods:
        answer = client.open(path, method=method, headers=bearer(WRITE))
        assert answer.status_code == 405
        assert answer.headers["Allow"] == allowed.headers["Allow"]


@pytest.mark.parametrize(
    "path",
    [
        "/library/nothing",
        "/jobs/",
        f"/jobs/{DONE}/",
        f"//jobs/{DONE}",
        "/jobs//publish",
        "/healthz/",
        "/JOBS/x",
        "/é",
    ],
)
def test_other_paths_are_answered_404(client: Client, path: str) -> None:
    assert problem(client.get(path, headers=bearer(READ))) == "no-such-route"
    assert client.options(path).status_code == 404


@pytest.mark.parametrize("job_id", ["a.b", "a%20b", "%E4%BD%9C", "x" * 65, "%00", "..", "%2e%2e", "a'b", "%FF"])
def test_ids_of_another_alphabet_are_answered_400(client: Client, job_id: str) -> None:
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/report.html", f"/jobs/{job_id}/deliveries"):
        assert problem(client.get(path, headers=bearer(READ))) == "malformed-request"
    assert problem(client.post(f"/jobs/{job_id}/publish", headers=bearer(WRITE))) == "malformed-request"


def test_limits_of_headers_and_target(client: Client) -> None:
    assert problem(client.get("/healthz", headers={"X-Long": "x" * 8192})) == "headers-too-large"
    assert problem(client.get(f"/healthz?{'x' * 4096}")) == "uri-too-long"


FAULTS = [
    (errors.BadInput("oss://secret-bucket"), 400, None),
    (errors.JobNotFound("oss://secret-bucket"), 404, None),
    (errors.ObjectNotFound("oss://secret-bucket"), 404, None),
    (errors.Throttled("oss://secret-bucket"), 429, "5"),
    (errors.Throttled("oss://secret-bucket", retry_after=0.2), 429, "1"),
    (errors.Throttled("oss://secret-bucket", retry_after=1e9), 429, "3600"),
    (errors.BadSettings("oss://secret-bucket"), 500, None),
    (errors.PermanentError("oss://secret-bucket"), 502, None),
    (ZeroDivisionError("oss://secret-bucket"), 500, None),
    (errors.AccessRefused("oss://secret-bucket"), 502, None),
    (errors.JobErased("oss://secret-bucket"), 410, None),
    (errors.BadResponse("oss://secret-bucket"), 502, None),
    (errors.ResponseTooLarge("oss://secret-bucket"), 502, None),
    (errors.JobNotReady("oss://secret-bucket"), 503, "5"),
    (errors.SubscribersBroken("oss://secret-bucket"), 503, "60"),
    (errors.Unavailable("oss://secret-bucket", retry_after=7), 503, "7"),
    (errors.TimedOut("oss://secret-bucket"), 504, "10"),
]


@pytest.mark.parametrize(("fault", "status", "wait"), FAULTS, ids=lambda value: str(getattr(value, "message", value)))
def test_every_failure_has_its_status_and_tells_no_secret(
    client: Client, service: FakeService, fault: Exception, status: int, wait: str | None
) -> None:
    service.faults[UNKNOWN] = [fault, fault]
    for answer in (
        client.get(f"/jobs/{UNKNOWN}", headers=bearer(READ)),
        client.post(f"/jobs/{UNKNOWN}/publish", headers=bearer(WRITE)),
    ):
        assert answer.status_code == status
        problem(answer)
        assert answer.headers.get("Retry-After") == wait
        assert b"secret-bucket" not in answer.data
        assert b"Traceback" not in answer.data


def test_every_class_of_error_has_a_row() -> None:
    classes = {found for found in vars(errors).values() if isinstance(found, type)} - {errors.RelayError}
    rowless = {found.__name__ for found in classes if found not in BY_ERROR}
    # One shares the row of its base class; the others are the outbox's and the publications' own business.
    assert rowless == {"Unavailable", "TargetRefused", "NotAdmitted"}
    assert {type(fault) for fault, *_ in FAULTS} >= set(BY_ERROR) & classes - {errors.RetryableError}


def test_the_request_id_of_the_answer_leads_to_the_log_line(client: Client, service: FakeService) -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream)
    service.faults[UNKNOWN] = [errors.AccessRefused("OSS says no", requestId="of-oss")]
    service.unwritable = (UNKNOWN,)
    headers = bearer(WRITE) | {"X-Request-Id": "of-ours"}
    client.get(f"/jobs/{UNKNOWN}", headers=headers)
    client.post("/jobs/publish", headers=headers, json={"jobIds": [UNKNOWN]})
    lines = [json.loads(line) for line in stream.getvalue().split("\n") if line]
    assert [line["event"] for line in lines if line["level"] != "INFO"] == ["http.failed", "http.job.failed"]
    assert {line["requestId"] for line in lines} == {"of-ours"}


def test_the_access_log_names_the_token_and_never_holds_it(client: Client, service: FakeService) -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream)
    service.faults[UNKNOWN] = [ZeroDivisionError("boom")]
    client.get(f"/jobs/{DONE}", headers=bearer(READ) | {"X-Request-Id": "id-1"})
    client.post(f"/notifications/{PUSH}", data=b"{}")
    client.get(f"/jobs/{DONE}", headers=bearer("wrong-token-of-the-tests"))
    client.get(f"/jobs/{UNKNOWN}", headers=bearer(READ))
    lines = [json.loads(line) for line in stream.getvalue().split("\n") if line]
    requests = [line for line in lines if line["event"] == "http.request"]
    first, push, wrong, failed = requests
    assert (first["caller"], first["route"], first["status"], first["jobId"]) == ("reader", "/jobs/{jobId}", 200, DONE)
    assert (first["requestId"], first["method"]) == ("id-1", "GET")
    assert first["ms"] >= 0
    assert (push["caller"], push["route"]) == ("topic", "/notifications/{token}")
    assert (wrong["status"], wrong["problem"]) == (401, "unauthorized")
    assert "caller" not in wrong
    (error,) = [line for line in lines if line["level"] == "ERROR"]
    assert (error["error"], error["requestId"]) == ("ZeroDivisionError", failed["requestId"])
    assert error["trace"]
    for secret in (READ, PUSH, "wrong-token-of-the-tests"):
        assert secret not in stream.getvalue()


def _filled(path: str) -> str:
    values = {"{jobId}": DONE, "{artifact}": "report.html", "{subscriberId}": "cms", "{token}": PUSH}
    for name, value in values.items():
        path = path.replace(name, value)
    return path
