"""A stand-in for an MNS (SMQ) topic: triggers of functions and signed HTTP pushes.

Formats and signature as the product's documentation and captured pushes have them: a function gets STREAM or JSON, an
HTTP endpoint XML, JSON or SIMPLIFIED; every ``x-mns-*`` header is signed, with RSA PKCS#1 v1.5 over SHA-1.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import email.utils
import functools
import hashlib
import http.client
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from local.cloud.background import Background
from local.cloud.server import Refusal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate
    from typing_extensions import Self

CERT_URL = "https://mnstest.oss-cn-hangzhou.aliyuncs.com/x509_public_certificate.pem"
_OWNER = "1234567890123456"
_BODY_LIMIT = 65536
_ACK_SECONDS = 5.0
_TYPES = {"XML": "text/xml;charset=utf-8", "JSON": "application/json", "SIMPLIFIED": "text/plain;charset=utf-8"}


@dataclass(frozen=True)
class Message:
    """One published message."""

    body: bytes
    topic: str = "smarttag"
    attributes: Mapping[str, str] | None = None
    tag: str = ""
    id: str = field(default_factory=lambda: f"{uuid.uuid4().int:032X}")
    published_ms: int = field(default_factory=lambda: int(time.time() * 1000))

    def to_function(self, form: str, subscription: str) -> bytes:
        """Return the event a function gets; ``form`` is STREAM or JSON."""
        if form == "JSON":
            return _dump({**(self.attributes or {}), **self._fields(subscription)})
        if self.attributes:
            return _dump({"body": self._text(), "attrs": self.attributes})
        return self.body

    def to_http(self, form: str, subscription: str) -> bytes:
        """Return the body of a push; ``form`` is XML, JSON or SIMPLIFIED."""
        if form == "SIMPLIFIED":
            return self.body
        fields = {**self._fields(subscription), "MessageTag": self.tag}
        if form == "JSON":
            return _dump(fields)
        inner = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in fields.items())
        head = '<?xml version="1.0" encoding="utf-8"?>\n<Notification xmlns="http://mns.aliyuncs.com/doc/v1/">'
        return f"{head}{inner}</Notification>".encode()

    def _text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def _fields(self, subscription: str) -> dict[str, str | int]:
        return {
            "TopicOwner": _OWNER,
            "Message": self._text(),
            "Subscriber": _OWNER,
            "PublishTime": self.published_ms,
            "SubscriptionName": subscription,
            "MessageMD5": _md5(self.body).upper(),
            "TopicName": self.topic,
            "MessageId": self.id,
        }


@dataclass(frozen=True)
class Delivery:
    """How one delivery ended: ``acknowledged`` after ``attempts``, or given up."""

    subscription: str
    message_id: str
    attempts: int
    acknowledged: bool


@dataclass(frozen=True)
class _Subscription:
    name: str
    tag: str
    duplicates: int
    send: Callable[[Message], bool]


class Topic:
    """A topic and its subscriptions; a context manager that ends its deliveries.

    Args:
        retry_delays: seconds before each retry of an unacknowledged delivery; BACKOFF_RETRY waits 10 to 20 s, 3 times.
    """

    def __init__(self, name: str = "smarttag", *, retry_delays: Sequence[float] = (0.05, 0.05, 0.05)) -> None:
        self.name = name
        self.deliveries: list[Delivery] = []
        self._retry_delays = retry_delays
        self._subscriptions: list[_Subscription] = []
        self._background = Background()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._background.stopping.set()
        self._background.drain(_ACK_SECONDS)

    def to_function(
        self, invoke: Callable[[bytes], object], *, form: str = "STREAM", tag: str = "", duplicates: int = 1
    ) -> None:
        """Subscribe a function's trigger.

        Args:
            invoke: takes the event, as ``functools.partial(fc.invoke_async, "name")`` does.
            form: STREAM or JSON.
            tag: deliver only what was published with it.
            duplicates: how often each message is delivered.
        """
        name = f"subscription-{len(self._subscriptions) + 1}"

        def send(message: Message) -> bool:
            try:
                invoke(message.to_function(form, name))
            except Refusal:
                return False
            return True

        self._subscriptions.append(_Subscription(name, tag, duplicates, send))

    def to_url(self, url: str, *, form: str = "SIMPLIFIED", tag: str = "", duplicates: int = 1) -> None:
        """Subscribe an HTTP endpoint on loopback; ``form`` is XML, JSON or SIMPLIFIED."""
        if urlsplit(url).hostname not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError(f"{url} is not on this machine; the stand-in pushes nowhere else")
        name = f"subscription-{len(self._subscriptions) + 1}"

        def send(message: Message) -> bool:
            parts = urlsplit(url)
            target = (parts.path or "/notifications") + (f"?{parts.query}" if parts.query else "")
            headers, body = sign_push(message, target, form=form, subscription=name)
            return _post(parts.hostname or "", parts.port or 80, target, headers, body)

        self._subscriptions.append(_Subscription(name, tag, duplicates, send))

    def publish(self, body: bytes, attributes: Mapping[str, str] | None = None, tag: str = "") -> str:
        """Hand a message to every subscription, in the background; return its ID.

        Raises:
            ValueError: the body is over 64 KB.
        """
        if len(body) > _BODY_LIMIT:
            raise ValueError(f"the message has {len(body)} bytes; MNS takes {_BODY_LIMIT} at most")
        message = Message(body, self.name, attributes, tag)
        for subscription in self._subscriptions:
            if subscription.tag in {"", tag}:
                for _ in range(subscription.duplicates):
                    self._background.start(self._deliver, subscription, message)
        return message.id

    def drain(self, seconds: float = 30.0) -> bool:
        """Wait until every delivery has ended; False if one still runs after ``seconds``."""
        return self._background.drain(seconds)

    def _deliver(self, subscription: _Subscription, message: Message) -> None:
        attempts, acknowledged = 0, False
        for delay in (0.0, *self._retry_delays):
            if self._background.stopping.wait(delay):
                break
            attempts += 1
            acknowledged = subscription.send(message)
            if acknowledged:
                break
        self.deliveries.append(Delivery(subscription.name, message.id, attempts, acknowledged))


def sign_push(
    message: Message, target: str, *, form: str = "SIMPLIFIED", subscription: str = "push", hex_md5: bool = True
) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a signed push to ``target`` (path and query) with the stand-in's own key.

    Args:
        message: what is pushed.
        target: the request path with its query.
        form: XML, JSON or SIMPLIFIED.
        subscription: the subscription's name.
        hex_md5: Content-MD5 as captured pushes have it (upper-case hex), else as documented (Base64 of lower-case hex).
    """
    body = message.to_http(form, subscription)
    digest = _md5(body).upper() if hex_md5 else base64.b64encode(_md5(body).encode()).decode()
    headers = {
        "Content-MD5": digest,
        "Content-Type": _TYPES[form],
        "Date": email.utils.formatdate(usegmt=True),
        "x-mns-message-id": message.id,
        "x-mns-publish-time": str(message.published_ms),
        "x-mns-request-id": uuid.uuid4().hex[:24].upper(),
        "x-mns-signing-cert-url": base64.b64encode(CERT_URL.encode()).decode(),
        "x-mns-subscriber": _OWNER,
        "x-mns-subscription-name": subscription,
        "x-mns-topic-name": message.topic,
        "x-mns-topic-owner": _OWNER,
        "x-mns-version": "2015-06-06",
        **({"x-mns-message-tag": message.tag} if message.tag else {}),
    }
    return {**headers, "Authorization": _sign("POST", target, headers)}, body


