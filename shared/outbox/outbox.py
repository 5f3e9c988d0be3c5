"""A task is written down before it is tried, and removed once a receipt says how it ended: docs/outbox.md.

Nothing here knows what a task is for: that is its handler's. Every step may fail, be repeated, or be the last thing
its worker does.
"""

from __future__ import annotations

import logging
import random
import sys
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from shared.errors import AccessRefused, ObjectNotFound, RelayError
from shared.logs import log, log_error
from shared.metrics import note_dead_letter
from shared.outbox.outcome import Outcome, State
from shared.outbox.partitions import side_by_side
from shared.outbox.records import SCHEMA_VERSION, AttemptKind, Claim, Record, iso
from shared.outbox.schedule import MOST_LOST, next_due
from shared.outbox.task import Task, parse_key
from shared.outbox.task_queue import TaskQueue
from shared.storage import ObjectStore

_ALARMING = 3  # refusals in a row
_MARGIN = 60.0  # seconds of a lease, or half of a shorter one, in which nothing is begun or given up on it any more
_LOST = Record(
    kind=AttemptKind.LOST, error="the worker that made this attempt ended before it could say what came of it"
)


class Handler(ABC):
    """Does the tasks of one kind.

    ``lease``: seconds after which a worker that has not said what came of an attempt counts as dead. ``needs``: seconds
    that must be left to begin one.
    """

    lease: float
    needs: float

    def suspended(self, task: Task) -> str:  # noqa: ARG002 - for those that look
        """Return why the task is to be left alone for now, uncounted; empty if it is not."""
        return ""

    @abstractmethod
    def run(self, task: Task) -> Outcome:
        """Make the attempt; a ``RelayError`` is a failed one.

        None was made where it would have come too late (``CLAIMED_ELSEWHERE``) or is left to the next sweep
        (``OUT_OF_TIME``).
        """

    def recorded(self, task: Task, outcome: Outcome) -> None:  # noqa: B027 - most have nothing to notice
        """Take notice of what was recorded."""

    def restart(self, task: Task, receipt: Record) -> tuple[Task, ...]:  # noqa: ARG002 - as above
        """Return what to do instead of a task that had ended before it was asked for; by default nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class Claimed:
    """The right to make an attempt, since ``begun`` on this worker's clock."""

    task: Task
    begun: float
    lease: float


GivenUp = Callable[[Task, State, Record], Iterable[Task]]


def _nothing_follows(_task: Task, _state: State, _record: Record) -> tuple[Task, ...]:
    return ()


