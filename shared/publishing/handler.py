"""What publishing a job is: the handler of its task."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from traceback import clear_frames
from typing import TYPE_CHECKING, Any, Protocol

from shared import metrics
from shared.errors import (
    BadInput,
    JobErased,
    JobNotFound,
    JobNotReady,
    NotAdmitted,
    ObjectNotFound,
    RelayError,
    ResponseTooLarge,
)
from shared.jobs import MANIFEST, RESPONSE, JobStatus, artifact_key
from shared.logs import log, log_error
from shared.outbox.dead_letters import is_later
from shared.outbox.outbox import Handler
from shared.outbox.outcome import Outcome, State
from shared.outbox.records import Record, iso
from shared.outbox.task import FIRST, Task, redelivery_id
from shared.publishing.artifacts import Stored, store_artifacts
from shared.publishing.erasure import check_not_erased
from shared.publishing.revisions import is_improvable, look_again, next_publication, unannounced
from shared.publishing.turns import Admits, NoTurn, Turn, Turns
from shared.storage import ObjectStore

if TYPE_CHECKING:
    from shared.catalogue.catalogue import Catalogue
    from shared.smarttag.model import Summary
    from shared.webhooks.announcer import Announcement

# Reported of a job where it is not MPS that speaks of it:
REFRESH = "Refresh"  # somebody asks whether there is a better answer by now
REBUILT = "Rebuilt"  # its artifacts were made anew, and everybody is to be told
_PROGRESS = {JobStatus.SUBMITTED.value, JobStatus.PROCESSING.value}
_CATALOGUE = "Catalogue"  # and a number: only that row of the job is missing; in a series of its own
_MEND_LATER = 120_000  # milliseconds


class JobSource(Protocol):
    """Where responses come from."""

    def query(self, job_id: str, deadline: float, admits: Admits) -> bytes:
        """Return the raw QuerySmarttagJob response within ``deadline`` seconds; ``NotAdmitted`` if it is too large."""
        ...


class Announces(Protocol):
    """Who announces events; ``shared.webhooks.announcer``."""

    def announce(
        self, job_id: str, status: JobStatus, summary: bytes, series: str, revision: str = "", *, first: bool = False
    ) -> Announcement:
        """Return what is to be done so that everybody hears of it; ``first``: of the first final answer."""
        ...


@dataclass(frozen=True)
class PublishHandler(Handler):
    """Publishes a job; each repetition leaves the same behind.

    Without an ``announcer`` nobody is told, without a ``catalogue`` the job is not listed.
    """

    store: ObjectStore
    source: JobSource
    announcer: Announces | None
    query_seconds: float  # for one query with its retries
    max_result_bytes: int = (
        134_217_728  # of a stored response too: whoever can write to the bucket may have put it there
    )
    catalogue: Catalogue | None = None
    turns: Turns = field(default_factory=Turns)
    lease = 900.0  # seconds: it may decode the largest of responses
    needs = 60.0

    def run(self, task: Task) -> Outcome:
        """Publish once; given up at once is only what no time can change."""
        if task.event.startswith(_CATALOGUE):
            return self._mend(task)
        try:
            with self.turns.turn() as turn:
                return self.publish(task, turn)
        except (BadInput, ResponseTooLarge) as error:
            return Outcome.failed(error, State.DEAD)
        except NoTurn as error:
            return Outcome.failed(error, State.OUT_OF_TIME)
        except JobErased as error:
            return Outcome.failed(error, State.REFUSED)
        except JobNotFound as error:
            if task.event not in {"", REFRESH}:  # MPS itself spoke of the job a moment ago
                raise
            return Outcome.failed(error, State.REFUSED)
        except RelayError as error:
            clear_frames(error.__traceback__)  # they hold the response for as long as somebody keeps the error
            raise

    def restart(self, task: Task, receipt: Record) -> tuple[Task, ...]:
        """Begin the next publication of a job that was given up, ran, lost its artifacts, or may be answered better."""
        if task.redelivery_id is not None:
            return ()
        if task.event == REBUILT:
            found = unannounced(self.store, task)
            return () if found is None else (found,)
        detail = receipt.detail
        # Whoever told of a rebuild did not ask MPS, and what MPS said meanwhile found the job taken; so did a success
        # that was reported while a failure was being published.
        overtaken = "rebuilt" in detail or (
            task.event == JobStatus.SUCCESS and detail.get("jobStatus") == JobStatus.FAIL
        )
        later = iso(task.enqueued_at) > (receipt.at or "") or overtaken
        again = receipt.state == State.REFUSED.value or (later and receipt.state == State.DEAD.value)
        again = again or (later and bool(task.event) and bool(detail.get("improvable")))
        if detail.get("jobStatus") in _PROGRESS and task.event not in _PROGRESS:
            # It was asked for while the job ran, and ended nothing for a notification that says the job is done.
            again = later or task.event not in {"", REFRESH}
        if not again and not task.event and "artifacts" in detail:
            again = self.store.head(artifact_key(task.job_id, MANIFEST)) is None
        return (next_publication(task),) if again else ()

    def publish(self, task: Task, turn: Turn) -> Outcome:
        """Store the artifacts and return who is to be told; raise whatever service or store failed with."""
        from shared.smarttag import analyse

        response, fresh = self._response(task, turn)
        rebuilt, later = task.event == REBUILT, not fresh and is_later(task.series)
        better = self._look_again(task, response, turn) if later and not rebuilt else None
        if better is not None:
            response, fresh = better, True
        with metrics.stage("decode") as add:
            add(len(response))
            analysis = analyse(response, task.job_id)
        status = JobStatus(analysis.summary.status)
        if not status.is_final:
            return self._progress(task, status, analysis.summary)
        where = artifact_key(task.job_id, RESPONSE)
        if better is not None:
            self.store.put(where, response)
        elif fresh and not self.store.create(where, response):
            del response, analysis  # before the one that came first takes their place in memory
            response, fresh = self._stored(task.job_id, turn), False
            analysis = analyse(response, task.job_id)
            status = JobStatus(analysis.summary.status)
        with metrics.stage("artifacts"):
            stored = store_artifacts(self.store, response, analysis, anew=fresh)
        detail: dict[str, Any] = {"artifacts": stored.names, "fresh": fresh, "warnings": len(analysis.summary.warnings)}
        detail |= {"improvable": True} if is_improvable(analysis.summary) else {}
        detail |= {"rebuilt": True} if rebuilt else {}
        revision = task.series if better is not None or (rebuilt and later) else ""
        mending = self._enter(task, stored, anew=fresh or bool(revision))
        outcome = self.announce(task, status, stored.summary, detail, revision, stored.manifest)
        return replace(outcome, next_tasks=(*outcome.next_tasks, *mending))

    def announce(
        self,
        task: Task,
        status: JobStatus,
        summary: bytes,
        detail: dict[str, Any],
        revision: str = "",
        manifest: str = "",
    ) -> Outcome:
        """Return the end of a publication, with the deliveries that follow from it; ``detail`` is for the receipt."""
        detail["jobStatus"] = status.value
        tasks: tuple[Task, ...] = ()
        if self.announcer is not None:
            # Whoever has just stored the first answer need not look what the version before has told of the job.
            first = bool(detail.get("fresh")) and not revision and (task.series, task.attempt) == (FIRST, 1)
            told = self.announcer.announce(task.job_id, status, summary, task.series, revision, first=first)
            tasks, detail = told.tasks, detail | {"fresh": told.fresh, "event": told.event, "series": told.series}
            detail["subscribers"] = [each.subscriber for each in tasks if each.subscriber]
            if manifest and (told.fresh or revision):
                detail["manifest"] = manifest
            elif task.event == REBUILT:  # the version before told of it, of what nobody can say
                tasks += (next_publication(task),)
        log("job.published", jobId=task.job_id, status=status.value, warnings=detail.get("warnings"))
        return Outcome(State.SETTLED, Record(detail=detail), tasks)

    def _enter(self, task: Task, stored: Stored, *, anew: bool) -> tuple[Task, ...]:
        """Enter the job into the catalogue, or return the task that will: that it fails is no reason to tell nobody."""
        if self.catalogue is None:
            return ()
        number = int(task.series) if is_later(task.series) else 0
        try:
            if anew or task.series == FIRST or self.catalogue.published_at(task.job_id) is None:
                self.catalogue.add(task.job_id, stored.summary, stored.names, number)
        except Exception as error:  # noqa: BLE001 - a defect here is none of the publication
            log_error("catalogue.postponed", error, level=logging.WARNING, jobId=task.job_id)
            due = int(self.catalogue.clock() * 1000) + _MEND_LATER
            event = f"{_CATALOGUE}-{number}"  # not the series: whoever replays its dead letter needs another one
            return (replace(task, event=event, series=redelivery_id(event), due=due, attempt=1),)
        return ()

    def _mend(self, task: Task) -> Outcome:
        """Enter a job that could not be entered when it was published, from what it left behind."""
        if self.catalogue is not None:
            with suppress(ObjectNotFound):  # erased since
                number = task.event.partition("-")[2] or task.series.lstrip("c")  # where it stood once
                self.catalogue.add_stored(task.job_id, int(number))
        return Outcome(State.SETTLED)

    def _response(self, task: Task, turn: Turn) -> tuple[bytes, bool]:
        """Return the response and whether it is fresh: the first final one stored wins over asking again.

        What a notification asks for first has not been stored yet, so the usual case does not look.
        """
        if task.event in {"", REBUILT} or task.attempt > 1 or task.series != FIRST:
            with suppress(ObjectNotFound):
                return self._stored(task.job_id, turn), False
            if task.series != FIRST:  # else the tombstone was met as the receipt of this very task
                check_not_erased(self.store, task.job_id)
        return self._query(task.job_id, turn), True

    def _query(self, job_id: str, turn: Turn) -> bytes:
        try:
            return self.source.query(job_id, self.query_seconds, turn.admits)
        except NotAdmitted:
            turn.wait()
            return self.source.query(job_id, self.query_seconds, turn.admits)

    def _stored(self, job_id: str, turn: Turn) -> bytes:
        where = artifact_key(job_id, RESPONSE)
        if (info := self.store.head(where)) is not None and info.size > self.max_result_bytes:
            raise ResponseTooLarge(
                f"{where} holds {info.size} bytes, over the limit of {self.max_result_bytes}: raise MAX_RESULT_BYTES, "
                "and the function's memory with it",
                jobId=job_id,
                maxResultBytes=self.max_result_bytes,
            )
        if info is not None and not turn.admits(info.size):
            turn.wait()
        return self.store.get(where)

    def _look_again(self, task: Task, stored: bytes, turn: Turn) -> bytes | None:
        return look_again(self.store, task, stored, partial(self._query, task.job_id, turn))

    def _progress(self, task: Task, status: JobStatus, summary: Summary) -> Outcome:
        if task.event not in {"", REFRESH, *_PROGRESS}:
            raise JobNotReady(
                f"the notification says job {task.job_id} is {task.event}, QuerySmarttagJob still says {status.value}",
                jobId=task.job_id,
            )
        return self.announce(task, status, summary.to_json(), {})
