"""One delivery attempt, with everything about the subscriber except the body as it is at this moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

from shared import keys
from shared.errors import ObjectNotFound, RelayError
from shared.keys import Owed
from shared.logs import log
from shared.outbox.outbox import GIVE_UP, LEASE, Outbox, Verdict, surely
from shared.storage import ObjectStore
from shared.webhooks import payload
from shared.webhooks.endpoint_health import EndpointHealth
from shared.webhooks.subscribers import Broken, Subscriber, Subscribers

if TYPE_CHECKING:  # the network half is loaded by whoever has somebody to tell
    from shared.webhooks.sender import Attempt, Sender

_KNOWN_FOR = 5.0  # seconds after which subscribers.json is read again before an attempt


class Directory:
    """The subscribers as they are now; ``read`` reads subscribers.json or raises ``SubscribersBroken``."""

    def __init__(self, read: Callable[[], Subscribers], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Subscriber | Broken] = {}
        self._at = float("-inf")

    def now(self) -> Subscribers:
        """Read the file; ``SubscribersBroken`` if that fails."""
        read = self._read()
        self._known = {**{each.id: each for each in read.broken}, **{each.id: each for each in read.good}}
        self._at = self._clock()
        return read

    def find(self, name: str) -> Subscriber | Broken | None:
        """Return one subscriber as it was some seconds ago at most; while the file is broken, as it was before."""
        with self._lock:
            if not 0 <= self._clock() - self._at < _KNOWN_FOR:
                try:
                    self.now()
                except RelayError:
                    if not self._known:
                        raise
                    self._at = self._clock()  # others wait behind this lock, and it may have taken long to fail
            return self._known.get(name)


class Content:
    """What is told; read from the store when first needed, unless this worker has just written it."""

    def __init__(self, store: ObjectStore, job: str, name: str) -> None:
        self.job = job
        self.name = name
        self._store = store

    @cached_property
    def event(self) -> dict[str, Any]:
        """What ``event.json`` holds."""
        return self._load(keys.event(self.job, self.name))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The whole summary."""
        return self.event.get("summary") or self._load(keys.artifact(self.job, keys.SUMMARY))

    def _load(self, key: str) -> dict[str, Any]:
        loaded: dict[str, Any] = orjson.loads(surely(lambda: self._store.get(key)))
        return loaded


class Attempts:
    """Makes attempts; one for each use of the outbox, because it reads once who is not to be troubled."""

    def __init__(
        self, store: ObjectStore, outbox: Outbox, directory: Directory, sender: Sender, clock: Callable[[], float]
    ) -> None:
        self.directory = directory
        self.breakers = EndpointHealth(store, clock)
        self._store = store
        self._outbox = outbox
        self._sender = sender
        self._clock = clock

    def make(self, owed: Owed, content: Content) -> Verdict:
        """Make the attempt that ``owed`` asks for, unless another worker does or it is to be left alone."""
        if not self.breakers.allows(owed.subscriber):
            if self._outbox.now() - owed.since < GIVE_UP * 1000:
                return Verdict("held", {"error": "it has failed too often of late"})
            over = f"the subscriber only failed in the {GIVE_UP // 3600:.0f} h it was owed this"
            return self._outbox.step(owed, lambda: _without_attempt("dead", over))
        made: list[tuple[Subscriber, Attempt]] = []
        verdict = self._outbox.step(owed, lambda: self._deliver(owed, content, made))
        for subscriber, attempt in made:  # only now: nothing may come between the receiver's 2xx and our receipt
            self.breakers.note(subscriber.id, subscriber.url, attempt.kind)
        if not made:
            self.breakers.unused(owed.subscriber)
        brief = {name: verdict.record.get(name) for name in ("status", "durationMs", "error")}
        log(
            "delivery", jobId=owed.job, about=owed.event, subscriber=owed.subscriber, state=verdict.state, attempt=brief
        )
        return verdict

    def _deliver(self, owed: Owed, content: Content, made: list[tuple[Subscriber, Attempt]]) -> Verdict:
        begun = self._clock()
        subscriber = self.directory.find(owed.subscriber)
        if not isinstance(subscriber, Subscriber):
            return _unserved(subscriber)
        if not subscriber.enabled:
            return _without_attempt("dead", "the subscriber is disabled")
        asked_for = owed.round != "0"  # a person or another system wants it sent in spite of what was before
        if self.breakers.gone(subscriber.id, subscriber.url) and not asked_for:
            return _without_attempt("dead", "the subscriber was switched off: it answered 410 before")
        body = self._body(owed, subscriber, content, asked_for=asked_for)
        if body is None:
            return _without_attempt("skipped", "the subscriber does not want this event")
        if self._clock() - begun > LEASE / 4:  # with the half that came before and the sending, the lease would be over
            return Verdict("busy")
        webhook_id = payload.webhook_id(owed.job, owed.event)
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
        if not asked_for and not subscriber.wants(payload.event_type(owed.event)):
            return None
        body = payload.make_body(content.event["body"], subscriber, lambda: content.summary)
        if body is None or surely(lambda: self._store.create(owed.body, body)):
            return body
        return surely(lambda: self._store.get(owed.body))


def _unserved(subscriber: Broken | None) -> Verdict:
    if subscriber is None:
        return _without_attempt("dead", "the subscriber is no longer in SUBSCRIBERS_URL")
    if not subscriber.enabled:
        return _without_attempt("dead", "the subscriber is disabled")
    return _without_attempt("again", f"the subscriber is not well-formed: {subscriber.reason}")


def _without_attempt(state: str, reason: str) -> Verdict:
    return Verdict(state, {"kind": "none", "error": reason})
