"""How things stand, for an operator at one glance: what waits and why, what was given up, endpoints, the last sweep."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter

from shared.errors import RelayError
from shared.outbox.dead_letters import DeadLetters, Letter, Selection
from shared.outbox.outbox import Outbox
from shared.outbox.records import Record
from shared.outbox.task import Task, TaskKind
from shared.webhooks.operations import Condition, Health, conditions
from shared.webhooks.subscribers import Subscribers

COUNTED = 1000  # keys of tasks, and of dead letters, that are listed
SHOWN = 50  # of either that are read
_READERS = 16  # results of attempts read at a time


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task, and what its last attempt failed with; empty before the first."""

    task: Task
    error: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What one look costs is bounded: counts end at ``COUNTED``, lists at ``SHOWN``; of tasks those due soonest.

    ``conditions`` is None where webhooks are off; ``trouble`` says why subscribers.json cannot be read. ``due`` is when
    the first of the tasks was due that a sweep would not leave alone, in milliseconds since 1970.
    """

    waiting: tuple[Waiting, ...]
    waiting_count: int
    letters: tuple[Letter, ...]
    letter_count: int
    conditions: tuple[Condition, ...] | None
    trouble: str
    due: int | None = None


def standing(outbox: Outbox, dead: DeadLetters, subscribers: Callable[[], Subscribers] | None) -> Standing:
    """Look; ``subscribers`` reads subscribers.json, and is None where webhooks are off."""
    tasks = sorted(islice(outbox.listed(), COUNTED), key=attrgetter("due"))
    names = list(islice(dead.names(), COUNTED))
    with ThreadPoolExecutor(_READERS) as pool:
        waiting = tuple(pool.map(lambda task: Waiting(task, _last_error(outbox, task)), tasks[:SHOWN]))
    letters = tuple(dead.read(Selection(), names[:SHOWN]))
    found, trouble = None, ""
    try:
        found = None if subscribers is None else tuple(conditions(outbox.store, subscribers(), tasks, names))
    except RelayError as error:
        found, trouble = (), error.message
    served = {each.subscriber for each in found or () if each.health is not Health.SPARED}
    alone = {TaskKind.FAN_OUT, TaskKind.DELIVERY} if trouble else {TaskKind.DELIVERY}
    swept = (task.due for task in tasks if task.kind not in alone or task.subscriber in served)
    return Standing(waiting, len(tasks), letters, len(names), found, trouble, min(swept, default=None))


def _last_error(outbox: Outbox, task: Task) -> str:
    if task.attempt == 1:
        return ""
    try:
        found = outbox.read_json(replace(task, attempt=task.attempt - 1).result_key)
        record = Record() if found is None else Record.from_json(found)
    except (RelayError, ValueError, TypeError):  # a record that nobody can read explains nothing
        return ""
    return record.error or (f"status {record.status}" if record.status else "")
