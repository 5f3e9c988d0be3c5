"""One attempt against receivers that behave, and against all the ways in which they do not. Real sockets, real TLS."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import logging
import os
import socket
import ssl
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import orjson
import pytest
import trustme
from standardwebhooks.webhooks import Webhook

from local.cloud.receiver import Receiver
from local.cloud.server import Fault, Response
from shared import __version__
from shared.errors import Throttled
from shared.webhooks.address_guard import AddressGuard, Target
from shared.webhooks.sender import Attempt, Sender
from shared.webhooks.subscribers import Subscriber
from tests.webhooks.net import LOOPBACK, PUBLIC, SECRET, Lead

BODY = '{"type":"smarttag.job.succeeded","data":{"jobId":"a1","userData":"日本"}}'.encode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(SECRET) as running:
        yield running


@pytest.fixture
def subscriber(receiver: Receiver) -> Subscriber:
    return Subscriber(id="cms", url=receiver.url + "/hooks", secrets=(SECRET,))


@pytest.fixture
def sender() -> Sender:
    """May dial loopback."""
    return Sender(AddressGuard(allow=LOOPBACK))


def send(sender: Sender, subscriber: Subscriber, deadline: float = 10.0) -> Attempt:
    return sender.send(subscriber, "evt_1", int(time.time()), BODY, deadline)


def of(subscriber: Subscriber, **changes: object) -> Subscriber:
    return dataclasses.replace(subscriber, **changes)  # type: ignore[arg-type]  # names checked by the dataclass


def secure(lead: Lead, trusting: ssl.SSLContext) -> Sender:
    return Sender(lead.guard(), context=trusting)


def test_what_arrives(sender: Sender, subscriber: Subscriber, receiver: Receiver) -> None:
    attempt = send(sender, of(subscriber, headers={"x-team": "media"}))
    (delivery,) = receiver.deliveries
    assert (attempt.kind, attempt.status, attempt.error) == ("delivered", 204, None)
    assert (delivery.id, delivery.path, delivery.body, delivery.verified) == ("evt_1", "/hooks", BODY, True)
    assert delivery.headers["content-type"] == "application/json"
    assert delivery.headers["content-length"] == str(len(BODY))
    assert delivery.headers["user-agent"] == f"smarttag-relay/{__version__}"
    assert delivery.headers["accept"] == "*/*"
    assert delivery.headers["x-team"] == "media"
    assert delivery.headers["host"] == f"127.0.0.1:{receiver.port}"


def test_path_and_query_arrive_as_they_were_written(sender: Sender, receiver: Receiver) -> None:
    for path in ("", "/", "/a%2Fb/%E8%B7%AF?x=1&y=%20", "?only=query"):
        assert send(sender, Subscriber("cms", receiver.url + path, (SECRET,))).kind == "delivered"
    assert [request.target for request in receiver.requests] == [
        "/",
        "/",
        "/a%2Fb/%E8%B7%AF?x=1&y=%20",
        "/?only=query",
    ]


def test_an_extra_header_never_replaces_ours(sender: Sender, subscriber: Subscriber, receiver: Receiver) -> None:
    """The subscribers' file refuses such headers; the sender does not rely on it."""
    forged = dict.fromkeys(("Webhook-Id", "User-Agent", "host", "Connection"), "forged")
    send(sender, of(subscriber, headers=forged))
    assert receiver.deliveries[0].verified
    assert "forged" not in receiver.deliveries[0].headers.values()
    assert receiver.deliveries[0].headers["user-agent"] == f"smarttag-relay/{__version__}"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, "delivered"), (201, "delivered"), (202, "delivered"), (299, "delivered"), (410, "gone")]
    + [(status, "failed") for status in (300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 409, 429, 500, 502, 503)],
)
def test_what_each_status_means(
    sender: Sender, subscriber: Subscriber, receiver: Receiver, status: int, kind: str
) -> None:
    receiver.reply(Response(status))
    attempt = send(sender, subscriber)
    assert (attempt.kind, attempt.status) == (kind, status)
    assert attempt.error == (None if kind == "delivered" else f"answered {status}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(sender: Sender, subscriber: Subscriber, receiver: Receiver, status: int) -> None:
    with Receiver(SECRET) as victim:
        receiver.reply(Response(status, headers={"location": victim.url + "/admin"}))
        attempt = send(sender, subscriber)
        assert (attempt.kind, attempt.status) == ("failed", status)
        assert victim.requests == []
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [429, 503, 500, 404])
def test_retry_after_is_handed_on_with_every_failure(
    sender: Sender, subscriber: Subscriber, receiver: Receiver, status: int
) -> None:
    receiver.reply(Response(status, headers={"retry-after": "77"}))
    assert send(sender, subscriber).retry_after == 77.0
    receiver.reply(Response(status, headers={"retry-after": formatdate(time.time() + 3600, usegmt=True)}))
    assert send(sender, subscriber).retry_after == pytest.approx(3600, abs=5)


