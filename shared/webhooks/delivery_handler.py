"""One delivery attempt, with everything about the subscriber except the body as it is at this moment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared import metrics
from shared.errors import RelayError
from shared.logs import log, log_error
from shared.outbox.outbox import Handler
from shared.outbox.outcome import Outcome, State
from shared.outbox.records import AttemptKind, Record
from shared.outbox.schedule import GIVE_UP, is_too_late
from shared.outbox.task import FIRST, Task
from shared.webhooks import payload
from shared.webhooks.announcer import LEASE
from shared.webhooks.endpoint_health import EndpointHealth, gone_at
from shared.webhooks.stored_event import StoredEvents
from shared.webhooks.subscriber_cache import SubscriberCache
from shared.webhooks.subscribers import Broken, Subscriber

if TYPE_CHECKING:  # the network half is loaded by whoever has somebody to tell
    from shared.webhooks.sender import Attempt, Sender

_GRACE = 3600.0  # seconds for which a subscriber may be missing from the file before its tasks are dead
_STATES = {AttemptKind.DELIVERED: State.DELIVERED, AttemptKind.GONE: State.GONE}


@dataclass(frozen=True)
class DeliveryHandler(Handler):
    """Delivers events; made anew for each use of the outbox, because it reads once who is not to be troubled."""

    events: StoredEvents
    subscribers: SubscriberCache
    health: EndpointHealth
    sender: Sender
    clock: Callable[[], float]  # seconds since 1970
    recovered: Callable[[str, str], None] | None = None  # told of a subscriber that is back, and since when it was not
    lease = LEASE
    needs = 20.0

    def suspended(self, task: Task) -> str:
        """Spare an endpoint that fails and fails, unless the task has waited for so long that it is given up.

        What is for a subscriber that is missing from the file waits for an hour: somebody may be about to correct that.
        """
        if reason := self.subscribers.unreadable():
            return reason
        if self.subscribers.find(task.subscriber) is None:
            waits = self._may_come_back(task)
            return "the subscriber is missing from SUBSCRIBERS_URL; it has an hour to come back" if waits else ""
        self.health.is_there(task.subscriber)
        if is_too_late(task, int(self.clock() * 1000)) or self.health.allows(task):
            return ""
        return "the endpoint has failed too often of late"

    def run(self, task: Task) -> Outcome:
        """Make the attempt."""
        begun = self.clock()
        subscriber = self.subscribers.find(task.subscriber)
        if not isinstance(subscriber, Subscriber):
            waits = subscriber is None and self._may_come_back(task)  # it was there a moment ago
            return Outcome(State.OUT_OF_TIME) if waits else _unserved(subscriber)
        again = task.series != FIRST  # somebody wants it sent in spite of what was before
        if reason := self._given_up(task, subscriber):
            return Outcome.without_attempt(State.DEAD, reason)
        if self.health.is_gone(subscriber.id, subscriber.url) and not again:
            reason = "the subscriber was switched off: it answered 410 before"
            return Outcome(State.GONE, gone_at(subscriber, Record(AttemptKind.NONE, reason)))
        event = self.events.of(task.job_id, task.event, older=task.older)
        wanted = again or subscriber.wants(payload.event_type(task.event))
        body = event.body_for(subscriber, again=again or task.attempt > 1, wanted=wanted)
        if body is None:
            return Outcome.without_attempt(State.SKIPPED, "the subscriber does not want this event")
        if self.clock() - begun > self.lease / 4:  # with the half that came before and the sending, it would be over
            return Outcome(State.CLAIMED_ELSEWHERE)
        webhook_id = payload.webhook_id(task.job_id, task.event)
        with metrics.stage("webhooks") as add:
            add(len(body))
            return _outcome(subscriber, self.sender.send(subscriber, webhook_id, int(self.clock()), body))

    def _may_come_back(self, task: Task) -> bool:
        return self.health.missing_for(task.subscriber) < _GRACE

    def _given_up(self, task: Task, subscriber: Subscriber) -> str:
        """Return why nothing is sent any more; empty if it is."""
        if not subscriber.enabled:
            return "the subscriber is disabled"
        if self._is_too_late(task) and not self.health.allows(task):
            return f"the endpoint kept failing for the {GIVE_UP // 3600:.0f} h that this waited for it"
        return ""

    def recorded(self, task: Task, outcome: Outcome) -> None:
        """Take notice of it; only now, for nothing may come between the receiver's 2xx and our receipt."""
        record, subscriber = outcome.record, self.subscribers.find(task.subscriber)
        was_sent = outcome.error is None and record.kind not in {None, AttemptKind.NONE, AttemptKind.LOST}
        if was_sent and isinstance(subscriber, Subscriber):
            if self._recovery_is_told(task, subscriber.url, record):
                self.health.note(task, subscriber.url, record)
        elif not self._is_too_late(task):
            self.health.unused(task)
        brief = {"status": record.status, "durationMs": record.durationMs, "error": record.error}
        state, who = outcome.state.value, task.subscriber
        log("delivery", jobId=task.job_id, about=task.event, subscriber=who, state=state, attempt=brief)

    def _recovery_is_told(self, task: Task, url: str, record: Record) -> bool:
        """Tell operators that an endpoint is back, if it is; False: to be told at its next success."""
        if self.recovered is None or payload.is_operators(task.event):
            return True
        try:
            if since := self.health.recovering(task, url, record):
                self.recovered(task.subscriber, since)
        except RelayError as error:
            log_error("recovery.postponed", error, level=logging.WARNING, subscriber=task.subscriber)
            return False
        return True

    def _is_too_late(self, task: Task) -> bool:
        return is_too_late(task, int(self.clock() * 1000))


def _unserved(subscriber: Broken | None) -> Outcome:
    if subscriber is None:
        return Outcome.without_attempt(State.DEAD, "the subscriber is no longer in SUBSCRIBERS_URL")
    if not subscriber.enabled:
        return Outcome.without_attempt(State.DEAD, "the subscriber is disabled")
    return Outcome.without_attempt(State.RETRY, f"the subscriber's entry has to be corrected: {subscriber.reason}")


def _outcome(subscriber: Subscriber, attempt: Attempt) -> Outcome:
    kind = AttemptKind(attempt.kind)
    record = Record(kind, attempt.error, attempt.status, attempt.duration_ms, attempt.excerpt)
    record = gone_at(subscriber, record) if kind is AttemptKind.GONE else record
    return Outcome(_STATES.get(kind, State.RETRY), record, retry_after=attempt.retry_after)
