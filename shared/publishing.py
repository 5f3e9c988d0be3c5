"""The use case: query the job, decode it, leave its artifacts behind, tell the subscribers.

Every step may be repeated by a redelivered message or run beside itself: what was stored first wins, everything else
is a pure function of it, and what is still owed stands in the outbox before it is attempted.
"""

from __future__ import annotations

import hashlib
import logging
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import orjson

from shared import keys
from shared.errors import JobNotReady, ObjectNotFound, PermanentError, RelayError, RetryableError
from shared.logs import log, log_error
from shared.storage import ObjectStore
from shared.triggers import JobChanged, Message, Poison, Publish, Skipped, Sweep

if TYPE_CHECKING:
    from shared.smarttag.model import Artifact, Summary
    from shared.webhooks.announce import Deliveries

FINAL = frozenset({"Success", "Fail"})
QUERY_SECONDS = 40.0  # one QuerySmarttagJob with its retries; the service itself answers in well under a second


class JobSource(Protocol):
    """Where responses come from."""

    def query(self, job_id: str, deadline: float) -> bytes:
        """Return the raw QuerySmarttagJob response within ``deadline`` seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message: published, duplicate, progress, skipped, dead, poison, or deferred for ``error``."""

    job_id: str
    outcome: str
    detail: str = ""
    error: RelayError | None = None

    def to_dict(self) -> dict[str, str]:
        """Return the entry of the callback's report."""
        return {"jobId": self.job_id, "outcome": self.outcome} | ({"detail": self.detail} if self.detail else {})


@dataclass(frozen=True, slots=True)
class Published:
    """What one publication wrote and whom it told; ``outcome`` is published, duplicate or progress."""

    job_id: str
    outcome: str
    status: str
    artifacts: tuple[str, ...] = ()
    told: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form that the HTTP API answers."""
        told = [{"subscriber": subscriber, "state": state} for subscriber, state in self.told]
        return {
            "jobId": self.job_id,
            "outcome": self.outcome,
            "status": self.status,
            "artifacts": list(self.artifacts),
            "told": told,
        }


class Deferred(RetryableError):
    """Some messages of an event are worth retrying; ``outcomes`` reports all of them, ``first`` why one of them is."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        waiting = [outcome.job_id for outcome in outcomes if outcome.outcome == "deferred"]
        super().__init__(f"{len(waiting)} of {len(outcomes)} messages are to be retried", jobs=waiting)
        self.outcomes = tuple(outcomes)
        self.first = next((outcome.error for outcome in outcomes if outcome.error), None)


