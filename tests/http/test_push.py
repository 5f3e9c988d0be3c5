"""Pushes of a topic: genuine ones are taken in, forged, replayed, altered and redirected ones are not."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from werkzeug.test import Client, TestResponse

from local.cloud.receiver import Receiver
from local.cloud.server import Fault, Request, Response, StandIn
from shared.errors import Unavailable
from shared.http.push import TOLERANCE, PushVerifier, fetch_certificate
from tests.http.fakes import DONE, PUSH, FakeService, make_app

URL = "https://mnstest.oss-cn-hangzhou.aliyuncs.com/x509_public_certificate.pem"
PATH = f"/notifications/{PUSH}"
MESSAGE = json.dumps({"Type": "smarttag", "JobId": DONE, "State": "Success"})
XML = (
    '<?xml version="1.0" encoding="utf-8"?><Notification xmlns="http://mns.aliyuncs.com/doc/v1/">'
    f"<TopicName>smarttag</TopicName><Message>{MESSAGE}</Message></Notification>"
)
BODIES = {"XML": XML, "JSON": json.dumps({"TopicName": "smarttag", "Message": MESSAGE}), "SIMPLIFIED": MESSAGE}
NOW = 1_790_000_000.0


def _certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """An old one: the real one had expired years before it was last seen in use."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "notify")])
    began = dt.datetime(2015, 7, 2, tzinfo=dt.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(began).not_valid_after(began + dt.timedelta(365))
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


KEY = rsa.generate_private_key(65537, 2048)
CERTIFICATE = _certificate(KEY)


@dataclass
class Source:
    """Certificates by URL; asking for any other fails the test."""

    known: dict[str, bytes] = field(default_factory=lambda: {URL: CERTIFICATE})
    asked: list[str] = field(default_factory=list)

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        return self.known[url]


def sign(
    body: bytes, *, path: str = PATH, sent: float = NOW, key: rsa.RSAPrivateKey = KEY, **more: str
) -> dict[str, str]:
    """Return the headers of a push as MNS makes them; written from the documentation, not from our verifier."""
    date = format_datetime(dt.datetime.fromtimestamp(sent, dt.timezone.utc), usegmt=True)
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    signed = {
        "x-mns-request-id": "57458276F0E3D56D7C00054B",
        "x-mns-signing-cert-url": base64.b64encode(URL.encode()).decode(),
        "x-mns-version": "2015-06-06",
        **{name.replace("_", "-"): value for name, value in more.items() if name.startswith("x_mns")},
    }
    md5 = more.get("md5") or base64.b64encode(digest.encode()).decode()
    kind = "text/xml;charset=utf-8"
    lines = f"POST\n{md5}\n{kind}\n{date}\n" + "".join(f"{name}:{signed[name]}\n" for name in sorted(signed)) + path
    signature = base64.b64encode(key.sign(lines.encode(), padding.PKCS1v15(), SHA1())).decode()  # noqa: S303 - MNS's choice
    return {**signed, "Content-MD5": md5, "Content-Type": kind, "Date": date, "Authorization": signature}


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def push(service: FakeService, source: Source) -> Callable[..., TestResponse]:
    client = Client(make_app(service, push=PushVerifier(source, clock=lambda: NOW)))

    def send(body: bytes, headers: dict[str, str], path: str = PATH) -> TestResponse:
        return client.post(path, data=body, headers=headers)

    return send


Push = Callable[..., TestResponse]


def test_a_signature_that_is_not_even_ascii_is_refused(push: Push, service: FakeService) -> None:
    body = MESSAGE.encode()
    assert push(body, {**sign(body), "Authorization": "\xe9"}).status_code == 403
    assert service.accepted == []


@pytest.mark.parametrize("kind", BODIES)
def test_a_genuine_push_is_taken_in_as_it_came(push: Push, service: FakeService, kind: str) -> None:
    body = BODIES[kind].encode()
    answer = push(body, sign(body))
    assert (answer.status_code, answer.json) == (200, {"results": [{"jobId": DONE, "outcome": "published"}]})
    assert service.accepted == [body]


def test_the_digest_may_be_written_in_three_ways(push: Push) -> None:
    body = MESSAGE.encode()
    digest = hashlib.md5(body, usedforsecurity=False)
    forms = [digest.hexdigest().upper(), digest.hexdigest(), base64.b64encode(digest.digest()).decode()]
    assert [push(body, sign(body, md5=form)).status_code for form in forms] == [200, 200, 200]


def test_headers_that_mns_adds_are_signed_too(push: Push) -> None:
    body = MESSAGE.encode()
    headers = sign(body, x_mns_topic_name="smarttag", x_mns_message_id="1A2B")
    assert push(body, headers).status_code == 200
    assert push(body, headers | {"x-mns-topic-name": "other"}).status_code == 403
    assert push(body, headers | {"x-mns-extra": "1"}).status_code == 403


def test_the_query_is_signed_with_the_path(push: Push) -> None:
    body = MESSAGE.encode()
    assert push(body, sign(body, path=f"{PATH}?from=topic"), f"{PATH}?from=topic").status_code == 200
    assert push(body, sign(body), f"{PATH}?from=topic").status_code == 403


OTHER_KEY = rsa.generate_private_key(65537, 2048)
FORGED = {
    "signed with another key": lambda body: sign(body, key=OTHER_KEY),
    "signed for another path": lambda body: sign(body, path="/notifications/another"),
    "signed for another body": lambda body: sign(body + b" "),
    "without a signature": lambda body: _without(sign(body), "Authorization"),
    "with a signature that is no Base64": lambda body: sign(body) | {"Authorization": "!"},
    "with an empty signature": lambda body: sign(body) | {"Authorization": ""},
    "without Content-MD5": lambda body: _without(sign(body), "Content-MD5"),
    "without a certificate": lambda body: _without(sign(body), "x-mns-signing-cert-url"),
    "with an altered header": lambda body: sign(body) | {"x-mns-request-id": "another"},
    "with another content type": lambda body: sign(body) | {"Content-Type": "text/plain"},
    "with another date": lambda body: sign(body) | {"Date": sign(body, sent=NOW - 60)["Date"]},
    "without a date": lambda body: _without(sign(body), "Date"),
    "with a date that is none": lambda body: sign(body) | {"Date": "yesterday"},
    "replayed later": lambda body: sign(body, sent=NOW - TOLERANCE - 1),
    "from the future": lambda body: sign(body, sent=NOW + TOLERANCE + 1),
    "with only one header of MNS": lambda _body: {"x-mns-version": "2015-06-06"},
}


@pytest.mark.parametrize("how", FORGED)
def test_a_push_that_is_not_genuine_is_refused(push: Push, service: FakeService, how: str) -> None:
    body = MESSAGE.encode()
    answer = push(body, FORGED[how](body))
    assert (answer.status_code, answer.json["type"]) == (403, "urn:smarttag-relay:problem:signature-refused")
    assert service.accepted == []


@pytest.mark.parametrize("age", [-TOLERANCE, -1, 0, 1, TOLERANCE])
def test_clocks_may_differ_a_little(push: Push, age: float) -> None:
    body = MESSAGE.encode()
    assert push(body, sign(body, sent=NOW - age)).status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        "ftp://mnstest.oss-cn-hangzhou.aliyuncs.com/x509_public_certificate.pem",
        "https://mnstest.oss-cn-beijing.aliyuncs.com/x.pem",
        "https://mns-cert.oss-cn-beijing.example.com/x.pem",
        "https://mns-cert.oss-cn-.aliyuncs.com/x.pem",
        "https://mns-cert.oss-cn-evil.example.aliyuncs.com/x.pem",
        "https://evil-mns-cert.oss-cn-beijing.aliyuncs.com/x.pem",
        "https://mns-cert.oss-us-west-1.example.aliyuncs.com/x.pem",
        "https://mns-cert.oss-cn-beijing.aliyuncs.com/a/x.pem",
        "https://mns-cert.oss-cn-beijing.aliyuncs.com/x.pem.",
        "https://mns-cert.oss-cn-beijing.aliyuncs.com/x.exe",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com.example.com/x.pem",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com@example.com/x.pem",
        "https://user@mnstest.oss-cn-hangzhou.aliyuncs.com/x.pem",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com:8443/x.pem",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com/../x.pem",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com/x.pem?redirect=https://example.com",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com/x.pem#",
        "https://mnstest.oss-cn-hangzhou.aliyuncs.com/x.pem\n",
        "https://MNSTEST.oss-cn-hangzhou.aliyuncs.com/x.pem",
        "https://127.0.0.1/x.pem",
        "https://100.100.100.200/latest/meta-data/x.pem",
        "file:///etc/x.pem",
        "",
    ],
)
def test_a_certificate_from_elsewhere_is_never_fetched(
    push: Push, source: Source, service: FakeService, url: str
) -> None:
    body = MESSAGE.encode()
    answer = push(body, sign(body, x_mns_signing_cert_url=base64.b64encode(url.encode()).decode()))
    assert answer.status_code == 403
    assert (source.asked, service.accepted) == ([], [])


