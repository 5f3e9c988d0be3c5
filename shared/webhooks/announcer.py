"""Who is to be told of a job: an event becomes one delivery for each subscriber that wants it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.errors import ObjectNotFound, RelayError
from shared.jobs import JobStatus
from shared.links import Links
from shared.logs import log, log_error
from shared.outbox.outbox import Handler
from shared.outbox.outcome import Outcome, State
from shared.outbox.records import Record
from shared.outbox.task import Task, TaskKind, redelivery_id
from shared.webhooks import payload
from shared.webhooks.history import last_event
from shared.webhooks.stored_event import StoredEvents, event_key
from shared.webhooks.subscriber_cache import SubscriberCache

LEASE = 120.0  # seconds that a delivery may take; eight times the deadline of an attempt
_LEASE_MS = int(LEASE * 1000)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is to be done so that everybody hears of an event; ``fresh``: nobody had told of it before."""

    event: str
    series: str
    tasks: tuple[Task, ...]
    fresh: bool


@dataclass(frozen=True)
class Announcer:
    """Turns events into deliveries; ``output_url`` is ``OUTPUT_URL``, and ``clock`` counts seconds since 1970.

    With ``links``, what is told of a final status carries one to the report.
    """

    events: StoredEvents
    subscribers: SubscriberCache
    output_url: str
    clock: Callable[[], float]
    links: Links | None = None

    def announce(
        self, job_id: str, status: JobStatus, summary: bytes, series: str, revision: str = "", *, first: bool = False
    ) -> Announcement:
        """Fix the event and return the deliveries; a fan-out of its own where subscribers.json cannot be read now.

        What was told first of an event is told to everybody; a ``revision`` is an event of its own. Unless the caller
        knows to be the ``first`` to tell anything of the job, what the version before told of it is carried on where
        that lies. See ``StoredEvent.record`` for the other arguments.

        Raises:
            RelayError: the store failed; to be called again.
        """
        name, now = payload.event_name(status, revision), int(self.clock() * 1000)
        older = not first and self.events.store.head(event_key(job_id, name, older=True)) is not None
        event = self.events.of(job_id, name, older=older)
        link = self.links.make(job_id).url if self.links and status.is_final else None
        fresh, series = event.record(status, summary, series, now, self.output_url, link)
        fan_out = Task(TaskKind.FAN_OUT, job_id, name, "", series, now, now + _LEASE_MS, older=older)
        try:
            tasks = self.deliveries(fan_out)
        except RelayError as error:
            log_error("fanout.postponed", error, jobId=job_id)
            tasks = (fan_out,)
        return Announcement(name, series, tasks, fresh)

    def deliveries(self, fan_out: Task) -> tuple[Task, ...]:
        """Return a delivery for whoever wants the event, and for the broken, of whom nobody can say what they want.

        The schedule of each begins now, however late that is. One that was switched off by a 410 gets a dead letter
        instead, so that it can be brought back without a loss.
        """
        now = int(self.clock() * 1000)
        delivery = replace(fan_out, kind=TaskKind.DELIVERY, enqueued_at=now, due=now + _LEASE_MS, attempt=1)
        known, wanted = self.subscribers.read(), payload.event_type(fan_out.event)
        tasks = [replace(delivery, subscriber=good.id) for good in known.wanting(wanted)]
        for each in known.broken:
            if each.enabled and not payload.is_operators(fan_out.event):
                log("subscriber.broken", level=logging.ERROR, subscriber=each.id, reason=each.reason)
                if not each.id.startswith("#"):  # those have no name to be told by
                    tasks.append(replace(delivery, subscriber=each.id))
        return tuple(tasks)

    def redelivery(self, job_id: str, subscriber_id: str, request_id: str) -> Task:
        """Return the delivery that sends the job's last event again: same id, same body.

        Raises:
            ObjectNotFound: nothing was ever told of the job, or there is no such subscriber.
        """
        name = last_event(self.events.store, job_id)
        if self.subscribers.find(subscriber_id) is None:
            shown = ascii(subscriber_id[:64])
            raise ObjectNotFound(f"there is no subscriber {shown} in SUBSCRIBERS_URL", jobId=job_id, subscriber=shown)
        now = int(self.clock() * 1000)
        series = redelivery_id(request_id)
        return Task(TaskKind.DELIVERY, job_id, name, subscriber_id, series, now, now)


@dataclass(frozen=True)
class FanOutHandler(Handler):
    """Announces what could not be announced when it was published: subscribers.json was missing or broken."""

    announcer: Announcer
    lease = LEASE
    needs = 10.0

    def suspended(self, task: Task) -> str:  # noqa: ARG002 - it is not about the task
        """Leave it alone, uncounted, while the file cannot be read."""
        return self.announcer.subscribers.unreadable()

    def run(self, task: Task) -> Outcome:
        """Return the deliveries."""
        tasks = self.announcer.deliveries(task)
        return Outcome(State.TOLD, Record(detail={"subscribers": [each.subscriber for each in tasks]}), tasks)
