"""Connections to one address, kept and used again: ``http.client``, and what it leaves to its callers.

Why not urllib3: docs/decisions/0002-mps-transport.md.
"""

from __future__ import annotations

import select
import ssl
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import urlsplit

FAILURES = (OSError, HTTPException)  # what may go wrong with an exchange


class Connections:
    """Connections to one address; safe to share between threads.

    Args:
        url: ``https://host[:port]``; what follows does not matter.
        ca_file: certificate authorities to trust instead of certifi's.
    """

    def __init__(self, url: str, ca_file: str | None = None) -> None:
        self._address = urlsplit(url)
        self._ca_file = ca_file
        self._idle: list[HTTPConnection] = []
        weakref.finalize(self, _close, self._idle)

    @contextmanager
    def exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, connect: float, patience: float
    ) -> Iterator[HTTPResponse]:
        """Send a request and yield the response; the connection is kept if the response was read to its end.

        Any failure lets go of the idle connections as well: an instance that was frozen finds all of them dead, and
        the next attempt begins with a new one.

        Args:
            method: of HTTP.
            target: path and query, percent-encoded.
            headers: of the request; Host and Content-Length are added.
            body: empty for none.
            connect: seconds until it is connected.
            patience: seconds until it is connected, and from then on for each wait.

        Raises:
            OSError: the connection failed; ``TimeoutError`` where it took too long.
            HTTPException: what came is no HTTP.
        """
        ends = time.monotonic() + patience
        connection = self._take() or self._connect(min(connect, patience))
        try:
            connection.sock.settimeout(_left(ends))
            with suppress(BrokenPipeError):  # who hangs up in the middle of a request has perhaps said why
                connection.request(method, target, body or None, headers)
            with connection.getresponse() as response:
                yield response
                if response.will_close or not (response.isclosed() or response.length == 0):
                    connection.close()
        except BaseException:
            connection.close()
            _close(self._idle)
            raise
        if connection.sock:
            self._idle.append(connection)

    def _take(self) -> HTTPConnection | None:
        """Return an idle connection; what can be read from one that nobody has asked is its end."""
        with suppress(IndexError):  # there is none left
            while True:
                connection = self._idle.pop()
                poll = select.poll()
                poll.register(connection.sock, select.POLLIN)
                if not poll.poll(0):
                    return connection
                connection.close()
        return None

    def _connect(self, seconds: float) -> HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "https":
            connection: HTTPConnection = HTTPSConnection(host, port, timeout=seconds, context=_tls(self._ca_file))
        else:
            connection = HTTPConnection(host, port, timeout=seconds)
        connection.connect()
        return connection


def _close(connections: list[HTTPConnection]) -> None:
    with suppress(IndexError):
        while True:
            connections.pop().close()


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@cache
def _tls(ca_file: str | None) -> ssl.SSLContext:
    """Return the one context of all connections: reading the authorities takes some 20 ms of CPU."""
    import certifi

    context = ssl.create_default_context(cafile=ca_file or certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
