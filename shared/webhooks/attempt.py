"""One delivery attempt, with everything about the subscriber except the body as it is at this moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from shared import keys
from shared.errors import ObjectNotFound, RelayError
from shared.keys import Owed
from shared.logs import log, log_error
from shared.storage import ObjectStore
from shared.webhooks import events
from shared.webhooks.breaker import Breakers
from shared.webhooks.outbox import Outbox, Verdict, surely
from shared.webhooks.subscribers import Broken, Subscriber, Subscribers

if TYPE_CHECKING:  # the network half is loaded by whoever has somebody to tell
    from shared.webhooks.sender import Attempt

_KNOWN_FOR = 5.0  # seconds after which subscribers.json is read again before an attempt


class Sender(Protocol):
    """Makes one attempt; ``shared.webhooks.sender.Sender``."""

    def send(self, subscriber: Subscriber, webhook_id: str, timestamp: int, body: bytes) -> Attempt:
        """Return what came of it; raise for nothing that the receiver or the network does."""
        ...


class Directory:
    """The subscribers as they are now.

    Args:
        read: reads subscribers.json; raises ``SubscribersBroken``.
        clock: seconds since 1970.
    """

    def __init__(self, read: Callable[[], Subscribers], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Subscriber | Broken] | None = None
        self._at = 0.0

    def now(self) -> Subscribers:
        """Read the file; ``SubscribersBroken`` if that fails."""
        with self._lock:
            return self._renew()

    def readable(self) -> bool:
        """Read the file, and say whether it could be read."""
        try:
            self.now()
        except RelayError as error:
            log_error("subscribers.broken", error)
            return False
        return True

    def find(self, name: str) -> Subscriber | Broken | None:
        """Return one subscriber as it was some seconds ago at most; while the file is broken, as it was before."""
        with self._lock:
            if self._known is None or not 0 <= self._clock() - self._at < _KNOWN_FOR:
                try:
                    self._renew()
                except RelayError:
                    if self._known is None:
                        raise
            return (self._known or {}).get(name)

    def _renew(self) -> Subscribers:
        read = self._read()
        self._known = {**{each.id: each for each in read.broken}, **{each.id: each for each in read.good}}
        self._at = self._clock()
        return read


class Content:
    """What is told; read from the store when first needed, unless this worker has just written it."""

    def __init__(
        self,
        store: ObjectStore,
        job: str,
        name: str,
        event: dict[str, Any] | None = None,
        summary: dict[str, Any] | None = None,
    ) -> None:
        self.job = job
        self.name = name
        self._store = store
        self._event = event
        self._summary = summary
        self._lock = threading.Lock()

    def event(self) -> dict[str, Any]:
        """Return what ``event.json`` holds."""
        with self._lock:
            if self._event is None:
                self._event = self._load(keys.event(self.job, self.name))
            return self._event

    def summary(self) -> dict[str, Any]:
        """Return the whole summary."""
        event = self.event()
        with self._lock:
            if self._summary is None:
                self._summary = event.get("summary") or self._load(keys.artifact(self.job, keys.SUMMARY))
            return self._summary

    def _load(self, key: str) -> dict[str, Any]:
        loaded: dict[str, Any] = orjson.loads(surely(lambda: self._store.get(key)))
        return loaded


class Attempts:
    """Makes attempts.

    Args:
        store: holds the bodies.
        outbox: the protocol.
        directory: who is told.
        sender: tells them.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        store: ObjectStore,
        outbox: Outbox,
        directory: Directory,
        sender: Sender,
        clock: Callable[[], float],
    ) -> None:
        self.directory = directory
        self._store = store
        self._outbox = outbox
        self._sender = sender
        self._clock = clock

    def make(self, owed: Owed, content: Content, breakers: Breakers) -> tuple[str, str]:
        """Make the attempt that ``owed`` asks for, unless another worker does; return state and detail."""
        made: list[tuple[Subscriber, Attempt]] = []
        record: dict[str, Any] = {}

        def work() -> Verdict:
            try:
                verdict = self._deliver(owed, content, breakers, made)
            except RelayError as error:
                verdict = Verdict("again", {"kind": "failed", "error": error.message})
            record.update(verdict.record)
            return verdict

        state = self._outbox.step(owed, work)
        for subscriber, attempt in made:  # only now: nothing may come between the receiver's 2xx and our receipt
            breakers.note(subscriber.id, subscriber.url, attempt.kind)
        brief = {name: record.get(name) for name in ("status", "durationMs", "error")}
        log("delivery", jobId=owed.job, about=owed.event, subscriber=owed.subscriber, state=state, attempt=brief)
        return state, str(record.get("error") or "")

    def _deliver(
        self, owed: Owed, content: Content, breakers: Breakers, made: list[tuple[Subscriber, Attempt]]
    ) -> Verdict:
        subscriber = self.directory.find(owed.subscriber)
        if subscriber is None:
            return _without_attempt("dead", "the subscriber is no longer in SUBSCRIBERS_URL")
        if isinstance(subscriber, Broken):
            return _without_attempt("again", f"the subscriber is not well-formed: {subscriber.reason}")
        if not subscriber.enabled:
            return _without_attempt("dead", "the subscriber is disabled")
        asked_for = owed.round != "0"  # a person or another system wants it sent in spite of what was before
        if breakers.gone(subscriber.id, subscriber.url) and not asked_for:
            return _without_attempt("dead", "the subscriber was switched off: it answered 410 before")
        body = self._body(owed, subscriber, content, asked_for=asked_for)
        if body is None:
            return _without_attempt("skipped", "the subscriber does not want this event")
        webhook_id = events.webhook_id(owed.job, owed.event)
        attempt = self._sender.send(subscriber, webhook_id, int(self._clock()), body)
        made.append((subscriber, attempt))
        record = {
            "kind": attempt.kind,
            "status": attempt.status,
            "durationMs": attempt.duration_ms,
            "excerpt": attempt.excerpt,
            "error": attempt.error,
        }
        return Verdict(attempt.kind if attempt.kind in {"delivered", "gone"} else "again", record, attempt.retry_after)

    def _body(self, owed: Owed, subscriber: Subscriber, content: Content, *, asked_for: bool) -> bytes | None:
        """Return the bytes, made at the first attempt of all and the same ever after; None: not wanted."""
        if owed.number > 1 or asked_for:
            try:
                return surely(lambda: self._store.get(owed.body))
            except ObjectNotFound:
                pass  # no earlier attempt came as far as this
        if not asked_for and not subscriber.wants(events.event_type(owed.event)):
            return None
        body = events.make_body(content.event()["body"], subscriber, content.summary)
        if body is None or surely(lambda: self._store.create(owed.body, body)):
            return body
        return surely(lambda: self._store.get(owed.body))


def _without_attempt(state: str, reason: str) -> Verdict:
    return Verdict(state, {"kind": "none", "error": reason})
