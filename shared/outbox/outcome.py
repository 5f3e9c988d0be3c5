"""What came of a task."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from shared.errors import RelayError
from shared.outbox.records import AttemptKind, Record
from shared.outbox.task import Task


class State(str, Enum):
    """The first group are ends, and stand in receipts; after the others the task is still to be done."""

    DELIVERED = "delivered"
    GONE = "gone"  # the receiver answered 410, now or before: a dead letter keeps what it misses
    SKIPPED = "skipped"  # the subscriber does not want it
    DEAD = "dead"  # given up: a dead letter says why
    TOLD = "told"  # a fan-out: everybody's delivery is enqueued
    SETTLED = "settled"  # a publication: stored, and everybody's delivery is enqueued
    ERASED = "erased"  # an erasure; of a publication: its job was erased, and stays so
    REFUSED = "refused"  # a publication that somebody asked for and was told that it cannot be

    RETRY = "retry"  # it failed, and is rescheduled
    SUSPENDED = "suspended"  # not now; this was no attempt
    CLAIMED_ELSEWHERE = "claimed_elsewhere"  # another worker makes the attempt
    ALREADY_ENDED = "already_ended"  # before this attempt; the record is the receipt's
    OUT_OF_TIME = "out_of_time"  # left to the next sweep
    FAILED = "failed"  # by a surprise, which the log has; its claim runs out like a dead worker's


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a handler or the outbox says came of a task; ``next_tasks`` follow from its end."""

    state: State
    record: Record = field(default_factory=Record)
    next_tasks: tuple[Task, ...] = ()
    retry_after: float | None = None  # seconds
    error: RelayError | None = None  # what the handler failed with; nothing keeps it

    @classmethod
    def failed(cls, error: RelayError, state: State = State.RETRY) -> Outcome:
        """Return what came of a task whose handler raised."""
        return cls(state, Record(AttemptKind.FAILED, error.message), retry_after=error.retry_after, error=error)

    @classmethod
    def without_attempt(cls, state: State, reason: str) -> Outcome:
        """Return what came of a task that nothing was sent for."""
        return cls(state, Record(kind=AttemptKind.NONE, error=reason))
