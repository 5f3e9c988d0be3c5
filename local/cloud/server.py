"""An HTTP server on 127.0.0.1 that can misbehave on purpose: the base of every stand-in."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Request:
    """One request as it came off the socket; header names are lower case, ``path`` is percent-decoded."""

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """What a stand-in answers."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """A service refuses a request; ``code`` is its own name for the reason."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Fault:
    """One thing that goes wrong, for the next ``times`` requests that ``match``.

    ``kind``: ``answer`` (send ``response`` instead, nothing done), ``reset`` (drop the connection, nothing done),
    ``reset-after`` (do the work, then drop the connection), ``stall`` (nothing done, silent for ``seconds``),
    ``stall-after`` (do the work, then silent), ``cut`` (do the work, send half of the body), ``drip`` (do the work,
    send a byte every ``seconds``), ``alter`` (do the work, send what ``alter`` makes of the answer).
    """

    kind: str
    times: int = 1
    match: Callable[[Request], bool] = lambda _request: True
    response: Response = field(default_factory=lambda: Response(503))
    seconds: float = 60.0
    alter: Callable[[Response], Response] = lambda response: response


class StandIn:
    """A stand-in service: subclasses implement ``answer``. Use as a context manager.

    Attributes:
        requests: every request received, in order of arrival, faulty ones included.
        connections: how many connections were accepted.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server = _Server(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def hang_up(self) -> None:
        """Drop every connection that is open: what a client kept alive is dead from now on."""
        self._server.hang_up()

    def fail(self, fault: Fault) -> None:
        """Queue a fault."""
        with self._lock:
            self._faults.append(fault)

    def heal(self) -> None:
        """Forget every fault that is queued."""
        with self._lock:
            self._faults.clear()

    def answer(self, request: Request) -> Response:
        """Do what the service does."""
        raise LookupError(f"{type(self).__name__} has no answer for {request.method} {request.path}")

    def take_fault(self, request: Request) -> Fault | None:
        """Note the request; return the fault it is to meet, if any."""
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                if fault.times > 0 and fault.match(request):
                    fault.times -= 1
                    return fault
        return None

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the stand-in runs."""
        self._stopping.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, owner: StandIn, port: int) -> None:
        self.owner = owner
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_close(self) -> None:
        """Close kept-alive connections too: a service that is down answers nobody."""
        super().server_close()
        self.hang_up()

    def hang_up(self) -> None:
        for connection in tuple(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class's own
        """Say nothing of a client that hangs up, an everyday event here; show every other error."""
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)
        self.server.owner.connections += 1

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def _serve(self) -> None:
        self._started = False
        request = self._read()
        fault = self.server.owner.take_fault(request)
        if fault is None:
            self._send(self.server.owner.answer(request))
        elif fault.kind == "answer":
            self._send(fault.response)
        elif fault.kind == "alter":
            self._send(fault.alter(self.server.owner.answer(request)))
        else:
            self._break_off(fault, request)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_TRACE = do_QUERY = _serve

    def _break_off(self, fault: Fault, request: Request) -> None:
        self.close_connection = True
        done = self.server.owner.answer(request) if fault.kind not in {"reset", "stall"} else None
        if fault.kind in {"stall", "stall-after"}:
            self.server.owner.pause(fault.seconds)
        elif done is not None and fault.kind in {"cut", "drip"}:
            for piece in _pieces(done.body, fault.kind):
                self._write(done, piece)
                self.server.owner.pause(fault.seconds if fault.kind == "drip" else 0)
        self._reset()

    def _read(self) -> Request:
        parts = urlsplit(self.path)
        return Request(
            method=self.command,
            target=self.path,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): ",".join(self.headers.get_all(name, [])) for name in self.headers},
            body=self._body(),
        )

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = bytearray()
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return bytes(body)

    def _send(self, response: Response) -> None:
        self._write(response, response.body)

    def _write(self, response: Response, piece: bytes) -> None:
        if not self._started:
            self.send_response_only(response.status)
            headers = {"Date": self.date_time_string(), "Content-Length": str(len(response.body)), **response.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self._started = True
        if self.command != "HEAD":
            self.wfile.write(piece)
            self.wfile.flush()

    def _reset(self) -> None:
        """Close with RST, so that the client sees a reset and not an orderly end."""
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RD)
        with contextlib.suppress(OSError):
            self.connection.close()

    def log_message(self, *_args: object) -> None:
        """Say nothing; ``StandIn.requests`` is the log."""


def _pieces(body: bytes, kind: str) -> Iterator[bytes]:
    if kind == "cut":
        yield body[: len(body) // 2]
    else:
        yield from (body[index : index + 1] for index in range(len(body)))
