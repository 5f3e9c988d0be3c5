"""The FC 3.0 adapter: the same answers as over WSGI, byte for byte, and nothing an event can do breaks it."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from local.cloud.fc_http import to_event, to_response
from local.cloud.server import Request
from shared.http import fc_adapter
from shared.http.pages import COOKIE
from shared.jobs import ARTIFACTS
from tests.http.fakes import (
    DONE,
    FINISHED,
    PUSH,
    READ,
    RUNNING,
    SESSIONS,
    TOKENS,
    WRITE,
    FakeService,
    make_app,
    published,
)

CONTEXT = SimpleNamespace(request_id="1-64f6cd87-aaaaaaaaaaaa")
FORM = "application/x-www-form-urlencoded"
ADDED = {"content-length", "date", "server", "connection"}  # by whatever stands between the function and the caller

paths = st.sampled_from(
    [
        "/healthz",
        "/openapi.json",
        f"/jobs/{DONE}",
        f"/jobs/{RUNNING}",
        "/jobs/publish",
        f"/jobs/{FINISHED}/publish",
        f"/jobs/{DONE}/deliveries",
        f"/jobs/{DONE}/deliveries/cms/redeliver",
        f"/notifications/{PUSH}",
        "/jobs/unknown",
        "/",
        "/sign-out",
        "/library",
        "/library/operations",
        "/library/operations/replay",
        f"/library/jobs/{DONE}",
        f"/library/jobs/{DONE}/redeliver",
        f"/library/jobs/{DONE}/report.html",
        *(f"/jobs/{DONE}/{name}" for name in ARTIFACTS),
    ]
) | st.text(st.characters(exclude_characters="?#", exclude_categories=["Cs", "Cc"]), max_size=30).map(
    lambda text: "/" + quote(text, safe="/")
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "Authorization": st.sampled_from([f"Bearer {READ}", f"Bearer {WRITE}", f"Bearer {PUSH}", "Bearer x", "Basic"]),
        "Accept": st.sampled_from(["*/*", "application/json", "text/vtt, text/html;q=0.5", "image/png"]),
        "Accept-Encoding": st.sampled_from(["gzip", "gzip;q=0, *", "identity", "br, gzip;q=0.1"]),
        "If-None-Match": st.sampled_from(["*", '"x"', 'W/"x", "y"']),
        "Range": st.sampled_from(["bytes=0-9", "bytes=-5", "bytes=99999999-", "lines=1-2", "bytes=1-2,4-5"]),
        "Content-Type": st.sampled_from(
            ["application/json", "text/plain", "text/xml", "application/octet-stream"] + [FORM] * 2
        ),
        "Cookie": st.sampled_from([f"{COOKIE}={SESSIONS.make(token)}" for token in TOKENS[:2]] + ["x=y", "é; ="]),
        "Origin": st.sampled_from(["http://function", "null"]),
        "Accept-Language": st.sampled_from(["zh-CN,zh;q=0.9", "en", "*"]),
        "X-Mns-Version": st.just("2015-06-06"),
        "X-Note": st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    },
)
bodies = st.sampled_from(
    [
        b"",
        b"{}",
        f"token={READ}&to=/library".encode(),
        b"subscriber=cms&name=x&name=y",
        b'{"redeliver":true}',
        b'{"redeliver":1}',
        json.dumps({"jobIds": [DONE, "unknown"]}).encode(),
    ]
) | st.binary(max_size=40)
queries = st.dictionaries(
    st.sampled_from(["fresh", "x", "é"]), st.sampled_from(["true", "false", "", "a b&c=d", "1,2"])
)


@settings(deadline=None, max_examples=100)
@example("GET", "//%5B", {}, {}, b"")
@example("GET", f"/library/jobs/{DONE}", {}, {"Cookie": f"{COOKIE}={SESSIONS.make(TOKENS[1])}"}, b"")
@example("POST", "/", {}, {"Origin": "http://function", "Content-Type": FORM}, f"token={READ}".encode())
@example("GET", "//host/healthz", {}, {}, b"")
@given(st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE"]), paths, queries, headers, bodies)
def test_the_same_answers_as_over_wsgi(
    method: str, path: str, query: dict[str, str], sent: dict[str, str], body: bytes
) -> None:
    query_string = urlencode(query)
    builder = EnvironBuilder(method=method, query_string=query_string, headers=sent, data=body)
    environ = builder.get_environ() | {"fc.context": CONTEXT, "HTTP_HOST": "function"}
    environ["PATH_INFO"] = unquote(path).encode().decode("latin-1")  # the builder would read //host/path as a URL
    chunks, status, direct = run_wsgi_app(make_app(published()), environ)
    names = {name.lower(): value for name, value in sent.items()}
    target = f"{path}?{query_string}" if query else path
    request = Request(method, target, unquote(path), query, names | {"host": "function"}, body)
    event = to_event(request, "gateway-1", "cn-shanghai", "123456")
    answer = json.loads(json.dumps(fc_adapter.invoke(make_app(published()), event, CONTEXT)))
    through = to_response(json.dumps(answer).encode())
    assert (through.status, through.body) == (int(status[:3]), b"".join(chunks))
    expected = {name: value for name, value in direct.items() if name.lower() not in ADDED}
    assert through.headers == expected
    assert answer["headers"] == expected, "nothing was left for the platform to take out"


def event(**changes: Any) -> bytes:
    found: dict[str, Any] = {
        "version": "v1",
        "rawPath": f"/jobs/{DONE}",
        "body": "",
        "isBase64Encoded": False,
        "headers": {"Authorization": f"Bearer {READ}", "Accept-Encoding": "identity,gzip;q=0"},
        "queryParameters": {},
        "requestContext": {
            "http": {"method": "GET", "path": f"/jobs/{DONE}", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"},
            "requestId": "1-64f6cd87-bbbb",
            "timeEpoch": "1693896071895",
        },
    }
    return json.dumps({key: value for key, value in (found | changes).items() if value is not ...}).encode()


def invoke(sent: bytes, context: object = CONTEXT) -> dict[str, Any]:
    return fc_adapter.invoke(make_app(FakeService()), sent, context)


def test_text_stays_text_and_gzip_becomes_base64() -> None:
    plain = invoke(event(rawPath=f"/jobs/{DONE}/transcript.txt"))
    assert plain["isBase64Encoded"] is False
    assert "刘德华" in plain["body"]
    packed = invoke(
        event(
            rawPath=f"/jobs/{DONE}/transcript.txt",
            headers={"authorization": f"Bearer {READ}", "ACCEPT-ENCODING": "gzip"},
        )
    )
    assert packed["isBase64Encoded"] is True
    assert base64.b64decode(packed["body"])[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("missing", ["version", "rawPath", "body", "isBase64Encoded", "queryParameters"])
def test_fields_that_are_missing_or_null_are_filled_in(missing: str) -> None:
    for value in (..., None):
        assert invoke(event(**{missing: value}))["statusCode"] == 200


def test_an_event_without_headers_is_a_request_without_a_token() -> None:
    for value in (..., None, {}):
        assert invoke(event(headers=value))["statusCode"] == 401


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"{}",
        b'{"Type":"smarttag","JobId":"1","State":"Success"}',
        b'{"triggerTime":"2023-09-05T06:41:11Z","triggerName":"sweep"}',
        event(requestContext=None),
        event(requestContext={"http": {}}),
        event(requestContext={"http": {"method": 1, "path": "/"}}),
        event(headers={"X": 1}),
        event(headers=["X"]),
        event(body="%%%", isBase64Encoded=True),
        event(body=1),
        event(body="\ud800"),
        event(queryParameters="fresh=true"),
        event(rawPath=["/"]),
    ],
)
def test_an_event_that_is_no_request_is_answered_400(sent: bytes) -> None:
    answer = invoke(sent)
    assert answer["statusCode"] == 400
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert json.loads(answer["body"])["requestId"] == CONTEXT.request_id


@settings(deadline=None, max_examples=40)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_no_event_breaks_it(value: Any) -> None:
    for field in ("rawPath", "body", "headers", "queryParameters", "requestContext", "isBase64Encoded"):
        assert 200 <= invoke(event(**{field: value}))["statusCode"] < 500


def test_headers_that_pass_for_others_are_dropped() -> None:
    assert invoke(event(headers={"Authorization_": f"Bearer {READ}", "authori_zation": "x"}))["statusCode"] == 401
    answer = invoke(event(headers={"Authorization": f"Bearer {READ}", "Content-Length": "99999999"}))
    assert answer["statusCode"] == 200


def test_a_body_that_was_sent_in_chunks_is_read() -> None:
    method = {"http": {"method": "POST", "path": f"/jobs/{FINISHED}/publish"}}
    headers = {"Authorization": f"Bearer {WRITE}", "Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    path = f"/jobs/{FINISHED}/publish"
    answer = invoke(event(rawPath=path, requestContext=method, headers=headers, body='{"redeliver": "x"}'))
    assert (answer["statusCode"], "redeliver" in answer["body"]) == (400, True)


def test_the_request_id_is_the_platforms() -> None:
    assert invoke(event())["headers"]["X-Request-Id"] == CONTEXT.request_id
    assert invoke(event(), None)["headers"]["X-Request-Id"] == "1-64f6cd87-bbbb"
    asked = event(headers={"X-Request-Id": "mine"})
    assert invoke(asked)["headers"]["X-Request-Id"] == CONTEXT.request_id
    plain = Client(make_app(FakeService())).get("/healthz", headers={"X-Request-Id": "mine"})
    assert plain.headers["X-Request-Id"] == "mine"
    for odd in ("a b", "x" * 129, "<script>", ""):
        shown = Client(make_app(FakeService())).get("/healthz", headers={"X-Request-Id": odd}).headers["X-Request-Id"]
        assert len(shown) == 32


def test_an_answer_too_large_for_a_function_says_how_to_get_it() -> None:
    service = FakeService()
    service.artifacts[DONE, "response.json"] = b"[" + b"1," * 12_000_000 + b"1]"
    path = f"/jobs/{DONE}/response.json"
    app = make_app(service)
    answer = fc_adapter.invoke(app, event(rawPath=path), CONTEXT)
    assert answer["statusCode"] == 406
    assert answer["headers"].keys() >= {"X-Request-Id", "X-Content-Type-Options"}
    assert "ranges" in json.loads(answer["body"])["detail"]
    ranged = {"Authorization": f"Bearer {READ}", "Range": "bytes=0-9999999"}
    part = fc_adapter.invoke(app, event(rawPath=path, headers=ranged), CONTEXT)
    assert part["statusCode"] == 206
    assert part["isBase64Encoded"] is True, "long text would grow too much as JSON"
    assert len(base64.b64decode(part["body"])) == 10_000_000
    packed = {"Authorization": f"Bearer {READ}", "Accept-Encoding": "gzip"}
    assert fc_adapter.invoke(app, event(rawPath=path, headers=packed), CONTEXT)["statusCode"] == 200
