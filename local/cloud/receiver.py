"""A webhook receiver that verifies what it gets with the ``standardwebhooks`` library, and can misbehave."""

from __future__ import annotations

import binascii
import contextlib
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from local.cloud.server import Fault, Request, Response, StandIn, _Handler

_PIECE = b"x" * 65536
_PIECES = 16384  # a gigabyte


@dataclass(frozen=True)
class Delivery:
    """One webhook that came. ``verified`` says whether its signature, made with the receiver's secret, is right."""

    id: str
    path: str
    body: bytes
    verified: bool
    headers: dict[str, str]


class Receiver(StandIn):
    """Answers 204 (or as told) to what it can verify, 401 to the rest.

    Two kinds of ``Fault`` are its own: ``drip-headers`` (do the work, send the head of ``response`` with a byte every
    ``seconds``) and ``endless`` (do the work, answer 200 with a gigabyte).

    Args:
        secret: the ``whsec_`` secret to verify with.
        port: 0 for any.
        context: a server's TLS context; plain http without one.
        delay: seconds before each answer.

    Attributes:
        deliveries: in order of arrival.
        answering: the answer to what is verified.
        flooded: bytes of ``endless`` answers that were taken off our hands.
    """

    def __init__(self, secret: str, port: int = 0, context: ssl.SSLContext | None = None, delay: float = 0.0) -> None:
        super().__init__(port)
        self.deliveries: list[Delivery] = []
        self.answering = Response(204)
        self.flooded = 0
        self._webhook = Webhook(secret)
        self._context = context
        self._delay = delay
        self._server.RequestHandlerClass = _WilderHandler
        if context is not None:
            # Handshakes belong into the handlers' threads: one client that stalls must not keep out the others.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"{'http' if self._context is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def counts(self) -> Counter[str]:
        """How often each webhook-id came, verified."""
        return Counter(delivery.id for delivery in tuple(self.deliveries) if delivery.verified)

    def reply(
        self, response: Response, times: int = 1, match: Callable[[Request], bool] = lambda _request: True
    ) -> None:
        """Verify and record the next ``times`` webhooks as ever, but answer them with ``response``."""
        self.fail(Fault("alter", times, match, alter=lambda _response: response))

    def answer(self, request: Request) -> Response:
        """Verify, record, answer."""
        verified = True
        try:
            self._webhook.verify(request.body, request.headers)
        except (WebhookVerificationError, ValueError, binascii.Error):  # the last two: its answer to odd headers
            verified = False
        webhook_id = request.headers.get("webhook-id", "")
        with self._lock:
            self.deliveries.append(Delivery(webhook_id, request.path, request.body, verified, request.headers))
        self.pause(self._delay)
        return self.answering if verified else Response(401)


class _WilderHandler(_Handler):
    def _break_off(self, fault: Fault, request: Request) -> None:
        owner = self.server.owner
        if not isinstance(owner, Receiver) or fault.kind not in {"drip-headers", "endless"}:
            super()._break_off(fault, request)
            return
        self.close_connection = True
        owner.answer(request)
        with contextlib.suppress(OSError):  # the client has had enough
            if fault.kind == "endless":
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (_PIECES * len(_PIECE)))
                for _ in range(_PIECES):
                    self.wfile.write(_PIECE)
                    owner.flooded += len(_PIECE)
            else:
                for letter in b"HTTP/1.1 %d Slow\r\nx-slow: yes\r\ncontent-length: 0\r\n\r\n" % fault.response.status:
                    self.wfile.write(bytes([letter]))
                    owner.pause(fault.seconds)
