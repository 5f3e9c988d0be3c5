"""The reader by itself: it depends on nothing but the bytes, and reads as others read."""

from __future__ import annotations

import contextlib
import os
import socket
import time

import h11
import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import Unavailable
from shared.webhooks.response_reader import KEPT, Response, ResponseReader
from tests.webhooks.answers import ANSWERS, CHUNKED, Answer
from tests.webhooks.grammar import Spoken, speak
from tests.webhooks.net import Scripted, take_request

EXAMPLES = 10_000 if os.environ.get("SOAK") else 100
SEEDS = st.integers(0, 2**32)
SHORT = [answer for answer in ANSWERS if len(answer.sent) < 300]


def read(*pieces: bytes) -> tuple[Response | None, bool, str]:
    """Feed pieces, then the end of the connection; return the response, whether it is complete, and the error."""
    reader = ResponseReader()
    try:
        for piece in (*filter(None, pieces), b""):
            reader.feed(piece)
    except Unavailable as error:
        return reader.response(), reader.complete, error.message
    return reader.response(), reader.complete, ""


@pytest.mark.parametrize("answer", SHORT, ids=lambda answer: answer.name)
def test_how_it_is_cut_changes_nothing(answer: Answer) -> None:
    sent = answer.sent
    whole = read(sent)
    assert read(*(sent[at : at + 1] for at in range(len(sent)))) == whole
    assert all(read(sent[:at], sent[at:]) == whole for at in range(len(sent)))


@settings(deadline=None, max_examples=EXAMPLES)
@given(SEEDS)
def test_nor_for_any_other_answer(seed: int) -> None:
    spoken = speak(seed)
    assert read(*spoken.pieces) == read(b"".join(spoken.pieces))


@pytest.mark.parametrize("answer", SHORT, ids=lambda answer: answer.name)
def test_broken_off_anywhere_it_says_nothing_else(answer: Answer) -> None:
    """Without its end, an answer may be incomplete or missing; it never becomes another one."""
    sent = answer.sent
    whole, _, _ = read(sent)
    for at in range(len(sent)):
        response, _, _ = read(sent[:at])
        if response is not None:
            assert whole is not None
            assert response.status == whole.status
            assert whole.body.startswith(response.body)


@settings(deadline=None, max_examples=EXAMPLES)
@given(SEEDS)
def test_a_well_formed_answer_is_read_right(seed: int) -> None:
    spoken = speak(seed)
    if spoken.status is not None:
        response, complete, error = read(*spoken.pieces)
        assert (complete, error) == (True, "")
        assert response is not None
        assert (response.status, response.body) == (spoken.status, spoken.body[:KEPT])
        assert response.fields.get("retry-after") == ([spoken.retry_after] if spoken.retry_after else None)


def read_by_h11(spoken: bytes) -> tuple[int, bytes] | None:
    """Return status and body; None if h11 does not take it for a complete response."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=100_000)
    connection.send(h11.Request(method="POST", target="/", headers=[("host", "a"), ("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    with contextlib.suppress(h11.RemoteProtocolError):
        connection.receive_data(spoken)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return status, body
            elif event is h11.NEED_DATA:
                connection.receive_data(b"")
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return None
    return None


@settings(deadline=None, max_examples=EXAMPLES)
@given(SEEDS)
def test_what_h11_reads_we_read_alike(seed: int) -> None:
    """The other way round it is stricter: trailers, TE beside chunks, and 1xx that upgrade."""
    said = b"".join(speak(seed).pieces)
    if b" " * 1000 in said:
        return  # h11 needs minutes for these: docs/decisions/0004-webhook-wire.md
    theirs = read_by_h11(said)
    response, complete, error = read(said)
    if theirs is not None:
        assert (complete, error) == (True, "")
        assert response is not None
        assert (response.status, response.body) == (theirs[0], theirs[1][:KEPT])


def test_h11_reads_every_well_formed_answer_too() -> None:
    """So that the test above judges something."""
    judged = 0
    for seed in range(150):
        spoken = speak(seed)
        if spoken.status is not None:
            assert read_by_h11(b"".join(spoken.pieces)) == (spoken.status, spoken.body)
            judged += 1
    assert judged > 50


def test_urllib3_reads_what_we_read() -> None:
    every = ((spoken, b"".join(spoken.pieces)) for spoken in map(speak, range(200)) if spoken.status)
    # urllib3 takes interim responses other than 100 for the answer, and takes no more than 100 headers.
    wanted = [spoken for spoken, said in every if not said.startswith(b"HTTP/1.1 1") and said.count(b"\nx") < 100]
    assert len(wanted) > 20
    current: list[Spoken] = []

    def script(peer: socket.socket) -> None:
        take_request(peer)
        for piece in current[-1].pieces:
            peer.sendall(piece)

    with Scripted(script) as server:
        for spoken in wanted:
            current.append(spoken)
            with urllib3.PoolManager() as pool:
                theirs = pool.request("POST", server.url, body=b"{}", retries=False, redirect=False)
            ours, _, _ = read(*spoken.pieces)
            assert ours is not None
            assert (ours.status, ours.body) == (theirs.status, theirs.data[:KEPT])
            assert ours.fields.get("retry-after", [None])[0] == theirs.headers.get("retry-after")


FLOODS = {
    "blanks and a bad letter": b"HTTP/1.1 200 OK\r\nx:" + b" " * 250_000 + b"\0\r\n\r\n",
    "blanks in a value": b"HTTP/1.1 200 OK\r\nx:" + b"a " * 125_000 + b"\0\r\n\r\n",
    "folded lines": b"HTTP/1.1 200 OK\r\nlocation: x\r\n" + b" x\r\n" * 60_000 + b"\r\n",
    "lengths": b"HTTP/1.1 200 OK\r\n" + b"content-length: 0\r\n" * 13_000 + b"\r\n",
    "lengths in a line": b"HTTP/1.1 200 OK\r\ncontent-length: " + b"0," * 120_000 + b"0\r\n\r\n",
    "encodings": b"HTTP/1.1 200 OK\r\ntransfer-encoding: " + b"gzip," * 50_000 + b"chunked\r\n\r\n0\r\n",
    "digits of a length": b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 250_000 + b"\r\n\r\n",
    "digits of a chunk": CHUNKED + b"f" * 250_000 + b"\r\n",
    "an extension": CHUNKED + b"1;" + b";" * 250_000 + b"\r\na\r\n0\r\n",
    "blanks after a size": CHUNKED + b"1" + b" " * 250_000 + b"x\r\n",
    "small chunks": CHUNKED + b"1\r\na\r\n" * 40_000 + b"0\r\n\r\n",
    "interim responses": b"HTTP/1.1 102 P\r\n\r\n" * 14_000 + b"HTTP/1.1 204 OK\r\n\r\n",
    "a reason": b"HTTP/1.1 200 " + b" " * 250_000 + b"\0\r\n\r\n",
}


@pytest.mark.parametrize("size", [1, 16_384])
@pytest.mark.parametrize("flood", FLOODS)
def test_no_flood_costs_more_than_its_length(flood: str, size: int) -> None:
    """A quadratic reader needs minutes for these; this one a fraction of a second, byte by byte as well."""
    said = FLOODS[flood]
    started = time.process_time()
    read(*(said[at : at + size] for at in range(0, len(said), size)))
    assert time.process_time() - started < 5


def test_the_body_is_kept_to_its_beginning() -> None:
    response, complete, _ = read(*[b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 10_000] * 50])
    assert (response, complete) == (Response(200, {}, b"x" * KEPT), True)
