"""What is told of a job, fixed by whoever tells it first: the event of one status, and each subscriber's bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from shared.errors import ObjectNotFound
from shared.jobs import SUMMARY, JobStatus, artifact_key
from shared.outbox.records import iso
from shared.outbox.task import FIRST, deliveries
from shared.storage import ObjectStore
from shared.webhooks import payload
from shared.webhooks.subscribers import Subscriber

_RECENT = 8  # events kept, each perhaps with its summary


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
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
            return event


class StoredEvent:
    """One event of one job, and the bodies beside it; read from the store when first needed.

    What is not where it is expected is looked for where the other version puts it.
    """

    def __init__(self, store: ObjectStore, job_id: str, name: str, *, older: bool) -> None:
        self.job_id, self.name, self._store = job_id, name, store
        self._older = older

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
            self.content, self.summary = fixed, loaded
        again = series.startswith("r") and self.content.get("round") != series
        return fresh, series if again else FIRST

    @cached_property
    def content(self) -> dict[str, Any]:
        """What was fixed: ``{at, round, body, summary?}``."""
        key = event_key(self.job_id, self.name, older=self._older)
        try:
            return self._load(key)
        except ObjectNotFound:
            self._older = not self._older
            return self._load(event_key(self.job_id, self.name, older=self._older))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The whole summary."""
        return self.content.get("summary") or self._load(artifact_key(self.job_id, SUMMARY))

    def body_for(self, subscriber: Subscriber, *, again: bool, wanted: bool) -> bytes | None:
        """Return the bytes, made at the first attempt of all and the same ever after; None: not wanted.

        Args:
            subscriber: as it is configured now.
            again: an attempt was made before.
            wanted: whether it wants this event, or somebody wants it sent in spite of that.
        """
        name = f"{self.name}/to/{subscriber.id}/body.json"
        if again:
            with suppress(ObjectNotFound):  # no earlier attempt came as far as this; or the event lies elsewhere
                return self._store.get(f"{deliveries(self.job_id, older=self._older)}{name}")
        before, content = self._older, self.content
        key = f"{deliveries(self.job_id, older=self._older)}{name}"
        if again and self._older != before:
            with suppress(ObjectNotFound):
                return self._store.get(key)
        body = payload.make_body(content["body"], subscriber, lambda: self.summary) if wanted else None
        if body is None or self._store.create(key, body):
            return body
        return self._store.get(key)

    def _load(self, key: str) -> dict[str, Any]:
        loaded: dict[str, Any] = orjson.loads(self._store.get(key))
        return loaded


def event_key(job_id: str, name: str, *, older: bool = False) -> str:
    """Return where an event is fixed; ``older``: by the version before."""
    return f"{deliveries(job_id, older=older)}{name}/event.json"
