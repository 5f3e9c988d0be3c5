"""One attempt to deliver one webhook.

Every wait on the socket ends at one deadline for the whole attempt, so a receiver that drips cannot stretch it.
The usual clients offer a timeout per read only: urllib3 with ``Timeout(total=1)`` was held for five seconds.
"""

from __future__ import annotations

import contextlib
import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from shared import __version__
from shared.errors import RelayError, RetryableError, TargetRefused, TimedOut, Unavailable
from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.signing import sign
from shared.webhooks.subscribers import FUNCTION_URL, Subscriber

if TYPE_CHECKING:
    import socket
    import ssl

DEADLINE = 15.0
MOST_READ = 64 * 1024  # of an answer
_KEPT = 4 * 1024
_EXCERPT = 500
_PIECE = 16 * 1024  # one TLS record: a longer write could wait more than once
_GONE = 410


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt.

    ``kind``: ``delivered`` (2xx), ``gone`` (410), ``refused`` (must not be dialled; trying again changes nothing until
    the subscriber is corrected), ``failed`` (everything else). ``status`` is None where no complete answer came.
    ``excerpt`` is the printable beginning of the answer. ``retry_after`` is in seconds from now.
    """

    kind: str
    status: int | None
    duration_ms: int
    excerpt: str = ""
    retry_after: float | None = None
    error: str | None = None


Call = Callable[[str, "str | None", str, bytes, float], bytes]  # ``Invoker.call``
_Answer = tuple[int, bytes, "str | None"]  # status, the beginning of the body, Retry-After


class Sender:
    """Sends webhooks; one instance serves all threads.

    Args:
        guard: decides what may be dialled, and dials it.
        call: delivers to ``fc://`` targets; without it they are refused.
        context: whom to trust; by default the system's certificate authorities.
    """

    def __init__(self, guard: AddressGuard, call: Call | None = None, context: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._call = call
        self._context = context
        self._lock = threading.Lock()

    def send(
        self, subscriber: Subscriber, webhook_id: str, timestamp: int, body: bytes, deadline: float = DEADLINE
    ) -> Attempt:
        """Make one attempt; never raises for what the receiver or the network does.

        Args:
            subscriber: whom to tell.
            webhook_id: the same for every attempt of one event.
            timestamp: this attempt's, in seconds since 1970.
            body: JSON.
            deadline: seconds for everything together: DNS, connect, TLS, request and answer.
        """
        started = time.monotonic()
        try:
            signature = sign(subscriber.secrets, webhook_id, timestamp, body)
            headers = {
                **{name.lower(): value for name, value in subscriber.headers.items()},
                "content-type": "application/json",
                "user-agent": f"smarttag-relay/{__version__}",
                "webhook-id": webhook_id,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": signature,
            }
            status, beginning, retry_after = self._deliver(subscriber.url, headers, body, started + deadline)
        except RelayError as error:
            known = error.fields.get("status")
            return Attempt(
                kind="refused" if isinstance(error, TargetRefused) else "failed",
                status=known if isinstance(known, int) else None,
                duration_ms=_since(started),
                retry_after=error.retry_after if isinstance(error, RetryableError) else None,
                error=error.message,
            )
        excerpt = _excerpt(beginning, (*subscriber.secrets, *subscriber.headers.values(), *signature.split()))
        if 200 <= status < 300:  # noqa: PLR2004 - 2xx
            return Attempt("delivered", status, _since(started), excerpt)
        kind = "gone" if status == _GONE else "failed"
        return Attempt(kind, status, _since(started), excerpt, _seconds(retry_after, time.time()), f"answered {status}")

    def _deliver(self, url: str, headers: dict[str, str], body: bytes, ends: float) -> _Answer:
        function = FUNCTION_URL.fullmatch(url)
        if function is None:
            return self._post(url, headers, body, ends)
        if self._call is None:
            raise TargetRefused("fc:// targets need FC_ACCOUNT_ID and FC_REGION, as on Function Compute")
        payload = orjson.dumps({"headers": headers, "body": body.decode()})
        where = (function["service"], function["qualifier"], function["function"])
        return 200, self._call(*where, payload, ends - time.monotonic()), None

    def _post(self, url: str, headers: dict[str, str], body: bytes, ends: float) -> _Answer:
        from http.client import HTTPConnection

        target = self._guard.target(url)
        with contextlib.ExitStack() as closing, _told_apart():
            sock = closing.enter_context(self._guard.dial(target, ends))
            if target.scheme == "https":
                sock.settimeout(_left(ends))
                sock = closing.enter_context(self._tls().wrap_socket(sock, server_hostname=target.host))
            connection = HTTPConnection(target.host, target.port)
            connection.sock = _Line(sock, ends)
            connection.request("POST", target.path, body, {**headers, "host": target.authority, "connection": "close"})
            response = connection.getresponse()
            closing.callback(response.close)
            beginning = response.read(_KEPT)
            # The rest is taken off the wire, so that an ordinary receiver is not cut off in mid-sentence, and dropped.
            read = _KEPT
            while read < MOST_READ and response.read(_PIECE):
                read += _PIECE
            if response.length and read < MOST_READ:
                raise Unavailable(f"the answer {response.status} broke off")
            return response.status, beginning, response.getheader("retry-after")

    def _tls(self) -> ssl.SSLContext:
        """Return the one context: reading the certificate authorities costs more than a whole delivery."""
        with self._lock:
            self._context = self._context or _default_context()
            return self._context


class _Line(io.RawIOBase):
    """As much of a socket as ``http.client`` uses; each wait is given what is left until the deadline."""

    def __init__(self, sock: socket.socket, ends: float) -> None:
        super().__init__()
        self._sock = sock
        self._ends = ends

    def sendall(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            self._sock.settimeout(_left(self._ends))
            self._sock.sendall(data[start : start + _PIECE])

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed: any buffer
        self._sock.settimeout(_left(self._ends))
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        """Leave the socket to ``_post``, which opened it and still reads the answer's body."""


@contextlib.contextmanager
def _told_apart() -> Iterator[None]:
    """Turn what the libraries raise into our errors; their texts could hold addresses, so few are repeated."""
    import ssl
    from http.client import HTTPException

    try:
        yield
    except TimeoutError as error:
        raise TimedOut("no complete answer within the deadline") from error
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(f"its certificate is not accepted: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise Unavailable(f"TLS failed: {error.reason or 'no common ground'}") from error
    except HTTPException as error:
        raise Unavailable(f"the answer is no HTTP, or broke off ({type(error).__name__})") from error
    except OSError as error:
        raise Unavailable(f"the connection broke: {error.strerror or type(error).__name__}") from error


def _default_context() -> ssl.SSLContext:
    import ssl

    paths = ssl.get_default_verify_paths()
    if paths.cafile or paths.capath:
        return ssl.create_default_context()
    import certifi  # a Python that was built elsewhere looks for the system's authorities in the wrong place

    return ssl.create_default_context(cafile=certifi.where())


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _seconds(retry_after: str | None, now: float) -> float | None:
    """Read a Retry-After header: seconds or an HTTP date; None if there is none or it is neither."""
    text = (retry_after or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    if not text:
        return None
    from datetime import timezone
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
        # asctime's form names no zone; HTTP's dates are in UTC, whatever the host's zone is
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def _excerpt(body: bytes, secrets: tuple[str, ...]) -> str:
    """Return the printable beginning of an answer, without what a receiver that echoes would give away."""
    text = body.decode(errors="replace")
    for secret in filter(None, secrets):
        text = text.replace(secret, "[redacted]")
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:_EXCERPT]
