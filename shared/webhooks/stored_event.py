"""What is told of a job, fixed by whoever tells it first: the event of one status, and each subscriber's bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.errors import ObjectNotFound
from shared.jobs import SUMMARY, JobStatus, artifact_key
from shared.outbox.records import SCHEMA_VERSION, iso
from shared.outbox.task import FIRST, deliveries
from shared.storage import ObjectStore
from shared.webhooks import payload
from shared.webhooks.subscribers import Subscriber

_RECENT = 8  # events kept, each perhaps with its summary
_LARGE = 1 << 20  # bytes of a summary that is not kept once it is read, and of what several events may keep
_SHARED = 1 << 16  # bytes of a body from which on equal ones are stored once


@dataclass
class StoredEvents:
    """The events of one run; the last few stay at hand, so that whoever has just written one need not read it."""

    store: ObjectStore
    _recent: OrderedDict[tuple[str, str, bool], StoredEvent] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, job_id: str, name: str, *, older: bool = False) -> StoredEvent:
        """Return an event of a job, read when first needed; ``older``: the version before put it there."""
        which = (job_id, name, older)
        with self._lock:
            event = self._recent.setdefault(which, StoredEvent(self.store, job_id, name, older=older))
            self._recent.move_to_end(which)
            while len(self._recent) > 1 and (
                len(self._recent) > _RECENT or sum(each.kept for each in self._recent.values()) > _LARGE
            ):
                self._recent.popitem(last=False)
            return event


class StoredEvent:
    """One event of one job, and the bodies beside it; read from the store when first needed.

    A large body that several subscribers get is one object, in memory and in the store: it lies under the key of the
    first of them, and ``same.json`` of the others says where. ``body.json`` is never such a reference: older software
    would send it.


    What is not where it is expected is looked for where the other version puts it.
    """

    def __init__(self, store: ObjectStore, job_id: str, name: str, *, older: bool) -> None:
        self.job_id, self.name, self._store = job_id, name, store
        self._older = older
        self._content: dict[str, Any] | None = None
        self._summary_json = b""
        self._summary: dict[str, Any] | None = None
        self._bodies: dict[str, bytes] = {}  # large ones, by their keys
        self._first: dict[tuple[str, str | None], str] = {}  # where a body of this payload and select lies
        self._making = threading.RLock()

    @property
    def kept(self) -> int:
        """How many bytes are kept, about."""
        return len(self._summary_json) + sum(map(len, list(self._bodies.values())))

    def record(
        self, status: JobStatus, summary: bytes, series: str, now: int, output_url: str, report_link: str | None
    ) -> tuple[bool, str]:
        """Fix the event, unless it is.

        Args:
            status: of the job.
            summary: its JSON, which for a final status has been stored before: later attempts read it.
            series: of the publication that tells.
            now: in milliseconds since 1970.
            output_url: ``OUTPUT_URL``.
            report_link: opens the report without a token; None where there are no links.

        Returns:
            Whether this was the first to tell of it, and the series of the deliveries that follow: a redelivery that
            tells first is no second.
        """
        loaded = orjson.loads(summary)
        body = payload.make_event(self.job_id, self.name, iso(now), loaded, output_url, report_link)
        fixed: dict[str, Any] = {"at": now, "round": series, "body": body}  # as the version before called it
        if not status.is_final:
            fixed["summary"] = loaded  # nothing else keeps it
        key = event_key(self.job_id, self.name, older=self._older)
        fresh = self._store.create(key, orjson.dumps(fixed, option=orjson.OPT_SORT_KEYS))
        if fresh:
            self._content, self._summary_json = fixed, summary
        again = series.startswith("r") and self.content.get("round") != series
        return fresh, series if again else FIRST

    @property
    def content(self) -> dict[str, Any]:
        """What was fixed: ``{at, round, body, summary?}``."""
        with self._making:  # deliveries of one event begin at the same time
            if self._content is None:
                self._content = self._find_content()
            return self._content

    def _find_content(self) -> dict[str, Any]:
        key = event_key(self.job_id, self.name, older=self._older)
        try:
            return self._load(key)
        except ObjectNotFound:
            self._older = not self._older
            return self._load(event_key(self.job_id, self.name, older=self._older))

    def summary(self) -> dict[str, Any]:
        """Return the whole summary; a large one is read again each time, and one at a time."""
        found = self.content.get("summary") or self._summary
        if found is None:
            found = orjson.loads(self.summary_json())
            self._summary = found if len(self._summary_json) <= _LARGE else None
        return found

    def summary_json(self) -> bytes:
        """Return it as it is stored."""
        if "summary" in self.content:
            return orjson.dumps(self.content["summary"], option=orjson.OPT_SORT_KEYS)
        self._summary_json = self._summary_json or self._store.get(artifact_key(self.job_id, SUMMARY))
        return self._summary_json

    def body_for(self, subscriber: Subscriber, *, again: bool, wanted: bool) -> bytes | None:
        """Return the bytes, made at the first attempt of all and the same ever after; None: not wanted.

        Args:
            subscriber: as it is configured now.
            again: an attempt was made before.
            wanted: whether it wants this event, or somebody wants it sent in spite of that.
        """
        name, before = f"{self.name}/to/{subscriber.id}/body.json", self._older
        if again and (found := self._stored(f"{deliveries(self.job_id, older=before)}{name}")) is not None:
            return found
        content = self.content  # it may lie where the other version puts it, and the bodies beside it
        key = f"{deliveries(self.job_id, older=self._older)}{name}"
        if again and self._older != before and (found := self._stored(key)) is not None:
            return found
        return self._made(key, content["body"], subscriber) if wanted else None

    def _made(self, key: str, event: dict[str, Any], subscriber: Subscriber) -> bytes | None:
        """Make the body and fix it; None: the subscriber's ``when`` does not hold."""
        with self._making:
            if not payload.is_wanted(event, subscriber, self.summary):
                return None
            recipe = (subscriber.payload, subscriber.select)
            first = self._first.get(recipe)
            body = self._bodies[first] if first else payload.make_body(event, subscriber, self)
            if first is None and len(body) >= _SHARED:
                if not self._store.create(key, body):
                    return self._store.get(key)
                self._first[recipe], self._bodies[key] = key, body
                return body
        if first is None:
            return body if self._store.create(key, body) else self._store.get(key)
        same = orjson.dumps({"version": SCHEMA_VERSION, "sameAs": first})
        return body if self._store.create(_same(key), same) else self._stored(key)

    def _stored(self, key: str) -> bytes | None:
        """Return the body that was fixed for one subscriber; None: no earlier attempt came as far as this."""
        with suppress(ObjectNotFound):
            return self._store.get(key)
        with suppress(ObjectNotFound):
            first = self._load(_same(key))["sameAs"]
            with self._making:
                if first not in self._bodies:
                    self._bodies[first] = self._store.get(first)
                return self._bodies[first]
        return None

    def _load(self, key: str) -> dict[str, Any]:
        loaded: dict[str, Any] = orjson.loads(self._store.get(key))
        return loaded


def event_key(job_id: str, name: str, *, older: bool = False) -> str:
    """Return where an event is fixed; ``older``: by the version before."""
    return f"{deliveries(job_id, older=older)}{name}/event.json"


def _same(key: str) -> str:
    return f"{key.removesuffix('body.json')}same.json"
