"""When a task is tried again, and when it is given up."""

from __future__ import annotations

import random

from shared.outbox.task import Task, TaskKind

# Seconds from one attempt to the next; 75:36 h in all, before jitter.
RETRY_INTERVALS = (60, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
JITTER = 0.2
GIVE_UP = (
    96 * 3600.0
)  # seconds since it was enqueued, however far Retry-After or the endpoint's health has postponed it
MOST_LOST = {TaskKind.PUBLISH: 3}  # attempts whose worker died: what kills its worker would do so for ever
LONGEST_RETRY_AFTER = 86400.0  # seconds that Retry-After may postpone


def next_due(task: Task, tried: int, retry_after: float | None, rng: random.Random) -> int | None:
    """Return when to try again after the attempt at ``tried`` failed, in milliseconds; None: give up.

    A fan-out is never given up. ``Retry-After`` only ever postpones.
    """
    if task.kind is TaskKind.FAN_OUT:
        wait = min(60.0 * 2 ** min(task.attempt - 1, 6), 3600.0)
    elif task.attempt > len(RETRY_INTERVALS) or is_too_late(task, tried):
        return None
    else:
        wait = RETRY_INTERVALS[task.attempt - 1]
    wait *= 1 + JITTER * rng.random()
    return tried + int(1000 * max(wait, min(retry_after or 0.0, LONGEST_RETRY_AFTER)))


def is_too_late(task: Task, now: int) -> bool:
    """Say whether the task has been in the outbox for so long that it is given up."""
    return now - task.enqueued_at >= GIVE_UP * 1000