@pytest.mark.parametrize(
    ("named", "fetched"),
    [
        ("https://mns-cert.oss-cn-hangzhou.aliyuncs.com/x509_public_certificate.pem", None),
        ("https://mns-cert.oss-cn-shanghai-finance-1.aliyuncs.com/x509_public_certificate.pem", None),
        ("https://mns-cert.oss-cn-beijing.aliyuncs.com/x509_public_certificate.pem.version2", None),
        ("https://mnstest.oss-cn-hangzhou.aliyuncs.com/x509_public_certificate_2026-10.pem", None),
        ("http://mnstest.oss-cn-hangzhou.aliyuncs.com/x509_public_certificate.pem", URL),  # as the documented sample
    ],
)
def test_where_the_certificates_of_mns_lie(push: Push, source: Source, named: str, fetched: str | None) -> None:
    body = MESSAGE.encode()
    source.known = {fetched or named: CERTIFICATE}
    headers = sign(body, x_mns_signing_cert_url=base64.b64encode(named.encode()).decode())
    assert push(body, headers).status_code == 200
    assert source.asked == [fetched or named]


def test_certificates_in_use_at_the_same_time_are_all_kept_but_never_many(push: Push, source: Source) -> None:
    body = MESSAGE.encode()
    urls = [f"https://mns-cert.oss-cn-beijing.aliyuncs.com/{number}.pem" for number in range(20)]
    source.known = dict.fromkeys(urls, CERTIFICATE)
    for url in (*urls[:2] * 5, *urls, urls[0]):
        assert push(body, sign(body, x_mns_signing_cert_url=base64.b64encode(url.encode()).decode())).status_code == 200
    assert source.asked == [*urls, urls[0]]


