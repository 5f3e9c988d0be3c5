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
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import orjson

from shared.errors import ObjectNotFound, RelayError
from shared.logs import log, log_error
from shared.outbox.records import SCHEMA_VERSION, AttemptKind, Record, iso
from shared.outbox.task import Task
from shared.storage import ObjectStore
from shared.webhooks.subscribers import Subscriber

HEALTH = "subscribers/"
TRIPS_AT = 10  # fresh events that failed in a row
FRESH = 60  # seconds
TRIAL = 15  # seconds in which an open breaker lets one fresh event through
WINDOW = 300  # seconds in which it lets one other through
_ENOUGH = 5  # others that failed in a row; the rest is left to the next run


@dataclass
class EndpointHealth:
    """The state of all subscribers, read once for each use of the outbox; safe to share between threads.

    Spared is an endpoint that is down, not one that says no to some events: an answer of 4xx shows that it is up, and
    only the first attempts of fresh events count towards opening the breaker, for a receiver may fail at the same event
    again and again. While it is open what is due stays due and no attempt is counted, but for one fresh event in each
    ``TRIAL`` and one other in each ``WINDOW`` over all workers; whatever shows that the endpoint is up closes it.
    """

    store: ObjectStore
    clock: Callable[[], float]  # seconds since 1970
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _failures: dict[str, int] = field(default_factory=dict)
    _since: dict[str, str] = field(default_factory=dict)  # the first of these failures
    _missing: dict[str, float] = field(default_factory=dict)
    _others: Counter[str] = field(default_factory=Counter)  # of others that failed in a row, in this run
    _known: set[str] | None = None

    @property
    def _keys(self) -> set[str]:
        """What the store holds, listed once; whoever asks holds the lock, for deliveries begin at the same time."""
        if self._known is None:
            self._known = set()
            with _advice():
                self._known.update(self.store.list(HEALTH))
        return self._known

    def is_gone(self, subscriber: str, url: str) -> bool:
        """Say whether the subscriber answered 410 at this very URL, and was not resumed since the list was read."""
        key = gone_key(subscriber, url)
        with self._lock:
            if key in self._keys:
                with _advice():
                    if self.store.head(key) is None:
                        self._keys.discard(key)
            return key in self._keys

    def allows(self, task: Task) -> bool:
        """Say whether an attempt may be made; with an open breaker True means: this is the window's one."""
        subscriber = task.subscriber
        with self._lock:
            if not self._is_fresh(task) and self._others[subscriber] >= _ENOUGH:
                return False
            return self._count(subscriber) < TRIPS_AT or self._elected(task)

    def note(self, task: Task, url: str, record: Record) -> None:
        """Take notice of what came of an attempt."""
        subscriber = task.subscriber
        with self._lock:
            if record.kind is AttemptKind.GONE:
                self._keys.add(gone := gone_recorded(record) or gone_key(subscriber, url))
                with _advice():
                    record_gone(self.store, gone, record.error, int(self.clock() * 1000))
                log("subscriber.gone", level=logging.ERROR, subscriber=subscriber)
            elif record.kind is AttemptKind.DELIVERED or _is_up(record):
                self._failures[subscriber] = self._others[subscriber] = 0
                self._since.pop(subscriber, None)
                back = (gone_key(subscriber, url),) if record.kind is AttemptKind.DELIVERED else ()
                self._drop(breaker_key(subscriber), *_probe_keys(subscriber), *back)
            elif not self._is_fresh(task):
                self._others[subscriber] += 1
            else:
                failures = self._failures[subscriber] = self._count(subscriber) + 1
                since = self._since.setdefault(subscriber, iso(int(self.clock() * 1000)))
                self._write(breaker_key(subscriber), {"failures": failures, "since": since, "error": record.error})
                if failures == TRIPS_AT:
                    log("breaker.open", level=logging.ERROR, subscriber=subscriber, failures=failures)
                    self._elected(task)  # this window has had its attempts

    def recovering(self, task: Task, url: str, record: Record) -> str:
        """Return since when an endpoint was spared or gone that this attempt shows to be up; empty if it was not."""
        subscriber = task.subscriber
        with self._lock:
            if gone_key(subscriber, url) in self._keys and record.kind is AttemptKind.DELIVERED:
                with _advice(), suppress(ObjectNotFound):
                    return str(orjson.loads(self.store.get(gone_key(subscriber, url)))["at"])
            if (record.kind is AttemptKind.DELIVERED or _is_up(record)) and self._count(subscriber) >= TRIPS_AT:
                return self._since.get(subscriber, "")
        return ""

    def missing_for(self, subscriber: str) -> float:
        """Return for how many seconds of the store's clock a subscriber has been missing from the file."""
        key = _missing_key(subscriber)
        with self._lock:
            if key not in self._missing:
                self._missing[key] = 0.0
                if key not in self._keys:
                    log("subscriber.missing", level=logging.WARNING, subscriber=subscriber)
                    self._keys.add(key)
                with _advice():
                    self.store.create(key, b"{}")
                    info = self.store.head(key)
                    self._missing[key] = 0.0 if info is None else info.age
            return self._missing[key]

    def is_there(self, subscriber: str) -> None:
        """Take notice that a subscriber is in the file."""
        with self._lock:
            if _missing_key(subscriber) in self._keys:
                self._drop(_missing_key(subscriber))

    def unused(self, task: Task) -> None:
        """Take notice that no attempt was made after all: another may be this window's."""
        with self._lock:
            if self._count(task.subscriber) >= TRIPS_AT:
                self._drop(*_probe_keys(task.subscriber))

    def _is_fresh(self, task: Task) -> bool:
        return task.attempt == 1 and self.clock() - task.enqueued_at / 1000 < FRESH

    def _count(self, subscriber: str) -> int:
        if subscriber not in self._failures:
            self._failures[subscriber] = 0
            if breaker_key(subscriber) in self._keys:
                with _advice(), suppress(ObjectNotFound):
                    found = orjson.loads(self.store.get(breaker_key(subscriber)))
                    self._failures[subscriber] = found["failures"]
                    self._since.update({subscriber: found["since"]} if "since" in found else {})
        return self._failures[subscriber]

    def _elected(self, task: Task) -> bool:
        kind, seconds = ("trial", TRIAL) if self._is_fresh(task) else ("probe", WINDOW)
        key = _probe_key(task.subscriber, kind, str(int(self.clock()) // seconds))
        won = False
        if key not in self._keys:
            with _advice():
                won = self.store.create(key, uuid.uuid4().hex.encode())
            if won:
                self._drop(_probe_key(task.subscriber, kind), before=key)
            self._keys.add(key)
        return won

    def _write(self, key: str, value: Mapping[str, int | str | None]) -> None:
        self._keys.add(key)
        with _advice():
            self.store.put(key, orjson.dumps({"version": SCHEMA_VERSION, **value, "at": iso(int(self.clock() * 1000))}))

    def _drop(self, *prefixes: str, before: str = "~") -> None:
        for key in [key for key in self._keys if key.startswith(prefixes) and key < before]:  # all lie before "~"
            self._keys.discard(key)
            with _advice():
                self.store.delete(key)


def _is_up(record: Record) -> bool:
    """Say whether a failed attempt was answered by somebody who has read it: 4xx, but not 408 or 429."""
    return record.status is not None and 400 <= record.status < 500 and record.status not in {408, 429}  # noqa: PLR2004 - 4xx


def gone_at(subscriber: Subscriber, record: Record) -> Record:
    """Return the record with where it is to be recorded that this URL has gone: another may stand in the file soon."""
    return replace(record, detail={"gone": gone_key(subscriber.id, subscriber.url)})


def gone_recorded(record: Record) -> str:
    """Return what ``gone_at`` has noted; empty for a record of the version before, which noted nothing."""
    return str(record.detail.get("gone", ""))


def record_gone(store: ObjectStore, key: str, error: str | None, now: int) -> str:
    """Record that a URL answered 410, unless that is known; return since when, in ISO 8601."""
    store.create(key, orjson.dumps({"version": SCHEMA_VERSION, "status": 410, "error": error, "at": iso(now)}))
    return str(orjson.loads(store.get(key))["at"])


@contextmanager
def _advice() -> Iterator[None]:
    try:
        yield
    except RelayError as error:
        log_error("breaker.store.failed", error, level=logging.WARNING)


def breaker_key(subscriber: str) -> str:
    """Return where a subscriber's run of failures is counted."""
    return f"{HEALTH}{subscriber}/breaker.json"


def _missing_key(subscriber: str) -> str:
    """Return the record that a subscriber is missing from the file, written when that was first seen."""
    return f"{HEALTH}{subscriber}/missing.json"


def _probe_key(subscriber: str, kind: str, window: str = "") -> str:
    """Return the claim on the one attempt of a window of an open breaker; a prefix without a window."""
    return f"{HEALTH}{subscriber}/{kind}-{window}"


def _probe_keys(subscriber: str) -> tuple[str, str]:
    return _probe_key(subscriber, "trial"), _probe_key(subscriber, "probe")


def gone_key(subscriber: str, url: str) -> str:
    """Return the record that this URL answered 410; another URL starts afresh."""
    return f"{HEALTH}{subscriber}/gone-{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"
