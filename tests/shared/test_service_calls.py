"""What the transport does for all services, over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from shared.errors import Unavailable
from shared.refusals import Answer, Subject
from shared.retrying import Limits
from shared.service_calls import Request, ServiceCalls
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