def test_the_excerpt_is_short_and_printable(sender: Sender, subscriber: Subscriber, receiver: Receiver) -> None:
    receiver.reply(Response(500, "\x1b[31mred\x00\u202eevil\r\n\tnot found: 路径 ".encode() + b"\xff" + b"x" * 9999))
    excerpt = send(sender, subscriber).excerpt
    assert excerpt.startswith("[31mred evil not found: 路径 \ufffdxxx")
    assert len(excerpt) == 500
    assert excerpt.isprintable()


def test_an_echoing_receiver_gives_nothing_away(sender: Sender, subscriber: Subscriber, receiver: Receiver) -> None:
    receiver.fail(Fault("alter", alter=lambda _: Response(500, orjson.dumps(receiver.requests[-1].headers))))
    attempt = send(sender, of(subscriber, headers={"authorization": "Bearer t0p-s3cret"}))
    assert "webhook-timestamp" in attempt.excerpt, "it did echo"
    assert "t0p-s3cret" not in attempt.excerpt
    assert receiver.requests[-1].headers["webhook-signature"] not in attempt.excerpt


# Receivers that stretch, flood or break off.


def timed(sender: Sender, subscriber: Subscriber, deadline: float) -> tuple[Attempt, float]:
    started = time.monotonic()
    attempt = send(sender, subscriber, deadline)
    return attempt, time.monotonic() - started


@pytest.mark.parametrize(
    "fault",
    [
        Fault("drip-headers", response=Response(200), seconds=0.1),
        Fault("drip", seconds=0.1),
        Fault("stall"),
        Fault("stall-after"),
    ],
    ids=lambda fault: fault.kind,
)
def test_no_receiver_stretches_the_deadline(
    sender: Sender, subscriber: Subscriber, receiver: Receiver, fault: Fault
) -> None:
    receiver.answering = Response(200, b"x" * 100)
    receiver.fail(fault)
    attempt, seconds = timed(sender, subscriber, 2.0)
    assert (attempt.kind, attempt.status) == ("failed", None), "a 200 that was not finished is none"
    assert attempt.error == "no complete answer within the deadline"
    assert seconds == pytest.approx(2.0, rel=0.05)
    assert attempt.duration_ms == pytest.approx(seconds * 1000, abs=100)


