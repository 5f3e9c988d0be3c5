"""A stand-in for a queue of MNS (SMQ): messages that are received, hidden for a while, and deleted by their receiver.

Operations, XML and codes as the product's documentation has them, the signature as its SDK makes it.
"""

from __future__ import annotations

import base64
import datetime as dt
import email.utils
import hashlib
import hmac
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from local.cloud.accounts import ACCOUNTS
from local.cloud.server import Refusal, Request, Response, StandIn

_MOST = 16
_CLOCK = 900.0  # seconds that a client's may be off
_XMLNS = 'xmlns="http://mns.aliyuncs.com/doc/v1/"'


@dataclass
class _Kept:
    body: bytes
    id: str = field(default_factory=lambda: f"{uuid.uuid4().int:032X}")
    visible: float = 0.0
    handle: str = ""
    received: int = 0


class MnsQueue(StandIn):
    """BatchReceiveMessage and DeleteMessage of one queue; sending is a method, as what sends is no client of ours.

    Args:
        name: of the queue.
        hides: seconds for which a message is hidden that was received (its VisibilityTimeout).
        clock: of the queue.
    """

    def __init__(
        self, name: str = "smarttag-failed", hides: float = 30.0, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self._name, self._hides, self._clock = name, hides, clock
        self._kept: list[_Kept] = []

    @property
    def queue_url(self) -> str:
        """The URL of the queue."""
        return f"{self.url}/queues/{self._name}"

    @property
    def bodies(self) -> list[bytes]:
        """What is in the queue, hidden or not."""
        with self._lock:
            return [each.body for each in self._kept]

    def send(self, body: bytes) -> None:
        """Put a message into the queue."""
        with self._lock:
            self._kept.append(_Kept(body))

    def answer(self, request: Request) -> Response:
        """Do what the service does."""
        try:
            self._check(request)
            with self._lock:
                return self._do(request.method, request.query)
        except Refusal as refused:
            text = f"<Code>{refused.code}</Code><Message>{escape(refused.message)}</Message>"
            return _xml(refused.status, f"<Error {_XMLNS}>{text}<RequestId>{uuid.uuid4().hex}</RequestId></Error>")

    def _do(self, method: str, query: Mapping[str, str]) -> Response:
        if method == "GET" and query.keys() == {"numOfMessages", "waitseconds"}:
            return self._receive(int(query["numOfMessages"]))
        if method == "DELETE" and query.keys() == {"ReceiptHandle"}:
            return self._delete(query["ReceiptHandle"])
        raise Refusal(400, "InvalidArgument", "The local MNS has no such operation.")

    def _check(self, request: Request) -> None:
        headers = request.headers
        if headers.get("x-mns-version") != "2015-06-06":
            raise Refusal(400, "InvalidArgument", "x-mns-version is not 2015-06-06.")
        sent = email.utils.parsedate_to_datetime(headers["date"])
        if abs((dt.datetime.now(dt.timezone.utc) - sent).total_seconds()) > _CLOCK:
            raise Refusal(408, "TimeExpired", "The http request you sent is expired.")
        key, _, signature = headers.get("authorization", "").removeprefix("MNS ").partition(":")
        account = ACCOUNTS.get(key)
        if account is None:
            raise Refusal(403, "InvalidAccessKeyId", "The access key id you provided does not exist.")
        if account.security_token != headers.get("security-token", ""):
            raise Refusal(403, "InvalidSecurityToken", "The security token you provided is invalid.")
        signed = [f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-mns-")]
        first = [headers.get(name, "") for name in ("content-md5", "content-type", "date")]
        text = "\n".join([request.method, *first, "".join(signed) + request.target])
        expected = base64.b64encode(hmac.digest(account.access_key_secret.encode(), text.encode(), "sha1")).decode()
        if not hmac.compare_digest(signature, expected):
            raise Refusal(403, "SignatureDoesNotMatch", "The request signature does not match our calculation.")
        if urlsplit(request.target).path != f"/queues/{self._name}/messages":
            raise Refusal(404, "QueueNotExist", "The queue you provided is not exist.")

    def _receive(self, most: int) -> Response:
        if not 0 < most <= _MOST:
            raise Refusal(400, "InvalidArgument", "The value of numOfMessages should between 1 and 16.")
        now = self._clock()
        found = [each for each in self._kept if each.visible <= now][:most]
        if not found:
            raise Refusal(404, "MessageNotExist", "Message not exist.")
        for each in found:
            each.visible, each.received = now + self._hides, each.received + 1
            each.handle = f"{each.received}-{base64.b64encode(each.id.encode()).decode()}"
        return _xml(200, f"<Messages {_XMLNS}>{''.join(map(_entry, found))}</Messages>")

    def _delete(self, handle: str) -> Response:
        found = next((each for each in self._kept if each.handle == handle and each.visible > self._clock()), None)
        if found is None:
            raise Refusal(404, "MessageNotExist", "Message not exist.")
        self._kept.remove(found)
        return Response(204)


def _entry(kept: _Kept) -> str:
    fields = {
        "MessageId": kept.id,
        "ReceiptHandle": kept.handle,
        "MessageBody": escape(kept.body.decode()),
        "MessageBodyMD5": hashlib.md5(kept.body, usedforsecurity=False).hexdigest().upper(),
        "EnqueueTime": "0",
        "NextVisibleTime": str(int(kept.visible * 1000)),
        "FirstDequeueTime": "0",
        "DequeueCount": str(kept.received),
        "Priority": "8",
    }
    return f"<Message>{''.join(f'<{name}>{value}</{name}>' for name, value in fields.items())}</Message>"


def _xml(status: int, document: str) -> Response:
    return Response(status, f'<?xml version="1.0" ?>{document}'.encode(), {"Content-Type": "text/xml;charset=utf-8"})
