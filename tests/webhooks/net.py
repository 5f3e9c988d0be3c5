"""A net in which every name is public and leads to a port of this machine."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from shared.webhooks.address_guard import AddressGuard

if TYPE_CHECKING:
    from typing_extensions import Self

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUBLIC = "93.184.216.34"
LOOPBACK = (ip_network("127.0.0.0/8"),)


class Lead:
    """Resolves every name to one public address, and connects that address to a port of this machine."""

    def __init__(self, port: int) -> None:
        self.lookups: list[str] = []
        self.dialled: list[tuple[Any, ...]] = []
        self._port = port

    def resolve(self, host: str, port: int, **_kwargs: object) -> list[tuple[Any, ...]]:
        self.lookups.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC, port))]

    def connect(self, sockaddr: tuple[Any, ...], timeout: float) -> socket.socket:
        self.dialled.append(sockaddr)
        return socket.create_connection(("127.0.0.1", self._port), timeout)

    def guard(self) -> AddressGuard:
        return AddressGuard(resolve=self.resolve, connect=self.connect)


class Scripted:
    """A server on 127.0.0.1 that does to each connection what ``script`` does; a context manager.

    A script gets the connected socket, after the handshake if there is a ``context``. What it leaves open is closed in
    good order when it returns. Errors of sockets are the everyday life of a server; any other is raised at the end.
    """

    def __init__(self, script: Callable[[socket.socket], object], context: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._threads: list[threading.Thread] = []
        self._errors: list[Exception] = []
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)
        if self._errors:
            raise self._errors[0]

    def _accept(self) -> None:
        while True:
            try:
                peer, _address = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(peer,), daemon=True)
            self._threads = [*(old for old in self._threads if old.is_alive()), thread]
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            with peer:
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or a reset could overtake what was said
                if self._context is None:
                    self._script(peer)
                    return
                with self._context.wrap_socket(peer, server_side=True) as secure:
                    self._script(secure)
        except OSError:
            pass
        except Exception as error:  # noqa: BLE001 - shown at the end
            self._errors.append(error)


def take_request(peer: socket.socket) -> bytes:
    """Read one request with a Content-Length off a socket, and return it."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += _some(peer)
    head, _, body = request.partition(b"\r\n\r\n")
    (length,) = (line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < int(length):
        body += _some(peer)
    return head + b"\r\n\r\n" + body


def _some(peer: socket.socket) -> bytes:
    data = peer.recv(65536)
    if not data:
        raise ConnectionError("the client has gone")
    return data


def reset(peer: socket.socket) -> None:
    """Break the connection: the other side sees a reset and no end."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
