"""One attempt to deliver one webhook, over HTTP or to a function: whatever happens becomes an ``Attempt``."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import orjson

from shared import __version__, links, tracing
from shared.errors import BadInput, RelayError, RetryableError, TargetRefused
from shared.logs import log
from shared.patterns import regex
from shared.webhooks.address_guard import AddressGuard, Target
from shared.webhooks.redaction import redact
from shared.webhooks.response_reader import Response
from shared.webhooks.retry_after import seconds_to_wait
from shared.webhooks.signing import sign
from shared.webhooks.subscribers import FUNCTION_URL, Subscriber
from shared.webhooks.wire import Channel, Plain, Unsent, exchange

if TYPE_CHECKING:
    import ssl

DEADLINE = 15.0
_EXCERPT = 500
_GONE = 410
_HEADER_NAME = regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = regex(r"[\t\x20-\x7e]*")
_ORIGIN = regex(r"(?:https?:)?//(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?(?=[/?#]|$)")

AttemptKind = Literal["delivered", "gone", "refused", "failed"]
Call = Callable[[str, "str | None", str, bytes, float], bytes]  # ``Invoker.call``


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt; no text in it repeats the path, the query, a header or a secret that was sent.

    ``kind``: ``delivered`` (2xx), ``gone`` (410), ``refused`` (must not be dialled; trying again changes nothing until
    the subscriber is corrected), ``failed`` (everything else). ``status`` is None where no answer came that counts.
    ``excerpt`` is the printable beginning of the answer. ``retry_after`` is in seconds from now.
    """

    kind: AttemptKind
    status: int | None
    duration_ms: int
    excerpt: str = ""
    retry_after: float | None = None
    error: str | None = None


class Sender:
    """Sends webhooks; one instance serves all threads.

    Args:
        guard: decides what may be dialled, and dials it.
        call: delivers to ``fc://`` targets; without it they are refused.
        context: whom to trust; by default the authorities that certifi has.
    """

    def __init__(self, guard: AddressGuard, call: Call | None = None, context: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._call = call
        self._given = context
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    def send(
        self, subscriber: Subscriber, webhook_id: str, timestamp: int, body: bytes, deadline: float = DEADLINE
    ) -> Attempt:
        """Make one attempt; never raises.

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
                **tracing.header(),
            }
            response = self._deliver(subscriber.url, headers, body, started + deadline)
            return _judged(response, _private(subscriber, signature, body), _since(started))
        except RelayError as error:
            known = error.fields.get("status")
            return Attempt(
                kind="refused" if isinstance(error, TargetRefused) else "failed",
                status=known if isinstance(known, int) else None,
                duration_ms=_since(started),
                retry_after=error.retry_after if isinstance(error, RetryableError) else None,
                error=error.message,
            )
        except Exception as error:  # noqa: BLE001 - an attempt without a record would be made again and again
            import traceback

            name, at = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
            # Without its text, which may hold anything.
            log(
                "delivery.raised",
                level=logging.ERROR,
                subscriber=subscriber.id,
                error=name,
                at=f"{at.name}:{at.lineno}",
            )
            return Attempt(
                "failed", None, _since(started), error=f"a fault of ours ({name}); see delivery.raised in the log"
            )

    def _deliver(self, url: str, headers: dict[str, str], body: bytes, ends: float) -> Response:
        function = FUNCTION_URL.fullmatch(url)
        if function is None:
            return self._post(url, headers, body, ends)
        if self._call is None:
            raise TargetRefused("fc:// targets need FC_ACCOUNT_ID and FC_REGION, as on Function Compute")
        payload = orjson.dumps({"headers": headers, "body": body.decode()})
        where = (function["service"], function["qualifier"], function["function"])
        return Response(200, {}, self._call(*where, payload, ends - time.monotonic()))

    def _post(self, url: str, headers: dict[str, str], body: bytes, ends: float) -> Response:
        target = self._guard.target(url)
        request = _request(target, headers, body)
        with self._guard.dial(target, ends) as sock:
            channel: Channel = Plain(request)
            if target.scheme == "https":
                from shared.webhooks.tls import Tls

                channel = Tls(self._tls_context(), target.host, request)
            return exchange(sock, channel, ends)

    def _tls_context(self) -> ssl.SSLContext:
        """Return the one context: reading the certificate authorities costs more than a whole delivery."""
        from shared.webhooks.tls import default_context

        with self._lock:
            if self._context is None:
                self._context = self._given or default_context()
                self._context.set_alpn_protocols(["http/1.1"])  # some front ends choose by it, or refuse without
            return self._context


def _request(target: Target, headers: dict[str, str], body: bytes) -> Unsent:
    sent = {
        "accept": "*/*",
        **headers,
        "host": target.authority,
        "accept-encoding": "identity",
        "connection": "close",
        "content-length": str(len(body)),
    }
    for name, value in sent.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise BadInput(f"header {name[:64]!a} cannot be sent as it is; correct it in SUBSCRIBERS_URL")
    lines = [f"POST {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    return Unsent("\r\n".join(lines).encode("ascii"), body)


def _judged(response: Response, private: list[str], duration_ms: int) -> Attempt:
    status = response.status
    excerpt = _excerpt(response.body, private)
    if 200 <= status < 300:  # noqa: PLR2004 - 2xx
        return Attempt("delivered", status, duration_ms, excerpt)
    retry_after = seconds_to_wait(response.fields.get("retry-after", ()), time.time())
    error = f"answered {status}"
    if 300 <= status < 400 and "location" in response.fields:  # noqa: PLR2004 - 3xx
        error += (
            f", a redirect {_whereto(response.fields['location'][0], private)}; none is followed, so correct the url"
        )
    return Attempt("gone" if status == _GONE else "failed", status, duration_ms, excerpt, retry_after, error)


def _whereto(location: str, private: list[str]) -> str:
    """Say where a redirect points, by host only: a path may hold a token."""
    origin = _ORIGIN.match(location)
    if origin:
        return f"to {redact(origin[0], private)}"
    same_host = location.startswith(("/", "?", "."))
    return "to somewhere else on the same host" if same_host else "to an address that cannot be read"


def _private(subscriber: Subscriber, signature: str, body: bytes) -> list[str]:
    """Return what was sent and nobody else is to see. The host is none of it: it is in our own messages."""
    path = "" if FUNCTION_URL.fullmatch(subscriber.url) else re.sub(r"^https?://[^/?]*", "", subscriber.url)
    return [path, *subscriber.headers.values(), signature, *subscriber.secrets, *links.signatures(body)]


def _excerpt(body: bytes, private: list[str]) -> str:
    """Return the printable beginning of an answer."""
    text = body.replace(b"\0", b"").decode(errors="replace")  # without NUL, ASCII in UTF-16 can be read, and redacted
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return redact(" ".join(printable.split())[: 4 * _EXCERPT], private)[:_EXCERPT]


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
