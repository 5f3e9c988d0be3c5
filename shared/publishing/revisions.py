"""What is told of a job once more, as a revision: a better answer that came later, or artifacts that were made anew."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from shared.errors import ObjectNotFound
from shared.jobs import MANIFEST, JobStatus, artifact_key
from shared.outbox.dead_letters import next_series
from shared.outbox.outcome import State
from shared.outbox.records import Record
from shared.outbox.task import FIRST, Task
from shared.storage import ObjectStore

if TYPE_CHECKING:
    from shared.smarttag.model import Summary

_BEST = 3


def is_improvable(summary: Summary) -> bool:
    """Say whether MPS may have a better answer one day."""
    return _rank(summary) < _BEST


def look_again(store: ObjectStore, task: Task, stored: bytes, query: Callable[[], bytes]) -> bytes | None:
    """Return the better response that this publication brings; None if there is none.

    It is fixed before anything is made of it, and beside it the response that it replaces, so that every attempt of the
    series brings the same.
    """
    from shared.smarttag import summarise

    job_id, where = task.job_id, _folder(task)
    if (fixed := _get(store, f"{where}response.json")) is not None:
        return fixed
    before = summarise(stored, job_id)
    if _was_left_untold(store, task, stored):
        response = stored
    elif not is_improvable(before) or _rank(summarise(response := query(), job_id)) <= _rank(before):
        return None
    store.create(f"{where}replaced.json", stored)
    return response if store.create(f"{where}response.json", response) else store.get(f"{where}response.json")


def _was_left_untold(store: ObjectStore, task: Task, stored: bytes) -> bool:
    """Say whether the publications just before this one were given up, and one of them had stored this very answer."""
    while (task := previous_publication(task)).series != FIRST:
        receipt = _get(store, task.receipt_key)
        if receipt is None or orjson.loads(receipt).get("state") != State.DEAD.value:
            return False
        if _get(store, f"{_folder(task)}response.json") == stored:
            return True
    return False


def _folder(task: Task) -> str:
    return f"jobs/{task.job_id}/revisions/{task.series}/"


def _rank(summary: Summary) -> int:
    """Order answers: not final, failed, succeeded with nothing in it, succeeded."""
    status = JobStatus(summary.status)
    if not status.is_final:
        return 0
    return 1 if status is JobStatus.FAIL else _BEST if summary.types else 2


def next_publication(task: Task) -> Task:
    """Return the publication of the same job after this one, due at once."""
    return replace(task, series=next_series(task.series), due=task.enqueued_at, attempt=1)


def previous_publication(task: Task) -> Task:
    """Return the publication of the same job before this one."""
    number = int(task.series) - 1
    return replace(task, series=str(number) if number > 1 else FIRST)


def unannounced(store: ObjectStore, task: Task) -> Task | None:
    """Return the job's first publication that has not ended, to tell of the artifacts that stand.

    None if there are no artifacts, or if just these were announced last: receipts say of which manifest they told.
    """
    manifest, told = _get(store, artifact_key(task.job_id, MANIFEST)), None
    task = replace(task, series=FIRST, attempt=1)
    while (receipt := _get(store, task.receipt_key)) is not None:
        told = Record.from_json(orjson.loads(receipt)).detail.get("manifest", told)
        task = next_publication(task)
    return None if manifest is None or told == hashlib.sha256(manifest).hexdigest() else task


def _get(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except ObjectNotFound:
        return None
