"""What is said of a message, a publication and its deliveries, in the words that callback and API answer with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from shared.errors import RelayError
from shared.jobs import JobStatus
from shared.outbox.outcome import Outcome, State
from shared.outbox.task import Task, TaskKind
from shared.outbox.worker import Result
from shared.triggers import Message, Poison

Report = dict[str, str]  # of one message, as the callback answers it


class Word(str, Enum):
    """The words for what became of a message, and of a delivery that did not end just now."""

    PUBLISHED = "published"
    DUPLICATE = "duplicate"  # done before, or being done
    PROGRESS = "progress"
    SKIPPED = "skipped"
    DEFERRED = "deferred"
    POISON = "poison"
    DEAD = "dead"
    ERASED = "erased"
    ACCEPTED = "accepted"  # another worker is at it, or will be
    WAITING = "waiting"


_DELIVERY_WORDS = {
    State.RETRY: Word.WAITING,
    State.SUSPENDED: Word.WAITING,
    State.OUT_OF_TIME: Word.WAITING,
    State.FAILED: Word.WAITING,
    State.CLAIMED_ELSEWHERE: Word.DUPLICATE,
    State.ALREADY_ENDED: Word.DUPLICATE,
}


def publication(task: Task, results: Iterable[Result]) -> Outcome:
    """Return what came of a job; of a publication that was begun anew, that of the new one."""
    found = [each for about, each in results if about.kind is TaskKind.PUBLISH and about.job_id == task.job_id]
    return next((each for each in found if each.state is not State.ALREADY_ENDED), found[0])


def report_of(message: Message, task: Task | None, results: Sequence[Result], error: RelayError | None) -> Report:
    """Return what is said of one message: of its task's end, or of the ``error`` with which it was not written down."""
    about = {"jobId": "" if task is None else task.job_id}
    if error is not None:
        return {**about, "outcome": Word.DEFERRED, "detail": error.message}
    if task is None:
        return {**about, "outcome": idle_word(message), "detail": str(getattr(message, "reason", ""))}
    outcome = publication(task, results)
    detail = outcome.record.error or f"status {outcome.record.detail.get('jobStatus', 'unknown')}"
    return {**about, "outcome": word_for(outcome, results), "detail": detail}


def idle_word(message: Message) -> Word:
    """Return the word for a message that asks for no work."""
    return Word.POISON if isinstance(message, Poison) else Word.SKIPPED


def word_for(outcome: Outcome, results: Iterable[Result]) -> Word:
    """Return the word for what became of a publication."""
    if outcome.state in {State.DEAD, State.REFUSED}:
        return Word.DEAD
    if outcome.record.state == State.ERASED.value:
        return Word.SKIPPED
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


def delivery_result(result: Result) -> dict[str, str]:
    """Return ``{"subscriber", "state", "detail"?}`` of one delivery."""
    task, outcome = result
    told = {"subscriber": task.subscriber, "state": _DELIVERY_WORDS.get(outcome.state, outcome.state)}
    return told | ({"detail": outcome.record.error} if outcome.record.error else {})
