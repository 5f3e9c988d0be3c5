"""Who is not to be troubled now: subscribers that fail and fail, and such as have said they are gone.

Only troubled subscribers have objects here, so one list finds all of them and is empty on a good day. All of it is
advice: workers that write at the same time may lose one another's count of failures, and a store that does not answer
costs an attempt too many or too few, never a delivery.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property

import orjson

from shared.errors import ObjectNotFound, RelayError
from shared.logs import log, log_error
from shared.outbox.records import SCHEMA_VERSION, AttemptKind, iso
from shared.storage import ObjectStore

HEALTH = "subscribers/"
TRIPS_AT = 5  # failures in a row
WINDOW = 300  # seconds in which an open breaker lets one attempt through


@dataclass
class EndpointHealth:
    """The state of all subscribers, read once for each use of the outbox; safe to share between threads.

    A breaker opens after ``TRIPS_AT`` failures in a row. While it is open what is due stays due and no attempt is
    counted, but for one probe in each window over all workers; the first success closes it.
    """

    store: ObjectStore
    clock: Callable[[], float]  # seconds since 1970
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _failures: dict[str, int] = field(default_factory=dict)

    @cached_property
    def _keys(self) -> set[str]:
        found: set[str] = set()
        with _advice():
            found.update(self.store.list(HEALTH))
        return found

    def is_gone(self, subscriber: str, url: str) -> bool:
        """Say whether the subscriber answered 410 at this very URL."""
        return _gone_key(subscriber, url) in self._keys

    def allows(self, subscriber: str) -> bool:
        """Say whether an attempt may be made; with an open breaker True means: this is the window's probe."""
        with self._lock:
            return self._count(subscriber) < TRIPS_AT or self._elected(subscriber)

    def note(self, subscriber: str, url: str, kind: AttemptKind) -> None:
        """Take notice of what came of an attempt."""
        with self._lock:
            if kind is AttemptKind.DELIVERED:
                self._failures[subscriber] = 0
                self._drop(_breaker_key(subscriber), _probe_key(subscriber, ""), _gone_key(subscriber, url))
            elif kind is AttemptKind.GONE:
                self._write(_gone_key(subscriber, url), {"status": 410})
                log("subscriber.gone", level=logging.ERROR, subscriber=subscriber)
            else:
                failures = self._failures[subscriber] = self._count(subscriber) + 1
                self._write(_breaker_key(subscriber), {"failures": failures})
                if failures == TRIPS_AT:
                    log("breaker.open", level=logging.ERROR, subscriber=subscriber, failures=failures)
                    self._elected(subscriber)  # this window has had its attempts

    def unused(self, subscriber: str) -> None:
        """Take notice that no attempt was made after all: another may be this window's probe."""
        with self._lock:
            if self._count(subscriber) >= TRIPS_AT:
                self._drop(_probe_key(subscriber, ""))

    def _count(self, subscriber: str) -> int:
        if subscriber not in self._failures:
            self._failures[subscriber] = 0
            if _breaker_key(subscriber) in self._keys:
                with _advice(), suppress(ObjectNotFound):
                    self._failures[subscriber] = orjson.loads(self.store.get(_breaker_key(subscriber)))["failures"]
        return self._failures[subscriber]

    def _elected(self, subscriber: str) -> bool:
        key = _probe_key(subscriber, str(int(self.clock()) // WINDOW))
        won = False
        if key not in self._keys:
            with _advice():
                won = self.store.create(key, uuid.uuid4().hex.encode())
            if won:
                self._drop(_probe_key(subscriber, ""), before=key)
            self._keys.add(key)
        return won

    def _write(self, key: str, value: dict[str, int]) -> None:
        self._keys.add(key)
        with _advice():
            self.store.put(key, orjson.dumps({"version": SCHEMA_VERSION, **value, "at": iso(int(self.clock() * 1000))}))

    def _drop(self, *prefixes: str, before: str = "~") -> None:
        for key in [key for key in self._keys if key.startswith(prefixes) and key < before]:  # all lie before "~"
            self._keys.discard(key)
            with _advice():
                self.store.delete(key)


@contextmanager
def _advice() -> Iterator[None]:
    try:
        yield
    except RelayError as error:
        log_error("breaker.store.failed", error, level=logging.WARNING)


def _breaker_key(subscriber: str) -> str:
    """Return where a subscriber's run of failures is counted."""
    return f"{HEALTH}{subscriber}/breaker.json"


def _probe_key(subscriber: str, window: str) -> str:
    """Return the claim on the one attempt that may be made in a window of an open breaker; a prefix if it is empty."""
    return f"{HEALTH}{subscriber}/probe-{window}"


def _gone_key(subscriber: str, url: str) -> str:
    """Return the record that this URL answered 410; another URL starts afresh."""
    return f"{HEALTH}{subscriber}/gone-{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"