def test_x_mns_date_takes_the_place_of_a_date_that_was_lost_or_rewritten(push: Push) -> None:
    body = MESSAGE.encode()
    now = format_datetime(dt.datetime.fromtimestamp(NOW, dt.timezone.utc), usegmt=True)
    headers = sign(body, x_mns_date=now)
    assert push(body, headers).status_code == 200
    assert push(body, _without(headers, "Date")).status_code == 200
    rewritten = format_datetime(dt.datetime.fromtimestamp(NOW + 3, dt.timezone.utc), usegmt=True)
    assert push(body, headers | {"Date": rewritten}).status_code == 200
    old = sign(body, sent=NOW - TOLERANCE - 1)
    assert push(body, old | {"x-mns-date": now}).status_code == 403, "not signed with it"
    assert push(body, old | {"Date": now}).status_code == 403
    assert push(body, sign(body, sent=NOW - TOLERANCE - 1, x_mns_date=old["Date"]) | {"Date": now}).status_code == 403


def test_a_certificate_url_that_is_no_base64_is_refused(push: Push, source: Source) -> None:
    body = MESSAGE.encode()
    for header in (URL, "%%%", base64.b64encode(b"\xff\xfe").decode(), base64.b64encode(URL.encode()).decode() + "!"):
        assert push(body, sign(body, x_mns_signing_cert_url=header)).status_code == 403
    assert source.asked == []


def test_nothing_is_fetched_for_a_push_that_is_refused_anyway(push: Push, source: Source) -> None:
    body = MESSAGE.encode()
    push(b"another", sign(body))
    push(body, sign(body, sent=NOW - 9999))
    assert source.asked == []