@dataclass(frozen=True)
class Outbox:
    """The protocol over a store, which holds claims and receipts, and a queue, which says what is due.

    ``given_up`` returns what follows from the end of a task that leaves a dead letter. It is called before the end is
    recorded, so that nothing is lost, and therefore perhaps more than once.
    """

    store: ObjectStore  # one that asks again where an answer may have been lost
    queue: TaskQueue
    clock: Callable[[], float]  # seconds since 1970; workers' clocks may disagree
    rng: random.Random  # jitter
    threads: int = 32  # tasks at a time
    given_up: GivenUp = _nothing_follows

    def now(self) -> int:
        """Return this worker's time in milliseconds."""
        return int(self.clock() * 1000)

    def enqueue(self, task: Task) -> None:
        """Write the task down; when this returns it stands."""
        self.queue.add(task)

    def enqueue_all(self, tasks: Iterable[Task]) -> None:
        """Write all of them down; when this returns they stand."""
        side_by_side([(task.key, task) for task in tasks], self.enqueue, threads=self.threads)

    def remove(self, task: Task) -> None:
        """Remove the task. One that stays is looked at once more and removed then."""
        try:
            self.queue.remove(task)
        except RelayError as error:
            log_error("outbox.remove.failed", error, level=logging.WARNING, task=task.key)

    def listed(self) -> Iterator[Task]:
        """Yield the tasks, due or not, in no particular order."""
        return self.queue.waiting()

    def read_json(self, key: str) -> dict[str, Any] | None:
        """Return the JSON under ``key``; None if there is nothing."""
        try:
            found: dict[str, Any] = orjson.loads(self.store.get(key))
        except ObjectNotFound:
            return None
        return found

    def create_json(self, key: str, value: object) -> bool:
        """Write the JSON only if the key is free; True if it now holds just this."""
        return self.store.create(key, orjson.dumps(value, option=orjson.OPT_SORT_KEYS))

    def read_receipt(self, task: Task) -> Record | None:
        """Return how the task ended, if it did."""
        found = self.read_json(task.receipt_key)
        return None if found is None else Record.from_json(found)

    def claim(self, task: Task, lease: float) -> Claimed | Outcome:
        """Claim the attempt that ``task`` asks for, or return what is known of whoever did.

        A worker that has not said what came of it after ``lease`` seconds counts as dead.
        """
        begun = self.clock()
        claim = Claim(uuid.uuid4().hex, lease, int(begun * 1000), task.older_key)
        if not self.store.create(task.claim_key, orjson.dumps(claim)):
            return self._recover_claim(task)
        # Nobody can have ended a task before its first attempt was claimed, so the usual case reads nothing.
        if task.attempt > 1 and (receipt := self.read_receipt(task)) is not None:
            return Outcome(State.ALREADY_ENDED, receipt)
        return Claimed(task, begun, lease)

    def perform(self, claimed: Claimed, handler: Handler) -> Outcome:
        """Make the attempt that was claimed, and record what came of it."""
        task = claimed.task
        if not self._is_surely_ours(claimed):  # one held up must not send on a lease about to end
            return Outcome(State.CLAIMED_ELSEWHERE)
        try:
            outcome = handler.run(task)
            self.enqueue_all(outcome.next_tasks)
        except RelayError as error:
            outcome = Outcome.failed(error)
        if outcome.state is State.OUT_OF_TIME:
            self.release(claimed)
        if outcome.state in {State.CLAIMED_ELSEWHERE, State.OUT_OF_TIME}:
            return outcome
        outcome = self._record_outcome(task, outcome, self.now())
        handler.recorded(task, outcome)
        self.remove(task)
        return outcome

    def release(self, claimed: Claimed) -> None:
        """Give up a claim that was not used, while it is surely ours, so that the next sweep need not wait for it."""
        if self._is_surely_ours(claimed):
            if claimed.task.due > (now := self.now()):
                self.enqueue(replace(claimed.task, due=now))
            self.store.delete(claimed.task.claim_key)

    def _is_surely_ours(self, claimed: Claimed) -> bool:
        return self.clock() - claimed.begun < claimed.lease - min(_MARGIN, claimed.lease / 2)

    def _recover_claim(self, task: Task) -> Outcome:
        """Somebody else claimed this attempt: finish what a dead worker left, touch nothing of a living one's."""
        if (receipt := self.read_receipt(task)) is not None:
            return Outcome(State.ALREADY_ENDED, receipt)
        if (result := self._read_result(task)) is not None:
            return Outcome(State.RETRY, result)
        found, info = self.read_json(task.claim_key), self.store.head(task.claim_key)
        if found is None or info is None:
            return Outcome(State.CLAIMED_ELSEWHERE)
        claim = Claim.from_json(found)
        if info.age < claim.lease:
            claimed = parse_key(claim.task)
            tasks = () if claimed is None else (replace(claimed, older=task.older),)
            return Outcome(State.CLAIMED_ELSEWHERE, next_tasks=tasks)
        return self._record_outcome(task, self._lost(task), self.now() - int(info.age * 1000))

    def _lost(self, task: Task) -> Outcome:
        """Return what came of an attempt whose worker died."""
        lost = 1 + sum(each.kind is AttemptKind.LOST for each in self._earlier(task))
        if lost < MOST_LOST.get(task.kind, sys.maxsize):
            return Outcome(State.RETRY, _LOST)
        error = (
            f"{lost} workers ended before they could say what came of it, most likely for want of memory: give the "
            "function more of it, or lower MAX_RESULT_BYTES; then replay this letter"
        )
        return Outcome(State.DEAD, replace(_LOST, error=error))

    def _earlier(self, task: Task) -> Iterator[Record]:
        """Yield the results of the attempts before this one."""
        return filter(None, (self._read_result(replace(task, attempt=number)) for number in range(1, task.attempt)))

    def _read_result(self, task: Task) -> Record | None:
        found = self.read_json(task.result_key)
        return None if found is None else Record.from_json(found)

    def _record_outcome(self, task: Task, outcome: Outcome, tried: int) -> Outcome:
        record = replace(outcome.record, attempt=task.attempt, at=iso(tried))
        state = outcome.state
        if state is State.RETRY:
            due = next_due(task, tried, outcome.retry_after, self.rng)
            if due is not None:
                record = self._counted(task, record, outcome.error)
                log("outbox.retry", level=logging.WARNING, **_about(task), reason=record.error, next=iso(due))
                result = replace(record, next=due)
                created = self.create_json(task.result_key, result.to_json())
                result = result if created else self._read_result(task) or result
                self.reschedule(task, result)
                return replace(outcome, record=result)
            state = State.DEAD
        if state in {State.DEAD, State.GONE}:
            self._write_dead_letter(task, record, state)
            self.enqueue_all(self.given_up(task, state, record))
        record = replace(record, state=state.value)
        self.create_json(task.receipt_key, record.to_json())
        return replace(outcome, state=state, record=record)

    def _counted(self, task: Task, record: Record, error: RelayError | None) -> Record:
        """Count refusals in a row in the record; from the third on they are no passing trouble."""
        if not isinstance(error, AccessRefused):
            return record
        before = self._read_result(replace(task, attempt=task.attempt - 1)) if task.attempt > 1 else None
        refusals = 1 + (before.detail.get("refusals", 0) if before else 0)
        if refusals >= _ALARMING:
            log("access.refused", level=logging.ERROR, **_about(task), refusals=refusals, reason=error.message)
        return replace(record, detail={**record.detail, "refusals": refusals})

    def reschedule(self, task: Task, result: Record) -> None:
        """Enqueue the attempt after the one that failed with ``result``."""
        self.enqueue(replace(task, attempt=task.attempt + 1, due=result.next or task.due))

    def _write_dead_letter(self, task: Task, last: Record, state: State) -> None:
        attempts = [*self._earlier(task), last]
        letter = {
            **task.describe(),
            "version": SCHEMA_VERSION,
            "series": task.series,
            "state": state.value,
            "reason": last.error or f"status {last.status}",
            "enqueuedAt": iso(task.enqueued_at),
            "deadAt": iso(self.now()),
            "attempts": [each.shown() for each in attempts],
        }
        self.create_json(task.dead_letter_key, letter)
        note_dead_letter()
        log("outbox.dead", level=logging.ERROR, **_about(task), reason=letter["reason"], attempts=len(attempts))


def _about(task: Task) -> dict[str, str]:
    """Return what a line of the log says of a task."""
    return {"kind": task.kind.value, "jobId": task.job_id, "about": task.event, "subscriber": task.subscriber}
