"""One exchange over one connection: a request out, a response in, one deadline and one budget of bytes for everything.

The socket never blocks and every wait ends at the deadline; bytes are taken off it in small pieces, and the deadline is
looked at between any two of them, so neither a slow receiver nor a busy one can hold a thread. Reading goes on while
the request is still being sent: a receiver that refuses a body says so before it has read it, and then hangs up.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from typing import Protocol

from shared.errors import RelayError, TimedOut, Unavailable
from shared.webhooks.response_reader import Response, ResponseReader

MOST_TAKEN = 256 * 1024  # off one connection, TLS and interim responses included
PIECE = 16 * 1024  # as much as a TLS record holds


class Channel(Protocol):
    """What lies between the socket and HTTP."""

    def outgoing(self) -> bytes:
        """Return what is to be sent next; nothing as long as there is nothing."""

    def incoming(self, data: bytes) -> Iterator[bytes]:
        """Take what came off the socket (nothing: it was closed) and yield what that is of the response, likewise.

        Raises:
            Unavailable: the channel failed.
        """


class Unsent:
    """What is left to be sent of a request; the body is not copied, for many may be sent at a time."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self._left = memoryview(head + body[:PIECE])  # together, so that a small request is one packet
        self._after = memoryview(body)[PIECE:]

    def __bool__(self) -> bool:
        return bool(self._left)

    def piece(self) -> memoryview:
        """Return what comes next."""
        return self._left[:PIECE]

    def sent(self, size: int) -> None:
        """Go on behind so many bytes."""
        self._left = self._left[size:]
        if not self._left:
            self._left, self._after = self._after, self._left


class Plain:
    """No TLS."""

    def __init__(self, request: Unsent) -> None:
        self._request = request

    def outgoing(self) -> bytes:
        """Return a piece of the request."""
        piece = bytes(self._request.piece())
        self._request.sent(len(piece))
        return piece

    def incoming(self, data: bytes) -> Iterator[bytes]:
        """Yield what came."""
        yield data


def exchange(sock: socket.socket, channel: Channel, ends: float) -> Response:
    """Send what ``channel`` holds, and return the final response.

    A response that says no counts as soon as its head was read, whatever becomes of the rest. One that says yes (2xx)
    counts when it came to its end or used up the budget; without a length, any end of the connection is its end.

    Args:
        sock: connected; left in non-blocking mode.
        channel: holds the request.
        ends: when to give up, on the monotonic clock.

    Raises:
        TimedOut: ``ends`` came first.
        Unavailable: the connection, TLS or HTTP failed.
    """
    line = _Line(sock, ends)
    reader = ResponseReader()
    try:
        _converse(line, channel, reader)
    except RelayError as error:
        if reader.status is None or 200 <= reader.status < 300:  # noqa: PLR2004 - 2xx
            raise (line.breakdown() or error) from error
    response = reader.response()
    if response is None:
        raise Unavailable(f"no answer within the first {MOST_TAKEN // 1024} kB that it sent")
    return response


def _converse(line: _Line, channel: Channel, reader: ResponseReader) -> None:
    unsent = channel.outgoing()
    taken = 0
    while not reader.complete and taken < MOST_TAKEN:
        readable, writable = line.wait(to_send=bool(unsent))
        if writable:
            unsent = unsent[line.send(unsent) :]
        data = line.receive(min(PIECE, MOST_TAKEN - taken)) if readable else None
        if data is not None:
            taken += len(data)
            for piece in channel.incoming(data):
                reader.feed(piece)
        unsent = (unsent or channel.outgoing()) if line.broken is None else b""


class _Line:
    """A socket that waits until the deadline only, and remembers how it broke."""

    def __init__(self, sock: socket.socket, ends: float) -> None:
        sock.setblocking(False)
        self.broken: OSError | None = None
        self._ended = False
        self._sock = sock
        self._ends = ends
        self._poll = select.poll()

    def wait(self, *, to_send: bool) -> tuple[bool, bool]:
        """Wait until something can be read (or nothing ever will) or sent; return which."""
        left = self._ends - time.monotonic()
        self._poll.register(self._sock, select.POLLIN | (select.POLLOUT if to_send else 0))
        events = self._poll.poll(left * 1000) if left > 0 else []
        if not events:
            raise TimedOut("no complete answer within the deadline")
        ((_, event),) = events
        return event != select.POLLOUT, bool(event & select.POLLOUT)

    def send(self, data: bytes) -> int:
        """Return how much was sent."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.broken = error
            return 0

    def receive(self, most: int) -> bytes | None:
        """Return what came, nothing if the connection has ended; None if nothing came yet after all."""
        try:
            data = self._sock.recv(most)
        except BlockingIOError:
            return None
        except OSError as error:
            self.broken = error
            data = b""
        self._ended = not data
        return data

    def breakdown(self) -> Unavailable | None:
        """Return how it broke, if it did and nothing that it brought before says more."""
        if self.broken is None or not self._ended:
            return None
        return Unavailable(f"the connection broke: {self.broken.strerror or type(self.broken).__name__}")
