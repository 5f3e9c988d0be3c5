"""The MNS stand-in: what subscribers get, how often, and signatures that an outsider can check."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1

from local.cloud.fc import FunctionCompute
from local.cloud.fc_instance import Function
from local.cloud.mns import Delivery, Message, Topic, certificate, sign_push
from local.cloud.server import Fault, Refusal, Request, Response, StandIn
from shared.credentials import Credentials
from shared.triggers import JobChanged, parse

BODY = '{"Type":"smarttag","JobId":"job-1","State":"Success","UserData":"节目 <1> & 2"}'.encode()
CHANGED = (JobChanged("job-1", "Success", "节目 <1> & 2"),)


class Endpoint(StandIn):
    """Acknowledges every push."""

    def answer(self, request: Request) -> Response:
        return Response(204 if request.method == "POST" else 405)


def test_stream_is_the_body_alone_unless_there_are_attributes() -> None:
    events: list[bytes] = []
    with Topic() as topic:
        topic.to_function(events.append)
        topic.publish(b"\xff raw")
        assert topic.drain()
        topic.publish(BODY, {"Extend": '{"key":"value"}'})
        assert topic.drain()
    assert events[0] == b"\xff raw"
    assert json.loads(events[1]) == {"body": BODY.decode(), "attrs": {"Extend": '{"key":"value"}'}}
    assert parse(events[1]) == CHANGED


def test_json_carries_the_documented_fields_and_the_attributes() -> None:
    events: list[bytes] = []
    with Topic("t") as topic:
        topic.to_function(events.append, form="JSON")
        message_id = topic.publish(BODY, {"key": "value", "Type": "other"})
        assert topic.drain()
    event = json.loads(events[0])
    assert event.keys() - {"key", "Type"} == {
        *("TopicOwner", "Message", "Subscriber", "PublishTime"),
        *("SubscriptionName", "MessageMD5", "TopicName", "MessageId"),
    }
    assert (event["MessageId"], event["TopicName"], event["key"]) == (message_id, "t", "value")
    assert event["MessageMD5"] == hashlib.md5(BODY, usedforsecurity=False).hexdigest().upper()
    assert isinstance(event["PublishTime"], int)
    assert parse(events[0]) == CHANGED


def test_duplicates_tags_and_the_size_limit() -> None:
    twice: list[bytes] = []
    tagged: list[bytes] = []
    with Topic() as topic:
        topic.to_function(twice.append, duplicates=2)
        topic.to_function(tagged.append, tag="smarttag")
        topic.publish(b"a")
        topic.publish(b"b", tag="smarttag")
        assert topic.drain()
        with pytest.raises(ValueError, match="65537 bytes"):
            topic.publish(b"x" * 65537)
    assert sorted(twice) == [b"a", b"a", b"b", b"b"]
    assert tagged == [b"b"]


def test_a_refused_delivery_is_retried_and_then_given_up() -> None:
    calls: list[bytes] = []

    def refuse(event: bytes) -> None:
        calls.append(event)
        raise Refusal(429, "ResourceExhausted", "busy")

    with Topic(retry_delays=(0.0, 0.0)) as topic:
        topic.to_function(refuse)
        message_id = topic.publish(b"a")
        assert topic.drain()
    assert calls == [b"a"] * 3
    assert topic.deliveries == [Delivery("subscription-1", message_id, 3, acknowledged=False)]


def test_a_topic_starts_a_function(tmp_path: Path) -> None:
    function = Function("echo", "handlers.echo", Path(__file__).parent)
    with FunctionCompute([function], credentials=Credentials("a", "b"), logs=tmp_path) as fc, Topic() as topic:
        topic.to_function(functools.partial(fc.invoke_async, "echo"), form="JSON", duplicates=2)
        topic.publish(BODY)
        assert topic.drain()
        assert fc.drain()
        assert [parse(outcome.result.payload) for outcome in fc.outcomes] == [CHANGED, CHANGED]


@pytest.mark.parametrize("form", ["XML", "JSON", "SIMPLIFIED"])
def test_a_push_says_the_same_in_every_form(form: str) -> None:
    with Endpoint() as endpoint, Topic() as topic:
        topic.to_url(f"{endpoint.url}/notifications/token?a=1", form=form)
        message_id = topic.publish(BODY, tag="t")
        assert topic.drain()
    (request,) = endpoint.requests
    assert topic.deliveries == [Delivery("subscription-1", message_id, 1, acknowledged=True)]
    assert request.target == "/notifications/token?a=1"
    assert request.headers["x-mns-message-tag"] == "t"
    assert parse(request.body) == CHANGED
    verify(request.target, request.headers)


def test_a_push_is_retried_until_it_is_acknowledged() -> None:
    with Endpoint() as endpoint, Topic(retry_delays=(0.0, 0.0, 0.0)) as topic:
        endpoint.fail(Fault("answer", response=Response(302, headers={"Location": "/elsewhere"})))
        endpoint.fail(Fault("reset"))
        topic.to_url(endpoint.url)
        topic.publish(BODY)
        assert topic.drain()
    assert [request.path for request in endpoint.requests] == ["/notifications"] * 3
    assert (topic.deliveries[0].attempts, topic.deliveries[0].acknowledged) == (3, True)


def test_no_push_leaves_this_machine() -> None:
    with pytest.raises(ValueError, match="not on this machine"):
        Topic().to_url("http://192.0.2.1/notifications")


@pytest.mark.parametrize("name", ["x-mns-message-id", "x-mns-version", "Date", "Content-MD5", "Content-Type"])
def test_whatever_is_changed_breaks_the_signature(name: str) -> None:
    headers, _body = sign_push(Message(BODY), "/n?a=1")
    verify("/n?a=1", headers)
    with pytest.raises(InvalidSignature):
        verify("/n?a=1", {**headers, name: "x"})
    with pytest.raises(InvalidSignature):
        verify("/n?a=2", headers)


def test_content_md5_comes_in_both_spellings() -> None:
    digest = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
    assert sign_push(Message(BODY), "/")[0]["Content-MD5"] == digest.upper()
    headers, body = sign_push(Message(BODY), "/", hex_md5=False)
    assert base64.b64decode(headers["Content-MD5"]).decode() == digest
    assert body == BODY


def test_there_is_one_certificate() -> None:
    with pytest.raises(LookupError):
        certificate("https://example.com/cert.pem")


def verify(target: str, headers: dict[str, str]) -> None:
    """Check a push as the documentation tells a receiver to."""
    lower = {name.lower(): value for name, value in headers.items()}
    own = "".join(f"{name}:{value}\n" for name, value in sorted(lower.items()) if name.startswith("x-mns-"))
    text = f"POST\n{lower['content-md5']}\n{lower['content-type']}\n{lower['date']}\n{own}{target}"
    url = base64.b64decode(lower["x-mns-signing-cert-url"]).decode()
    key = x509.load_pem_x509_certificate(certificate(url)).public_key()
    assert isinstance(key, RSAPublicKey)
    key.verify(base64.b64decode(lower["authorization"]), text.encode(), PKCS1v15(), SHA1())  # noqa: S303 - what MNS signs with
