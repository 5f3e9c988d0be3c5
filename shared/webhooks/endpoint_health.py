"""Who is not to be troubled now: subscribers that fail and fail, and such as have said they are gone.

Only troubled subscribers have objects here, so one list finds all of them and is empty on a good day. All of it is
advice: workers that write at the same time may lose one another's count of failures, and a store that does not answer
costs an attempt too many or too few, never a delivery.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import orjson

from shared import keys
from shared.errors import ObjectNotFound, RelayError
from shared.logs import log, log_error
from shared.outbox.outbox import iso
from shared.storage import ObjectStore

TRIPS_AT = 5  # failures in a row
WINDOW = 300  # seconds in which an open breaker lets one attempt through


class EndpointHealth:
    """The state of all subscribers, read once for each use of the outbox; safe to share between threads.

    A breaker opens after ``TRIPS_AT`` failures in a row. While it is open what is due stays due and no attempt is
    counted, but for one probe in each window over all workers; the first success closes it.
    """

    def __init__(self, store: ObjectStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[str, int] = {}
        self._keys: set[str] = set()
        with _advice():
            self._keys.update(store.list(keys.HEALTH))

    def gone(self, subscriber: str, url: str) -> bool:
        """Say whether the subscriber answered 410 at this very URL."""
        return keys.gone(subscriber, url) in self._keys

    def allows(self, subscriber: str) -> bool:
        """Say whether an attempt may be made; with an open breaker True means: this is the window's probe."""
        with self._lock:
            return self._count(subscriber) < TRIPS_AT or self._elected(subscriber)

    def note(self, subscriber: str, url: str, kind: str) -> None:
        """Take notice of what came of an attempt; ``kind`` as in ``Attempt``."""
        with self._lock:
            if kind == "delivered":
                self._failures[subscriber] = 0
                self._drop(keys.breaker(subscriber), keys.probe(subscriber, ""), keys.gone(subscriber, url))
            elif kind == "gone":
                self._write(keys.gone(subscriber, url), {"status": 410})
                log("subscriber.gone", level=logging.ERROR, subscriber=subscriber)
            else:
                failures = self._failures[subscriber] = self._count(subscriber) + 1
                self._write(keys.breaker(subscriber), {"failures": failures})
                if failures == TRIPS_AT:
                    log("breaker.open", level=logging.ERROR, subscriber=subscriber, failures=failures)
                    self._elected(subscriber)  # this window has had its attempts

    def unused(self, subscriber: str) -> None:
        """Take notice that no attempt was made after all: another may be this window's probe."""
        with self._lock:
            if self._count(subscriber) >= TRIPS_AT:
                self._drop(keys.probe(subscriber, ""))

    def _count(self, subscriber: str) -> int:
        if subscriber not in self._failures:
            self._failures[subscriber] = 0
            if keys.breaker(subscriber) in self._keys:
                with _advice(), suppress(ObjectNotFound):
                    self._failures[subscriber] = orjson.loads(self._store.get(keys.breaker(subscriber)))["failures"]
        return self._failures[subscriber]

    def _elected(self, subscriber: str) -> bool:
        key = keys.probe(subscriber, str(int(self._clock()) // WINDOW))
        won = False
        if key not in self._keys:
            with _advice():
                won = self._store.create(key, uuid.uuid4().hex.encode())
            if won:
                self._drop(keys.probe(subscriber, ""), before=key)
            self._keys.add(key)
        return won

    def _write(self, key: str, value: dict[str, int]) -> None:
        self._keys.add(key)
        with _advice():
            self._store.put(key, orjson.dumps({**value, "at": iso(int(self._clock() * 1000))}))

    def _drop(self, *prefixes: str, before: str = "~") -> None:
        for key in [key for key in self._keys if key.startswith(prefixes) and key < before]:  # all lie before "~"
            self._keys.discard(key)
            with _advice():
                self._store.delete(key)


@contextmanager
def _advice() -> Iterator[None]:
    try:
        yield
    except RelayError as error:
        log_error("breaker.store.failed", error, level=logging.WARNING)
