"""The use case: query the job, decode it, leave its artifacts behind, have the subscribers told.

Callback, HTTP and sweep go one way: a task is enqueued, then worked on. Every step may be repeated or run beside
itself: what was stored first wins, and everything else is a pure function of it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from shared.errors import (
    BadInput,
    JobNotFound,
    JobNotReady,
    ObjectNotFound,
    RelayError,
    ResponseTooLarge,
    RetryableError,
)
from shared.jobs import ARTIFACTS, MANIFEST, RESPONSE, SUMMARY, JobStatus, artifact_key
from shared.logs import log, log_error
from shared.outbox.dead_letters import DeadLetters, is_later, next_series
from shared.outbox.outbox import Handler
from shared.outbox.outcome import Outcome, State
from shared.outbox.records import Record, iso
from shared.outbox.task import FIRST, Task, TaskKind, redelivery_id
from shared.outbox.worker import NotEnqueued, Result, Worker
from shared.revisions import is_improvable, look_again
from shared.storage import ObjectStore
from shared.triggers import JobChanged, Message, Poison, Publish, Sweep

if TYPE_CHECKING:
    from shared.smarttag.model import Analysis, Summary
    from shared.webhooks.announcer import Announcement

Report = dict[str, str]  # of one message, as the callback answers it
REFRESH = "Refresh"  # reported where somebody asks whether there is a better answer by now
_UNKNOWN = "Unknown"  # reported where a notification names no status that we know


class Word(str, Enum):
    """The words for what became of a message, and of a delivery that did not end just now."""

    PUBLISHED = "published"
    DUPLICATE = "duplicate"  # done before, or being done
    PROGRESS = "progress"
    SKIPPED = "skipped"
    DEFERRED = "deferred"
    POISON = "poison"
    DEAD = "dead"
    ACCEPTED = "accepted"  # another worker is at it
    WAITING = "waiting"


_DELIVERY_WORDS = {
    State.RETRY: Word.WAITING,
    State.SUSPENDED: Word.WAITING,
    State.OUT_OF_TIME: Word.WAITING,
    State.FAILED: Word.WAITING,
    State.CLAIMED_ELSEWHERE: Word.DUPLICATE,
    State.ALREADY_ENDED: Word.DUPLICATE,
}


class JobSource(Protocol):
    """Where responses come from."""

    def query(self, job_id: str, deadline: float) -> bytes:
        """Return the raw QuerySmarttagJob response within ``deadline`` seconds."""
        ...


class Announces(Protocol):
    """Who announces events; ``shared.webhooks.announcer``."""

    def announce(self, job_id: str, status: JobStatus, summary: bytes, series: str, revision: str = "") -> Announcement:
        """Return what is to be done so that everybody hears of it."""
        ...


class Deferred(RetryableError):
    """Some messages of an event could not be written down; ``reports`` has all of them, ``first`` why one of them."""

    def __init__(self, reports: Sequence[Report], first: RelayError) -> None:
        lost = [report["jobId"] for report in reports if report["outcome"] == Word.DEFERRED]
        super().__init__(f"an event of {len(reports)} messages has to come again: {first.message}", jobs=lost)
        self.reports = tuple(reports)
        self.first = first


@dataclass(frozen=True)
class PublishHandler(Handler):
    """Publishes a job; each repetition leaves the same behind. Without an ``announcer`` nobody is told."""

    store: ObjectStore
    source: JobSource
    announcer: Announces | None
    query_seconds: float  # for one query with its retries
    max_result_bytes: int = (
        134_217_728  # of a stored response too: whoever can write to the bucket may have put it there
    )
    lease = 900.0  # seconds: it may decode the largest of responses
    needs = 60.0

    def run(self, task: Task) -> Outcome:
        """Publish once; given up at once is only what no time can change."""
        try:
            return self.publish(task)
        except (BadInput, ResponseTooLarge) as error:
            return Outcome.failed(error, State.DEAD)
        except JobNotFound as error:
            if task.event not in {"", REFRESH}:  # MPS itself spoke of the job a moment ago
                raise
            return Outcome.failed(error, State.REFUSED)

    def restart(self, task: Task, receipt: Record) -> tuple[Task, ...]:
        """Begin the next publication of a job that was given up, lost its artifacts, or may be answered better now."""
        if task.redelivery_id is not None:
            return ()
        later, detail = iso(task.enqueued_at) > (receipt.at or ""), receipt.detail
        again = receipt.state == State.REFUSED.value or (later and receipt.state == State.DEAD.value)
        again = again or (later and bool(task.event) and bool(detail.get("improvable")))
        if not again and not task.event and "artifacts" in detail:
            again = self.store.head(artifact_key(task.job_id, MANIFEST)) is None
        return (replace(task, series=next_series(task.series), due=task.enqueued_at, attempt=1),) if again else ()

    def publish(self, task: Task) -> Outcome:
        """Store the artifacts and return who is to be told; raise whatever service or store failed with."""
        from shared.smarttag import analyse

        response, fresh = self._response(task)
        revision = ""
        if not fresh and is_later(task.series) and (better := self._look_again(task, response)) is not None:
            response, fresh, revision = better, True, task.series
        analysis = analyse(response, task.job_id)
        status = JobStatus(analysis.summary.status)
        if not status.is_final:
            return self._progress(task, status, analysis.summary)
        where = artifact_key(task.job_id, RESPONSE)
        if revision:
            self.store.put(where, response)
        elif fresh and not self.store.create(where, response):
            response, fresh = self._stored(task.job_id), False
            analysis = analyse(response, task.job_id)
            status = JobStatus(analysis.summary.status)
        summary, names = store_artifacts(self.store, response, analysis, anew=fresh)
        detail: dict[str, Any] = {"artifacts": names, "fresh": fresh, "warnings": len(analysis.summary.warnings)}
        if is_improvable(analysis.summary):
            detail["improvable"] = True
        return self.announce(task, status, summary, detail, revision)

    def announce(
        self, task: Task, status: JobStatus, summary: bytes, detail: dict[str, Any], revision: str = ""
    ) -> Outcome:
        """Return the end of a publication, with the deliveries that follow from it; ``detail`` is for the receipt."""
        detail["jobStatus"] = status.value
        tasks: tuple[Task, ...] = ()
        if self.announcer is not None:
            told = self.announcer.announce(task.job_id, status, summary, task.series, revision)
            tasks, detail = told.tasks, detail | {"fresh": told.fresh, "event": told.event, "series": told.series}
            detail["subscribers"] = [each.subscriber for each in tasks if each.subscriber]
        log("job.published", jobId=task.job_id, status=status.value, warnings=detail.get("warnings"))
        return Outcome(State.SETTLED, Record(detail=detail), tasks)

    def _response(self, task: Task) -> tuple[bytes, bool]:
        """Return the response and whether it is fresh: the first final one stored wins over asking again.

        What a notification asks for first has not been stored yet, so the usual case does not look.
        """
        if not task.event or task.attempt > 1 or task.series != FIRST:
            with suppress(ObjectNotFound):
                return self._stored(task.job_id), False
        return self.source.query(task.job_id, self.query_seconds), True

    def _stored(self, job_id: str) -> bytes:
        where = artifact_key(job_id, RESPONSE)
        if (info := self.store.head(where)) is not None and info.size > self.max_result_bytes:
            raise ResponseTooLarge(
                f"{where} holds {info.size} bytes, over the limit of {self.max_result_bytes}: raise MAX_RESULT_BYTES, "
                "and the function's memory with it",
                jobId=job_id,
                maxResultBytes=self.max_result_bytes,
            )
        return self.store.get(where)

    def _look_again(self, task: Task, stored: bytes) -> bytes | None:
        def query() -> bytes:
            return self.source.query(task.job_id, self.query_seconds)

        return look_again(self.store, task.job_id, task.series, stored, query)

    def _progress(self, task: Task, status: JobStatus, summary: Summary) -> Outcome:
        if task.event not in {"", REFRESH, JobStatus.SUBMITTED.value, JobStatus.PROCESSING.value}:
            raise JobNotReady(
                f"the notification says job {task.job_id} is {task.event}, QuerySmarttagJob still says {status.value}",
                jobId=task.job_id,
            )
        return self.announce(task, status, summary.to_json(), {})


@dataclass(frozen=True)
class Publisher:
    """What functions and command line ask for; ``clock`` counts seconds since 1970."""

    worker: Worker
    dead_letters: DeadLetters
    clock: Callable[[], float]

    def receive(self, messages: Iterable[Message], *, request_id: str, seconds: float) -> list[Report]:
        """Handle the messages of one event: all are written down before the first is worked on.

        Args:
            messages: what ``shared.triggers.parse`` read.
            request_id: of the invocation; it names a redelivery whose command names none.
            seconds: from now that this may take; what they are too short for is left to the sweep.

        Returns:
            For each ``{"jobId", "outcome", "detail"}``: published, duplicate, progress, skipped, dead, poison or
            deferred.

        Raises:
            Deferred: after everything else was done, if any could not be written down.
        """
        read = [(message, self.task_for(message, request_id)) for message in messages]
        errors: dict[object, RelayError] = {
            message: error for message, _ in read if isinstance(message, Poison) and (error := self._keep(message))
        }
        tasks = dict.fromkeys(task for _, task in read if task is not None)
        asked_for = [task for message, task in read if task is not None and isinstance(message, Publish)]
        try:
            results: Sequence[Result] = self.worker.run_now(tasks, seconds, expedite=asked_for)
        except NotEnqueued as error:
            results, errors = error.results, errors | dict(error.failures)
        if any(isinstance(message, Sweep) for message, _ in read):
            log("outbox.swept", **self.worker.sweep(seconds))
        reports = [
            _report(message, task, results, errors.get(task or message))
            for message, task in read
            if not isinstance(message, Sweep)
        ]
        if errors:
            raise Deferred(reports, next(iter(errors.values())))
        return reports

    def publish(
        self, job_id: str, *, redeliver: bool, request_id: str, refresh: bool = False, seconds: float = 60.0
    ) -> dict[str, Any]:
        """Publish one job now; ``redeliver`` sends again what was delivered before, ``refresh`` asks MPS again.

        Returns:
            ``{"jobId", "outcome", "status", "artifacts": [...], "told": [{"subscriber", "state", "detail"?}]}``;
            only an outcome ``accepted`` where another worker is at it.

        Raises:
            RelayError: what it failed with. Unless that is permanent the next sweeps go on trying.
        """
        series = redelivery_id(request_id) if redeliver else FIRST
        task = self.task(job_id, series, REFRESH if refresh else "")
        results = self._now(task, seconds)
        outcome = _publication(task, results)
        if outcome.state is State.CLAIMED_ELSEWHERE:
            return {"jobId": job_id, "outcome": Word.ACCEPTED}
        word, detail = _word(outcome, results), outcome.record.detail
        if outcome.error is not None or word is Word.DEFERRED:
            reason = outcome.record.error or f"job {job_id} is left to the next sweep"
            raise outcome.error or RetryableError(reason, jobId=job_id)
        told = [_delivery_result(each) for each in results if each[0].kind is TaskKind.DELIVERY]
        if outcome.state is State.ALREADY_ENDED:
            told = [{"subscriber": name, "state": Word.DUPLICATE} for name in detail.get("subscribers", ())]
        elif any(each.kind is TaskKind.FAN_OUT for each in outcome.next_tasks):
            told = [{"subscriber": "*", "state": Word.WAITING}]
        status, artifacts = detail.get("jobStatus", ""), list(detail.get("artifacts", ()))
        return {"jobId": job_id, "outcome": word, "status": status, "artifacts": artifacts, "told": told}

    def redeliver(self, task: Task, seconds: float = 60.0) -> dict[str, str]:
        """Make a delivery now; see ``Announcer.redelivery``."""
        return {"jobId": task.job_id, **_delivery_result(self._now(task, seconds)[0])}

    def task(self, job_id: str, series: str = FIRST, reported_status: str = "") -> Task:
        """Return the publication of a job as a task that is due now."""
        now = int(self.clock() * 1000)
        return Task(TaskKind.PUBLISH, job_id, reported_status, "", series, now, now)

    def task_for(self, message: Message, request_id: str) -> Task | None:
        """Return what a message asks for, if it is about a job; ``request_id`` is as for ``receive``."""
        match message:
            case JobChanged():
                return self.task(message.job_id, FIRST, message.state if message.state in set(JobStatus) else _UNKNOWN)
            case Publish(redeliver=True):
                return self.task(message.job_id, redelivery_id(message.request_id or request_id))
            case Publish():
                return self.task(message.job_id, FIRST, REFRESH if message.refresh else "")
        return None

    def _now(self, task: Task, seconds: float) -> Sequence[Result]:
        try:
            return self.worker.run_now([task], seconds, expedite=[task])
        except NotEnqueued as error:
            raise error.failures[0][1] from error

    def _keep(self, poison: Poison) -> RelayError | None:
        """Keep a message that nobody understands; return why it could not be kept."""
        log("notification.poison", level=logging.ERROR, reason=poison.reason, bytes=len(poison.raw))
        try:
            self.dead_letters.keep_notification(poison.raw, poison.reason)
        except RelayError as error:
            log_error("notification.deferred", error)
            return error
        return None


def store_artifacts(store: ObjectStore, response: bytes, analysis: Analysis, *, anew: bool) -> tuple[bytes, list[str]]:
    """Store the artifacts, the manifest last; return summary.json and the names of all.

    Unless they are made ``anew``, a manifest that stands as computed says that all of them stand already.
    """
    from shared.smarttag import make_artifacts

    job_id = analysis.summary.jobId
    bodies = {artifact.name: artifact.body for artifact in make_artifacts(analysis, (RESPONSE, MANIFEST))}
    listed = [
        {
            "name": name,
            "bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "contentType": ARTIFACTS[name].content_type,
        }
        for name, body in ({RESPONSE: response} | bodies).items()
    ]
    manifest = orjson.dumps({"jobId": job_id, "artifacts": listed}, option=orjson.OPT_SORT_KEYS)
    if anew or not _stands(store, artifact_key(job_id, MANIFEST), manifest):
        for name, body in bodies.items():
            store.put(artifact_key(job_id, name), body, ARTIFACTS[name].content_type)
        store.put(artifact_key(job_id, MANIFEST), manifest)
    return bodies[SUMMARY], [RESPONSE, *bodies, MANIFEST]


def _stands(store: ObjectStore, key: str, body: bytes) -> bool:
    try:
        return store.get(key) == body
    except ObjectNotFound:
        return False


def _publication(task: Task, results: Iterable[Result]) -> Outcome:
    """Return what came of a job; of a publication that was begun anew, that of the new one."""
    found = [each for about, each in results if about.kind is TaskKind.PUBLISH and about.job_id == task.job_id]
    return next((each for each in found if each.state is not State.ALREADY_ENDED), found[0])


def _report(message: Message, task: Task | None, results: Sequence[Result], error: RelayError | None) -> Report:
    about = {"jobId": "" if task is None else task.job_id}
    if error is not None:
        return {**about, "outcome": Word.DEFERRED, "detail": error.message}
    if task is None:
        word = Word.POISON if isinstance(message, Poison) else Word.SKIPPED
        return {**about, "outcome": word, "detail": str(getattr(message, "reason", ""))}
    outcome = _publication(task, results)
    detail = outcome.record.error or f"status {outcome.record.detail.get('jobStatus', 'unknown')}"
    return {**about, "outcome": _word(outcome, results), "detail": detail}


def _word(outcome: Outcome, results: Iterable[Result]) -> Word:
    """Return the word for what became of a publication."""
    if outcome.state in {State.DEAD, State.REFUSED}:
        return Word.DEAD
    if _DELIVERY_WORDS.get(outcome.state) is Word.WAITING:
        return Word.DEFERRED
    status = outcome.record.detail.get("jobStatus")
    if status is not None and not JobStatus(status).is_final:
        return Word.PROGRESS
    told = (each for task, each in results if task in outcome.next_tasks)
    news = outcome.record.detail.get("fresh") or any(
        _DELIVERY_WORDS.get(each.state) is not Word.DUPLICATE for each in told
    )
    return Word.PUBLISHED if outcome.state is State.SETTLED and news else Word.DUPLICATE


def _delivery_result(result: Result) -> dict[str, str]:
    task, outcome = result
    told = {"subscriber": task.subscriber, "state": _DELIVERY_WORDS.get(outcome.state, outcome.state)}
    return told | ({"detail": outcome.record.error} if outcome.record.error else {})