def test_the_certificate_is_kept_for_an_hour(service: FakeService, source: Source) -> None:
    now = [NOW]
    client = Client(make_app(service, push=PushVerifier(source, clock=lambda: now[0])))
    body = MESSAGE.encode()
    for wait in (0, 60, 3000, 3601):
        now[0] = NOW + wait
        assert client.post(PATH, data=body, headers=sign(body, sent=now[0])).status_code == 200
    assert source.asked == [URL, URL]


@pytest.mark.parametrize("content", [b"", b"<html>", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_an_unusable_certificate_asks_mns_to_push_again_and_is_not_kept(
    push: Push, source: Source, service: FakeService, content: bytes
) -> None:
    body = MESSAGE.encode()
    source.known[URL] = content
    answer = push(body, sign(body))
    assert (answer.status_code, answer.json["type"].rpartition(":")[2]) == (503, "unavailable")
    source.known[URL] = _certificate(ec.generate_private_key(ec.SECP256R1()))
    assert push(body, sign(body)).status_code == 503
    source.known[URL] = CERTIFICATE
    assert push(body, sign(body)).status_code == 200
    assert service.accepted == [body]


def test_a_certificate_that_cannot_be_fetched_asks_mns_to_push_again(service: FakeService) -> None:
    def down(_url: str) -> bytes:
        raise Unavailable("the host is down")

    client = Client(make_app(service, push=PushVerifier(down, clock=lambda: NOW)))
    body = MESSAGE.encode()
    assert client.post(PATH, data=body, headers=sign(body)).status_code == 503
    assert service.accepted == []


def test_the_signature_does_not_replace_the_token(push: Push, service: FakeService) -> None:
    body = MESSAGE.encode()
    assert push(body, sign(body, path="/notifications/guess"), "/notifications/guess").status_code == 403
    assert service.accepted == []


def test_notify_url_of_mps_carries_no_signature_and_needs_none(push: Push, service: FakeService) -> None:
    body = MESSAGE.encode()
    assert push(body, {"Content-Type": "application/json"}).status_code == 200
    assert service.accepted == [body]


def test_the_clock_is_the_real_one_by_default(service: FakeService, source: Source) -> None:
    client = Client(make_app(service, push=PushVerifier(source)))
    body = MESSAGE.encode()
    assert client.post(PATH, data=body, headers=sign(body, sent=time.time())).status_code == 200
    assert client.post(PATH, data=body, headers=sign(body)).status_code == 403


def _without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


class Certificates(StandIn):
    """A host of certificates that also answers what it should not."""

    def answer(self, request: Request) -> Response:
        answers = {
            "/good.pem": Response(200, CERTIFICATE),
            "/moved.pem": Response(302, b"", {"Location": f"{self.url}/good.pem"}),
            "/missing.pem": Response(404),
            "/large.pem": Response(200, b"x" * 70_000),
        }
        return answers[request.path]


def test_fetching_follows_nothing_and_reads_no_more_than_a_certificate_needs() -> None:
    with Certificates() as host:
        assert fetch_certificate(f"{host.url}/good.pem") == CERTIFICATE
        for name in ("moved", "missing", "large"):
            with pytest.raises(Unavailable):
                fetch_certificate(f"{host.url}/{name}.pem")
        host.fail(Fault("reset"))
        with pytest.raises(Unavailable):
            fetch_certificate(f"{host.url}/good.pem")
        assert [request.path for request in host.requests].count("/good.pem") == 2


def test_only_the_roots_of_certifi_are_trusted(tmp_path: Path) -> None:
    """The system's store is made to trust the host here, in a process of its own; ours must not look at it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    child = (
        "import ssl, sys, urllib.request\n"
        "from shared.http.push import fetch_certificate\n"
        "urllib.request.urlopen(sys.argv[1])\n"
        "fetch_certificate(sys.argv[1])\n"
    )
    with Receiver("whsec_" + "A" * 32, context=context) as host:
        host.fail(Fault("answer", times=9, response=Response(200, CERTIFICATE)))
        ended = subprocess.run(
            [sys.executable, "-c", child, f"{host.url}/x.pem"],
            cwd=Path(__file__).parents[2],
            env={"SSL_CERT_FILE": str(tmp_path / "ca.pem")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert len(host.requests) == 1, "only the one that trusts the system's store"
    assert ended.stderr.splitlines()[-1].startswith("shared.errors.Unavailable")
