"""What the transport does for all services, over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from shared.errors import Unavailable
from shared.refusals import Answer, Subject
from shared.retrying import Limits
from shared.service_calls import Request, ServiceCalls, up_to
from shared.storage.oss import OSS

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SUBJECT = Subject("a", {"key": "a"})


@contextmanager
def forgetful(barrier: threading.Barrier) -> Iterator[tuple[str, list[str]]]:
    """A server that answers one request on each connection, and resets it at the next, as after a freeze."""
    events: list[str] = []
    kept: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            events.append("answer")
            barrier.wait(10)
            connection.sendall(ANSWER)
            if connection.recv(65536):
                events.append("reset")

    def accept() -> None:
        with ThreadPoolExecutor(32) as pool:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                pool.submit(serve, connection)

    server = socket.create_server(("127.0.0.1", 0), backlog=32)
    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}", events
    finally:
        for each in (server, *kept):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)


def ask(calls: ServiceCalls, attempts: int) -> bytes:
    def body(answer: Answer) -> bytes:
        return answer.body

    limits = Limits(connect=5, read=5, total=20, attempts=attempts, backoff=0.001)
    return calls.call(SUBJECT, lambda: Request("GET", "/", {}), body, limits)


def test_connections_that_died_together_cost_one_attempt() -> None:
    """An instance that was frozen finds all of them dead; urllib3 follows a failure with a connection that is new."""
    many = 8
    barrier = threading.Barrier(many)  # so that each of the first requests has a connection of its own
    with forgetful(barrier) as (url, events):
        calls = ServiceCalls(OSS, url)
        with ThreadPoolExecutor(many) as pool:
            assert list(pool.map(lambda _: ask(calls, 1), range(many))) == [b"ok"] * many
        assert events == ["answer"] * many
        barrier.reset()
        events.clear()
        extra = [threading.Thread(target=barrier.wait, args=(10,)) for _ in range(many - 1)]
        for thread in extra:
            thread.start()
        assert ask(calls, 2) == b"ok"
        for thread in extra:
            thread.join(10)
        assert sorted(events) == ["answer", "reset"]


def test_what_cannot_be_reached_names_the_settings_to_check() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(Unavailable, match=r"OSS at http://.* could not be reached for a .*OSS_ENDPOINT"):
        ask(ServiceCalls(OSS, url), 2)


def test_a_body_of_unknown_size_is_read_until_it_is_too_large() -> None:
    """What it was let go at is decided once: that there is room again a moment later makes no whole of a part."""
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    sizes: list[int] = []

    def takes(size: int) -> bool:
        sizes.append(size)
        return size <= 100_000 or sizes.count(size) > 1

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + piece * 20 + b"0\r\n\r\n")

    def call(takes: Callable[[int], bool]) -> Answer:
        with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
            pool.submit(serve, server)
            calls = ServiceCalls(OSS, f"http://127.0.0.1:{server.getsockname()[1]}")
            return calls.call(SUBJECT, lambda: Request("GET", "/", {}), lambda answer: answer, Limits(), takes)

    refused = call(takes)
    assert 100_000 < refused.unread < 1_000_000
    whole = call(up_to(20 * 65536))
    assert (whole.unread, len(whole.body)) == (0, 20 * 65536)
