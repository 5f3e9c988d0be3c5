"""One exchange, whoever is at the other end: every answer, floods of every part, breaks everywhere. Real sockets."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import time
from collections.abc import Callable

import pytest

from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.sender import Attempt, Sender
from shared.webhooks.subscribers import Subscriber
from tests.webhooks.answers import ANSWERS, CHUNKED, Answer
from tests.webhooks.net import LOOPBACK, SECRET, Lead, Scripted, reset, take_request

BODY = b'{"type":"smarttag.job.succeeded","data":{"jobId":"a1"}}'
LONG = b'"' + b"x" * 3_000_000 + b'"'
LATE = "no complete answer within the deadline"
FLOODED = "no answer within the first 256 kB that it sent"

Script = Callable[[socket.socket], object]


@dataclasses.dataclass(frozen=True)
class Transport:
    """Plain, or TLS with what the server and the client need for it."""

    server: ssl.SSLContext | None = None
    client: ssl.SSLContext | None = None


@pytest.fixture(scope="module")
def tls(certified: Callable[..., ssl.SSLContext], trusting: ssl.SSLContext) -> Transport:
    return Transport(certified("cms.example.com"), trusting)


@pytest.fixture(params=["plain", "tls"])
def transport(request: pytest.FixtureRequest, tls: Transport) -> Transport:
    return tls if request.param == "tls" else Transport()


def attempt_against(
    server: Scripted, trusting: ssl.SSLContext | None = None, body: bytes = BODY, deadline: float = 10.0
) -> tuple[Attempt, float]:
    """Make one attempt, over TLS if somebody is trusted; return it without its duration, and the seconds it took."""
    if trusting is None:
        sender, url = Sender(AddressGuard(allow=LOOPBACK)), server.url
    else:
        sender, url = Sender(Lead(server.port).guard(), context=trusting), "https://cms.example.com/"
    started = time.monotonic()
    attempt = sender.send(Subscriber("cms", url, (SECRET,)), "evt_1", int(time.time()), body, deadline)
    return dataclasses.replace(attempt, duration_ms=0), time.monotonic() - started


def saying(answer: bytes, then: Callable[[socket.socket], object] = lambda _peer: None) -> Script:
    def script(peer: socket.socket) -> None:
        take_request(peer)
        peer.sendall(answer)
        then(peer)

    return script


def waiting(peer: socket.socket) -> None:
    """Wait until the client has gone."""
    while peer.recv(65536):
        pass


def flooding(flood: bytes, before: bytes = b"", pause: float = 0.0) -> Script:
    """Say the same without end, at full speed or with pauses."""

    def script(peer: socket.socket) -> None:
        take_request(peer)
        peer.sendall(before)
        while True:
            peer.sendall(flood)
            time.sleep(pause)

    return script


def test_the_table_is_long_and_names_are_unique() -> None:
    assert len(ANSWERS) >= 60
    assert len({answer.name for answer in ANSWERS}) == len(ANSWERS)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
def test_what_each_answer_becomes(answer: Answer) -> None:
    with Scripted(saying(answer.sent)) as server:
        attempt, _ = attempt_against(server)
    assert attempt == answer.becomes


def test_what_each_answer_becomes_over_tls(tls: Transport) -> None:
    current: list[Answer] = []

    def script(peer: socket.socket) -> None:
        take_request(peer)
        peer.sendall(current[-1].sent)
        with_farewell = len(current) % 2
        if with_farewell:
            assert isinstance(peer, ssl.SSLSocket)
            peer.unwrap()

    with Scripted(script, tls.server) as server:
        for answer in ANSWERS:
            current.append(answer)
            assert attempt_against(server, tls.client)[0] == answer.becomes, answer.name


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
def test_a_reset_after_it_takes_nothing_back(answer: Answer) -> None:
    """What has no end of its own ends there too; only what was lost anyway may be lost in other words."""
    with Scripted(saying(answer.sent, then=lambda peer: (time.sleep(0.01), reset(peer)))) as server:
        attempt, _ = attempt_against(server)
    assert (attempt.kind, attempt.status) == (answer.becomes.kind, answer.becomes.status)
    assert attempt.retry_after == answer.becomes.retry_after


# Answers that come while the request is still being sent.


def answering_early(answer: bytes, then: Callable[[socket.socket], object]) -> Script:
    """Read the head of the request at most, say it, and do the rest."""

    def script(peer: socket.socket) -> None:
        peer.recv(100)
        peer.sendall(answer)
        then(peer)

    return script


EARLY = [
    (b"HTTP/1.1 413 Too Large\r\ncontent-length: 9\r\n\r\ntoo large", "failed", 413, None),
    (b"HTTP/1.1 413 Too Large\r\n\r\ntoo large", "failed", 413, None),
    (b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", "gone", 410, None),
    (b"HTTP/1.1 429 Slow\r\nretry-after: 90\r\ncontent-length: 0\r\n\r\n", "failed", 429, 90.0),
    (b"HTTP/1.1 503 Busy\r\nretry-after: 9\r\ncontent-length: 50\r\n\r\nhalf", "failed", 503, 9.0),
    (b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n", "delivered", 202, None),
    (b"HTTP/1.1 202 Accepted\r\n\r\n", "delivered", 202, None),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", "failed", 401, None),
]
THEN = {
    "closes": lambda _peer: None,
    "resets": lambda peer: (time.sleep(0.05), reset(peer)),
    "shuts": lambda peer: (peer.shutdown(socket.SHUT_WR), time.sleep(0.2)),
}


@pytest.mark.parametrize("then", THEN)
@pytest.mark.parametrize(("answer", "kind", "status", "wait"), EARLY, ids=lambda value: ascii(value)[:30])
def test_an_answer_before_the_request_is_whole_counts(
    transport: Transport,
    answer: bytes,
    kind: str,
    status: int,
    wait: float | None,
    then: str,
) -> None:
    with Scripted(answering_early(answer, THEN[then]), transport.server) as server:
        attempt, seconds = attempt_against(server, transport.client, LONG)
    assert (attempt.kind, attempt.status, attempt.retry_after) == (kind, status, wait), attempt
    assert seconds < 5


def test_a_receiver_that_answers_and_reads_no_further_is_not_waited_for(transport: Transport) -> None:
    answer = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"
    script = answering_early(answer, lambda _peer: time.sleep(1.5))
    with Scripted(script, transport.server) as server:
        attempt, seconds = attempt_against(server, transport.client, LONG)
    assert (attempt.status, seconds < 1.4) == (413, True)


def test_a_long_request_arrives_whole(transport: Transport) -> None:
    arrived: list[bytes] = []

    def script(peer: socket.socket) -> None:
        arrived.append(take_request(peer).partition(b"\r\n\r\n")[2])
        peer.sendall(b"HTTP/1.1 204 Fine\r\n\r\n")

    with Scripted(script, transport.server) as server:
        attempt, _ = attempt_against(server, transport.client, LONG)
    assert (attempt.kind, arrived == [LONG]) == ("delivered", True)


# Floods, and receivers that never come to an end.

FLOODS = {
    "interim responses": (flooding(b"HTTP/1.1 102 Processing\r\n\r\n" * 99), FLOODED),
    "negative chunk": (
        flooding(b"x" * 1000, CHUNKED + b"-1\r\n"),
        "the answer 200 is no HTTP/1.1: the size of a chunk ",
    ),
    "a header": (flooding(b"x" * 1000, b"HTTP/1.1 200 OK\r\nx: "), FLOODED),
    "blanks in a header": (flooding(b" " * 1000, b"HTTP/1.1 200 OK\r\nx:"), FLOODED),
    "folded lines": (flooding(b" x\r\n" * 300, b"HTTP/1.1 200 OK\r\nlocation: x\r\n"), FLOODED),
    "headers": (flooding(b"x: y\r\n" * 300, b"HTTP/1.1 200 OK\r\n"), FLOODED),
    "garbage": (flooding(b"\xff" * 1000), FLOODED),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_ends_at_the_budget(transport: Transport, flood: str) -> None:
    script, error = FLOODS[flood]
    with Scripted(script, transport.server) as server:
        attempt, seconds = attempt_against(server, transport.client, deadline=5.0)
    assert (attempt.kind, attempt.status) == ("failed", None)
    assert (attempt.error or "").startswith(error)
    assert seconds < 5.25


@pytest.mark.parametrize("part", ["chunk extensions", "one-byte chunks", "empty lines after it", "trailers"])
def test_a_success_that_floods_afterwards_is_one(part: str) -> None:
    script = {
        "chunk extensions": flooding(b"1;" + b"x" * 1000 + b"\r\na\r\n", CHUNKED),
        "one-byte chunks": flooding(b"1\r\na\r\n" * 200, CHUNKED),
        "empty lines after it": flooding(b"\r\n" * 500, b"HTTP/1.1 204 OK\r\n\r\n"),
        "trailers": flooding(b"x: y\r\n" * 200, CHUNKED + b"0\r\n"),
    }[part]
    with Scripted(script) as server:
        attempt, seconds = attempt_against(server, deadline=5.0)
    assert (attempt.kind, seconds < 3) == ("delivered", True)


DRIPS = {
    "interim responses": flooding(b"HTTP/1.1 102 Processing\r\n\r\n", pause=0.01),
    "a header": flooding(b"x", b"HTTP/1.1 200 OK\r\nx: ", pause=0.01),
    "chunks": flooding(b"1\r\na\r\n", CHUNKED, pause=0.01),
    "the size of a chunk": flooding(b"0", CHUNKED + b"1;", pause=0.01),
    "a body": flooding(b"x", b"HTTP/1.1 200 OK\r\n\r\n", pause=0.01),
    "nothing": saying(b"", waiting),
    "half an answer": saying(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", waiting),
}


@pytest.mark.parametrize("drip", DRIPS)
def test_a_drip_ends_at_the_deadline(transport: Transport, drip: str) -> None:
    with Scripted(DRIPS[drip], transport.server) as server:
        attempt, seconds = attempt_against(server, transport.client, deadline=1.0)
    assert attempt == Attempt("failed", None, 0, "", None, LATE)
    assert seconds == pytest.approx(1.0, abs=0.1)


def test_a_failure_that_never_ends_counts_at_the_deadline() -> None:
    script = flooding(b"x", b"HTTP/1.1 410 Gone\r\nretry-after: 5\r\n\r\nno: ", pause=0.01)
    with Scripted(script) as server:
        attempt, seconds = attempt_against(server, deadline=1.0)
    assert (attempt.kind, attempt.status, attempt.retry_after, attempt.error) == ("gone", 410, 5.0, "answered 410")
    assert attempt.excerpt.startswith("no: xxx")
    assert seconds == pytest.approx(1.0, abs=0.1)


# Floods below HTTP.


@pytest.fixture
def generous(certified: Callable[..., ssl.SSLContext]) -> ssl.SSLContext:
    """A server that sends session tickets without end as soon as the handshake is done."""
    context = certified("cms.example.com")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 2**31 - 1
    return context


def slowly(port: int, pieces: int, pause: float) -> Script:
    """Pass on to another server, but what it says only in small pieces."""

    def script(peer: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            for end in (peer, upstream):
                end.setblocking(False)
            while True:
                time.sleep(pause)
                for source, sink, most in ((peer, upstream, 65536), (upstream, peer, pieces)):
                    try:
                        data = source.recv(most)
                    except BlockingIOError:
                        continue
                    if not data:
                        return
                    sink.sendall(data)

    return script


def test_session_tickets_without_end_end_at_the_budget(trusting: ssl.SSLContext, generous: ssl.SSLContext) -> None:
    with Scripted(take_request, generous) as server:
        attempt, seconds = attempt_against(server, trusting, deadline=2.0)
    assert attempt == Attempt("failed", None, 0, "", None, FLOODED)
    assert seconds < 2.1


def test_session_tickets_as_a_stream_end_at_the_deadline(trusting: ssl.SSLContext, generous: ssl.SSLContext) -> None:
    with Scripted(take_request, generous) as server, Scripted(slowly(server.port, 1000, 0.01)) as between:
        attempt, seconds = attempt_against(between, trusting, deadline=2.0)
    assert attempt == Attempt("failed", None, 0, "", None, LATE)
    assert seconds == pytest.approx(2.0, rel=0.05)


def test_a_handshake_that_drips_ends_at_the_deadline(tls: Transport) -> None:
    with Scripted(take_request, tls.server) as server, Scripted(slowly(server.port, 1, 0.01)) as between:
        attempt, seconds = attempt_against(between, tls.client, deadline=1.0)
    assert attempt == Attempt("failed", None, 0, "", None, LATE)
    assert seconds == pytest.approx(1.0, abs=0.1)


def test_an_answer_in_single_bytes_of_tls_arrives(tls: Transport) -> None:
    script = saying(b"HTTP/1.1 410 Gone\r\ncontent-length: 4\r\n\r\ngone")
    with Scripted(script, tls.server) as server, Scripted(slowly(server.port, 7, 0.0005)) as between:
        attempt, _ = attempt_against(between, tls.client)
    assert attempt == Attempt("gone", 410, 0, "gone", None, "answered 410")