def certificate(url: str = CERT_URL) -> bytes:
    """Return, as the real host of certificates does, the PEM certificate under ``url``; ``LookupError`` elsewhere."""
    from cryptography.hazmat.primitives.serialization import Encoding

    if url != CERT_URL:
        raise LookupError(f"no certificate at {url}")
    return _self_signed().public_bytes(Encoding.PEM)


def _sign(method: str, target: str, headers: Mapping[str, str]) -> str:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA1

    own = sorted((name, value) for name, value in headers.items() if name.startswith("x-mns-"))
    parts = [method, *(headers[name] for name in ("Content-MD5", "Content-Type", "Date"))]
    text = "\n".join([*parts, *(f"{name}:{value}" for name, value in own), target])
    return base64.b64encode(_key().sign(text.encode(), PKCS1v15(), SHA1())).decode()  # noqa: S303 - what MNS signs with


@functools.cache
def _key() -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    return generate_private_key(65537, 2048)


@functools.cache
def _self_signed() -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mns stand-in")])
    # Long expired, as the real certificate was when it was last seen in use.
    start, end = (dt.datetime(year, 7, 1, tzinfo=dt.timezone.utc) for year in (2015, 2016))
    builder = x509.CertificateBuilder(name, name, _key().public_key(), x509.random_serial_number(), start, end)
    return builder.sign(_key(), SHA256())


def _post(host: str, port: int, target: str, headers: Mapping[str, str], body: bytes) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=_ACK_SECONDS)
    with contextlib.closing(connection):
        try:
            connection.request("POST", target, body, dict(headers))
            return connection.getresponse().status // 100 == 2  # noqa: PLR2004 - 2xx acknowledges
        except (OSError, http.client.HTTPException):
            return False


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
