"""A job's answer may change: a failed job succeeds after all, or results come later. The better one is published."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from shared.errors import ObjectNotFound
from shared.jobs import JobStatus
from shared.storage import ObjectStore

if TYPE_CHECKING:
    from shared.smarttag.model import Summary

_BEST = 3


def is_improvable(summary: Summary) -> bool:
    """Say whether MPS may have a better answer one day."""
    return _rank(summary) < _BEST


def look_again(store: ObjectStore, job_id: str, series: str, stored: bytes, query: Callable[[], bytes]) -> bytes | None:
    """Return the better response that the publication of this series brings; None if there is none.

    It is fixed before anything is made of it, and beside it the response that it replaces, so that every attempt of the
    series brings the same.
    """
    from shared.smarttag import summarise

    where = f"jobs/{job_id}/revisions/{series}/"
    try:
        return store.get(f"{where}response.json")
    except ObjectNotFound:
        pass
    before = summarise(stored, job_id)
    if not is_improvable(before):
        return None
    response = query()
    if _rank(summarise(response, job_id)) <= _rank(before):
        return None
    store.create(f"{where}replaced.json", stored)
    return response if store.create(f"{where}response.json", response) else store.get(f"{where}response.json")


def _rank(summary: Summary) -> int:
    """Order answers: not final, failed, succeeded with nothing in it, succeeded."""
    status = JobStatus(summary.status)
    if not status.is_final:
        return 0
    return 1 if status is JobStatus.FAIL else _BEST if summary.types else 2
