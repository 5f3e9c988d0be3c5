"""What functions and command line ask for: take an event, publish a job, make a delivery again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared import tracing
from shared.errors import BadInput, RelayError, RetryableError
from shared.jobs import JobStatus
from shared.logs import log, log_error
from shared.outbox.dead_letters import DeadLetters
from shared.outbox.outcome import State
from shared.outbox.records import iso
from shared.outbox.task import FIRST, Task, TaskKind, redelivery_id
from shared.outbox.worker import NotEnqueued, Result, Worker
from shared.publishing import sweeps
from shared.publishing.erasure import check_not_erased
from shared.publishing.handler import REFRESH
from shared.publishing.reports import Report, Word, delivery_result, idle_word, publication, report_of, word_for
from shared.triggers import JobChanged, Message, Poison, Publish, Sweep, parse

_UNKNOWN = "Unknown"  # reported where a notification names no status that we know


class Deferred(RetryableError):
    """Some messages of an event could not be written down; ``reports`` has all of them, ``first`` why one of them."""

    def __init__(self, reports: Sequence[Report], first: RelayError) -> None:
        lost = [report["jobId"] for report in reports if report["outcome"] == Word.DEFERRED]
        code = first.fields.get("code")
        super().__init__(
            f"an event of {len(reports)} messages has to come again: {first.message}", jobs=lost, code=code
        )
        self.reports = tuple(reports)
        self.first = first


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
            self._sweep(seconds)
        reports = [
            report_of(message, task, results, errors.get(task or message))
            for message, task in read
            if not isinstance(message, Sweep)
        ]
        if errors:
            raise Deferred(reports, next(iter(errors.values())))
        return reports

    def enqueue(self, messages: Iterable[Message], request_id: str = "") -> list[Report]:
        """Write down what messages ask for, and leave the work to the next sweep; ``request_id`` is as for ``receive``.

        Returns:
            For each ``{"jobId", "outcome"}``: accepted, skipped or poison.

        Raises:
            RelayError: something could not be written down; it does no harm to ask for all of it again.
        """
        read = [(message, self.task_for(message, request_id)) for message in messages]
        for message, _ in read:
            if isinstance(message, Poison) and (error := self._keep(message)):
                raise error
        self.worker.outbox.enqueue_all(task for _, task in read if task is not None)
        return [
            {"jobId": task.job_id, "outcome": Word.ACCEPTED} if task else {"jobId": "", "outcome": idle_word(message)}
            for message, task in read
        ]

    def enqueue_event(self, request_id: str, event: bytes) -> None:
        """Write down what an event asks for and leave it to the sweep; of any number of messages, for replays.

        What nobody understands of several messages becomes a dead letter of its own. ``request_id`` is as for
        ``receive``.

        Raises:
            BadInput: nobody understands any of it.
            RelayError: it could not all be written down; to be called again.
        """
        messages = parse(event, most=len(event) + 1)  # as it cannot hold more
        reasons = [message.reason for message in messages if isinstance(message, Poison)]
        if len(reasons) == len(messages):
            raise BadInput(f"the message is still not understood ({reasons[0]}); correct its sender")
        self.enqueue(messages, request_id)

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
        outcome = publication(task, results)
        if outcome.state is State.CLAIMED_ELSEWHERE:
            return {"jobId": job_id, "outcome": Word.ACCEPTED}
        if outcome.record.state == State.ERASED.value:
            check_not_erased(self.worker.outbox.store, job_id)
        word, detail = word_for(outcome, results), outcome.record.detail
        if outcome.error is not None or word is Word.DEFERRED:
            reason = outcome.record.error or f"job {job_id} is left to the next sweep"
            raise outcome.error or RetryableError(reason, jobId=job_id)
        told = [delivery_result(each) for each in results if each[0].kind is TaskKind.DELIVERY]
        if outcome.state is State.ALREADY_ENDED:
            told = [{"subscriber": name, "state": Word.DUPLICATE} for name in detail.get("subscribers", ())]
        elif any(each.kind is TaskKind.FAN_OUT for each in outcome.next_tasks):
            told = [{"subscriber": "*", "state": Word.WAITING}]
        status, artifacts = detail.get("jobStatus", ""), list(detail.get("artifacts", ()))
        return {"jobId": job_id, "outcome": word, "status": status, "artifacts": artifacts, "told": told}

    def redeliver(self, task: Task, seconds: float = 60.0) -> dict[str, str]:
        """Make a delivery now; see ``Announcer.redelivery``."""
        return {"jobId": task.job_id, **delivery_result(self._now(task, seconds)[0])}

    def erase(self, task: Task, seconds: float = 60.0) -> dict[str, Any]:
        """Erase a job now; see ``shared.publishing.erasure``.

        Returns:
            ``{"jobId", "outcome", "auditId"}``, ``erased``, or ``accepted`` where another worker is at it.

        Raises:
            RelayError: what it failed with. The next sweeps go on trying.
        """
        outcome = self._now(task, seconds)[0][1]
        about = {"jobId": task.job_id, "auditId": task.series}
        if outcome.state is State.CLAIMED_ELSEWHERE:
            return {**about, "outcome": Word.ACCEPTED}
        if outcome.record.state != State.ERASED.value:
            reason = outcome.record.error or f"the erasure of job {task.job_id} is left to the next sweep"
            raise outcome.error or RetryableError(reason, jobId=task.job_id)
        return {**about, "outcome": Word.ERASED}

    def task(self, job_id: str, series: str = FIRST, reported_status: str = "") -> Task:
        """Return the publication of a job as a task that is due now."""
        now = int(self.clock() * 1000)
        return Task(TaskKind.PUBLISH, job_id, reported_status, "", series, now, now)

    def task_for(self, message: Message, request_id: str) -> Task | None:
        """Return what a message asks for, if it is about a job; ``request_id`` is as for ``receive``."""
        match message:
            case JobChanged():
                status = message.state if message.state in set(JobStatus) else _UNKNOWN
                trace = tracing.parse(message.traceparent)
                return replace(self.task(message.job_id, FIRST, status), traceparent=trace)
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

    def _sweep(self, seconds: float) -> None:
        began = iso(int(self.clock() * 1000))
        counts = self.worker.sweep(seconds)
        log("outbox.swept", **counts)
        sweeps.keep(self.worker.outbox.store, sweeps.LastSweep(began, counts))

    def _keep(self, poison: Poison) -> RelayError | None:
        """Keep a message that nobody understands; return why it could not be kept."""
        log("notification.poison", level=logging.ERROR, reason=poison.reason, bytes=len(poison.raw))
        try:
            self.dead_letters.keep_notification(poison.raw, poison.reason)
        except RelayError as error:
            log_error("notification.deferred", error)
            return error
        return None