class Pipeline:
    """The use case over its ports.

    Args:
        store: where artifacts go.
        source: where responses come from.
        deliveries: the outbox.
        query_seconds: for one query with its retries.
    """

    def __init__(
        self, store: ObjectStore, source: JobSource, deliveries: Deliveries, *, query_seconds: float = QUERY_SECONDS
    ) -> None:
        self._store = store
        self._source = source
        self._deliveries = deliveries
        self._query_seconds = query_seconds

    def receive(self, messages: Iterable[Message], *, request_id: str, deadline: float) -> tuple[Outcome, ...]:
        """Handle every message on its own.

        Args:
            messages: what ``shared.triggers.parse`` read.
            request_id: of the invocation; it names a redelivery whose command names none.
            deadline: seconds from now that a sweep may take.

        Raises:
            Deferred: after all were tried, if any is worth retrying.
        """
        outcomes = [outcome for message in messages for outcome in self._one(message, request_id, deadline)]
        if any(outcome.outcome == "deferred" for outcome in outcomes):
            raise Deferred(outcomes)
        return tuple(outcomes)

    def publish(self, job_id: str, *, hint: str = "", round: str = "0") -> Published:  # noqa: A002 - the outbox's word
        """Publish one job; ``hint`` is the state a notification named, ``round`` names a redelivery.

        Raises:
            JobNotReady: the notification ran ahead of the service.
            RelayError: whatever the service or the store failed with.
        """
        keys.check_job_id(job_id)
        from shared.smarttag import analyse, make_artifacts

        response, fresh = self._response(job_id)
        analysis = analyse(response, job_id)
        if analysis.summary.status not in FINAL:
            return self._progress(job_id, hint, analysis.summary, round)
        where = keys.artifact(job_id, keys.RESPONSE)
        if fresh and not self._store.create(where, response):
            response = self._store.get(where)
            analysis = analyse(response, job_id)
        summary, artifacts = analysis.summary, make_artifacts(analysis, (keys.RESPONSE, keys.MANIFEST))
        names = self._leave(job_id, response, artifacts)
        told = self._deliveries.tell(job_id, summary.status, summary, round=round)
        outcome = "published" if fresh or any(one.state != "duplicate" for one in told) else "duplicate"
        log("job.published", jobId=job_id, status=summary.status, outcome=outcome, warnings=len(summary.warnings))
        return Published(job_id, outcome, summary.status, names, tuple((one.subscriber, one.state) for one in told))

    def live(self, job_id: str) -> Summary:
        """Ask the service now and summarise its answer; nothing is stored."""
        from shared.smarttag import summarise

        return summarise(self._source.query(keys.check_job_id(job_id), self._query_seconds), job_id)

    def stored(self, job_id: str, name: str) -> bytes:
        """Return one artifact's bytes; ``ObjectNotFound`` if the job left none of that name."""
        return self._store.get(keys.artifact(job_id, name))

    def sweep(self, deadline: float) -> dict[str, int]:
        """Work off what is due, for at most ``deadline`` seconds."""
        return self._deliveries.sweep(self._retry, deadline)

    def _retry(self, job_id: str, hint: str, round: str) -> None:  # noqa: A002 - the outbox's word
        if round != "0" or not self._is_done(job_id, hint):
            self.publish(job_id, hint=hint, round=round)

    def _one(self, message: Message, request_id: str, deadline: float) -> Iterator[Outcome]:
        match message:
            case Skipped():
                yield Outcome("", "skipped", message.reason)
            case Poison():
                yield self._bury(message)
            case Sweep():
                log("outbox.swept", **self.sweep(deadline))
            case JobChanged():
                yield self._job(message.job_id, hint=message.state, round="0")
            case Publish(redeliver=True):
                yield self._job(message.job_id, hint="", round=message.request_id or request_id)
            case Publish():
                yield self._job(message.job_id, hint="", round="0")

    def _job(self, job_id: str, *, hint: str, round: str) -> Outcome:  # noqa: A002 - the outbox's word
        """Owe the job, do it, strike it off; whatever could be neither done nor recorded is to be retried."""
        try:
            if round == "0" and self._is_done(job_id, hint):
                return Outcome(job_id, "duplicate", "was published before")
            entry = self._deliveries.owe_job(job_id, hint, round)
            outcome = self._publish_or_bury(job_id, hint, round)
            self._deliveries.settle_job(entry)
        except RelayError as error:
            log_error("job.deferred", error, level=logging.WARNING, jobId=job_id)
            return Outcome(job_id, "deferred", error.message, error)
        except Exception as error:  # noqa: BLE001 - a surprise in one job must not cost the others of its event
            log_error("job.surprised", error, jobId=job_id, trace=traceback.format_tb(error.__traceback__))
            return Outcome(job_id, "deferred", f"unexpected {type(error).__name__}; see the log")
        return outcome

    def _publish_or_bury(self, job_id: str, hint: str, round: str) -> Outcome:  # noqa: A002 - the outbox's word
        try:
            published = self.publish(job_id, hint=hint, round=round)
        except PermanentError as error:
            log_error("job.dead", error, jobId=job_id)
            self._deliveries.dead.bury_job(job_id, error.message)
            return Outcome(job_id, "dead", error.message)
        return Outcome(job_id, published.outcome, f"status {published.status}")

    def _bury(self, poison: Poison) -> Outcome:
        log("notification.poison", level=logging.ERROR, reason=poison.reason, bytes=len(poison.raw))
        try:
            self._deliveries.dead.bury_notification(poison.raw, poison.reason)
        except RelayError as error:
            log_error("notification.deferred", error)
            return Outcome("", "deferred", f"{poison.reason}; and it could not be recorded: {error.message}", error)
        return Outcome("", "poison", poison.reason)

    def _is_done(self, job_id: str, hint: str) -> bool:
        """Say whether nothing is left to do. Without webhooks everybody counts as told, so the manifest decides."""
        if hint not in FINAL or not self._deliveries.told(job_id, hint):
            return False
        return self._store.head(keys.artifact(job_id, keys.MANIFEST)) is not None

    def _response(self, job_id: str) -> tuple[bytes, bool]:
        """Return the response and whether it is fresh: the first final one stored wins over asking again."""
        try:
            return self._store.get(keys.artifact(job_id, keys.RESPONSE)), False
        except ObjectNotFound:
            return self._source.query(job_id, self._query_seconds), True

    def _progress(self, job_id: str, hint: str, summary: Summary, round: str) -> Published:  # noqa: A002 - the outbox's word
        if hint in FINAL:
            raise JobNotReady(
                f"the notification says job {job_id} is {hint}, QuerySmarttagJob still says {summary.status}",
                jobId=job_id,
            )
        told = self._deliveries.tell(job_id, summary.status, summary, round=round)
        return Published(job_id, "progress", summary.status, (), tuple((one.subscriber, one.state) for one in told))

    def _leave(self, job_id: str, response: bytes, artifacts: Sequence[Artifact]) -> tuple[str, ...]:
        """Store the artifacts, the manifest last: where it stands as computed, all of them stand already."""
        listed = list(_listed(response, artifacts))
        manifest = orjson.dumps({"jobId": job_id, "artifacts": listed}, option=orjson.OPT_SORT_KEYS)
        where = keys.artifact(job_id, keys.MANIFEST)
        names = (*(str(entry["name"]) for entry in listed), keys.MANIFEST)
        try:
            if self._store.get(where) == manifest:
                return names
        except ObjectNotFound:
            pass
        for artifact in artifacts:
            self._store.put(keys.artifact(job_id, artifact.name), artifact.body, artifact.content_type)
        self._store.put(where, manifest)
        return names


def _listed(response: bytes, artifacts: Sequence[Artifact]) -> Iterator[dict[str, object]]:
    yield _entry(keys.RESPONSE, response, "application/json")
    for artifact in artifacts:
        yield _entry(artifact.name, artifact.body, artifact.content_type)


def _entry(name: str, body: bytes, content_type: str) -> dict[str, object]:
    return {"name": name, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), "contentType": content_type}