def test_a_handshake_that_never_comes_ends_at_the_deadline(trusting: ssl.SSLContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sender = secure(Lead(silent.getsockname()[1]), trusting)
        attempt, seconds = timed(sender, Subscriber("cms", "https://cms.example.com/", (SECRET,)), 1.0)
    assert (attempt.kind, attempt.error) == ("failed", "no complete answer within the deadline")
    assert seconds < 2


def test_a_receiver_that_does_not_read_ends_at_the_deadline(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        started = time.monotonic()
        attempt = sender.send(Subscriber("cms", url, (SECRET,)), "evt_1", 1, b"x" * 20_000_000, deadline=2.0)
    assert attempt.error == "no complete answer within the deadline"
    assert time.monotonic() - started < 4


def test_a_gigabyte_costs_no_more_than_64_kilobytes(sender: Sender, subscriber: Subscriber, receiver: Receiver) -> None:
    def peak() -> int:
        tracemalloc.start()
        try:
            assert send(sender, subscriber).kind == "delivered"
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    send(sender, subscriber)  # imports what is imported late
    ordinary = peak()
    receiver.fail(Fault("endless"))
    assert peak() - ordinary <= 64 * 1024
    assert receiver.flooded < 100_000_000, "what the sockets buffer, and not the whole of it"


def test_an_answer_longer_than_we_read_counts_by_its_status(
    sender: Sender, subscriber: Subscriber, receiver: Receiver
) -> None:
    receiver.reply(Response(200, b"a" * 1_000_000))
    assert send(sender, subscriber).kind == "delivered"
    receiver.reply(Response(500, b"b" * 1_000_000))
    attempt = send(sender, subscriber)
    assert (attempt.kind, attempt.status, attempt.excerpt) == ("failed", 500, "b" * 500)


@pytest.mark.parametrize("size", [2, 5_000, 60_000])
def test_an_answer_that_breaks_off_is_no_delivery(
    sender: Sender, subscriber: Subscriber, receiver: Receiver, size: int
) -> None:
    receiver.answering = Response(200, b"x" * size)
    receiver.fail(Fault("cut"))
    attempt = send(sender, subscriber)
    assert (attempt.kind, attempt.status) == ("failed", None)
    assert send(sender, subscriber).kind == "delivered"


def test_a_reset_is_a_failure(sender: Sender, subscriber: Subscriber, receiver: Receiver) -> None:
    receiver.fail(Fault("reset"))
    attempt = send(sender, subscriber)
    assert (attempt.kind, attempt.status) == ("failed", None)
    assert "broke" in (attempt.error or "")


def test_nobody_listening_is_a_failure(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    attempt = send(sender, Subscriber("cms", url, (SECRET,)))
    assert (attempt.kind, attempt.error) == ("failed", "no connection to 127.0.0.1: Connection refused")


# TLS, and where may be dialled.


def test_tls_is_verified_against_the_name_and_the_judged_address_is_dialled(
    trusting: ssl.SSLContext, certified: Callable[..., ssl.SSLContext]
) -> None:
    with Receiver(SECRET, context=certified("cms.example.com")) as receiver:
        lead = Lead(receiver.port)
        attempt = send(secure(lead, trusting), Subscriber("cms", "https://cms.example.com/hooks", (SECRET,)))
        assert attempt.kind == "delivered", attempt.error
        assert receiver.deliveries[0].headers["host"] == "cms.example.com"
        assert (lead.lookups, lead.dialled) == (["cms.example.com"], [(PUBLIC, 443)])


def test_another_names_certificate_is_not_accepted(
    trusting: ssl.SSLContext, certified: Callable[..., ssl.SSLContext]
) -> None:
    with Receiver(SECRET, context=certified("evil.example.com")) as receiver:
        attempt = send(secure(Lead(receiver.port), trusting), Subscriber("cms", "https://cms.example.com/", (SECRET,)))
        assert attempt.kind == "failed"
        assert attempt.error == ("its certificate is not accepted: it does not name the host of the url")
        assert receiver.requests == []


def test_an_unknown_authoritys_certificate_is_not_accepted(trusting: ssl.SSLContext) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("cms.example.com").configure_cert(context)
    with Receiver(SECRET, context=context) as receiver:
        attempt = send(secure(Lead(receiver.port), trusting), Subscriber("cms", "https://cms.example.com/", (SECRET,)))
        assert (attempt.kind, receiver.requests) == ("failed", [])
        assert "its certificate is not accepted" in (attempt.error or "")


def test_plain_http_where_tls_is_expected_is_a_failure(trusting: ssl.SSLContext, receiver: Receiver) -> None:
    attempt = send(secure(Lead(receiver.port), trusting), Subscriber("cms", "https://cms.example.com/", (SECRET,)))
    assert attempt.kind == "failed"
    assert (attempt.error or "").startswith("TLS failed")


def test_what_must_not_be_dialled_is_refused_for_good(receiver: Receiver) -> None:
    for url in (receiver.url, f"https://127.0.0.1:{receiver.port}/", "https://user@cms.example.com/"):
        attempt = send(Sender(AddressGuard()), Subscriber("cms", url, (SECRET,)))
        assert (attempt.kind, attempt.status) == ("refused", None)
    assert receiver.requests == []


def test_no_proxy_is_taken_from_the_environment(receiver: Receiver) -> None:
    """In a process of its own, because the environment is one for all threads."""
    with Receiver(SECRET) as proxy:
        ran = subprocess.run(
            [sys.executable, "-c", PROXIED, receiver.url, SECRET],
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                **dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), proxy.url),
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert (ran.stdout.strip(), proxy.requests) == ("delivered", [])
    assert receiver.counts["evt_1"] == 1


PROXIED = """
import sys, time
from ipaddress import ip_network
from shared.webhooks.address_guard import AddressGuard, Target
from shared.webhooks.sender import Sender
from shared.webhooks.subscribers import Subscriber
sender = Sender(AddressGuard(allow=(ip_network("127.0.0.0/8"),)))
print(sender.send(Subscriber("cms", sys.argv[1], (sys.argv[2],)), "evt_1", int(time.time()), b"{}").kind)
"""


def test_thirty_two_at_a_time(trusting: ssl.SSLContext, certified: Callable[..., ssl.SSLContext]) -> None:
    with Receiver(SECRET, context=certified("cms.example.com"), delay=0.02) as receiver:
        sender = secure(Lead(receiver.port), trusting)
        subscriber = Subscriber("cms", "https://cms.example.com/", (SECRET,))
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            attempts = list(pool.map(lambda n: sender.send(subscriber, f"evt_{n}", int(time.time()), BODY), range(100)))
        assert {attempt.kind for attempt in attempts} == {"delivered"}
        assert receiver.counts == {f"evt_{n}": 1 for n in range(100)}


# Functions.


class Functions:
    """Records calls; answers or raises what it is given."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.calls: list[tuple[str, str | None, str, bytes, float]] = []
        self._answer = answer

    def __call__(self, service: str, qualifier: str | None, function: str, payload: bytes, timeout: float) -> bytes:
        self.calls.append((service, qualifier, function, payload, timeout))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_a_function_gets_headers_and_the_exact_body() -> None:
    functions = Functions(b'"noted"')
    attempt = send(Sender(AddressGuard(), functions), Subscriber("index", "fc://media.prod/index_job", (SECRET,)), 9.0)
    assert (attempt.kind, attempt.status, attempt.excerpt) == ("delivered", 200, '"noted"')
    ((service, qualifier, function, payload, timeout),) = functions.calls
    assert (service, qualifier, function) == ("media", "prod", "index_job")
    assert timeout == pytest.approx(9.0, abs=0.5)
    event = orjson.loads(payload)
    assert event["body"].encode() == BODY
    Webhook(SECRET).verify(event["body"], event["headers"])


def test_a_function_that_fails_is_a_failure() -> None:
    functions = Functions(Throttled("media/index_job: throttled (status 429)", retry_after=3.0, status=429))
    attempt = send(Sender(AddressGuard(), functions), Subscriber("index", "fc://media/index_job", (SECRET,)))
    assert (attempt.kind, attempt.status, attempt.retry_after) == ("failed", 429, 3.0)
    assert attempt.error == "media/index_job: throttled (status 429)"


def test_functions_need_somebody_to_call_them() -> None:
    attempt = send(Sender(AddressGuard()), Subscriber("index", "fc://media/index_job", (SECRET,)))
    assert attempt.kind == "refused"


# Secrets.


def test_no_attempt_log_or_error_shows_a_secret(
    sender: Sender, subscriber: Subscriber, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hidden = of(subscriber, headers={"authorization": "Bearer t0p-s3cret"}, url=receiver.url + "/t0k3n-in-path")
    shown = []
    for status in (204, 302, 410, 500):
        receiver.reply(Response(status, b"no"))
        shown.append(repr(send(sender, hidden)))
    for fault in ("reset", "cut", "drip-headers", "stall"):
        receiver.fail(Fault(fault, seconds=1))
        shown.append(repr(send(sender, hidden, 0.3)))
    shown.append(repr(send(sender, of(hidden, secrets=("whsec_c2hvcnQ=",)))))
    shown.append(repr(send(Sender(AddressGuard()), hidden)))
    everything = "\n".join([*shown, caplog.text])
    for secret in (SECRET[6:], "c2hvcnQ", "t0p-s3cret", "t0k3n-in-path", "v1,"):
        assert secret not in everything


# Faults of our own.


def test_whatever_is_raised_becomes_an_attempt_and_an_error_in_the_log(
    subscriber: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(AddressGuard):
        def target(self, url: str) -> Target:
            raise ArithmeticError(f"about {url}")

    attempt = send(Sender(Broken()), of(subscriber, url="https://cms.example.com/t0p-s3cret"))
    assert (attempt.kind, attempt.status) == ("failed", None)
    assert attempt.error == "a fault of ours (ArithmeticError); see delivery.raised in the log"
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "delivery.raised")
    assert record.__dict__["fields"]["subscriber"] == "cms"
    assert "s3cret" not in repr(record.__dict__)


@pytest.mark.parametrize("value", ["a\r\nx-evil: b", "a\nb", "a\0b", "caf\u00e9"])
def test_a_header_that_would_be_two_is_never_sent(
    sender: Sender, subscriber: Subscriber, receiver: Receiver, value: str
) -> None:
    """The subscribers' file refuses such values; the sender does not rely on it."""
    for headers in ({"x-team": value}, {value: "x"}):
        attempt = send(sender, of(subscriber, headers=headers))
        assert attempt.kind == "failed"
        assert "correct it in SUBSCRIBERS_URL" in (attempt.error or "")
    assert receiver.requests == []
