"""The queue (MNS) where events wait that failed for good: each is written down in the outbox, then deleted there."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import urlsplit

from shared.credentials import Credentials
from shared.errors import AccessRefused, BadInput, BadSettings, PermanentError, RelayError, Unavailable
from shared.outbox.partitions import side_by_side
from shared.patterns import regex
from shared.publishing.reports import Report
from shared.refusals import AGAIN, SLOWER, WRONG_CLOCK, Answer, Rule, Service, Subject
from shared.retrying import Limits
from shared.service_calls import Request, ServiceCalls

_MOST = 16  # messages that one request receives
_WAIT = 3  # seconds, before it is believed that there is none
_VERSION = "2015-06-06"
_HANDLE = regex(r"[A-Za-z0-9_.~=+/-]{1,1024}")  # stands in a query as it is
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class _Gone(PermanentError):
    """There is no message: none in the queue, or not this one any more."""


MNS = Service(
    "MNS",
    "the queue's URL",
    (
        Rule("", "MessageNotExist|ReceiptHandleError", _Gone, "there is no such message"),
        Rule("", "QueueNotExist", BadSettings, "there is no such queue; correct its URL"),
        Rule("", "TimeExpired", *WRONG_CLOCK),
        Rule("429", "", *SLOWER),
        Rule("", "QpsLimitExceeded", *SLOWER),
        Rule("401|403", "", AccessRefused, "allow mns:BatchReceiveMessage and mns:DeleteMessage on it to this key"),
        Rule("408|5", "", *AGAIN),
        Rule("", "", PermanentError, "check the queue's URL"),
    ),
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message, as it was received: nobody else gets it for a while (30 seconds, unless the queue says other)."""

    id: str
    handle: str
    body: bytes


class FailedQueue:
    """A queue under ``https://<account>.mns.<region>.aliyuncs.com/queues/<name>``; ``http://`` only for loopback."""

    def __init__(self, url: str, credentials: Callable[[], Credentials]) -> None:
        """Open nothing yet; raise ``BadInput`` if that is no URL of a queue."""
        try:
            parts = urlsplit(url)
        except ValueError:  # a bracket that is not closed, say
            parts = urlsplit("")
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        if not is_safe or not regex(r"/queues/[A-Za-z0-9_-]{1,256}").fullmatch(parts.path) or parts.query:
            raise BadInput(f"{url[:200]!a} is no URL of a queue: https://ACCOUNT.mns.REGION.aliyuncs.com/queues/NAME")
        self._path = f"{parts.path}/messages"
        self._subject = Subject(f"the queue {parts.path.rpartition('/')[2]}", {})
        self._credentials = credentials
        self._calls = ServiceCalls(MNS, f"{parts.scheme}://{parts.netloc}")

    def receive(self, most: int) -> list[Message]:
        """Return up to ``most`` messages, and at most 16; none where the queue is empty."""
        target = f"{self._path}?numOfMessages={min(most, _MOST)}&waitseconds={_WAIT}"
        try:
            return self._call("GET", target, _messages)
        except _Gone:
            return []

    def delete(self, message: Message) -> None:
        """Delete a message. Of one that took too long, and that others may have by now, nothing is deleted."""
        if not _HANDLE.fullmatch(message.handle):
            raise Unavailable("MNS named a message by a handle that is none; try again")
        try:
            self._call("DELETE", f"{self._path}?ReceiptHandle={message.handle}", lambda _answer: [])
        except _Gone:
            return

    def _call(self, method: str, target: str, accept: Callable[[Answer], list[Message]]) -> list[Message]:
        return self._calls.call(self._subject, lambda: self._signed(method, target), accept, Limits())

    def _signed(self, method: str, target: str) -> Request:
        return sign(method, target, self._credentials(), formatdate(usegmt=True))


def sign(method: str, target: str, now: Credentials, date: str) -> Request:
    """Return the request of a queue, signed as the product's documentation has it."""
    text = f"{method}\n\n\n{date}\nx-mns-version:{_VERSION}\n{target}"
    signature = b64encode(hmac.digest(now.access_key_secret.encode(), text.encode(), "sha1")).decode()
    headers = {"date": date, "x-mns-version": _VERSION, "authorization": f"MNS {now.access_key_id}:{signature}"}
    return Request(method, target, headers | ({"security-token": now.security_token} if now.security_token else {}))


def _messages(answer: Answer) -> list[Message]:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        found = fromstring(answer.body).iterfind("{*}Message")
        fields = [{each.tag.rpartition("}")[2]: each.text or "" for each in message} for message in found]
        return [Message(each["MessageId"], each["ReceiptHandle"], each["MessageBody"].encode()) for each in fields]
    except (ParseError, DefusedXmlException, KeyError, ValueError):
        raise Unavailable("MNS answered no messages; check the queue's URL") from None


@dataclass(slots=True)
class Replayed:
    """What became of messages, by their IDs; ``stopped`` says why the queue could not be asked for more."""

    enqueued: dict[str, Sequence[Report]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    stopped: str = ""


def replay(queue: FailedQueue, enqueue: Callable[[bytes, str], Sequence[Report]], limit: int) -> Replayed:
    """Write down what messages ask for and delete them until the queue is empty, one fails, or ``limit`` are done.

    A message is deleted only once all that it asks for is written down; ``enqueue`` is given its body and its ID. If
    this is interrupted, what was received comes again, and what it asks for is done once.
    """

    def work(message: Message) -> tuple[Message, Sequence[Report] | RelayError]:
        try:
            reports = enqueue(message.body, message.id)
            queue.delete(message)
        except RelayError as error:
            return message, error
        return message, reports

    done = Replayed()
    while not done.failed and (left := limit - len(done.enqueued)) > 0:
        try:
            messages = queue.receive(left)
        except RelayError as error:
            done.stopped = error.message
            break
        if not messages:
            break
        for message, result in side_by_side([(each.id, each) for each in messages], work):
            if isinstance(result, RelayError):
                done.failed[message.id] = result.message
            else:
                done.enqueued[message.id] = result
    return done
