"""What http.client leaves to its callers, over real sockets."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from local.cloud.server import Fault, Request, Response, StandIn
from shared.connections import FAILURES, Connections


class Echo(StandIn):
    """Answers with what it was asked."""

    def answer(self, request: Request) -> Response:
        return Response(200, request.method.encode() + b" " + request.path.encode() + b" " + request.body)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as started:
        yield started


def ask(connections: Connections, body: bytes = b"", most: int | None = None) -> bytes:
    with connections.exchange("PUT", "/a%20b", {}, body, connect=5, patience=5) as response:
        return response.read(most)


def test_a_connection_is_used_again_once_its_answer_was_read(echo: Echo) -> None:
    connections = Connections(echo.url)
    assert [ask(connections, b"x"), ask(connections), ask(connections, b"y")] == [
        b"PUT /a b x",
        b"PUT /a b ",
        b"PUT /a b y",
    ]
    assert echo.connections == 1


def test_what_was_not_read_to_its_end_is_not_taken_for_the_next_answer(echo: Echo) -> None:
    connections = Connections(echo.url)
    assert ask(connections, b"xyz", 3) == b"PUT"
    assert ask(connections, b"xyz") == b"PUT /a b xyz"
    assert echo.connections == 2


def test_a_connection_that_the_other_side_has_closed_is_not_tried(echo: Echo) -> None:
    connections = Connections(echo.url)
    echo.fail(Fault("answer", response=Response(200, b"", {"connection": "close"})))
    assert [ask(connections), ask(connections)] == [b"", b"PUT /a b "]
    assert echo.connections == 2


def test_nothing_stays_open_behind_it(echo: Echo) -> None:
    """An unclosed socket would be a warning, and every warning is an error here."""
    connections = Connections(echo.url)
    assert ask(connections) == b"PUT /a b "
    del connections
    gc.collect()


@contextmanager
def listener(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    def accept() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


def test_who_refuses_a_body_before_reading_it_is_heard() -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass

    with (
        listener(refuse) as url,
        Connections(url).exchange("PUT", "/", {}, b"x" * 10_000_000, connect=5, patience=5) as response,
    ):
        assert response.status == 413


def test_silence_ends_with_the_patience() -> None:
    started = time.monotonic()
    with listener(lambda _: time.sleep(1)) as url:
        with pytest.raises(TimeoutError), Connections(url).exchange("GET", "/", {}, b"", connect=5, patience=0.2):
            pass
        assert time.monotonic() - started < 1


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 two hundred\r\n\r\n"])
def test_what_is_no_http_is_a_failure(answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(answer)

    with (
        listener(serve) as url,
        pytest.raises(FAILURES),
        Connections(url).exchange("GET", "/", {}, b"", connect=5, patience=5),
    ):
        pass
